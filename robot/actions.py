"""What actions and proprioception mean: one place for the simulator, the control loop and the nodes beside an arm.

An action is a few numbers in a contract's units. A ``Target`` is where the arm's own controller should go because of
it. ``target`` turns the first into the second, given the ``Reference``: the state that the action counts from, which is
the state that was *observed* and not the one at the moment when the action arrives. All positions, rotations and
targets are in the frame of the arm's base; units are SI.

What a delta counts from is part of its meaning (``ORIGINS``): the measured pose, or the last commanded target. An arm
that sags under a wrong gravity compensation sinks with every delta that counts from where it is; one that counts from
where it was told to be keeps its height, and small deltas add up until friction gives way.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from robot import rotations
from robot.errors import PixelarmError, UnknownName

POSE, JOINT_POSITION, JOINT_VELOCITY = "pose", "joint_position", "joint_velocity"
TARGETS: dict[str, str] = {
    POSE: "an end-effector pose",
    JOINT_POSITION: "a position for each arm joint",
    JOINT_VELOCITY: "a velocity for each arm joint",
}


# ---------------------------------------------------------------------------------------------------- proprioception
@dataclass(frozen=True)
class Field:
    """One named vector of the arm's own state."""

    size: int | None  # None: one number for each arm joint, from the base on
    unit: str
    frame: str
    words: str


PROPRIO: dict[str, Field] = {
    "eef_pos": Field(3, "m", "base", "position of the end effector, the point between the finger tips"),
    "eef_quat": Field(
        4, "1", "base", "orientation of the end effector: a unit quaternion x, y, z, w, see rotations.canonical"
    ),
    "gripper_opening": Field(1, "m", "gripper", "distance between the fingers; 0 is closed"),
    "joint_pos": Field(None, "rad", "joint", "position of each arm joint"),
    "joint_vel": Field(None, "rad/s", "joint", "velocity of each arm joint"),
}


@dataclass(frozen=True, eq=False)
class Reference:
    """What an action counts from, float64; None is not known."""

    position: np.ndarray | None = None  # (3,) m, of the end effector
    rotation: np.ndarray | None = None  # (3, 3), of the end effector
    joint_positions: np.ndarray | None = None  # (J,) rad
    home_rotation: np.ndarray | None = None  # (3, 3), of the end effector with the arm at home: there the yaw is 0

    @staticmethod
    def of(proprio: Mapping[str, np.ndarray], home_rotation: np.ndarray | None = None) -> Reference:
        """The reference in measured proprioception, by the names of ``PROPRIO``; other fields are left aside."""
        quaternion = proprio.get("eef_quat")
        return Reference(
            position=proprio.get("eef_pos"),
            rotation=None if quaternion is None else rotations.from_quaternion(quaternion),
            joint_positions=proprio.get("joint_pos"),
            home_rotation=home_rotation,
        )


# ----------------------------------------------------------------------------------------------------------- origins
MEASURED, COMMANDED = "measured", "commanded"
ORIGINS: dict[str, str] = {
    MEASURED: "deltas are added to the measured pose",
    COMMANDED: "deltas are added to the last commanded target, near the measured pose (see robot.actions.origin)",
}
# Furthest that such an origin lies from what is measured: an arm that is blocked must not be wound up. The simulated
# Panda lags by 47 to 53 mm when each delta is 40 mm along one axis, so that a free arm feels it at its top speed alone.
LEASH_M, LEASH_RAD = 0.05, 0.3
CARRIED_M, CARRIED_RAD = 0.2, 1.0  # a target so far away was not followed: the arm was reset, or moved by somebody


# ----------------------------------------------------------------------------------------------------------- targets
@dataclass(frozen=True, eq=False)
class Target:
    """Where the arm's own controller should go: a pose, or joint positions, or joint velocities; and the gripper.

    Joint positions that were solved for a pose (``robot.control.limits.solved``) keep it beside them.
    """

    gripper: float  # -1 opens, +1 closes
    position: np.ndarray | None = None  # (3,) m
    rotation: np.ndarray | None = None  # (3, 3); None beside a position: the arm keeps the orientation it was told last
    joint_positions: np.ndarray | None = None  # (J,) rad
    joint_velocities: np.ndarray | None = None  # (J,) rad/s

    def __post_init__(self) -> None:
        pose, joints, velocities = (v is not None for v in (self.position, self.joint_positions, self.joint_velocities))
        if velocities == (pose or joints) or (self.rotation is not None and not pose):
            raise ValueError("a target is a position (and a rotation), or joint positions, or joint velocities")

    @property
    def kind(self) -> str:
        """One of ``TARGETS``."""
        if self.joint_positions is not None:
            return JOINT_POSITION
        return POSE if self.position is not None else JOINT_VELOCITY

    def replace(self, **parts: Any) -> Target:
        """A copy with other values in these fields."""
        return dataclasses.replace(self, **parts)

    def to_hold(self) -> Target:
        """The target that holds an arm which was given this one: the same, except that velocities become zero."""
        if self.joint_velocities is None:
            return self
        return self.replace(joint_velocities=np.zeros_like(self.joint_velocities))


