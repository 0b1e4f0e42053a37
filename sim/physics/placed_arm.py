"""An arm in a compiled model: where the parts that its description names have their numbers."""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np

from sim.physics.arm import Arm
from sim.scene.names import body_id, named_id


@dataclass(frozen=True, eq=False)
class PlacedArm:
    """Addresses of an arm's n joints and of its gripper's m fingers."""

    description: Arm
    qpos: np.ndarray  # (n,) addresses into qpos
    dof: np.ndarray  # (n,) addresses into qvel
    actuators: np.ndarray  # (n,) actuator ids
    site: int  # the end effector
    base_position: np.ndarray  # (3,) m, world frame; an arm's base is never rotated
    finger_qpos: np.ndarray  # (m,) addresses into qpos
    finger_dof: np.ndarray  # (m,) addresses into qvel
    finger_actuators: np.ndarray  # (k,) actuator ids
    finger_signs: np.ndarray  # (m,) which way each finger opens
    finger_middle: np.ndarray  # (k,) of each finger servo's command, between open and closed
    finger_half: np.ndarray  # (k,) from there to open


def place(arm: Arm, model: mujoco.MjModel) -> PlacedArm:
    """Find an arm in a model.

    Raises:
        UnknownName: a part that the description names is not in the model.
    """

    def ids(kind: str, wanted: tuple[str, ...]) -> np.ndarray:
        return np.array([named_id(model, kind, name) for name in wanted])

    joints, fingers = ids("joint", arm.joints), ids("joint", arm.gripper.joints)
    finger_actuators = ids("actuator", arm.gripper.actuators)
    signs = np.sign(np.array(arm.gripper.open) - np.array(arm.gripper.closed or 0.0))
    if arm.gripper.commands:
        commands = np.array(arm.gripper.commands)
        middle, half = commands.mean(axis=1), 0.5 * (commands[:, 0] - commands[:, 1])
    else:
        ranges = model.actuator_ctrlrange[finger_actuators]
        middle, half = ranges.mean(axis=1), 0.5 * (ranges[:, 1] - ranges[:, 0]) * signs
    start = mujoco.MjData(model)
    mujoco.mj_kinematics(model, start)
    return PlacedArm(
        description=arm,
        qpos=model.jnt_qposadr[joints].copy(),
        dof=model.jnt_dofadr[joints].copy(),
        actuators=ids("actuator", arm.actuators),
        site=named_id(model, "site", arm.site),
        base_position=start.xpos[body_id(model, arm.base)].copy(),
        finger_qpos=model.jnt_qposadr[fingers].copy(),
        finger_dof=model.jnt_dofadr[fingers].copy(),
        finger_actuators=finger_actuators,
        finger_signs=signs,
        finger_middle=middle,
        finger_half=half,
    )
