"""An operator beside a policy: the deadman, taking over, handing back, and a device that dies meanwhile."""

from __future__ import annotations

import numpy as np
import pytest
from arbiter_rig import HERE, Rig, positions

from robot.arbiter.modes import IDLE, INTERVENE, POLICY, TELEOP
from robot.profile.arbitration import ArbiterConfig


def test_teleoperation_needs_the_deadman():

    rig = Rig()
    rig.arbiter.drive(TELEOP)
    assert rig.run(0.5, rig.operator(0.05, 0, 0, held=False)) == []
    rig.run(0.6, rig.operator(0.05, 0, 0))
    assert rig.sent[-1][0].position == pytest.approx(HERE + [0.05, 0, 0])
    held = positions(rig.run(0.5, rig.operator(0.2, 0, 0, held=False)))
    assert (held == held[0]).all()
    assert rig.arbiter.rule == "released"


def test_a_device_that_falls_silent_lets_go_and_only_a_new_press_takes_hold_again():
    rig = Rig()
    rig.arbiter.drive(TELEOP)
    rig.run(0.1, rig.operator(0.05, 0, 0, held=False))
    rig.run(0.3, rig.operator(0.05, 0, 0))
    rig.run(0.5)  # the network is cut
    assert rig.arbiter.rule == "released"
    held = positions(rig.run(0.5, rig.operator(0.2, 0, 0)))  # it comes back with the button still down
    assert (held == held[0]).all()
    rig.run(0.05, rig.operator(0.2, 0, 0, held=False))
    moved = positions(rig.run(0.5, rig.operator(0.1, 0, 0)))
    assert moved[-1][0] > held[-1][0]


def test_a_device_that_connects_with_the_button_down_moves_nothing():
    rig = Rig()
    rig.arbiter.drive(TELEOP)
    assert rig.run(0.5, rig.operator(0.05, 0, 0)) == []


def test_an_operator_takes_over_from_a_policy_and_hands_back():
    rig = Rig()
    policy = rig.policy(0.05, 0, 0)
    rig.arbiter.drive(POLICY)
    rig.run(0.5, lambda: (policy(), rig.operator(0, 0.05, 0, held=False)()))
    rig.run(0.6, lambda: (policy(), rig.operator(0, 0.05, 0)()))
    assert rig.arbiter.mode == INTERVENE
    assert rig.sent[-1][0].position == pytest.approx(HERE + [0, 0.05, 0])
    rig.run(0.6, lambda: (policy(), rig.operator(0, 0.05, 0, held=False)()))
    assert rig.arbiter.mode == POLICY
    assert rig.sent[-1][0].position == pytest.approx(HERE + [0.05, 0, 0])


def test_a_takeover_whose_device_dies_does_not_hand_back():
    rig = Rig()
    policy = rig.policy(0.05, 0, 0)
    rig.arbiter.drive(POLICY)
    rig.run(0.5, lambda: (policy(), rig.operator(0, 0.05, 0, held=False)()))
    rig.run(0.3, lambda: (policy(), rig.operator(0, 0.05, 0)()))
    held = positions(rig.run(0.6, policy))[20:]
    assert rig.arbiter.mode == IDLE
    assert (held == held[0]).all()


@pytest.mark.parametrize("blend_s", [0.0, 0.3])
def test_a_hand_over_is_blended(blend_s):
    rig = Rig(config=ArbiterConfig(blend_s=blend_s))
    policy = rig.policy(0.05, 0, 0)
    rig.arbiter.drive(POLICY)
    rig.run(1.0, lambda: (policy(), rig.operator(0, 0.05, 0, held=False)()))
    taken = positions(rig.run(0.3, lambda: (policy(), rig.operator(0, 0.05, 0)())))
    steps = np.linalg.norm(np.diff(taken, axis=0), axis=1)
    # without a blend the limit of speed alone decides: 1 m/s in 10 ms; with it 1.875 x the mean, minimum jerk's peak
    assert steps.max() == pytest.approx(0.01 if not blend_s else 1.875 * np.hypot(0.05, 0.05) / 30, rel=0.02)


def test_the_gripper_changes_hands_when_the_blend_is_over():
    rig = Rig()
    rig.arbiter.drive(POLICY)
    rig.run(1.0, lambda: (rig.policy(0, 0, 0, gripper=1.0)(), rig.operator(0, 0, 0, held=False)()))
    assert rig.sent[-1][0].gripper == 1.0
    rig.arbiter.put_gripper("teleop", -1.0)
    sent = rig.run(0.6, lambda: (rig.policy(0, 0, 0, gripper=1.0)(), rig.operator(0, 0, 0)()))
    opened = [i for i, (target, _, _) in enumerate(sent) if target.gripper == -1.0]
    assert opened[0] == 31  # a tick of waiting for a target that came after the press, and 0.3 s
    assert len(opened) == 29


def test_a_source_that_holds_is_held_at_once_and_goes_on_when_it_speaks_again():
    rig = Rig()
    rig.arbiter.drive(POLICY)
    rig.run(0.3, rig.policy(0.3, 0, 0))
    held = rig.run(1.0, lambda: rig.arbiter.put_hold("policy", "stale_observation"))
    assert all(hold for _, _, hold in held)
    assert rig.arbiter.rule == "source_holds" and "stale_observation" in rig.arbiter.words
    assert rig.arbiter.mode == POLICY  # it is there: that is no silence
    rig.run(0.7, rig.policy(0.05, 0, 0))
    assert rig.sent[-1][0].position == pytest.approx(HERE + [0.05, 0, 0])


def test_an_arm_that_was_moved_while_it_was_held_is_not_pulled_back():
    """A simulation that was reset, or an arm led by hand: the last target is of another place, 30 cm away."""
    rig = Rig(jumps=True)
    rig.arbiter.drive(TELEOP)
    rig.run(0.1, rig.operator(0, 0, 0, held=False))
    rig.run(0.5, rig.operator(0, 0, 0))
    rig.run(0.1, rig.operator(0, 0, 0, held=False))
    moved = HERE + [-0.3, 0, 0]
    rig.position = moved.copy()
    rig.sent.clear()
    rig.arbiter._publish = lambda target, stamp, hold: None if hold else rig.sent.append((target, stamp, hold))
    rig.run(0.1, rig.operator(-0.3, 0, 0, held=False))
    sent = rig.run(0.5, rig.operator(-0.3, 0, 0))  # an arm that does not follow the hold: of another place
    assert len(sent) == 49  # all but the one tick that waited for a target from after the press
    assert np.abs(positions(sent) - moved).max() < 1e-9


def test_the_status_says_where_the_arm_was_told_to_be():
    rig = Rig()
    assert rig.arbiter.status()["target"] is None
    rig.arbiter.drive(TELEOP)
    rig.run(0.1, rig.operator(0, 0, 0, held=False))
    rig.run(0.6, rig.operator(0.05, 0, 0))
    said = rig.arbiter.status()["target"]
    assert said["position"] == pytest.approx([0.55, 0.0, 0.3])
    assert said["xyzw"] == pytest.approx([1.0, 0.0, 0.0, 0.0]) and said["joint_positions"] is None