def origin(counts_from: str, measured: Reference, commanded: Target | None) -> Reference:
    """What the next action counts from.

    Args:
        counts_from: one of ``ORIGINS``.
        commanded: the last target, after every limit; None where nothing was commanded since the arm was enabled.

    Returns:
        ``measured``; or of ``COMMANDED`` the pose of the last target, brought back to within ``LEASH_M`` and
        ``LEASH_RAD`` of what is measured. A target further away than ``CARRIED_M`` or ``CARRIED_RAD`` is given up.
    """
    if counts_from == MEASURED or commanded is None or commanded.position is None:
        return measured
    position, rotation = _known(measured.position, "eef_pos"), measured.rotation
    lag = commanded.position - position
    distance = float(np.linalg.norm(lag))
    if distance > CARRIED_M:
        return measured
    position = position + lag * min(1.0, LEASH_M / distance) if distance else position
    if rotation is not None and commanded.rotation is not None:
        angle = rotations.angle_between(rotation, commanded.rotation)
        if angle > CARRIED_RAD:
            return measured
        share = min(1.0, LEASH_RAD / angle) if angle else 1.0
        rotation = rotations.part_of_turn(rotation, commanded.rotation, share)
    return dataclasses.replace(measured, position=position, rotation=rotation)


# ------------------------------------------------------------------------------------------------------------- kinds
def _delta_position(reference: Reference, action: np.ndarray) -> Target:
    """``(dx, dy, dz, gripper)``"""
    return Target(float(action[3]), position=_known(reference.position, "eef_pos") + action[:3])


def _delta_position_yaw(reference: Reference, action: np.ndarray) -> Target:
    """``(dx, dy, dz, yaw, gripper)``: the yaw is measured on the rotation from home and all tilt in it is discarded, so
    that the errors of a wrist do not add up."""
    home = _known(reference.home_rotation, "the rotation at home")
    yaw = _yaw(_known(reference.rotation, "eef_quat"), home) + float(action[3])
    position = _known(reference.position, "eef_pos") + action[:3]
    return Target(float(action[4]), position=position, rotation=rotations.about_vertical(yaw) @ home)


def _yaw(rotation: np.ndarray, home: np.ndarray) -> float:
    turned = rotation @ home.T
    return float(np.arctan2(turned[1, 0], turned[0, 0]))


def _delta_pose(reference: Reference, action: np.ndarray) -> Target:
    """``(dx, dy, dz, rx, ry, rz, gripper)``: r is an axis times an angle in the base frame."""
    rotation = rotations.from_axis_angle(action[3:6]) @ _known(reference.rotation, "eef_quat")
    return Target(float(action[6]), position=_known(reference.position, "eef_pos") + action[:3], rotation=rotation)


def _joint_position(reference: Reference, action: np.ndarray) -> Target:
    """``(q1, ..., qJ, gripper)``"""
    return Target(float(action[-1]), joint_positions=action[:-1])


def _joint_velocity(reference: Reference, action: np.ndarray) -> Target:
    """``(dq1, ..., dqJ, gripper)``"""
    return Target(float(action[-1]), joint_velocities=action[:-1])


def _known(value: np.ndarray | None, name: str) -> np.ndarray:
    if value is None:
        raise PixelarmError(f"this action counts from {name}, which is not known here")
    return value


@dataclass(frozen=True)
class Kind:
    """One kind of action. The last of its numbers is the gripper's: -1 opens, +1 closes."""

    words: str
    make: Callable[[Reference, np.ndarray], Target] | None  # None: no arm understands it
    target: str = ""  # what it becomes, one of TARGETS
    units: tuple[str, ...] = ()  # of its numbers but the gripper's
    each_joint: bool = False  # one number of that unit for each arm joint
    needs: tuple[str, ...] = ()  # proprioception that it counts from, or that the limits compare its target with
    turns: bool = False  # its target has a rotation
    deltas: bool = False  # it counts from something: see ORIGINS
    needs_home: bool = False  # it counts from the rotation at home
    axis_angle: slice | None = None  # its numbers that are an axis times an angle, if there are such

    def units_of(self, size: int) -> tuple[str, ...]:
        """The units of an action of ``size`` numbers; of another length if the kind has no actions of that size."""
        return (*(self.units * max(size - 1, 1) if self.each_joint else self.units), "1")


