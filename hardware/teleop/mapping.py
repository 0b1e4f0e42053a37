"""From an operator's inputs to the pose that the arm should go to.

A press latches: the target begins where the arm is, whatever was wanted before. Then the velocity is integrated, or the
target follows what was dragged at no more than that velocity. It stays in the profile's box and on a leash: near what
is measured, so that an arm that is blocked, or slow, is not wound up. The limits of the arbiter come after it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from hardware.teleop.input import BASE, FACING, TOOL, Input
from robot import rotations
from robot.actions import LEASH_M, LEASH_RAD
from robot.control.limits import LimitConfig
from robot.errors import PixelarmError

SPEED_M_S, TURN_SPEED_RAD_S = 0.15, 0.6
LONGEST_STEP_S = 0.05  # a process that slept does not leap


@dataclass(frozen=True, eq=False)
class Shape:
    """How far and how fast targets go. ``of`` keeps it within an arm's limits."""

    speed_m_s: float
    turn_speed_rad_s: float
    leash_m: float
    leash_rad: float
    box_low: np.ndarray  # (3,) m
    box_high: np.ndarray  # (3,) m

    @staticmethod
    def of(limits: LimitConfig, speed_m_s: float = SPEED_M_S, turn_speed_rad_s: float = TURN_SPEED_RAD_S) -> Shape:
        """The wanted speeds, or the limits' where these are lower."""
        if not (speed_m_s > 0 and turn_speed_rad_s > 0):
            raise PixelarmError(
                f"the speeds of an operator must be positive, got {speed_m_s} m/s and {turn_speed_rad_s} rad/s"
            )
        return Shape(
            min(speed_m_s, limits.max_speed_m_s * limits.speed_scale),
            min(turn_speed_rad_s, limits.max_turn_speed_rad_s * limits.speed_scale),
            min(LEASH_M, limits.max_reach_m),
            min(LEASH_RAD, limits.max_turn_rad),
            np.asarray(limits.box_low),
            np.asarray(limits.box_high),
        )


class Mapping:
    """See the module text. ``press`` first, then ``step`` while the device is held."""

    def __init__(self, shape: Shape, turns: bool = True) -> None:
        """``turns``: whether the arm follows rotations; else the target keeps the one that it had at the press."""
        self.shape, self.turns = shape, turns
        self.counts: Counter[str] = Counter({"leash": 0, "box": 0})  # steps in which each held the target back
        self.position, self.rotation = np.zeros(3), np.eye(3)
        self._start = np.zeros(3)

    def press(self, position: np.ndarray, rotation: np.ndarray) -> None:
        """The target is there, ``(3,)`` m and ``(3, 3)``; drags count from there."""
        self.position, self.rotation, self._start = position.copy(), rotation.copy(), position.copy()

    def step(self, given: Input, position: np.ndarray, rotation: np.ndarray, seconds: float) -> None:
        """Move the target for ``seconds``; ``position`` and ``rotation`` are measured."""
        seconds = min(max(seconds, 0.0), LONGEST_STEP_S)
        frame = self._frame(given.frame)
        wanted = self.position + frame @ self._way(given, frame, self.shape.speed_m_s * given.scale * seconds)
        self.position = self._near(self._inside(wanted), position)
        if self.turns and any(given.angular):
            turn = _within_one(given.angular) * self.shape.turn_speed_rad_s * given.scale * seconds
            self._turn(rotations.from_axis_angle(frame @ turn) @ self.rotation, rotation)

    def settle(self, position: np.ndarray) -> None:
        """The target's position is where the arm's joints really lead, ``(3,)`` m."""
        self.position = position.copy()

    def _frame(self, name: str) -> np.ndarray:
        return {BASE: np.eye(3), FACING: np.diag([-1.0, -1.0, 1.0]), TOOL: self.rotation}[name]

    def _way(self, given: Input, frame: np.ndarray, furthest: float) -> np.ndarray:
        """The step in the operator's frame."""
        if given.drag is None:
            return _within_one(given.linear) * furthest
        way = frame.T @ (self._start - self.position) + given.drag
        length = float(np.linalg.norm(way))
        return way if length <= furthest else way * (furthest / length)

    def _inside(self, wanted: np.ndarray) -> np.ndarray:
        inside = np.clip(wanted, self.shape.box_low, self.shape.box_high)
        self.counts["box"] += not np.array_equal(inside, wanted)
        return inside

    def _near(self, wanted: np.ndarray, measured: np.ndarray) -> np.ndarray:
        lead = wanted - measured
        length = float(np.linalg.norm(lead))
        if length <= self.shape.leash_m:
            return wanted
        self.counts["leash"] += 1
        return measured + lead * (self.shape.leash_m / length)

    def _turn(self, wanted: np.ndarray, measured: np.ndarray) -> None:
        angle = rotations.angle_between(measured, wanted)
        if angle > self.shape.leash_rad:
            self.counts["leash"] += 1
            wanted = rotations.part_of_turn(measured, wanted, self.shape.leash_rad / angle)
        self.rotation = wanted


def _within_one(shares: tuple[float, float, float]) -> np.ndarray:
    """``(3,)``, no longer than 1: two keys at once are no faster than one."""
    vector = np.array(shares)
    return vector / max(1.0, float(np.linalg.norm(vector)))
