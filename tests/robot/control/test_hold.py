"""Holds that come to rest, arms that were carried away, heights: by hand, and through the control loop."""

from __future__ import annotations

import copy
import dataclasses
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from loop_rig import CONTRACT, LIMITS, Rig

from robot.actions import JOINT_POSITION, KINDS, PROPRIO, Reference, Target
from robot.contract import Action, Contract, Proprio
from robot.control.limits import Context, LimitConfig, Limits, default_limits
from robot.control.loop import ControlLoop
from robot.control.rules import RULES, Stop
from robot.errors import PixelarmError
from robot.kinematics.chain import Chain, Joint

PERIOD = 0.1
# with these a joint by hand, in periods of 0.1 s: jerk 40 to 4 rad/s^2 and 0.2 rad/s in one, and as long back to rest
SMOOTH = dataclasses.replace(
    LIMITS, max_acceleration_m_s2=4.0, max_jerk_m_s3=40.0, max_turn_acceleration_rad_s2=20.0,
    max_joint_acceleration_rad_s2=(4.0, 4.0), max_joint_jerk_rad_s3=(40.0, 40.0),
)  # fmt: skip


def contract(kind: str) -> Contract:
    names = [*KINDS[kind].needs, "gripper_opening"]
    proprio = tuple(Proprio(n, PROPRIO[n].size or 2, PROPRIO[n].unit, PROPRIO[n].frame) for n in names)
    units = KINDS[kind].units_of(3)
    action = Action(kind, tuple("abcdefg"[: len(units)]), units, (-1.0,) * len(units), (1.0,) * len(units))
    return dataclasses.replace(CONTRACT, proprio=proprio, action=action)


def to(*joints: float) -> Target:
    return Target(0.0, joint_positions=np.array(joints))


def at(*joints: float) -> Reference:
    return Reference(joint_positions=np.array(joints))


def ask(chain: Limits, target: Target, measured: Reference, previous: Target | None = None) -> Target | Stop:
    return chain.apply(target, Context(measured, previous=previous))


def angles(verdict: Target | Stop) -> np.ndarray:
    assert isinstance(verdict, Target) and verdict.joint_positions is not None
    return verdict.joint_positions


# --------------------------------------------------------------------------------------------------------------- a hold
def moving() -> tuple[Limits, Target]:
    """After two periods towards 0.3 rad: 40 rad/s^3 for 0.1 s are 1/150 rad, and back 1/30 more; then 0.4 rad/s."""
    slow = dataclasses.replace(SMOOTH, max_joint_speed_rad_s=(0.4, 0.4))
    chain = default_limits(slow, contract("joint_position"))
    first = ask(chain, to(0.3, 0.0), at(0.0, 0.0))
    assert isinstance(first, Target)
    second = ask(chain, to(0.3, 0.0), at(0.0, 0.0), first)
    np.testing.assert_allclose([angles(first)[0], angles(second)[0]], [1 / 150, 0.04], atol=1e-4)
    assert isinstance(second, Target)
    return chain, second


def test_a_hold_by_hand() -> None:
    """From 0.4 rad/s to rest as it came, 1/30 and 1/150 rad; then it is the same target again."""
    chain, last = moving()
    held = [last]
    for _ in range(3):
        held.append(chain.hold(held[-1]))
    way = np.diff([angles(target)[0] for target in held])
    np.testing.assert_allclose(way, [1 / 30, 1 / 150, 0.0], atol=1e-4)
    assert chain.resting and chain.hold(held[-1]) is held[-1]


def test_a_hold_at_once_is_the_last_target_and_motion_begins_anew_from_rest() -> None:
    chain, last = moving()
    assert not chain.resting
    assert chain.hold(last, at_once=True) is last and chain.resting
    following = ask(chain, to(0.3, 0.0), at(0.0, 0.0), last)
    assert angles(following)[0] - angles(last)[0] == pytest.approx(1 / 150, abs=1e-4)


