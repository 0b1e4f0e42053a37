"""Drawer: hook the handle of a small cabinet's drawer and pull it open.

The cabinet stands at the table's left, held in place, and opens to the right (towards -y), so both cameras see the
handle and the way the drawer goes. It is drawn in a 10 x 4 cm area and turned by up to 0.25 rad (14 degrees). The
handle is a bar with a gap behind it that the closed fingers fit into. Success: the drawer is open by more than 10 cm of
its 14 cm.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import mujoco
import numpy as np

from sim.tasks.common.grasping import body_rotation
from sim.tasks.common.tabletop import (
    BOX,
    TABLE_HEIGHT,
    TabletopTask,
    add_anchor,
    add_solid,
    clear_table,
    joint_address,
    place_anchor,
    reach_for,
)

if TYPE_CHECKING:
    from sim.physics.world import World

WIDTH, DEPTH, HEIGHT = (
    0.20,
    0.18,
    0.075,
)  # m, of the cabinet; low enough for the hand to pass over while its fingers hook the bar
WALL = 0.004  # m, half a wall's thickness
CLEAR = 0.006  # m, the drawer runs above the table
BAR_AT, BAR_HEIGHT = 0.075, 0.055  # m, of the handle's bar in front of the cabinet and above the drawer's floor
TRAVEL, OPENED = 0.14, 0.10  # m, how far the drawer goes and how far is open
DAMPING, FRICTION = 5.0, 1.0  # N s/m and N: a light drawer on plain runners, stays where it is left
X, Y, YAW = (-0.05, 0.05), (0.19, 0.23), (-0.25, 0.25)  # m, m, rad; where the cabinet's centre is drawn
BROWN, ORANGE, BLUE = (0.5, 0.3, 0.15), (1.0, 0.55, 0.1), (0.1, 0.1, 0.7)


class Drawer(TabletopTask):
    name: ClassVar[str] = "drawer"
    language: ClassVar[str] = "open the drawer"
    max_steps: ClassVar[int] = 60
    manipuland: ClassVar[str | None] = "drawer"

    def build(self, spec: mujoco.MjSpec) -> None:
        clear_table(spec)
        cabinet = add_anchor(spec, "cabinet")
        half_x, half_y, half_z = WIDTH / 2, DEPTH / 2, HEIGHT / 2
        for side in (-1, 1):
            at = (side * (half_x - WALL), 0.0, half_z)
            add_solid(cabinet, BOX, (WALL, half_y, half_z), BROWN, mass=0.3, pos=at)
        add_solid(cabinet, BOX, (half_x, half_y, WALL), BROWN, mass=0.3, pos=(0.0, 0.0, HEIGHT - WALL))
        add_solid(cabinet, BOX, (half_x, WALL, half_z), BROWN, mass=0.3, pos=(0.0, half_y - WALL, half_z))

        drawer = cabinet.add_body(name="drawer", pos=[0.0, 0.0, CLEAR])
        drawer.add_joint(
            name="drawer_joint",
            type=mujoco.mjtJoint.mjJNT_SLIDE,
            axis=[0.0, -1.0, 0.0],
            range=[0.0, TRAVEL],
            damping=[DAMPING, 0.0, 0.0],
            frictionloss=FRICTION,
        )
        inner_x, inner_z = half_x - 3 * WALL, half_z - 2.5 * WALL
        for at, size in (
            ((0.0, -half_y, inner_z), (inner_x, WALL, inner_z)),  # front
            ((0.0, 0.0, WALL), (inner_x, half_y - 3 * WALL, WALL)),  # floor
            ((-inner_x + WALL, 0.0, inner_z / 2), (WALL, half_y - 3 * WALL, inner_z / 2)),
            ((inner_x - WALL, 0.0, inner_z / 2), (WALL, half_y - 3 * WALL, inner_z / 2)),
        ):
            add_solid(drawer, BOX, size, ORANGE, mass=0.08, pos=at)
        post = (BAR_AT - WALL) / 2
        for side in (-1, 1):
            add_solid(
                drawer, BOX, (0.006, post, 0.006), BLUE, mass=0.02, pos=(side * 0.05, -half_y - WALL - post, BAR_HEIGHT)
            )
        add_solid(drawer, BOX, (0.056, 0.006, 0.008), BLUE, mass=0.04, pos=(0.0, -half_y - BAR_AT, BAR_HEIGHT))
        spec.add_exclude(bodyname1="cabinet", bodyname2="drawer")  # the joint guides it

    def place_objects(self, world: World, rng: np.random.Generator) -> None:
        place_anchor(world, "cabinet", (rng.uniform(*X), rng.uniform(*Y), TABLE_HEIGHT), rng.uniform(*YAW))

    def success(self, world: World) -> bool:
        return bool(world.data.qpos[joint_address(world, "drawer_joint")] > OPENED)

    def goal(self, world: World) -> np.ndarray:
        """Where the drawer's origin is when it is just open enough."""
        return world.object_position("cabinet") + body_rotation(world, "cabinet") @ (0.0, -OPENED, CLEAR)

    def expert(self, rng: np.random.Generator) -> DrawerExpert:
        return DrawerExpert(rng)


class DrawerExpert:
    """Fingers closed: above the gap behind the bar, down into it, then along the drawer's way."""

    HOVER = 0.06  # m above the bar while crossing
    ALIGNED = 0.010  # m, horizontal error at which descending starts
    HOOKED = 0.012  # m, height error at which pulling starts

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng

    def act(self, world: World) -> np.ndarray:
        axes = body_rotation(world, "drawer")
        gap = world.object_position("drawer") + axes @ (0.0, -DEPTH / 2 - BAR_AT / 2, BAR_HEIGHT)
        error = gap - world.closed_fingers()
        across = float(np.linalg.norm(error[:2]))
        low = -error[2] < self.HOVER / 2
        if low and across < BAR_AT:  # inside the gap
            pull = -axes[:, 1] * 0.04 if abs(error[2]) < self.HOOKED else np.zeros(3)
            return reach_for(error * (0.0, 0.0, 1.0) + pull, 1.0, self._rng)
        above = self.HOVER if across > self.ALIGNED else 0.0
        if low:
            error = error * (0.0, 0.0, 1.0)  # first up, then across
        return reach_for(error + (0.0, 0.0, above), 1.0, self._rng)
