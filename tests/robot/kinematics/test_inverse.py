"""Inverse kinematics on arms whose solutions and singularities are known by hand."""

from __future__ import annotations

import re
from math import acos, hypot, inf, nan, pi, sqrt
from typing import Any

import numpy as np
import pytest

from robot import rotations
from robot.errors import PixelarmError
from robot.kinematics.chain import Chain, Joint
from robot.kinematics.inverse import Options, solve

STILL = (0.0, 0.0, 0.0, 1.0)
X, Y, Z = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)
FREE = Options(rotation_weight=0.0, max_joint_step_rad=2.0, slow_above=1e6, stop_above=1e9)


def planar(elbow_high: float = pi) -> Chain:
    """Links of 0.5 and 0.3 m in the plane z = 0, both joints about z."""
    shoulder = Joint("shoulder", (0.0, 0.0, 0.0), STILL, Z, -pi, pi)
    return Chain((shoulder, Joint("elbow", (0.5, 0.0, 0.0), STILL, Z, -pi, elbow_high)), (0.3, 0.0, 0.0), STILL)


def six() -> Chain:
    """Yaw, two joints about y with links of 0.4 m, and a wrist (roll, pitch, roll) with the tip 0.1 m beyond it."""
    rows = [
        ("yaw", (0.0, 0.0, 0.3), Z),
        ("shoulder", (0.0, 0.0, 0.0), Y),
        ("elbow", (0.4, 0.0, 0.0), Y),
        ("roll", (0.4, 0.0, 0.0), X),
        ("pitch", (0.0, 0.0, 0.0), Y),
        ("twist", (0.0, 0.0, 0.0), X),
    ]
    return Chain(tuple(Joint(n, p, STILL, a, -3.0, 3.0) for n, p, a in rows), (0.1, 0.0, 0.0), STILL)


BENT = np.array([0.2, -0.9, 1.5, 0.1, 0.8, 0.1])  # rad, of six(): far from each singularity


def follow(chain: Chain, joints: np.ndarray, goal: np.ndarray, rotation: np.ndarray, options: Options, times: int):
    """The last of some solves for one pose, each from the joints of the one before."""
    for _ in range(times):
        result = solve(chain, joints, goal, rotation, options)
        joints = result.joints
    return result


# ------------------------------------------------------------------------------------------------ what it finds
def test_the_planar_arm_finds_the_solution_of_the_law_of_cosines() -> None:
    goal = np.array([0.4, 0.3, 0.0])  # 0.5 m away, so cos(elbow) = (0.25 - 0.25 - 0.09) / (2 * 0.5 * 0.3) = -0.3
    result = solve(planar(), np.array([0.0, 1.5]), goal, np.eye(3), FREE)
    assert result.joints[1] == pytest.approx(acos(-0.3), abs=1e-5)
    assert result.position_error_m < 1e-6 and not result.refused and result.reason == ""


def test_errors_and_condition_are_those_at_the_joints_returned() -> None:
    """With the pose out of reach by 0.05 m, and everything allowed, the arm points at it."""
    options = Options(
        rotation_weight=0.0, max_joint_step_rad=2.0, tolerance_m=0.1, iterations=300, slow_above=1e8, stop_above=1e9
    )
    goal, turned = np.array([0.0, 0.85, 0.0]), rotations.about_vertical(pi / 2 + 0.3)
    result = solve(planar(), np.array([1.4, 0.4]), goal, turned, options)
    position, rotation = planar().forward(result.joints)
    assert result.position_error_m == pytest.approx(np.linalg.norm(goal - position), abs=1e-12)
    assert result.position_error_m == pytest.approx(0.05, abs=2e-4)
    assert result.rotation_error_rad == pytest.approx(rotations.angle_between(rotation, turned), abs=1e-12)