def test_without_accelerations_a_hold_is_the_last_target() -> None:
    chain = default_limits(LIMITS, contract("joint_position"))
    last = to(0.1, 0.0)
    assert chain.hold(last) is last and chain.resting
    velocity = default_limits(LIMITS, contract("joint_velocity")).hold(Target(0.5, joint_velocities=np.ones(2)))
    np.testing.assert_array_equal(velocity.joint_velocities, [0.0, 0.0])
    assert velocity.gripper == 0.5


# --------------------------------------------------------------------------------------------------------- carried away
def test_an_arm_that_was_carried_away_is_followed_when_the_old_motion_rests() -> None:
    """Its reach is 0.3 rad, and a motion may need 0.4 * 4 / 40 + 0.4 * (0.4 / 8 + 4 / 80) = 0.08 rad to stop."""
    chain, last = moving()
    assert isinstance(ask(copy.deepcopy(chain), to(-0.3, 0.0), at(-0.25, 0.0), last), Target)
    away = at(-0.5, 0.0)
    for expected in (1 / 30, 1 / 150):  # the hold by hand
        verdict = ask(chain, to(-0.5, 0.0), away, last)
        assert isinstance(verdict, Stop) and verdict.rule == "carried_away"
        assert "[-0.5, 0.0] rad" in verdict.words and "something moved or blocks it" in verdict.words
        held = chain.hold(last)
        assert angles(held)[0] - angles(last)[0] == pytest.approx(expected, abs=1e-4)
        last = held
    np.testing.assert_allclose(angles(ask(chain, to(-0.5, 0.0), away, last)), [-0.5, 0.0])
    assert chain.counts()["joint_motion"] >= 2 and "carried_away" in RULES


def test_one_wrong_measurement_begins_no_motion_at_rest() -> None:
    chain, last = default_limits(SMOOTH, contract("joint_position")), to(1.0, 0.0)
    assert isinstance(ask(chain, to(-1.8, 0.0), at(-1.8, 0.0), last), Stop)
    last = chain.hold(last)
    np.testing.assert_allclose(angles(ask(chain, to(1.0, 0.0), at(1.0, 0.0), last)), [1.0, 0.0])


@pytest.mark.parametrize("kind", ["eef_delta_position", "eef_delta_pose"])
def test_a_pose_too(kind: str) -> None:
    chain, there = default_limits(SMOOTH, contract(kind)), np.array([0.5, 0.5, 0.3])
    turn = np.eye(3) if kind == "eef_delta_pose" else None
    last = Target(0.0, position=np.array([0.5, -0.9, 0.3]), rotation=turn)
    verdict = ask(chain, Target(0.0, position=there, rotation=turn), Reference(there, np.eye(3)), last)
    assert isinstance(verdict, Stop) and verdict.rule == "carried_away" and "] m" in verdict.words
    verdict = ask(chain, Target(0.0, position=there, rotation=turn), Reference(there, np.eye(3)), chain.hold(last))
    assert isinstance(verdict, Target)
    np.testing.assert_array_equal(verdict.position, there)  # type: ignore[arg-type]


def test_a_turned_arm_too() -> None:
    chain, here = (
        default_limits(dataclasses.replace(SMOOTH, max_turn_speed_rad_s=2.0), contract("eef_delta_pose")),
        np.ones(3) / 2,
    )
    target = Target(0.0, position=here, rotation=np.eye(3))
    measured = Reference(here, np.diag([1.0, -1.0, -1.0]))
    verdict = ask(chain, target.replace(rotation=measured.rotation), measured, target)
    assert isinstance(verdict, Stop) and verdict.rule == "carried_away" and "is turned 3.1" in verdict.words


