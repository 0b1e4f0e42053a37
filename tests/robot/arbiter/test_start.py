"""The way back to the start."""

from __future__ import annotations

import numpy as np
import pytest
from arbiter_rig import Rig, positions

from robot.arbiter.modes import IDLE, RESET
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
