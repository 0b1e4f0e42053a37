"""What a dataset lacks, in sentences for whoever recorded it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from robot.dataset.view.summary import Summary

FEW = 20  # demonstrations
SAME_M = 0.005  # starts this near to each other are one
FIELDS = 3  # of the map, each way
SPREAD_M = 0.1  # of the starts: over a smaller area no field is missed
ENOUGH = 20  # starts, of which one would expect some in each field
JERKY, RESTING, CLIPPED = 0.1, 0.3, 0.2  # shares of steps
LONG = 3.0  # medians


def hints(found: Sequence[Summary]) -> list[str]:
    """Empty where nothing is amiss."""
    checks = (_number, _starts, _objects, _motion, _timing, _pictures, _kinds)
    return [words for check in checks for words in check(found)]


def _number(found: Sequence[Summary]) -> list[str]:
    good = sum(one.success for one in found)
    if not good:
        return ["No episode is a success: there is nothing to imitate."]
    if good < FEW:
        return [f"Few demonstrations: {good} successes. Below {FEW} a policy sees little of what can happen."]
    return []


def _starts(found: Sequence[Summary]) -> list[str]:
    starts = [one.start for one in found if one.start is not None]
    return _places("the end effector", np.array(starts)) if len(starts) > 1 else []


def _objects(found: Sequence[Summary]) -> list[str]:
    names = sorted({name for one in found for name in one.objects})
    return [
        words
        for name in names
        for words in _places(name, np.array([one.objects[name] for one in found if name in one.objects]))
    ]


def _places(what: str, places: np.ndarray) -> list[str]:
    """Of ``places`` (n, 3)."""
    spread = np.ptp(places[:, :2], axis=0)
    if spread.max() < SAME_M:
        return [f"Every episode begins with {what} at one place, within {1e3 * spread.max():.1f} mm: vary it."]
    empty = uncovered(places[:, :2]) if len(places) >= ENOUGH and spread.max() >= SPREAD_M else []
    return [f"Of the area over which {what} lies at the start, no episode covers: {'; '.join(empty)}."] if empty else []


def uncovered(places: np.ndarray) -> list[str]:
    """Fields of the places' bounding box in which none of ``places`` (n, 2: ahead, left) lies, in words."""
    low, size = places.min(axis=0), np.maximum(np.ptp(places, axis=0), SAME_M)
    cells = np.minimum((FIELDS * (places - low) / size).astype(int), FIELDS - 1)
    there = {(int(a), int(b)) for a, b in cells}
    words = [("near", "half-way", "far"), ("on the right", "in the middle", "on the left")]
    return [f"{words[0][a]}, {words[1][b]}" for a in range(FIELDS) for b in range(FIELDS) if (a, b) not in there]


def _motion(found: Sequence[Summary]) -> list[str]:
    said, steps = [], sum(one.steps for one in found)
    jerky = sum(one.jerky * one.steps for one in found) / steps
    if jerky > JERKY:
        said.append(
            f"The arm is jerky: {jerky:.0%} of the steps change an action by more than half of its range. Move more "
            "slowly, or with a lower speed."
        )
    resting = sum(one.resting * one.steps for one in found) / steps
    if resting > RESTING:
        said.append(f"The arm rests in {resting:.0%} of the steps: a policy learns to rest, too.")
    clipped = sum(one.clipped for one in found) / steps
    if clipped > CLIPPED:
        said.append(f"{clipped:.0%} of the actions were clipped to the contract's bounds: drive at a lower speed.")
    return said


def _timing(found: Sequence[Summary]) -> list[str]:
    said = []
    with_gaps = [one for one in found if one.gaps]
    if with_gaps:
        count, worst = sum(one.gaps for one in found), max(with_gaps, key=lambda one: one.longest_gap_s)
        said.append(
            f"Gaps between observations: {count}, in {len(with_gaps)} of {len(found)} episodes; "
            f"the longest is {worst.longest_gap_s:.2f} s, in {worst.name}."
        )
    usual = float(np.median([one.steps for one in found]))
    long = [one.name for one in found if one.steps > LONG * usual]
    if long:
        said.append(f"More than {LONG:g} times as long as most: {_some(long)}.")
    return said


def _pictures(found: Sequence[Summary]) -> list[str]:
    return [f"{one.name}, {words}." for one in found for words in one.pictures][:5]


def _kinds(found: Sequence[Summary]) -> list[str]:
    said = []
    cut = [one.name for one in found if one.truncated]
    if cut:
        said.append(f"Cut off before their outcome was said: {_some(cut)}.")
    who: Counter[str] = Counter()
    for one in found:
        who.update(one.who)
    if who and not who["person"]:
        said.append("No step is a person's: a learner that follows who acted finds no example here.")
    return said


def _some(names: Sequence[str], most: int = 5) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