METRES = ("m", "m", "m")
KINDS: dict[str, Kind] = {
    "eef_delta_position": Kind(
        "metres added to the end effector's position; orientation is held; last entry is the gripper",
        _delta_position, POSE, METRES, needs=("eef_pos",), deltas=True,
    ),
    "eef_delta_pose": Kind(
        "metres and axis-angle radians added to the end effector's pose; last entry is the gripper",
        _delta_pose, POSE, (*METRES, "rad", "rad", "rad"), needs=("eef_pos", "eef_quat"), turns=True, deltas=True,
        axis_angle=slice(3, 6),
    ),
    "eef_delta_position_yaw": Kind(
        "metres added to the end effector's position, radians about the vertical; last entry is the gripper",
        _delta_position_yaw, POSE, (*METRES, "rad"), needs=("eef_pos", "eef_quat"), turns=True,
        deltas=True, needs_home=True,
    ),
    "joint_velocity": Kind(
        "radians per second for each arm joint; last entry is the gripper",
        _joint_velocity, JOINT_VELOCITY, ("rad/s",), each_joint=True, needs=("joint_pos",),
    ),
    "joint_position": Kind(
        "radians for each arm joint; last entry is the gripper",
        _joint_position, JOINT_POSITION, ("rad",), each_joint=True, needs=("joint_pos",),
    ),
    "normalized": Kind(
        "each actuator's own range scaled to -1 to 1; benchmarks without an arm, and nothing a robot understands", None
    ),
}  # fmt: skip


def kind(name: str) -> Kind:
    """A kind of action by name; an unknown one lists those that exist."""
    if name not in KINDS:
        raise UnknownName("action kind", name, KINDS)
    return KINDS[name]


def target(name: str, reference: Reference, action: np.ndarray) -> Target:
    """The target, float64, of an action ``(size,)`` of the kind ``name`` that answers what ``reference`` was observed
    as.

    Raises:
        UnknownName: a kind that does not exist.
        PixelarmError: a kind that no arm understands, an action of another length, or a reference that lacks what it
            counts from.
    """
    found = kind(name)
    numbers = np.array(action, np.float64)
    if found.make is None:
        raise PixelarmError(f"{name!r} actions have no target: {found.words}")
    if numbers.ndim != 1 or len(found.units_of(numbers.size)) != numbers.size:
        wanted = (
            "one number for each joint and one for the gripper"
            if found.each_joint
            else f"{len(found.units) + 1} numbers"
        )
        raise PixelarmError(f"{name!r} actions have {wanted}, got an array of shape {numbers.shape}")
    return found.make(reference, numbers)


def recount(name: str, action: np.ndarray, counted_from: Reference, counts_from: Reference) -> np.ndarray:
    """The action ``(size,)`` float32 whose target, counted from another reference, is that of ``action``.

    Args:
        name: a kind of deltas.
        counted_from: what ``action`` counts from.
        counts_from: what the result counts from.
    """
    return delta(name, counts_from, target(name, counted_from, action))


def delta(name: str, counts_from: Reference, wanted: Target) -> np.ndarray:
    """The action ``(size,)`` float32 of a kind of deltas whose target is ``wanted``, a pose; bounds are not looked at.

    A kind without rotations leaves that of ``wanted`` out, and one that turns about the vertical its tilt.
    """
    found = kind(name)
    if not found.deltas or wanted.position is None or counts_from.position is None:
        raise PixelarmError(f"{name!r} actions are no deltas between two poses")
    numbers = [*(wanted.position - counts_from.position)]
    if found.turns:
        assert wanted.rotation is not None, "a target of this kind has a rotation"
        rotation = _known(counts_from.rotation, "eef_quat")
        if found.needs_home:
            home = _known(counts_from.home_rotation, "the rotation at home")
            turn = _yaw(wanted.rotation, home) - _yaw(rotation, home)
            numbers.append((turn + np.pi) % (2.0 * np.pi) - np.pi)
        else:
            numbers += [*rotations.to_axis_angle(wanted.rotation @ rotation.T)]
    return np.array([*numbers, wanted.gripper], np.float32)


def between(name: str, first: np.ndarray, second: np.ndarray, share: float) -> np.ndarray:
    """The action ``(size,)`` that is ``share`` (0 to 1) of the way from one to another, both of the kind ``name``.

    Numbers change along a line, and an axis times an angle along the shortest turn between the two turns. The gripper
    is a decision and never in the middle: it is that of the nearer action.
    """
    if share <= 0.0:
        return first
    if share >= 1.0:
        return second
    mixed = first + share * (second.astype(np.float64) - first)
    mixed[-1] = first[-1] if share < 0.5 else second[-1]
    turn = kind(name).axis_angle
    if turn is not None:
        start, goal = rotations.from_axis_angle(first[turn]), rotations.from_axis_angle(second[turn])
        mixed[turn] = rotations.to_axis_angle(rotations.part_of_turn(start, goal, share))
    return mixed
