"""Safety limits: a list of small filters that every command passes, on by default.

These are *software* limits; they lower the chance and the size of a mistake. They are no safety function: an
emergency stop that removes power, and whatever the arm's own controller enforces, must work without this program.

A filter takes a ``Command`` and what is known of the arm (``Context``) and returns the command, a changed command, or
a ``Stop``; each counts how often it acted. With ``m`` the measured position, ``p`` the last target and ``box`` the
workspace, the list of ``default_limits`` guarantees of every target ``t`` it lets through
(``tests/robot/control/test_limits.py``):

- ``t`` is finite and inside the box;
- ``|t - m| <= max_reach_m + distance(m, box)``, and the arm is at most ``max_reach_m`` outside its box;
- ``|t - p| <= max_speed_m_s * period_s + max(0, |p - m| - max_reach_m)``: a target moves no faster than the
  limit, except to come back to an arm that was carried away from it (by a hand, a reset or an obstacle), which only
  lowers the force.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from robot.errors import PixelarmError


@dataclass(frozen=True, eq=False)
class Command:
    """One target for the arm's own controller."""

    obs_stamp_ns: int  # stamp of the observation it answers
    position: np.ndarray  # (3,) m, base frame
    gripper: float  # -1 opens, +1 closes


@dataclass(frozen=True)
class Stop:
    """A refused command: the loop holds its last target."""

    rule: str
    words: str


@dataclass(frozen=True, eq=False)
class Context:
    """What is known when a command is checked."""

    measured: np.ndarray  # (3,) m, end-effector position of the observation, base frame
    previous: np.ndarray | None = None  # (3,) m, last published target; None before the first command
    now_ns: int = 0  # same clock as the observation stamps
    enabled: bool = True  # the deadman is held, or none is required
    estopped: bool = False


@dataclass(frozen=True)
class LimitConfig:
    """Numbers of one arm, in its base frame. The defaults suit a first run of an arm nobody has tried."""

    max_reach_m: float = 0.05  # furthest a target may lie from the measured position
    max_speed_m_s: float = 0.25  # distance between successive targets / control period
    speed_scale: float = 0.25  # in (0, 1]: shortens every motion
    box_low: tuple[float, float, float] = (0.3, -0.3, 0.02)  # m, workspace corner
    box_high: tuple[float, float, float] = (0.6, 0.3, 0.5)  # m, opposite corner
    expiry_s: float = 0.5  # a command that answers an older observation is refused

    def __post_init__(self) -> None:
        for name in ("box_low", "box_high"):
            object.__setattr__(self, name, tuple(float(v) for v in getattr(self, name)))
        for name in ("max_reach_m", "max_speed_m_s", "expiry_s"):
            if not 0 < float(getattr(self, name)) < float("inf"):
                raise PixelarmError(f"limit {name} must be positive and finite, got {getattr(self, name)}")
        if not 0 < self.speed_scale <= 1:
            raise PixelarmError(f"limit speed_scale must lie in (0, 1], got {self.speed_scale}")
        low, high = self.box_low, self.box_high
        if len(low) != 3 or len(high) != 3 or not all(a < b for a, b in zip(low, high)):
            raise PixelarmError(f"limit box needs three numbers each and box_low < box_high, got {low} and {high}")


class Limit(Protocol):
    """One filter of the list."""

    name: str
    count: int

    def apply(self, command: Command, context: Context) -> Command | Stop: ...


@dataclass
class Finite:
    """A policy that outputs nan or infinity is not obeyed."""

    name: str = "finite"
    count: int = 0

    def apply(self, command: Command, context: Context) -> Command | Stop:
        values = np.append(np.asarray(command.position, np.float64).ravel(), float(command.gripper))
        if np.isfinite(values).all() and np.isfinite(context.measured).all():
            return command
        self.count += 1
        return Stop(self.name, f"the command {values.tolist()} or the measured position is not finite")


@dataclass
class Length:
    """A target is three numbers."""

    name: str = "length"
    count: int = 0

    def apply(self, command: Command, context: Context) -> Command | Stop:
        if np.shape(command.position) == (3,) and np.shape(context.measured) == (3,):
            return command
        self.count += 1
        got = f"{np.shape(command.position)} and {np.shape(context.measured)}"
        return Stop(self.name, f"target and measured position must be three numbers each, got shapes {got}")


@dataclass
class Enable:
    """Motion only while the deadman is held; released or silent means hold."""

    name: str = "enable"
    count: int = 0

    def apply(self, command: Command, context: Context) -> Command | Stop:
        if context.enabled:
            return command
        self.count += 1
        return Stop(self.name, "the enable button is released or silent")


@dataclass
class EmergencyStop:
    """Nothing moves while the emergency stop is set (the loop keeps it set until it is cleared on purpose)."""

    name: str = "estop"
    count: int = 0

    def apply(self, command: Command, context: Context) -> Command | Stop:
        if not context.estopped:
            return command
        self.count += 1
        return Stop(self.name, "the emergency stop is set")