def test_condition_number_by_hand_and_without_units() -> None:
    """Of the planar arm with its elbow at a right angle, J = [[-0.3, -0.3], [0.5, 0]] m in turned axes:
    J J^T = [[0.18, -0.15], [-0.15, 0.25]], whose eigenvalues are 0.215 +- sqrt(0.035^2 + 0.15^2)."""
    root = sqrt(0.035**2 + 0.15**2)
    for scale in (1.0, 1000.0):
        rows = planar().to_rows()
        rows["joints"][1]["position"], rows["tip"]["position"] = [0.5 * scale, 0.0, 0.0], [0.3 * scale, 0.0, 0.0]
        chain, start = Chain.from_rows(rows), np.array([0.0, pi / 2])
        result = solve(chain, start, *chain.forward(start), FREE)
        assert result.condition == pytest.approx(sqrt((0.215 + root) / (0.215 - root)), rel=1e-9)


def test_condition_number_of_an_arm_with_a_wrist_counts_lengths_in_mean_levers() -> None:
    """Links of 0.4, 0.4 and 0.1 m: the mean lever is 0.45 m, or 450 mm."""
    jacobian = six().jacobian(BENT)
    jacobian[:3] /= 0.45
    values = np.linalg.svd(jacobian, compute_uv=False)
    rows = six().to_rows()
    for row in (*rows["joints"], rows["tip"]):
        row["position"] = [1000.0 * value for value in row["position"]]
    for chain in (six(), Chain.from_rows(rows)):
        result = solve(chain, BENT, *chain.forward(BENT))
        assert result.condition == pytest.approx(values[0] / values[-1], rel=1e-6)


def test_rotation_does_not_count_for_fewer_than_six_joints() -> None:
    chain, start = Chain(six().joints[:5], six().tip_position, STILL), BENT[:5]
    values = np.linalg.svd(chain.jacobian(start)[:3], compute_uv=False)
    result = solve(chain, start, *chain.forward(start), Options(rotation_weight=0.02))
    assert result.condition == pytest.approx(values[0] / values[-1], rel=1e-6)


@pytest.mark.parametrize("seed", range(20))
def test_a_pose_near_by_is_reached_exactly(seed: int) -> None:
    rng = np.random.default_rng(seed)
    goal, rotation = six().forward(BENT + rng.uniform(-0.15, 0.15, 6))
    result = solve(six(), BENT, goal, rotation)
    assert result.position_error_m < 1e-5 and result.rotation_error_rad < 1e-5 and result.reason == ""


def test_the_pose_of_the_start_moves_nothing() -> None:
    result = solve(six(), BENT, *six().forward(BENT), posture=np.zeros(6))
    np.testing.assert_array_equal(result.joints, BENT)
    assert result.reason == ""


def test_a_turn_of_more_than_a_quarter_is_followed() -> None:
    goal, rotation = six().forward(BENT)
    turned = rotations.from_axis_angle(np.array([2.0, 0.0, 0.0])) @ rotation
    result = follow(six(), BENT, goal, turned, Options(stop_above=1e9, slow_above=1e8), 40)
    assert result.rotation_error_rad < 1e-4 and result.position_error_m < 1e-4


@pytest.mark.parametrize("axis", [X, Y, Z])
def test_half_a_turn_is_not_mistaken_for_none(axis: tuple[float, float, float]) -> None:
    goal, rotation = six().forward(np.zeros(6))
    np.testing.assert_array_equal(rotation, np.eye(3))  # so that the turn is a half one to the last bit
    result = solve(six(), np.zeros(6), goal, 2 * np.outer(axis, axis) - np.eye(3))
    assert result.rotation_error_rad > 2.5


