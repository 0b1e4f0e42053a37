"""What goes wrong while an operator records, said within a second: afterwards nothing can be done about it.

A stream that died, a camera that is slower than the contract, cameras that are out of step, dark and frozen pictures
(by the rules of the control loop), two cameras that changed places, observations that are missing. While no episode is
open, what may come of a scene that is set up anew is said only if it lasts.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hardware.teleop.swapped import Known
from robot.contract import Contract
from robot.control.mailbox import OTHER_CLOCK_MS
from robot.control.pictures import Pictures
from robot.history import GAP

SILENT_S, SILENT_PERIODS = 0.5, 3.0  # without a word, whichever is longer: the stream died
FIRST_S = 3.0  # for a stream to begin
SLOWEST = 0.9  # of the contract's rate
SKEW = 0.5  # periods between two cameras
WINDOW_S = 1.0  # over which rates and skew are taken
FEWEST = 5  # messages, from which a rate or a skew is taken
CALM_S = 1.0  # without it, until something is over
BETWEEN_S = 2.0  # while no episode is open, until these are said: a simulated scene that is set up is silent for 1.5 s
PASSING = ("silent", "slow", "skew")


@dataclass
class _Stream:
    heard_s: float | None = None  # steady clock; None: never
    stamps_ns: deque[int] = field(default_factory=deque)  # of the newest messages
    fault: tuple[str, str] | None = None  # rule and words, of its last picture

    def rate_hz(self) -> float | None:
        """Of the last second; None until it is over."""
        count = len(self.stamps_ns)
        if count < 2 or count != self.stamps_ns.maxlen:
            return None
        return (count - 1) * 1e9 / (self.stamps_ns[-1] - self.stamps_ns[0])


@dataclass
class _Trouble:
    words: str
    since_s: float
    seen_s: float
    said: bool = False


class Watch:
    """Any thread may call it.

    Args:
        states: names of the proprioception that must come.
        steady: seconds of a clock that never jumps.
        say: takes a sentence for the operator.
        simulated: the pictures are drawn, see ``robot.control.pictures``.
        known: first pictures of earlier episodes.
    """

    def __init__(
        self,
        contract: Contract,
        states: set[str],
        steady: Callable[[], float],
        say: Callable[[str], None],
        simulated: bool = False,
        known: Known | None = None,
    ) -> None:
        self._contract, self._steady, self._say = contract, steady, say
        self._period_s = contract.period_s
        self._silent_s = max(SILENT_S, SILENT_PERIODS * contract.period_s)
        self._cameras = [camera.name for camera in contract.cameras]
        self._kept = max(FEWEST, round(WINDOW_S * contract.rate_hz)) + 1  # messages
        names = [*self._cameras, *sorted(states)]
        self._streams = {name: _Stream(stamps_ns=deque(maxlen=self._kept)) for name in names}
        self._pictures, self._known = Pictures(simulated), known or Known()
        self._measured: dict[str, np.ndarray] = {}
        self._first: dict[str, np.ndarray] = {}  # picture of each camera, until all have sent one
        self._swapped: list[tuple[str, str]] = []
        self._skews: deque[tuple[float, float]] = deque()  # steady s, s between the newest pictures
        self._began_s = steady()
        self._troubles: dict[tuple[str, str], _Trouble] = {}  # rule and stream -> what goes wrong now
        self._lock = threading.Lock()
        self._open = False
        self._clear()

    def _clear(self) -> None:
        """Of the open episode."""
        self._steps, self._moved_s, self._gaps = 0, 0.0, 0
        self._gap: tuple[float, str] | None = None  # steady s and words of the last one
        self._passed_s: deque[float] = deque(maxlen=self._kept - 1)  # between the newest observations, without gaps
        self._stepped_s = -math.inf  # steady clock, of the last step
        self._seen: set[str] = set()  # troubles, as its provenance names them

    # ----------------------------------------------------------------------------------------------------------- heard
    def put_image(self, camera: str, pixels: np.ndarray, stamp_ns: int) -> None:
        """``(H, W, C)`` uint8 at the contract's size."""
        with self._lock:
            if not self._hear(camera, stamp_ns):
                return
            self._streams[camera].fault = self._pictures.check(camera, pixels, self._measured)
            self._note_skew()
            if self._first.keys() != set(self._cameras):
                self._first[camera] = pixels
                if self._first.keys() == set(self._cameras):
                    self._swapped = self._known.swapped(self._first)

    def put_state(self, name: str, value: np.ndarray, stamp_ns: int) -> None:
        with self._lock:
            if self._hear(name, stamp_ns):
                self._measured[name] = np.asarray(value)

    def _hear(self, name: str, stamp_ns: int) -> bool:
        """Whether it is new: what a stream repeats is left aside, as the mailbox does."""
        stream = self._streams[name]
        if stream.stamps_ns:
            later_ms = (stamp_ns - stream.stamps_ns[-1]) * 1e-6
            if -OTHER_CLOCK_MS <= later_ms <= 0:
                return False
            if not 0 < later_ms <= 1e3 * self._silent_s:
                stream.stamps_ns.clear()  # after a silence, or a clock that was set, the rate counts anew
        stream.heard_s = self._steady()
        stream.stamps_ns.append(stamp_ns)
        return True

    def _note_skew(self) -> None:
        newest = [self._streams[name].stamps_ns[-1] for name in self._cameras if self._streams[name].stamps_ns]
        if len(newest) == len(self._cameras) > 1:
            now_s = self._steady()
            self._skews.append((now_s, (max(newest) - min(newest)) * 1e-9))
            while now_s - self._skews[0][0] > WINDOW_S:
                self._skews.popleft()

    # --------------------------------------------------------------------------------------------------------- episode
    def begin(self, observation: Mapping[str, np.ndarray]) -> None:
        """An episode begins with this."""
        with self._lock:
            self._clear()
            self._open = True
            self._swapped = self._known.swapped({name: observation[name] for name in self._cameras})

    def step(self, passed_s: float) -> None:
        """Two observations of one motion, so far apart."""
        with self._lock:
            self._steps, self._moved_s = self._steps + 1, self._moved_s + passed_s
            self._stepped_s = self._steady()
            if passed_s > GAP * self._period_s:
                self._gaps += 1
                words = f"observations are missing: {passed_s:.2f} s between two, wanted {self._period_s:.2f}"
                self._gap = self._steady(), words
            else:
                self._passed_s.append(passed_s)

    def end(self) -> dict[str, Any]:
        """What the episode's provenance says of it."""
        with self._lock:
            rate = {"rate_hz": round(self._steps / self._moved_s, 2)} if self._moved_s > 0 else {}
            seen = {"troubles": sorted(self._seen)} if self._seen else {}
            found = {"gaps": self._gaps, **rate, **seen}
            self._open = False
            self._clear()
        return found

    def know(self, observation: Mapping[str, np.ndarray]) -> None:
        """The first observation of an episode that was kept: later ones are compared with it."""
        with self._lock:
            self._known.add({name: observation[name] for name in self._cameras})

    # ------------------------------------------------------------------------------------------------------------ tick
    def tick(self) -> None:
        """Say what went wrong since the last time, and what is over; call it several times a second."""
        with self._lock:
            now_s = self._steady()
            found = self._look(now_s)
            words = []
            for key, said in found.items():
                trouble = self._troubles.setdefault(key, _Trouble(said, now_s, now_s))
                trouble.seen_s = now_s
                waits = key[0] in PASSING and not self._open and now_s - trouble.since_s < BETWEEN_S
                if not trouble.said and not waits:
                    trouble.said = True
                    words.append(f"LOOK: {trouble.words}")
            over = [key for key, trouble in self._troubles.items() if now_s - trouble.seen_s > CALM_S]
            past = {key: self._troubles.pop(key) for key in over}
            words += [f"over: {trouble.words}" for key, trouble in past.items() if trouble.said and key[0] != "gap"]
            if self._open:
                self._seen |= {
                    f"{rule} {stream}".strip() for rule, stream in found if rule != "gap"
                }  # those are counted
        for sentence in words:
            self._say(sentence)

    def _look(self, now_s: float) -> dict[tuple[str, str], str]:
        """What is wrong now: rule and stream -> words."""
        found: dict[tuple[str, str], str] = {}
        for name, stream in self._streams.items():
            if stream.heard_s is None:
                if now_s - self._began_s > max(FIRST_S, self._silent_s):
                    found["absent", name] = f"{name!r} has sent nothing yet: is it running?"
            elif now_s - stream.heard_s > self._silent_s:
                found["silent", name] = f"{name!r} has sent nothing new for {self._silent_s:.1f} s: is it unplugged?"
            elif stream.fault is not None:
                found[stream.fault[0], name] = stream.fault[1]
        return {**found, **self._look_at_time(now_s, {name for rule, name in found if rule in ("absent", "silent")})}

    def _look_at_time(self, now_s: float, silent: set[str]) -> dict[tuple[str, str], str]:
        """Rates, skew and gaps, and cameras that changed places."""
        found: dict[tuple[str, str], str] = {}
        for name in self._cameras:
            rate = self._streams[name].rate_hz()
            if name not in silent and rate is not None and rate < SLOWEST * self._contract.rate_hz:
                words = f"{name!r} sends {rate:.1f} pictures a second; the contract wants {self._contract.rate_hz:g}"
                found["slow", name] = words
        if not silent & set(self._cameras) and len(self._skews) >= FEWEST and self.skew_s > SKEW * self._period_s:
            names, apart = ", ".join(map(repr, self._cameras)), f"{1e3 * self.skew_s:.0f} ms"
            found["skew", ""] = f"the pictures of {names} are {apart} apart: one of the cameras lags behind"
        count = len(self._passed_s)
        rate = count / sum(self._passed_s) if count and count == self._passed_s.maxlen else math.inf
        moving = now_s - self._stepped_s <= self._silent_s
        if not found and not silent and moving and rate < SLOWEST * self._contract.rate_hz:
            words = f"{rate:.1f} observations a second are recorded; the contract wants {self._contract.rate_hz:g}"
            found["rate", ""] = words
        for one, other in self._swapped:
            found["swapped", f"{one} {other}"] = (
                f"{one!r} and {other!r} show what the other one showed in earlier episodes: are they swapped?"
            )
        if self._gap is not None and now_s - self._gap[0] <= CALM_S:
            found["gap", ""] = self._gap[1]
        return found

    @property
    def skew_s(self) -> float:
        """Between the newest pictures of all cameras, at the best moment of the last second; nan where there is one."""
        return min((skew for _, skew in self._skews), default=math.nan)

    def report(self) -> dict[str, Any]:
        """Plain values: what is wrong now, in sentences, and what each camera sends."""
        with self._lock:
            rates = {name: self._streams[name].rate_hz() for name in self._cameras}
            return {
                "troubles": [trouble.words for trouble in self._troubles.values()],
                "camera_hz": {name: None if rate is None else round(rate, 1) for name, rate in rates.items()},
                "skew_ms": round(1e3 * self.skew_s, 1) if self._skews else None,
                "gaps": self._gaps,
            }