# --------------------------------------------------------------------------------------------------------------- height
# two links of 0.5 m that turn about y, 0.4 m above the plane: the tip of (a, b) is 0.5 sin(a) + 0.5 sin(a + b) below it
UPRIGHT = (0.0, 0.0, 0.0, 1.0)
LINKS = Chain(
    (
        Joint("shoulder", (0.0, 0.0, 0.4), UPRIGHT, (0.0, 1.0, 0.0), -2.0, 2.0),
        Joint("elbow", (0.5, 0.0, 0.0), UPRIGHT, (0.0, 1.0, 0.0), -2.0, 2.0),
    ),
    (0.5, 0.0, 0.0),
    UPRIGHT,
)
HIGH = dataclasses.replace(SMOOTH, min_height_m=0.1)


def lowest(joints: np.ndarray) -> float:
    elbow = 0.4 - 0.5 * np.sin(joints[0])
    return float(min(elbow, elbow - 0.5 * np.sin(joints[0] + joints[1])))


@pytest.mark.parametrize("kind", ["joint_position", "joint_velocity"])
def test_no_joint_target_leads_below_the_lowest_height(kind: str) -> None:
    """Random wishes to an arm that follows, whose way to rest is looked at after every one of them too."""
    rng, chain = np.random.default_rng(1), default_limits(HIGH, contract(kind), LINKS)
    arm, wish, reached = np.zeros(2), np.zeros(2), []
    previous: Target | None = None
    for k in range(4000):
        if k % 10 == 0:
            wish = rng.uniform(-1.5, 1.5, 2)
        wanted = {"joint_positions": arm + 0.2 * wish} if kind == "joint_position" else {"joint_velocities": wish}
        verdict = ask(chain, Target(0.0, **wanted), Reference(joint_positions=arm), previous)
        assert isinstance(verdict, Target)
        previous = verdict if rng.random() < 0.95 or previous is None else chain.hold(previous)
        arm = angles(previous) if kind == "joint_position" else arm + PERIOD * previous.joint_velocities  # type: ignore[operator]
        reached.append(lowest(arm))
    assert min(reached) >= 0.1 - 1e-12 and min(reached) < 0.15
    assert chain.counts()["height"] > 50


def test_an_arm_that_stands_too_low_may_only_rise() -> None:
    """The tip at 0.06 m, with 0.1 m allowed: to sink is refused, to rise is not."""
    low = np.array([0.0, np.arcsin(0.68)])
    assert lowest(low) == pytest.approx(0.06)
    chain = default_limits(HIGH, contract("joint_position"), LINKS)
    np.testing.assert_array_equal(angles(ask(chain, to(0.0, low[1] + 0.1), at(*low))), low)
    assert lowest(angles(ask(chain, to(0.0, low[1] - 0.1), at(*low)))) > 0.06


def test_an_arm_far_below_is_not_moved() -> None:
    """The tip at 0.02 m: more than ``max_reach_m``, 0.07 m, below 0.1 m. The shoulder's own height does not count."""
    chain = default_limits(HIGH, contract("joint_position"), LINKS)
    verdict = ask(chain, to(0.0, 0.0), at(0.0, float(np.arcsin(0.76))))
    assert isinstance(verdict, Stop) and verdict.rule == "height" and verdict.rule in RULES
    assert "tip of the arm is at a height of 0.020 m" in verdict.words
    higher = default_limits(dataclasses.replace(HIGH, min_height_m=0.45), contract("joint_position"), LINKS)
    assert isinstance(ask(higher, to(-0.5, 0.0), at(-0.5, 0.0)), Target)


def test_a_lowest_height_without_kinematics_or_accelerations_is_refused() -> None:
    with pytest.raises(PixelarmError, match="min_height_m needs the arm's kinematics.*key kinematics"):
        default_limits(HIGH, contract("joint_position"))
    with pytest.raises(PixelarmError, match="the kinematics have 1 joints, and the limits are for 2"):
        default_limits(HIGH, contract("joint_position"), dataclasses.replace(LINKS, joints=LINKS.joints[:1]))
    with pytest.raises(PixelarmError, match="min_height_m needs max_joint_acceleration_rad_s2"):
        dataclasses.replace(LIMITS, min_height_m=0.1)


