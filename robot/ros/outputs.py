"""Where targets go: to the topics of an arm's profile, in the messages that its driver takes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from robot import rotations
from robot.actions import JOINT_POSITION, POSE, Target
from robot.control.loop import Command
from robot.errors import PixelarmError
from robot.profile import ArmProfile
from robot.profile.grippers import WITH_JOINTS
from robot.ros import gripper_output, messages, runtime
from robot.ros.messages import set_stamp

runtime.require_rclpy()

from geometry_msgs.msg import PoseStamped  # noqa: E402
from std_msgs.msg import Float64MultiArray  # noqa: E402
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint  # noqa: E402


class Outputs:
    """Publishes commands of one kind of target (``robot.actions.TARGETS``) that come every ``period_s``."""

    def __init__(
        self,
        publisher: Callable[[Any, str], Any],
        arm: ArmProfile,
        told: str,
        period_s: float,
        action_client: Callable[[Any, str], Any] | None = None,
        say: gripper_output.Say = lambda words: None,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """``publisher(message type, topic)`` makes one; ``arm`` takes ``told``. ``action_client`` and ``say`` are for
        grippers that are actions (``gripper_output.make``), ``now_ns`` for drivers that refuse old stamps.
        """
        self._arm, self._period_s, self._now_ns = arm, period_s, now_ns
        output = arm.outputs[told]
        self._message = {POSE: self._pose, JOINT_POSITION: self._joint_positions}.get(told, self._joint_velocities)
        self._as_trajectory = told == JOINT_POSITION and output.type == "joint_trajectory"
        joints = JointTrajectory if self._as_trajectory else Float64MultiArray
        self._target = publisher(PoseStamped if told == POSE else joints, output.topic)
        self.gripper = gripper_output.make(
            arm.gripper_command, publisher, action_client, say, arm.base_frame, self._period_s
        )
        self._measured_xyzw: np.ndarray | None = None
        self._held_xyzw: np.ndarray | None = None

    def measured(self, xyzw: np.ndarray) -> None:
        """The orientation of the end effector now."""
        self._measured_xyzw = xyzw

    def let_go(self) -> None:
        """A position without a rotation from now on holds the orientation that is measured when the first one is
        published, and the gripper is told its first value whatever it was told before.
        """
        self._held_xyzw = None
        self.gripper.forget()

    def publish(self, command: Command, hold: bool = False) -> None:
        """Called from the loop's thread; ``hold``: the last target, once more."""
        self._target.publish(self._message(command.target, command.obs_stamp_ns))
        self.gripper.publish(command.target.gripper, command.obs_stamp_ns, hold)

    def _pose(self, target: Target, stamp_ns: int) -> Any:
        assert target.position is not None
        message = PoseStamped()
        fresh = self._arm.target_pose is not None and self._arm.target_pose.stamp == "now"
        set_stamp(message.header, self._now_ns() if fresh else stamp_ns, self._arm.base_frame)
        xyzw = self._held() if target.rotation is None else rotations.to_quaternion(target.rotation)
        messages.to_pose(message.pose, target.position, xyzw)
        return message

    def _held(self) -> np.ndarray:
        if self._held_xyzw is None:
            self._held_xyzw = self._measured_xyzw
        if self._held_xyzw is None:
            raise PixelarmError("a position cannot be commanded before the orientation that is to be held was measured")
        return self._held_xyzw

    def _joint_positions(self, target: Target, stamp_ns: int) -> Any:
        assert target.joint_positions is not None
        if not self._as_trajectory:
            gripper = self._arm.gripper_command
            more = [gripper.value(target.gripper)] if gripper.type == WITH_JOINTS else []
            return Float64MultiArray(data=[*target.joint_positions.tolist(), *more])
        assert self._arm.target_joint_position is not None
        names, lead_s = self._arm.joint_names, self._arm.target_joint_position.lead_s or self._period_s
        return messages.to_trajectory(JointTrajectory(), JointTrajectoryPoint(), names, target.joint_positions, lead_s)

    def _joint_velocities(self, target: Target, stamp_ns: int) -> Any:
        assert target.joint_velocities is not None
        return Float64MultiArray(data=target.joint_velocities.tolist())
