"""Grippers as their drivers have them: which message, which unit, and when a value is sent.

A policy's gripper number goes from -1 (open) to +1 (closed). ``GripperCommand`` says what that is in the driver's own
unit, and ``Changes`` decides which values of a stream are worth sending to a driver that works on each one for a while.
No ROS in here; ``robot.ros.gripper_output`` sends.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from math import inf, pi

from robot.errors import PixelarmError, UnknownName

JOINT_STATE, MULTI_ARRAY, FLOAT, TRAJECTORY = "joint_state", "float64_multi_array", "float64", "joint_trajectory"
ACTION, PARALLEL_ACTION = "gripper_command_action", "parallel_gripper_action"
WITH_JOINTS = "with_joints"
GRIPPER_TYPES: dict[str, str] = {
    JOINT_STATE: "sensor_msgs/JointState with a header, one joint",
    MULTI_ARRAY: "std_msgs/Float64MultiArray, one number",
    FLOAT: "std_msgs/Float64",
    TRAJECTORY: "trajectory_msgs/JointTrajectory, one joint and one point, one control period ahead",
    ACTION: "the action control_msgs/GripperCommand",
    PARALLEL_ACTION: "the action control_msgs/ParallelGripperCommand",
    WITH_JOINTS: "the last number of the joints' std_msgs/Float64MultiArray, on whose topic it goes",
}
ACTIONS = (ACTION, PARALLEL_ACTION)
NAMED = (JOINT_STATE, TRAJECTORY, PARALLEL_ACTION)  # types whose message names the joint

MIN_CHANGE = 0.02  # of the way from open to closed
MIN_INTERVAL_S = 0.2  # a gripper needs about a second from open to closed


@dataclass(frozen=True)
class Unit:
    """What numbers in a unit a gripper can have."""

    low: float
    high: float
    stroke: float  # least difference between open and closed that a gripper has
    sibling: str  # the unit that it is mistaken for
    in_sibling: float  # one of this unit in that one


UNITS: dict[str, Unit] = {
    "m": Unit(-0.5, 0.5, 0.002, "mm", 1e3),
    "mm": Unit(-500.0, 500.0, 2.0, "m", 1e-3),
    "rad": Unit(-2 * pi, 2 * pi, 0.05, "deg", 180 / pi),
    "deg": Unit(-360.0, 360.0, 5.0, "rad", pi / 180),
    "fraction": Unit(-1.0, 1.0, 0.05, "percent", 100.0),
    "percent": Unit(-100.0, 100.0, 5.0, "fraction", 0.01),
    "counts": Unit(-65535.0, 65535.0, 10.0, "", 0.0),  # of an encoder, or a register: 0 to 255, say
}


def require_unit(name: str, open_at: float, closed_at: float) -> None:
    """Raise PixelarmError if a gripper whose positions are in the unit ``name`` cannot have these."""
    if name not in UNITS:
        raise UnknownName("gripper command unit", name, UNITS)
    unit, ends = UNITS[name], (open_at, closed_at)
    if _fits(unit, ends):
        return
    wrong = next((v for v in ends if not unit.low <= v <= unit.high), None)
    if wrong is not None:
        which = "open" if wrong == open_at else "closed"
        what = f"{which} {wrong:g} {name} is outside of {unit.low:.4g} to {unit.high:.4g} {name}, where grippers are"
    else:
        what = (
            f"open {open_at:g} and closed {closed_at:g} are only {abs(open_at - closed_at):g} {name} apart, and the "
            f"fingers of no gripper are driven over less than {unit.stroke:g} {name}"
        )
    raise PixelarmError(f"gripper command: {what}; {_advice(name, unit, ends)}")


def _advice(name: str, unit: Unit, ends: tuple[float, float]) -> str:
    if not unit.sibling or not _fits(UNITS[unit.sibling], ends):
        return "give open, closed and unit as the driver's documentation has them"
    opened, closed = (v / unit.in_sibling for v in ends)
    return (
        f"did you mean {unit.sibling}? Then write unit: {unit.sibling}, if the driver takes {unit.sibling}, or open: "
        f"{opened:.4g} and closed: {closed:.4g}, if it takes {name}"
    )


def _fits(unit: Unit, ends: tuple[float, float]) -> bool:
    return all(unit.low <= v <= unit.high for v in ends) and abs(ends[0] - ends[1]) >= unit.stroke


@dataclass(frozen=True)
class GripperState:
    """sensor_msgs/JointState with the fingers; opening = ``offset`` + ``scale`` times the sum of the named joints."""

    topic: str
    joints: tuple[str, ...]  # of the fingers, whose positions are added
    scale: float = 1.0  # metres of opening per unit of position; negative where a larger position is further closed
    offset: float = 0.0  # m of opening where all positions are zero

    def __post_init__(self) -> None:
        if abs(self.offset) > UNITS["m"].high or not 0 < abs(self.scale) <= 10:
            raise PixelarmError(
                f"gripper_state: offset must be the metres of opening where all positions are zero, at most "
                f"{UNITS['m'].high:g}, and scale metres for each unit of position, not zero and at most 10; got offset "
                f"{self.offset:g} and scale {self.scale:g}: are they in mm? Divide them by 1000"
            )


@dataclass(frozen=True)
class GripperCommand:
    """Where the gripper's target goes; ``open`` and ``closed`` are the values for -1 and +1, in the driver's unit."""

    topic: str  # of an action: its name
    open: float  # the driver's number for open
    closed: float  # and for closed
    type: str = "joint_state"  # the message or action that carries it: one of GRIPPER_TYPES
    joint: str = "gripper"  # its name in messages that name joints
    # what open and closed are in, one of UNITS: they are checked against it
    unit: str | None = None
    on_change: bool | None = None  # send a value only when it differs from the last; actions always do
    min_change: float | None = None  # in the driver's unit, smallest difference that is sent; 2 % of the way
    min_interval_s: float | None = None  # shortest time between two that are sent on change; 0.2 s
    # above 0: only open and closed are sent; it closes from +hysteresis on and opens from -hysteresis on
    hysteresis: float = 0.0
    max_effort: float | None = None  # of actions, N or N m
    # of actions: a new goal replaces the one that runs; false: the one that runs is cancelled first
    preempt: bool = True

    def __post_init__(self) -> None:
        if self.type not in GRIPPER_TYPES:
            raise UnknownName("gripper command type", self.type, GRIPPER_TYPES)
        if not (abs(self.open) < inf and abs(self.closed) < inf) or self.open == self.closed:
            raise PixelarmError(
                f"gripper command: open and closed must be finite and differ, got {self.open} and {self.closed}"
            )
        if self.unit is not None:
            require_unit(self.unit, self.open, self.closed)
        if not 0 <= self.hysteresis < 1:
            raise PixelarmError(f"gripper command: hysteresis must lie in [0, 1), got {self.hysteresis}")
        self._require_changes()
        self._require_effort()

    def _require_changes(self) -> None:
        if self.is_action and self.on_change is False:
            raise PixelarmError(
                f"gripper command: on_change: false does not go with the type {self.type}, since each goal of an "
                "action takes its time; leave the key out"
            )
        given = [key for key in ("min_change", "min_interval_s") if getattr(self, key) is not None]
        if given and not self.sends_on_change:
            raise PixelarmError(
                f"gripper command: {', '.join(given)} are for a gripper that is told changes only; add on_change: true"
            )
        stroke = abs(self.open - self.closed)
        if self.min_change is not None and not 0 < self.min_change < stroke:
            raise PixelarmError(
                f"gripper command: min_change must be positive and less than the way from open to closed ({stroke:g}), "
                f"got {self.min_change}; it is in the same unit as they are"
            )
        if self.min_interval_s is not None and not 0 <= self.min_interval_s <= 10:
            raise PixelarmError(
                f"gripper command: min_interval_s must lie in [0, 10] seconds, got {self.min_interval_s}"
            )

    def _require_effort(self) -> None:
        if not self.is_action and (self.max_effort is not None or not self.preempt):
            raise PixelarmError(
                f"gripper command: max_effort and preempt are for actions ({', '.join(ACTIONS)}); the type {self.type} "
                "has no place for them: leave them out"
            )
        if self.type == ACTION and self.max_effort is None:
            raise PixelarmError(
                f"gripper command: the type {ACTION} needs max_effort (N or N m), because each of its goals holds one; "
                "0 is the driver's own in ros2_control, and no force at all in others"
            )
        if self.max_effort is not None and not 0 <= self.max_effort < inf:
            raise PixelarmError(f"gripper command: max_effort must be finite and not negative, got {self.max_effort}")

    @property
    def is_action(self) -> bool:
        return self.type in ACTIONS

    @property
    def sends_on_change(self) -> bool:
        return self.is_action or bool(self.on_change)

    def value(self, gripper: float) -> float:
        """The driver's number for a gripper command in [-1, 1]."""
        return self.open + 0.5 * (gripper + 1.0) * (self.closed - self.open)

    def gripper(self, value: float) -> float:
        """The inverse of ``value``."""
        return 2.0 * (value - self.open) / (self.closed - self.open) - 1.0


