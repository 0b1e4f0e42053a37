"""A recording with an arm and a clock that a test owns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from hardware.teleop.recording import Recording
from robot import profile, rotations
from robot.actions import Target
from robot.contract import Action, Camera, Contract, Proprio
from robot.profile import ArmProfile

DOWN = np.array([1.0, 0.0, 0.0, 0.0])
TOLD = rotations.from_quaternion(DOWN)


def contract(**changes: Any) -> Contract:
    made = {
        "task": "trial", "cameras": (Camera("agentview", 8, 8),),
        "proprio": (Proprio("eef_pos", 3, "m", "base"), Proprio("gripper_opening", 1, "m", "gripper")),
        "action": Action("eef_delta_position", ("dx", "dy", "dz", "gripper"), ("m", "m", "m", "1"),
                         (-0.04, -0.04, -0.04, -1), (0.04, 0.04, 0.04, 1)),
        "rate_hz": 10, "deadline_ms": 80, "max_age_ms": 100,
    }  # fmt: skip
    return Contract(**{**made, **changes})


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def steady(self) -> float:
        return self.now_s

    def now_ns(self) -> int:
        return round(self.now_s * 1e9)

    def notify(self) -> None: ...


class Rig:
    def __init__(self, folder: Path, made: Contract | None = None) -> None:
        self.clock, self.said, self.number = Clock(), [], 0  # type: ignore[var-annotated]
        self.arm = ArmProfile.load(profile.find("sim_panda", profile.shipped()))
        clock: Any = self.clock
        self.recording = Recording(folder, self.arm, made or contract(), {"operator": "hand"}, self.said.append, clock)

    def step(self, at: tuple[float, float, float], told: tuple[float, float, float], held: bool = True) -> None:
        """A tenth of a second: the arm is measured, having been told where to go since the last time."""
        self.clock.now_s += 0.1
        self.number += 1
        stamp = self.clock.now_ns()
        if self.number > 1:
            self.recording.put_command(Target(1.0, position=np.array(told), rotation=TOLD))
        self.recording.put_state("eef_pos", np.array(at), stamp)
        self.recording.put_state("eef_quat", DOWN, stamp)
        self.recording.put_state("gripper_opening", np.array([0.08]), stamp)
        self.recording.put_image("agentview", np.full((8, 8, 3), self.number, np.uint8), stamp)
        self.recording.step(held)

    def end(self, outcome: str) -> None:
        self.recording.end(outcome)
        self.recording.close()
