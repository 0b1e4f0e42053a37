"""LeRobot's calibration of an arm: read from its file, compared with the servos' memory, and what zero is.

Zero and sign, in one place:

- LeRobot calibrates with the arm held in the middle of its range, and takes as zero of a joint the middle between its
  two ends, ``(range_min + range_max) / 2`` ticks. It hence depends on how a hand moved the arm.
- The simulation model (so101_new_calib) has its zeros in the middle of the ranges too, so both should agree to within
  a few degrees. Where they do not, ``zero_rad`` and ``sign`` of the settings say what the model's joint position is:
  ``model = sign * (ticks - middle) * 2 pi / 4096 + zero_rad``. Nobody has checked the signs and zeros that
  ``so101.yaml`` ships on an arm.
- The gripper is a number: 0 at ``range_min`` (closed), 1 at ``range_max`` (open); drive_mode 1 turns that round.
- The wrist's roll is calibrated by LeRobot as 0 to 4095 whatever its stops are: its zero is where the hand held it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from hardware.feetech.errors import CalibrationMismatch
from hardware.feetech.servos import RAD_PER_TICK, TICKS
from hardware.feetech.settings import GRIPPER, JOINTS, Settings
from robot.errors import PixelarmError

MAX_OFFSET = 2047
IN_MEMORY = {"homing_offset": 31, "range_min": 9, "range_max": 11}  # register that each number is kept in


@dataclass(frozen=True)
class JointCalibration:
    """One servo's entry, in LeRobot's words; positions in ticks after the homing offset."""

    id: int
    drive_mode: int
    homing_offset: int
    range_min: int
    range_max: int


@dataclass(frozen=True)
class Calibration:
    """All six servos' entries, and what they make of the settings' joints."""

    entries: Mapping[str, JointCalibration]  # JOINTS and the gripper
    settings: Settings
    source: str = "the servos' memory"

    def __post_init__(self) -> None:
        for name in (*JOINTS, GRIPPER):
            entry, where = self.entries[name], f"{self.source}: {name}"
            if entry.id != self.settings.ids[name]:
                raise PixelarmError(f"{where} must have the id {self.settings.ids[name]}, got {entry.id}")
            if not 0 <= entry.range_min < entry.range_max < TICKS or abs(entry.homing_offset) > MAX_OFFSET:
                raise PixelarmError(
                    f"{where} must have 0 <= range_min < range_max <= {TICKS - 1} ticks and an offset of at most "
                    f"{MAX_OFFSET}, got {entry.range_min}, {entry.range_max} and {entry.homing_offset}: calibrate it "
                    "again"
                )
            if entry.drive_mode not in (0, 1) or (entry.drive_mode and name != GRIPPER):
                raise PixelarmError(
                    f"{where} must have drive_mode 0, which LeRobot ignores for angles; got {entry.drive_mode}. Give "
                    "the joint sign: -1 in the settings if it turns the other way"
                )

    @classmethod
    def load(cls, path: Path, settings: Settings) -> Calibration:
        """LeRobot's file: ``{joint: {id, drive_mode, homing_offset, range_min, range_max}}``.

        Raises:
            PixelarmError: the file cannot be read, or holds something else.
        """
        try:
            data = json.loads(path.read_text())
        except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
            raise PixelarmError(f"cannot read the calibration {path}: {error}") from error
        names = (*JOINTS, GRIPPER)
        if not isinstance(data, dict) or set(data) != set(names):
            got = ", ".join(data) if isinstance(data, dict) else type(data).__name__
            raise PixelarmError(f"the calibration {path} must have the joints {', '.join(names)}, got {got}")
        return cls({name: _entry(data[name], f"{path}: {name}") for name in names}, settings, f"the calibration {path}")

    def require_same(self, memory: Calibration) -> None:
        """Raise CalibrationMismatch unless the servos' memory holds these numbers."""
        lines = self.differences(memory)
        if lines:
            raise CalibrationMismatch(
                f"{self.source} is not what the servos hold; "
                + "; ".join(lines)
                + ". It may belong to another arm, or "
                "a calibration was broken off: name the right file, or calibrate the arm again with LeRobot"
            )

    def differences(self, memory: Calibration) -> list[str]:
        """Each number that differs, in words: joint, what it is, both values."""
        return [
            f"{name}: {key} is {getattr(entry, key)} in the file and {getattr(memory.entries[name], key)} in servo "
            f"{entry.id} (register {register})"
            for name, entry in self.entries.items()
            for key, register in IN_MEMORY.items()
            if getattr(entry, key) != getattr(memory.entries[name], key)
        ]

    # ----------------------------------------------------------------------------------------------------- conversions
    @cached_property
    def _middle(self) -> np.ndarray:
        return np.array([(self.entries[n].range_min + self.entries[n].range_max) / 2 for n in JOINTS])

    @cached_property
    def _sign(self) -> np.ndarray:
        return np.array([self.settings.joints[n].sign for n in JOINTS], float)

    @cached_property
    def _zero(self) -> np.ndarray:
        return np.array([self.settings.joints[n].zero_rad for n in JOINTS])

    def position(self, ticks: np.ndarray) -> np.ndarray:
        """``(5,)`` ticks of the joints as ``(5,)`` rad of the model."""
        return self._sign * (ticks - self._middle) * RAD_PER_TICK + self._zero

    def velocity(self, ticks_per_s: np.ndarray) -> np.ndarray:
        """``(5,)`` ticks/s as ``(5,)`` rad/s of the model."""
        return self._sign * ticks_per_s * RAD_PER_TICK

    def ticks(self, position: np.ndarray) -> np.ndarray:
        """``(5,)`` rad of the model as the nearest ``(5,)`` whole ticks, inside of each joint's calibrated range."""
        raw = np.rint(self._sign * (position - self._zero) / RAD_PER_TICK + self._middle).astype(int)
        low = [self.entries[n].range_min for n in JOINTS]
        return np.clip(raw, low, [self.entries[n].range_max for n in JOINTS])

    def gripper(self, ticks: int) -> float:
        """0 closed, 1 open; a little beyond where the jaw is."""
        entry = self.entries[GRIPPER]
        share = (ticks - entry.range_min) / (entry.range_max - entry.range_min)
        return 1.0 - share if entry.drive_mode else share

    def gripper_ticks(self, opening: float) -> int:
        """The nearest whole tick to an opening from 0 (closed) to 1 (open), clipped to that range."""
        entry = self.entries[GRIPPER]
        share = min(1.0, max(0.0, 1.0 - opening if entry.drive_mode else opening))
        return round(entry.range_min + share * (entry.range_max - entry.range_min))

    @cached_property
    def range_rad(self) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest ``(5,)`` rad that both the calibration and the model allow.

        Raises:
            PixelarmError: a joint for which they have nothing in common.
        """
        ends = [
            self.position(np.array([getattr(self.entries[n], k) for n in JOINTS])) for k in ("range_min", "range_max")
        ]
        low, high = np.maximum(np.minimum(*ends), self.settings.low), np.minimum(np.maximum(*ends), self.settings.high)
        wrong = [name for name, a, b in zip(JOINTS, low, high) if a >= b]
        if wrong:
            raise PixelarmError(
                f"{self.source} and the model's joint ranges have nothing in common for {', '.join(wrong)}: check sign "
                "and zero_rad in the settings, or calibrate again"
            )
        return low, high


def _entry(value: Any, where: str) -> JointCalibration:
    keys = [field.name for field in fields(JointCalibration)]
    if not isinstance(value, dict) or set(value) != set(keys):
        raise PixelarmError(f"{where} must have the numbers {', '.join(keys)}, got {value!r}")
    if any(not isinstance(number, int) or isinstance(number, bool) for number in value.values()):
        raise PixelarmError(f"{where} must hold whole numbers, got {value!r}")
    return JointCalibration(**value)
