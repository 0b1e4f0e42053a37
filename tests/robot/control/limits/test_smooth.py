"""Limits of acceleration and jerk, and holds that come to rest: the guarantees in the text of robot.control.limits.

Of positions and of joint positions 100,000 random commands are made: 90,000 by the filter alone and 10,000 through the
whole list (and 10,000 joint velocities), with holds, refusals, commands that were not published, and arms that lag, are
blocked and are carried away. Everything that is published is compared with the bounds, with a tolerance for rounding
only.
"""

from __future__ import annotations

import copy
import dataclasses
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from robot import rotations
from robot.actions import KINDS, PROPRIO, Reference, Target
from robot.contract import Action, Contract, Proprio
from robot.control.limits import Context, LimitConfig, Limits, default_limits
from robot.control.rules import Stop

ALONE, WHOLE = 90_000, 10_000
PERIOD = 0.1
ROUNDING = 1e-15  # m or rad
FIELDS = {
    "eef_delta_position": "position",
    "eef_delta_pose": "position",
    "joint_position": "joint_positions",
    "joint_velocity": "joint_velocities",
}
SPEED, ACCELERATION, JERK = 0.5, 2.5, 30.0  # m
TURN_SPEED, TURN_ACCELERATION = 2.0, 8.0  # rad
JOINT_SPEED, JOINT_ACCELERATION, JOINT_JERK = np.array([1.0, 2.0]), np.array([4.0, 6.0]), np.array([40.0, 100.0])
SMOOTH = LimitConfig(
    max_reach_m=0.07, max_speed_m_s=SPEED, speed_scale=1.0, box_low=(0.2, -0.4, 0.0), box_high=(0.8, 0.4, 0.6),
    max_turn_rad=0.3, max_turn_speed_rad_s=TURN_SPEED, joint_low=(-2.0, -1.0), joint_high=(2.0, 1.0),
    max_joint_speed_rad_s=tuple(JOINT_SPEED), max_joint_reach_rad=0.4, joint_margin_rad=0.1,
    max_acceleration_m_s2=ACCELERATION, max_jerk_m_s3=JERK, max_turn_acceleration_rad_s2=TURN_ACCELERATION,
    max_joint_acceleration_rad_s2=tuple(JOINT_ACCELERATION), max_joint_jerk_rad_s3=tuple(JOINT_JERK),
)  # fmt: skip
BOX = np.array([SMOOTH.box_low, SMOOTH.box_high])
RANGE = np.array([[-1.9, -0.9], [1.9, 0.9]])  # joint_low and joint_high with their margin
HERE, DOWN, JOINTS = np.array([0.5, 0.0, 0.3]), np.diag([1.0, -1.0, -1.0]), np.array([0.5, -0.5])


def limits(kind: str, **changes: Any) -> Limits:
    units = KINDS[kind].units_of(3)
    action = Action(kind, tuple("abcdefgh"[: len(units)]), units, (-1.0,) * len(units), (1.0,) * len(units))
    proprio = tuple(Proprio(n, PROPRIO[n].size or 2, PROPRIO[n].unit, PROPRIO[n].frame) for n in KINDS[kind].needs)
    contract = Contract("toy", (), proprio, action, rate_hz=1 / PERIOD, deadline_ms=80, max_age_ms=100)
    return default_limits(dataclasses.replace(SMOOTH, **changes), contract)


def targets(kind: str, value: np.ndarray, rotation: np.ndarray | None = None) -> Target:
    return Target(0.0, rotation=rotation if kind == "eef_delta_pose" else None, **{FIELDS[kind]: value})


def longest_stop(v: Any, a: Any, j: Any) -> Any:
    """The longest way to rest by hand, for bounds where the greatest acceleration is reached."""
    assert np.all(v >= a * a / j)
    return v * a / j + v * (v / (2 * a) + a / (2 * j))


POSITION_SLACK, JOINT_SLACK = (
    longest_stop(SPEED, ACCELERATION, JERK),
    longest_stop(JOINT_SPEED, JOINT_ACCELERATION, JOINT_JERK),
)


