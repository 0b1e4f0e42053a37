"""Motion of one number to rest at a goal, with bounded velocity, acceleration and jerk, in closed form.

A motion is two changes of velocity with a cruise between: from the state to a cruising velocity, and from there to
rest. Each change is the fastest there is: the acceleration rises at the greatest jerk, stays at the greatest
acceleration where there is time for it, and falls to zero at the greatest jerk. A search finds the cruising velocity
whose motion ends at the goal.

From rest this is the time-optimal motion. From a state in motion it may be slower; it passes no goal at which the state
can still stop. A motion that is planned anew on its way to the same goal goes on as it was planned.

Plain floats and ``math``: for the few joints of one arm they take a tenth of the time that numpy takes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

SEARCH_STEPS = 100  # at most; 5 to 10 are the rule
PATIENCE_S = 1e-5  # a cruise may last this much longer than the best one would: that ends the search
ROUNDING, SMALLEST = 4e-15, 1e-16  # relative and absolute (m or rad) error of a distance

Part = tuple[float, float]  # a jerk and how long it lasts, s


class Bounds(NamedTuple):
    """Greatest sizes, positive; in m or rad, or per second of it."""

    speed: float
    acceleration: float
    jerk: float


class State(NamedTuple):
    position: float
    velocity: float = 0.0
    acceleration: float = 0.0  # at most the bound

    @property
    def rests(self) -> bool:
        return self.velocity == 0.0 and self.acceleration == 0.0


def approach(state: State, goal: float, bounds: Bounds, time_s: float) -> State:
    """The state ``time_s`` later on the way to rest at ``goal``; ``goal`` exactly if the motion ends by then.

    A velocity above its bound is brought back to the bound on the way.
    """
    position, velocity, acceleration = state
    distance = goal - position
    if distance == 0.0 and state.rests:
        return state
    cruise = _cruise(velocity, acceleration, distance, bounds)
    first, first_m = _change(velocity, acceleration, cruise, bounds)
    last, last_m = _change(cruise, 0.0, 0.0, bounds)
    cruising_s = max((distance - first_m - last_m) / cruise, 0.0) if cruise else 0.0
    return _advance(state, [*first, (0.0, cruising_s), *last], goal, time_s)


def brake(state: State, bounds: Bounds, time_s: float) -> State:
    """The state ``time_s`` later on the shortest way to rest; at rest, the same state."""
    if state.rests:
        return state
    parts, distance = _change(state.velocity, state.acceleration, 0.0, bounds)
    return _advance(state, parts, state.position + distance, time_s)


def braking_distance(state: State, bounds: Bounds) -> float:
    """How far the shortest way to rest leads, negative for backwards."""
    return 0.0 if state.rests else _change(state.velocity, state.acceleration, 0.0, bounds)[1]


def longest_braking(bounds: Bounds) -> float:
    """The longest way to rest of all states that a motion within ``bounds`` has.

    The acceleration is first brought to zero, during which the velocity may rise to its bound, and then comes the way
    to rest from there.
    """
    speed, acceleration, jerk = bounds
    return speed * acceleration / jerk + braking_distance(State(0.0, speed), bounds)


def _change(velocity: float, acceleration: float, final: float, bounds: Bounds) -> tuple[list[Part], float]:
    """The fastest way from a state to the velocity ``final`` without acceleration, and its distance."""
    _, top, jerk = bounds
    settled = velocity + acceleration * abs(acceleration) / (2.0 * jerk)  # when the acceleration ends at once
    sign = 1.0 if final >= settled else -1.0
    along = sign * acceleration
    # squared peak of the acceleration, if nothing bounded it: rise and fall together change the velocity by
    # (peak^2 - along^2 / 2) / jerk
    squared = max(jerk * sign * (final - velocity) + 0.5 * along * along, 0.0)
    peak = min(math.sqrt(squared), top)
    hold = max(squared / top - top, 0.0) / jerk
    rise, fall = max(peak - along, 0.0) / jerk, peak / jerk
    at_peak = velocity + sign * rise * (along + 0.5 * jerk * rise)
    distance = rise * (velocity + sign * rise * (0.5 * along + jerk * rise / 6.0))
    distance += hold * (at_peak + 0.5 * sign * peak * hold)
    distance += fall * (at_peak + sign * peak * (hold + fall / 3.0))
    return [(sign * jerk, rise), (0.0, hold), (-sign * jerk, fall)], distance


def _cruise(velocity: float, acceleration: float, distance: float, bounds: Bounds) -> float:
    """The cruising velocity of the motion that ends at rest ``distance`` away; at most the bound either way.

    Without its cruise, this motion is not longer than the distance: a cruise of zero seconds or more fills the rest.
    """
    _, top, jerk = bounds
    ramp = top / jerk

    def miss(cruise: float) -> float:
        """How far the motion leads too far, if its cruise takes half of what patience allows."""
        speed = abs(cruise)  # from a steady velocity to rest
        last = cruise * (0.5 * (speed / top + ramp) if speed > top * ramp else math.sqrt(speed / jerk))
        return _change(velocity, acceleration, cruise, bounds)[1] + 0.5 * PATIENCE_S * cruise + last - distance

    at_rest = miss(0.0)
    enough = ROUNDING * (abs(distance) + abs(at_rest)) + SMALLEST
    if abs(at_rest) <= enough:
        return 0.0
    fastest = math.copysign(bounds.speed, -at_rest)
    settled = velocity + acceleration * abs(acceleration) / (2.0 * jerk)
    if not 0.0 < settled / fastest < 1.0:
        return _root(miss, 0.0, at_rest, fastest, enough)
    # The distance rises on either side of ``settled``, not across it: to slow down in two parts takes longer than to
    # cruise first.
    at_settled = miss(settled)
    if (at_settled < 0.0) == (at_rest < 0.0):
        return _root(miss, settled, at_settled, fastest, enough)
    return _root(miss, 0.0, at_rest, settled, enough)


def _root(miss: Callable[[float], float], inner: float, at_inner: float, outer: float, enough: float) -> float:
    """Where ``miss`` is about zero between ``inner`` and ``outer``; ``outer`` if it has the same sign at both.

    False position by the Illinois rule; every fourth step halves the interval instead, so that it always ends.
    """
    negative = at_inner < 0.0
    kept, at_kept, newest, at_newest = inner, at_inner, outer, miss(outer)
    if (at_newest < 0.0) == negative:  # even the fastest cruise is too short
        return outer
    found = inner
    for step in range(SEARCH_STEPS):
        height = at_newest - at_kept
        share = 0.5 if step % 4 == 3 or height == 0.0 else min(max(at_newest / height, 0.0), 1.0)
        middle = newest + share * (kept - newest)
        value = miss(middle)
        if abs(value) <= enough + 0.5 * PATIENCE_S * abs(middle):
            return middle
        if (value < 0.0) == negative:
            found = middle  # the last that is too short
        if (value < 0.0) != (at_newest < 0.0):  # zero lies between the newest two
            kept, at_kept = newest, at_newest
        else:
            at_kept *= 0.5
        newest, at_newest = middle, value
    return found


def _advance(state: State, parts: list[Part], end: float, time_s: float) -> State:
    """The state after ``time_s`` of ``parts``; at rest at ``end`` exactly if they last no longer."""
    position, velocity, acceleration = state
    left = time_s
    for jerk, lasts in parts:
        time = min(lasts, left)
        position += time * (velocity + time * (0.5 * acceleration + time * jerk / 6.0))
        velocity += time * (acceleration + 0.5 * time * jerk)
        acceleration += time * jerk
        left -= time
        if left <= 0.0 and time < lasts:
            return State(position, velocity, acceleration)
    return State(end)
