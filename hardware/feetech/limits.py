"""Where goals may go next: small functions of numbers, which know no bus."""

from __future__ import annotations

import numpy as np

from hardware.feetech.settings import GripperSettings, Limits

GRIPPER_STEP = 0.05  # of the jaw's whole way: the most in one write
GRIPPER_LEAD = (0.005, 0.15)  # of the jaw's whole way: how far its goal may be from where it is, at least and at most
SHRINK, GROW = 5.0, 1.0  # 1/s: how fast that distance changes with the current; slow against the servo's own lag
NEAR = 0.8  # of the highest current: from here on it does not grow


def next_joints(
    want: np.ndarray,
    last: np.ndarray,
    measured: np.ndarray,
    elapsed_s: float,
    span: tuple[np.ndarray, np.ndarray],
    limits: Limits,
    speed_rad_s: float,
) -> np.ndarray:
    """The next goals ``(5,)`` rad on the way to ``want``.

    With last goal p, every goal t that is returned keeps |t - p| <= min(speed * elapsed, max_step_rad), except that
    it is brought to within ``max_lead_rad`` of the measured position at once; and it lies inside of ``span``, except
    that a joint outside of it is let come back at the speed limit.

    Args:
        want, last, measured: ``(5,)`` rad.
        elapsed_s: since the last goal.
        span: lowest and highest ``(5,)`` rad.
        speed_rad_s: at most ``limits.max_speed_rad_s`` counts.
    """
    step = min(limits.max_step_rad, min(speed_rad_s, limits.max_speed_rad_s) * max(0.0, elapsed_s))
    goal = last + np.clip(np.clip(want, *span) - last, -step, step)
    return np.clip(goal, measured - limits.max_lead_rad, measured + limits.max_lead_rad)


def next_lead(lead: float, current_a: float, elapsed_s: float, settings: GripperSettings) -> float:
    """How far the jaw's goal may now be from where the jaw is: less while the current is too high, more while it is
    low. A servo pulls in proportion to that distance, so what is held stays held, with a bounded force."""
    share = abs(current_a) / settings.max_current_a
    rate = -SHRINK if share > 1.0 else GROW if share < NEAR else 0.0
    return float(np.clip(lead * np.exp(rate * elapsed_s), *GRIPPER_LEAD))


def next_gripper(
    want: float, last: float, measured: float, lead: float, elapsed_s: float, settings: GripperSettings
) -> float:
    """The jaw's next goal, 0 (closed) to 1 (open), at most ``lead`` from where the jaw is."""
    step = min(GRIPPER_STEP, settings.max_speed_s * max(0.0, elapsed_s))
    goal = min(1.0, max(0.0, last + float(np.clip(want - last, -step, step))))
    return float(np.clip(goal, measured - lead, measured + lead))
