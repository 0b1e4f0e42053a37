"""What the tip did after a fault: when it came to rest, how fast it was at most, how far it went."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

WINDOW_S = 0.1  # over which a speed is taken
REST_M_S = 0.01  # slower is rest: an arm that settles by gravity or a servo's noise stays below


@dataclass(frozen=True)
class Motion:
    """After the fault."""

    rest_s: float | None  # until the tip rests for good; None: it never did while it was watched
    peak_m_s: float
    travel_m: float  # of the tip, from where it was


def speeds(times: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """``(n,)`` m/s at times ``(n,)`` s, each over the ``WINDOW_S`` before it; of positions ``(n, 3)`` m."""
    before = np.searchsorted(times, times - WINDOW_S)
    lasted = np.maximum(times - times[before], 1e-3)
    return np.linalg.norm(positions - positions[before], axis=1) / lasted


def after(fault_s: float, times: np.ndarray, positions: np.ndarray) -> Motion:
    """Motion after ``fault_s`` of a tip that was watched before and after."""
    all_speeds = speeds(times, positions)
    late = times > fault_s
    if not late.any():
        return Motion(None, 0.0, 0.0)
    when, fast, where = times[late] - fault_s, all_speeds[late], positions[late]
    moving = np.flatnonzero(fast >= REST_M_S)
    if len(moving) == 0:
        rest: float | None = 0.0
    else:  # a speed looks back over the window: rest began that much earlier
        rest = None if moving[-1] == len(fast) - 1 else max(0.0, float(when[moving[-1] + 1]) - WINDOW_S)
    start = positions[np.flatnonzero(~late)[-1]] if (~late).any() else where[0]
    return Motion(rest, float(fast.max()), float(np.linalg.norm(where - start, axis=1).max()))
