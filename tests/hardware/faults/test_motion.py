"""When a tip came to rest, how fast it was and how far it went."""

from __future__ import annotations

import numpy as np
import pytest

from hardware.faults.motion import after

TIMES = np.arange(0.0, 3.0, 0.02)


def line(stops_s: float, speed: float = 0.2) -> np.ndarray:
    """A tip that goes along x at ``speed`` until ``stops_s``."""
    return np.stack([speed * np.minimum(TIMES, stops_s), 0 * TIMES, 0 * TIMES], axis=1)


def test_rest_begins_where_the_tip_stops() -> None:
    motion = after(1.0, TIMES, line(1.5))
    assert motion.rest_s == pytest.approx(0.5, abs=0.021)
    assert motion.peak_m_s == pytest.approx(0.2)
    assert motion.travel_m == pytest.approx(0.1)


def test_a_tip_that_never_rests_has_no_rest() -> None:
    assert after(1.0, TIMES, line(9.0)).rest_s is None


def test_one_that_stood_before_rests_at_once() -> None:
    motion = after(1.0, TIMES, line(0.5))
    assert (motion.rest_s, motion.travel_m) == (0.0, 0.0)


def test_a_second_motion_counts() -> None:
    positions = line(1.1)
    positions[TIMES > 2.0, 1] += 0.05
    motion = after(1.0, TIMES, positions)
    assert motion.rest_s is not None and motion.rest_s > 0.9
    assert motion.peak_m_s > 0.4
