"""How low an arm may reach: the end effector and the joints, above the plane of its base."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from robot.actions import Target
from robot.control.limits.base import Context
from robot.control.rules import Stop
from robot.kinematics.chain import Chain

if TYPE_CHECKING:
    from robot.control.limits.smooth import Moving


class Height:
    """The tip, and the origins of the joints' frames that can move up or down, stay above a height.

    Links have a thickness that a chain does not know: choose ``lowest_m`` larger than it. A point that is lower when a
    motion begins may rise, and goes no lower than it was. As a filter this refuses to move an arm with a point more
    than ``below_m`` too low; the filter that moves the joints asks ``allows``.
    """

    def __init__(self, chain: Chain, lowest_m: float, below_m: float) -> None:
        self.chain, self.lowest_m, self.below_m = chain, lowest_m, below_m
        self.name, self.count = "height", 0
        self._floor: np.ndarray | None = None  # (points,) m
        poses = np.random.default_rng(0).uniform(-np.pi, np.pi, (16, len(chain.joints)))
        self._moves = np.ptp([chain.frames(pose)[:, 2, 3] for pose in poses], axis=0) > 1e-9
        self._names = [name for name, moves in zip((*chain.names, "tip"), self._moves) if moves]

    def heights(self, joints: np.ndarray) -> np.ndarray:
        """``(points,)`` m: of the frames that can move up or down, for joint positions ``(n,)`` in rad."""
        return self.chain.frames(joints)[self._moves, 2, 3]

    def apply(self, target: Target, context: Context) -> Target | Stop:
        assert context.measured.joint_positions is not None
        heights = self.heights(context.measured.joint_positions)
        if np.all(heights >= self.lowest_m - self.below_m):
            return target
        self.count += 1
        lowest = int(np.argmin(heights))
        return Stop(
            self.name,
            f"{self._names[lowest]} of the arm is at a height of {heights[lowest]:.3f} m, more than {self.below_m:g} m "
            f"below the lowest allowed, {self.lowest_m:g} m: bring it back first",
        )

    def allows(self, now: Moving, made: Moving, braked: Callable[[Moving], Moving]) -> bool:
        """Every point keeps its height at ``made`` and on the whole way from there to rest; counted if not."""
        if self._floor is None or now.rests:
            self._floor = np.minimum(self.lowest_m, self.heights(now.positions))
        while np.all(self.heights(made.positions) >= self._floor):
            if made.rests:
                return True
            made = braked(made)
        self.count += 1
        return False
