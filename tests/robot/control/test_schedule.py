"""Actions by their instants: which are late, what lies between two, how a new chunk joins, and where a plan ends."""

from __future__ import annotations

import numpy as np
import pytest

from robot import rotations
from robot.actions import KINDS, between
from robot.control.schedule import Schedule

MS = 1_000_000
PERIOD_S = 0.1


def made(fade_s: float = 0.0, kind: str = "eef_delta_position") -> Schedule:
    return Schedule(kind, PERIOD_S, fade_s)


def chunk(*dx: float, gripper: float = -1.0) -> np.ndarray:
    return np.float32([[x, 0.0, 0.0, gripper] for x in dx])


def dx(schedule: Schedule, *at_ms: float) -> list[float | None]:
    found = [schedule.at(round(ms * MS)) for ms in at_ms]
    return [None if action is None else round(float(action[0]), 6) for action in found]


def degrees(first: np.ndarray, second: np.ndarray) -> float:
    """Between two turns, each an axis times an angle."""
    turns = (rotations.from_axis_angle(v) for v in (first, second))
    return float(np.degrees(rotations.angle_between(*turns)))


# ------------------------------------------------------------------ instants
def test_an_action_belongs_to_its_instant() -> None:
    schedule = made()
    schedule.merge(1000 * MS, chunk(0.0, 1.0, 2.0), 1000 * MS)
    assert dx(schedule, 1000, 1100, 1200) == [0.0, 1.0, 2.0]


def test_between_two_instants_an_action_lies_between_theirs() -> None:
    schedule = made()
    schedule.merge(0, np.concatenate([chunk(0.0), chunk(1.0, gripper=1.0)]), 0)
    assert dx(schedule, 25, 50, 75) == [0.25, 0.5, 0.75]
    grippers = [float(schedule.at(ms * MS)[-1]) for ms in (49, 51)]  # type: ignore[index]
    assert grippers == [-1.0, 1.0]  # never 0


def test_nothing_is_planned_further_than_half_a_period_beyond_the_ends() -> None:
    schedule = made()
    assert dx(schedule, 0) == [None]
    schedule.merge(1000 * MS, chunk(1.0, 2.0), 1000 * MS)
    assert dx(schedule, 949, 950, 1149, 1150) == [None, 1.0, 2.0, None]
    schedule.clear()
    assert dx(schedule, 1000) == [None]


@pytest.mark.parametrize(("now_ms", "late"), [(0, 0), (50, 0), (51, 1), (220, 2), (250, 2), (251, 3), (349, 3)])
def test_late_actions_are_dropped_and_counted(now_ms: int, late: int) -> None:
    """Late is an instant over half a period, 50 ms, before now."""
    schedule = made()
    schedule.merge(0, chunk(0.0, 1.0, 2.0, 3.0), now_ms * MS)
    assert schedule.late == late
    assert dx(schedule, now_ms)[0] is not None
    assert dx(schedule, 100 * late, 300) == [float(late), 3.0]
    assert dx(schedule, 100 * late - 51) == [None]


def test_a_chunk_that_is_over_changes_nothing() -> None:
    schedule = made()
    schedule.merge(0, chunk(*range(10)), 0)
    schedule.merge(0, chunk(7.0, 7.0), 151 * MS)
    assert dx(schedule, 100, 200) == [1.0, 2.0]
    assert schedule.counts() == {"chunks": 2, "late_actions_dropped": 2, "blended_actions": 0, "voided_chunks": 0}


# ------------------------------------------------------------------ overlaps
def test_the_newest_chunk_wins_at_once_without_a_fade() -> None:
    schedule = made()
    schedule.merge(0, chunk(0.0, 0.0, 0.0, 0.0), 0)
    schedule.merge(100 * MS, chunk(3.0, 3.0, 3.0, 3.0), 200 * MS)
    assert dx(schedule, 200, 300, 400) == [3.0, 3.0, 3.0]
    assert schedule.blended == 0


