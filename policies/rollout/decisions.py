"""Policies that decide for several control steps at a time: how they gather experience, and how they are played."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import torch

from policies.policy import Agent, Observation, Policy
from policies.rollout.acting import GreedyPolicy, to_tensors
from policies.rollout.collectors import Collected, InTurn


class DecidingPolicy(Policy, Protocol):
    """A policy whose decisions last; the networks' part of acting on one is closed loop."""

    @property
    def horizon(self) -> int:
        """Control steps that a decision lasts, if the episode does."""
        ...

    def decide(self, observations: Observation) -> torch.Tensor:
        """The best decisions ``(B, Z)``."""
        ...

    def carry_out(self, observations: Observation, z: torch.Tensor) -> np.ndarray:
        """Actions ``(B, A)`` float32 in the contract's units, of decisions ``(B, Z)`` made now or before."""
        ...


class DecidingAgent(Agent, Protocol):
    """What learns one."""

    policy: DecidingPolicy

    def decide(self, observations: Observation, at_random: bool = False) -> torch.Tensor:
        """Decisions ``(B, Z)`` to explore with; ``at_random``: that nothing was learned for."""
        ...


def decides(policy: Any) -> bool:
    """Whether this is a ``DecidingPolicy``."""
    return hasattr(policy, "horizon")


class DecisionInTurn(InTurn):
    """As ``InTurn``, a decision at a time. What is remembered are decisions: the observation before, the sum of the
    rewards while it lasted, and the observation after its horizon or at the episode's end, whichever comes first.
    """

    def collect(self, agent: Agent, random: np.random.Generator | None, busy: bool) -> Collected:
        """As ``Collector.collect``; given ``random``, the agent decides at random, from its own stream."""
        deciding: DecidingAgent = agent  # type: ignore[assignment]
        seen = self.recorder.memory.last_observation
        z = deciding.decide(seen, at_random=random is not None)
        total, steps, over = 0.0, 0, False
        while steps < deciding.policy.horizon and not over:
            observation, reward, terminated, truncated, info = self.env.step(deciding.policy.carry_out(seen, z)[0])
            total, steps, over = total + float(reward), steps + 1, terminated or truncated
            seen = to_tensors(observation)
        finished = self.recorder.add(
            z[0].cpu().numpy(), total, terminated, truncated, observation, bool(info["success"])
        )
        if finished:
            observation, _ = self.env.reset()
            self.recorder.start(observation)
        return Collected(steps, finished)


class HeldDecisions:
    """A policy's best decisions, each held for its horizon, as a function of one observation. Remembers the present
    one: ``reset`` between episodes.
    """

    def __init__(self, policy: DecidingPolicy) -> None:
        self.policy = policy
        self.reset()

    def reset(self) -> None:
        self._z: torch.Tensor | None = None
        self._left = 0

    def __call__(self, observation: dict[str, np.ndarray]) -> np.ndarray:
        seen = to_tensors(observation)
        if self._z is None or not self._left:
            self._z, self._left = self.policy.decide(seen), self.policy.horizon
        self._left -= 1
        return self.policy.carry_out(seen, self._z)[0]


def as_it_learned(policy: Any) -> HeldDecisions | GreedyPolicy:
    """A policy's best actions, decisions held as they were while it learned."""
    return HeldDecisions(policy) if decides(policy) else GreedyPolicy(policy)
