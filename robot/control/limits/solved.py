"""Filters of an arm whose driver takes joint positions while the policy's actions are poses.

``Solve`` gives a pose the joints that reach it, ``Settle`` gives the joints that passed every limit the pose to which
they lead. In between come the limits of joints. So a published target holds both, and what the next action counts from
(``robot.actions.origin``) is where the arm was really told to go.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from robot.actions import Target
from robot.control.limits.base import Context
from robot.control.rules import Stop
from robot.kinematics.chain import Chain
from robot.kinematics.inverse import Options, solve


@dataclass
class Solve:
    """Adds the joint positions of a pose, near those that were commanded last.

    Without a last command, or where an arm stands further than ``reach`` of a joint from it, they are near those that
    are measured. A target without a rotation keeps the orientation that the arm had when its motion began. A pose that
    cannot be reached is refused (``unreachable``).
    """

    chain: Chain
    options: Options
    reach: float  # rad
    name: str = "unreachable"
    count: int = 0
    _kept: np.ndarray | None = field(default=None, repr=False)  # (3, 3) orientation to keep

    def apply(self, target: Target, context: Context) -> Target | Stop:
        start, goes_on = self._start(context)
        if not goes_on or self._kept is None:
            self._kept = self.chain.forward(start)[1]
        rotation = self._kept if target.rotation is None else target.rotation
        assert target.position is not None
        found = solve(self.chain, start, target.position, rotation, self.options)
        if found.refused:
            self.count += 1
            return Stop(self.name, f"inverse kinematics {found.reason}")
        return target.replace(joint_positions=found.joints)

    def _start(self, context: Context) -> tuple[np.ndarray, bool]:
        """Joints ``(n,)`` rad to begin at, and whether they were commanded."""
        measured = context.measured.joint_positions
        assert measured is not None
        commanded = None if context.previous is None else context.previous.joint_positions
        if commanded is None or float(np.abs(commanded - measured).max()) > self.reach:
            return measured, False
        return commanded, True


@dataclass
class Settle:
    """The pose of a target becomes the one to which its joints lead."""

    chain: Chain
    name: str = "settle"
    count: int = 0  # targets whose joints do not reach what was wanted, by more than 1 mm

    def apply(self, target: Target, context: Context) -> Target | Stop:
        assert target.joint_positions is not None and target.position is not None
        position, rotation = self.chain.forward(target.joint_positions)
        if float(np.linalg.norm(position - target.position)) > 1e-3:
            self.count += 1
        return target.replace(position=position, rotation=None if target.rotation is None else rotation)
