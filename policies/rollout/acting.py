"""A trained agent as a plain function of one observation."""

from __future__ import annotations

from collections import deque
from pathlib import Path

import numpy as np
import torch
from lightning.fabric import Fabric

from policies.config import TrainConfig
from policies.networks.encoder import Observation
from policies.rl.actor_critic import Agent
from policies.runs.checkpoint import read_policy, reading
from robot.bundle import Policy
from robot.contract import Contract


def to_tensors(observation: dict[str, np.ndarray]) -> Observation:
    """One observation as a batch of one: images ``(1, C, H, W)`` uint8, vectors ``(1, n)`` float32."""
    return {
        name: torch.from_numpy(np.ascontiguousarray(value)).permute(2, 0, 1)[None]
        if value.ndim == 3
        else torch.from_numpy(value)[None]
        for name, value in observation.items()
    }


class History:
    """The last observations that a policy sees, of one episode; at its start the first stands for those before it."""

    def __init__(self, length: int) -> None:
        self._seen: deque[dict[str, np.ndarray]] = deque(maxlen=length)
        self.length = length

    def clear(self) -> None:
        """The next observation is an episode's first."""
        self._seen.clear()

    def add(self, observation: dict[str, np.ndarray]) -> list[dict[str, np.ndarray]]:
        """All that the policy sees now, the newest last."""
        self._seen.append(observation)
        return [self._seen[0]] * (self.length - len(self._seen)) + list(self._seen)


def to_batch(seen: list[dict[str, np.ndarray]]) -> Observation:
    """All that a policy sees at one moment, the newest last, as a batch of one."""
    tensors = [to_tensors(observation) for observation in seen]
    return {name: torch.cat([one[name] for one in tensors], dim=1) for name in tensors[0]}


class GreedyPolicy:
    """The averaged policy's best action. Remembers what it has seen: ``reset`` between episodes."""

    def __init__(self, agent: Agent) -> None:
        self.agent, self.contract = agent, agent.contract
        self._history = History(agent.contract.history)
        self.reset = self._history.clear

    def __call__(self, observation: dict[str, np.ndarray]) -> np.ndarray:
        return self.agent.act(to_batch(self._history.add(observation)), sample=False)[0]


class BundledPolicy:
    """The first action of an exported policy. Remembers what it has seen: ``reset`` between episodes."""

    def __init__(self, policy: Policy) -> None:
        self.policy, self.contract = policy, policy.contract
        self._history = History(policy.contract.history)
        self.reset = self._history.clear

    def __call__(self, observation: dict[str, np.ndarray]) -> np.ndarray:
        seen = self._history.add(observation)
        if len(seen) == 1:
            return self.policy.act(observation)[0]
        return self.policy.act({name: np.stack([o[name] for o in seen]) for name in observation})[0]


def load_agent(folder: Path, expect: Contract | None = None) -> tuple[GreedyPolicy, TrainConfig]:
    """The policy of a run, ready to act on a CPU."""
    tensors, config, contract, _ = read_policy(folder)
    if expect is not None:
        expect.require_equal(contract, here="this set-up", there=str(folder))
    agent = Agent(contract, config.algo, Fabric(accelerator="cpu", devices=1), seed=config.seed)
    with reading(folder, "its policy.safetensors does not fit its policy.json: train or copy it anew"):
        agent.load_policy_state(tensors)
    return GreedyPolicy(agent), config