@dataclass
class GripperRange:
    """The gripper command is clipped to [-1, 1]."""

    name: str = "gripper_range"
    count: int = 0

    def apply(self, command: Command, context: Context) -> Command | Stop:
        gripper = min(max(float(command.gripper), -1.0), 1.0)
        if gripper == command.gripper:
            return command
        self.count += 1
        return dataclasses.replace(command, gripper=gripper)


@dataclass
class Reach:
    """The target stays within ``max_reach_m`` of the measured position, its direction kept: what an arm that is blocked
    can press with is bounded (the idea of the reference clip in SERL's impedance controller)."""

    max_reach_m: float
    name: str = "reach"
    count: int = 0

    def apply(self, command: Command, context: Context) -> Command | Stop:
        position = _towards(context.measured, command.position, self.max_reach_m)
        if position is command.position:
            return command
        self.count += 1
        return dataclasses.replace(command, position=position)


@dataclass
class SpeedScale:
    """Every motion is shortened to ``scale`` times its length from the measured position."""

    scale: float
    name: str = "speed_scale"
    count: int = 0

    def apply(self, command: Command, context: Context) -> Command | Stop:
        if self.scale == 1.0:
            return command
        self.count += 1
        return dataclasses.replace(
            command, position=context.measured + self.scale * (command.position - context.measured)
        )


@dataclass
class Speed:
    """Successive targets lie at most ``max_speed_m_s * period_s`` apart.

    The first target counts from the measured position;
    a last target beyond reach of the arm is first brought back to within reach (see the module text)."""

    max_speed_m_s: float
    max_reach_m: float
    period_s: float
    name: str = "speed"
    count: int = 0

    def apply(self, command: Command, context: Context) -> Command | Stop:
        start = context.measured
        if context.previous is not None:
            start = _towards(context.measured, context.previous, self.max_reach_m)
        position = _towards(start, command.position, self.max_speed_m_s * self.period_s)
        if position is command.position:
            return command
        self.count += 1
        return dataclasses.replace(command, position=position)


@dataclass
class Box:
    """Targets are clipped into the workspace; an arm further outside than ``margin_m`` is not moved at all."""

    low: np.ndarray  # (3,) m
    high: np.ndarray  # (3,) m
    margin_m: float
    name: str = "box"
    count: int = 0

    def apply(self, command: Command, context: Context) -> Command | Stop:
        outside = float(np.linalg.norm(context.measured - np.clip(context.measured, self.low, self.high)))
        if outside > self.margin_m:
            self.count += 1
            where = np.round(context.measured, 3).tolist()
            box = f"{self.low.tolist()} to {self.high.tolist()}"
            return Stop(
                self.name, f"the arm is at {where} m, {outside:.3f} m outside its workspace {box}: bring it back first"
            )
        position = np.clip(command.position, self.low, self.high)
        if np.array_equal(position, command.position):
            return command
        self.count += 1
        return dataclasses.replace(command, position=position)


@dataclass
class Expiry:
    """A command that answers an observation older than ``expiry_s`` comes too late to be right."""

    expiry_s: float
    name: str = "expiry"
    count: int = 0

    def apply(self, command: Command, context: Context) -> Command | Stop:
        age_s = (context.now_ns - command.obs_stamp_ns) * 1e-9
        if age_s <= self.expiry_s:
            return command
        self.count += 1
        return Stop(self.name, f"the command answers an observation {age_s:.3f} s old; the limit is {self.expiry_s} s")


@dataclass
class Limits:
    """The list, applied in order; the first ``Stop`` ends it."""

    filters: Sequence[Limit]

    def apply(self, command: Command, context: Context) -> Command | Stop:
        for limit in self.filters:
            verdict = limit.apply(command, context)
            if isinstance(verdict, Stop):
                return verdict
            command = verdict
        return command

    def counts(self) -> dict[str, int]:
        """How often each filter acted."""
        return {limit.name: limit.count for limit in self.filters}


def default_limits(config: LimitConfig, period_s: float) -> Limits:
    """The list every arm starts with, for a loop of ``period_s`` seconds per command."""
    return Limits(
        [
            Finite(),
            Length(),
            EmergencyStop(),
            Enable(),
            GripperRange(),
            Reach(config.max_reach_m),
            SpeedScale(config.speed_scale),
            Speed(config.max_speed_m_s, config.max_reach_m, period_s),
            Box(np.asarray(config.box_low), np.asarray(config.box_high), config.max_reach_m),
            Expiry(config.expiry_s),
        ]
    )


def _towards(start: np.ndarray, goal: np.ndarray, distance: float) -> np.ndarray:
    """``goal`` itself when it lies within ``distance`` of ``start``, else the point that far along the way (3,)."""
    step = goal - start
    length = float(np.linalg.norm(step))
    return goal if length <= distance else start + step * (distance / length)
