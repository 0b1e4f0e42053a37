"""What the tasks on robosuite's bare table share: contract, scene, coloured primitives, and how a scripted hand asks
for motion.

Coordinates of scenes and resets are the world's: x away from the arm, y to its left, z up; the table's top is at
``TABLE_HEIGHT`` and its centre at x = y = 0. The gripper points straight down and its fingers open along y.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

import mujoco
import numpy as np

from robot.contract import Action, Camera, Contract, Proprio
from sim.arms.panda import PANDA
from sim.physics.arm import Arm, Workspace
from sim.scene.compile import Recipe
from sim.scene.names import body_id, in_spec, named_id

if TYPE_CHECKING:
    from sim.physics.world import World

TABLE_HEIGHT = 0.8  # m, world frame; robosuite's TableArena offset
MAX_DELTA = 0.04  # m per control step: at 10 Hz the controller's steady speed is then about 0.25 m/s
BOX, CYLINDER, SPHERE = mujoco.mjtGeom.mjGEOM_BOX, mujoco.mjtGeom.mjGEOM_CYLINDER, mujoco.mjtGeom.mjGEOM_SPHERE
# The arm covers about a third of a commanded delta in one period, so a scripted hand asks for more than the error.
GAIN = 1.8
TREMOR = 0.003  # m, standard deviation added to each commanded delta


def tabletop_contract(task: str, image_size: int) -> Contract:
    """Two cameras, the gripper's position and opening, and position deltas: Lift's contract for another task."""
    return Contract(
        task=task,
        cameras=tuple(
            Camera(name, image_size, image_size, frame_id=f"{name}_optical_frame")
            for name in ("agentview", "eye_in_hand")
        ),
        proprio=(
            Proprio("eef_pos", 3, unit="m", frame="base"),
            Proprio("gripper_opening", 1, unit="m", frame="gripper"),
        ),
        action=Action(
            kind="eef_delta_position",
            names=("dx", "dy", "dz", "gripper"),
            units=("m", "m", "m", "1"),
            low=(-MAX_DELTA, -MAX_DELTA, -MAX_DELTA, -1.0),
            high=(MAX_DELTA, MAX_DELTA, MAX_DELTA, 1.0),
        ),
        rate_hz=10.0,
        deadline_ms=80.0,
        max_age_ms=100.0,
    )


class TabletopTask:
    """What a task on a table needs not say itself: robosuite's scene, its two cameras, the action and the workspace.

    ``manipuland``, ``grasps`` and ``goal``, which only ``pixelarm diagnose`` reads, are those of a task that moves
    nothing. What ``build`` makes of the scene, reset distribution, success test and expert are each task's own, see
    ``sim.tasks.common.base.Task``.
    """

    name: ClassVar[str]
    environment: ClassVar[str] = "Lift"  # robosuite's
    view: ClassVar[str] = "agentview"
    manipuland: ClassVar[str | None] = None
    grasps: ClassVar[bool] = False
    widest: ClassVar[float] = 0.0  # m, what the gripper must open for: of an object at any angle, its diagonal

    def __init__(self, image_size: int = 64, recipe: Recipe | None = None, arm: Arm = PANDA) -> None:
        self.recipe, self.arm = recipe or Recipe(environment=self.environment), arm
        contract = self.make_contract(image_size)
        self.contract = replace(contract, arm=arm.name, action=replace(contract.action, counts_from=arm.counts_from))
        self.camera_in_scene = {"agentview": "agentview", "eye_in_hand": arm.hand_camera}

    @property
    def workspace(self) -> Workspace:
        return self.arm.workspace

    def make_contract(self, image_size: int) -> Contract:
        return tabletop_contract(self.name, image_size)

    def goal(self, world: World) -> np.ndarray | None:
        """Where the manipuland (the hand, if there is none) belongs, ``(3,)`` m in the base frame; None where that is
        nowhere in particular.
        """
        return None


# ------------------------------------------------------------------------------------------------------------ scene
def clear_table(spec: mujoco.MjSpec) -> None:
    """Take Lift's cube away."""
    spec.delete(in_spec(spec, "body", "cube_main"))


def add_anchor(spec: mujoco.MjSpec, name: str, height: float = TABLE_HEIGHT) -> mujoco.MjsBody:
    """A body that stays where a reset puts it: a mocap body,
    so that its pose is part of the state and not of the model.
    """
    return spec.worldbody.add_body(name=name, mocap=True, pos=[0.0, 0.0, height])


def add_free_body(spec: mujoco.MjSpec, name: str, height: float) -> mujoco.MjsBody:
    """A body that moves freely, with the joint ``NAME_joint``."""
    body = spec.worldbody.add_body(name=name, pos=[0.0, 0.0, height])
    body.add_freejoint(name=f"{name}_joint")
    return body


def add_mark(
    body: mujoco.MjsBody, shape: mujoco.mjtGeom, size: tuple[float, ...], rgb: tuple[float, ...], **more
) -> None:
    """A shape that is seen but touches nothing (group 1, as all of robosuite's visuals;
    ``size`` in half lengths, m).
    """
    body.add_geom(type=shape, size=_three(size), rgba=[*rgb, 1.0], group=1, contype=0, conaffinity=0, **more)


def add_solid(
    body: mujoco.MjsBody, shape: mujoco.mjtGeom, size: tuple[float, ...], rgb: tuple[float, ...], mass: float, **more
) -> None:
    """A shape that is seen and collides: a mark, and its twin of ``mass`` kg in group 0, where robosuite takes inertia
    from.

    ``more`` may hold ``pos``, ``quat`` and, for the twin alone, ``friction``, ``priority``, ``condim`` and ``solref``.
    """
    pose = {key: more[key] for key in ("pos", "quat") if key in more}
    add_mark(body, shape, size, rgb, **pose)
    body.add_geom(type=shape, size=_three(size), group=0, mass=mass, **more)


def _three(size: tuple[float, ...]) -> list[float]:
    return [*size, 0.0, 0.0][:3]


# ------------------------------------------------------------------------------------------------------------ reset
def place_anchor(world: World, name: str, position: tuple[float, float, float], yaw: float = 0.0) -> None:
    """Put a mocap body at a world position (m), turned about the vertical (rad)."""
    mocap = world.model.body_mocapid[body_id(world.model, name)]
    world.data.mocap_pos[mocap] = position
    world.data.mocap_quat[mocap] = (np.cos(yaw / 2), 0.0, 0.0, np.sin(yaw / 2))


def joint_address(world: World, name: str) -> int:
    """Where a joint's position starts in ``qpos``."""
    return int(world.model.jnt_qposadr[named_id(world.model, "joint", name)])


# ----------------------------------------------------------------------------------------------------------- experts
def reach_for(error: np.ndarray, gripper: float, rng: np.random.Generator, gain: float = GAIN) -> np.ndarray:
    """The action ``(4,)`` float32 of a hand that still has ``error`` ``(3,)`` m to go: bounded, with a little tremor.

    A ``gain`` of 1 asks for the error itself: for a hand that is there and holds still while its fingers close.
    """
    delta = np.clip(gain * np.asarray(error) + rng.normal(0.0, TREMOR, 3), -MAX_DELTA, MAX_DELTA)
    return np.append(delta, gripper).astype(np.float32)
