"""Running a policy beside the control loop: a worker thread, and the warm-up that measures it before anything moves."""

from __future__ import annotations

import dataclasses
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from robot.contract import Contract
from robot.control.timing import Clock, Samples
from robot.errors import PixelarmError


class Policy(Protocol):
    """What ``robot.bundle.load`` returns."""

    contract: Contract

    def act(self, observation: dict[str, np.ndarray]) -> np.ndarray:
        """Actions ``(chunk, size)`` for one observation; with history, every array has a leading history axis."""


@dataclass(frozen=True, eq=False)
class Result:
    """A finished job: actions, or the words of the exception."""

    job: int
    actions: np.ndarray | None
    error: str = ""
    ms: float = 0.0


class Worker:
    """Runs the policy in a thread, one observation at a time."""

    def __init__(self, act: Callable[[dict[str, np.ndarray]], np.ndarray], clock: Clock) -> None:
        self._act, self._clock = act, clock
        self._jobs = 0
        self._todo: dict[str, np.ndarray] | None = None
        self._done: deque[Result] = deque()
        self._wake = threading.Semaphore(0)
        self.busy = False
        threading.Thread(target=self._run, name="inference", daemon=True).start()

    def submit(self, observation: dict[str, np.ndarray]) -> int:
        """Start a job and return its number; only when not ``busy``."""
        assert not self.busy
        self._jobs, self.busy, self._todo = self._jobs + 1, True, observation
        self._wake.release()
        return self._jobs

    @property
    def finished(self) -> bool:
        """Is there a result to take?"""
        return bool(self._done)

    def take(self) -> Result | None:
        """The oldest result not yet taken."""
        return self._done.popleft() if self._done else None

    def close(self) -> None:
        """End the thread after the job it is in."""
        self._todo = None
        self._wake.release()

    def _run(self) -> None:
        while True:
            self._wake.acquire()
            if self._todo is None:
                return
            start = self._clock.steady()
            result = run_job(self._jobs, self._act, self._todo)
            self._done.append(dataclasses.replace(result, ms=(self._clock.steady() - start) * 1e3))
            self.busy = False
            self._clock.notify()


def run_job(job: int, act: Callable[[dict[str, np.ndarray]], np.ndarray], observation: dict[str, np.ndarray]) -> Result:
    """Whatever a policy raises becomes a result with words, never a dead thread."""
    try:
        return Result(job, np.asarray(act(observation)))
    except Exception as error:
        return Result(job, None, f"{type(error).__name__}: {error}")


def warm_up(policy: Policy, runs: int = 30, longest_ms: float = math.inf) -> dict[str, Any]:
    """Run the policy on random observations: ``{n, p50, p95, p99, max, first}`` in ms, the slow first run apart.

    The p99 of 30 runs is about their maximum, and one stall of the machine is not yet a slow policy: if it exceeds
    ``longest_ms``, all runs are made once more, and the second figures are returned.

    Raises:
        PixelarmError: the actions have another shape than the contract says, or are not finite.
    """
    figures = _warm_up(policy, runs)
    return figures if figures["p99"] <= longest_ms else _warm_up(policy, runs)


def _warm_up(policy: Policy, runs: int) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    times, first = Samples(), 0.0
    for run in range(runs + 1):
        observation = random_observation(policy.contract, rng)
        start = time.perf_counter()
        actions = np.asarray(policy.act(observation))
        ms = (time.perf_counter() - start) * 1e3
        _check(actions, policy.contract)
        if run:
            times.add(ms)
        else:
            first = ms
    return {**times.summary(), "first": round(first, 3)}


def random_observation(contract: Contract, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Noise with the shapes and types of a contract's observation."""
    lead = (contract.history,) if contract.history > 1 else ()
    images = {c.name: rng.integers(0, 256, (*lead, *c.shape), np.uint8) for c in contract.cameras}
    return {**images, **{p.name: rng.normal(0, 0.1, (*lead, p.size)).astype(np.float32) for p in contract.proprio}}


def _check(actions: np.ndarray, contract: Contract) -> None:
    shape = (contract.chunk, contract.action.size)
    if actions.shape != shape:
        raise PixelarmError(f"the policy returned actions of shape {actions.shape}; its contract says {shape}")
    if not np.isfinite(actions).all():
        raise PixelarmError(
            f"the policy returned actions that are not finite: {actions.tolist()}; train or export it again"
        )
