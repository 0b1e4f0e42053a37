"""Where goals may go next, by hand and at random."""

from __future__ import annotations

import numpy as np
import pytest

from hardware.feetech.limits import next_gripper, next_joints, next_lead
from hardware.feetech.settings import GripperSettings, Limits

LIMITS = Limits(max_speed_rad_s=1.0, max_step_rad=0.05, max_lead_rad=0.2)
SPAN = (np.full(5, -1.0), np.full(5, 1.0))


def step(want: float, last: float = 0.0, measured: float = 0.0, elapsed: float = 0.02, speed: float = np.inf) -> float:
    """The first joint's next goal."""
    numbers = (np.full(5, value) for value in (want, last, measured))
    return float(next_joints(*numbers, elapsed, SPAN, LIMITS, speed)[0])


@pytest.mark.parametrize(
    ("arguments", "goal"),
    [
        ({"want": 0.01}, 0.01),
        ({"want": 0.5}, 0.02),  # 1 rad/s for 20 ms
        ({"want": -0.5}, -0.02),
        ({"want": 0.5, "elapsed": 10.0}, 0.05),  # the longest step, however long ago
        ({"want": 0.5, "elapsed": 0.0}, 0.0),
        ({"want": 0.5, "speed": 0.5}, 0.01),
        ({"want": 0.5, "speed": 9.0}, 0.02),
        ({"want": 0.5, "last": 0.195}, 0.2),  # no further from where the joint is
        ({"want": 3.0, "last": 0.99, "measured": 0.99}, 1.0),  # the end of its range
        ({"want": 3.0, "last": 1.1, "measured": 1.1}, 1.08),  # from beyond it comes back
        ({"want": 0.0, "last": 0.0, "measured": 0.5}, 0.3),  # carried away: not dragged back at once
    ],
)
def test_the_next_goal(arguments: dict[str, float], goal: float) -> None:
    assert step(**arguments) == pytest.approx(goal)


def test_a_thousand_random_goals_keep_the_bounds() -> None:
    dice, last, measured = np.random.default_rng(0), np.zeros(5), np.zeros(5)
    for _ in range(1_000):
        elapsed = float(dice.uniform(0.0, 0.1))
        goal = next_joints(dice.uniform(-3.0, 3.0, 5), last, measured, elapsed, SPAN, LIMITS, np.inf)
        assert (np.abs(goal - measured) <= LIMITS.max_lead_rad + 1e-12).all()
        assert (np.abs(goal) <= 1.0 + 1e-12).all()
        near = np.abs(last - measured) <= LIMITS.max_lead_rad
        assert (np.abs(goal - last)[near] <= min(0.05, elapsed) + 1e-12).all()
        last, measured = goal, measured + np.clip(goal - measured, -0.04, 0.04)


JAW = GripperSettings(max_current_a=0.5, max_speed_s=2.0)


@pytest.mark.parametrize(
    ("want", "last", "measured", "lead", "goal"),
    [
        (0.0, 0.5, 0.5, 0.15, 0.46),  # 2 per second for 20 ms
        (1.0, 0.99, 0.99, 0.15, 1.0),
        (-3.0, 0.01, 0.01, 0.15, 0.0),
        (0.0, 0.36, 0.5, 0.15, 0.35),  # no further than the lead from where it is
        (0.0, 0.36, 0.5, 0.05, 0.45),  # a lead that shrank takes the goal back
        (1.0, 0.4, 0.5, 0.15, 0.44),  # it may open
    ],
)
def test_the_jaws_next_goal(want: float, last: float, measured: float, lead: float, goal: float) -> None:
    assert next_gripper(want, last, measured, lead, 0.02, JAW) == pytest.approx(goal)


@pytest.mark.parametrize(
    ("current", "lead"),
    [
        (0.6, 0.1 * np.exp(-0.1)),  # above 0.5 A: shrinks by 5 per second, for 20 ms
        (-0.6, 0.1 * np.exp(-0.1)),
        (0.45, 0.1),
        (0.3, 0.1 * np.exp(0.02)),
    ],
)
def test_the_lead_follows_the_current(current: float, lead: float) -> None:
    assert next_lead(0.1, current, 0.02, JAW) == pytest.approx(lead)
    assert next_lead(0.15, 0.0, 9.0, JAW) == 0.15 and next_lead(0.15, 9.0, 9.0, JAW) == 0.005