# ------------------------------------------------------------------------------------------------ limits and steps
@pytest.mark.parametrize("seed", range(10))
def test_no_joint_passes_a_limit_or_its_largest_step(seed: int) -> None:
    """Goals all over the place, most of them out of reach, some of them turned."""
    rng, chain, joints = np.random.default_rng(seed), six(), BENT
    rows = chain.to_rows()
    for row, at in zip(rows["joints"], BENT.tolist()):
        row["low"], row["high"] = at - 0.3, at + 0.25
    chain, options = (
        Chain.from_rows(rows),
        Options(max_joint_step_rad=0.07, tolerance_m=0.5, slow_above=1e8, stop_above=1e9),
    )
    moved = 0
    for _ in range(50):
        turned = rotations.from_axis_angle(rng.normal(size=3))
        result = solve(chain, joints, rng.uniform(-0.9, 0.9, 3), turned, options)
        assert (result.joints >= chain.low).all() and (result.joints <= chain.high).all()
        assert np.abs(result.joints - joints).max() <= 0.07 * (1 + 1e-12)
        moved += not np.array_equal(result.joints, joints)
        joints = result.joints
    assert moved > 10


def test_a_joint_at_its_limit_leaves_the_work_to_the_others() -> None:
    """The elbow may not bend further: of a goal that needs it, what the shoulder can do is done."""
    chain = planar(elbow_high=1.0)
    options = Options(rotation_weight=0.0, max_joint_step_rad=2.0, tolerance_m=0.2, iterations=50, stop_above=1e9)
    start, goal = np.array([0.0, 1.0]), np.array([0.1, 0.5, 0.0])
    result = solve(chain, start, goal, np.eye(3), options)
    assert result.joints[1] == 1.0
    # the tip stays on its circle, so that the nearest point of it lies in the direction of the goal
    position, _ = chain.forward(result.joints)
    assert np.arctan2(position[1], position[0]) == pytest.approx(np.arctan2(0.5, 0.1), abs=1e-3)


def test_a_joint_beyond_its_limit_comes_back_and_goes_no_further() -> None:
    chain, start = planar(elbow_high=1.0), np.array([0.2, 1.05])
    further, back = (chain.forward(np.array([0.2, elbow])) for elbow in (1.2, 0.95))
    assert solve(chain, start, *further, Options(rotation_weight=0.0, tolerance_m=0.1)).joints[1] <= 1.05
    assert solve(chain, start, *back, FREE).joints[1] == pytest.approx(0.95, abs=1e-4)
    far = np.array([0.2, 1.5])  # further beyond than one step: it comes back step by step
    options = Options(rotation_weight=0.0, tolerance_m=0.1)
    for position, rotation in (back, further):
        assert 1.3 - 1e-12 <= solve(chain, far, position, rotation, options).joints[1] <= 1.5


def test_a_long_step_is_left_to_the_next_solves_and_said() -> None:
    goal, rotation = six().forward(BENT + 0.5)
    result = solve(six(), BENT, goal, rotation)
    assert result.reason.startswith("shortened: the joint '") and "may move 0.2 rad in one step" in result.reason
    assert not result.refused
    last = follow(six(), BENT, goal, rotation, Options(slow_above=1e8, stop_above=1e9), 10)
    assert last.position_error_m < 1e-5 and last.reason == ""


def test_a_large_turn_keeps_the_tip_in_its_place() -> None:
    goal, rotation = six().forward(BENT)
    joints, turned = BENT, rotations.from_axis_angle(np.array([0.0, 0.0, 0.8])) @ rotation
    errors = []
    for _ in range(20):
        result = solve(six(), joints, goal, turned)
        joints = result.joints
        errors.append(result.position_error_m)
    assert max(errors) < Options().tolerance_m and result.rotation_error_rad < 1e-4


# ------------------------------------------------------------------------------------------------ what it refuses
def test_a_pose_out_of_reach_is_refused_with_the_distance() -> None:
    start = np.array([0.0, 0.4])
    options = Options(rotation_weight=0.0, max_joint_step_rad=2.0, iterations=50, slow_above=1e8, stop_above=1e9)
    result = solve(planar(), start, np.array([0.9, 0.0, 0.0]), np.eye(3), options)  # the arm is 0.8 m long
    assert result.refused and "refused: no joints nearby reach the pose: 100.0 mm are missing, 5 are" in result.reason
    np.testing.assert_array_equal(result.joints, start)
    assert result.position_error_m == pytest.approx(np.linalg.norm(planar().forward(start)[0] - [0.9, 0, 0]))


