"""Each safety rule fires, and together they hold their promises for random input."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from robot import rotations
from robot.actions import KINDS, PROPRIO, Reference, Target
from robot.contract import Action, Contract, Proprio
from robot.control.limits import Context, LimitConfig, Limits, default_limits
from robot.control.rules import RULES, Stop
from robot.errors import PixelarmError

WIDE = LimitConfig(
    max_reach_m=0.07,
    max_speed_m_s=1.0,
    speed_scale=1.0,
    box_low=(0.2, -0.4, 0.0),
    box_high=(0.8, 0.4, 0.6),
    expiry_s=0.5,
    max_turn_rad=0.3,
    max_turn_speed_rad_s=2.0,
    joint_low=(-2.0, -1.0),
    joint_high=(2.0, 1.0),
    max_joint_speed_rad_s=(1.0, 2.0),
    max_joint_reach_rad=0.4,
    joint_margin_rad=0.1,
)
PERIOD = 0.1
HERE = np.array([0.5, 0.0, 0.3])
DOWN = np.diag([1.0, -1.0, -1.0])
JOINTS = np.array([0.5, -0.5])
MEASURED = Reference(position=HERE, rotation=DOWN, joint_positions=JOINTS)


def limits(kind: str = "eef_delta_position", joints: int = 2, **changes: Any) -> Limits:
    units = KINDS[kind].units_of(joints + 1)
    action = Action(kind, tuple("abcdefgh"[: len(units)]), units, (-1.0,) * len(units), (1.0,) * len(units))
    proprio = tuple(Proprio(n, PROPRIO[n].size or joints, PROPRIO[n].unit, PROPRIO[n].frame) for n in KINDS[kind].needs)
    contract = Contract("toy", (), proprio, action, rate_hz=1 / PERIOD, deadline_ms=80, max_age_ms=100)
    return default_limits(dataclasses.replace(WIDE, **changes), contract)


def ask(chain: Limits, target: Target, measured: Reference = MEASURED, **context: Any) -> Target | Stop:
    return chain.apply(target, Context(measured=measured, **context))


def to(offset: tuple[float, ...], gripper: float = 0.0, turn: tuple[float, ...] | None = None) -> Target:
    """A pose ``offset`` metres and ``turn`` (axis times rad) from the measured one."""
    rotation = None if turn is None else rotations.from_axis_angle(np.array(turn)) @ DOWN
    return Target(gripper, position=HERE + offset, rotation=rotation)


def pose(verdict: Target | Stop) -> np.ndarray:
    assert isinstance(verdict, Target) and verdict.position is not None
    return verdict.position


def turned(verdict: Target | Stop) -> np.ndarray:
    """Axis times rad from the measured orientation."""
    assert isinstance(verdict, Target) and verdict.rotation is not None
    return rotations.to_axis_angle(verdict.rotation @ DOWN.T)


def angles(verdict: Target | Stop) -> np.ndarray:
    assert isinstance(verdict, Target) and verdict.joint_positions is not None
    return verdict.joint_positions


def speeds(verdict: Target | Stop) -> np.ndarray:
    assert isinstance(verdict, Target) and verdict.joint_velocities is not None
    return verdict.joint_velocities


def rule(verdict: Target | Stop) -> str:
    assert isinstance(verdict, Stop) and verdict.words
    return verdict.rule


HARMLESS = {
    "eef_delta_position": to((0.03, 0.0, 0.0), -1.0),
    "eef_delta_position_yaw": to((0.03, 0.0, 0.0), -1.0, (0.0, 0.0, 0.1)),
    "eef_delta_pose": to((0.03, 0.0, 0.0), -1.0, (0.1, 0.0, 0.1)),
    "joint_position": Target(-1.0, joint_positions=JOINTS + 0.05),
    "joint_velocity": Target(-1.0, joint_velocities=np.array([0.5, -0.5])),
}
BY_KIND = pytest.mark.parametrize("kind", HARMLESS)


# --------------------------------------------------------------------------------------------- for every kind of target
def test_there_is_a_list_for_every_kind_that_an_arm_understands() -> None:
    assert set(HARMLESS) == {name for name, kind in KINDS.items() if kind.make}


@BY_KIND
def test_a_harmless_target_passes_untouched(kind: str) -> None:
    chain = limits(kind)
    assert ask(chain, HARMLESS[kind]) is HARMLESS[kind]
    assert set(chain.counts().values()) == {0}


@BY_KIND
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_finite_refuses(kind: str, bad: float) -> None:
    chain, good = limits(kind), HARMLESS[kind]
    field = next(name for name, value in vars(good).items() if isinstance(value, np.ndarray))
    values = getattr(good, field).copy()
    values.flat[-1] = bad
    for verdict in (
        ask(chain, good.replace(**{field: values})),
        ask(chain, good.replace(gripper=bad)),
        ask(chain, good, dataclasses.replace(MEASURED, joint_positions=np.array([0.0, bad]))),
    ):
        assert rule(verdict) == "finite"
    assert chain.counts()["finite"] == 3


@pytest.mark.parametrize(
    ("kind", "target"),
    [
        ("eef_delta_position", Target(0.0, position=np.zeros(2))),
        ("eef_delta_pose", Target(0.0, position=HERE, rotation=np.zeros(4))),
        ("eef_delta_pose", Target(0.0, position=HERE)),
        ("eef_delta_position", HARMLESS["joint_position"]),
        ("joint_position", Target(0.0, joint_positions=np.zeros(3))),
        ("joint_velocity", Target(0.0, joint_velocities=np.zeros(1))),
    ],
)
def test_length_refuses(kind: str, target: Target) -> None:
    assert rule(ask(limits(kind), target)) == "length"


@BY_KIND
def test_length_refuses_a_measurement_that_is_missing_or_short(kind: str) -> None:
    short = Reference(position=np.zeros(2), rotation=DOWN, joint_positions=np.zeros(1))
    for measured in (short, Reference()):
        verdict = ask(limits(kind), HARMLESS[kind], measured)
        assert rule(verdict) == "length" and "measured" in verdict.words  # type: ignore[union-attr]


@BY_KIND
def test_enable_estop_and_age_refuse(kind: str) -> None:
    chain, good = limits(kind), HARMLESS[kind]
    assert rule(ask(chain, good, enabled=False)) == "enable"
    assert rule(ask(chain, good, estopped=True)) == "estop"
    assert ask(chain, good, stamp_ns=7, now_ns=500_000_007) is good
    assert rule(ask(chain, good, stamp_ns=7, now_ns=501_000_007)) == "expiry"
    assert all(chain.counts()[name] == 1 for name in ("enable", "estop", "expiry"))


@BY_KIND
def test_gripper_is_clipped(kind: str) -> None:
    chain = limits(kind)
    verdict = ask(chain, HARMLESS[kind].replace(gripper=1.7))
    assert isinstance(verdict, Target) and verdict.gripper == 1.0
    assert chain.counts()["gripper_range"] == 1


@BY_KIND
def test_whatever_a_filter_may_say_is_a_rule_of_the_loop(kind: str) -> None:
    refusing = {"finite", "length", "estop", "enable", "box", "joint_range", "expiry"}
    assert refusing & set(limits(kind).counts()) - {"finite"} <= set(RULES)


# ------------------------------------------------------------------------------------------------------------ positions
def test_reach_keeps_the_direction() -> None:
    chain = limits()
    # length 0.5, so 0.07 / 0.5 = 0.14 of it remains
    np.testing.assert_allclose(pose(ask(chain, to((0.3, 0.4, 0.0)))), HERE + (0.042, 0.056, 0.0))
    assert chain.counts()["reach"] == 1


def test_speed_counts_from_the_last_target() -> None:
    chain = limits(max_speed_m_s=0.25)
    verdict = ask(chain, to((0.05, 0.0, 0.0)), previous=to((0.0, 0.0, 0.0)))
    np.testing.assert_allclose(pose(verdict), HERE + (0.025, 0.0, 0.0))  # 0.25 m/s * 0.1 s
    verdict = ask(chain, to((0.05, 0.0, 0.0)), previous=to((0.04, 0.0, 0.0)))
    np.testing.assert_allclose(pose(verdict), HERE + (0.05, 0.0, 0.0))
    assert chain.counts()["speed"] == 1


def test_an_arm_that_was_carried_away_is_followed_at_once() -> None:
    """After a reset or a push the last target may be far: it is brought within reach, then the limit counts."""
    chain = limits(max_speed_m_s=0.25)
    verdict = ask(chain, to((0.0, 0.0, 0.0)), previous=to((0.3, 0.0, 0.0)))
    np.testing.assert_allclose(pose(verdict), HERE + (0.07 - 0.025, 0.0, 0.0))


def test_box_clips_targets_and_refuses_an_arm_far_outside() -> None:
    chain = limits()
    low, outside = (dataclasses.replace(MEASURED, position=np.array([0.5, 0.0, z])) for z in (0.02, -0.1))
    verdict = ask(chain, Target(0.0, position=np.array([0.5, 0.0, -0.02])), low)
    np.testing.assert_allclose(pose(verdict), (0.5, 0.0, 0.0))
    refused = ask(chain, Target(0.0, position=np.array([0.5, 0.0, -0.1])), outside)
    assert rule(refused) == "box" and "bring it back" in refused.words  # type: ignore[union-attr]
    assert chain.counts()["box"] == 2


# ------------------------------------------------------------------------------------------------------------ rotations
def test_a_turn_is_kept_within_reach_about_its_axis() -> None:
    chain = limits("eef_delta_pose", max_turn_speed_rad_s=9.0)
    verdict = ask(chain, to((0, 0, 0), turn=(0.0, 0.6, 0.8)))  # 1 rad, of which 0.3 remain
    np.testing.assert_allclose(turned(verdict), (0.0, 0.18, 0.24), atol=1e-12)
    assert chain.counts()["turn_reach"] == 1 and chain.counts()["reach"] == 0


def test_the_speed_of_a_turn_counts_from_the_last_target() -> None:
    chain = limits("eef_delta_position_yaw")
    verdict = ask(chain, to((0, 0, 0), turn=(0, 0, 0.3)), previous=to((0, 0, 0), turn=(0, 0, -0.1)))
    np.testing.assert_allclose(turned(verdict), (0, 0, 0.1), atol=1e-12)  # -0.1 and 2 rad/s * 0.1 s
    verdict = ask(chain, to((0, 0, 0), turn=(0, 0, 0.3)), previous=to((0, 0, 0), turn=(0, 0, -1.0)))
    np.testing.assert_allclose(turned(verdict), (0, 0, -0.1), atol=1e-12)  # -1 is first brought to -0.3
    assert chain.counts()["turn_speed"] == 2


# --------------------------------------------------------------------------------------------------------------- joints
def test_joints_are_kept_within_reach_together() -> None:
    chain = limits("joint_position")
    verdict = ask(chain, Target(0.0, joint_positions=JOINTS + (0.8, 0.2)), previous=Target(0.0, joint_positions=JOINTS))
    # half of the way remains, (0.4, 0.1); then joint 1 may go 1 rad/s * 0.1 s, a quarter of that
    np.testing.assert_allclose(angles(verdict), JOINTS + (0.1, 0.025))
    assert chain.counts()["joint_reach"] == chain.counts()["joint_speed"] == 1


def test_joints_are_kept_within_their_range() -> None:
    chain = limits("joint_position", max_joint_speed_rad_s=(9.0, 9.0))
    near = dataclasses.replace(MEASURED, joint_positions=np.array([1.8, -0.95]))
    verdict = ask(chain, Target(0.0, joint_positions=np.array([2.1, -0.95])), near)
    np.testing.assert_allclose(angles(verdict), (1.9, -0.9))  # 0.1 rad from 2 and from -1
    assert chain.counts()["joint_range"] == 1


def test_velocities_are_shortened_together() -> None:
    chain = limits("joint_velocity")
    np.testing.assert_allclose(speeds(ask(chain, Target(0.0, joint_velocities=np.array([2.0, -1.0])))), (1.0, -0.5))
    np.testing.assert_allclose(speeds(ask(chain, Target(0.0, joint_velocities=np.array([0.5, -4.0])))), (0.25, -2.0))
    assert chain.counts()["joint_speed"] == 2


def test_a_velocity_leads_no_joint_over_its_margin_but_may_lead_back() -> None:
    chain = limits("joint_velocity")
    near = dataclasses.replace(MEASURED, joint_positions=np.array([1.85, -0.95]))
    # joint 1 has 0.05 rad to 1.9, in 0.1 s; joint 2 stands 0.05 rad beyond -0.9
    for wanted, given in (((0.8, -0.4), (0.5, 0.0)), ((-0.8, 1.5), (-0.8, 1.5))):
        verdict = ask(chain, Target(0.0, joint_velocities=np.array(wanted)), near)
        np.testing.assert_allclose(speeds(verdict), given, atol=1e-12)
    assert chain.counts()["joint_range"] == 1


@pytest.mark.parametrize("kind", ["joint_position", "joint_velocity"])
def test_an_arm_with_a_joint_far_outside_its_limits_is_not_moved(kind: str) -> None:
    """Probably the order or the unit of the joints is another than the profile's."""
    for second, verdict in ((-1.39, Target), (-1.41, Stop)):
        measured = dataclasses.replace(MEASURED, joint_positions=np.array([0.5, second]))
        found = ask(limits(kind), HARMLESS[kind], measured)
        assert isinstance(found, verdict)
    assert rule(found) == "joint_range" and "joint 2 of the arm is at -1.410 rad" in found.words  # type: ignore[union-attr]


