"""What is counted of a sequence of look-ups: changes of demonstration, steps back, moments at which it stays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Jumps:
    """Of T look-ups, one a control step, between each and the one before it.

    Attributes:
        switches: to another demonstration.
        backward: to an earlier moment of the same demonstration.
        far_backward: of those, by more than a skill's control steps.
        longest_stay: control steps in a row at which the very same moment was looked up; ``stay_from``: the first.
    """

    switches: int
    backward: int
    far_backward: int
    longest_stay: int
    stay_from: int


def count_jumps(demonstration: np.ndarray, moment: np.ndarray, horizon: int) -> Jumps:
    """``demonstration``, ``moment``: ``(T,)`` int; ``horizon``: control steps of a skill."""
    same = demonstration[1:] == demonstration[:-1]
    by = np.diff(moment)
    start, stays = longest_run(same & (by == 0))
    return Jumps(
        switches=int((~same).sum()),
        backward=int((same & (by < 0)).sum()),
        far_backward=int((same & (by < -horizon)).sum()),
        longest_stay=stays + 1 if len(moment) else 0,
        stay_from=start,
    )


def longest_run(flags: np.ndarray) -> tuple[int, int]:
    """Where the most True in a row begin, the first of equals, and how many they are; (0, 0) of none."""
    start = longest = run = 0
    for i, flag in enumerate(flags):
        run = run + 1 if flag else 0
        if run > longest:
            start, longest = i + 1 - run, run
    return start, longest


def shares(demonstration: np.ndarray, count: int) -> list[float]:
    """Of each of ``count`` demonstrations, the share of control steps at which it was looked up."""
    return (np.bincount(demonstration, minlength=count) / max(1, len(demonstration))).tolist()


def first_within(distances: np.ndarray, threshold: float) -> int | None:
    """The first row of ``distances`` ``(T + 1,)`` below a threshold, which is the number of control steps before it."""
    within = np.flatnonzero(distances < threshold)
    return int(within[0]) if len(within) else None


def gaps(completed: Mapping[str, int | None]) -> dict[str, int]:
    """Of each subtask that was completed, the control steps since the one completed before it, or since the start."""
    order: Sequence[tuple[str, int]] = sorted(
        ((name, step) for name, step in completed.items() if step is not None), key=lambda one: one[1]
    )
    starts = [0, *(step for _, step in order)]
    return {name: step - start for (name, step), start in zip(order, starts)}