@pytest.mark.parametrize("bad", [nan, inf])
@pytest.mark.parametrize("which", ["position", "rotation"])
def test_a_pose_that_is_not_finite_is_refused(bad: float, which: str) -> None:
    goal, rotation = six().forward(BENT)
    (goal if which == "position" else rotation).flat[0] = bad
    result = solve(six(), BENT, goal, rotation)
    assert result.refused and result.reason == "refused: the pose is not finite"
    np.testing.assert_array_equal(result.joints, BENT)


@pytest.mark.parametrize("start", [np.zeros(5), np.full(6, nan)])
def test_a_start_that_is_none_is_an_error(start: np.ndarray) -> None:
    with pytest.raises(ValueError, match="start must be 6 finite joint positions"):
        solve(six(), start, np.zeros(3), np.eye(3))
    with pytest.raises(ValueError, match="posture must be 6 finite joint positions"):
        solve(six(), BENT, np.zeros(3), np.eye(3), posture=start)


# ------------------------------------------------------------------------------------------------ singularities
def outward(steps: int) -> tuple[np.ndarray, list[Any]]:
    """The tip pulled straight away from the shoulder, 1 cm a step, and the goal held where the arm held."""
    chain, joints = six(), BENT
    goal, rotation = chain.forward(joints)
    away = (goal - [0, 0, 0.3]) / np.linalg.norm(goal - [0, 0, 0.3])
    found = []
    for _ in range(steps):
        goal = goal + 0.01 * away
        found.append(solve(chain, joints, goal, rotation))
        joints = found[-1].joints
        if found[-1].reason:
            goal = chain.forward(joints)[0]
    return away, found


def test_pulled_out_straight_the_arm_slows_and_stops_before_it_is_singular() -> None:
    _, found = outward(80)
    first = next(i for i, result in enumerate(found) if result.reason)
    assert "shortened near a singularity: the condition number would go from" in found[first].reason
    assert found[-1].refused and "refused: singularity: the condition number would go from" in found[-1].reason
    assert max(result.condition for result in found) < 30.0
    assert all(result.condition <= 17.0 for result in found[:first])
    np.testing.assert_array_equal(found[-1].joints, found[-2].joints)


def test_steps_shrink_towards_the_singularity() -> None:
    """With the elbow between the thresholds, a step is part of the full one: (30 - ahead) / 13 of it."""
    free = Options(slow_above=1e8, stop_above=1e9)
    away, found = outward(80)
    start = next(result for result in found if result.reason).joints
    goal, rotation = six().forward(start)
    full = solve(six(), start, goal + 0.004 * away, rotation, free)
    slowed = solve(six(), start, goal + 0.004 * away, rotation)
    assert 17.0 < full.condition < 30.0, "else this tests nothing"
    share = (30.0 - full.condition) / 13.0
    np.testing.assert_allclose(slowed.joints - start, share * (full.joints - start), atol=1e-9)


def test_a_held_arm_comes_back_at_full_speed() -> None:
    away, found = outward(80)
    start = found[-1].joints
    goal, rotation = six().forward(start)
    for _ in range(5):
        goal = goal - 0.01 * away
        result = solve(six(), start, goal, rotation)
        assert result.reason == "" and result.position_error_m < 1e-5
        start = result.joints


@pytest.mark.parametrize("elbow", [0.0, 1e-9, 0.01, 0.03, -0.02])
def test_an_arm_stretched_out_can_bend_again(elbow: float) -> None:
    """With the elbow straight the Jacobian knows no motion along the arm, and yet it must find one."""
    chain, start = six(), np.array([0.3, -0.4, elbow, 0.0, 0.7, 0.0])
    goal, rotation = chain.forward(start)
    _, shoulder, _, wrist, *_ = chain.origins(start)
    back = goal - 0.04 * (wrist - shoulder) / np.linalg.norm(wrist - shoulder)
    joints = start
    for _ in range(8):
        result = solve(chain, joints, back, rotation)
        assert not result.refused
        joints = result.joints
    assert result.position_error_m < 1e-5 and result.condition < 30.0
    # cosine rule with links of 0.4 m and the wrist 0.76 m away: 0.76^2 = 2 * 0.4^2 * (1 + cos(elbow))
    assert abs(joints[2]) == pytest.approx(acos(0.76**2 / 0.32 - 1.0), abs=2e-3)


