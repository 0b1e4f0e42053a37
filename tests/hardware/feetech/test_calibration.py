"""LeRobot's calibration: ticks and radians by hand, and every difference named."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hardware.feetech.calibration import Calibration, JointCalibration
from hardware.feetech.errors import CalibrationMismatch
from hardware.feetech.settings import JOINTS, OWN, Settings
from robot.errors import PixelarmError


def made(settings: Settings | None = None, **entries: JointCalibration) -> Calibration:
    """Every joint from 1024 to 3072, the gripper from 2000 to 3000."""
    usual = {name: JointCalibration(n, 0, 0, 1024, 3072) for n, name in enumerate(JOINTS, 1)}
    usual["gripper"] = JointCalibration(6, 0, 0, 2000, 3000)
    return Calibration({**usual, **entries}, settings or Settings.load())


def turned(sign: int, zero_rad: float) -> Settings:
    settings = Settings.load()
    joint = replace(settings.joints["shoulder_lift"], sign=sign, zero_rad=zero_rad)
    return replace(settings, joints={**settings.joints, "shoulder_lift": joint})


def test_a_quarter_turn_is_1024_ticks_from_the_middle() -> None:
    position = made().position(np.array([2048, 3072, 1024, 2048 + 1, 2048]))
    np.testing.assert_allclose(position, [0.0, math.pi / 2, -math.pi / 2, 2 * math.pi / 4096, 0.0])


def test_sign_and_zero_of_the_model() -> None:
    """model = -1 * (3072 - 2048) * 2 pi / 4096 + 0.2 = -1.5708 + 0.2"""
    calibration = made(turned(-1, 0.2))
    assert calibration.position(np.array([2048, 3072, 2048, 2048, 2048]))[1] == pytest.approx(-math.pi / 2 + 0.2)
    assert calibration.velocity(np.full(5, 4096.0)) == pytest.approx([2 * math.pi, -2 * math.pi] + [2 * math.pi] * 3)
    assert calibration.ticks(np.array([0.0, -math.pi / 2 + 0.2, 0.0, 0.0, 0.0]))[1] == 3072


def test_there_and_back_is_the_same_tick() -> None:
    for calibration in (made(), made(turned(-1, 0.3)), made(elbow_flex=JointCalibration(3, 0, 0, 1001, 2998))):
        for tick in range(1024, 2990, 61):
            ticks = np.full(5, tick)
            np.testing.assert_array_equal(calibration.ticks(calibration.position(ticks)), ticks)


def test_goals_stay_inside_of_the_calibrated_range() -> None:
    np.testing.assert_array_equal(made().ticks(np.array([9.0, -9.0, 0.0, 0.0, 0.0]))[:2], [3072, 1024])
    assert [made().gripper_ticks(share) for share in (-0.5, 0.0, 0.25, 1.5)] == [2000, 2000, 2250, 3000]


def test_the_gripper_with_its_drive_mode() -> None:
    assert made().gripper(2250) == pytest.approx(0.25)
    turned_round = made(gripper=JointCalibration(6, 1, 0, 2000, 3000))
    assert turned_round.gripper(2250) == pytest.approx(0.75)
    assert turned_round.gripper_ticks(0.75) == 2250


def test_the_range_is_what_calibration_and_model_share() -> None:
    low, high = made().range_rad
    assert high[0] == pytest.approx(math.pi / 2)  # of the calibration; the model's 1.92 is wider
    wide = made(shoulder_pan=JointCalibration(1, 0, 0, 0, 4095))
    assert wide.range_rad[1][0] == pytest.approx(1.91986)  # of the model
    with pytest.raises(PixelarmError, match="nothing in common for shoulder_lift"):
        _ = made(turned(1, 5.0)).range_rad
    assert (low < high).all()


def test_each_difference_is_named_with_both_numbers() -> None:
    memory = made(elbow_flex=JointCalibration(3, 0, -7, 1024, 3000), gripper=JointCalibration(6, 0, 0, 1999, 3000))
    made().require_same(made())
    with pytest.raises(CalibrationMismatch) as caught:
        made().require_same(memory)
    text = str(caught.value)
    assert "elbow_flex: homing_offset is 0 in the file and -7 in servo 3 (register 31)" in text
    assert "elbow_flex: range_max is 3072 in the file and 3000 in servo 3 (register 11)" in text
    assert "gripper: range_min is 2000 in the file and 1999 in servo 6 (register 9)" in text
    assert "shoulder" not in text and "calibrate the arm again" in text


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (JointCalibration(4, 0, 0, 1024, 3072), "must have the id 3, got 4"),
        (JointCalibration(3, 0, 0, 3072, 1024), "range_min < range_max"),
        (JointCalibration(3, 0, 0, 1024, 4096), "<= 4095"),
        (JointCalibration(3, 0, 2048, 1024, 3072), "at most 2047"),
        (JointCalibration(3, 1, 0, 1024, 3072), "sign: -1 in the settings"),
    ],
)
def test_entries_that_make_no_sense_are_refused(entry: JointCalibration, words: str) -> None:
    with pytest.raises(PixelarmError, match="elbow_flex") as caught:
        made(elbow_flex=entry)
    assert words in str(caught.value)


def change(data: dict[str, Any], what: str) -> Any:
    if what == "joint":
        del data["wrist_roll"]
    elif what == "key":
        del data["wrist_roll"]["range_min"]
    elif what == "type":
        data["wrist_roll"]["range_min"] = 1.5
    return [] if what == "list" else data


@pytest.mark.parametrize(
    ("what", "words"),
    [("joint", "must have the joints"), ("key", "must have the numbers"), ("type", "whole numbers"), ("list", "list")],
)
def test_a_file_that_holds_something_else_is_refused(what: str, words: str, calibration: Path) -> None:
    data = json.loads(calibration.read_text())
    calibration.write_text(json.dumps(change(data, what)))
    with pytest.raises(PixelarmError, match=words):
        Calibration.load(calibration, Settings.load())


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(PixelarmError, match="cannot read the calibration"):
        Calibration.load(tmp_path / "none.json", Settings.load())


# ----------------------------------------------------------------------------------------------------------- settings
def test_settings_are_checked(tmp_path: Path) -> None:
    text = OWN.read_text()
    file = tmp_path / "mine.yaml"
    for old, new, words in (
        ("max_step_rad: 0.05", "max_step_rad: 0.0", "limits.max_step_rad must be positive"),
        ("max_step_rad", "max_stepp_rad", "max_stepp_rad"),
        ("id: 5", "id: 4", "ids of their own"),
        ("rest: -1.70", "rest: -1.80", "joints.shoulder_lift"),
        ("id: 1, sign: 1", "id: 1, sign: 2", "joints.shoulder_pan"),
        ("wrist_roll:", "wrist_rol:", "in this order"),
        ("max_torque: 0.5", "max_torque: 1.5", "max_torque"),
    ):
        assert old in text
        file.write_text(text.replace(old, new))
        with pytest.raises(PixelarmError, match=words):
            Settings.load(file)
