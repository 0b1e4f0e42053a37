"""What the tasks that grasp at an angle share: the contract with a yaw, geometry of bodies, and who touches whom."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

import mujoco
import numpy as np

from robot.contract import Action, Contract, Proprio
from sim.scene.names import body_id
from sim.tasks.common.tabletop import MAX_DELTA, joint_address, tabletop_contract

if TYPE_CHECKING:
    from sim.physics.world import World

# rad per control step: the controller's steady speed is then sqrt(150) * 0.3 / 2 = 1.8 rad/s; the Panda's joint 7
# allows 2.6
MAX_YAW = 0.3


def yaw_contract(task: str, image_size: int) -> Contract:
    """Lift's contract with the orientation observed and a fifth number in the action: a turn about the vertical."""
    lift = tabletop_contract(task, image_size)
    position, opening = lift.proprio
    return replace(
        lift,
        proprio=(position, Proprio("eef_quat", 4, unit="1", frame="base"), opening),
        action=Action(
            kind="eef_delta_position_yaw",
            names=("dx", "dy", "dz", "dyaw", "gripper"),
            units=("m", "m", "m", "rad", "1"),
            low=(-MAX_DELTA, -MAX_DELTA, -MAX_DELTA, -MAX_YAW, -1.0),
            high=(MAX_DELTA, MAX_DELTA, MAX_DELTA, MAX_YAW, 1.0),
        ),
    )


# ------------------------------------------------------------------------------------------------------- geometry
def put(world: World, joint: str, position: Iterable[float], yaw: float) -> None:
    """Set a free joint: ``position`` (3,) m in the world frame, ``yaw`` rad about the vertical."""
    start = joint_address(world, joint)
    world.data.qpos[start : start + 7] = (*position, np.cos(yaw / 2), 0.0, 0.0, np.sin(yaw / 2))


def body_rotation(world: World, body: str) -> np.ndarray:
    """Rotation ``(3, 3)`` of a body in the base frame."""
    mujoco.mj_kinematics(world.model, world.data)
    return world.data.xmat[body_id(world.model, body)].reshape(3, 3).copy()


def body_yaw(world: World, body: str) -> float:
    """Angle of a body's x axis about the vertical, rad."""
    rotation = body_rotation(world, body)
    return float(np.arctan2(rotation[1, 0], rotation[0, 0]))


def hand_yaw(world: World) -> float:
    """How far the gripper is turned about the vertical from home, rad in (-pi, pi];
    at home the fingers close along y.
    """
    relative = world.eef_rotation() @ world.home_rotation.T
    return float(np.arctan2(relative[1, 0], relative[0, 0]))


def wrap(angle: float) -> float:
    """The same angle in [-pi, pi)."""
    return float((angle + np.pi) % (2 * np.pi) - np.pi)


# -------------------------------------------------------------------------------------------------------- contact
def touching(world: World, first: str, second: str) -> bool:
    """Whether any geoms of two bodies are in contact in the last physics step."""
    contacts = world.data.contact
    bodies = world.model.geom_bodyid[contacts.geom[contacts.dist <= 0.0]]
    a, b = body_id(world.model, first), body_id(world.model, second)
    return bool(np.any((bodies == (a, b)).all(axis=1) | (bodies == (b, a)).all(axis=1)))


def held(world: World, body: str) -> bool:
    """Whether all finger pads touch a body: robosuite's test of a grasp."""
    return all(touching(world, pad, body) for pad in world.arm.description.gripper.pads)