def test_a_new_chunk_fades_in_along_a_line() -> None:
    """Fade 200 ms, period 100 ms: the shares are 100 / 300, 200 / 300, 300 / 300."""
    schedule = made(fade_s=0.2)
    schedule.merge(0, chunk(*[0.0] * 8), 0)
    schedule.merge(100 * MS, chunk(*[3.0] * 8), 300 * MS)
    assert dx(schedule, 300, 400, 500, 600) == [1.0, 2.0, 3.0, 3.0]
    assert schedule.blended == 2


def test_a_chunk_that_comes_during_a_fade_goes_on_from_where_that_is() -> None:
    schedule = made(fade_s=0.2)
    schedule.merge(0, chunk(*[0.0] * 8), 0)
    schedule.merge(0, chunk(*[3.0] * 8), 100 * MS)  # 1, 2, 3 from 100 ms on
    schedule.merge(0, chunk(*[0.0] * 8), 200 * MS)  # from 2 and 3: 2 - 2 / 3, 3 - 2 * 3 / 3
    assert dx(schedule, 200, 300, 400) == [pytest.approx(4 / 3, abs=1e-6), 1.0, 0.0]


def test_there_is_no_fade_from_nothing() -> None:
    schedule = made(fade_s=0.2)
    schedule.merge(0, chunk(1.0, 2.0), 0)
    assert dx(schedule, 0, 100) == [1.0, 2.0]
    schedule.merge(0, chunk(*[5.0] * 8), 200 * MS)  # the first is over since 150 ms
    assert dx(schedule, 200, 300) == [5.0, 5.0]


def test_chunks_on_other_phases_are_compared_at_the_same_instants() -> None:
    """Old: 0, 1, 2, ... each 100 ms. New begins at 130 ms, where the old one is 1.3."""
    schedule = made(fade_s=0.1)
    schedule.merge(0, chunk(*range(8)), 0)
    schedule.merge(130 * MS, chunk(*[0.0] * 8), 130 * MS)  # shares 1 / 2 and 1
    assert dx(schedule, 130, 230) == [0.65, 0.0]


def test_the_gripper_is_the_newest_chunks_at_once_and_never_averaged() -> None:
    schedule = made(fade_s=1.0)
    schedule.merge(0, chunk(*[0.0] * 8, gripper=-1.0), 0)
    schedule.merge(0, chunk(*[1.0] * 8, gripper=1.0), 100 * MS)
    action = schedule.at(100 * MS)
    assert action is not None
    assert action[-1] == 1.0 and action[0] == pytest.approx(0.1 / 1.1)


def test_rotations_fade_along_the_shortest_turn() -> None:
    """From 90 degrees about x to 90 degrees about y it is a turn by 120 degrees: half of it is 60 from either. The mean
    of the two vectors is 60.4 degrees away."""
    x, y = np.array([np.pi / 2, 0.0, 0.0]), np.array([0.0, np.pi / 2, 0.0])
    pose = [np.float64([[0.0, 0.0, 0.0, *turn, -1.0]] * 8) for turn in (x, y)]
    schedule = made(fade_s=0.1, kind="eef_delta_pose")
    schedule.merge(0, pose[0], 0)
    schedule.merge(0, pose[1], 100 * MS)  # share 1 / 2
    action = schedule.at(100 * MS)
    assert action is not None
    np.testing.assert_allclose([degrees(action[3:6], end) for end in (x, y)], [60.0, 60.0], atol=1e-6)
    assert degrees((x + y) / 2, x) > 60.3


@pytest.mark.parametrize("kind", [name for name, kind in KINDS.items() if kind.make])
def test_every_kind_has_something_between_two_actions(kind: str) -> None:
    size = 3 if KINDS[kind].each_joint else len(KINDS[kind].units) + 1
    first, second = np.zeros(size), np.full(size, 0.2)
    first[-1], second[-1] = -1.0, 1.0
    assert between(kind, first, second, 0.0) is first and between(kind, first, second, 1.0) is second
    middle = between(kind, first, second, 0.25)
    np.testing.assert_allclose(middle[:-1], 0.05, atol=1e-12)  # turns about one axis are numbers on a line
    assert middle[-1] == -1.0
    np.testing.assert_array_equal(first[:-1], 0.0)  # nothing is changed in place