class Changes:
    """Which values of a stream of gripper commands are sent, and when.

    A value is due if it differs by ``min_change`` from the last one that was sent, or if it is an end (open or closed)
    that was not sent; and if ``min_interval_s`` has passed since then. What comes too soon is not lost: the newest
    value is due once the interval is over, as long as the caller goes on asking.
    """

    def __init__(self, command: GripperCommand, steady: Callable[[], float] = time.monotonic) -> None:
        self._command, self._steady = command, steady
        stroke = abs(command.open - command.closed)
        self._least = MIN_CHANGE * stroke if command.min_change is None else command.min_change
        self._pause_s = MIN_INTERVAL_S if command.min_interval_s is None else command.min_interval_s
        self._closed: bool | None = None  # of a gripper that is open or closed and nothing between
        self._last: float | None = None  # in the driver's unit
        self._sent_s = -inf

    def value(self, gripper: float) -> float:
        """The driver's number for a gripper command in [-1, 1], after the hysteresis."""
        width = self._command.hysteresis
        if not width:
            return self._command.value(gripper)
        if self._closed is None:
            self._closed = gripper > 0
        elif abs(gripper) >= width:
            self._closed = gripper > 0
        return self._command.closed if self._closed else self._command.open

    def due(self, value: float) -> bool:
        """Is ``value`` to be sent now?"""
        if self._steady() - self._sent_s < self._pause_s:
            return False
        if self._last is None:
            return True
        at_an_end = value in (self._command.open, self._command.closed)
        return value != self._last and (at_an_end or abs(value - self._last) >= self._least)

    def sent(self, value: float) -> None:
        self._last, self._sent_s = value, self._steady()

    def forget(self) -> None:
        """The next value counts as changed: nobody knows any more what the driver was told last."""
        self._last = None
