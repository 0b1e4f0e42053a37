"""Who commands, who holds, and what happens when anybody dies: every rule of the arbiter, seen to fire."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from arbiter_rig import HERE, LIMITS, SMOOTH, Rig, positions

from robot.actions import JOINT_POSITION, JOINT_VELOCITY
from robot.arbiter.modes import FAULT, IDLE, POLICY, TELEOP
from robot.profile.arbitration import ArbiterConfig

MODES_OF_DEATH = [0.05, 0.13, 0.3, 0.7]  # s of motion before the policy falls silent


def test_nothing_is_published_before_somebody_has_command():
    rig = Rig()
    assert rig.run(1.0, rig.policy(0.05, 0, 0)) == []
    assert rig.arbiter.mode == IDLE


def test_a_policy_with_command_moves_the_arm_to_its_target():
    rig = Rig()
    assert rig.arbiter.drive(POLICY) == ""
    sent = rig.run(1.0, rig.policy(0.05, 0, 0))
    assert sent[-1][0].position == pytest.approx(HERE + [0.05, 0, 0])
    assert rig.position == pytest.approx(HERE + [0.05, 0, 0], abs=1e-3)
    assert not any(hold for _, _, hold in sent)


def test_commands_come_at_the_rate_of_the_driver_between_targets_of_a_slower_policy():
    rig = Rig()
    rig.arbiter.drive(POLICY)
    ticks = iter(range(1000))
    sent = rig.run(1.0, lambda: rig.policy(0.05, 0, 0)() if next(ticks) % 10 == 0 else None)
    assert len(sent) == 100
    assert not any(hold for _, _, hold in sent)


def test_a_target_from_before_command_was_given_moves_nothing():
    rig = Rig()
    rig.run(0.1, rig.policy(0.05, 0, 0))
    rig.arbiter.drive(POLICY)
    assert rig.run(0.5) == []
    assert rig.arbiter.rule == "waiting"


@pytest.mark.parametrize("moved_s", MODES_OF_DEATH)
def test_a_policy_that_dies_leaves_the_arm_holding_where_it_was_sent(moved_s):
    rig = Rig()
    rig.arbiter.drive(POLICY)
    rig.run(moved_s, rig.policy(0.3, 0, 0))
    dead = rig.run(1.0)
    silent = [i for i, (_, _, hold) in enumerate(dead) if hold]
    assert silent[0] == pytest.approx(rig.config.silence_s * rig.config.rate_hz, abs=1)  # 0.25 s after its last word
    held = positions(dead)[silent[0] :]
    assert (held == held[0]).all()  # and holds: the stream goes on, the target stands
    assert rig.arbiter.rule == "silent"


@pytest.mark.parametrize("moved_s", MODES_OF_DEATH)
def test_with_accelerations_it_decelerates_within_them(moved_s):
    rig = Rig(limits=dataclasses.replace(LIMITS, **SMOOTH))
    rig.arbiter.drive(POLICY)
    sent = rig.run(moved_s, rig.policy(0.3, 0, 0)) + rig.run(1.5)
    steps = np.diff(positions(sent), axis=0) / rig.config.period_s
    assert np.abs(np.diff(steps, axis=0) / rig.config.period_s).max() <= 4.0 + 1e-6
    assert np.abs(steps[-50:]).max() == 0.0  # at rest


def test_a_policy_that_stays_silent_loses_command_and_does_not_get_it_back_by_speaking():
    rig = Rig()
    rig.arbiter.drive(POLICY)
    rig.run(0.2, rig.policy(0.05, 0, 0))
    rig.run(10 * rig.config.silence_s + 0.1)
    assert rig.arbiter.mode == IDLE
    before = rig.sent[-1][0].position
    assert positions(rig.run(0.5, rig.policy(-0.05, 0, 0))) == pytest.approx(np.tile(before, (50, 1)))


def test_a_short_silence_is_forgiven():
    rig = Rig()
    rig.arbiter.drive(POLICY)
    rig.run(0.2, rig.policy(0.05, 0, 0))
    rig.run(0.5)
    rig.run(0.7, rig.policy(-0.05, 0, 0))
    assert rig.arbiter.mode == POLICY
    assert rig.sent[-1][0].position == pytest.approx(HERE - [0.05, 0, 0])


# ------------------------------------------------------------------------------------------------- the rules of motion
def test_without_the_enable_button_a_policy_moves_nothing():
    rig = Rig(enable_timeout_s=0.2)
    rig.arbiter.drive(POLICY)
    assert rig.run(0.5, rig.policy(0.05, 0, 0)) == []
    rig.arbiter.put_enable(False)

    def each() -> None:
        rig.arbiter.put_enable(True)
        rig.policy(0.05, 0, 0)()

    assert rig.run(0.3, each)[-1][2] is False
    assert rig.run(0.5, rig.policy(0.05, 0, 0))[-1][2] is True  # the button is silent
    assert rig.arbiter.rule == "enable"


def test_an_emergency_stop_latches_and_nothing_resumes_by_its_release():
    rig = Rig(limits=dataclasses.replace(LIMITS, **SMOOTH))
    rig.arbiter.drive(POLICY)
    rig.run(0.3, rig.policy(0.3, 0, 0))
    last = rig.sent[-1][0].position
    rig.arbiter.put_cause("estop", "the emergency stop was pressed")
    held = positions(rig.run(0.3, rig.policy(0.3, 0, 0)))
    assert (held == last).all()  # at once: not even a way to rest
    assert "pressed" in rig.arbiter.clear()
    rig.arbiter.put_cause("estop", "")
    assert rig.run(0.3, rig.policy(0.3, 0, 0))[-1][2] is True
    assert "fault" in rig.arbiter.drive(POLICY)
    assert rig.arbiter.clear() == ""
    assert rig.arbiter.mode == IDLE
    assert rig.run(0.3, rig.policy(0.3, 0, 0)) == []


def test_a_second_publisher_is_a_fault_and_the_arbiter_falls_silent():
    rig = Rig()
    rig.arbiter.drive(POLICY)
    rig.run(0.3, rig.policy(0.3, 0, 0))
    rig.arbiter.put_cause("second_publisher", "/other publishes on /target_pose too")
    assert rig.run(0.3, rig.policy(0.3, 0, 0)) == []
    assert rig.arbiter.mode == FAULT
    assert "/other" in rig.arbiter.drive(POLICY)


@pytest.mark.parametrize("limits", [LIMITS, dataclasses.replace(LIMITS, **SMOOTH)], ids=["at once", "brakes"])
def test_once_the_second_publisher_is_gone_its_fault_can_be_cleared(limits):
    rig = Rig(limits=limits)
    rig.arbiter.drive(POLICY)
    rig.run(0.3, rig.policy(0.3, 0, 0))
    rig.arbiter.put_cause("second_publisher", "/other publishes on /target_pose too")
    rig.run(1.0, rig.policy(0.3, 0, 0))
    assert "/other" in rig.arbiter.clear()
    rig.arbiter.put_cause("second_publisher", "")
    assert rig.arbiter.clear() == ""
    assert rig.arbiter.drive(POLICY) == ""


def test_a_driver_that_stopped_is_told_to_stay_where_it_is():
    """A UR robot that plays on after a protective stop goes on to the last target it was told."""
    rig = Rig()
    rig.arbiter.drive(POLICY)
    rig.run(0.5, rig.policy(0.05, 0, 0))
    rig.arbiter.put_cause("driver", "robot_program_running says False")
    rig.position = np.array([0.45, 0.1, 0.3])  # somebody pushed the arm
    told = rig.run(0.1, rig.policy(0.05, 0, 0))
    assert told[0][0].position == pytest.approx([0.45, 0.1, 0.3], abs=1e-9)
    rig.arbiter.put_cause("driver", "")
    assert rig.arbiter.clear() == ""
    rig.arbiter.drive(POLICY)
    assert rig.run(0.02, rig.policy(0.05, 0, 0))[0][0].position == pytest.approx(rig.position, abs=5e-3)


def test_a_driver_that_is_not_ready_yet_is_no_fault_but_nothing_begins():
    rig = Rig()
    rig.arbiter.put_cause("driver", "robot_program_running says False")
    assert rig.arbiter.mode == IDLE
    assert "robot_program_running" in rig.arbiter.drive(POLICY)


@pytest.mark.parametrize(("lost_s", "mode", "rule"), [(0.5, POLICY, "stale_state"), (1.2, FAULT, "state_lost")])
def test_an_arm_that_does_not_say_where_it_is_is_held(lost_s, mode, rule):
    rig = Rig()
    rig.arbiter.drive(POLICY)
    rig.run(0.3, rig.policy(0.05, 0, 0))
    rig.sensing = False
    assert rig.run(lost_s, rig.policy(-0.05, 0, 0))[-1][2] is True
    assert (rig.arbiter.mode, rig.arbiter.rule) == (mode, rule)


def test_a_state_that_repeats_one_stamp_is_frozen():
    rig = Rig()
    rig.arbiter.drive(POLICY)
    rig.run(0.3, rig.policy(0.05, 0, 0))
    rig.sensing, stamp = False, rig.clock.now_ns()

    def each() -> None:
        for name, value in (("eef_pos", rig.position), ("eef_quat", np.array([1.0, 0, 0, 0]))):
            rig.arbiter.put_state(name, value, stamp)
        rig.policy(-0.05, 0, 0)()

    rig.run(0.6, each)
    assert rig.arbiter.rule == "stale_state"


@pytest.mark.parametrize(("jumps", "mode"), [(False, FAULT), (True, POLICY)])
def test_an_arm_that_is_suddenly_elsewhere_is_a_fault_but_a_simulated_one_is_not(jumps, mode):
    rig = Rig(jumps=jumps)
    rig.arbiter.drive(POLICY)
    rig.run(0.3, rig.policy(0.05, 0, 0))
    rig.position = HERE + [0.0, 0.3, 0.0]
    rig.run(0.2, rig.policy(0.05, 0, 0))
    assert rig.arbiter.mode == mode


def test_one_message_that_jumps_is_dropped():
    rig = Rig()
    rig.arbiter.drive(POLICY)
    ticks = iter(range(1000))

    def each() -> None:
        rig.policy(0.05, 0, 0)()
        if next(ticks) % 2:
            rig.arbiter.put_state("eef_pos", rig.position + 0.3, rig.clock.now_ns() + 1)

    sent = rig.run(0.5, each)
    assert not any(hold for _, _, hold in sent)
    assert sent[-1][0].position == pytest.approx(HERE + [0.05, 0, 0])


def test_an_arm_that_was_never_heard_is_not_driven():
    rig = Rig()
    rig.arbiter.state.__init__(rig.arbiter.state.names)  # type: ignore[misc]
    assert "eef_pos" in rig.arbiter.drive(POLICY)


def test_what_is_no_target_of_this_arm_is_dropped_and_counted():
    rig = Rig()
    rig.arbiter.drive(POLICY)
    rig.arbiter.put_target("policy", {"joint_positions": np.zeros(2)})
    rig.arbiter.put_target("policy", {})
    rig.arbiter.put_gripper("policy", float("nan"))
    assert rig.arbiter.counts["malformed"] == 3
    assert rig.run(0.2) == []


def test_a_hold_in_motion_stops_near_the_arm_and_one_at_rest_changes_nothing():
    rig = Rig()
    rig.arbiter.drive(POLICY)
    rig.run(0.3, lambda: rig.say("policy", rig.position + [0.07, 0, 0]))
    where, ahead = rig.position.copy(), rig.sent[-1][0].position
    assert ahead[0] - where[0] > 0.03
    rig.arbiter.stop()
    held = positions(rig.run(0.5))
    assert held[0][0] == pytest.approx(where[0] + 0.02)
    assert (held == held[0]).all()
    rig.position = held[-1] - [0, 0, 0.015]  # it sags
    rig._follow = lambda: None  # type: ignore[method-assign]
    rig.arbiter.drive(POLICY)
    rig.run(0.1, lambda: rig.say("policy", held[-1]))
    rig.arbiter.stop()
    assert positions(rig.run(0.1))[-1] == pytest.approx(held[-1])


def test_a_target_that_is_not_finite_holds():
    rig = Rig()
    rig.arbiter.drive(POLICY)
    rig.run(0.5, rig.policy(0.05, 0, 0))
    assert rig.run(0.3, rig.policy(np.nan, 0, 0))[-1][2] is True
    assert rig.arbiter.rule == "finite"
    assert rig.sent[-1][0].position == pytest.approx(HERE + [0.05, 0, 0], abs=1e-9)


def test_an_older_target_is_dropped():
    rig = Rig()
    rig.arbiter.drive(POLICY)
    rig.run(0.2, rig.policy(0.05, 0, 0))
    rig.arbiter.put_target("policy", {"position": HERE}, rig.clock.now_ns() - 10**8)
    assert rig.arbiter.counts["out_of_order"] == 1


def test_a_target_that_answers_an_old_observation_is_refused():
    rig = Rig()
    rig.arbiter.drive(POLICY)
    stamp = rig.clock.now_ns()
    rig.run(0.7, lambda: rig.arbiter.put_target("policy", {"position": HERE + [0.05, 0, 0]}, stamp))
    assert rig.arbiter.rule == "expiry"


def test_a_position_without_a_rotation_keeps_the_orientation():
    rig = Rig()
    rig.arbiter.drive(POLICY)
    rig.run(0.4, lambda: rig.arbiter.put_target("policy", {"position": HERE + [0.05, 0, 0]}))
    assert rig.sent[-1][0].rotation == pytest.approx(np.diag([1.0, -1.0, -1.0]))


def test_reduced_speed_is_a_share_of_the_greatest():
    rig = Rig(limits=dataclasses.replace(LIMITS, speed_scale=0.25), config=ArbiterConfig(blend_s=0.0))
    rig.arbiter.drive(POLICY)
    steps = np.diff(positions(rig.run(0.1, rig.policy(0.05, 0, 0))), axis=0)
    assert np.linalg.norm(steps, axis=1).max() == pytest.approx(0.25 * 1.0 * 0.01)


@pytest.mark.parametrize("kind", [JOINT_POSITION, JOINT_VELOCITY])
def test_joints_are_driven_and_held_alike(kind):
    rig = Rig(kind)
    rig.arbiter.drive(POLICY)
    rig.run(0.5, rig.policy(0.2, -0.1, 0))
    moved = rig.joints.copy()
    assert moved[0] > 0.05
    assert moved[1] < -0.02
    rig.run(1.0)
    if kind == JOINT_VELOCITY:  # the last velocity held would go on moving the arm
        assert (rig.sent[-1][0].joint_velocities == 0.0).all()
    assert rig.arbiter.rule == "silent"


def test_stop_takes_command_and_holds():
    rig = Rig()
    rig.arbiter.drive(POLICY)
    rig.run(0.3, rig.policy(0.3, 0, 0))
    rig.arbiter.stop()
    held = positions(rig.run(0.5, rig.policy(0.3, 0, 0)))
    assert (held == held[0]).all()


def test_status_says_who_commands_and_what_was_counted():
    rig = Rig()
    rig.arbiter.drive(POLICY)
    rig.run(0.5, rig.policy(0.3, 0, 0))
    status = rig.arbiter.status()
    assert (status["mode"], status["rule"], status["commands"]) == (POLICY, "", 50)
    assert status["limits"]["reach"] > 0
    rig.run(0.5)
    assert rig.arbiter.status()["rules"]["silent"] > 0


def test_whoever_commands_dies_and_comes_back_the_motion_keeps_its_limits():
    """Random commanders, silences, presses and orders: one motion from the first command to the last hold."""
    rig, draw = Rig(limits=dataclasses.replace(LIMITS, **SMOOTH)), np.random.default_rng(0)
    speaking = {"policy": True, "teleop": True}
    goals, held = {"policy": np.zeros(3), "teleop": np.zeros(3)}, False

    def each() -> None:
        nonlocal held
        event = draw.integers(60)
        if event < 2:
            name = ("policy", "teleop")[event]
            speaking[name] = not speaking[name]
        elif event < 8:
            goals[("policy", "teleop")[event % 2]] = draw.uniform(-0.15, 0.15, 3)
        elif event < 10:
            held = not held
        elif event < 12:
            rig.arbiter.drive((POLICY, TELEOP)[event % 2])
        elif event == 12 and draw.integers(4) == 0:
            rig.arbiter.stop()
        for name, speaks in speaking.items():
            if speaks:
                rig.say(name, HERE + goals[name])
        if speaking["teleop"]:
            rig.arbiter.put_operator(held)

    sent = positions(rig.run(100.0, each))
    motion = np.vstack([[sent[0]] * 3, sent])
    for order, bound in ((1, 1.0), (2, 4.0), (3, 80.0)):
        change = np.diff(motion, order, axis=0) / rig.config.period_s**order
        assert np.linalg.norm(change, axis=1).max() <= bound * (1.0 + 1e-6)
    assert rig.arbiter.commands > 2000
    assert rig.arbiter.counts["released"] > 100