# --------------------------------------------------------------------------------------------------- all motion at once
def test_speed_scale_shortens_motion() -> None:
    scale = 0.25
    verdict = ask(limits("eef_delta_pose", speed_scale=scale), to((0.04, 0.0, 0.0), turn=(0.0, 0.2, 0.0)))
    np.testing.assert_allclose(pose(verdict), HERE + (0.01, 0.0, 0.0))
    np.testing.assert_allclose(turned(verdict), (0.0, 0.05, 0.0), atol=1e-12)
    verdict = ask(limits("joint_position", speed_scale=scale), Target(0.0, joint_positions=JOINTS + (0.2, -0.1)))
    np.testing.assert_allclose(angles(verdict), JOINTS + (0.05, -0.025))
    verdict = ask(limits("joint_velocity", speed_scale=scale), Target(0.0, joint_velocities=np.array([0.8, -0.4])))
    np.testing.assert_allclose(speeds(verdict), (0.2, -0.1))


# ----------------------------------------------------------------------------------------------------- senseless limits
@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ({"speed_scale": 1.5}, "speed_scale"),
        ({"speed_scale": 0.0}, "speed_scale"),
        ({"max_reach_m": float("nan")}, "max_reach_m"),
        ({"expiry_s": -1.0}, "expiry_s"),
        ({"max_turn_rad": 1.6}, "max_turn_rad must be at most a quarter turn"),
        ({"max_turn_speed_rad_s": 0.0}, "max_turn_speed_rad_s"),
        ({"joint_low": (0.0,)}, "of one length"),
        ({"joint_low": (0.0,), "joint_high": (0.1,)}, "more than twice joint_margin_rad"),
        ({"joint_margin_rad": -0.1}, "joint_margin_rad must be finite and not negative"),
        ({"max_joint_speed_rad_s": (1.0, 0.0)}, "max_joint_speed_rad_s must be positive"),
        ({"max_joint_reach_rad": float("inf")}, "max_joint_reach_rad"),
    ],
)
def test_senseless_limits_are_refused(bad: dict[str, Any], words: str) -> None:
    with pytest.raises(PixelarmError, match=words):
        LimitConfig(**bad)