# ---------------------------------------------------------------------------------------------------- what is compared
def require_bounds(motions: list[list[np.ndarray]], bounds: tuple[Any, Any, Any], lengths: bool) -> None:
    """The differences of each motion, which holds its first position three times, keep speed, acceleration and jerk.

    A difference of positions x has an error of some eps * max|x|, and every division by the period carries it on; the
    bounds themselves are kept to a billionth.
    """
    largest = [np.zeros(1)] * 3
    for motion in motions:
        values = np.array(motion)
        error = 8 * np.finfo(np.float64).eps * np.abs(values).max()
        for k, bound in enumerate(bounds):
            values = np.diff(values, axis=0) / PERIOD
            error = 2 * error / PERIOD
            sizes = np.linalg.norm(values, axis=1) if lengths else np.abs(values)
            assert np.all(sizes <= np.asarray(bound) * (1 + 1e-9) + error), (k, sizes.max(axis=0))
            largest[k] = np.maximum(largest[k], sizes.max(axis=0) / bound)
    # the targets did ask for more; of a jerk that lasts for one period, differences see two thirds
    assert np.all(largest[0] > 0.8) and np.all(largest[1] > 0.6) and np.all(largest[2] > 0.5), largest


# ----------------------------------------------------------------------------------------------------- the filter alone
def wanted_anew(rng: np.random.Generator, box: np.ndarray, wanted: np.ndarray, here: np.ndarray) -> np.ndarray:
    """A jump, a reversal, noise, or the same again."""
    what, size = rng.random(), box[1] - box[0]
    if what < 0.1:
        wanted = rng.uniform(*box)
    elif what < 0.15:
        wanted = 2 * here - wanted
    elif what < 0.5:
        wanted = wanted + rng.normal(0.0, 0.02, len(size)) * size
    return np.clip(wanted, *box)


def alone(kind: str, box: np.ndarray, start: np.ndarray, seed: int) -> list[np.ndarray]:
    """What the filter publishes for an arm that follows exactly; the other filters would change what is wanted."""
    rng, chain = np.random.default_rng(seed), Limits(limits(kind).filters[-1:])
    field = "joint_positions" if kind.startswith("joint") else "position"
    published, previous, wanted = [start] * 3, None, start
    for _ in range(ALONE):
        wanted = wanted_anew(rng, box, wanted, published[-1])
        if previous is not None and rng.random() < 0.1:
            previous = chain.hold(previous)
        else:
            context = Context(measured=Reference(**{field: published[-1]}), previous=previous)
            verdict = chain.apply(targets(kind, wanted), context)
            assert isinstance(verdict, Target)
            previous = verdict if previous is None or rng.random() < 0.95 else chain.hold(previous)  # 5 % come too late
        published.append(getattr(previous, FIELDS[kind]))
    return published


def test_no_joint_of_90000_commands_breaks_a_bound() -> None:
    published = alone("joint_position", RANGE, JOINTS, seed=1)
    assert np.all(np.array(published) >= RANGE[0] - ROUNDING) and np.all(np.array(published) <= RANGE[1] + ROUNDING)
    require_bounds([published], (JOINT_SPEED, JOINT_ACCELERATION, JOINT_JERK), lengths=False)


def test_no_position_of_90000_commands_breaks_a_bound() -> None:
    published = alone("eef_delta_position", BOX, HERE, seed=2)
    assert np.all(np.array(published) >= BOX[0] - ROUNDING) and np.all(np.array(published) <= BOX[1] + ROUNDING)
    require_bounds([published], (SPEED, ACCELERATION, JERK), lengths=True)


