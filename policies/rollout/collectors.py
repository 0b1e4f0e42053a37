"""Who gathers experience for a run: environments are stepped, what they show is remembered, and what ended is said.

``InTurn`` is one environment in this process, ``SideBySide`` several in worker processes; both take turns with the
learner. ``policies.rollout.async_collector`` is one that acts on and never waits.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch

from policies.config import TaskConfig
from policies.data.replay import Replay
from policies.policy import Agent, Observation
from policies.rollout.person import Person
from sim.envs.make import make_env
from sim.envs.task_env import TaskEnv
from sim.envs.vector import VectorEnv

Prior = Callable[[Observation], torch.Tensor]
"""From observations to a frozen policy's actions, ``(B, A)`` in [-1, 1]."""


@dataclass(frozen=True)
class Finished:
    """A training episode that ended: ``steps`` control steps, their rewards' sum, and whether the policy succeeded."""

    success: bool
    total: float
    steps: int
    rewards: np.ndarray = field(
        default_factory=lambda: np.zeros(0), compare=False
    )  # (steps,), those the memory still holds


@dataclass
class Collected:
    """What came in: environment steps, those of all environments together, and the episodes that ended with them."""

    steps: int
    finished: list[Finished] = field(default_factory=list)


class Recorder:
    """Writes what one environment shows into a memory.

    Args:
        memory: where experience goes; this stream alone.
        successes: a second memory for own successful episodes, as examples to follow, which join while there is room,
            so that no demonstration is overwritten; None if they do not join.
        time_limit: as ``algo.time_limit`` has it: whether an episode cut by the clock counts as ended, or its last step
            is left out.
        prior: proposes an action in each frame, to be kept with it; None if nobody does.
        corrections: a memory for what a person did, as examples to follow, which joins while there is room.
    """

    def __init__(
        self,
        memory: Replay,
        successes: Replay | None,
        time_limit: str,
        prior: Prior | None = None,
        corrections: Replay | None = None,
    ) -> None:
        self.memory, self.successes, self.time_limit, self.prior = memory, successes, time_limit, prior
        self.corrections = corrections
        self.total = 0.0  # reward of the episode so far
        self.taken_over: int | None = None  # control step of the episode since which a person acts

    def start(self, observation: dict[str, np.ndarray]) -> None:
        self.memory.start(observation)
        self._propose()
        self.total, self.taken_over = 0.0, None

    def _propose(self) -> None:
        if self.prior is not None:
            self.memory.propose(self.prior)

    def add(
        self,
        action: np.ndarray,
        reward: float,
        terminated: bool,
        truncated: bool,
        observation: dict[str, np.ndarray],
        success: bool,
        person: bool = False,
    ) -> list[Finished]:
        """What was done, what came of it and the frame it led to; the episode, if it ended.

        A success to which a ``person`` drove is not the policy's own: it does not count as one, and what joins the
        examples is what the person did.
        """
        if person and self.taken_over is None:
            self.taken_over = self.memory.last_age
        over = terminated or (truncated and self.time_limit == "terminal")
        usable = not (truncated and self.time_limit == "drop")
        self.memory.add(action, reward, over, observation, usable=usable)
        self._propose()
        self.total += reward
        if not (terminated or truncated):
            return []
        own = success and self.taken_over is None
        if own:
            self._join(self.successes, 0)
        elif success:
            self._join(self.corrections, self.taken_over or 0)
        return [Finished(own, self.total, self.memory.last_age, self.memory.last_rewards())]

    def _join(self, examples: Replay | None, since: int) -> None:
        if examples is not None and self.memory.last_age - since < examples.room:
            examples.copy_last_episode(self.memory, since)


