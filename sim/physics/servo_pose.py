"""An end effector led by joints that have position servos: inverse kinematics once a goal, then a steady way there.

An arm of hobby servos has no torques to command. Its driver solves inverse kinematics about the joints that were
*commanded* last (``robot.kinematics.inverse``, the same code as on the robot's computer) and sends the servos a joint
position many times a second. Here the targets go in a straight line from the last ones to the new ones within one
control period. Servos without an integral term sag under the arm's weight, so that the end effector comes to rest some
millimetres low: deltas had better count from the last commanded target.
"""

from __future__ import annotations

from typing import ClassVar

import mujoco
import numpy as np

from robot.kinematics.inverse import Options, solve
from sim.physics.chain import chain_of
from sim.physics.placed_arm import PlacedArm

# Arms with fewer than six joints cannot turn their tip at will: a little weight keeps it upright where they can.
# A step takes at most 0.4 rad of a joint, 4 rad/s at 10 Hz; what is further is left to the next one.
OPTIONS = Options(rotation_weight=0.05, max_joint_step_rad=0.4, tolerance_m=0.02, slow_above=1e3, stop_above=1e4)


class ServoPoseController:
    """Follows an end-effector goal pose in world coordinates with joint targets for position servos."""

    STATE: ClassVar[tuple[str, ...]] = ("goal_position", "goal_rotation", "_solved", "_start", "_end", "_begun")
    PER_SUBSTEP: ClassVar[bool] = True

    def __init__(self, model: mujoco.MjModel, arm: PlacedArm, period_s: float) -> None:
        described = arm.description
        self.chain = chain_of(model, described.base, described.joints, described.site)
        self._arm, self._period_s = arm, period_s
        limits = model.actuator_ctrlrange[arm.actuators]
        self._low, self._high = limits[:, 0].copy(), limits[:, 1].copy()
        n = len(arm.qpos)
        self.goal_position = np.zeros(3)  # m, world
        self.goal_rotation = np.eye(3)
        self._solved = np.full(12, np.nan)  # the goal that ``_end`` answers
        self._start, self._end = np.zeros(n), np.zeros(n)  # rad
        self._begun = np.zeros(1)  # s, when the way from ``_start`` to ``_end`` began

    def reset(self, data: mujoco.MjData) -> None:
        self._start[:] = self._end[:] = data.qpos[self._arm.qpos]
        self.goal_position[:] = data.site_xpos[self._arm.site]
        self.goal_rotation[:] = data.site_xmat[self._arm.site].reshape(3, 3)
        self._solved[:] = np.nan
        self._begun[:] = data.time

    def command(self, data: mujoco.MjData) -> np.ndarray:
        """``(n,)`` rad, what the servos are told now."""
        if not np.array_equal(self._goal(), self._solved):
            found = solve(
                self.chain, self._end, self.goal_position - self._arm.base_position, self.goal_rotation, OPTIONS
            )
            self.set_joints(data, found.joints)
        return self._now(data.time)

    def set_joints(self, data: mujoco.MjData, joints: np.ndarray, at_once: bool = False) -> None:
        """Go to joint positions ``(n,)`` rad, until the next goal pose; ``at_once`` for one who sends them often."""
        end = np.clip(joints, self._low, self._high)
        self._start[:] = end if at_once else self._now(data.time)
        self._end[:], self._begun[:] = end, data.time
        self._solved[:] = self._goal()

    def _goal(self) -> np.ndarray:
        return np.concatenate([self.goal_position, self.goal_rotation.ravel()])

    def _now(self, time_s: float) -> np.ndarray:
        share = min((time_s - float(self._begun[0])) / self._period_s, 1.0)
        return self._start + share * (self._end - self._start)
