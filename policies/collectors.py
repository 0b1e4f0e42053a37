"""Who gathers experience: one environment that takes turns with the learner. It steps, remembers, and says what ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from policies.agent import Agent
from policies.replay import Replay
from sim.env import TaskEnv


@dataclass(frozen=True)
class Finished:
    """A training episode that ended: ``steps`` control steps, their rewards' sum, and whether the task was done."""

    success: bool
    total: float
    steps: int


class InTurn:
    """One environment in this process: a step, then the learner's updates, then a step.

    Args:
        env: what to act in.
        memory: where experience goes.
        successes: a second memory for own successful episodes, as examples to follow; None if they do not join.
        time_limit: as CriticConfig has it: whether an episode cut by the clock counts as ended, or its last step is left out.
    """

    def __init__(self, env: TaskEnv, memory: Replay, successes: Replay | None, time_limit: str) -> None:
        self.env, self.memory, self.successes, self.time_limit = env, memory, successes, time_limit
        self._total = 0.0

    def begin(self, seed: int) -> None:
        """Open the first episode."""
        observation, _ = self.env.reset(seed=seed)
        self.memory.start(observation)

    def collect(self, agent: Agent, random: np.random.Generator | None) -> list[Finished]:
        """One step, sampled from the agent, or uniform from ``random`` if that is given; the episodes that ended with it."""
        env = self.env
        if random is None:
            action = agent.act(self.memory.last_observation, sample=True)[0]
        else:
            action = env.contract.clip_action(random.uniform(env.action_space.low, env.action_space.high))
        observation, reward, terminated, truncated, info = env.step(action)
        over = terminated or (truncated and self.time_limit == "terminal")
        usable = not (truncated and self.time_limit == "drop")
        self.memory.add(action, float(reward), over, observation, usable=usable)
        self._total += float(reward)
        if not (terminated or truncated):
            return []
        finished = Finished(bool(info["success"]), self._total, self.memory.last_age)
        if finished.success and self.successes is not None:
            self.successes.copy_last_episode(self.memory)
        observation, _ = env.reset()
        self.memory.start(observation)
        self._total = 0.0
        return [finished]

    # ----------------------------------------------------------------- resume
    def state_dict(self) -> dict[str, Any]:
        """The environment in the middle of its episode; ``world`` holds arrays, the rest is plain data."""
        return {**self.env.state_dict(), "total": self._total}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.env.reset(seed=0)
        self.env.load_state_dict({key: value for key, value in state.items() if key != "total"})
        self._total = float(state["total"])
