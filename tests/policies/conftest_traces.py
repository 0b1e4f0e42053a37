"""Traces made by hand."""

import numpy as np

from policies.diagnose.watch import Trace


def make_trace(steps: int = 10, **given) -> Trace:
    """An episode in which nothing happens: the hand is far from an object at (0, 0, 0) that belongs at (0.2, 0, 0)."""
    states = steps + 1
    fields = {
        "seed": 0,
        "success": False,
        "grasps": True,
        "hand": np.full((states, 3), 0.5),
        "opening": np.full(states, 0.08),
        "closing": np.zeros(steps, bool),
        "touches": np.zeros(states, bool),
        "held": np.zeros(states, bool),
        "manipuland": np.zeros((states, 3)),
        "goal": np.tile([0.2, 0.0, 0.0], (states, 1)),
        "done": np.zeros(states, bool),
    }
    return Trace(**{**fields, **given})


def flags(states: int, *on: int) -> np.ndarray:
    found = np.zeros(states, bool)
    found[list(on)] = True
    return found


def places(*rows: tuple[float, float, float]) -> np.ndarray:
    """``(n, 3)`` from rows; the last one is repeated until there are 11."""
    return np.array([*rows, *[rows[-1]] * (11 - len(rows))], float)
