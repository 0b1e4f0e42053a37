"""A trained agent as a plain function of one observation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from lightning.fabric import Fabric

from policies.checkpoint import read_policy
from policies.config import TrainConfig
from policies.encoders import Observation
from policies.sac import SAC
from robot.contract import Contract
from robot.errors import PixelarmError


def to_tensors(observation: dict[str, np.ndarray]) -> Observation:
    """One observation as a batch of one: images ``(1, C, H, W)`` uint8, vectors ``(1, n)`` float32."""
    return {
        name: torch.from_numpy(np.ascontiguousarray(value)).permute(2, 0, 1)[None]
        if value.ndim == 3
        else torch.from_numpy(value)[None]
        for name, value in observation.items()
    }


class GreedyPolicy:
    """The agent's mean action. For contracts whose history is 1: the replay memory stacks frames, this class does not."""

    def __init__(self, agent: SAC) -> None:
        if agent.contract.history != 1:
            raise PixelarmError(
                f"acting with a history of {agent.contract.history} observations is not supported yet; use 1"
            )
        self.agent, self.contract = agent, agent.contract

    def __call__(self, observation: dict[str, np.ndarray]) -> np.ndarray:
        return self.agent.act(to_tensors(observation), sample=False)[0]


def load_agent(folder: Path, expect: Contract | None = None) -> tuple[GreedyPolicy, TrainConfig]:
    """The policy of a run, ready to act on a CPU."""
    tensors, config, contract, _ = read_policy(folder)
    if expect is not None:
        expect.require_equal(contract, here="this set-up", there=str(folder))
    agent = SAC(contract, config.algo, Fabric(accelerator="cpu", devices=1), seed=config.seed)
    agent.load_policy_state(tensors)
    return GreedyPolicy(agent), config
