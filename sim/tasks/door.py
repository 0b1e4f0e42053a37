"""Door: push the handle down and pull the door open. robosuite's Door scene, with its spring latch.

Reset is robosuite's: the door frame within 2 x 2 cm and a turn of 0 to 0.25 rad. robosuite moves the frame by editing
the compiled model; here the frame is a mocap body, so that its pose is part of the simulation state and a restored
episode has it. Success is robosuite's: the hinge turned by more than 0.3 rad (17 degrees; it stops at 0.4).

The action is ``eef_delta_position``: with the hand held straight down, one finger presses the lever from above and
draws the door open by friction, so nothing needs to turn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import mujoco
import numpy as np

from robot.rotations import from_axis_angle
from sim.physics.arm import ANYWHERE, Workspace
from sim.scene.names import body_id, in_spec, named_id
from sim.tasks.common.tabletop import GAIN, MAX_DELTA, TabletopTask, joint_address, place_anchor

if TYPE_CHECKING:
    from sim.physics.world import World

CENTRE = np.array([-0.2, -0.35, 0.8])  # m, world frame; the small table of robosuite's Door
X_RANGE, Y_RANGE = (0.07, 0.09), (-0.01, 0.01)  # m from the centre; robosuite's sampler
TURN_RANGE = (-np.pi / 2 - 0.25, -np.pi / 2)  # rad about the vertical; robosuite's sampler
FOOT = 0.3  # m from the door's origin down to its foot; door_lock.xml
OPEN = 0.3  # rad; robosuite's threshold


class Door(TabletopTask):
    name: ClassVar[str] = "door"
    language: ClassVar[str] = "push the handle down and open the door"
    max_steps: ClassVar[int] = 120
    manipuland: ClassVar[str | None] = "Door_latch"
    environment: ClassVar[str] = "Door"
    workspace: ClassVar[Workspace] = ANYWHERE

    def build(self, spec: mujoco.MjSpec) -> None:
        """The frame becomes a mocap body: it stands still like a fixed one, but its pose is state."""
        in_spec(spec, "body", "Door_main").mocap = True

    def place_objects(self, world: World, rng: np.random.Generator) -> None:
        x, y, turn = rng.uniform(*X_RANGE), rng.uniform(*Y_RANGE), rng.uniform(*TURN_RANGE)
        place_anchor(world, "Door_main", tuple(CENTRE + (x, y, FOOT)), turn)

    def success(self, world: World) -> bool:
        return bool(world.data.qpos[joint_address(world, "Door_hinge")] > OPEN)

    def goal(self, world: World) -> np.ndarray:
        """Where the latch is when the door is just open enough."""
        hinge = named_id(world.model, "joint", "Door_hinge")
        latch = world.object_position("Door_latch")  # this brings the joints' frames up to date too
        anchor, axis = world.data.xanchor[hinge] - world.base_position, world.data.xaxis[hinge]
        left = OPEN - float(world.data.qpos[joint_address(world, "Door_hinge")])
        return anchor + from_axis_angle(axis * left) @ (latch - anchor)

    def expert(self, rng: np.random.Generator) -> DoorExpert:
        return DoorExpert(rng)


class DoorExpert:
    """Lay one open finger on the lever, follow its arc down until the latch is free, then draw the door open by
    friction.

    The hand is 20 cm wide in the direction in which its fingers close, which is across the door: one finger on the
    lever leaves the hand's other side in front of the panel. The lever turns about the latch's y axis, the door about
    the vertical.
    """

    LEVER = np.array([0.14, -0.10, 0.031])  # m, in the latch's frame: on top of the lever, and half a finger above
    # m, the radius of the lever's axle, and what a hand that juts out above the fingers must stay above it: the finger
    # hangs the lower below the axle the further from it that it presses
    AXLE, CLEAR = 0.025, 0.014
    HOVER = 0.06  # m above the lever before descending
    ALIGNED = 0.012  # m, horizontal error at which descending starts
    FREE = 1.2  # rad, the lever's angle at which the latch clears the frame
    AHEAD = 0.35  # rad along the lever's arc
    # m per step along the panel and away from it: friction carries a pull of at most the press; a quarter of it opens
    # the door
    PRESS, PULL = 0.02, 0.02
    AJAR, EASE = 0.36, 0.25  # rad of the door from which on it is held rather than pulled, and by how much of that
    TREMOR = 0.002  # m, standard deviation added to each commanded delta

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._pressing = self._free = False

    def act(self, world: World) -> np.ndarray:
        angle = float(world.data.qpos[joint_address(world, "Door_latch_joint")])
        # the middle of the open finger nearer the door
        finger = world.eef_position() - (0.0, world.arm.description.gripper.finger, 0.0)
        error = self._lever(world, angle) - finger
        if self._pressing and np.linalg.norm(error) > 0.08:
            self._pressing = self._free = False  # it slipped off: start again
        aligned = np.linalg.norm(error[:2]) < self.ALIGNED
        if self._pressing or (aligned and error[2] > -0.01):
            self._pressing = True
            self._free = self._free or angle > self.FREE
            move = GAIN * (self._lever(world, min(angle + self.AHEAD, 1.57)) - finger)
            if self._free:
                door = world.data.xmat[body_id(world.model, "Door_door")].reshape(3, 3)
                # at the door's stop the finger would slip off, and the latch's spring draws the door to
                ease = self.EASE if world.data.qpos[joint_address(world, "Door_hinge")] > self.AJAR else 1.0
                move = ease * (door @ (-self.PRESS, -self.PULL, 0.0)) + (0.0, 0.0, move[2])
        else:
            move = GAIN * (error + (0.0, 0.0, 0.0 if aligned else self.HOVER))
        move = np.clip(move + self._rng.normal(0.0, self.TREMOR, 3), -MAX_DELTA, MAX_DELTA)
        return np.append(move, -1.0).astype(np.float32)

    def _lever(self, world: World, angle: float) -> np.ndarray:
        """Where the finger would lie on the lever ``(3,)`` m, base frame, were the lever at ``angle``."""
        latch = world.object_position("Door_latch")
        door = world.data.xmat[body_id(world.model, "Door_door")].reshape(3, 3)
        along, across, above = self.LEVER
        along = min(along, world.arm.description.juts_from - self.AXLE - self.CLEAR)
        return latch + door @ from_axis_angle(np.array([0.0, angle, 0.0])) @ (along, across, above)
