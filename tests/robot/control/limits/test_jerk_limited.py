"""Motion of one number to rest: by hand, as fast as can be, and past no goal at which it can stop."""

from __future__ import annotations

import math

import numpy as np
import pytest

from robot.control.limits.jerk_limited import Bounds, State, approach, brake, braking_distance, longest_braking

# by hand: from rest to 1 rad/s takes 2 s and 1 rad, half of each for the acceleration to rise and to fall
ONE = Bounds(1.0, 1.0, 1.0)
QUICK = Bounds(2.0, 8.0, 80.0)


def samples(state: State, goal: float, bounds: Bounds, period_s: float, steps: int) -> list[float]:
    made = []
    for _ in range(steps):
        state = approach(state, goal, bounds, period_s)
        made.append(state.position)
    return made


def test_a_motion_by_hand() -> None:
    """3 rad: 2 s and 1 rad to 1 rad/s, 1 rad in 1 s, 2 s and 1 rad to rest. After 1 s: 1/6 rad, at 0.5 rad/s."""
    made = samples(State(0.0), 3.0, ONE, 0.5, 12)
    np.testing.assert_allclose(made[:6], [1 / 48, 1 / 6, 25 / 48, 1.0, 1.5, 2.0], atol=1e-4)
    assert made[8] < 3.0 and made[9:] == [3.0] * 3  # there after 5 s, to the bit


def test_a_short_motion_reaches_neither_bound() -> None:
    """0.25 rad: four parts of 0.5 s at a jerk of 1, the acceleration up to 0.5 and the velocity up to 0.25."""
    made = samples(State(0.0), -0.25, ONE, 0.5, 5)
    np.testing.assert_allclose(made, [-1 / 48, -0.125, -0.25 + 1 / 48, -0.25, -0.25], atol=1e-4)


def test_braking_by_hand() -> None:
    """From 1 rad/s without acceleration: 2 s and 1 rad; the first half second takes 1/48 rad off the 0.5."""
    state, made = State(0.0, 1.0), []
    assert braking_distance(state, ONE) == pytest.approx(1.0)
    for _ in range(6):
        state = brake(state, ONE, 0.5)
        made.append(state.position)
    np.testing.assert_allclose(made, [0.5 - 1 / 48, 1 - 1 / 6, 0.5 + 23 / 48, 1.0, 1.0, 1.0], atol=1e-12)
    assert state.rests


def test_the_longest_way_to_rest_by_hand() -> None:
    """0.5 rad/s and still 1 rad/s^2: 1 s and 5/6 rad until it moves at 1 rad/s, then 1 rad; at most 1 * 1 / 1 and 1."""
    assert braking_distance(State(0.0, 0.5, 1.0), ONE) == pytest.approx(5 / 6 + 1.0)
    assert longest_braking(ONE) == pytest.approx(2.0)


def test_no_state_within_the_bounds_needs_a_longer_way_to_rest() -> None:
    rng, longest = np.random.default_rng(5), 0.0
    for velocity, acceleration in rng.uniform(-1, 1, (2000, 2)) * (QUICK.speed, QUICK.acceleration):
        if abs(velocity + acceleration * abs(acceleration) / (2 * QUICK.jerk)) <= QUICK.speed:
            longest = max(longest, abs(braking_distance(State(0.0, velocity, acceleration), QUICK)))
    assert 0.6 * longest_braking(QUICK) < longest <= longest_braking(QUICK)


def optimum_s(distance: float, bounds: Bounds) -> float:
    """Least time from rest to rest, the textbook's three cases."""
    v, a, j = bounds
    if distance < 2 * a**3 / j**2:
        top = (distance**2 * j / 4) ** (1 / 3)
    else:
        top = 0.5 * (-(a**2) / j + math.sqrt((a**2 / j) ** 2 + 4 * a * distance))
    top = min(top, v)
    change = 2 * math.sqrt(top / j) if top < a**2 / j else top / a + a / j
    return change + distance / top


@pytest.mark.parametrize("scale", [0.001, 0.03, 1.0])
def test_a_goal_is_reached_exactly_without_overshoot_and_as_fast_as_can_be(scale: float) -> None:
    """From rest within one period of the least time that continuous motion needs, and 0.1 % for planning anew."""
    rng, period_s = np.random.default_rng(3), 0.01
    for goal in rng.normal(0.0, scale, 100):
        least = optimum_s(abs(goal), QUICK)
        made = samples(State(0.0), goal, QUICK, period_s, math.ceil(1.001 * least / period_s) + 1)
        way = np.array([0.0, *made]) * math.copysign(1.0, goal)
        assert made[-1] == goal and np.all(np.diff(way) >= -1e-15) and way.max() <= abs(goal) + 1e-15
        assert (np.count_nonzero(np.array(made) != goal) + 1) * period_s >= least - 1e-9  # the formula is the least


def test_a_goal_at_which_the_motion_can_stop_is_not_passed() -> None:
    """From states in motion: never further than the way to rest leads, or the goal, and there in the end."""
    rng = np.random.default_rng(4)
    for velocity, acceleration, goal in rng.uniform(-1, 1, (300, 3)) * (1.5, 8.0, 1.0):
        state, ways = State(0.0, velocity, acceleration), [0.0, goal]
        while not state.rests:
            state = brake(state, QUICK, 0.01)
            ways.append(state.position)
        made = samples(State(0.0, velocity, acceleration), goal, QUICK, 0.01, 400)
        assert made[-1] == goal
        assert min(ways) - 1e-12 <= min(made) and max(made) <= max(ways) + 1e-12


def test_a_velocity_above_its_bound_is_brought_back() -> None:
    state, made = State(0.0, 2.0), []
    for _ in range(40):
        state = approach(state, 9.0, ONE, 0.1)
        made.append(state.velocity)
    assert np.all(np.diff(made) <= 1e-12) and made[-1] == pytest.approx(1.0)
