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


def to_tensors(observation: dict[str, np.ndarray]) -> Observation:
    """One observation as a batch of one: images ``(1, C, H, W)`` uint8, vectors ``(1, n)`` float32."""
    return {
        name: torch.from_numpy(np.ascontiguousarray(value)).permute(2, 0, 1)[None]
        if value.ndim == 3
        else torch.from_numpy(value)[None]
        for name, value in observation.items()
    }


def to_batch(seen: list[dict[str, np.ndarray]]) -> Observation:
    """All that a policy sees at one moment, the newest last, as a batch of one."""
    tensors = [to_tensors(observation) for observation in seen]
    return {name: torch.cat([one[name] for one in tensors], dim=1) for name in tensors[0]}


class GreedyPolicy:
    """A policy's best action, the first of its chunk. Remembers what it has seen: ``reset`` between episodes."""

    def __init__(self, policy: Policy) -> None:
        self.policy, self.contract = policy, policy.contract
        self._history: History[dict[str, np.ndarray]] = History(policy.contract.history)
        self.reset = self._history.clear

    def see(self, observation: dict[str, np.ndarray]) -> Callable[[], np.ndarray]:
        """What asks the policy about an observation for its actions ``(chunk, size)``."""
        batch = to_batch(self._history.add(observation))
        return lambda: self.policy.act(batch, sample=False)[0]

    def __call__(self, observation: dict[str, np.ndarray]) -> np.ndarray:
        return self.see(observation)()[0]


class BundledPolicy:
    """An exported policy's first action. Remembers what it has seen: ``reset`` between episodes."""

    def __init__(self, policy: bundle.Policy) -> None:
        self.policy, self.contract = policy, policy.contract
        self._history: History[dict[str, np.ndarray]] = History(policy.contract.history)
        self.reset = self._history.clear

    def see(self, observation: dict[str, np.ndarray]) -> Callable[[], np.ndarray]:
        """What asks the policy about an observation for its actions ``(chunk, size)``."""
        seen = self._history.add(observation)
        return lambda: self.policy.act(observation if len(seen) == 1 else stack(seen))

    def __call__(self, observation: dict[str, np.ndarray]) -> np.ndarray:
        return self.see(observation)()[0]


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
