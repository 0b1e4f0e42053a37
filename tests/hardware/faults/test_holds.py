"""Where motion goes on between holds, each miss has its own answer."""

from __future__ import annotations

import math

import pytest

from hardware.faults.holds import ended, slowest

MISSES = [1.0, 1.4, 1.8]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ([(1.26, "silent"), (1.35, "running"), (1.65, "silent"), (1.75, "running"), (2.1, "silent")], 0.3),
        ([(1.26, "silent")], 0.26),  # held ever since: the later ones meet an arm at rest
        ([(1.26, "silent"), (1.35, "running"), (2.1, "silent")], None),  # it moved all through the second
        ([(1.26, "malformed"), (1.65, "silent")], None),  # a target that was dropped is no hold
        ([(0.5, "running"), (1.2, "source_holds")], 0.2),
        ([(1.26, "silent"), (1.35, "running"), (1.65, "silent"), (1.75, "running")], None),  # the last had 0.7 s
        ([], None),
    ],
)
def test_the_slowest_counts_and_one_without_an_answer(said, expected) -> None:
    found = slowest(MISSES, said, 0.5, 2.5)
    assert found == (None if expected is None else pytest.approx(expected))


def test_a_last_miss_that_had_no_time_does_not_count() -> None:
    said = [(1.2, "silent"), (1.3, "running"), (1.6, "silent"), (1.7, "running")]
    assert slowest(MISSES, said, 0.5, 2.0) == pytest.approx(0.2)
    assert slowest([1.8], [], 0.5, 2.0) is None  # none is left
    assert slowest([], [(1.2, "silent")], 0.5, 2.0) is None


@pytest.mark.parametrize(
    ("said", "when"),
    [
        ([(0.9, "silent"), (1.1, "source_holds"), (1.2, "silent"), (1.9, "running"), (2.4, "running")], 1.9),
        ([(1.1, "running"), (1.2, "malformed"), (1.3, "running")], math.inf),  # it was never held
        ([(1.1, "silent")], math.inf),
        ([], math.inf),
    ],
)
def test_motion_goes_on_after_a_hold(said, when) -> None:
    assert ended(said, 1.0) == when
