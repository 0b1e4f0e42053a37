"""Jerk, missed cycles, and which command answers an observation first."""

from __future__ import annotations

import numpy as np
import pytest

from hardware.faults.smoothness import jerk_rms, missed_cycles


def test_jerk_of_a_cubic_is_what_its_third_derivative_says() -> None:
    times = np.arange(0.0, 2.0, 0.02)
    positions = np.stack([0.5 * times**3, 0 * times, times], axis=1)  # third derivative 3 along x
    assert jerk_rms(times, positions) == pytest.approx(3.0, rel=1e-6)


def test_of_a_straight_line_it_is_nothing_and_of_few_points_unknown() -> None:
    times = np.arange(0.0, 1.0, 0.02)
    assert jerk_rms(times, np.outer(times, [1.0, 2.0, 3.0])) == pytest.approx(0.0, abs=1e-6)
    assert np.isnan(jerk_rms(times[:5], np.zeros((5, 3))))


def test_cycles_without_a_new_command_are_counted() -> None:
    assert missed_cycles(np.array([0.0, 0.1, 0.2, 0.5, 0.58, 0.7]), 0.1) == 2
    assert missed_cycles(np.array([0.0, 0.11, 0.19]), 0.1) == 0


def test_the_first_command_counts() -> None:
    pytest.importorskip("rclpy")
    from hardware.ros.field_watch import first_of_each

    commands = [(1.0, 8.0, 7), (1.01, 18.0, 7), (1.1, 9.0, 8)]
    assert first_of_each(commands).tolist() == [[1.0, 8.0], [1.1, 9.0]]
