"""What deltas count from: by hand, in the limits, and through the rules of the control loop."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from loop_rig import CONTRACT, HERE, Rig

from robot import rotations
from robot.actions import COMMANDED, LEASH_M, MEASURED, Reference, Target, origin, recount, target
from robot.contract import Contract
from robot.control.limits import Context, LimitConfig, default_limits
from robot.errors import PixelarmError

POINT = np.array([0.5, 0.0, 0.3])
SEEN = Reference(position=POINT, rotation=np.eye(3), home_rotation=np.eye(3))
COUNTED = dataclasses.replace(CONTRACT, action=dataclasses.replace(CONTRACT.action, counts_from=COMMANDED))


def told(x: float, yaw: float | None = None) -> Target:
    """A last target ``x`` metres ahead of what is measured, turned by ``yaw`` rad."""
    rotation = None if yaw is None else rotations.about_vertical(yaw)
    return Target(0.0, position=POINT + (x, 0.0, 0.0), rotation=rotation)


@pytest.mark.parametrize(("ahead", "from_there"), [(0.02, 0.02), (0.08, LEASH_M), (0.21, 0.0)])
def test_a_target_far_ahead_is_leashed_and_one_out_of_sight_given_up(ahead: float, from_there: float) -> None:
    found = origin(COMMANDED, SEEN, told(ahead)).position
    np.testing.assert_allclose(found, POINT + (from_there, 0.0, 0.0))  # type: ignore[arg-type]


@pytest.mark.parametrize(("ahead", "from_there"), [(0.2, 0.2), (0.5, 0.3), (1.2, 0.0)])
def test_so_it_is_with_turns(ahead: float, from_there: float) -> None:
    found = origin(COMMANDED, SEEN, told(0.0, ahead)).rotation
    np.testing.assert_allclose(found, rotations.about_vertical(from_there), atol=1e-12)  # type: ignore[arg-type]


def test_without_a_target_or_by_choice_deltas_count_from_what_is_measured() -> None:
    assert origin(COMMANDED, SEEN, None) is SEEN and origin(MEASURED, SEEN, told(0.02)) is SEEN


@pytest.mark.parametrize(
    ("kind", "action"),
    [
        ("eef_delta_position", [0.01, -0.02, 0.03, 1.0]),
        ("eef_delta_position_yaw", [0.01, -0.02, 0.03, 0.2, 1.0]),
        ("eef_delta_pose", [0.01, -0.02, 0.03, 0.1, 0.2, -0.1, 1.0]),
    ],
)
def test_a_recounted_action_leads_to_the_same_target(kind: str, action: list[float]) -> None:
    there = Reference(position=POINT + 0.01, rotation=rotations.about_vertical(0.4), home_rotation=np.eye(3))
    first = target(kind, SEEN, np.array(action))
    again = target(kind, there, recount(kind, np.array(action), SEEN, there))
    np.testing.assert_allclose(again.position, first.position, atol=1e-7)  # type: ignore[arg-type]
    if first.rotation is not None:
        np.testing.assert_allclose(again.rotation, first.rotation, atol=1e-7)  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------------------------ contract
def test_contracts_keep_their_hash_where_deltas_count_from_what_is_measured() -> None:
    assert "counts_from" not in CONTRACT.to_yaml() and COUNTED.hash != CONTRACT.hash
    assert Contract.from_text(COUNTED.to_yaml()) == COUNTED
    assert COUNTED.diff(CONTRACT) == ["action.counts_from: 'commanded' here, absent there"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"counts_from": "home"}, "actions count from measured or commanded, not from 'home'"),
        ({"kind": "joint_position", "counts_from": COMMANDED}, "'joint_position' actions are no deltas"),
    ],
)
def test_what_cannot_be_counted_from_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(PixelarmError, match=words):
        dataclasses.replace(CONTRACT.action, **changes)


# ---------------------------------------------------------------------------------------------------------------- loop
def sent(rig: Rig, ticks: int) -> list[float]:
    """Metres that the targets of the next ticks lie ahead of the arm, which stands still."""
    rig.sent.clear()
    rig.run(ticks)
    return [round(float(command.target.position[0] - HERE[0]), 6) for _, command, hold in rig.sent if not hold]


def test_deltas_add_up_until_the_leash_is_tight() -> None:
    """Every action is one centimetre, the arm stands still, and the limits allow 7 cm."""
    ahead = sent(Rig(contract=COUNTED), 14)
    assert ahead[:3] == pytest.approx([0.01, 0.02, 0.03])
    assert ahead[-3:] == pytest.approx([LEASH_M + 0.01] * 3)


@pytest.mark.parametrize("rule", ["operator_hold", "estop", "enable"])
def test_after_a_hold_in_which_the_arm_may_have_moved_deltas_begin_at_the_arm(rule: str) -> None:
    rig = Rig(contract=COUNTED, **({"enable_timeout_s": 60.0} if rule == "enable" else {}))
    order = {
        "operator_hold": rig.loop.hold,
        "estop": rig.loop.put_estop,
        "enable": lambda on: rig.loop.put_enable(not on),
    }
    order[rule](False)
    assert sent(rig, 6)[-1] > 0.04
    order[rule](True)
    assert sent(rig, 2) == []
    order[rule](False)
    assert rig.loop.clear() == ""
    assert sent(rig, 2) == pytest.approx([0.01, 0.02])


@pytest.mark.parametrize("rule", ["operator_hold", "estop"])
def test_so_they_do_when_another_rule_ends_that_hold(rule: str) -> None:
    """An image is lost just after the operator has let go: what held the arm before must not be forgotten."""
    rig = Rig(contract=COUNTED)
    assert sent(rig, 6)[-1] > 0.04
    order = {"operator_hold": rig.loop.hold, "estop": rig.loop.put_estop}[rule]
    order(True)
    rig.run(2)
    order(False)
    assert rig.loop.clear() == ""
    rig.silent = {"front"}
    assert sent(rig, 1) == [] and rig.loop.rule != rule
    rig.silent = set()
    assert sent(rig, 2) == pytest.approx([0.01, 0.02])


def test_a_missed_tick_does_not_begin_anew() -> None:
    rig = Rig(contract=COUNTED)
    ahead = sent(rig, 5)[-1]
    rig.silent = {"front"}
    assert sent(rig, 1) == []
    rig.silent = set()
    assert sent(rig, 1) == pytest.approx([ahead + 0.01])


def test_an_arm_is_not_asked_what_the_policys_deltas_count_from() -> None:
    rig = Rig(contract=COUNTED, compare_contract=True)
    rig.loop.put_contract(CONTRACT)  # it is told targets
    assert rig.run(4).loop.state == "running"


def test_a_sagging_arm_keeps_its_target_under_any_speed_scale() -> None:
    """It hangs 1 cm below what it was told, and the policy asks for nothing: the target must not follow it down."""
    limits = default_limits(LimitConfig(speed_scale=0.25, box_low=(0.2, -0.4, 0.0), box_high=(0.8, 0.4, 0.6)), COUNTED)
    sagging = Reference(position=POINT - (0.0, 0.0, 0.01))
    start = origin(COMMANDED, sagging, told(0.0))
    wanted = target("eef_delta_position", start, np.zeros(4))
    verdict = limits.apply(wanted, Context(measured=sagging, origin=start, previous=told(0.0)))
    assert isinstance(verdict, Target)
    np.testing.assert_allclose(verdict.position, POINT)  # type: ignore[arg-type]
