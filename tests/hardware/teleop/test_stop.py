"""What stops an arm: a release, silence, a backlog, a fault; and that only a new press begins a motion again."""

from __future__ import annotations

import pytest
from teleop_rig import HERE, Rig

AHEAD = {"linear": (1, 0, 0)}


def moving() -> Rig:
    rig = Rig()
    rig.run(0.1, False)
    assert rig.run(0.2, True, **AHEAD)[-1][0]
    return rig


def moves(rig: Rig, seconds: float = 0.3) -> bool:
    """Whether the operator who goes on holding moves the arm."""
    return any(held for held, _ in rig.run(seconds, True, **AHEAD))


def test_a_release_stops_at_once():
    rig = moving()
    assert rig.run(0.02, False) == [(False, None)]
    assert moves(rig)


def test_a_device_that_is_silent_for_150_ms_is_let_go_and_needs_a_new_press():
    rig = moving()
    found = rig.run(0.4)
    assert [held for held, _ in found].index(False) == 7  # 160 ms after its last word
    assert rig.teleop.words == "no device speaks"
    assert not moves(rig)  # it comes back with the key still down
    assert "press anew" in rig.teleop.words
    rig.run(0.02, False)
    assert moves(rig)


def test_a_device_that_is_silent_for_80_ms_makes_the_arm_wait_and_goes_on_without_a_press():
    rig = moving()
    found = rig.run(0.12)
    assert [target is None for _, target in found].index(True) == 4  # 100 ms after its last word
    assert all(held for held, _ in found)  # it is not let go yet
    assert "waits" in rig.teleop.words
    before = rig.target().copy()
    assert rig.run(0.02, True, **AHEAD)[-1][1] is not None
    assert rig.target()[0] - before[0] <= 0.1 * 0.05 + 1e-9  # m/s times the longest step: nothing is made up for


def test_a_device_that_begins_with_the_key_down_moves_nothing():
    rig = Rig()
    assert not moves(rig)
    rig = moving()
    rig.teleop.receiver.forget()  # another device, or the same one anew
    rig.now_s += 0.01
    rig.sequence = iter(range(1000))
    assert not moves(rig)


def test_of_a_backlog_nothing_counts_but_a_release():
    """The network stands still for two seconds and then delivers everything at once."""
    rig = moving()
    rig.run(2.0)
    for late in (2.0, 1.5, 1.0, 0.5):
        assert not rig.say(True, late_s=late, **AHEAD)
    assert rig.teleop.receiver.counts["late"] == 4
    assert rig.teleop.tick() == (False, None)
    assert rig.say(False, late_s=0.4)


def test_the_newest_counts_and_old_sequence_numbers_are_dropped():
    rig = moving()
    rig.sequence = iter([3])
    assert not rig.say(True, linear=(-1, 0, 0))
    assert rig.teleop.receiver.counts["out_of_order"] == 1


def test_clocks_that_drift_do_not_make_inputs_late():
    """A device whose clock runs 0.05 % slow: after an hour it is 1.8 s behind."""
    rig = Rig()
    for _ in range(3600):
        rig.now_s += 1.0
        assert rig.say(True, late_s=0.0005 * (rig.now_s - 100))


@pytest.mark.parametrize(
    ("break_it", "mend_it", "words"),
    [
        (lambda rig: rig.status.update(mode="fault", words="the emergency stop is pressed"),
         lambda rig: rig.status.update(mode="teleop", words=""), "emergency stop"),
        (lambda rig: rig.status.update(mode="idle", words="stopped on request"),
         lambda rig: rig.status.update(mode="teleop", words=""), "does not have command: stopped on request"),
        (lambda rig: rig.status.update(operator=False), lambda rig: rig.status.update(operator=True), "has let go"),
        (lambda rig: setattr(rig, "sensing", False), lambda rig: setattr(rig, "sensing", True), "s old"),
    ],
    ids=["fault", "idle", "arbiter let go", "stale state"],
)  # fmt: skip
def test_what_stops_a_motion_is_said_and_takes_a_new_press(break_it, mend_it, words):
    rig = moving()
    break_it(rig)
    assert rig.run(0.7, True, **AHEAD)[-1] == (False, None)
    assert words in rig.teleop.words
    mend_it(rig)
    assert not moves(rig)
    assert "press anew" in rig.teleop.words
    rig.run(0.02, False)
    assert moves(rig)


def test_an_arbiter_that_is_silent_stops_the_motion():
    rig = moving()
    status, rig.status = rig.status, None
    assert rig.run(0.6, True, **AHEAD)[-1] == (False, None)
    assert "the arbiter says nothing" in rig.teleop.words
    rig.status = status
    assert not moves(rig)


def test_a_press_takes_over_from_a_policy_and_waits_where_the_arm_is():
    rig = Rig()
    rig.status["mode"] = "policy"
    rig.run(0.1, False)
    held, target = rig.run(0.3, True, **AHEAD)[-1]
    assert held and target.position == pytest.approx(HERE)  # told to the arbiter, and not yet moved
    rig.status["mode"] = "intervene"
    rig.run(0.1, True, **AHEAD)
    assert rig.target()[0] > HERE[0]
    rig.status["mode"] = "policy"
    rig.run(0.02, False)
    assert rig.run(1.2, True, **AHEAD)[-1] == (False, None)  # the arbiter never hands over
    assert "does not hand over" in rig.teleop.words


def test_a_report_is_plain_and_says_why_nothing_moves():
    import json

    rig = moving()
    said = json.loads(json.dumps(rig.teleop.report()))
    assert said["pressed"] and said["target"][0] > 0.5 and said["measured"] == [0.5, 0.0, 0.3]
    rig.run(0.02, False)
    assert rig.teleop.report()["words"] == "the operator holds nothing"
