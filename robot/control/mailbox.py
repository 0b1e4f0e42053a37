"""Where sensors leave what they measured, and how an observation is put together from it.

Any thread may put; the newest wins. Nothing is ever made up: a stream that is silent, stale, of the wrong size or
from another clock gives a named ``Stop`` instead of an observation.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from robot.contract import Contract
from robot.control.rules import Stop
from robot.errors import UnknownName

KEEP = 64  # samples kept per proprioceptive stream, to find the one nearest to the images: 60 ms at 1 kHz
FUTURE_MS = 10.0  # a stamp this far ahead is another clock (two machines synchronised by NTP stay within a few ms)
OTHER_CLOCK_MS = 1000.0  # a message this much older than its arrival is another clock rather than a slow sensor


class StampClock(Protocol):
    """The parts of ``robot.control.timing.Clock`` used here."""

    now_ns: Callable[[], int]

    def steady(self) -> float: ...

    def notify(self) -> None: ...


@dataclass(frozen=True, eq=False)
class Sample:
    value: np.ndarray
    stamp_ns: int
    received_s: float  # steady clock
    number: int  # counts the messages of its stream


@dataclass(frozen=True, eq=False)
class ObservationSet:
    """A complete observation: images ``(H, W, C)`` uint8 and proprioception ``(n,)`` float32, by name."""

    values: dict[str, np.ndarray]  # what a policy sees
    measured: dict[str, np.ndarray]  # the proprioception as it came, float64: what actions count from
    stamp_ns: int  # of its oldest part
    age_ms: float  # of its oldest part, when it was put together


class Mailbox:
    """Newest samples of each stream of a contract. ``count(rule)`` is told of each dropped message.

    ``beside``: proprioception that the limits need and the policy does not see, name -> size.
    """

    def __init__(
        self,
        contract: Contract,
        clock: StampClock,
        max_age_ms: float,
        count: Callable[[str], None] = lambda rule: None,
        beside: Mapping[str, int] | None = None,
    ) -> None:
        self._clock, self._max_age_ms, self._count = clock, max_age_ms, count
        self._period_ms = 1e3 * contract.period_s
        self._shapes: dict[str, tuple[int, ...]] = {c.name: c.shape for c in contract.cameras}
        self._shapes.update({p.name: (p.size,) for p in contract.proprio})
        self._seen = list(self._shapes)
        self._shapes.update({name: (size,) for name, size in (beside or {}).items()})
        self._proprio = [name for name, shape in self._shapes.items() if len(shape) == 1]
        # images pace the loop and proprioception is matched to them; without cameras every stream paces it
        self._leading = [c.name for c in contract.cameras] or [p.name for p in contract.proprio]
        self._samples: dict[str, deque[Sample]] = {
            name: deque(maxlen=1 if name in self._leading else KEEP) for name in self._shapes
        }
        self._numbers = dict.fromkeys(self._shapes, 0)  # messages received
        self._used = dict.fromkeys(self._leading, 0)  # message number of the last set looked at
        self._faults: dict[str, Stop] = {}
        self._lock = threading.Lock()
        self.trouble: Stop | None = Stop("missing_stream", "nothing was received yet")  # with what came last
        self.last: ObservationSet | None = None  # the newest that was put together without a Stop
        # of the last complete set that ``newest`` looked at, good or not:
        self.arrival_s = 0.0  # steady clock, when its last image arrived
        self.steps = 0  # messages since the set before, of the stream that sent most: 1 for sensors at the control rate

    # ------------------------------------------------------------------- put
    def put_image(self, name: str, array: np.ndarray, stamp_ns: int) -> None:
        """An image ``(H, W, C)`` uint8 with the stamp of its exposure."""
        self._put(name, array, np.dtype(np.uint8), stamp_ns)

    def put_proprio(self, name: str, value: np.ndarray, stamp_ns: int) -> None:
        """A proprioceptive vector ``(n,)``."""
        self._put(name, np.asarray(value, np.float64), np.dtype(np.float64), stamp_ns)

    def fault(self, name: str, words: str, rule: str = "wrong_shape") -> None:
        """A stream sent something unusable; the next good message of that stream ends the fault."""
        with self._lock:
            self._faults[name] = Stop(rule, words)

    def _put(self, name: str, value: np.ndarray, dtype: np.dtype, stamp_ns: int) -> None:
        if name not in self._shapes:
            raise UnknownName("observation stream", name, self._shapes)
        if value.shape != self._shapes[name] or value.dtype != dtype:
            wanted = f"{self._shapes[name]} {dtype.name}"
            self.fault(
                name, f"{name!r} must be {wanted}, got {value.shape} {value.dtype.name}; set the sensor to that size"
            )
            return
        with self._lock:
            self._faults.pop(name, None)
            samples = self._samples[name]
            behind_ms = (samples[-1].stamp_ns - stamp_ns) * 1e-6 if samples else -1.0
            if 0 <= behind_ms <= OTHER_CLOCK_MS:  # a repeat or a late one; further back, the publisher's clock was set
                self._count("out_of_order")
                return
            self._numbers[name] += 1
            samples.append(Sample(value, int(stamp_ns), self._clock.steady(), self._numbers[name]))
        self._clock.notify()

    # ------------------------------------------------------------------ take
    @property
    def silent(self) -> list[str]:
        """The streams that have not sent anything yet, neither good nor unusable."""
        with self._lock:
            return [name for name, samples in self._samples.items() if not samples and name not in self._faults]

    @property
    def fresh(self) -> bool:
        """Is there a complete set whose every image is newer than those of the last set looked at?"""
        with self._lock:
            return self._is_fresh()

    def _is_fresh(self) -> bool:
        if self._faults or not all(self._samples.values()):
            return False
        if any(self._samples[name][-1].number <= self._used[name] for name in self._leading):
            return False
        chosen = self._choose()
        reference = min(chosen[name].stamp_ns for name in self._leading)
        return all(abs(sample.stamp_ns - reference) * 1e-6 <= self._period_ms / 2 for sample in chosen.values())

    def _choose(self) -> dict[str, Sample]:
        """Newest images, and of each other stream the sample whose stamp is nearest to the oldest of them."""
        reference = min(self._samples[name][-1].stamp_ns for name in self._leading)
        return {
            name: samples[-1] if name in self._leading else min(samples, key=lambda s: abs(s.stamp_ns - reference))
            for name, samples in self._samples.items()
        }

    def newest(self) -> ObservationSet | Stop:
        """The newest complete observation, or the rule that forbids using it."""
        found = self._newest()
        if not (isinstance(found, Stop) and found.rule == "repeated_observation"):
            self.trouble = found if isinstance(found, Stop) else None
        return found

    def _newest(self) -> ObservationSet | Stop:
        with self._lock:
            if self._faults:
                stops = list(self._faults.values())
                return Stop(stops[0].rule, "; ".join(stop.words for stop in stops))
            missing = [name for name, samples in self._samples.items() if not samples]
            if missing:
                return Stop("missing_stream", f"nothing received yet from: {', '.join(missing)}")
            new = any(self._samples[name][-1].number > self._used[name] for name in self._leading)
            complete, chosen = self._is_fresh(), self._choose()
            if complete:
                self.arrival_s = max(chosen[name].received_s for name in self._leading)
                self.steps = max(chosen[name].number - self._used[name] for name in self._leading)
                self._used = {name: self._samples[name][-1].number for name in self._leading}
        stop = self._check_ages(chosen) or self._check_skew(chosen)
        if stop:
            return stop
        if not complete:
            words = "only some streams sent something new" if new else "no stream sent anything new"
            return Stop("repeated_observation", f"{words} since the last tick")
        stamp_ns = min(sample.stamp_ns for sample in chosen.values())
        values = {name: sample.value for name, sample in chosen.items()}
        measured = {name: values[name] for name in self._proprio}
        self.last = ObservationSet(
            values={name: values[name].astype(np.float32) if name in measured else values[name] for name in self._seen},
            measured=measured,
            stamp_ns=stamp_ns,
            age_ms=(self._clock.now_ns() - stamp_ns) * 1e-6,
        )
        return self.last

    def _check_ages(self, chosen: dict[str, Sample]) -> Stop | None:
        now_ns, now_s = self._clock.now_ns(), self._clock.steady()
        for name, sample in chosen.items():
            age_ms, since_ms = (now_ns - sample.stamp_ns) * 1e-6, (now_s - sample.received_s) * 1e3
            offset_ms = age_ms - since_ms  # age on arrival, if no clock was set in between
            if offset_ms < -FUTURE_MS or offset_ms > OTHER_CLOCK_MS:
                side = "before" if offset_ms > 0 else "after"
                words = f"{name!r} carries a stamp {abs(offset_ms):.0f} ms {side} its arrival"
                return Stop("clock_domain", f"{words}: synchronise the clocks, or check use_sim_time on both sides")
            if age_ms > self._max_age_ms:
                words = f"{name!r} is {age_ms:.0f} ms old and arrived {since_ms:.0f} ms ago"
                return Stop("stale_observation", f"{words}; the limit is {self._max_age_ms:g} ms")
        return None

    def _check_skew(self, chosen: dict[str, Sample]) -> Stop | None:
        oldest, newest = (f(chosen, key=lambda name: chosen[name].stamp_ns) for f in (min, max))
        skew_ms = (chosen[newest].stamp_ns - chosen[oldest].stamp_ns) * 1e-6
        if skew_ms <= self._period_ms:
            return None
        return Stop(
            "skew",
            f"{oldest!r} is {skew_ms:.0f} ms older than {newest!r}; the limit is one period, {self._period_ms:g} ms",
        )
