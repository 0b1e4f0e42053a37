"""An arm that does not follow its targets."""

import pytest
from arbiter_rig import HERE, Rig, positions

from robot.arbiter.modes import FAULT, POLICY
from robot.profile.arbitration import ArbiterConfig


def test_an_arm_that_does_not_follow_is_begun_anew_where_it_is_and_in_the_end_is_a_fault():
    rig = Rig(config=ArbiterConfig(follow_m=0.03))
    rig.arbiter.drive(POLICY)
    rig._follow = lambda: None  # type: ignore[method-assign]
    sent = rig.run(1.0, rig.policy(0.06, 0, 0))
    away = positions(sent)[:, 0] - HERE[0]
    assert away.max() == pytest.approx(0.06)
    assert (away == 0.0).any()  # told to stay where it is
    assert rig.arbiter.counts["not_followed"] >= 1
    rig.run(3.0, rig.policy(0.06, 0, 0))
    assert (rig.arbiter.mode, rig.arbiter.rule) == (FAULT, "not_followed")
    assert rig.sent[-1][0].position == pytest.approx(HERE)


def test_in_a_dry_run_an_arm_that_does_not_follow_is_no_fault():
    rig = Rig(config=ArbiterConfig(follow_m=0.03), dry_run=True)
    rig.arbiter.drive(POLICY)
    rig._follow = lambda: None  # type: ignore[method-assign]
    away = positions(rig.run(6.0, rig.policy(0.06, 0, 0)))[:, 0] - HERE[0]
    assert rig.arbiter.counts["not_followed"] > 5 and rig.arbiter.mode == POLICY
    assert away.max() == pytest.approx(0.06) and (away == 0.0).sum() > 5  # begun anew each time


def test_an_arm_that_moved_in_between_starts_counting_anew():
    rig = Rig(config=ArbiterConfig(follow_m=0.03))
    rig.arbiter.drive(POLICY)
    follow, stuck = rig._follow, lambda: None
    for _ in range(6):  # once each time, and it goes on
        rig._follow = stuck  # type: ignore[method-assign]
        rig.run(0.75, lambda: rig.say("policy", rig.position + [0.06, 0, 0]))
        rig._follow = follow  # type: ignore[method-assign]
        rig.run(0.5, rig.policy(0, 0, 0))
    assert rig.arbiter.counts["not_followed"] >= 6
    assert rig.arbiter.mode == POLICY


def test_an_arm_that_follows_late_is_no_arm_that_does_not_follow():
    rig = Rig(config=ArbiterConfig(follow_m=0.03))
    rig.arbiter.drive(POLICY)
    ticks = iter(range(10_000))
    rig.run(20.0, lambda: rig.policy(0.06 * (1 if next(ticks) % 200 < 100 else -1), 0, 0)())
    assert rig.arbiter.counts["not_followed"] == 0
