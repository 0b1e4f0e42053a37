"""Asking a policy that runs in a worker, and checking what it answers: at once by a deadline, or beside the ticks."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from robot.contract import Contract
from robot.control.config import LoopConfig
from robot.control.inference import Result, Worker
from robot.control.mailbox import ObservationSet
from robot.control.rules import RULES, Stop
from robot.control.schedule import Schedule
from robot.control.timing import Clock, StageTimes
from robot.history import History, stack

Count = Callable[[str], None]  # told of each rule that fires


class Asking:
    """One question at a time.

    Args:
        config: after its ``max_errors`` inferences in a row that fail, ``failed`` says so until somebody clears it.
    """

    def __init__(
        self,
        contract: Contract,
        config: LoopConfig,
        worker: Worker,
        clock: Clock,
        stages: StageTimes,
        count: Count,
    ) -> None:
        self.contract, self.max_errors = contract, config.max_errors
        self.deadline_ms = config.deadline_ms or contract.deadline_ms  # from an observation's stamp to its command
        self.worker, self.clock, self.stages, self.count = worker, clock, stages, count
        self.errors = 0  # in a row
        self.failed: Stop | None = None
        self._most, self._window_s = config.max_misses, config.misses_of * contract.period_s
        self._misses: deque[float] = deque(maxlen=config.max_misses)  # when, steady clock
        self._history: History[dict[str, np.ndarray]] = History(contract.history, 1e9 * contract.period_s)

    def forget(self) -> None:
        """What was observed before belongs to another run."""
        self._history.clear()

    def clear(self) -> None:
        """Somebody cleared what ``failed`` says."""
        self.failed, self.errors = None, 0
        self._misses.clear()

    def note(self, rule: str) -> None:
        """A rule has fired; too many missed deadlines within the window are a policy that is too slow here."""
        if rule != "deadline_missed" or not self._most:
            return
        now = self.clock.steady()
        self._misses.append(now)
        if len(self._misses) == self._most and now - self._misses[0] <= self._window_s:
            words = f"{self._most} deadlines of {self.deadline_ms:g} ms were missed within {self._window_s:g} s"
            self.failed = Stop("too_slow", f"{words}: a smaller network, a faster machine, or less beside it; clear it")

    def by(self, found: ObservationSet, deadline_s: float) -> np.ndarray | Stop:
        """Actions ``(chunk, size)`` for an observation, by its deadline."""
        missed = Stop("deadline_missed", f"no command within {self.deadline_ms:g} ms of the observation")
        if not self.clock.wait(lambda: not self.worker.busy, deadline_s) or self.clock.steady() >= deadline_s:
            return missed
        self.drop_late()
        job = self.begin(self.see(found))
        if not self.clock.wait(lambda: self.worker.finished, deadline_s):
            return missed
        result = self.worker.take()
        assert result is not None and result.job == job
        return self.checked(result)

    def see(self, found: ObservationSet) -> dict[str, np.ndarray]:
        """What the policy sees now: the observation, or a stack of the last ones; see ``robot.history``."""
        seen = self._history.add(found.values, found.stamp_ns)
        return found.values if self.contract.history == 1 else stack(seen)

    def begin(self, seen: dict[str, np.ndarray]) -> int:
        """Ask, only when the worker is not busy; returns the number of the job."""
        return self.worker.submit(seen)

    def drop_late(self) -> None:
        while self.worker.take() is not None:
            self.count("late_result")

    def checked(self, result: Result) -> np.ndarray | Stop:
        """The actions of a result, if they may be obeyed."""
        self.stages.add("infer", result.ms)
        if result.actions is None or result.actions.shape != (self.contract.chunk, self.contract.action.size):
            words = result.error or "it returned actions of another shape than its contract says"
            self.errors += 1
            stop = Stop("inference_error", f"the policy failed ({self.errors} in a row): {words}")
            if self.errors >= self.max_errors:
                self.failed = dataclasses.replace(stop, words=stop.words + "; latched until cleared")
            return stop
        self.errors = 0
        if not np.isfinite(result.actions).all():
            return Stop("not_finite", f"the policy returned {result.actions.tolist()}")
        return result.actions


@dataclass
class Question:
    """An inference in progress."""

    stamp_ns: int  # of its observation
    deadline_s: float  # steady clock
    waiting: bool  # the arm has rested since before the observation, and nothing was commanded
    void: bool = False  # something moved the arm since
    missed: bool = False  # its deadline


class Plans:
    """A schedule that is filled beside the ticks: for inference that may take longer than a control period.

    The policy is asked again as soon as it has answered and ``contract.execute`` periods have passed. An answer whose
    first action cannot be commanded by ``deadline_ms`` after its observation is a missed deadline, and is dropped
    whole; of one in time, the late actions are. What was planned before goes on meanwhile, also when an inference
    fails.

    An arm that rests has waited for its first plan where it was observed: that plan begins when it comes, with its
    first action, and not in its middle.
    """

    def __init__(self, asking: Asking, schedule: Schedule) -> None:
        self.asking, self.schedule = asking, schedule
        self._asked: Question | None = None
        self._asked_ns = 0  # stamp of the observation of the last question
        self._trouble = ""  # of the last inference

    def update(self, instant_ns: int, fresh: ObservationSet | None, waiting: bool) -> int | None:
        """Once at every tick: take what was answered, and ask anew.

        Args:
            instant_ns: the instant that is executed next.
            fresh: what is observed now, if it is new.
            waiting: the arm rests, and has done so at least since the last tick.

        Returns:
            The stamp of the observation that a new plan answers, if one came.
        """
        came = self._take(instant_ns, waiting)
        if fresh is None:
            return came
        seen = self.asking.see(fresh)  # also while the policy thinks, since its history is one of control periods
        if self._asked is None and not self.asking.worker.busy and self._done(fresh.stamp_ns):
            self.asking.drop_late()
            self._asked_ns = fresh.stamp_ns
            deadline_s = self.asking.clock.steady() + (self.asking.deadline_ms - fresh.age_ms) * 1e-3
            self.asking.begin(seen)
            self._asked = Question(fresh.stamp_ns, deadline_s, waiting)
        return came

    def _done(self, instant_ns: int) -> bool:
        """Enough of the last answer was carried out, or nothing is planned."""
        since = (instant_ns - self._asked_ns) / self.schedule.period_ns
        return not -0.5 <= since < self.asking.contract.execute - 0.5 or self.schedule.at(instant_ns) is None

    def moved(self) -> None:
        """A command was sent."""
        if self._asked is not None:
            self._asked.waiting = False

    def void(self, but_waiting: bool = False) -> None:
        """What is being inferred shall not be executed; ``but_waiting``: unless the arm rests and waits for it."""
        if self._asked is not None:
            self._asked.void = self._asked.void or not (but_waiting and self._asked.waiting)

    @property
    def exhausted(self) -> Stop:
        """Why there is no action for now."""
        return Stop("chunk_exhausted", "; ".join(w for w in (RULES["chunk_exhausted"], self._trouble) if w))

    def _take(self, instant_ns: int, waiting: bool) -> int | None:
        asked, steady = self._asked, self.asking.clock.steady()
        if asked is None:
            return None
        if not (asked.void or asked.missed) and steady > asked.deadline_s:
            asked.missed, self._trouble = True, f"the last inference took longer than {self.asking.deadline_ms:g} ms"
            self.asking.count("deadline_missed")
        result = self.asking.worker.take()
        if result is None:
            return None
        self._asked = None
        if asked.missed:
            self.asking.count("late_result")
            return None
        if asked.void:
            self.schedule.voided += 1
            return None
        answer = self.asking.checked(result)
        if isinstance(answer, Stop):
            self._trouble = answer.words
            self.asking.count(answer.rule)
            return None
        self._trouble = ""
        begins = instant_ns if asked.waiting and waiting else asked.stamp_ns
        self.schedule.merge(begins, answer, instant_ns)
        return asked.stamp_ns
