"""The way back to the start, and what must be before anything moves."""

from __future__ import annotations

import numpy as np
import pytest
from arbiter_rig import Rig, positions

from robot.arbiter.modes import IDLE, POLICY, RESET
from robot.profile.arbitration import ArbiterConfig, Start


def test_reset_brings_the_arm_to_its_start_within_the_limits():

    start = Start(position=(0.3, 0.2, 0.4), xyzw=(1.0, 0.0, 0.0, 0.0))
    rig = Rig(config=ArbiterConfig(start=start))
    assert rig.arbiter.drive(RESET) == ""
    sent = positions(rig.run(3.0))
    assert np.linalg.norm(np.diff(sent, axis=0), axis=1).max() <= 0.01 + 1e-9
    assert rig.position == pytest.approx(start.position, abs=0.011)
    assert rig.arbiter.mode == IDLE
    assert "start" in rig.arbiter.words


def test_reset_gives_up_on_an_arm_that_does_not_come():
    start = Start(position=(0.3, 0.2, 0.4), xyzw=(1.0, 0.0, 0.0, 0.0), patience_s=0.5)
    rig = Rig(config=ArbiterConfig(start=start))
    rig.arbiter.drive(RESET)
    rig._follow = lambda: None  # type: ignore[method-assign]
    rig.run(1.0)
    assert rig.arbiter.mode == IDLE
    assert "still" in rig.arbiter.words


def test_reset_without_a_start_says_what_to_write():
    assert "arbiter.start" in Rig().arbiter.drive(RESET)


def test_command_is_given_to_a_policy_that_is_ready_and_heard() -> None:
    rig = Rig(gate=True)
    assert "no policy is heard" in rig.arbiter.drive(POLICY)
    rig.arbiter.put_ready("policy", "nothing received yet from: agentview")
    assert "agentview" in rig.arbiter.drive(POLICY)
    rig.arbiter.put_ready("policy", "")
    rig.clock.now_s += 1.5
    rig.sense()
    assert "no policy is heard" in rig.arbiter.drive(POLICY)  # it was ready once, and is gone
    rig.arbiter.put_ready("policy", "")
    assert rig.arbiter.drive(POLICY) == ""


def test_an_arm_outside_its_workspace_is_not_moved_by_a_policy() -> None:
    rig = Rig(gate=True)
    rig.position = np.array([0.5, 0.0, -0.3])
    rig.clock.now_s += 0.1
    for _ in range(10):  # until it is believed
        rig.clock.now_s += 0.01
        rig.sense()
    rig.arbiter.put_ready("policy", "")
    assert "outside its workspace" in rig.arbiter.drive(POLICY)
