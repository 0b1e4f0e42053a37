"""Whether what is being recorded is worth it: its rate, gaps, dark and frozen pictures, streams that fell silent.

``check`` is for the loop, at its rate; it says what is wrong within a second, once, and when it is over. While no
episode is open it waits a little longer before it says anything: a scene that is set up anew is silent for a while.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from robot.contract import Contract
from robot.control.mailbox import StampClock
from robot.control.pictures import Pictures
from robot.history import GAP

SILENT_S, SILENT_PERIODS = 0.5, 2.5  # the longer of both: then a stream is silent
START_S = 3.0  # for streams to begin
CALM_S = 2.0  # while no episode is open, before trouble is said
WINDOW_S, WINDOW_PERIODS = 0.8, 4  # the longer of both: over which the rate is measured
SLOW, FAST_AGAIN = 0.9, 0.95  # of the contract's rate
BETWEEN_S = 1.0  # between two sentences on gaps


class Watch:
    """See the module text. Any thread may call it.

    Args:
        streams: cameras and proprioception that an observation needs.
        simulated: its cameras repeat pictures while nothing moves.
        say: takes a sentence for the operator.
    """

    def __init__(
        self, contract: Contract, streams: Iterable[str], simulated: bool, say: Callable[[str], None], clock: StampClock
    ) -> None:
        self.contract, self._say, self._clock = contract, say, clock
        self._pictures, self._measured = Pictures(simulated), dict[str, np.ndarray]()
        self._began_s = clock.steady()
        self._heard_s: dict[str, float | None] = dict.fromkeys(streams)
        self._silent_s = max(SILENT_S, SILENT_PERIODS * contract.period_s)
        self._stamps: deque[int] = deque()  # of the observations of the last moments
        self._trouble: dict[str, tuple[str, float]] = {}  # what -> words, since when
        self._said: set[str] = set()
        self._gap_s, self._gap_said_s = 0.0, -BETWEEN_S
        self._lock = threading.Lock()

    # ----------------------------------------------------------------------------------------------------------- heard
    def state(self, name: str, value: np.ndarray) -> None:
        """Measured proprioception came."""
        with self._lock:
            self._measured[name] = value
            self._hear(name)

    def picture(self, camera: str, pixels: np.ndarray) -> None:
        """``(H, W, 3)`` uint8, as it is recorded."""
        with self._lock:
            self._hear(camera)
            found = self._pictures.check(camera, pixels, dict(self._measured))
            self._set(f"picture {camera}", found[1] if found else "")

    def _hear(self, stream: str) -> None:
        if stream in self._heard_s:
            self._heard_s[stream] = self._clock.steady()

    def observation(self, stamp_ns: int, moving: bool) -> None:
        """A whole observation came, and was taken; ``moving``: a step of an episode leads to it."""
        with self._lock:
            period_s = self.contract.period_s
            if self._stamps and stamp_ns <= self._stamps[-1]:
                self._stamps.clear()  # a simulated clock began anew
            passed_s = (stamp_ns - self._stamps[-1]) * 1e-9 if self._stamps else 0.0
            if moving and passed_s > GAP * period_s:
                self._gap_s = max(self._gap_s, passed_s)
            self._stamps.append(stamp_ns)
            window_ns = 1e9 * max(WINDOW_S, WINDOW_PERIODS * period_s)
            while len(self._stamps) > 2 and stamp_ns - self._stamps[1] >= window_ns:
                self._stamps.popleft()
            if stamp_ns - self._stamps[0] >= window_ns:
                self._judge_rate()

    @property
    def rate_hz(self) -> float:
        """At which observations came in the last moments; 0.0: none did."""
        passed_s = (self._stamps[-1] - self._stamps[0]) * 1e-9 if len(self._stamps) > 1 else 0.0
        return (len(self._stamps) - 1) / passed_s if passed_s > 0 else 0.0

    def _judge_rate(self) -> None:
        wanted, got = self.contract.rate_hz, self.rate_hz
        if got < SLOW * wanted:
            self._set("rate", f"{got:.1f} observations a second come, and {wanted:g} are wanted")
        elif got >= FAST_AGAIN * wanted:
            self._set("rate", "")

    # ------------------------------------------------------------------------------------------------------------ said
    def check(self, episode: bool) -> None:
        """Say what began and what is over; ``episode``: one is open."""
        with self._lock:
            now_s, words = self._clock.steady(), []
            self._look_for_silence(now_s)
            if self._gap_s and now_s - self._gap_said_s >= BETWEEN_S:
                words.append(f"RECORDING: nothing came for {self._gap_s:.2f} s within the motion")
                self._gap_s, self._gap_said_s = 0.0, now_s
            for what, (sentence, since_s) in self._trouble.items():
                if what not in self._said and (episode or now_s - since_s >= CALM_S):
                    self._said.add(what)
                    words.append(f"RECORDING: {sentence}")
            over = self._said - self._trouble.keys()
            self._said -= over
            words += [f"recording: {what} is well again" for what in sorted(over)]
        for sentence in words:
            self._say(sentence)

    def _look_for_silence(self, now_s: float) -> None:
        for stream, heard_s in self._heard_s.items():
            if heard_s is None:
                missing = now_s - self._began_s > START_S
                self._set(f"stream {stream}", f"nothing has come from {stream} yet: is it running?" if missing else "")
                continue
            silent = now_s - heard_s > self._silent_s
            self._set(f"stream {stream}", f"{stream} has fallen silent" if silent else "")
            if silent:
                self._stamps.clear()  # the rate is not what is wrong
                self._set("rate", "")

    def _set(self, what: str, words: str) -> None:
        if not words:
            self._trouble.pop(what, None)
        elif what not in self._trouble:
            self._trouble[what] = words, self._clock.steady()
        else:
            self._trouble[what] = words, self._trouble[what][1]

    def report(self) -> dict[str, Any]:
        """Plain values: what is wrong now, and the achieved rate."""
        with self._lock:
            return {"trouble": [words for words, _ in self._trouble.values()], "rate_hz": round(self.rate_hz, 1)}
