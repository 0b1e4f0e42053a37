"""A driver's manners between the messages and the simulated arm: what it follows, ignores, or stops at.

The facts are in the profile (``robot.profile.driver.Driver``), so that the arm behaves as the driver does that the
profile is for: it refuses steps that are too large, follows nobody where two publish, stops and goes on to its old
target, halts when nobody speaks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from robot.profile.driver import FOLLOWED, HALTS, OLD_TARGET, REFLEX, Driver

SETTLED_S = 2.0  # after a scene was set up anew
Motion = Mapping[str, np.ndarray]  # fields of a robot.actions.Target


class DriverManners:
    """``admit`` each motion before the arm follows it, and ``tick`` now and then.

    Args:
        driver: the facts.
        measured: the motion that leaves the arm where it is, of the same fields.
        follow: leads the arm.
        say: takes a line when the driver stops, ignores or goes on.
    """

    def __init__(
        self,
        driver: Driver,
        measured: Callable[[Motion], Motion],
        follow: Callable[[Motion], None],
        say: Callable[[str], Any],
    ) -> None:
        self.driver, self._measured, self._follow, self._say = driver, measured, follow, say
        self.stopped = ""  # why it follows nothing
        self.ignored = 0
        self._last: Motion | None = None  # the newest that was followed, or would have been
        self._heard_s, self._halted, self._far = -math.inf, False, False
        self._set_back_s = -math.inf

    def admit(self, motion: Motion, publishers: int, now_s: float) -> bool:
        """Whether the arm follows it."""
        self._heard_s, self._halted = now_s, False
        if self.driver.single_publisher and publishers > 1:
            self._ignore(f"{publishers} publish on the command topic, and this driver follows one")
            return False
        if self.stopped:
            self.ignored += 1
            return False
        if self.driver.too_far != FOLLOWED and (words := self._too_far(motion)):
            if self.driver.too_far == REFLEX and now_s - self._set_back_s > SETTLED_S:
                self.stop(words)
            else:
                self._ignore(words)
            return False
        if self._far:
            self._say("commands are near again: followed")
        self._last, self._far = motion, False
        return True

    def _ignore(self, words: str) -> None:
        self.ignored += 1
        if not self._far:
            self._say(f"ignored: {words}")
        self._far = True

    def _too_far(self, motion: Motion) -> str:
        """Words, if this is a step too large from the last command, or from where the arm is."""
        last = self._last
        before = self._measured(motion) if last is None else last
        for field, bound, unit in (
            ("joint_positions", self.driver.step_rad, "rad"),
            ("position", self.driver.step_m, "m"),
        ):
            if bound is None or field not in motion or field not in before:
                continue
            step = float(np.abs(motion[field] - before[field]).max())
            if step > bound:
                return f"a step of {step:.3f} {unit}, and at most {bound:g} {unit} are followed"
        return ""

    def tick(self, now_s: float) -> None:
        """What happens when nobody speaks."""
        last = self._last  # ``forget`` comes from another thread
        silent = now_s - self._heard_s > self.driver.silence_s
        if self.driver.on_silence == HALTS and last is not None and silent and not self._halted and not self.stopped:
            self._halted = True
            self._follow(self._measured(last))
            self._say(f"no command for {self.driver.silence_s:g} s: halted")

    def stop(self, words: str) -> None:
        """A reflex or a protective stop: the arm stays where it is, and nothing is followed until ``recover``."""
        self.stopped, last = words, self._last
        if last is not None:
            self._follow(self._measured(last))
        self._say(f"stopped: {words}")

    def recover(self) -> None:
        """What a person does after a stop."""
        self.stopped, self._far, last = "", False, self._last
        if last is None:
            return
        if self.driver.resumes == OLD_TARGET:
            self._say("recovered: going on to the last target")
            self._follow(last)
        else:
            self._last = None
            self._say("recovered: staying here")

    def forget(self, now_s: float) -> None:
        """The scene was set up anew: the next command counts from where the arm is. What still leads to where it was is
        ignored, and no reason for a reflex: no arm is set elsewhere in life."""
        self._last, self._far, self._set_back_s = None, False, now_s
