"""How smoothly a tip moved, and how evenly commands came."""

from __future__ import annotations

import numpy as np

GRID_S = 0.02  # of the tip's positions


def jerk_rms(times: np.ndarray, positions: np.ndarray) -> float:
    """Root mean square of the third difference, m/s^3, of positions ``(n, 3)`` m at times ``(n,)`` s, evenly spaced
    first."""
    if len(times) < 8:
        return float("nan")
    grid = np.arange(times[0], times[-1], GRID_S)
    even = np.stack([np.interp(grid, times, positions[:, i]) for i in range(3)], axis=1)
    jerk = np.diff(even, 3, axis=0) / GRID_S**3
    return float(np.sqrt((jerk**2).sum(axis=1).mean()))


def missed_cycles(arrivals: np.ndarray, period_s: float) -> int:
    """Control periods that no new command came in, between the first and the last arrival."""
    gaps = np.diff(arrivals)
    return int(np.maximum(np.round(gaps / period_s) - 1, 0).sum())
