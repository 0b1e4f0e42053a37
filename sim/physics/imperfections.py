"""What a real arm has and the simulated one has not: too little gravity compensation, dry friction, play in its gears.

They are for judging a policy on an arm that is not as good as the one it was trained with.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import mujoco
import numpy as np

from robot.errors import PixelarmError
from sim.physics.control import OperationalSpaceController
from sim.physics.placed_arm import PlacedArm
from sim.physics.world import World

LARGEST = {"gravity_error": 0.5, "joint_friction": 0.2, "backlash_m": 0.05}


@dataclass(frozen=True)
class Imperfections:
    """Of an arm that is led by poses and moved by motors.

    Args:
        gravity_error: share of gravity's (and Coriolis') torques that the controller does not make up for.
        joint_friction: dry friction of each joint, a share of its motor's greatest torque.
        backlash_m: play. A target that turns back first moves by so much before the hand goes with it, in each of the
            directions x, y and z.
    """

    gravity_error: float = 0.0
    joint_friction: float = 0.0
    backlash_m: float = 0.0

    def __post_init__(self) -> None:
        for name, largest in LARGEST.items():
            if not 0.0 <= getattr(self, name) <= largest:
                raise PixelarmError(f"{name} must lie between 0 and {largest:g}, got {getattr(self, name):g}")

    def apply(self, world: World) -> None:
        """Give them to an arm, for good."""
        if self == Imperfections():
            return
        if not isinstance(world.controller, OperationalSpaceController):
            raise PixelarmError(
                f"{world.arm.description.name} is moved by servos or in its joints here: errors of gravity "
                "compensation, friction and play are those of arms with motors that are led by poses"
            )
        motors = world.model.actuator_ctrlrange[world.arm.actuators, 1]
        world.model.dof_frictionloss[world.arm.dof] += self.joint_friction * motors
        world.use(ImperfectController(world.model, world.arm, self))


class ImperfectController(OperationalSpaceController):
    """The controller of an arm with such errors. What it is told is its goal; what it goes to lags by the play."""

    STATE: ClassVar[tuple[str, ...]] = (*OperationalSpaceController.STATE, "followed")

    def __init__(self, model: mujoco.MjModel, arm: PlacedArm, errors: Imperfections) -> None:
        super().__init__(model, arm)
        self._errors = errors
        self.followed = np.zeros(3)  # m, world: the goal on the far side of the play

    def reset(self, data: mujoco.MjData) -> None:
        super().reset(data)
        self.followed[:] = self.goal_position

    def command(self, data: mujoco.MjData) -> np.ndarray:
        told, half = self.goal_position, 0.5 * self._errors.backlash_m
        self.followed = np.clip(self.followed, told - half, told + half)
        self.goal_position = self.followed
        torque = super().command(data)
        self.goal_position = told
        short = torque - self._errors.gravity_error * data.qfrc_bias[self._arm.dof]
        return np.minimum(np.maximum(short, self._low), self._high)
