"""Where the milliseconds of a control loop go, and when its next tick is due.

``Clock`` is the time the loop sees; ``Samples`` keeps raw numbers (bounded) so that a report can draw the
distribution instead of trusting three percentiles; ``StageTimes`` is a dict of them; ``Pacer`` places the ticks of a
fixed-rate loop shortly before the observations arrive.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

KEEP = 20_000  # raw samples kept per series: half an hour at 10 Hz, 160 kB


class Clock:
    """Real time. Tests replace it, so that every rule is tried without sleeping."""

    def __init__(self, now_ns: Callable[[], int] = time.time_ns) -> None:
        self.now_ns = now_ns
        self._condition = threading.Condition()

    def steady(self) -> float:
        return time.monotonic()

    def notify(self) -> None:
        with self._condition:
            self._condition.notify_all()

    def wait(self, predicate: Callable[[], bool], until_s: float) -> bool:
        """Block until ``predicate`` holds (it is asked after each ``notify``) or ``steady`` reaches ``until_s``."""
        with self._condition:
            return self._condition.wait_for(predicate, max(0.0, until_s - self.steady()))


class Samples:
    """One series of durations in milliseconds; count and maximum are of all time, percentiles of the last ``keep``."""

    def __init__(self, keep: int = KEEP) -> None:
        self.n = 0
        self.max = 0.0
        self.raw: deque[float] = deque(maxlen=keep)

    def add(self, ms: float) -> None:
        ms = float(ms)
        self.max = ms if self.n == 0 else max(self.max, ms)
        self.n += 1
        self.raw.append(ms)

    def percentile(self, q: float) -> float:
        """Linear percentile ``q`` (0 to 100) of the kept samples; nan when there are none."""
        values = list(self.raw)
        return float(np.percentile(values, q)) if values else float("nan")

    def summary(self) -> dict[str, float | int | None]:
        """``{n, p50, p95, p99, max}`` in ms to the microsecond; None (valid JSON, unlike nan) without samples."""
        if not self.n:
            return {"n": 0, "p50": None, "p95": None, "p99": None, "max": None}
        values = list(self.raw)
        p50, p95, p99 = (round(float(v), 3) for v in np.percentile(values, [50, 95, 99]))
        return {"n": self.n, "p50": p50, "p95": p95, "p99": p99, "max": round(self.max, 3)}


def pace(
    period_s: float, running: Callable[[], bool], cycle: Callable[[], None], spent: Samples, between: Samples
) -> None:
    """Call ``cycle`` every ``period_s`` while ``running``: of each what it took, and what passed since the one before,
    in ms. Time by which a cycle is late is given up, not made good.
    """
    due, before = time.monotonic(), 0.0
    while running():
        start = time.monotonic()
        cycle()
        spent.add((time.monotonic() - start) * 1e3)
        if before:
            between.add((start - before) * 1e3)
        before, now = start, time.monotonic()
        due = max(due + period_s, now)
        time.sleep(due - now)


class StageTimes:
    """Milliseconds per named stage, in the order in which the stages first ran."""

    def __init__(self, clock: Callable[[], float], keep: int = KEEP) -> None:
        self._clock = clock  # seconds, monotonic
        self._keep = keep
        self.stages: dict[str, Samples] = {}

    def add(self, stage: str, ms: float) -> None:
        self.stages.setdefault(stage, Samples(self._keep)).add(ms)

    @contextmanager
    def measure(self, stage: str) -> Iterator[None]:
        start = self._clock()
        try:
            yield
        finally:
            self.add(stage, (self._clock() - start) * 1e3)

    def to_dict(self) -> dict[str, Any]:
        return {name: samples.summary() for name, samples in self.stages.items()}


class Pacer:
    """Due times of a fixed-rate loop whose phase follows the arrival of observations.

    A loop that ticks at the cameras' rate but at an unlucky phase finds every image almost one period old. So the
    tick is kept ``lead_s`` *before* the expected arrival and the loop then waits for the image (a few ms): a fresh
    image is used at once. The phase moves by at most ``slew_s`` per tick, so that commands stay evenly spaced; only
    where nothing was being commanded anyway (start, or the sensors were silent) does the first new observation set
    the phase in one step.
    """

    def __init__(
        self, period_s: float, lead_s: float = 0.005, slew_s: float = 0.002, fast_slew_s: float = 0.010
    ) -> None:
        self.period_s = period_s
        self.lead_s = lead_s
        self.slew_s = slew_s
        self.fast_slew_s = fast_slew_s
        self.fast_ticks = 10  # ticks after a synchronisation that may move by fast_slew_s
        self.due_s: float | None = None  # when the coming tick is due, seconds on the loop's clock
        self._fast_left = 0

    def start(self, now_s: float) -> None:
        self.due_s = now_s
        self._fast_left = self.fast_ticks

    def next(self, now_s: float, arrival_s: float | None) -> float:
        """Due time of the next tick, after one that used an observation that arrived at ``arrival_s``.

        None for ``arrival_s`` keeps the rhythm: the tick used no new observation, or the sensors run faster than the
        loop and there is no phase to follow. A loop that fell behind skips the missed ticks instead of bunching them.
        """
        assert self.due_s is not None, "start() comes first"
        shift = 0.0
        if arrival_s is not None:
            limit = self.fast_slew_s if self._fast_left > 0 else self.slew_s
            self._fast_left = max(0, self._fast_left - 1)
            error = arrival_s - self.lead_s - self.due_s  # negative: the observation had been waiting, so tick earlier
            shift = min(max(0.5 * error, -limit), limit)
        due = self.due_s + self.period_s + shift
        if due < now_s:  # late by whole periods: keep the phase
            due += self.period_s * math.ceil((now_s - due) / self.period_s)
        self.due_s = due
        return due

    def synchronise(self, arrival_s: float) -> float:
        """Make the next tick due now, at the arrival of the first observation after a silence."""
        self.due_s = arrival_s
        self._fast_left = self.fast_ticks
        return arrival_s
