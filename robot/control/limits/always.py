"""Filters for every kind of target: what is no target at all, who may move the arm, and what comes too late."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from robot.actions import Reference, Target
from robot.control.limits.base import Context
from robot.control.rules import Stop


@dataclass
class Finite:
    """A policy that outputs nan or infinity is not obeyed."""

    name: str = "finite"
    count: int = 0

    def apply(self, target: Target, context: Context) -> Target | Stop:
        wanted, measured = _numbers(target), _numbers(context.measured)
        if np.isfinite(wanted).all() and np.isfinite(measured).all():
            return target
        self.count += 1
        what = (
            f"the measured state {measured.tolist()}" if np.isfinite(wanted).all() else f"the target {wanted.tolist()}"
        )
        return Stop(self.name, f"{what} is not finite")


def _numbers(of: Target | Reference) -> np.ndarray:
    return np.concatenate([np.ravel(v).astype(np.float64) for v in vars(of).values() if v is not None] or [np.empty(0)])


@dataclass
class Length:
    """What a target sets, and what it is compared with, has the expected number of entries."""

    target: Mapping[str, tuple[int, ...]]  # fields of Target -> shape
    measured: Mapping[str, tuple[int, ...]]  # fields of Reference -> shape
    name: str = "length"
    count: int = 0

    def apply(self, target: Target, context: Context) -> Target | Stop:
        for of, wanted, what in ((target, self.target, "target"), (context.measured, self.measured, "measured")):
            for field, shape in wanted.items():
                if np.shape(getattr(of, field)) != shape:
                    self.count += 1
                    got = np.shape(getattr(of, field))
                    return Stop(self.name, f"the {what} {field} must have the shape {shape}, got {got}")
        return target


@dataclass
class Enable:
    """Motion only while the deadman is held; released or silent means hold."""

    name: str = "enable"
    count: int = 0

    def apply(self, target: Target, context: Context) -> Target | Stop:
        if context.enabled:
            return target
        self.count += 1
        return Stop(self.name, "the enable button is released or silent")


@dataclass
class EmergencyStop:
    """Nothing moves while the emergency stop is set (the loop keeps it set until it is cleared on purpose)."""

    name: str = "estop"
    count: int = 0

    def apply(self, target: Target, context: Context) -> Target | Stop:
        if not context.estopped:
            return target
        self.count += 1
        return Stop(self.name, "the emergency stop is set")


@dataclass
class GripperRange:
    """The gripper command is clipped to [-1, 1]."""

    name: str = "gripper_range"
    count: int = 0

    def apply(self, target: Target, context: Context) -> Target | Stop:
        gripper = min(max(float(target.gripper), -1.0), 1.0)
        if gripper == target.gripper:
            return target
        self.count += 1
        return target.replace(gripper=gripper)


@dataclass
class Expiry:
    """A target that answers an observation older than ``expiry_s`` comes too late to be right."""

    expiry_s: float
    name: str = "expiry"
    count: int = 0

    def apply(self, target: Target, context: Context) -> Target | Stop:
        age_s = (context.now_ns - context.stamp_ns) * 1e-9
        if age_s <= self.expiry_s:
            return target
        self.count += 1
        return Stop(self.name, f"the command answers an observation {age_s:.3f} s old; the limit is {self.expiry_s} s")
