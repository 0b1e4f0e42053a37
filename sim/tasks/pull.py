"""Pull: drag a large light box, too wide to grasp, back to a line marked on the table. FERM's pulling job.

The box (20 x 14 x 5 cm, 150 g) starts beyond the line at a small yaw; the line runs across the table. One way is to
lower the open fingers behind the box and draw it towards the arm; pressing on its lid works too. Success: the box's
centre has reached the line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import mujoco
import numpy as np

from sim.tasks.common.grasping import body_rotation, put
from sim.tasks.common.tabletop import (
    BOX,
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

HALF = np.array([0.07, 0.10, 0.025])  # m, half the box's sides; the fingers open 8 cm
MASS, SLIDING = 0.15, 0.4  # kg, and the coefficient of friction of a cardboard box on a table
BOX_X, BOX_Y, BOX_YAW = (0.02, 0.07), (-0.10, 0.10), (-0.3, 0.3)  # m, m, rad; world
LINE_X = (-0.14, -0.08)  # m, world
THICK = 0.012  # m, half the line's width


class Pull(TabletopTask):
    name: ClassVar[str] = "pull"
    language: ClassVar[str] = "pull the box to the red line"
    max_steps: ClassVar[int] = 90
    manipuland: ClassVar[str | None] = "box"

    def build(self, spec: mujoco.MjSpec) -> None:
        clear_table(spec)
        add_mark(add_anchor(spec, "line"), BOX, (THICK, 0.30, 0.001), (1.0, 0.1, 0.1))
        box = add_free_body(spec, "box", TABLE_HEIGHT + HALF[2])
        # priority: the box's own friction counts, whatever it touches
        add_solid(box, BOX, tuple(HALF), (0.75, 0.55, 0.3), MASS, friction=[SLIDING, 0.005, 0.0001], priority=1)
        add_mark(
            box, BOX, (HALF[0] + 0.001, 0.015, HALF[2] + 0.001), (0.1, 0.3, 0.9)
        )  # a ribbon shows how it is turned

    def place_objects(self, world: World, rng: np.random.Generator) -> None:
        at = (rng.uniform(*BOX_X), rng.uniform(*BOX_Y), TABLE_HEIGHT + HALF[2])
        put(world, "box_joint", at, rng.uniform(*BOX_YAW))
        place_anchor(world, "line", (rng.uniform(*LINE_X), 0.0, TABLE_HEIGHT + 0.001))

    def success(self, world: World) -> bool:
        return bool(world.object_position("box")[0] < world.object_position("line")[0])

    def goal(self, world: World) -> np.ndarray:
        """Straight back to the line."""
        box = world.object_position("box")
        return np.array([world.object_position("line")[0], *box[1:]])

    def expert(self, rng: np.random.Generator) -> PullExpert:
        return PullExpert(rng)


class PullExpert:
    """Fingers open: over the box, down behind it, then draw it back, keeping the hand at the middle of its far side."""

    BEHIND = 0.035  # m from the far side to where the fingers come down
    OVER = 0.045  # m above the box's lid while crossing
    ALIGNED = 0.012  # m, horizontal error at which descending starts

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng

    def act(self, world: World) -> np.ndarray:
        hand, box = world.eef_position(), world.object_position("box")
        far = float(
            np.abs(body_rotation(world, "box")[0, :2]) @ HALF[:2]
        )  # m, from the centre to the furthest corner, along x
        goal = box + (far + self.BEHIND, 0.0, -HALF[2] + 0.015)
        goal[0] = min(goal[0], world.arm.description.workspace[1][0])  # or as near to it as the arm gets
        error = goal - hand
        low = hand[2] - box[2] < 0.02
        behind = hand[0] - box[0] > HALF[0]
        if low and behind and abs(error[1]) < 0.05:
            return reach_for(np.array([-0.04, error[1], error[2]]), -1.0, self._rng)
        if np.linalg.norm(error[:2]) > self.ALIGNED:
            over = box[2] + HALF[2] + self.OVER - hand[2]
            across = error[:2] if over < 0.02 else np.zeros(2)  # first up, then across
            return reach_for(np.array([*across, over]), -1.0, self._rng)
        return reach_for(error, -1.0, self._rng)
