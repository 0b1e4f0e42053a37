"""Whether a camera still sees: a dark picture, or one that stays the same while the arm moves, is no observation."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

DARK = 8  # of 255: a picture without any brighter value shows nothing; sensors' own noise in the dark stays below
MOVED_M, MOVED_RAD = 0.003, 0.015  # between two pictures of a camera that sees the arm, or is carried by it
TIMES = 2  # pictures in a row that stay the same while it moves: one may have come before the state that belongs to it


@dataclass
class _Seen:
    sum: int  # of the last picture
    measured: dict[str, np.ndarray]  # when it came last
    moved: int = 0  # pictures in a row that were the same although the arm had moved
    frozen: bool = False


class Pictures:
    """``check`` each picture of each camera, in the order in which they come.

    The noise of a sensor makes each of its pictures another one. A camera that sends one twice while the arm stands is
    drawn by a simulator: the arm may move out of its sight, and that it froze cannot be told.
    """

    def __init__(self) -> None:
        self._seen: dict[str, _Seen] = {}
        self._drawn: set[str] = set()

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
            self._seen[camera] = _Seen(found, dict(measured))
            return None
        if not seen.frozen:
            self._same_again(camera, seen, measured)
        if not seen.frozen:
            return None
        return "frozen_picture", f"{camera!r} sends one picture again and again, and the arm was moving"

    def _same_again(self, camera: str, seen: _Seen, measured: dict[str, np.ndarray]) -> None:
        moved = _moved(seen.measured, measured)
        if not moved:
            self._drawn.add(camera)
        seen.moved = seen.moved + 1 if moved else 0
        seen.measured = dict(measured)
        seen.frozen = seen.moved >= TIMES and camera not in self._drawn


def _moved(before: dict[str, np.ndarray], now: dict[str, np.ndarray]) -> bool:
    return any(
        name in before and name in now and float(np.abs(now[name] - before[name]).max()) > bound
        for name, bound in (("eef_pos", MOVED_M), ("joint_pos", MOVED_RAD))
    )
