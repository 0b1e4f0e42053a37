"""Those who want to command: what each said last, and whether an operator really holds the deadman."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from robot.actions import Target
from robot.control.mailbox import OTHER_CLOCK_MS

READY_S = 1.0  # what a source says of itself counts for so long


class Source:
    """The newest target of one commander.

    ``put`` may be given the motion and the gripper together or one after the other, as messages bring them.
    """

    def __init__(self, name: str, silence_s: float) -> None:
        self.name, self.silence_s = name, silence_s
        self.motion: dict[str, np.ndarray] | None = None  # fields of a Target
        self.gripper: float | None = None
        self.stamp_ns = 0  # of the observation that the motion answers
        self.heard_s = -math.inf  # when the motion came, steady clock
        self.holds = ""  # why it holds the arm itself; it has no target then
        self.unready = ""  # why it could not command; empty: it could
        self.ready_s = -math.inf  # when it said so

    def put(self, motion: dict[str, np.ndarray], stamp_ns: int, now_s: float) -> bool:
        """Whether it was taken: one older than the last is not, unless the clock was set back."""
        if 0 < self.stamp_ns - stamp_ns <= OTHER_CLOCK_MS * 1e6:
            return False
        self.motion, self.stamp_ns, self.heard_s, self.holds = motion, stamp_ns, now_s, ""
        return True

    def hold(self, words: str, now_s: float) -> None:
        """It is there, and wants the arm held."""
        self.holds, self.heard_s = words or "no reason given", now_s

    def say_ready(self, words: str, now_s: float) -> None:
        """Without command: why it could not command now, or an empty string."""
        self.unready, self.ready_s = words, now_s

    def refusal(self, now_s: float) -> str:
        """Why command cannot be given to it."""
        if now_s - self.ready_s > READY_S:
            return f"no {self.name} is heard: is it running?"
        return f"the {self.name} is not ready: {self.unready}" if self.unready else ""

    def silent_s(self, now_s: float) -> float:
        return now_s - self.heard_s

    def target(self, gripper: float) -> Target:
        """``gripper`` where it never said one."""
        assert self.motion is not None
        parts: dict[str, Any] = dict(self.motion)
        return Target(gripper if self.gripper is None else self.gripper, **parts)


class Deadman:
    """A button that must be held, and seen to be pressed: silence lets go, and only a new press takes hold again.

    A device that comes back with the button down, after a cut network or a frozen page, therefore moves nothing.
    """

    def __init__(self, silence_s: float) -> None:
        self.silence_s = silence_s
        self._heard_s = -math.inf
        self._held = self._was_up = False

    def put(self, down: bool, now_s: float) -> None:
        if now_s - self._heard_s > self.silence_s:
            self._held = self._was_up = False
        self._heard_s = now_s
        self._held = down and (self._held or self._was_up)
        self._was_up = not down

    def held(self, now_s: float) -> bool:
        return self._held and not self.silent(now_s)

    def silent(self, now_s: float) -> bool:
        return now_s - self._heard_s > self.silence_s
