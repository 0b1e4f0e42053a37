"""Move: pick up a small block and put it down on a marked place. FERM's pick and place.

The block starts anywhere in a 20 x 24 cm area at any yaw; the place, a green disc, is drawn in the same area at least
10 cm from it. Success: the block lies on the table, its centre within 2.5 cm of the disc's, it is at rest and the
fingers are open wider than it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import mujoco
import numpy as np

from sim.scene.names import named_id
from sim.tasks.common.grasping import put
from sim.tasks.common.tabletop import (
    BOX,
    CYLINDER,
    TABLE_HEIGHT,
    TabletopTask,
    add_anchor,
    add_free_body,
    add_mark,
    add_solid,
    clear_table,
    place_anchor,
    reach_for,
)

if TYPE_CHECKING:
    from sim.physics.world import World

HALF = 0.02  # m, half the block's side: the size of Lift's cube
AREA = np.array([0.10, 0.12])  # m, half lengths of the area block and disc are drawn in
APART = 0.10  # m, least distance between them at the start
PLACED = 0.025  # m, horizontally between the two centres
OPEN = 0.06  # m between the fingers: wider than the block, so it is not held
AT_REST = 0.03  # m/s


class Move(TabletopTask):
    name: ClassVar[str] = "move"
    language: ClassVar[str] = "put the blue block on the green disc"
    max_steps: ClassVar[int] = 100
    manipuland: ClassVar[str | None] = "block"
    grasps: ClassVar[bool] = True
    widest: ClassVar[float] = 2.0 * HALF * 2.0**0.5

    def build(self, spec: mujoco.MjSpec) -> None:
        clear_table(spec)
        add_mark(add_anchor(spec, "place"), CYLINDER, (0.045, 0.001), (0.1, 0.8, 0.2))
        block = add_free_body(spec, "block", TABLE_HEIGHT + HALF)
        add_solid(
            block, BOX, (HALF, HALF, HALF), (0.1, 0.2, 1.0), mass=0.064
        )  # a litre of it weighs 1 kg, as Lift's cube

    def place_objects(self, world: World, rng: np.random.Generator) -> None:
        block, place = rng.uniform(-AREA, AREA), rng.uniform(-AREA, AREA)
        while np.linalg.norm(block - place) < APART:
            place = rng.uniform(-AREA, AREA)
        put(world, "block_joint", (*block, TABLE_HEIGHT + HALF), rng.uniform(-np.pi, np.pi))
        place_anchor(world, "place", (*place, TABLE_HEIGHT + 0.001))

    def success(self, world: World) -> bool:
        offset = world.object_position("block") - world.object_position("place")
        speed = world.data.qvel[_velocity_address(world) :][:3]
        return bool(
            np.linalg.norm(offset[:2]) < PLACED
            and offset[2] < HALF + 0.005
            and np.linalg.norm(speed) < AT_REST
            and world.gripper_opening() > OPEN
        )

    def goal(self, world: World) -> np.ndarray:
        return world.object_position("place") + (0.0, 0.0, HALF)

    def expert(self, rng: np.random.Generator) -> MoveExpert:
        return MoveExpert(rng)


def _velocity_address(world: World) -> int:
    return int(world.model.jnt_dofadr[named_id(world.model, "joint", "block_joint")])


class MoveExpert:
    """Above the block, down, close; up and across; down, open.
    Closed loop on the true positions; a lost block is picked again.
    """

    CARRY = 0.10  # m above the place's surface while crossing
    HOVER = 0.06  # m above the block's centre before descending
    ALIGNED = 0.012  # m, horizontal error at which descending starts

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._closing = 0

    def act(self, world: World) -> np.ndarray:
        hand, block, place = world.eef_position(), world.object_position("block"), world.object_position("place")
        to_block = block - hand
        if self._closing < 4:
            return self._pick(to_block)
        if np.linalg.norm(to_block) > 0.04:
            self._closing = 0  # it slipped out: pick it again
            return self._pick(to_block)
        to_place = place - block
        if np.linalg.norm(to_place[:2]) > self.ALIGNED:
            height = self.CARRY if block[2] - place[2] < 0.05 else 0.0
            across = to_place * (1.0, 1.0, 0.0) if block[2] - place[2] > 0.05 else np.zeros(3)
            return reach_for(across + (0.0, 0.0, height), 1.0, self._rng)
        low = block[2] - place[2] < HALF + 0.004
        if low:
            self._closing = 4
        return reach_for(to_place + (0.0, 0.0, HALF - 0.002), -1.0 if low else 1.0, self._rng)

    def _pick(self, to_block: np.ndarray) -> np.ndarray:
        horizontal = float(np.linalg.norm(to_block[:2]))
        if self._closing > 0 or (horizontal < self.ALIGNED and abs(to_block[2]) < 0.012):
            self._closing += 1
            return reach_for(to_block / 1.8, 1.0, self._rng)
        above = self.HOVER if horizontal > self.ALIGNED else 0.0
        return reach_for(to_block + (0.0, 0.0, above), -1.0, self._rng)
