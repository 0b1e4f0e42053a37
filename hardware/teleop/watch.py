"""What goes wrong while an operator records, said within a second: afterwards nothing can be done about it.

A stream that died, a camera that is slower than the contract, cameras that are out of step, dark and frozen pictures
(by the rules of the control loop), two cameras that changed places, observations that are missing.
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

SILENT_S, SILENT_PERIODS = 0.5, 3.0  # without a word, whichever is longer: the stream died
FIRST_S = 3.0  # for a stream to begin
SLOWEST = 0.9  # of the contract's rate
GAP = 1.5  # periods between two observations in a motion
SKEW = 0.5  # periods between two cameras
WINDOW_S = 1.0  # over which rates and skew are taken
FEWEST = 5  # messages, from which a rate or a skew is taken
CALM_S = 1.0  # without it, until something is over


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
    seen_s: float


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
        kept = max(FEWEST, round(WINDOW_S * contract.rate_hz)) + 1
        self._streams = {name: _Stream(stamps_ns=deque(maxlen=kept)) for name in [*self._cameras, *sorted(states)]}
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
            if passed_s > GAP * self._period_s:
                self._gaps += 1
                words = f"observations are missing: {passed_s:.2f} s between two, wanted {self._period_s:.2f}"
                self._gap = self._steady(), words

    def end(self) -> dict[str, Any]:
        """What the episode's provenance says of it."""
        with self._lock:
            rate = {"achieved_hz": round(self._steps / self._moved_s, 2)} if self._moved_s > 0 else {}
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
            words = [f"LOOK: {found[key]}" for key in found if key not in self._troubles]
            for key, said in found.items():  # in the words in which it was said first
                self._troubles.setdefault(key, _Trouble(said, now_s)).seen_s = now_s
            over = [key for key, trouble in self._troubles.items() if now_s - trouble.seen_s > CALM_S]
            words += [f"over: {self._troubles.pop(key).words}" for key in over]
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
            if silence := self._silence(stream, now_s):
                found["silent", name] = f"{name!r} {silence}"
            elif stream.fault is not None:
                found[stream.fault[0], name] = stream.fault[1]
        silent = {name for rule, name in found if rule == "silent"}
        for name in self._cameras:
            rate = self._streams[name].rate_hz()
            if name not in silent and rate is not None and rate < SLOWEST * self._contract.rate_hz:
                words = f"{name!r} sends {rate:.1f} pictures a second; the contract wants {self._contract.rate_hz:g}"
                found["slow", name] = words
        if not silent & set(self._cameras) and len(self._skews) >= FEWEST and self.skew_s > SKEW * self._period_s:
            names, apart = ", ".join(map(repr, self._cameras)), f"{1e3 * self.skew_s:.0f} ms"
            found["skew", ""] = f"the pictures of {names} are {apart} apart: one of the cameras lags behind"
        for one, other in self._swapped:
            found["swapped", f"{one} {other}"] = (
                f"{one!r} and {other!r} show what the other one showed in earlier episodes: are they swapped?"
            )
        if self._gap is not None and now_s - self._gap[0] <= CALM_S:
            found["gap", ""] = self._gap[1]
        return found

    def _silence(self, stream: _Stream, now_s: float) -> str:
        if stream.heard_s is None:
            return "has sent nothing yet" if now_s - self._began_s > max(FIRST_S, self._silent_s) else ""
        silent_s = now_s - stream.heard_s
        return f"has sent nothing new for {self._silent_s:.1f} s: is it unplugged?" if silent_s > self._silent_s else ""

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
