"""A task's world behind emulated servos: the real driver of an SO-101 plays the scene of ``pixelarm sim-arm``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hardware.feetech.emulated.servo import LONGEST_S, EmulatedServo
from hardware.feetech.settings import JOINTS, Settings
from hardware.simulated.arm import SimArm
from hardware.simulated.so101_body import Angles
from robot.errors import PixelarmError

STEP_S = 0.005  # of the servos' own motion between goal and setpoint


class WorldBody:
    """What six emulated servos move, base to gripper: joints and jaw of a simulated SO-101 in real time."""

    def __init__(self, arm: SimArm, settings: Settings) -> None:
        if arm.world.arm.description.name != "so101":
            raise PixelarmError(f"servos of an SO-101 cannot move a {arm.world.arm.description.name}")
        low, high = arm.world.arm.description.gripper.closed[0], arm.world.arm.description.gripper.open[0]
        self._arm, self._angles = arm, Angles(settings, (float(low), float(high)))

    def advance(self, servos: Sequence[EmulatedServo], seconds: float) -> None:
        """Let time pass: the servos' targets in, where the world's joints are out."""
        seconds = min(seconds, LONGEST_S)
        if seconds <= 0.0:
            return
        measured, load = self._arm.joints()
        targets: list[float | None] = [None] * len(servos)
        left = seconds
        while left > 1e-9:
            step = min(left, STEP_S)
            targets = [servo.target(step) for servo in servos]
            left -= step
        goals = [
            m if t is None else self._angles.to_rad(i, s, t)
            for i, (s, t, m) in enumerate(zip(servos, targets, measured))
        ]
        jaw = goals[len(JOINTS)]
        low, high = self._angles.jaw
        if any(target is not None for target in targets):  # else the joints are limp
            opening = (jaw - low) / (high - low)
            self._arm.lead(np.array(goals[: len(JOINTS)]), 1.0 - 2.0 * opening)
        for number, servo in enumerate(servos):
            at = servo.encoder if servo.stuck else self._angles.to_encoder(number, servo, float(measured[number]))
            servo.moved(at, float(load[number]), seconds)
            servo.sense(seconds)
