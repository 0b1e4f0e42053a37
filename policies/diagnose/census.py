"""The census: where episodes end that fail, told from the simulator's true state."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from policies.diagnose.watch import Trace

SUCCESS = "success"
NEVER, MISSED, DROPPED, PUT_DOWN = "never touched", "grasp missed", "dropped", "put down wrong"
NOT_RELEASED, SHORT, TIME = "not released", "did not last", "out of time"

# in the order of an episode: what each class means, for the page and the documentation
CLASSES: dict[str, str] = {
    NEVER: "the hand never came to what the task moves",
    MISSED: "the hand came to it, but both finger pads never had it",
    DROPPED: "it was held, and then fell more than 2 cm or slipped out of closed fingers",
    PUT_DOWN: "it was let go, but not where it belongs, or it was not left there at rest",
    NOT_RELEASED: "it was over the place where it belongs at the end, still in the fingers",
    SHORT: "the task was done for a moment, but not for as many steps in a row as task.hold_steps asks",
    TIME: "none of these: it was touched or carried, but not far enough",
}

REACHED = 0.03  # m from the hand to the manipuland at which open fingers are around it without touching it
HELD = 2  # states in a row that make a hold: one alone is a push with both pads
FELL = 0.02  # m: more than what is put down sinks, less than a block's side
OVER = 0.04  # m, horizontally: over the goal
LAG = 2  # control steps that the fingers need to let go: GRIPPER_SPEED of sim/physics/world.py


def classify(trace: Trace) -> str:
    """``SUCCESS``, or the one of ``CLASSES`` in which an episode failed.

    What counts is how far it got in the end: an object that was dropped and never held again was dropped, whatever
    was tried later.
    """
    if trace.success:
        return SUCCESS
    if trace.done.any():
        return SHORT
    if trace.touches is None:
        return TIME
    if not _reached(trace):
        return NEVER
    if not trace.grasps:
        return TIME
    held = _held(trace.held)
    if not len(held):
        return MISSED
    last = int(held[-1])
    if last >= len(trace.held) - 2:  # at the end, or a flicker of one contact before it
        return NOT_RELEASED if _over_goal(trace) else TIME
    return DROPPED if _dropped(trace, last) else PUT_DOWN


def _reached(trace: Trace) -> bool:
    assert trace.touches is not None
    if trace.touches.any() or trace.manipuland is None:
        return bool(trace.touches.any())
    away = np.linalg.norm(trace.manipuland - trace.hand, axis=1)
    return bool(trace.grasps and away.min() < REACHED)


def _held(flags: np.ndarray) -> np.ndarray:
    """Indices of states that belong to a hold of ``HELD`` states in a row."""
    starts = [i for i in range(len(flags) - HELD + 1) if flags[i : i + HELD].all()]
    return np.array(sorted({i + k for i in starts for k in range(HELD)}), int)


def _over_goal(trace: Trace) -> bool:
    if trace.goal is None or trace.manipuland is None:
        return False
    return bool(np.linalg.norm((trace.goal - trace.manipuland)[-1, :2]) < OVER)


def _dropped(trace: Trace, last: int) -> bool:
    """Whether what was held last in state ``last`` fell, slipped, or had no place to be put down at."""
    assert trace.manipuland is not None
    told_to_open = not trace.closing[max(0, last - LAG) : last + 1].all()
    fell = trace.manipuland[last, 2] - trace.manipuland[-1, 2] > FELL
    return bool(fell or not told_to_open or trace.goal is None)


def closest(trace: Trace) -> float | None:
    """How far aside of the manipuland (m, horizontally) the hand was where it was nearest to it, until it held it; None
    of a task without one.
    """
    if trace.manipuland is None:
        return None
    held = _held(trace.held)
    until = int(held[0]) + 1 if len(held) else len(trace.hand)
    aim = (trace.manipuland - trace.hand)[:until]
    nearest = np.linalg.norm(aim, axis=1).argmin()
    return float(np.linalg.norm(aim[nearest, :2]))


def count(classes: Sequence[str]) -> dict[str, int]:
    """How many episodes there are of success and of every class, zeros included."""
    return {name: sum(one == name for one in classes) for name in (SUCCESS, *CLASSES)}