# -------------------------------------------------------------------------------------------------------------- numbers
@pytest.mark.parametrize("config", [LIMITS, SMOOTH])
def test_no_step_of_a_joint_is_longer_than_the_longest(config: LimitConfig) -> None:
    made = dataclasses.replace(config, max_joint_step_rad=0.01)
    chain, previous = default_limits(made, contract("joint_position")), to(0.0, 0.0)
    for _ in range(8):
        verdict = ask(chain, to(0.3, 0.01), at(*angles(previous)), previous)
        step = angles(verdict) - angles(previous)
        assert np.all(np.abs(step) <= 0.01 + 1e-12)
        previous = verdict  # type: ignore[assignment]
    assert step[0] == pytest.approx(0.01)
    velocity = default_limits(made, contract("joint_velocity"))
    verdict = ask(velocity, Target(0.0, joint_velocities=np.ones(2)), at(0.0, 0.0))
    assert isinstance(verdict, Target) and np.max(verdict.joint_velocities) <= 0.1 + 1e-12  # type: ignore[type-var]


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ({"max_acceleration_m_s2": 1.0}, "max_acceleration_m_s2 and max_jerk_m_s3 need each other, got only max_acc"),
        ({"max_jerk_m_s3": 0.0}, "max_jerk_m_s3 must be positive"),
        ({"max_turn_acceleration_rad_s2": -1.0}, "max_turn_acceleration_rad_s2 must be positive"),
        ({"max_joint_step_rad": float("nan")}, "max_joint_step_rad must be positive"),
        ({"max_joint_jerk_rad_s3": (1.0, 1.0)}, "need each other, got only max_joint_jerk_rad_s3"),
        ({"max_joint_acceleration_rad_s2": (1.0, float("inf"))}, "max_joint_acceleration_rad_s2 must be positive"),
        ({"min_height_m": float("inf")}, "min_height_m must be finite"),
        (
            {"max_acceleration_m_s2": 0.5, "max_jerk_m_s3": 9.0},
            r"greatest speed 1.5 may take 3.1 s, and 2 s are allowed",
        ),
        ({"max_turn_acceleration_rad_s2": 4.0}, "max_turn_acceleration_rad_s2: at 4 a stop .* 9 may take 2.2 s"),
        (
            {"max_joint_acceleration_rad_s2": (9.0, 1.0), "max_joint_jerk_rad_s3": (90.0, 90.0)},
            "max_joint_acceleration_rad_s2 of joint 2: at 1 a stop .* 3 may take 3.0 s",
        ),
    ],
)
def test_senseless_limits_are_refused(bad: dict[str, Any], words: str) -> None:
    with pytest.raises(PixelarmError, match=words):
        dataclasses.replace(LIMITS, **bad)


def test_accelerations_for_another_number_of_joints_are_refused() -> None:
    with pytest.raises(PixelarmError, match=r"max_joint_jerk_rad_s3 \(rad/s\^3\): 3 given"):
        made = dataclasses.replace(SMOOTH, max_joint_jerk_rad_s3=(40.0,) * 3)
        default_limits(made, contract("joint_velocity"))


@pytest.mark.parametrize("kind", [name for name, kind in KINDS.items() if kind.make])
def test_without_these_numbers_the_list_is_what_it_was(kind: str) -> None:
    names = set(default_limits(LIMITS, contract(kind)).counts())
    assert not names & {"motion", "turn_motion", "joint_motion", "height"}
    smooth = set(default_limits(SMOOTH, contract(kind)).counts())
    assert smooth & {"motion", "joint_motion"} and ("turn_motion" in smooth) == KINDS[kind].turns


# ----------------------------------------------------------------------------------------------------------------- loop
ACTIONS = {
    "eef_delta_position": (0.04, 0.0, 0.0, 1.0),
    "joint_position": (0.8, -0.5, 1.0),
    "joint_velocity": (0.5, 0.0, 1.0),
}
START = {"eef_pos": np.array([0.5, 0.0, 0.3]), "joint_pos": np.array([0.5, -0.5]), "gripper_opening": np.array([0.08])}


