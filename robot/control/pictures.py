"""Whether a camera still sees: a dark picture, or one that stays the same while the arm moves, is no observation."""

from __future__ import annotations

import zlib
from collections import Counter
from dataclasses import dataclass

import numpy as np

DARK = 8  # of 255: a picture without any brighter value shows nothing; sensors' own noise in the dark stays below
MOVED_M, MOVED_RAD = 0.01, 0.05  # over all pictures that stayed the same: a camera that sees the arm shows that
STOOD = (2e-4, 1e-3)  # m and rad, from one picture to the next: then what changed is the sensor's noise
TIMES = 3  # pictures in a row that stay the same, at least


@dataclass
class _Seen:
    sum: int  # of the last picture
    at: dict[str, np.ndarray]  # measured when it came
    times: int = 1  # in a row that it came
    measured: dict[str, np.ndarray] | None = None  # when it came the second time: the first may come before its state
    frozen: bool = False


class Pictures:
    """``check`` each picture of each camera, in the order in which they come.

    The noise of a sensor makes each of its pictures another one. A simulator draws the same picture again while nothing
    moves, and also while the arm moves out of its sight: that such a camera froze cannot be told.

    Args:
        simulated: a camera that repeats a picture while the arm stands is drawn, and left alone from then on; unless
            its pictures had differed while the arm stood, as those of a sensor do.
    """

    def __init__(self, simulated: bool = False) -> None:
        self._simulated = simulated
        self._seen: dict[str, _Seen] = {}
        self._drawn: set[str] = set()
        self._noise: Counter[str] = Counter()  # pictures in a row that differed while the arm stood

    def check(self, camera: str, pixels: np.ndarray, measured: dict[str, np.ndarray]) -> tuple[str, str] | None:
        """The rule that forbids using ``pixels`` and why; None if they may be used.

        A frozen camera stays so until its picture changes: the arm is held then, and a picture that is the same while
        the arm stands tells nothing.

        Args:
            pixels: ``(H, W, C)`` uint8.
            measured: newest ``eef_pos`` (m) and ``joint_pos`` (rad), as far as they are known.
        """
        if int(pixels.max(initial=0)) <= DARK:
            return "dark_picture", f"{camera!r} shows nothing: no value above {DARK} of 255; is its cover on?"
        found, seen = zlib.crc32(pixels.tobytes()), self._seen.get(camera)
        if seen is None or found != seen.sum:
            stood = seen is not None and seen.at.keys() & measured.keys() and not _moved(seen.at, measured, *STOOD)
            self._noise[camera] += bool(stood)
            self._seen[camera] = _Seen(found, dict(measured))
            return None
        seen.times += 1
        noisy = self._noise[camera] >= TIMES
        self._noise[camera] = self._noise[camera] if noisy else 0
        if seen.measured is None:
            seen.measured = dict(measured)
        moved = _moved(seen.measured, measured)
        if self._simulated and seen.times >= TIMES and not moved and not noisy:
            self._drawn.add(camera)
        seen.frozen = seen.frozen or (moved and seen.times >= TIMES and camera not in self._drawn)
        if not seen.frozen:
            return None
        return "frozen_picture", f"{camera!r} sends one picture again and again, and the arm was moving"


def _moved(
    before: dict[str, np.ndarray], now: dict[str, np.ndarray], metres: float = MOVED_M, radians: float = MOVED_RAD
) -> bool:
    return any(
        name in before and name in now and float(np.abs(now[name] - before[name]).max()) > bound
        for name, bound in (("eef_pos", metres), ("joint_pos", radians))
    )