# ------------------------------------------------------------------------------------------------------- the whole list
class Walk:
    """Random commands through the whole list to an arm that lags, is blocked and is carried away."""

    def __init__(self, kind: str, seed: int, **changes: Any) -> None:
        self.kind, self.field, self.rng = kind, FIELDS[kind], np.random.default_rng(seed)
        self.chain, self.box = limits(kind, **changes), RANGE if kind.startswith("joint") else BOX
        self.slack = JOINT_SLACK if kind.startswith("joint") else np.full(3, POSITION_SLACK)
        self.reach = SMOOTH.max_joint_reach_rad if kind.startswith("joint") else SMOOTH.max_reach_m
        self.at, self.hand = (JOINTS if kind.startswith("joint") else HERE).copy(), DOWN
        self.wanted, self.turn = self.at, DOWN
        self.previous: Target | None = None
        self.motions: list[list[np.ndarray]] = []
        self.turns: list[list[np.ndarray]] = []
        self.away, self.blocked, self.passed, self.begun_anew = False, 0, 0, 0
        self.fired: set[str] = set()

    def measured(self) -> Reference:
        if self.kind.startswith("joint"):
            return Reference(joint_positions=self.at.copy())
        return Reference(position=self.at.copy(), rotation=self.hand)

    def go(self, steps: int) -> Walk:
        for _ in range(steps):
            self.ask()
            self.act()
        return self

    def ask(self) -> None:
        rng, verdict = self.rng, None
        self.wanted = wanted_anew(rng, self.box + (0.3 * np.array([[-1], [1]])), self.wanted, self.at)
        if rng.random() < 0.3:  # what a policy asks for is near the arm
            self.wanted = self.at + rng.normal(0.0, 0.1, len(self.at))
            self.turn = rotations.from_axis_angle(rng.normal(0.0, 0.3, 3)) @ self.hand
        wanted = np.full(len(self.at), np.nan) if rng.random() < 0.01 else self.wanted
        if rng.random() > 0.05:  # else an operator holds
            context = Context(measured=self.measured(), previous=self.previous, enabled=rng.random() > 0.02)
            verdict = self.chain.apply(targets(self.kind, wanted, self.turn), context)
        if isinstance(verdict, Stop):
            self.fired.add(verdict.rule)
        if isinstance(verdict, Target) and rng.random() < 0.97:  # else it was ready too late
            self.require_near(verdict)
            self.publish(verdict)
        elif self.previous is not None:
            self.publish(self.chain.hold(self.previous))
        if isinstance(verdict, Target):
            self.away = False
        elif verdict is not None and verdict.rule == "carried_away":
            self.away = True

    def require_near(self, target: Target) -> None:
        """|t - m|, see the text."""
        self.passed += 1
        if self.kind == "joint_velocity":
            return
        outside, far = np.abs(self.at - np.clip(self.at, *self.box)), np.abs(getattr(target, self.field) - self.at)
        if self.kind == "joint_position":
            assert np.all(far <= self.reach + outside + self.slack + 1e-9)
        else:
            assert np.linalg.norm(far) <= self.reach + np.linalg.norm(outside) + POSITION_SLACK + 1e-9

    def publish(self, target: Target) -> None:
        value, start = getattr(target, self.field), self.at.copy()
        fast = PERIOD * (JOINT_SPEED if self.kind.startswith("joint") else SPEED) * 1.001
        if self.kind == "joint_velocity":
            start, fast = np.zeros(2), np.inf  # they know no jump
        jumped = bool(self.motions) and bool(np.any(np.abs(value - self.motions[-1][-1]) > fast))
        self.add(self.motions, value, start, jumped)
        if target.rotation is not None:
            turn = rotations.angle_between(target.rotation, self.turns[-1][-1]) if self.turns else 0.0
            self.add(self.turns, target.rotation, self.hand, turn > PERIOD * TURN_SPEED * 1.001)
        self.previous = target

    def add(self, motions: list[list[np.ndarray]], value: np.ndarray, start: np.ndarray, jumped: bool) -> None:
        """To the motion, or to a new one: the first, or after an arm was carried away and the old motion had ended."""
        if jumped and self.away:
            self.begun_anew += 1
            motions[-1] += [motions[-1][-1]] * 3  # it had come to rest: these keep the bounds too
        if not motions or (jumped and self.away):
            motions.append([start] * 3)
        motions[-1].append(value)

    def act(self) -> None:
        """The arm follows: 70 % of the way, with noise; unless it is blocked, or carried away."""
        if self.previous is None:
            return
        rng, value = self.rng, getattr(self.previous, self.field)
        self.blocked = max(self.blocked - 1, 0) or (15 if rng.random() < 0.005 else 0)
        if rng.random() < 0.01:
            self.at, self.blocked = rng.uniform(self.box[0] - 0.05, self.box[1] + 0.05), 15
            self.hand = rotations.from_axis_angle(rng.normal(0, 1, 3))
        elif not self.blocked:
            way = PERIOD * value if self.kind == "joint_velocity" else 0.7 * (value - self.at)
            self.at = self.at + way + rng.normal(0.0, 0.002, len(self.at))
            if self.previous.rotation is not None:
                self.hand = rotations.part_of_turn(self.hand, self.previous.rotation, 0.7)


