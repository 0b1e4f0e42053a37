"""A teleoperated arm with a clock that a test owns: the arm stands wherever the test puts it."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from hardware.teleop.input import Input
from hardware.teleop.mapping import Shape
from hardware.teleop.teleop import Teleop
from robot import profile
from robot.actions import Target
from robot.profile import ArmProfile

HERE = np.array([0.5, 0.0, 0.3])
DOWN = np.array([1.0, 0.0, 0.0, 0.0])


def arm(name: str = "sim_panda") -> ArmProfile:
    return ArmProfile.load(profile.find(name, profile.shipped()))


class Rig:
    """Its device speaks every 20 ms; the arbiter gives it command."""

    def __init__(self, name: str = "sim_panda", speed: float = 0.1) -> None:
        self.now_s, self.sequence, self.arm = 100.0, itertools.count(), arm(name)
        self.teleop = Teleop(self.arm, Shape.of(self.arm.limits, speed, 0.5), lambda: self.now_s)
        self.position, self.xyzw, self.joints = HERE.copy(), DOWN, np.zeros(len(self.arm.joint_names))
        self.status: dict[str, Any] | None = {"mode": "teleop", "rule": "released", "words": "", "gripper": None}
        self.sensing = True

    def sense(self) -> None:
        stamp = round(self.now_s * 1e9)
        if self.sensing:
            self.teleop.put_state("eef_pos", self.position.copy(), stamp)
            self.teleop.put_state("eef_quat", self.xyzw, stamp)
            self.teleop.put_state("joint_pos", self.joints.copy(), stamp)
        if self.status is not None:
            self.teleop.put_status(self.status)

    def say(self, held: bool, late_s: float = 0.0, **wanted: Any) -> bool:
        return self.teleop.receiver.put(Input(held, next(self.sequence), (self.now_s - late_s) * 1e3, **wanted))

    def run(self, seconds: float, held: bool | None = None, **wanted: Any) -> list[tuple[bool, Target | None]]:
        """Ticks of 20 ms; ``held`` None: the device is silent."""
        found = []
        for _ in range(round(seconds * 50)):
            self.now_s += 0.02
            self.sense()
            if held is not None:
                self.say(held, **wanted)
            found.append(self.teleop.tick())
        return found

    def target(self) -> np.ndarray:
        return self.teleop.mapping.position
