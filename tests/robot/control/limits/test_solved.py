"""Poses for an arm that is told joint positions: solved, limited as joints, and settled where the joints lead."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from robot.actions import JOINT_POSITION, Reference, Target
from robot.contract import Action, Contract, Proprio
from robot.control.limits import Context, Limits, default_limits
from robot.control.mailbox import Mailbox
from robot.control.rules import RULES, Stop
from robot.control.timing import Clock
from robot.errors import PixelarmError
from robot.profile import ArmProfile, shipped

FOLDER = shipped()
assert FOLDER is not None
PROFILE = ArmProfile.load(FOLDER / "sim_so101_joints.yaml")
CHAIN = PROFILE.read_chain()
assert CHAIN is not None
HOME = np.array([-0.2028, -0.2492, 0.3196, 1.5004, -1.7249])  # rad; the tip at 0.2, 0, 0.07 m, straight down
CONTRACT = Contract(
    task="lift",
    arm="so101",
    cameras=(),
    proprio=(Proprio("eef_pos", 3, unit="m", frame="base"),),
    action=Action(
        kind="eef_delta_position",
        names=("dx", "dy", "dz", "gripper"),
        units=("m", "m", "m", "1"),
        low=(-0.04, -0.04, -0.04, -1.0),
        high=(0.04, 0.04, 0.04, 1.0),
        counts_from="commanded",
    ),
    rate_hz=10.0,
    deadline_ms=80.0,
    max_age_ms=100.0,
)


def made(**limits: object) -> Limits:
    config = dataclasses.replace(PROFILE.limits, **limits)  # type: ignore[arg-type]
    return default_limits(config, CONTRACT, CHAIN, PROFILE.inverse)


def seen(joints: np.ndarray) -> Reference:
    position, rotation = CHAIN.forward(joints)  # type: ignore[union-attr]
    return Reference(position=position, rotation=rotation, joint_positions=joints)


def test_a_pose_becomes_the_joints_that_reach_it() -> None:
    wanted = seen(HOME).position + (0.02, -0.01, 0.015)  # type: ignore[operator]
    got = made().apply(Target(1.0, position=wanted), Context(seen(HOME)))
    assert isinstance(got, Target) and got.kind == JOINT_POSITION and got.gripper == 1.0
    position, rotation = CHAIN.forward(got.joint_positions)  # type: ignore[union-attr]
    np.testing.assert_allclose(position, wanted, atol=1e-5)
    np.testing.assert_allclose(got.position, position)  # type: ignore[arg-type]
    assert rotation[2, 2] < -0.999  # still straight down


def test_successive_targets_count_from_the_commanded_joints_and_keep_the_first_orientation() -> None:
    limits, start, previous = made(), seen(HOME), None
    for k in range(1, 6):
        wanted = start.position + (0.0, 0.01 * k, 0.0)  # type: ignore[operator]
        # the arm hangs back: what is measured stays where it was
        got = limits.apply(Target(0.0, position=wanted), Context(start, previous=previous))
        assert isinstance(got, Target)
        previous = got
    position, rotation = CHAIN.forward(previous.joint_positions)  # type: ignore[union-attr]
    np.testing.assert_allclose(position, start.position + (0.0, 0.05, 0.0), atol=1e-4)  # type: ignore[operator]
    np.testing.assert_allclose(rotation, start.rotation, atol=0.02)


def test_what_joints_cannot_reach_is_refused_by_a_rule() -> None:
    far = default_limits(
        dataclasses.replace(PROFILE.limits, box_high=(0.9, 0.18, 0.25), max_reach_m=0.8, max_speed_m_s=9.0),
        CONTRACT, CHAIN, dataclasses.replace(PROFILE.inverse, max_joint_step_rad=3.0),
    )  # fmt: skip
    got = far.apply(Target(0.0, position=np.array([0.8, 0.0, 0.1])), Context(seen(HOME)))
    assert isinstance(got, Stop) and got.rule == "unreachable" and got.rule in RULES
    assert "inverse kinematics refused" in got.words


def test_joints_keep_their_limits_and_the_pose_says_where_they_lead() -> None:
    speed = (0.3,) * 5
    limits, rng, previous, joints = made(max_joint_speed_rad_s=speed), np.random.default_rng(0), None, HOME
    low, high = np.array(PROFILE.limits.joint_low) + 0.02, np.array(PROFILE.limits.joint_high) - 0.02
    for _ in range(1000):
        wanted = seen(joints).position + rng.uniform(-0.06, 0.06, 3)
        got = limits.apply(Target(0.0, position=wanted), Context(seen(joints), previous=previous))
        if isinstance(got, Stop):
            assert got.rule == "unreachable"
            continue
        assert got.joint_positions is not None
        assert np.abs(got.joint_positions - joints).max() <= 0.03 + 1e-9
        assert (got.joint_positions >= low - 1e-9).all() and (got.joint_positions <= high + 1e-9).all()
        np.testing.assert_allclose(got.position, CHAIN.forward(got.joint_positions)[0])  # type: ignore[union-attr, arg-type]
        previous, joints = got, got.joint_positions
    assert limits.counts()["joint_speed"] > 500 and limits.counts()["settle"] > 100


def test_the_joints_are_measured_though_no_policy_sees_them() -> None:
    limits, clock = made(), Clock()
    mailbox = Mailbox(CONTRACT, clock, 100.0, beside=limits.needs)
    now = clock.now_ns()
    mailbox.put_proprio("eef_pos", np.array([0.2, 0.0, 0.1]), now)
    found = mailbox.newest()
    assert isinstance(found, Stop) and "joint_pos" in found.words
    mailbox.put_proprio("joint_pos", HOME, now)
    found = mailbox.newest()
    assert not isinstance(found, Stop)
    assert set(found.values) == {"eef_pos"} and set(found.measured) == {"eef_pos", "joint_pos"}


def test_accelerations_of_poses_are_refused_where_joints_are_told() -> None:
    with pytest.raises(PixelarmError, match="this one is told joint positions"):
        made(max_acceleration_m_s2=4.0, max_jerk_m_s3=40.0)


def test_a_profile_with_kinematics_measures_and_takes_poses() -> None:
    assert PROFILE.solves and PROFILE.told("eef_delta_position") == JOINT_POSITION
    assert PROFILE.proprio["eef_pos"] == 3 and "eef_delta_pose" in PROFILE.kinds
    PROFILE.require_contract(CONTRACT)
