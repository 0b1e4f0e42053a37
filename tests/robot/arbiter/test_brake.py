"""An arm that trails its target: how soon it is brought to rest, where, and when it is left as it stands."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from arbiter_rig import HERE, LIMITS, SMOOTH, Rig, positions

from robot.actions import JOINT_POSITION
from robot.arbiter.arbiter import PATIENCE_S
from robot.arbiter.brake import LONGEST_S, SAG_M, Brake
from robot.arbiter.modes import POLICY
from robot.errors import PixelarmError
from robot.profile import ArmProfile
from robot.profile.arbitration import ArbiterConfig

PROFILES = Path(__file__).parents[3] / "hardware" / "arms"
STIFFNESS = 150.0  # 1/s^2, of a mass of 1
DAMPINGS = {"under-damped": 15.0, "critically damped": 24.5, "over-damped": 40.0}  # 1/s
STEPS = 10  # of the motion in a tick


class SpringRig(Rig):
    """The arm is a mass on a spring whose other end is the target.

    Args:
        lag_s: as in the profile.
        damping: 1/s.
        wall: as far along x as it can go, m.
        weight: m/s^2 along -z.
        every: so many ticks pass between two states.
    """

    def __init__(
        self, lag_s: float | None, damping: float, wall: float = np.inf, weight: float = 0.0, every: int = 2
    ) -> None:
        super().__init__("pose", config=ArbiterConfig(lag_s=lag_s))
        self.velocity, self.wall, self.damping = np.zeros(3), wall, damping
        self.weight, self.every, self.ticks = np.array([0.0, 0.0, -weight]), every, 0

    def sense(self) -> None:
        self.ticks = getattr(self, "ticks", 0) + 1
        if self.ticks % getattr(self, "every", 1) == 0:
            super().sense()

    def _follow(self) -> None:
        if not self.sent:
            return
        goal, dt, place = self.sent[-1][0].position, self.config.period_s / STEPS, self.position
        assert goal is not None
        for _ in range(STEPS):
            force = STIFFNESS * (goal - place) - self.damping * self.velocity + self.weight
            self.velocity = self.velocity + dt * force
            place = place + dt * self.velocity
            if place[0] > self.wall:
                place[0], self.velocity = self.wall, np.zeros(3)
        self.position = place

    def drive(self, seconds: float, speed: float) -> None:
        """The target moves along x at a speed, m/s, ahead of the arm."""
        self.arbiter.drive(POLICY)
        ahead = iter(np.arange(1, 10_000) * speed * self.config.period_s)
        self.run(seconds, lambda: self.say("policy", HERE + [next(ahead), 0.0, 0.0]))

    def rests_after_s(self) -> float:
        """From the order to stop to when it moves no faster than 5 mm/s any more."""
        self.arbiter.stop()
        moving = [0.0]
        for tick in range(150):
            self.run(self.config.period_s)
            if np.linalg.norm(self.velocity) > 0.005:
                moving.append((tick + 1) * self.config.period_s)
        return moving[-1]


@pytest.mark.parametrize("damping", DAMPINGS.values(), ids=DAMPINGS.keys())
@pytest.mark.parametrize("speed", [0.1, 0.3])
def test_a_brake_brings_an_arm_that_trails_to_rest_sooner(damping, speed):
    braked, held = SpringRig(damping / STIFFNESS, damping), SpringRig(None, damping)
    braked.drive(0.8, speed)
    held.drive(0.8, speed)
    assert braked.velocity[0] > 0.5 * speed  # both are in the middle of a motion
    rests_s = braked.rests_after_s()
    assert rests_s <= 0.3
    assert held.rests_after_s() > (0.35 if speed < 0.2 else rests_s)  # the rule did it


@pytest.mark.parametrize("wrong", [0.7, 1.5])
def test_a_lag_that_is_not_quite_right_does_no_harm(wrong):
    rig = SpringRig(wrong * 24.5 / STIFFNESS, 24.5)
    rig.drive(0.8, 0.3)
    assert rig.rests_after_s() <= 0.4


def test_the_target_goes_back_near_the_arm_and_stands_where_it_rests():
    rig = SpringRig(0.16, 24.5)
    rig.drive(0.8, 0.3)
    ahead, here = float(rig.sent[-1][0].position[0]), float(rig.position[0])
    assert ahead - here > 0.015
    rig.arbiter.stop()
    told = positions(rig.run(1.5))[:, 0]
    assert told[0] < here  # against the motion
    assert np.all(told > here - rig.config.hold_m - 0.005)  # but no further than a hold may be from the arm
    assert len(np.unique(told[-50:])) == 1
    assert told[-1] == pytest.approx(rig.position[0], abs=0.001)
    assert rig.position[0] - here < 0.02


@pytest.mark.parametrize("way", [(1, 0, 0), (0, 0, 1)], ids=["level", "up and down"])
def test_what_holds_the_arm_up_is_not_taken_from_it(way):
    """A hand that sags by 4 mm under what it carries is not lowered by them at each of ten stops."""
    rig = SpringRig(24.5 / STIFFNESS, 24.5, weight=0.004 * STIFFNESS)
    rig.drive(0.5, 0.1)
    heights, sign = [], 1.0
    for _ in range(10):
        rig.arbiter.stop()
        rig.run(1.2)
        heights.append(float(rig.position[2]))
        rig.arbiter.drive(POLICY)
        place = rig.sent[-1][0].position.copy()
        for k in range(60):
            there = place + 0.001 * k * sign * np.array(way)
            rig.run(rig.config.period_s, lambda there=there: rig.say("policy", there))
        sign = -sign
    lost = heights[0] - heights[-2]  # of the same end
    assert lost < 0.25 * 8 * 0.004 and SAG_M >= 0.004


def test_of_a_lead_along_the_motion_only_what_points_up_is_kept():
    """The arm gathers speed, up a little: the lag does not explain its lead, and that is no sag."""
    brake = Brake(0.16)
    assert brake.begin(np.array([0.1, 0.0, 0.01]), np.array([0.03, 0.0, 0.003]), 0.0)
    assert abs(brake._sag[0]) < 0.0003 and 0.0 < brake._sag[2] < 0.002


def test_a_braked_target_stays_in_the_box():
    """The arm has just turned at the floor of its workspace, and is held as it goes up."""
    rig = SpringRig(0.16, 24.5)
    rig.arbiter.drive(POLICY)
    down, up = iter(np.arange(1, 1000) * 0.003), iter(np.arange(1, 1000) * 0.003)
    rig.run(1.2, lambda: rig.say("policy", HERE - [0, 0, next(down)]))
    floor = float(rig.sent[-1][0].position[2])
    rig.run(0.3, lambda: rig.say("policy", np.array([HERE[0], 0, floor + next(up)])))
    assert rig.velocity[2] > 0.1 and rig.position[2] < 0.05
    rig.arbiter.stop()
    assert positions(rig.run(0.5))[:, 2].min() >= min(0.0, floor) - 1e-9


def test_a_fault_cannot_be_cleared_before_a_braked_arm_rests():
    rig = SpringRig(0.16, 24.5)
    rig.drive(0.8, 0.3)
    rig.arbiter.put_cause("anything", "is wrong")
    rig.arbiter.put_cause("anything", "")
    rig.run(0.03)
    assert rig.arbiter.mode == "fault"
    assert "coming to rest" in rig.arbiter.clear()
    rig.run(1.0)
    assert rig.arbiter.clear() == ""


def test_an_emergency_stop_is_no_brake():
    rig = SpringRig(0.16, 24.5)
    rig.drive(0.8, 0.3)
    here = rig.position.copy()
    rig.arbiter.put_cause("estop", "pressed")
    told = positions(rig.run(0.5))
    assert len(np.unique(told[:, 0])) == 1 and told[0, 0] > here[0]  # near the arm, once
    rig = SpringRig(0.16, 24.5)
    rig.drive(0.8, 0.3)
    rig.arbiter.stop()
    rig.run(0.03)
    rig.arbiter.put_cause("estop", "pressed")
    told = positions(rig.run(0.5))
    assert len(np.unique(told[:, 0])) == 1  # and in the middle of a stop where the arm is


def test_a_scene_that_is_set_up_anew_ends_the_stop():
    rig = SpringRig(0.16, 24.5)
    rig.arbiter._jumps = True  # as of a simulated arm
    rig.drive(0.8, 0.3)
    rig.arbiter.stop()
    rig.run(0.06)
    rig.position, rig.velocity = rig.position + [-0.06, 0.0, 0.05], np.zeros(3)  # too near to be taken for a jump
    place = rig.position.copy()
    rig.run(0.6)
    assert np.linalg.norm(rig.position - place) < 0.01


def test_a_policy_that_has_no_answer_for_a_moment_is_not_braked():
    braked, held = SpringRig(0.16, 24.5), SpringRig(None, 24.5)
    speeds = []
    for rig in (braked, held):
        rig.drive(0.5, 0.3)
        begin = rig.position[0]
        ahead = iter(np.arange(50, 10_000) * 0.003)
        for _ in range(5):
            rig.run(0.1, lambda rig=rig, ahead=ahead: rig.say("policy", HERE + [min(next(ahead), 0.49), 0.0, 0.0]))
            rig.arbiter.put_hold(POLICY, "no answer")
            rig.run(0.05)
        speeds.append(rig.position[0] - begin)
    assert speeds[0] == pytest.approx(speeds[1], abs=1e-9)


def test_a_policy_that_holds_for_longer_is():
    rig = SpringRig(0.16, 24.5)
    rig.drive(0.8, 0.3)
    rig.arbiter.put_hold(POLICY, "no answer")
    told = positions(rig.run(PATIENCE_S + 0.05))
    assert told[0, 0] > rig.position[0] - 0.02
    assert len(np.unique(told[:, 0])) > 2


def test_states_that_come_seldom_lead_no_arm():
    rig = SpringRig(0.16, 24.5, every=20)  # 5 Hz
    rig.drive(0.8, 0.3)
    rig.arbiter.stop()
    assert len(np.unique(positions(rig.run(0.6))[:, 0])) <= 2


def test_after_a_gap_in_the_states_the_brake_goes_on():
    """A machine that stood still for 0.12 s in the middle of a stop."""
    rig = SpringRig(0.16, 24.5)
    rig.drive(0.8, 0.3)
    rig.arbiter.stop()
    rig.run(0.02)
    rig.sensing = False
    rig.run(0.12)
    rig.sensing = True
    assert rig.rests_after_s() <= 0.2
    assert rig.sent[-1][0].position[0] == pytest.approx(rig.position[0], abs=0.002)  # and not behind it


def test_a_clock_that_is_set_back_ends_the_stop():
    rig = SpringRig(0.16, 24.5)
    rig.drive(0.8, 0.3)
    rig.arbiter.stop()
    rig.run(0.05)
    now_ns = rig.clock.now_ns
    rig.clock.now_ns = lambda: now_ns() - 10**10  # type: ignore[method-assign]
    rig.run(1.0)
    assert rig.arbiter.rests
    assert len(np.unique(positions(rig.run(0.3))[:, 0])) == 1


def test_an_arm_that_presses_against_something_is_held_as_it_stands():
    """It does not move: what it is told keeps what it does, within ``hold_m``."""
    rig = SpringRig(0.16, 24.5, wall=HERE[0] + 0.1)
    rig.arbiter.drive(POLICY)
    rig.run(2.0, rig.policy(0.115, 0, 0))
    before = rig.sent[-1][0].position
    rig.arbiter.stop()
    assert np.abs(positions(rig.run(0.5)) - before).max() < 1e-9


def test_an_arm_whose_state_is_old_is_told_its_last_target():
    rig = SpringRig(0.16, 24.5)
    rig.drive(0.8, 0.3)
    rig.sensing = False
    sent = rig.run(0.5, rig.policy(0.24, 0, 0))
    assert rig.arbiter.rule == "stale_state"
    last, first = [target.position for target, _, hold in sent if not hold][-1], next(t for t, _, hold in sent if hold)
    assert first.position == pytest.approx(last, abs=1e-9)


def test_a_state_that_ended_leads_no_arm():
    """The policy notices first, and asks for a hold; when the arm is to be braked, its last state is 0.2 s old."""
    rig = SpringRig(0.16, 24.5)
    rig.drive(0.8, 0.3)
    rig.sensing = False
    rig.run(0.05)
    rig.arbiter.put_hold(POLICY, "the state is old")
    told = positions(rig.run(0.2))
    assert len(np.unique(told[:, 0])) == 1


def test_an_arm_that_somebody_pushes_on_is_not_followed_for_long():
    rig = SpringRig(0.16, 24.5)
    rig.drive(0.8, 0.1)
    rig.arbiter.stop()
    rig.run(0.01)

    def pushed() -> None:
        rig.position = rig.position + [0.0003, 0, 0]

    rig._follow = pushed  # type: ignore[method-assign]
    told = positions(rig.run(LONGEST_S + 0.4))
    assert np.ptp(told[-35:], axis=0).max() < 1e-9  # 3 cm/s, and the target stands


def test_a_stiff_arm_that_is_said_to_trail_is_kicked_once():
    """Its target leads it by nothing, and it is where it is told to be in the next tick."""
    rig = Rig(config=ArbiterConfig(lag_s=0.16))
    rig._follow = lambda: setattr(rig, "position", rig.sent[-1][0].position.copy())  # type: ignore[method-assign]
    rig.arbiter.drive(POLICY)
    ahead = iter(np.arange(1, 10_000) * 0.003)
    rig.run(0.5, lambda: rig.say("policy", HERE + [next(ahead), 0.0, 0.0]))
    here = rig.position.copy()
    rig.arbiter.stop()
    told = positions(rig.run(0.5))
    assert np.abs(told[:, 0] - here[0]).max() <= rig.config.hold_m + 1e-9
    assert len(np.unique(told[3:, 0])) == 1


def test_the_next_motion_is_no_part_of_a_stop():
    rig = SpringRig(0.16, 24.5)
    rig.drive(0.8, 0.3)
    rig.arbiter.stop()
    rig.run(0.03)
    rig.arbiter.drive(POLICY)
    away = rig.run(0.5, rig.policy(0, 0, 0))
    assert not any(hold for _, _, hold in away[2:])
    assert rig.sent[-1][0].position == pytest.approx(HERE, abs=0.05)
    assert not rig.arbiter._told._braking


def test_joints_are_not_braked():
    """The lag is one of poses."""
    rig = Rig(JOINT_POSITION, config=ArbiterConfig(lag_s=0.16))
    rig.arbiter.drive(POLICY)
    ahead = iter(np.arange(1, 10_000) * 0.01)
    rig.run(0.5, lambda: rig.say("policy", HERE + [next(ahead), 0.0, 0.0]))
    rig.arbiter.stop()
    told = np.array([target.joint_positions for target, _, _ in rig.run(0.5)])
    assert np.ptp(told, axis=0).max() < 1e-9


def test_limits_of_acceleration_brake_in_its_place():
    smooth = dataclasses.replace(LIMITS, **SMOOTH)
    with_lag, without = (Rig(limits=smooth, config=ArbiterConfig(lag_s=lag)) for lag in (0.16, None))
    told = []
    for rig in (with_lag, without):
        rig.arbiter.drive(POLICY)
        rig.run(0.5, rig.policy(0.1, 0, 0))
        rig.arbiter.stop()
        told.append(positions(rig.run(0.5)))
    assert np.array_equal(*told)


def test_the_lag_of_a_profile():
    kitchen = ArmProfile.load(PROFILES / "sim_kitchen.yaml")
    with pytest.raises(PixelarmError, match=r"arbiter\.lag_s is of an arm that is led by poses"):
        dataclasses.replace(kitchen, arbiter=ArbiterConfig(lag_s=0.2))
    assert ArmProfile.load(PROFILES / "sim_panda.yaml").arbiter.lag_s == pytest.approx(0.18)
    with pytest.raises(PixelarmError, match=r"lag_s must be 0\.05 to 0\.5, got 0\.01"):
        ArbiterConfig(lag_s=0.01)