class Collector(ABC):
    """What a run knows of the environments it learns from."""

    waits: ClassVar[bool] = True  # for the learner, and steps only when asked

    @abstractmethod
    def begin(self, seed: int) -> None:
        """Open the first episodes."""

    @abstractmethod
    def collect(self, agent: Agent, random: np.random.Generator | None, busy: bool) -> Collected:
        """Act and remember.

        Args:
            agent: actions are sampled from it.
            random: uniform actions are drawn from this instead, if it is given.
            busy: the learner has updates to make. Who acts at a pace of its own then hands over what there is, if only
                nothing; the others step in any case.
        """

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """What goes on when a run is resumed; ``world`` holds arrays, the rest is plain data."""

    @abstractmethod
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where ``state_dict`` was taken, instead of ``begin``."""

    @contextmanager
    def undisturbed(self) -> Iterator[None]:
        """While a run evaluates in its own environment."""
        yield

    def numbers(self) -> dict[str, float]:
        """More to log."""
        return {}

    def close(self) -> None:  # noqa: B027  (most have nothing to close)
        """End what was started."""


class InTurn(Collector):
    """The run's own environment: a step, then the learner's updates, then a step.

    Args:
        person: who may take over.
    """

    def __init__(self, env: TaskEnv, recorder: Recorder, person: Person | None = None) -> None:
        self.env, self.recorder, self.person = env, recorder, person

    def begin(self, seed: int) -> None:
        observation, _ = self.env.reset(seed=seed)
        self.recorder.start(observation)

    def collect(self, agent: Agent, random: np.random.Generator | None, busy: bool) -> Collected:
        env = self.env
        correction = self.person.acts(self.recorder.memory.last_age) if self.person else None
        if correction is not None:
            action = correction
        elif random is None:
            action = agent.act(self.recorder.memory.last_observation, sample=True)[0, 0]
        else:
            action = env.contract.clip_action(random.uniform(env.action_space.low, env.action_space.high))
        observation, reward, terminated, truncated, info = env.step(action)
        finished = self.recorder.add(
            action, float(reward), terminated, truncated, observation, bool(info["success"]), correction is not None
        )
        if finished:
            observation, _ = env.reset()
            self.recorder.start(observation)
        return Collected(1, finished)

    @contextmanager
    def undisturbed(self) -> Iterator[None]:
        state = self.env.state_dict()
        yield
        self.env.load_state_dict(state)

    def state_dict(self) -> dict[str, Any]:
        person = {"person": self.person.state_dict(), "taken_over": self.recorder.taken_over} if self.person else {}
        return {**self.env.state_dict(), "total": self.recorder.total, **person}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.env.reset(seed=0)
        mine = ("total", "person", "taken_over")
        self.env.load_state_dict({key: value for key, value in state.items() if key not in mine})
        self.recorder.total = float(state["total"])
        if self.person:
            self.recorder.taken_over = state["taken_over"]
            self.person.load_state_dict(state["person"])

    def numbers(self) -> dict[str, float]:
        return self.person.numbers() if self.person else {}


class SideBySide(Collector):
    """Several environments, in worker processes: a step of each with one call of the agent, then the learner's updates.

    Args:
        task: what to make in each worker.
        env: one made here, for its contract.
        recorders: of each environment, on a lane of its own.
    """

    def __init__(self, task: TaskConfig, env: TaskEnv, recorders: list[Recorder]) -> None:
        self.task, self.contract, self.recorders = task, env.contract, recorders
        self._envs: VectorEnv | None = None

    @property
    def envs(self) -> VectorEnv:
        """The workers, started when they are first needed: not before a run has pre-trained."""
        if self._envs is None:
            self._envs = VectorEnv(self.task, len(self.recorders), make=make_env, contract=self.contract)
        return self._envs

    def begin(self, seed: int) -> None:
        observations, _ = self.envs.reset(seed=seed)
        for i, recorder in enumerate(self.recorders):
            recorder.start(_row(observations, i))

    def collect(self, agent: Agent, random: np.random.Generator | None, busy: bool) -> Collected:
        if random is None:
            seen = [recorder.memory.last_observation for recorder in self.recorders]
            actions = agent.act({name: torch.cat([one[name] for one in seen]) for name in seen[0]}, sample=True)[:, 0]
        else:
            action = self.contract.action
            actions = self.contract.clip_action(
                random.uniform(action.low, action.high, (len(self.recorders), action.size))
            )
        observations, rewards, terminated, truncated, infos = self.envs.step(actions)
        collected = Collected(len(self.recorders))
        for i, recorder in enumerate(self.recorders):
            ended = bool(terminated[i] or truncated[i])
            # where an episode ended, the vector has begun the next one
            last = infos["final_obs"][i] if ended else _row(observations, i)
            success = bool((infos["final_info"] if ended else infos)["success"][i])
            collected.finished += recorder.add(
                actions[i], float(rewards[i]), bool(terminated[i]), bool(truncated[i]), last, success
            )
            if ended:
                recorder.start(_row(observations, i))
        return collected

    def state_dict(self) -> dict[str, Any]:
        state = self.envs.state_dict()
        each = state.pop("envs")
        return {
            "world": {f"{i}.{name}": array for i, one in enumerate(each) for name, array in one["world"].items()},
            "envs": [{key: value for key, value in one.items() if key != "world"} for one in each],
            "totals": [recorder.total for recorder in self.recorders],
            **state,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        each = [{"world": {}, **one} for one in state["envs"]]
        for name, array in state["world"].items():
            number, _, key = name.partition(".")
            each[int(number)]["world"][key] = array
        self.envs.reset(seed=0)
        self.envs.load_state_dict({**state, "envs": each})
        for recorder, total in zip(self.recorders, state["totals"]):
            recorder.total = float(total)

    def close(self) -> None:
        if self._envs is not None:
            self._envs.close()


def _row(observations: dict[str, np.ndarray], i: int) -> dict[str, np.ndarray]:
    return {name: values[i] for name, values in observations.items()}