def require_inside(walk: Walk) -> None:
    """In the range; a number that is outside comes back to it from where its motion began."""
    for motion in walk.motions:
        values = np.array(motion[2:])
        low, high = np.minimum(walk.box[0], values[0]), np.maximum(walk.box[1], values[0])
        assert np.all(values >= low - ROUNDING) and np.all(values <= high + ROUNDING)
        outside = np.abs(values - np.clip(values, *walk.box))
        assert np.all(np.diff(outside, axis=0) <= ROUNDING)


def test_no_command_of_the_whole_list_breaks_a_bound_of_the_joints() -> None:
    walk = Walk("joint_position", seed=3).go(WHOLE)
    require_inside(walk)
    require_bounds(walk.motions, (JOINT_SPEED, JOINT_ACCELERATION, JOINT_JERK), lengths=False)
    assert walk.fired >= {"finite", "enable", "carried_away"}
    assert walk.passed > 0.7 * WHOLE and walk.begun_anew > 50


def test_no_command_of_the_whole_list_breaks_a_bound_of_the_pose() -> None:
    walk = Walk("eef_delta_pose", seed=4).go(WHOLE)
    require_inside(walk)
    require_bounds(walk.motions, (SPEED, ACCELERATION, JERK), lengths=True)
    assert walk.fired >= {"finite", "enable", "carried_away"}
    assert walk.passed > 0.6 * WHOLE and walk.begun_anew > 50
    for turns in walk.turns:
        steps = np.array([rotations.to_axis_angle(b @ a.T) for a, b in pairwise(turns)]) / PERIOD
        assert np.linalg.norm(steps, axis=1).max() <= TURN_SPEED * (1 + 1e-9)
        changes = np.linalg.norm(np.diff(steps, axis=0), axis=1) / PERIOD
        assert changes.max() <= TURN_ACCELERATION * (1 + 1e-9)


def test_no_command_of_the_whole_list_breaks_a_bound_of_the_joints_velocities() -> None:
    """Velocities are their own first difference: only two are left, acceleration and jerk."""
    walk = Walk("joint_velocity", seed=5).go(WHOLE)
    velocities = np.array([v for motion in walk.motions for v in motion])
    assert np.all(np.abs(velocities) <= JOINT_SPEED * (1 + 1e-9))
    positions = np.cumsum(velocities, axis=0) * PERIOD
    error = 2 * np.finfo(np.float64).eps * np.abs(positions).max() / PERIOD
    for bound in (JOINT_ACCELERATION, JOINT_JERK):
        velocities, error = np.diff(velocities, axis=0) / PERIOD, 2 * error / PERIOD
        assert np.all(np.abs(velocities) <= bound * (1 + 1e-9) + error)
        assert np.all(np.abs(velocities).max(axis=0) > 0.5 * bound)
    assert walk.passed > 0.7 * WHOLE


# ----------------------------------------------------------------------------------------------------- joint velocities
@pytest.mark.parametrize("late", [0, 1, 2])
def test_velocities_lead_no_joint_out_of_its_range(late: int) -> None:
    """An arm that follows each velocity at once, or up to two periods later, driven to the edges of its range."""
    rng, chain, at = np.random.default_rng(6), limits("joint_velocity"), JOINTS.copy()
    previous, sent, farthest = None, [np.zeros(2)] * late, np.zeros(2)
    for k in range(3000):
        if k % 12 == 0:
            wanted = rng.uniform(-1.5, 1.5, 2) * JOINT_SPEED
        verdict = chain.apply(
            targets("joint_velocity", wanted), Context(Reference(joint_positions=at), previous=previous)
        )
        assert isinstance(verdict, Target)
        previous = verdict
        sent.append(verdict.joint_velocities)
        at = at + PERIOD * sent.pop(0)
        farthest = np.maximum(farthest, np.abs(at))
    assert np.all(farthest <= RANGE[1] + 1e-12)
    assert np.all(farthest > RANGE[1] - 0.05)  # and they come near


def test_a_velocity_by_hand_and_a_command_that_was_not_published() -> None:
    """Jerk 40 to 4 rad/s^2 in 0.1 s and back: 0.2 rad/s, then 0.4; on average 1/15 and 1/3. Two equal ones may follow
    each other: of slowing down, the first is 1/3 again. One that was made and never sent must not count as sent."""
    chain, seen = limits("joint_velocity"), Reference(joint_positions=np.zeros(2))
    first = chain.apply(targets("joint_velocity", np.array([0.4, 0.0])), Context(seen))
    second = chain.apply(targets("joint_velocity", np.array([0.4, 0.0])), Context(seen, previous=first))
    np.testing.assert_allclose([v.joint_velocities[0] for v in (first, second)], [1 / 15, 1 / 3], atol=1e-5)
    chain.apply(targets("joint_velocity", np.zeros(2)), Context(seen, previous=second))  # not published
    held = [chain.hold(second)]
    held += [chain.hold(held[-1])]
    held += [chain.hold(held[-1])]
    np.testing.assert_allclose([v.joint_velocities[0] for v in held], [1 / 3, 1 / 15, 0.0], atol=1e-5)
    assert chain.resting


