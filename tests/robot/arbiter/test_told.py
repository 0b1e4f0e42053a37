"""What a robot is told while it is held: never nonsense, never a place that it was taken from, never half a stop."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from arbiter_rig import HERE, LIMITS, SMOOTH, Rig, positions

from robot.actions import JOINT_VELOCITY
from robot.arbiter.modes import IDLE, POLICY, RESET
from robot.profile.arbitration import ArbiterConfig, Start

SMOOTHLY = dataclasses.replace(LIMITS, **SMOOTH)


@pytest.mark.parametrize("cause", ["", "driver"])
def test_a_state_that_is_no_number_is_never_told_to_the_driver(cause):
    rig = Rig()
    rig.arbiter.drive(POLICY)
    rig.run(0.3, rig.policy(0.3, 0, 0))
    if cause:
        rig.arbiter.put_cause(cause, "it says False")
    rig.position = np.full(3, np.nan)
    rig._follow = lambda: None  # type: ignore[method-assign]
    rig.run(0.5, rig.policy(0.3, 0, 0))
    assert np.isfinite(positions(rig.sent)).all()
    assert rig.arbiter.rule in ("stale_state", "driver")


def test_an_idle_arm_that_was_taken_elsewhere_is_told_to_stay_there():
    """A driver that was started again, an arm that was led by hand: the old target is half a metre away."""
    rig = Rig(jumps=True)
    rig.arbiter.drive(POLICY)
    rig.run(0.5, rig.policy(0.05, 0, 0))
    rig.arbiter.stop()
    rig.sensing = False
    silent = rig.run(3.0)
    assert len(silent) < 40  # nobody knows where the arm is: nothing is said once it rests
    rig.position, rig.sensing = HERE - [0.4, 0, 0], True
    rig._follow = lambda: None  # type: ignore[method-assign]
    assert rig.arbiter.mode == IDLE
    said = positions(rig.run(0.5))  # once it is believed
    assert len(said) > 40 and np.abs(said - rig.position).max() < 1e-9


@pytest.mark.parametrize("order", [("estop", "driver"), ("driver", "estop")])
def test_of_two_causes_both_count_whichever_came_first(order):
    rig = Rig()
    rig.arbiter.drive(POLICY)
    rig.run(0.5, rig.policy(0.05, 0, 0))
    for cause in order:
        rig.arbiter.put_cause(cause, cause)
    rig.position = HERE - [0.04, 0, 0]  # somebody pushed the arm
    rig._follow = lambda: None  # type: ignore[method-assign]
    assert positions(rig.run(0.1))[-1] == pytest.approx(rig.position)


def test_an_emergency_stop_during_another_fault_stops_at_once():
    rig = Rig(limits=SMOOTHLY)
    rig.arbiter.drive(POLICY)
    rig.run(0.3, rig.policy(0.3, 0, 0))
    rig.arbiter.put_cause("second_publisher", "another")
    rig.run(0.02)
    rig.arbiter.put_cause("estop", "pressed")
    assert len({tuple(p) for p in positions(rig.run(0.2))}) <= 1


def test_a_fault_is_not_cleared_while_the_arm_is_coming_to_rest():
    rig = Rig(JOINT_VELOCITY, SMOOTHLY)
    rig.arbiter.drive(POLICY)
    rig.run(0.3, rig.policy(1.0, 0, 0))
    rig.arbiter.put_cause("estop_button", "pressed")
    rig.arbiter.put_cause("estop_button", "")
    assert "rest" in rig.arbiter.clear()  # no hold was published yet
    rig.run(0.02)
    assert "rest" in rig.arbiter.clear()
    rig.run(1.0)
    assert rig.arbiter.clear() == ""
    assert (rig.sent[-1][0].joint_velocities == 0.0).all()


@pytest.mark.parametrize("ask", [POLICY, RESET])
def test_asking_for_command_in_a_motion_does_not_stop_it_at_once(ask):
    start = Start(position=(0.5, 0.3, 0.3), xyzw=(1.0, 0.0, 0.0, 0.0))
    rig = Rig(limits=SMOOTHLY, config=ArbiterConfig(start=start), gate=True)
    rig.arbiter.put_ready(POLICY, "")
    rig.arbiter.drive(POLICY)
    moving = rig.run(0.35, rig.policy(0.3, 0, 0))
    rig.arbiter.put_ready(POLICY, "")
    rig.arbiter.drive(ask)
    sent = positions(moving + rig.run(0.5))
    steps = np.diff(sent, axis=0) / rig.config.period_s
    assert np.linalg.norm(np.diff(steps, axis=0), axis=1).max() / rig.config.period_s <= 4.0 + 1e-6


def test_a_cleared_fault_does_not_open_the_gripper():
    rig = Rig()
    rig.arbiter.drive(POLICY)
    rig.run(0.6, rig.policy(0.05, 0, 0, gripper=1.0))
    rig.arbiter.put_cause("estop", "pressed")
    rig.run(0.1)
    rig.arbiter.put_cause("estop", "")
    assert rig.arbiter.clear() == ""
    rig.arbiter.drive(POLICY)
    sent = rig.run(0.6, rig.policy(0.05, 0, 0, gripper=1.0))
    assert {target.gripper for target, _, _ in sent} == {1.0}


def test_a_policy_gets_no_command_while_the_operator_holds_the_deadman():
    rig = Rig()
    rig.run(0.1, rig.operator(0, 0, 0, held=False))
    rig.run(0.1, rig.operator(0, 0, 0))
    assert "operator" in rig.arbiter.drive(POLICY)
    rig.run(0.05, rig.operator(0, 0, 0, held=False))
    assert rig.arbiter.drive(POLICY) == ""


def test_clocks_that_differ_are_noticed_and_one_that_was_set_back_is_followed():
    rig = Rig()
    rig.arbiter.drive(POLICY)
    rig.run(0.3, rig.policy(0.05, 0, 0))
    rig.arbiter.put_target(POLICY, {"position": HERE}, rig.clock.now_ns() + 10**9)
    assert rig.arbiter.counts["clock_domain"] == 1
    real = rig.clock.now_ns
    rig.clock.now_ns = lambda: real() - 60 * 10**9  # type: ignore[method-assign]
    sent = rig.run(0.5, rig.policy(0.05, 0, 0))
    assert not sent[-1][2] and rig.arbiter.mode == POLICY


def test_the_way_to_the_start_has_its_patience_from_when_it_may_begin():
    start = Start(position=(0.3, 0.2, 0.4), xyzw=(1.0, 0.0, 0.0, 0.0), patience_s=2.0)
    rig = Rig(config=ArbiterConfig(start=start), enable_timeout_s=0.2)
    rig.arbiter.drive(RESET)
    rig.run(3.0)
    rig.arbiter.put_enable(False)
    rig.run(1.5, lambda: rig.arbiter.put_enable(True))
    assert rig.position == pytest.approx(start.position, abs=0.02)
