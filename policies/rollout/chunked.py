"""Executing chunks in control steps, by the control loop's own schedule: what evaluation says then holds for an arm."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

import numpy as np

from robot.contract import Contract
from robot.control.config import LoopConfig
from robot.control.schedule import Schedule
from robot.errors import PixelarmError

Observation = dict[str, np.ndarray]


class Actor(Protocol):
    """A policy with its memory; see ``policies.rollout.acting``."""

    contract: Contract  # of the policy
    reset: Callable[[], None]

    def see(self, observation: Observation) -> Callable[[], np.ndarray]:
        """At every step; the result asks the policy about it for the actions ``(chunk, size)``."""


class Chunked:
    """A policy's next action, with its chunks executed. Remembers what is planned: ``reset`` between episodes.

    Without a delay of inference the policy is asked each ``execute`` steps, and its first ``execute`` actions are
    carried out; 1, the default, is a policy that acts on what it sees at every step. With ``inference_ms`` it is asked
    again as soon as it has answered, and its answer counts from the first control step after so many milliseconds on,
    as in a loop whose deadline is longer than its period: late actions are dropped, and a new chunk fades in. The
    episode begins when the first answer is there, as an arm waits for it.

    Args:
        actor: whose chunks are executed.
        execute: fewest control steps between two questions.
        inference_ms: from an observation to the first action that answers it.
        fade_ms: how long a new chunk takes to replace an old one.
    """

    def __init__(
        self,
        actor: Actor,
        execute: int = 1,
        inference_ms: float = 0.0,
        fade_ms: float = LoopConfig.fade_ms,
    ) -> None:
        contract = actor.contract
        period_ms = 1e3 * contract.period_s
        if not 0 <= inference_ms < math.inf:
            raise PixelarmError(f"inference_ms must be finite and not negative, got {inference_ms}")
        self.delay = math.ceil(inference_ms / period_ms - 1e-9)  # control steps
        self.every = max(execute, self.delay)
        if not 1 <= execute or self.every + self.delay > contract.chunk:
            raise PixelarmError(
                f"a chunk of {contract.chunk} actions, one each {period_ms:g} ms, can be executed for 1 to "
                f"{max(contract.chunk - self.delay, 0)} steps with {inference_ms:g} ms of inference (which take "
                f"{self.delay} of them), got {self.every}"
            )
        self.actor, self.contract, self.period_ns = actor, contract, 1e9 * contract.period_s
        self.schedule = Schedule(contract.action.kind, contract.period_s, fade_ms * 1e-3 if self.delay else 0.0)
        self.reset()

    def reset(self) -> None:
        """A new episode begins."""
        self.actor.reset()
        self.schedule.clear()
        self._step, self._asked = 0, -1
        self._answer: np.ndarray | None = None  # to the question of step ``_asked``, until it is joined

    def __call__(self, observation: Observation) -> np.ndarray:
        now, first = round(self._step * self.period_ns), self._asked < 0
        ask = self.actor.see(observation)
        self._join(now)
        if self._answer is None and (first or self._step >= self._asked + self.every):
            self._answer, self._asked = ask(), self._step
        if first or not self.delay:
            self._join(now, at_once=True)
        action = self.schedule.at(now)
        assert action is not None, "a chunk covers what is executed and the inference"
        self._step += 1
        return action

    def _join(self, now: int, at_once: bool = False) -> None:
        if self._answer is None or not (at_once or self._step >= self._asked + self.delay):
            return
        self.schedule.merge(round(self._asked * self.period_ns), self._answer, now)
        self._answer = None