def test_a_straight_planar_arm_bends_although_nothing_pulls_its_joints() -> None:
    """A goal on the line of both links: J^T e = 0, so that least squares alone would stay for ever."""
    options = Options(rotation_weight=0.0)
    result = follow(planar(), np.zeros(2), np.array([0.75, 0.0, 0.0]), np.eye(3), options, 8)
    assert not result.refused and result.position_error_m < 1e-5
    # cosine rule: 0.75^2 = 0.5^2 + 0.3^2 + 2 * 0.5 * 0.3 * cos(elbow)
    assert abs(result.joints[1]) == pytest.approx(acos((0.75**2 - 0.34) / 0.3), abs=1e-4)


def test_above_the_end_an_arm_goes_no_nearer() -> None:
    chain, start = six(), np.array([0.3, -0.4, 0.06, 0.0, 0.7, 0.0])
    goal, rotation = chain.forward(start)
    further = goal + 2e-4 * (goal - [0, 0, 0.3]) / np.linalg.norm(goal - [0, 0, 0.3])
    result = solve(chain, start, further, rotation)
    assert result.condition > 30.0
    assert result.refused and "singularity" in result.reason
    np.testing.assert_array_equal(result.joints, start)
    allowed = solve(chain, start, further, rotation, Options(slow_above=1e8, stop_above=1e9))
    assert allowed.condition > result.condition and allowed.reason == ""


# ------------------------------------------------------------------------------------------------ posture
def seven() -> Chain:
    """``six`` with a roll of the upper arm: the elbow can swing while the tip stays."""
    joints = list(six().joints)
    joints.insert(2, Joint("swivel", (0.0, 0.0, 0.0), STILL, X, -3.0, 3.0))
    return Chain(tuple(joints), six().tip_position, STILL)


def test_a_seventh_joint_is_drawn_to_its_posture_while_the_tip_walks() -> None:
    """On the way around a circle: without a posture the elbow ends elsewhere than it began, with one it does not."""
    chain, home = seven(), np.insert(BENT, 2, 0.3)
    centre, rotation = chain.forward(home)
    away = {}
    for posture in (None, home):
        joints = home + np.array([0.0, 0.1, 0.3, 0.0, 0.0, 0.0, 0.0]) * (posture is not None)
        for k in range(200):
            angle = 2 * pi * k / 40
            goal = centre + 0.05 * np.array([np.cos(angle) - 1.0, np.sin(angle), 0.0])
            result = solve(chain, joints, goal, rotation, posture=posture)
            joints = result.joints
            assert result.position_error_m < 1e-5 or k == 0
        away[posture is None] = hypot(*(follow(chain, joints, centre, rotation, Options(), 3).joints - home))
    assert away[False] < 0.1 * away[True]


# ------------------------------------------------------------------------------------------------ options
@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("damping", 0.0),
        ("damping", nan),
        ("iterations", 0),
        ("iterations", 2.5),
        ("rotation_weight", -0.1),
        ("max_joint_step_rad", 0.0),
        ("max_joint_step_rad", inf),
        ("tolerance_m", -1e-3),
        ("posture_gain", 1.5),
        ("slow_above", 0.5),
        ("slow_above", 30.0),
        ("stop_above", 17.0),
        ("stop_above", nan),
        ("stop_above", inf),
    ],
)
def test_an_option_out_of_bounds_is_named(option: str, value: float) -> None:
    with pytest.raises(PixelarmError, match=re.escape(option)):
        Options(**{option: value})