def rig_of(kind: str) -> Rig:
    """A loop whose arm stands still and has been told to move for two ticks."""
    rig = Rig(contract=contract(kind), limits=SMOOTH)
    rig.measured = {p.name: START[p.name].copy() for p in rig.contract.proprio}
    rig.action = np.float32([ACTIONS[kind]])
    while len([hold for _, _, hold in rig.sent if not hold]) < 2:
        rig.run(1)
    return rig


def first_numbers(rig: Rig) -> np.ndarray:
    """x, or the first joint's position or velocity, of each command."""
    targets = [command.target for _, command, _ in rig.sent]
    parts = [next(v for v in (t.position, t.joint_positions, t.joint_velocities) if v is not None) for t in targets]
    return np.array([part[0] for part in parts])


@pytest.mark.parametrize("kind", ACTIONS)
def test_the_loop_comes_to_rest_when_it_holds_and_goes_on(kind: str) -> None:
    rig = rig_of(kind)
    rig.loop.hold(True)
    rig.run(8)
    numbers = first_numbers(rig)
    speeds = numbers if kind == "joint_velocity" else np.diff(numbers) / PERIOD
    assert [hold for _, _, hold in rig.sent[-8:]] == [True] * 8
    assert speeds[-8] > 0.0 and np.all(speeds[-4:] == 0.0)  # it was moving, and no longer is
    assert np.max(np.abs(np.diff(speeds))) <= 4.0 * PERIOD + 1e-9
    rig.loop.hold(False)
    rig.action = -rig.action if kind != "joint_position" else np.float32([(0.3, -0.5, 1.0)])
    rig.run(2)
    assert rig.loop.state == "running" and rig.sent[-1][2] is False
    changes = np.diff(first_numbers(rig) if kind == "joint_velocity" else np.diff(first_numbers(rig)) / PERIOD)
    assert changes[-1] != 0.0 and np.max(np.abs(changes)) <= 4.0 * PERIOD + 1e-9


@pytest.mark.parametrize("kind", ACTIONS)
def test_an_emergency_stop_stops_at_once(kind: str) -> None:
    rig = rig_of(kind)
    rig.loop.put_estop(True)
    rig.run(3)
    numbers = first_numbers(rig)[-4:]
    assert rig.loop.rule == "estop"
    assert np.all(numbers[1:] == (0.0 if kind == "joint_velocity" else numbers[0]))


@pytest.mark.parametrize("kind", ["joint_position", "joint_velocity"])
def test_a_loop_that_ends_leaves_an_arm_at_rest(kind: str) -> None:
    """On the real clock: what is published after the last command comes to rest within the limits."""
    made, sent = contract(kind), []
    policy = SimpleNamespace(contract=made, act=lambda observation: np.float32([ACTIONS[kind]]))
    loop = ControlLoop(policy, default_limits(SMOOTH, made), lambda command, hold: sent.append((command, hold)))
    loop.start()
    while sum(not hold for _, hold in sent) < 2:
        stamp = loop.clock.now_ns()
        for camera in made.cameras:
            loop.put_image(camera.name, np.zeros(camera.shape, np.uint8), stamp)
        for entry in made.proprio:
            loop.put_proprio(entry.name, START[entry.name], stamp)
        loop.clock.wait(lambda: False, loop.clock.steady() + 0.02)
        assert loop.ticks < 100
    loop.close()
    field = "joint_positions" if kind == JOINT_POSITION else "joint_velocities"
    numbers = np.array([getattr(command.target, field)[0] for command, _ in sent])
    speeds = np.diff(numbers) / PERIOD if kind == JOINT_POSITION else numbers
    assert sent[-1][1] is True and loop.limits.resting
    assert np.max(np.abs(np.diff([0.0, *speeds, 0.0]))) <= 4.0 * PERIOD + 1e-9
    assert kind == JOINT_POSITION or speeds[-1] == 0.0
