"""Whether a camera still sees: a dark picture, or one that stays the same while the arm moves, is no observation."""

from __future__ import annotations

import zlib

import numpy as np

DARK = 8  # of 255: a picture without any brighter value shows nothing; sensors' own noise in the dark stays below
MOVED_M, MOVED_RAD = 0.01, 0.05  # by so much the arm moved, and a picture in which it stands or that it carries did not


class Pictures:
    """``check`` each picture of each camera, in the order in which they come."""

    def __init__(self) -> None:
        self._sums: dict[str, int] = {}  # camera -> of its last picture
        self._where: dict[str, dict[str, np.ndarray]] = {}  # camera -> what was measured when that one came first

    def check(self, camera: str, pixels: np.ndarray, measured: dict[str, np.ndarray]) -> tuple[str, str] | None:
        """The rule that forbids using ``pixels`` and why; None if they may be used.

        Args:
            pixels: ``(H, W, C)`` uint8.
            measured: newest ``eef_pos`` (m) and ``joint_pos`` (rad), as far as they are known.
        """
        if int(pixels.max(initial=0)) <= DARK:
            return "dark_picture", f"{camera!r} shows nothing: no value above {DARK} of 255; is its cover on?"
        found = zlib.crc32(pixels.tobytes())
        if found != self._sums.get(camera):
            self._sums[camera], self._where[camera] = found, dict(measured)
            return None
        before = self._where[camera]
        for name, bound, unit in (("eef_pos", MOVED_M, "m"), ("joint_pos", MOVED_RAD, "rad")):
            if name in measured and name in before:
                moved = float(np.abs(measured[name] - before[name]).max())
                if moved > bound:
                    words = f"{camera!r} sends one picture again and again, and the arm has moved by {moved:.3f} {unit}"
                    return "frozen_picture", words
        return None