# ------------------------------------------------------------------------------------------------------------ rotations
def test_a_turn_from_rest_is_the_shortest_and_ends_exactly() -> None:
    rng = np.random.default_rng(7)
    for _ in range(60):
        chain, start = limits("eef_delta_pose", max_turn_rad=1.5), rotations.from_axis_angle(rng.normal(0.0, 1.0, 3))
        turn = rng.normal(0.0, 1.0, 3)
        turn *= rng.uniform(0.001, 1.5) / np.linalg.norm(turn)
        wanted, left = rotations.from_axis_angle(turn) @ start, [float(np.linalg.norm(turn))]
        previous: Target | None = None
        while previous is None or not np.array_equal(previous.rotation, wanted):
            context = Context(Reference(HERE, start if previous is None else previous.rotation), previous=previous)
            previous = chain.apply(targets("eef_delta_pose", HERE, wanted), context)
            assert isinstance(previous, Target) and len(left) < 40
            so_far = rotations.to_axis_angle(previous.rotation @ start.T)
            np.testing.assert_allclose(np.cross(so_far, turn), 0.0, atol=1e-12)
            left.append(float(np.linalg.norm(turn - so_far)))
        assert np.all(np.diff(left) < 1e-12)


# ----------------------------------------------------------------------------------------------- a goal that stays put
@pytest.mark.parametrize(("kind", "box"), [("joint_position", RANGE), ("eef_delta_position", BOX)])
def test_what_stays_wanted_is_reached_exactly_and_not_passed(kind: str, box: np.ndarray) -> None:
    """From rest, and in motion: no further than it, or than a hold at this moment would have gone."""
    rng, field = np.random.default_rng(8), FIELDS[kind]
    for i in range(150):
        chain, at = Limits(limits(kind).filters[-1:]), rng.uniform(*box)
        ways, previous = [at], None
        for steps in (3, 100) if i % 2 else (100,):
            goal, published = rng.uniform(*box), [at]
            for _ in range(steps):
                verdict = chain.apply(targets(kind, goal), Context(Reference(**{field: at}), previous=previous))
                assert isinstance(verdict, Target)
                previous, at = verdict, getattr(verdict, field)
                published.append(at)
            if steps == 3:
                ways = [at, *(getattr(held, field) for held in holds(copy.deepcopy(chain), previous))]
        np.testing.assert_array_equal(published[-1], goal)
        assert np.all(np.max(published, axis=0) <= np.max([goal, *ways], axis=0) + 1e-12)
        assert np.all(np.min(published, axis=0) >= np.min([goal, *ways], axis=0) - 1e-12)


# ---------------------------------------------------------------------------------------------------------------- holds
def holds(chain: Limits, previous: Target) -> list[Target]:
    """What is published until the arm rests."""
    made = [chain.hold(previous)]
    while not chain.resting:
        made.append(chain.hold(made[-1]))
    return made


@pytest.mark.parametrize(
    ("kind", "slack"), [("joint_position", JOINT_SLACK), ("eef_delta_position", np.full(1, POSITION_SLACK))]
)
def test_a_hold_comes_to_rest_within_the_predicted_distance(kind: str, slack: np.ndarray) -> None:
    walk = Walk(kind, seed=9)
    farthest = np.zeros_like(slack)
    for _ in range(200):
        walk.go(5)
        assert walk.previous is not None
        made = holds(copy.deepcopy(walk.chain), walk.previous)
        assert len(made) <= 6  # at most 0.5 s by these numbers, and one more to be seen to rest
        way = np.abs(getattr(made[-1], walk.field) - getattr(walk.previous, walk.field))
        farthest = np.maximum(farthest, way if kind == "joint_position" else np.linalg.norm(way))
    assert np.all(farthest <= slack + 1e-12) and np.all(farthest > 0.3 * slack)
