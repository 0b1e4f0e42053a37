"""Lift: grasp the cube on the table and raise it. robosuite's Lift scene with a Panda arm.

The cube starts anywhere in a 20 x 20 cm square at any yaw, a wider reset than robosuite's 6 x 6 cm, so that cloning ten
demonstrations leaves room to learn. Success is robosuite's: the cube's centre more than 4 cm above the table top.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import mujoco
import numpy as np

from sim.scene import Recipe
from sim.tasks.tabletop import CAMERAS, MAX_DELTA, TABLE_HEIGHT, WORKSPACE, tabletop_contract

if TYPE_CHECKING:
    from sim.world import World

CUBE_HALF_RANGE = 0.10  # m, each way from the table's centre
LIFTED = 0.04  # m above the table top; robosuite's threshold


class Lift:
    name: ClassVar[str] = "lift"
    language: ClassVar[str] = "lift the red cube"
    max_steps: ClassVar[int] = 60
    camera_in_scene: ClassVar[dict[str, str]] = CAMERAS
    view: ClassVar[str] = "agentview"
    workspace: ClassVar = WORKSPACE

    def __init__(self, image_size: int = 64, recipe: Recipe | None = None) -> None:
        self.recipe = recipe or Recipe(environment="Lift", robot="Panda")
        self.contract = tabletop_contract(self.name, image_size)

    def place_objects(self, world: World, rng: np.random.Generator) -> None:
        x, y = rng.uniform(-CUBE_HALF_RANGE, CUBE_HALF_RANGE, 2)
        yaw = rng.uniform(-np.pi, np.pi)
        joint = mujoco.mj_name2id(world.model, mujoco.mjtObj.mjOBJ_JOINT, "cube_joint0")
        start = world.model.jnt_qposadr[joint]
        half = world.model.geom_size[mujoco.mj_name2id(world.model, mujoco.mjtObj.mjOBJ_GEOM, "cube_g0"), 2]
        world.data.qpos[start : start + 7] = (x, y, TABLE_HEIGHT + half, np.cos(yaw / 2), 0.0, 0.0, np.sin(yaw / 2))

    def success(self, world: World) -> bool:
        return world.object_position("cube_main")[2] + world.base_position[2] > TABLE_HEIGHT + LIFTED

    def expert(self, rng: np.random.Generator) -> LiftExpert:
        return LiftExpert(rng)


class LiftExpert:
    """Go above the cube, descend, close, raise: closed loop on the cube's true position, with a little hand tremor."""

    HOVER = 0.06  # m above the cube's centre before descending
    ALIGNED = 0.012  # m, horizontal error at which descending starts
    TREMOR = 0.003  # m, standard deviation added to each commanded delta

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._closing = 0

    def act(self, world: World) -> np.ndarray:
        error = world.object_position("cube_main") - world.eef_position()
        horizontal = float(np.linalg.norm(error[:2]))
        delta, gripper = np.zeros(3), -1.0
        if self._closing >= 3 and np.linalg.norm(error) > 0.04:
            self._closing = 0  # it slipped out: start again
        if self._closing >= 3:
            delta, gripper = np.array([0.0, 0.0, MAX_DELTA]), 1.0
        elif self._closing > 0 or (horizontal < self.ALIGNED and abs(error[2]) < 0.012):
            self._closing += 1
            delta, gripper = error, 1.0
        else:
            above = self.HOVER if horizontal > self.ALIGNED else 0.0
            # the arm covers about a third of a commanded delta in one period, so ask for more than the error
            delta = 1.8 * (error + (0.0, 0.0, above))
        delta = np.clip(delta + self._rng.normal(0.0, self.TREMOR, 3), -MAX_DELTA, MAX_DELTA)
        return np.append(delta, gripper).astype(np.float32)
