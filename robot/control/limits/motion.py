"""Filters that shorten motion: how far from the arm, how fast, and by which share, for each quantity of a target."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from robot import rotations
from robot.actions import Reference, Target
from robot.control.limits.base import Context
from robot.control.rules import Stop

Distance = float | np.ndarray  # m or rad; of joints also one number for each


@dataclass(frozen=True)
class Quantity:
    """Something that a target sets and an arm measures, and the way from one value of it to another."""

    field: str  # of Target and of Reference
    share: Callable[
        [np.ndarray, np.ndarray, Distance], float
    ]  # of the way, that a distance covers; 1 or more is all of it
    part: Callable[[np.ndarray, np.ndarray, float], np.ndarray]  # the value after a share of the way

    def __deepcopy__(self, memo: object) -> Quantity:
        return self  # there is one of each

    def towards(self, start: np.ndarray, goal: np.ndarray, distance: Distance) -> np.ndarray:
        """``goal`` itself when it lies within ``distance`` of ``start``, else the value that far along the way."""
        share = self.share(start, goal, distance)
        return goal if share >= 1.0 else self.part(start, goal, share)


def _share_of_line(start: np.ndarray, goal: np.ndarray, distance: Distance) -> float:
    length = float(np.linalg.norm(goal - start))
    return 1.0 if length <= distance else float(distance / length)


def _share_of_turn(start: np.ndarray, goal: np.ndarray, distance: Distance) -> float:
    angle = rotations.angle_between(start, goal)
    return 1.0 if angle <= distance else float(distance / angle)


def _share_of_joints(start: np.ndarray, goal: np.ndarray, distance: Distance) -> float:
    """All joints keep the same share, so that the arm keeps its way:
    the joint with the longest one for its distance decides.
    """
    longest = float(np.max(np.abs(goal - start) / distance))
    return 1.0 if longest <= 1.0 else 1.0 / longest


def _part_of_line(start: np.ndarray, goal: np.ndarray, share: float) -> np.ndarray:
    return start + (goal - start) * share


POSITION = Quantity("position", _share_of_line, _part_of_line)
ROTATION = Quantity("rotation", _share_of_turn, rotations.part_of_turn)
JOINTS = Quantity("joint_positions", _share_of_joints, _part_of_line)


@dataclass
class Reach:
    """The target stays within ``distance`` of what is measured, its direction kept: what an arm that is blocked can
    press with is bounded (the idea of the reference clip in SERL's impedance controller)."""

    quantity: Quantity
    distance: Distance
    name: str
    count: int = 0

    def apply(self, target: Target, context: Context) -> Target | Stop:
        wanted, measured = getattr(target, self.quantity.field), getattr(context.measured, self.quantity.field)
        reached = self.quantity.towards(measured, wanted, self.distance)
        if reached is wanted:
            return target
        self.count += 1
        return target.replace(**{self.quantity.field: reached})

    def contain(self, target: Target, measured: Reference) -> Target:
        wanted, here = getattr(target, self.quantity.field), getattr(measured, self.quantity.field)
        return target.replace(**{self.quantity.field: self.quantity.towards(here, wanted, self.distance)})


@dataclass
class Speed:
    """Successive targets lie at most ``speed * period_s`` apart.

    The first target counts from what is measured; a last target beyond reach of the arm is first brought back to within
    reach (see the text of ``robot.control.limits``)."""

    quantity: Quantity
    speed: Distance  # per second
    reach: Distance
    period_s: float
    name: str
    count: int = 0

    def apply(self, target: Target, context: Context) -> Target | Stop:
        field = self.quantity.field
        wanted, start = getattr(target, field), getattr(context.measured, field)
        if context.previous is not None:
            start = self.quantity.towards(start, getattr(context.previous, field), self.reach)
        reached = self.quantity.towards(start, wanted, self.speed * self.period_s)
        if reached is wanted:
            return target
        self.count += 1
        return target.replace(**{field: reached})


@dataclass
class SpeedScale:
    """Every motion is shortened to ``scale`` times its length from what its action counts from; velocities are
    multiplied by it.
    """

    scale: float
    name: str = "speed_scale"
    count: int = 0

    def apply(self, target: Target, context: Context) -> Target | Stop:
        if self.scale == 1.0:
            return target
        self.count += 1
        changed, origin = {}, context.origin or context.measured
        for quantity in (POSITION, ROTATION, JOINTS):
            wanted = getattr(target, quantity.field)
            if wanted is not None:
                changed[quantity.field] = quantity.part(getattr(origin, quantity.field), wanted, self.scale)
        if target.joint_velocities is not None:
            changed["joint_velocities"] = self.scale * target.joint_velocities
        return target.replace(**changed)


@dataclass
class VelocityLimit:
    """No joint moves faster than its limit; all velocities are shortened together, so that the arm keeps its way."""

    speed: np.ndarray  # (J,) rad/s
    name: str = "joint_speed"
    count: int = 0

    def apply(self, target: Target, context: Context) -> Target | Stop:
        assert target.joint_velocities is not None
        share = _share_of_joints(np.zeros_like(self.speed), target.joint_velocities, self.speed)
        if share >= 1.0:
            return target
        self.count += 1
        return target.replace(joint_velocities=target.joint_velocities * share)
