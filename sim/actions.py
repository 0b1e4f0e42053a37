"""What each kind of action of a contract means to a world: from numbers to the controller's target.

The target counts from the pose that was *observed*, as the control loop beside a real arm does it, not from the pose at the
moment the action arrives.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import mujoco
import numpy as np

from robot.errors import UnknownName

if TYPE_CHECKING:
    from sim.physics.world import World


@dataclass(frozen=True)
class Observed:
    """The end-effector pose an action answers, in the base frame."""

    position: np.ndarray  # (3,) m
    rotation: np.ndarray  # (3, 3)


def observe(world: World) -> Observed:
    return Observed(world.eef_position(), world.eef_rotation())


def delta_position(world: World, observed: Observed, action: np.ndarray) -> None:
    """``(dx, dy, dz, gripper)``: metres added to the observed position; the orientation goal stays."""
    world.set_target(observed.position + action[:3], float(action[3]))


def delta_pose(world: World, observed: Observed, action: np.ndarray) -> None:
    """``(dx, dy, dz, rx, ry, rz, gripper)``: metres and an axis-angle in radians, both in the base frame."""
    world.set_target(observed.position + action[:3], float(action[6]), rotation_of(action[3:6]) @ observed.rotation)


def delta_yaw(world: World, observed: Observed, action: np.ndarray) -> None:
    """``(dx, dy, dz, yaw, gripper)``: metres, and radians about the vertical; the gripper stays pointing straight down.

    The yaw is measured on the observed rotation and the tilt is discarded, so that errors of the wrist do not add up.
    """
    relative = observed.rotation @ world.home_rotation.T
    yaw = float(np.arctan2(relative[1, 0], relative[0, 0])) + float(action[3])
    world.set_target(
        observed.position + action[:3], float(action[4]), rotation_of(np.array([0.0, 0.0, yaw])) @ world.home_rotation
    )


def joint_goal(world: World, observed: Observed, action: np.ndarray) -> None:
    """``(q1..q7, gripper)``: rad, or rad/s, absolute."""
    world.set_joint_goal(action[:-1], float(action[-1]))


def rotation_of(axis_angle: np.ndarray) -> np.ndarray:
    """Rotation matrix ``(3, 3)`` of an axis-angle vector ``(3,)`` in radians."""
    angle = float(np.linalg.norm(axis_angle))
    quaternion, matrix = np.empty(4), np.empty(9)
    axis = np.asarray(axis_angle, float) / angle if angle > 0 else np.array([1.0, 0.0, 0.0])
    mujoco.mju_axisAngle2Quat(quaternion, axis, angle)
    mujoco.mju_quat2Mat(matrix, quaternion)
    return matrix.reshape(3, 3)


Apply: TypeAlias = "Callable[[World, Observed, np.ndarray], None]"
KINDS: dict[str, Apply] = {
    "eef_delta_position": delta_position,
    "eef_delta_pose": delta_pose,
    "eef_delta_position_yaw": delta_yaw,
    "joint_position": joint_goal,
    "joint_velocity": joint_goal,
}


def applier(kind: str) -> Apply:
    if kind not in KINDS:
        raise UnknownName("action kind of the simulator", kind, KINDS)
    return KINDS[kind]
