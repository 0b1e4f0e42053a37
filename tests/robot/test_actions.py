"""Each kind of action by hand, and what a contract must say to drive an arm."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from robot import rotations
from robot.actions import JOINT_POSITION, JOINT_VELOCITY, KINDS, POSE, PROPRIO, TARGETS, Reference, Target, target
from robot.contract import Action, Contract, Proprio
from robot.errors import PixelarmError, UnknownName

DOWN = np.diag([1.0, -1.0, -1.0])  # a gripper that points straight down
HERE = Reference(
    position=np.array([0.5, 0.1, 0.2]),
    rotation=rotations.about_vertical(0.3) @ DOWN,
    joint_positions=np.array([0.1, 0.2]),
    home_rotation=DOWN,
)
BY_TARGET = {
    POSE: ("position", "rotation"),
    JOINT_POSITION: ("joint_positions",),
    JOINT_VELOCITY: ("joint_velocities",),
}


def test_a_position_delta_is_added_and_the_orientation_held() -> None:
    made = target("eef_delta_position", HERE, np.array([0.01, -0.02, 0.03, 1.0]))
    np.testing.assert_allclose(made.position, [0.51, 0.08, 0.23])  # type: ignore[arg-type]
    assert made.rotation is None and made.gripper == 1.0 and made.kind == POSE


def test_a_yaw_is_added_and_tilt_discarded() -> None:
    """The hand stands at yaw 0.3 and 0.1 rad off the vertical; a yaw of 0.2 asks for 0.5, straight down again."""
    tilted = rotations.from_axis_angle(np.array([0.1, 0.0, 0.0])) @ DOWN
    leaning = dataclasses.replace(HERE, rotation=rotations.about_vertical(0.3) @ tilted)
    for reference, within in ((HERE, 1e-12), (leaning, 0.002)):  # the yaw of a leaning hand is not quite that about z
        made = target("eef_delta_position_yaw", reference, np.array([0.0, 0.0, 0.01, 0.2, -1.0]))
        assert made.rotation is not None and made.position is not None
        assert rotations.angle_between(rotations.about_vertical(0.5) @ DOWN, made.rotation) < within
        np.testing.assert_allclose(made.rotation[2], DOWN[2], atol=1e-15)
        np.testing.assert_allclose(made.position, [0.5, 0.1, 0.21])
        assert made.gripper == -1.0


def test_the_yaw_counts_from_the_rotation_at_home() -> None:
    home = rotations.from_axis_angle(np.array([0.0, 0.127, 0.0])) @ DOWN  # a home that leans, as robosuite's Panda does
    made = target(
        "eef_delta_position_yaw",
        dataclasses.replace(HERE, rotation=home, home_rotation=home),
        np.array([0, 0, 0, 0, 0.0]),
    )
    np.testing.assert_allclose(made.rotation, home, atol=1e-15)  # type: ignore[arg-type]


def test_a_pose_delta_turns_about_the_bases_axes() -> None:
    made = target("eef_delta_pose", HERE, np.array([0.0, 0.0, 0.0, 0.0, 0.0, 0.4, 0.5]))
    assert made.rotation is not None
    np.testing.assert_allclose(made.rotation, rotations.about_vertical(0.7) @ DOWN, atol=1e-15)
    assert made.gripper == 0.5


@pytest.mark.parametrize("kind", ["joint_position", "joint_velocity"])
def test_joint_actions_are_absolute(kind: str) -> None:
    made = target(kind, Reference(), np.float32([0.25, -0.5, 1.0]))
    values = made.joint_positions if kind == "joint_position" else made.joint_velocities
    np.testing.assert_array_equal(values, [0.25, -0.5])  # type: ignore[arg-type]
    assert made.kind == kind and made.gripper == 1.0


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind.make])
def test_a_kind_makes_the_target_that_it_names_from_what_it_needs(name: str) -> None:
    kind = KINDS[name]
    units = kind.units_of(3)
    measured = {
        "eef_pos": np.zeros(3),
        "eef_quat": np.array([1.0, 0, 0, 0]),
        "joint_pos": np.zeros(2),
        "other": np.zeros(9),
    }
    needed = Reference.of({field: measured[field] for field in kind.needs}, DOWN if kind.needs_home else None)
    made = target(name, needed, np.zeros(len(units), np.float32))
    assert made.kind == kind.target and kind.target in TARGETS
    for field in BY_TARGET[kind.target]:
        value = getattr(made, field)
        assert (value is None) == (field == "rotation" and not kind.turns)
        assert value is None or value.dtype == np.float64
    assert set(kind.needs) <= set(PROPRIO)
    with pytest.raises(PixelarmError, match=f"'{name}' actions have"):
        target(name, needed, np.zeros((1, len(units))))


def test_a_target_is_the_callers_own() -> None:
    numbers = np.array([0.1, 0.2, 1.0])
    made = target("joint_position", Reference(), numbers)
    numbers[:] = 9.0
    np.testing.assert_array_equal(made.joint_positions, [0.1, 0.2])  # type: ignore[arg-type]


def test_what_cannot_become_a_target_is_refused_in_words() -> None:
    with pytest.raises(UnknownName, match="unknown action kind 'eef'; the valid names are: .*joint_position"):
        target("eef", HERE, np.zeros(4))
    with pytest.raises(PixelarmError, match="'normalized' actions have no target: .*nothing a robot understands"):
        target("normalized", HERE, np.zeros(4))
    with pytest.raises(PixelarmError, match="counts from eef_pos, which is not known here"):
        target("eef_delta_position", Reference(), np.zeros(4))
    with pytest.raises(PixelarmError, match="counts from the rotation at home"):
        target("eef_delta_position_yaw", dataclasses.replace(HERE, home_rotation=None), np.zeros(5))
    with pytest.raises(PixelarmError, match=r"'eef_delta_pose' actions have 7 numbers, got an array of shape \(4,\)"):
        target("eef_delta_pose", HERE, np.zeros(4))


@pytest.mark.parametrize(
    "parts",
    [{}, {"rotation": DOWN}, {"position": np.zeros(3), "joint_velocities": np.zeros(2)}],
    ids=["nothing", "only a rotation", "two"],
)
def test_a_target_is_one_thing(parts: dict[str, np.ndarray]) -> None:
    with pytest.raises(ValueError, match="a target is"):
        Target(0.0, **parts)


def test_holding_repeats_a_target_but_never_a_velocity() -> None:
    pose, joints = Target(1.0, position=np.ones(3)), Target(1.0, joint_positions=np.ones(2))
    assert pose.to_hold() is pose and joints.to_hold() is joints
    held = Target(1.0, joint_velocities=np.ones(2)).to_hold()
    np.testing.assert_array_equal(held.joint_velocities, [0.0, 0.0])  # type: ignore[arg-type]
    assert held.gripper == 1.0


# ------------------------------------------------------------------------------------------------ contracts for an arm
def contract(kind: str = "joint_velocity", **changes: Any) -> Contract:
    made = Contract(
        task="toy",
        cameras=(),
        proprio=(Proprio("joint_pos", 2, "rad", "joint"), Proprio("gripper_opening", 1, "m", "gripper")),
        action=Action(kind, ("q1", "q2", "g"), ("rad/s", "rad/s", "1"), (-1,) * 3, (1,) * 3),
        rate_hz=10,
        deadline_ms=80,
        max_age_ms=100,
    )
    return dataclasses.replace(made, **changes)


def test_a_contract_for_an_arm_is_taken() -> None:
    contract().require_arm()
    assert contract().joints == 2


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (contract("normalized"), "no arm takes 'normalized' actions"),
        (contract("joint_position"), "units of 'joint_position' actions are rad, rad, 1, not rad/s, rad/s, 1"),
        (contract("eef_delta_position"), "are m, m, m, 1, not rad/s.* need the proprioception 'eef_pos' .position of"),
        (contract(proprio=()), "'joint_velocity' actions need the proprioception 'joint_pos'"),
        (
            contract(proprio=(Proprio("joint_pos", 3, "rad", "joint"),)),
            "'joint_pos' has 2 numbers in rad, frame 'joint', not 3 numbers in rad",
        ),
        (contract(proprio=(Proprio("joint_pos", 2, "deg", "joint"),)), "in rad, frame 'joint', not 2 numbers in deg"),
    ],
    ids=["kind", "unit", "pose", "needs", "joints", "degrees"],
)
def test_a_contract_that_no_arm_can_follow_is_refused_in_words(wrong: Contract, words: str) -> None:
    with pytest.raises(PixelarmError, match=f"the contract of 'toy' is not one for an arm: .*{words}"):
        wrong.require_arm()
