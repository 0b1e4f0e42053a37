"""Reach: bring the point between the finger tips to a red ball that floats over the table. FERM's simplest job.

The ball touches nothing. It is drawn uniformly in a box 24 cm deep, 36 cm wide and 16 cm high above the table's middle,
not closer than 10 cm to where the gripper starts. Success: the point between the finger tips is within 2.5 cm, the
ball's radius, of the ball's centre.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import mujoco
import numpy as np

from sim.tasks.common.tabletop import (
    SPHERE,
    TABLE_HEIGHT,
    TabletopTask,
    add_anchor,
    add_mark,
    clear_table,
    place_anchor,
    reach_for,
)

if TYPE_CHECKING:
    from sim.physics.world import World

RADIUS = 0.025  # m, of the ball, and how near is reached
LOW = np.array([-0.12, -0.18, TABLE_HEIGHT + 0.04])  # m, world; corners of the box the ball's centre is drawn in
HIGH = np.array([0.12, 0.18, TABLE_HEIGHT + 0.20])
NOT_WITHIN = 0.10  # m from the gripper's start


class Reach(TabletopTask):
    name: ClassVar[str] = "reach"
    language: ClassVar[str] = "touch the red ball"
    max_steps: ClassVar[int] = 30

    def build(self, spec: mujoco.MjSpec) -> None:
        clear_table(spec)
        add_mark(add_anchor(spec, "ball"), SPHERE, (RADIUS,), (1.0, 0.1, 0.1))

    def place_objects(self, world: World, rng: np.random.Generator) -> None:
        start = world.eef_position() + world.base_position
        ball = rng.uniform(LOW, HIGH)
        while np.linalg.norm(ball - start) < NOT_WITHIN:
            ball = rng.uniform(LOW, HIGH)
        place_anchor(world, "ball", tuple(ball))

    def success(self, world: World) -> bool:
        return bool(np.linalg.norm(world.object_position("ball") - world.eef_position()) < RADIUS)

    def goal(self, world: World) -> np.ndarray:
        """The hand's: this task moves nothing else."""
        return world.object_position("ball")

    def expert(self, rng: np.random.Generator) -> ReachExpert:
        return ReachExpert(rng)


class ReachExpert:
    """Straight to the ball, fingers open."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng

    def act(self, world: World) -> np.ndarray:
        return reach_for(world.object_position("ball") - world.eef_position(), -1.0, self._rng)
