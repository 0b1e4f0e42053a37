"""Sensors that fail on purpose."""

from __future__ import annotations

import numpy as np
import pytest

from hardware.simulated.arm import ArmState
from hardware.simulated.misbehave import Misbehaviour
from robot.errors import PixelarmError

HALF_NS = 500_000_000


def picture(value: int) -> np.ndarray:
    return np.full((2, 2, 3), value, np.uint8)


def state(stamp: int, *joints: float) -> ArmState:
    values = np.array(joints)
    return ArmState(stamp, np.zeros(3), np.array([0, 0, 0, 1.0]), ["a", "b"], values, 0 * values, 0 * values)


def test_sensors_are_good_until_they_are_told_otherwise_and_again_after() -> None:
    made = Misbehaviour()
    assert made.image("front", picture(5), 1) == (pytest.approx(picture(5)), 1)
    made.order({"camera": "front", "how": "lost"})
    assert made.image("front", picture(6), 2) is None
    assert made.image("wrist", picture(7), 2) is not None
    made.order({})
    assert made.image("front", picture(8), 3) == (pytest.approx(picture(8)), 3)


@pytest.mark.parametrize(
    ("how", "value", "stamp"),
    [("frozen", 1, 9), ("repeated", 1, 1), ("black", 0, 9), ("swapped", 200, 9), ("ahead", 2, 9 + HALF_NS)],
)
def test_a_camera_fails_as_it_is_told(how, value, stamp) -> None:
    made = Misbehaviour()
    made.image("front", picture(1), 1)
    made.image("wrist", picture(200), 1)
    made.order({"camera": "front", "how": how})
    pixels, when = made.image("front", picture(2), 9) or (picture(99), -1)
    assert (int(pixels[0, 0, 0]), when) == (value, stamp)


def test_of_three_cameras_those_two_are_swapped_that_are_told() -> None:
    made = Misbehaviour()
    for name, value in (("side", 50), ("front", 1), ("wrist", 200)):
        made.image(name, picture(value), 1)
    for name in ("front", "wrist"):
        made.order({"camera": name, "how": "swapped"})
    shown = [made.image(name, picture(9), 2) for name in ("front", "wrist", "side")]
    assert [int(seen[0][0, 0, 0]) for seen in shown if seen] == [200, 9, 9]  # wrist's last, front's new one, its own


def test_a_late_camera_sends_each_picture_four_later() -> None:
    made = Misbehaviour()
    made.order({"camera": "front", "how": "late"})
    sent = [made.image("front", picture(i), i) for i in range(8)]
    assert [None if s is None else s[1] for s in sent] == [None] * 4 + [0, 1, 2, 3]


def test_states_fail_as_they_are_told() -> None:
    made = Misbehaviour()
    made.state(state(1, 0.1, 0.2))
    made.order({"state": "permuted"})
    assert made.state(state(2, 0.1, 0.2)).joint_position.tolist() == [0.2, 0.1]  # type: ignore[union-attr]
    made.order({"state": "jumping"})
    assert [made.state(state(i, 0.0, 0.0)).joint_position[0] for i in range(3)] == [0.5, 0.0, 0.5]  # type: ignore[union-attr]
    made.order({"state": "lost"})
    assert made.state(state(5, 0.0, 0.0)) is None
    made.order({"state": "ahead"})
    assert made.state(state(6, 0.0, 0.0)).stamp_ns == 6 + HALF_NS  # type: ignore[union-attr]


def test_a_gripper_fails_as_it_is_told() -> None:
    made = Misbehaviour()
    assert made.gripper == ""
    made.order({"gripper": "refuses"})
    assert made.gripper == "refuses"
    made.order({})
    assert made.gripper == ""


def test_an_order_without_sense_is_refused() -> None:
    with pytest.raises(PixelarmError, match="frozen"):
        Misbehaviour().order({"camera": "front", "how": "sulk"})
