"""Dark and frozen pictures."""

from __future__ import annotations

import numpy as np

from robot.control.pictures import Pictures


def picture(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)


def at(x: float) -> dict[str, np.ndarray]:
    return {"eef_pos": np.array([x, 0.0, 0.0])}


def test_a_picture_that_stays_the_same_while_the_arm_moves_is_frozen_until_it_changes() -> None:
    pictures = Pictures()
    for x in (0.0, 0.004):
        assert pictures.check("front", picture(0), at(x)) is None
    assert (pictures.check("front", picture(0), at(0.008)) or [""])[0] == "frozen_picture"
    assert pictures.check("front", picture(0), at(0.008)) is not None  # the arm is held now: that proves nothing
    assert pictures.check("front", picture(1), at(0.008)) is None  # it sees again
    assert pictures.check("front", picture(1), at(0.020)) is None


def test_a_camera_without_noise_may_not_see_the_arm_and_is_left_alone() -> None:
    pictures = Pictures()
    for _ in range(3):  # it sends one picture twice while the arm stands: no sensor does
        assert pictures.check("front", picture(0), at(0.0)) is None
    for step in range(50):
        assert pictures.check("front", picture(0), at(0.01 * step)) is None


def test_a_scene_that_was_set_up_anew_is_no_frozen_camera() -> None:
    pictures = Pictures()
    for x in (0.0, *[0.3] * 20):  # its first picture came before the state that belongs to it
        assert pictures.check("front", picture(0), at(x)) is None


def test_cameras_are_told_apart_and_joints_count_too() -> None:
    pictures = Pictures()
    for step in range(3):
        joints = {"joint_pos": np.array([0.02 * step, 0.0])}
        assert pictures.check("wrist", picture(step), joints) is None
        found = pictures.check("front", picture(0), joints)
    assert (found or [""])[0] == "frozen_picture"


def test_a_dark_picture_shows_nothing() -> None:
    pictures, dark = Pictures(), np.full((8, 8, 3), 8, np.uint8)
    assert (pictures.check("front", dark, {}) or [""])[0] == "dark_picture"
    dark[0, 0, 0] = 9
    assert pictures.check("front", dark, {}) is None
