"""From one command to another without a bump: from where an arm was told to be to where it is told to be now."""

from __future__ import annotations

from robot import rotations
from robot.actions import Target


def smooth_step(share: float) -> float:
    """0 to 1 with no velocity and no acceleration at either end: the minimum-jerk polynomial of Flash and Hogan, The
    coordination of arm movements, 1985."""
    s = min(max(share, 0.0), 1.0)
    return s * s * s * (10.0 - 15.0 * s + 6.0 * s * s)


def between(first: Target, second: Target, share: float) -> Target:
    """A target of one kind, ``share`` (0 to 1) of the way from another of the same kind; the gripper is the first's."""
    parts = {}
    for field in ("position", "joint_positions", "joint_velocities"):
        start, goal = getattr(first, field), getattr(second, field)
        if start is not None and goal is not None:
            parts[field] = start + share * (goal - start)
    if first.rotation is not None and second.rotation is not None:
        parts["rotation"] = rotations.part_of_turn(first.rotation, second.rotation, share)
    return second.replace(gripper=first.gripper, **parts)


class Handover:
    """The blend after a change of command; the gripper changes hands at its end, so that nothing is dropped on the way.

    It begins with the first target of the new commander, however long that one takes to come.
    """

    def __init__(self, blend_s: float) -> None:
        self.blend_s = blend_s
        self._start: Target | None = None
        self._since_s: float | None = None

    def begin(self, start: Target | None) -> None:
        """The next targets are approached from ``start``; None: at once."""
        self._start, self._since_s = start, None

    @property
    def busy(self) -> bool:
        return self._start is not None

    def apply(self, target: Target, now_s: float) -> Target:
        if self._start is None:
            return target
        if self._since_s is None:
            self._since_s = now_s
        passed_s = now_s - self._since_s
        if passed_s >= self.blend_s:
            self._start = None
            return target
        return between(self._start, target, smooth_step(passed_s / self.blend_s))
