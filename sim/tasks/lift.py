"""Lift: grasp the cube on the table and raise it. robosuite's Lift scene.

The cube starts anywhere in a 20 x 20 cm square at any yaw, a wider reset than robosuite's 6 x 6 cm, so that cloning ten
demonstrations leaves room to learn. Success is robosuite's: the cube's centre more than 4 cm above the table top.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from sim.scene.names import named_id
from sim.tasks.common.grasping import put
from sim.tasks.common.tabletop import MAX_DELTA, TABLE_HEIGHT, TabletopTask, reach_for

if TYPE_CHECKING:
    from sim.physics.world import World

CUBE_HALF_RANGE = 0.10  # m, each way from the table's centre
LIFTED = 0.04  # m above the table top; robosuite's threshold


class Lift(TabletopTask):
    name: ClassVar[str] = "lift"
    language: ClassVar[str] = "lift the red cube"
    max_steps: ClassVar[int] = 60
    manipuland: ClassVar[str | None] = "cube_main"  # up is enough: it has no goal
    grasps: ClassVar[bool] = True
    widest: ClassVar[float] = 0.0623  # diagonal of robosuite's largest cube, 44 mm

    def place_objects(self, world: World, rng: np.random.Generator) -> None:
        x, y = rng.uniform(-CUBE_HALF_RANGE, CUBE_HALF_RANGE, 2)
        half = world.model.geom_size[named_id(world.model, "geom", "cube_g0"), 2]
        put(world, "cube_joint0", (x, y, TABLE_HEIGHT + half), rng.uniform(-np.pi, np.pi))

    def success(self, world: World) -> bool:
        return bool(world.object_position("cube_main")[2] + world.base_position[2] > TABLE_HEIGHT + LIFTED)

    def expert(self, rng: np.random.Generator) -> LiftExpert:
        return LiftExpert(rng)


class LiftExpert:
    """Go above the cube, descend, close, raise: closed loop on the cube's true position, with a little hand tremor."""

    HOVER = 0.06  # m above the cube's centre before descending
    ALIGNED = 0.012  # m, horizontal error at which descending starts

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._closing = 0

    def act(self, world: World) -> np.ndarray:
        error = world.object_position("cube_main") - world.eef_position()
        horizontal = float(np.linalg.norm(error[:2]))
        if self._closing >= 3 and np.linalg.norm(error) > 0.04:
            self._closing = 0  # it slipped out: start again
        if self._closing >= 3:
            return reach_for(np.array([0.0, 0.0, MAX_DELTA]), 1.0, self._rng, gain=1.0)
        if self._closing > 0 or (horizontal < self.ALIGNED and abs(error[2]) < 0.012):
            self._closing += 1
            return reach_for(error, 1.0, self._rng, gain=1.0)
        above = self.HOVER if horizontal > self.ALIGNED else 0.0
        return reach_for(error + (0.0, 0.0, above), -1.0, self._rng)