@pytest.mark.parametrize("kind", ["joint_position", "joint_velocity"])
def test_joint_actions_without_the_joints_own_limits_are_refused(kind: str) -> None:
    with pytest.raises(
        PixelarmError, match=f"'{kind}' actions need these limits.*each of the 2 joints.*joint_low .rad.: none"
    ):
        limits(kind, joint_low=(), joint_high=())
    with pytest.raises(PixelarmError, match="each of the 3 joints: .*max_joint_speed_rad_s .rad/s.: 2 given"):
        limits(kind, joints=3)
    limits("eef_delta_pose", joint_low=(), joint_high=(), max_joint_speed_rad_s=())  # needs none


# --------------------------------------------------------------------------------------------------------- the promises
@pytest.mark.parametrize("seed", range(5))
def test_no_random_pose_breaks_the_promises(seed: int) -> None:
    """The guarantees in the text of robot.control.limits, over a random walk with wild requests, pushes and jumps."""
    rng, eps = np.random.default_rng(seed), 1e-9
    speed, turn_speed = float(rng.uniform(0.1, 1.5)), float(rng.uniform(0.2, 4.0))
    chain = limits(
        "eef_delta_pose",
        max_speed_m_s=speed,
        max_turn_speed_rad_s=turn_speed,
        speed_scale=float(rng.uniform(0.1, 1)),
    )
    low, high = np.asarray(WIDE.box_low), np.asarray(WIDE.box_high)
    at, hand, previous, passed = HERE.copy(), DOWN, None, 0
    for _ in range(2000):
        request = at + rng.normal(0, 10 ** rng.uniform(-3, 3), 3)
        if rng.random() < 0.02:
            request[rng.integers(3)] = rng.choice([np.nan, np.inf, -np.inf])
        wanted = rotations.from_axis_angle(rng.normal(0, 10 ** rng.uniform(-3, 1), 3)) @ hand
        verdict = ask(
            chain,
            Target(float(rng.normal(0, 2)), position=request, rotation=wanted),
            Reference(at, hand),
            previous=previous,
        )
        if isinstance(verdict, Target):
            passed += 1
            target, rotation = verdict.position, verdict.rotation
            outside = np.linalg.norm(at - np.clip(at, low, high))
            assert target is not None and rotation is not None
            assert np.isfinite(target).all() and np.isfinite(rotation).all()
            assert np.all(target >= low - eps) and np.all(target <= high + eps)
            assert outside <= WIDE.max_reach_m
            assert np.linalg.norm(target - at) <= WIDE.max_reach_m + outside + eps
            assert rotations.angle_between(hand, rotation) <= WIDE.max_turn_rad + eps
            if previous is not None:
                away = max(0.0, float(np.linalg.norm(previous.position - at)) - WIDE.max_reach_m)
                assert np.linalg.norm(target - previous.position) <= speed * PERIOD + away + eps
                away = max(0.0, rotations.angle_between(hand, previous.rotation) - WIDE.max_turn_rad)
                assert rotations.angle_between(previous.rotation, rotation) <= turn_speed * PERIOD + away + eps
            assert -1.0 <= verdict.gripper <= 1.0
            previous = verdict
        if previous is not None:
            at = at + 0.5 * (previous.position - at) + rng.normal(0, 0.01, 3)
            hand = rotations.part_of_turn(hand, previous.rotation, 0.5)
            hand = rotations.from_axis_angle(rng.normal(0, 0.02, 3)) @ hand
        if rng.random() < 0.01:
            at = rng.uniform(low - 0.1, high + 0.1)
            hand = rotations.from_axis_angle(rng.normal(0, 1, 3))
    assert passed > 1000


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("kind", ["joint_position", "joint_velocity"])
def test_no_random_joints_break_the_promises(kind: str, seed: int) -> None:
    rng, eps = np.random.default_rng(seed), 1e-9
    speed = rng.uniform(0.2, 3.0, 2)
    chain = limits(kind, max_joint_speed_rad_s=tuple(speed), speed_scale=float(rng.uniform(0.1, 1)))
    outer_low, outer_high, reach = np.asarray(WIDE.joint_low), np.asarray(WIDE.joint_high), WIDE.max_joint_reach_rad
    low, high = outer_low + WIDE.joint_margin_rad, outer_high - WIDE.joint_margin_rad
    field = "joint_positions" if kind == "joint_position" else "joint_velocities"
    at, previous, passed = JOINTS.copy(), None, 0
    for _ in range(2000):
        request = rng.normal(0, 10 ** rng.uniform(-3, 3), 2) + (at if kind == "joint_position" else 0.0)
        if rng.random() < 0.02:
            request[rng.integers(2)] = rng.choice([np.nan, np.inf, -np.inf])
        target = Target(float(rng.normal(0, 2)), **{field: request})
        verdict = ask(chain, target, Reference(joint_positions=at), previous=previous)
        if isinstance(verdict, Target):
            passed += 1
            given = getattr(verdict, field)
            assert np.isfinite(given).all()
            assert np.maximum(outer_low - at, at - outer_high).max() <= reach
            if kind == "joint_velocity":
                assert np.all(np.abs(given) <= speed + eps)
                inward = np.where(at < low, given >= -eps, np.where(at > high, given <= eps, True))
                after = at + PERIOD * given
                assert np.all(inward) and np.all(
                    (after >= np.minimum(low, at) - eps) & (after <= np.maximum(high, at) + eps)
                )
            else:
                beyond = np.maximum(np.maximum(low - at, at - high), 0.0)
                assert np.all(given >= low - eps) and np.all(given <= high + eps)
                assert np.all(np.abs(given - at) <= reach + beyond + eps)
                if previous is not None:
                    away = max(0.0, float(np.abs(previous.joint_positions - at).max()) - reach)
                    assert np.all(np.abs(given - previous.joint_positions) <= speed * PERIOD + away + eps)
            previous = verdict
            at = at + (PERIOD * given if kind == "joint_velocity" else 0.5 * (given - at)) + rng.normal(0, 0.01, 2)
        if rng.random() < 0.01 or not isinstance(verdict, Target):
            at = rng.uniform(outer_low - 0.5, outer_high + 0.5)
    assert passed > 1000
