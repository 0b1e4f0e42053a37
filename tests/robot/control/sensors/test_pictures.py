"""Dark and frozen pictures."""

from __future__ import annotations

import numpy as np
import pytest

from robot.control.pictures import Pictures


def picture(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)


def at(x: float) -> dict[str, np.ndarray]:
    return {"eef_pos": np.array([x, 0.0, 0.0])}


def test_a_picture_that_stays_the_same_while_the_arm_moves_is_frozen_until_it_changes() -> None:
    pictures = Pictures()
    for x in (0.0, 0.004, 0.012):
        assert pictures.check("front", picture(0), at(x)) is None
    assert (pictures.check("front", picture(0), at(0.015)) or [""])[0] == "frozen_picture"  # 11 mm from the second on
    assert pictures.check("front", picture(0), at(0.015)) is not None  # the arm is held now: that proves nothing
    assert pictures.check("front", picture(1), at(0.015)) is None  # it sees again


@pytest.mark.parametrize("simulated", [False, True])
def test_a_camera_that_froze_while_the_arm_stood_is_found_when_it_moves_unless_it_is_drawn(simulated) -> None:
    pictures = Pictures(simulated)
    for _ in range(50):
        assert pictures.check("front", picture(0), at(0.0)) is None
    found = [pictures.check("front", picture(0), at(0.001 * step)) for step in range(1, 31)]  # slowly
    assert (found[-1] is None) == simulated
    assert found[8] is None


def test_a_simulated_camera_with_noise_is_found_frozen_though_the_arm_stands_at_first() -> None:
    """Noise showed that its pictures are a sensor's; one change, at a scene that is set up anew, shows nothing."""
    for differing, expected in ((4, "frozen_picture"), (2, None)):
        pictures = Pictures(simulated=True)
        for number in range(differing):
            pictures.check("front", picture(number), at(0.0))
        for _ in range(5):
            assert pictures.check("front", picture(9), at(0.0)) is None
        found = [pictures.check("front", picture(9), at(0.01 * step)) for step in range(1, 6)]
        assert (found[-1] or [None])[0] == expected


def test_a_drawn_picture_that_changes_does_not_prove_a_sensor() -> None:
    pictures = Pictures(simulated=True)
    for _ in range(4):
        pictures.check("front", picture(0), at(0.0))
    pictures.check("front", picture(1), at(0.1))
    for step in range(10):  # out of sight
        assert pictures.check("front", picture(1), at(0.1 + 0.02 * step)) is None


def test_a_scene_that_was_set_up_anew_is_no_frozen_camera() -> None:
    pictures = Pictures()
    for x in (0.0, *[0.3] * 20):  # its first picture came before the state that belongs to it
        assert pictures.check("front", picture(0), at(x)) is None


def test_cameras_are_told_apart_and_joints_count_too() -> None:
    pictures = Pictures()
    for step in range(4):
        joints = {"joint_pos": np.array([0.03 * step, 0.0])}
        assert pictures.check("wrist", picture(step), joints) is None
        found = pictures.check("front", picture(0), joints)
    assert (found or [""])[0] == "frozen_picture"


def test_a_dark_picture_shows_nothing() -> None:
    pictures, dark = Pictures(), np.full((8, 8, 3), 8, np.uint8)
    assert (pictures.check("front", dark, {}) or [""])[0] == "dark_picture"
    dark[0, 0, 0] = 9
    assert pictures.check("front", dark, {}) is None
