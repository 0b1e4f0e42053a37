"""The way back to the start: one target, approached at the speed of the limits, and whether the arm has got there."""

from __future__ import annotations

import numpy as np

from robot import rotations
from robot.actions import JOINT_POSITION, POSE, Reference, Target
from robot.control.rules import Stop
from robot.profile.arbitration import Start


class Journey:
    """``begin``, then ask whether it has ``ended``. ``start`` None: the profile names no start."""

    def __init__(self, start: Start | None) -> None:
        self.start, self._since_s = start, 0.0

    def begin(self, now_s: float) -> None:
        self._since_s = now_s

    def refusal(self, kind: str) -> str:
        """Why an arm that takes targets of ``kind`` cannot be brought there, or an empty string."""
        if self.start is None:
            return "the arm's profile names no start: give it arbiter.start with a position and xyzw, or joints"
        wanted = POSE if self.start.joints is None else JOINT_POSITION
        return "" if kind == wanted else f"the profile's start is a {wanted}, and the arm takes {kind}"

    def target(self, gripper: float) -> Target:
        start = self.start
        assert start is not None
        if start.joints is not None:
            return Target(gripper, joint_positions=np.array(start.joints))
        rotation = rotations.from_quaternion(np.array(start.xyzw))
        return Target(gripper, position=np.array(start.position), rotation=rotation)

    def ended(self, measured: Reference, now_s: float) -> Stop | None:
        """``arrived`` or ``not_arrived``; None on the way."""
        start = self.start
        assert start is not None
        left = self._left(measured)
        if left is None:
            return Stop("arrived", "the arm stands at its start")
        if now_s - self._since_s <= start.patience_s:
            return None
        return Stop("not_arrived", f"after {start.patience_s:g} s the arm is still {left} from its start")

    def _left(self, measured: Reference) -> str | None:
        wanted, start = self.target(0.0), self.start
        assert start is not None
        if wanted.joint_positions is not None:
            assert measured.joint_positions is not None
            far = float(np.abs(measured.joint_positions - wanted.joint_positions).max())
            return None if far <= start.tolerance_rad else f"{far:.3f} rad"
        assert measured.position is not None and measured.rotation is not None and wanted.rotation is not None
        away = float(np.linalg.norm(measured.position - wanted.position))
        turned = rotations.angle_between(measured.rotation, wanted.rotation)
        near = away <= start.tolerance_m and turned <= start.tolerance_rad
        return None if near else f"{away:.3f} m and {turned:.3f} rad"
