"""Filters that say where an arm may be: the box of its end effector, and the range of each joint."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from robot.actions import Reference, Target
from robot.control.limits.base import Context
from robot.control.rules import Stop


@dataclass
class Box:
    """Positions are clipped into the workspace; an arm further outside than ``outside_m`` is not moved at all."""

    low: np.ndarray  # (3,) m
    high: np.ndarray  # (3,) m
    outside_m: float
    name: str = "box"
    count: int = 0

    def apply(self, target: Target, context: Context) -> Target | Stop:
        measured = context.measured.position
        assert measured is not None and target.position is not None
        outside = float(np.linalg.norm(measured - np.clip(measured, self.low, self.high)))
        if outside > self.outside_m:
            self.count += 1
            where = np.round(measured, 3).tolist()
            box = f"{self.low.tolist()} to {self.high.tolist()}"
            return Stop(
                self.name, f"the arm is at {where} m, {outside:.3f} m outside its workspace {box}: bring it back first"
            )
        position = np.clip(target.position, self.low, self.high)
        if np.array_equal(position, target.position):
            return target
        self.count += 1
        return target.replace(position=position)

    def contain(self, target: Target, measured: Reference) -> Target:
        assert target.position is not None and measured.position is not None
        low, high = np.minimum(self.low, measured.position), np.maximum(self.high, measured.position)
        return target.replace(position=np.clip(target.position, low, high))


@dataclass
class JointRange:
    """Every joint keeps ``margin`` away from its limits.

    Joint positions are clipped. A velocity is cut where it would lead over the margin within one control period; a
    joint that stands beyond it may only come back. An arm with a joint further outside its limits than ``outside`` is
    not moved at all: then the limits, or the order or the unit of the joints, are probably not the arm's.
    """

    low: np.ndarray  # (J,) rad
    high: np.ndarray  # (J,) rad
    margin: float  # rad
    outside: float  # rad
    period_s: float
    name: str = "joint_range"
    count: int = 0

    def apply(self, target: Target, context: Context) -> Target | Stop:
        measured = context.measured.joint_positions
        assert measured is not None
        beyond = np.maximum(self.low - measured, measured - self.high)
        if beyond.max() > self.outside:
            self.count += 1
            joint = int(np.argmax(beyond))
            limits = f"{self.low[joint]:g} to {self.high[joint]:g} rad"
            return Stop(
                self.name,
                f"joint {joint + 1} of the arm is at {measured[joint]:.3f} rad, outside its limits {limits}: bring it "
                f"back first",
            )
        low, high = self.low + self.margin, self.high - self.margin
        if target.joint_positions is not None:
            return self._clipped(target, "joint_positions", target.joint_positions, low, high)
        assert target.joint_velocities is not None
        slowest = np.minimum((low - measured) / self.period_s, 0.0)
        fastest = np.maximum((high - measured) / self.period_s, 0.0)
        return self._clipped(target, "joint_velocities", target.joint_velocities, slowest, fastest)

    def _clipped(self, target: Target, field: str, values: np.ndarray, low: np.ndarray, high: np.ndarray) -> Target:
        clipped = np.clip(values, low, high)
        if np.array_equal(clipped, values):
            return target
        self.count += 1
        return target.replace(**{field: clipped})
