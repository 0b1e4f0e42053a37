"""Numbers of an SO-101: ``so101.yaml`` beside this file, or a copy of it. Every key is checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from robot.errors import PixelarmError
from robot.profile.reading import build, read_yaml

OWN = Path(__file__).with_name("so101.yaml")
SIMULATED = Path(__file__).with_name("so101_simulated.yaml")
JOINTS = ("shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll")  # LeRobot's names, base to tip
GRIPPER = "gripper"


@dataclass(frozen=True)
class JointSettings:
    """One joint of the arm."""

    id: int  # on the bus
    low: float  # rad, of the simulation model
    high: float  # rad
    rest: float  # rad, where it lies when the arm is folded
    sign: int = 1  # model = sign * LeRobot's + zero_rad
    zero_rad: float = 0.0


@dataclass(frozen=True)
class GripperSettings:
    """The jaw, whose position is a number from 0 (closed) to 1 (open)."""

    id: int = 6
    max_torque: float = 0.5  # share of the stall torque that its servo may use
    max_current_a: float = 0.5  # A; above it for longer, its goal goes back towards where the jaw is
    max_speed_s: float = 2.0  # of its whole way, per second


@dataclass(frozen=True)
class Limits:
    """What the driver allows, whoever asks. The servos' own protection is beside it."""

    max_speed_rad_s: float = 1.5  # of a joint's goal; also what the servos are told as their highest speed
    max_step_rad: float = 0.05  # of a joint's goal in one write, however long ago the last one was
    max_lead_rad: float = 0.3  # of a joint's goal from where the joint is: bounds what a blocked joint pushes with
    max_current_a: float = 1.5  # A, of a joint's servo
    over_current_s: float = 0.3  # s for which it may be exceeded
    max_temperature_c: float = 60.0  # °C, of any servo; the servos' own limit is 70
    fold_speed_rad_s: float = 0.5  # of fold, and of a follower that first goes to its leader

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0.0 < value < float("inf"):
                raise PixelarmError(f"limits.{name} must be positive and finite, got {value}")


@dataclass(frozen=True)
class Settings:
    """One kind of arm. Joints are in the order of ``JOINTS`` wherever numbers stand in a row."""

    joints: Mapping[str, JointSettings]
    gripper: GripperSettings = field(default_factory=GripperSettings)
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        if tuple(self.joints) != JOINTS:
            raise PixelarmError(f"joints must be {', '.join(JOINTS)} in this order, got {', '.join(self.joints)}")
        ids = list(self.names)
        if len(ids) != len(JOINTS) + 1 or not all(0 <= id_ <= 252 for id_ in ids):
            raise PixelarmError(f"the six servos must have ids of their own from 0 to 252, got {ids}")
        for name, joint in self.joints.items():
            if joint.sign not in (1, -1) or not joint.low < joint.rest < joint.high:
                raise PixelarmError(
                    f"joints.{name}: sign must be 1 or -1 and low < rest < high (rad), got {joint.sign} and "
                    f"{joint.low}, {joint.rest}, {joint.high}"
                )
        if not (0.0 < self.gripper.max_torque <= 1.0 and self.gripper.max_current_a > 0 < self.gripper.max_speed_s):
            raise PixelarmError(
                "gripper: max_torque must lie in (0, 1], and max_current_a (A) and max_speed_s (1/s) be positive"
            )

    @classmethod
    def load(cls, path: Path | None = None) -> Settings:
        """From a YAML file; without one, pixelarm's own.

        Raises:
            PixelarmError: naming the key that is unknown, missing or of another type.
        """
        path = path or OWN
        where = f"settings of the arm {path}"
        made: Settings = build(cls, read_yaml(path, where), where)
        return made

    @cached_property
    def ids(self) -> dict[str, int]:
        """Name -> id of all six servos, the gripper last."""
        return {**{name: joint.id for name, joint in self.joints.items()}, GRIPPER: self.gripper.id}

    @cached_property
    def names(self) -> dict[int, str]:
        return {id_: name for name, id_ in self.ids.items()}

    @cached_property
    def low(self) -> np.ndarray:
        """``(5,)`` rad."""
        return np.array([joint.low for joint in self.joints.values()])

    @cached_property
    def high(self) -> np.ndarray:
        """``(5,)`` rad."""
        return np.array([joint.high for joint in self.joints.values()])

    @cached_property
    def rest(self) -> np.ndarray:
        """``(5,)`` rad."""
        return np.array([joint.rest for joint in self.joints.values()])
