"""Switch: flip the lever of a light switch that lies on the table. FERM's light switch.

The lever turns on a hinge between two stops and a spring pulls it over the middle to one or the other, so it is always
on or off and cannot be left between. The plate is held in place; it is drawn in a 16 x 20 cm area and turned by up to
0.6 rad (34 degrees). At the start the lever lies over the grey half; success: it lies over the green one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import mujoco
import numpy as np

from sim.tasks.common.grasping import body_rotation
from sim.tasks.common.tabletop import (
    BOX,
    CYLINDER,
    TABLE_HEIGHT,
    TabletopTask,
    add_anchor,
    add_mark,
    add_solid,
    clear_table,
    joint_address,
    place_anchor,
    reach_for,
)

if TYPE_CHECKING:
    from sim.physics.world import World

PLATE = (0.05, 0.07, 0.010)  # m, half lengths of the housing
LEVER = 0.060  # m, from the hinge to the tip
STOP = 0.5  # rad, each way from upright
ON = -0.35  # rad, over the middle and nearly at the other stop
# the spring runs from ARM above the hinge to ARM below it: at an angle q it turns the lever outwards with K ARM^2 sin
# q, so at the stop 150 * 0.03^2 * sin 0.5 = 0.065 N m, or 1.1 N at the tip: about what a light switch takes
SPRING, ARM = 150.0, 0.030  # N/m, m
DAMPING = 0.003  # N m s/rad
X, Y, YAW = (-0.08, 0.08), (-0.10, 0.10), (-0.6, 0.6)  # m, m, rad; where the plate is drawn
GREY, GREEN, RED = (0.35, 0.35, 0.4), (0.1, 0.8, 0.2), (1.0, 0.1, 0.1)


class Switch(TabletopTask):
    name: ClassVar[str] = "switch"
    language: ClassVar[str] = "flip the switch to the green side"
    max_steps: ClassVar[int] = 55
    manipuland: ClassVar[str | None] = "lever"  # it turns about its origin, which therefore belongs nowhere else

    def build(self, spec: mujoco.MjSpec) -> None:
        clear_table(spec)
        plate = add_anchor(spec, "plate")
        add_solid(plate, BOX, PLATE, GREY, mass=0.3, pos=(0.0, 0.0, PLATE[2]))
        half = PLATE[1] / 2
        add_mark(plate, BOX, (PLATE[0] - 0.004, half - 0.004, 0.001), GREEN, pos=(0.0, -half, 2 * PLATE[2]))

        lever = plate.add_body(name="lever", pos=[0.0, 0.0, 2 * PLATE[2]])
        lever.add_joint(
            name="switch_joint",
            type=mujoco.mjtJoint.mjJNT_HINGE,
            axis=[-1.0, 0.0, 0.0],
            range=[-STOP, STOP],
            damping=[DAMPING, 0.0, 0.0],
        )
        add_solid(lever, BOX, (0.016, 0.008, LEVER / 2), RED, mass=0.03, pos=(0.0, 0.0, LEVER / 2))
        add_mark(lever, CYLINDER, (0.012, 0.030), RED, quat=(np.sqrt(0.5), 0.0, np.sqrt(0.5), 0.0))  # the hinge
        plate.add_site(name="spring_below", pos=[0.0, 0.0, 2 * PLATE[2] - ARM])
        lever.add_site(name="spring_above", pos=[0.0, 0.0, ARM])
        spring = spec.add_tendon(name="spring", stiffness=[SPRING, 0.0, 0.0], springlength=[0.0, 0.0], group=5)
        spring.wrap_site("spring_below")
        spring.wrap_site("spring_above")
        spec.add_exclude(bodyname1="plate", bodyname2="lever")

    def place_objects(self, world: World, rng: np.random.Generator) -> None:
        place_anchor(world, "plate", (rng.uniform(*X), rng.uniform(*Y), TABLE_HEIGHT), rng.uniform(*YAW))
        world.data.qpos[joint_address(world, "switch_joint")] = STOP

    def success(self, world: World) -> bool:
        return bool(world.data.qpos[joint_address(world, "switch_joint")] < ON)

    def expert(self, rng: np.random.Generator) -> SwitchExpert:
        return SwitchExpert(rng)


class SwitchExpert:
    """Fingers closed: beyond the lever on its own side, down beside it, then across towards the green half."""

    BESIDE = 0.065  # m from the lever's tip, where the fingers come down
    OVER = 0.06  # m above that place while crossing
    HEIGHT = 0.045  # m above the hinge, where the fingers touch the lever
    ALIGNED = 0.012  # m, horizontal error at which descending starts

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._pushing = False

    def act(self, world: World) -> np.ndarray:
        axes, hinge = body_rotation(world, "plate"), world.object_position("lever")
        beside = np.array([0.0, LEVER * np.sin(STOP) + self.BESIDE, self.HEIGHT])
        error = hinge + axes @ beside - world.closed_fingers()
        if self._pushing:
            across = axes.T @ error * (1.0, 0.0, 1.0) + (0.0, -0.04, 0.0)  # stay on the plate's middle line
            return reach_for(axes @ across, 1.0, self._rng)
        horizontal = float(np.linalg.norm(error[:2]))
        if horizontal < self.ALIGNED and abs(error[2]) < self.ALIGNED:
            self._pushing = True
        return reach_for(error + (0.0, 0.0, self.OVER if horizontal > self.ALIGNED else 0.0), 1.0, self._rng)
