"""A policy as a plain function of one observation: what evaluation and parity checks call."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from policies.config import TrainConfig
from policies.policy import Observation, Policy, family_of
from policies.runs.checkpoint import read_policy, reading
from robot import bundle
from robot.contract import Contract
from robot.history import History, stack

Seen = list[dict[str, np.ndarray]]
"""The observations that a policy sees at one moment, the newest last."""


def to_tensors(observation: dict[str, np.ndarray]) -> Observation:
    """One observation as a batch of one: images ``(1, C, H, W)`` uint8, vectors ``(1, n)`` float32."""
    return {
        name: torch.from_numpy(np.ascontiguousarray(value)).permute(2, 0, 1)[None]
        if value.ndim == 3
        else torch.from_numpy(value)[None]
        for name, value in observation.items()
    }


def to_batch(seen: Seen) -> Observation:
    """All that a policy sees at one moment, the newest last, as a batch of one."""
    tensors = [to_tensors(observation) for observation in seen]
    return {name: torch.cat([one[name] for one in tensors], dim=1) for name in tensors[0]}


class Acting:
    """Actions, one a control step: the policy is asked, and ``contract.execute`` actions of its answer are carried out
    before it is asked again. Remembers what it has seen, and what is left to do: ``reset`` between episodes.

    Args:
        answer: from all that the policy sees at one moment to a chunk ``(chunk, A)``.
    """

    def __init__(self, contract: Contract, answer: Callable[[Seen], np.ndarray]) -> None:
        self.contract, self.answer = contract, answer
        self._history: History[dict[str, np.ndarray]] = History(contract.history)
        self._left: list[np.ndarray] = []

    def reset(self) -> None:
        self._history.clear()
        self._left = []

    def see(self, observation: dict[str, np.ndarray]) -> Callable[[], np.ndarray]:
        """What asks the policy about an observation, and those before it, for its actions ``(chunk, A)``."""
        seen = self._history.add(observation)
        return lambda: self.answer(seen)

    def __call__(self, observation: dict[str, np.ndarray]) -> np.ndarray:
        ask = self.see(observation)
        if not self._left:
            self._left = list(ask()[: self.contract.execute])
        return self._left.pop(0)


class GreedyPolicy(Acting):
    """A policy's best actions."""

    def __init__(self, policy: Policy) -> None:
        super().__init__(policy.contract, lambda seen: policy.act(to_batch(seen), sample=False)[0])
        self.policy = policy


class BundledPolicy(Acting):
    """An exported policy's actions."""

    def __init__(self, policy: bundle.Policy) -> None:
        super().__init__(policy.contract, lambda seen: policy.act(seen[0] if len(seen) == 1 else stack(seen)))
        self.policy = policy


def load_policy(folder: Path, expect: Contract | None = None) -> tuple[Policy, TrainConfig]:
    """The policy that a run has saved in a folder, on a CPU.

    Raises:
        ContractMismatch: it is not for ``expect``.
    """
    tensors, config, contract, _ = read_policy(folder)
    if expect is not None:
        expect.require_equal(contract, here="this set-up", there=str(folder))
    policy = family_of(config.algo).make_policy(contract, config.algo, config.seed)
    with reading(folder, "its policy.safetensors does not fit its policy.json: train or copy it anew"):
        policy.load_state_dict(tensors)
    return policy, config
