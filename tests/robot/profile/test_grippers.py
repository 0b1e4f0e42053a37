"""What a gripper's driver is told: units that are checked, and changes that are worth sending."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from robot.errors import PixelarmError
from robot.profile import ArmProfile
from robot.profile.grippers import ACTION, GRIPPER_TYPES, PARALLEL_ACTION, Changes, GripperCommand, GripperState

ARMS = Path(__file__).parents[3] / "hardware" / "arms"


def command(**keys: Any) -> GripperCommand:
    """A gripper 0.1 m wide."""
    return GripperCommand(**{"topic": "gripper", "open": 0.1, "closed": 0.0, **keys})


# ------------------------------------------------------------------------------------------------------------- profile
@pytest.mark.parametrize("path", sorted(ARMS.glob("*.yaml")), ids=lambda p: p.stem)
def test_every_profile_says_its_grippers_unit(path: Path) -> None:
    assert ArmProfile.load(path).gripper_command.unit is not None


@pytest.mark.parametrize(
    ("unit", "opened", "closed", "words"),
    [
        (
            "m",
            85.0,
            0.0,
            "open 85 m is outside of -0.5 to 0.5 m.* did you mean mm.*unit: mm.*open: 0.085 and closed: 0",
        ),
        ("m", 0.0, 85.0, "closed 85 m is outside"),
        ("mm", 0.085, 0.0, "only 0.085 mm apart.*did you mean m.*unit: m,.*open: 85 and closed: 0"),
        ("rad", 0.0, 45.8, "closed 45.8 rad is outside.*did you mean deg.*closed: 0.7994"),  # 45.8 * pi / 180
        ("deg", 0.0, 0.8, "only 0.8 deg apart.*did you mean rad.*closed: 45.84"),  # 0.8 * 180 / pi
        ("fraction", 100.0, 0.0, "open 100 fraction is outside of -1 to 1.*did you mean percent.*open: 1 "),
        ("percent", 1.0, 0.0, "only 1 percent apart.*did you mean fraction.*open: 100 "),
        ("counts", 1.0, 0.0, "only 1 counts apart.*as the driver's documentation has them"),
        ("m", 9000.0, 0.0, "outside of -0.5 to 0.5 m.*as the driver's documentation has them"),
        ("inch", 3.0, 0.0, "unknown gripper command unit 'inch'; the valid names are: counts, deg, fraction, m, mm"),
    ],
)
def test_a_wrong_unit_is_refused_by_name(unit: str, opened: float, closed: float, words: str) -> None:
    with pytest.raises(PixelarmError, match=words):
        command(unit=unit, open=opened, closed=closed)


@pytest.mark.parametrize(
    ("unit", "opened", "closed"),
    [
        ("m", 0.04, 0.0), ("m", 0.020833, -0.0115), ("mm", 0.0, 85.0), ("rad", 0.0, 0.8), ("deg", 100.0, -10.0),
        ("fraction", 1.0, 0.0), ("percent", -100.0, 100.0), ("counts", 0.0, 255.0), (None, 850.0, 0.0),
    ],
)  # fmt: skip
def test_grippers_that_exist_are_taken(unit: str | None, opened: float, closed: float) -> None:
    assert command(unit=unit, open=opened, closed=closed).value(-1.0) == opened


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (
            {"type": "image"},
            "valid names are: float64, float64_multi_array, gripper_command_action, joint_state, joint",
        ),
        ({"closed": 0.1}, "open and closed must be finite and differ"),
        ({"open": float("nan")}, "open and closed must be finite and differ"),
        ({"type": ACTION}, "gripper_command_action needs max_effort"),
        ({"type": ACTION, "max_effort": -1.0}, "max_effort must be finite and not negative"),
        ({"max_effort": 10.0}, "max_effort and preempt are for actions"),
        ({"preempt": False}, "max_effort and preempt are for actions"),
        ({"type": PARALLEL_ACTION, "on_change": False}, "on_change: false does not go with the type parallel_gripper"),
        ({"min_change": 0.01}, "min_change are for a gripper that is told changes only; add on_change: true"),
        ({"min_interval_s": 1.0}, "add on_change: true"),
        ({"on_change": True, "min_change": 0.1}, "min_change must be positive and less than.* 0.1"),
        ({"on_change": True, "min_interval_s": 200.0}, "min_interval_s must lie in .0, 10. seconds"),
        ({"hysteresis": 1.0}, "hysteresis must lie in"),
    ],
)
def test_keys_that_do_not_fit_are_explained(keys: dict[str, Any], words: str) -> None:
    with pytest.raises(PixelarmError, match=words):
        command(**keys)


def test_only_actions_are_sent_on_change_unless_asked() -> None:
    on_change = {kind: command(type=kind, max_effort=5.0 if kind == ACTION else None) for kind in GRIPPER_TYPES}
    assert [kind for kind, made in on_change.items() if made.sends_on_change] == [ACTION, PARALLEL_ACTION]
    assert command(on_change=True).sends_on_change


@pytest.mark.parametrize("keys", [{"offset": 85.0}, {"scale": 0.0}, {"scale": -83.0}])
def test_an_opening_in_mm_is_refused(keys: dict[str, float]) -> None:
    with pytest.raises(PixelarmError, match="gripper_state: offset must be the metres.*in mm. Divide them by 1000"):
        GripperState("joint_states", ("finger",), **keys)


# ------------------------------------------------------------------------------------------------------------- changes
class Sent:
    """A stream of gripper commands at 10 Hz, and what was sent of it."""

    def __init__(self, **keys: Any) -> None:
        self.now_s = 50.0
        self.changes = Changes(command(on_change=True, **keys), lambda: self.now_s)

    def of(self, *grippers: float) -> list[float]:
        found = []
        for gripper in grippers:
            value = self.changes.value(gripper)
            if self.changes.due(value):
                self.changes.sent(value)
                found.append(round(value, 6))
            self.now_s += 0.1
        return found


def test_the_same_value_is_sent_once() -> None:
    assert Sent().of(-1, -1, -1, -1, 1, 1, 1) == [0.1, 0.0]


def test_small_changes_are_left_out_until_they_add_up() -> None:
    # 0.1 m over 2 units: 0.05 m a unit. 0.1 units are 5 mm: the threshold of 12 mm is passed by the third from 0 on
    assert Sent(min_change=0.012, min_interval_s=0.0).of(0, 0.1, 0.2, 0.3, 0.4) == [0.05, 0.035]
    # noise of less than the threshold around one value is not sent at all
    assert Sent(min_change=0.012, min_interval_s=0.0).of(0, 0.2, -0.2, 0.2, -0.2) == [0.05]


def test_the_ends_are_always_sent() -> None:
    # 0.99 is 0.25 mm from closed: less than 2 % of 0.1 m
    assert Sent(min_interval_s=0.0).of(0.99, 1.0, 0.99, 1.0) == [0.0005, 0.0]


def test_a_change_that_comes_too_soon_is_sent_when_the_interval_is_over() -> None:
    sent = Sent(min_interval_s=0.25)
    assert sent.of(-1) == [0.1]
    assert sent.of(0, 0.5) == []  # 0.1 and 0.2 s after it
    assert sent.of(1) == [0.0]  # 0.3 s: the newest
    assert sent.of(-1, 1, 1) == []  # back again before the interval was over: nothing changed


def test_a_policy_that_trembles_does_not_flood_its_driver() -> None:
    # of 50 ticks in 5 s: 0.2 s after one that was sent comes its like, and the next one differs, so each third
    assert len(Sent().of(*[-1, 1] * 25)) == 17


def test_hysteresis_makes_open_and_closed_of_a_continuous_policy() -> None:
    sent = Sent(hysteresis=0.3, min_interval_s=0.0)
    assert sent.of(-0.1, 0.1, 0.29, -0.29) == [0.1]  # it starts open, and nothing passes 0.3
    assert sent.of(0.3, 0.1, -0.29) == [0.0]
    assert sent.of(-0.3, -0.2, 0.2) == [0.1]
    assert Sent(hysteresis=0.3).of(0.1) == [0.0]


def test_after_forgetting_the_same_value_is_sent_again() -> None:
    sent = Sent()
    assert sent.of(1, 1, 1) == [0.0]
    sent.changes.forget()
    assert sent.of(1) == [0.0]
