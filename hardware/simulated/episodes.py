"""The course of evaluation episodes on the simulated arm: when each starts, what counts, and when it is over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from robot.errors import PixelarmError
from robot.stats import AFTER_STEPS, HOLD_STEPS

PATIENCE_S = 30.0  # s without a command before episodes give up


class Episodes:
    """One episode per seed, on simulated time.

    Each: reset, settle, wait for the first command, then count control periods from it. A success is that the task has
    been done for ``hold_steps`` periods in a row. The episode ends ``AFTER_STEPS`` periods after the first success, or
    after ``max_steps`` periods without one. ``step`` is called after every slice
    of physics.
    """

    def __init__(self, seeds: list[int], period_s: float, max_steps: int, hold_steps: int = HOLD_STEPS) -> None:
        self.seeds, self.period_s, self.max_steps, self.hold_steps = seeds, period_s, max_steps, hold_steps
        self.results: list[dict[str, Any]] = []
        self._phase = "reset"
        self._since_s = self._first_s = 0.0  # simulated time of the reset and of the first command
        self._steps = self._done_for = 0
        self._success_at: int | None = None
        self._gap_s = self._last_s = 0.0

    @property
    def seed(self) -> int:
        return self.seeds[len(self.results)]

    def on_command(self, now_s: float) -> None:
        """A command was accepted."""
        if self._phase == "waiting":
            self._phase, self._first_s, self._last_s = "started", now_s, now_s
        self._gap_s, self._last_s = max(self._gap_s, now_s - self._last_s), now_s

    def step(self, now_s: float, success: Callable[[], bool]) -> dict[str, Any] | None:
        """What happened: ``reset``, ``start``, ``end``, ``done``; mostly None. Raises after ``PATIENCE_S``."""
        if self._phase == "reset":
            return self._next(now_s)
        if self._phase == "started":
            self._phase = "running"
            return {"event": "start", "seed": self.seed}
        if self._phase == "waiting" and now_s - self._since_s > PATIENCE_S:
            raise PixelarmError(
                f"no command arrived for {PATIENCE_S:g} s, so the episodes end after {len(self.results)} of "
                f"{len(self.seeds)}; is the policy node active, with the same arm profile, ROS_DOMAIN_ID and "
                "discovery range?"
            )
        return self._count(now_s, success) if self._phase == "running" else None

    def _next(self, now_s: float) -> dict[str, Any]:
        if len(self.results) == len(self.seeds):
            self._phase = "done"
            return {"event": "done"}
        self._phase, self._since_s = "waiting", now_s
        self._steps, self._done_for, self._success_at, self._gap_s = 0, 0, None, 0.0
        return {"event": "reset", "seed": self.seed}

    def _count(self, now_s: float, success: Callable[[], bool]) -> dict[str, Any] | None:
        steps = int((now_s - self._first_s) / self.period_s + 1e-6)
        if steps == self._steps:
            return None
        self._steps = steps
        self._done_for = self._done_for + 1 if success() else 0
        reached = self._done_for >= self.hold_steps
        if reached and self._success_at is None:
            self._success_at = steps
        over = self._success_at is None and steps >= self.max_steps
        if not over and (self._success_at is None or steps < self._success_at + AFTER_STEPS):
            return None
        self._phase = "reset"
        result = {
            "seed": self.seed,
            "success_once": self._success_at is not None,
            "success_end": bool(reached),
            "steps": self._success_at or steps,
            "longest_gap_s": round(self._gap_s, 3),
        }
        self.results.append(result)
        return {"event": "end", **result}
