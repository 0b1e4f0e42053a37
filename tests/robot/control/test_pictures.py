"""Dark and frozen pictures."""

from __future__ import annotations

import numpy as np

from robot.control.pictures import Pictures


def picture(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)


def at(x: float) -> dict[str, np.ndarray]:
    return {"eef_pos": np.array([x, 0.0, 0.0])}


def test_a_picture_that_stays_the_same_is_frozen_once_the_arm_has_moved() -> None:
    pictures = Pictures()
    assert pictures.check("front", picture(0), at(0.0)) is None
    assert pictures.check("front", picture(0), at(0.009)) is None  # an arm that stands leaves a picture as it is
    rule, words = pictures.check("front", picture(0), at(0.011)) or ("", "")
    assert rule == "frozen_picture" and "0.011 m" in words
    assert pictures.check("front", picture(1), at(0.011)) is None  # it sees again
    assert pictures.check("front", picture(1), at(0.020)) is None


def test_cameras_are_told_apart_and_joints_count_too() -> None:
    pictures = Pictures()
    joints = [{"joint_pos": np.array([v, 0.0])} for v in (0.0, 0.06)]
    assert pictures.check("front", picture(0), joints[0]) is None
    assert pictures.check("wrist", picture(0), joints[1]) is None
    assert (pictures.check("front", picture(0), joints[1]) or [""])[0] == "frozen_picture"


def test_a_dark_picture_shows_nothing() -> None:
    pictures, dark = Pictures(), np.full((8, 8, 3), 8, np.uint8)
    assert (pictures.check("front", dark, {}) or [""])[0] == "dark_picture"
    dark[0, 0, 0] = 9
    assert pictures.check("front", dark, {}) is None
