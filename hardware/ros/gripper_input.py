"""How the simulated arm hears its gripper: as each message and action that a profile may name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from robot.errors import PixelarmError
from robot.profile.grippers import ACTION, FLOAT, JOINT_STATE, TRAJECTORY, GripperCommand
from robot.ros import messages, runtime
from robot.ros.gripper_output import action_type
from robot.ros.messages import stamp_ns

runtime.require_rclpy()

from rclpy.action import ActionServer, CancelResponse, GoalResponse  # noqa: E402
from rclpy.node import Node  # noqa: E402
from rclpy.qos import QoSProfile, ReliabilityPolicy  # noqa: E402
from sensor_msgs.msg import JointState  # noqa: E402
from std_msgs.msg import Float64, Float64MultiArray  # noqa: E402
from trajectory_msgs.msg import JointTrajectory  # noqa: E402

KINDS = {JOINT_STATE: JointState, FLOAT: Float64, TRAJECTORY: JointTrajectory}


class GripperInput:
    """Hears one profile's gripper.

    Args:
        on_command: takes a stamp (0: none, so now) and a gripper command, -1 open to +1 closed; says whether it is
            followed.
        ignore: told in words of a message that is of no use.
        busy: whether goals of an action, which were taken, are left without an answer for now.
    """

    def __init__(
        self,
        node: Node,
        command: GripperCommand,
        on_command: Callable[[int, float], bool],
        ignore: Callable[[str], None],
        busy: Callable[[], bool] = lambda: False,
    ) -> None:
        self._command, self._on_command, self._ignore, self._busy = command, on_command, ignore, busy
        self._server: Any = None
        self._unanswered: list[Any] = []  # goals
        if command.is_action:
            self._serve(node)
            return
        reliable = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
        kind = KINDS.get(command.type, Float64MultiArray)
        node.create_subscription(kind, command.topic, self.on_message, reliable)

    def on_message(self, message: Any) -> None:
        """A message of the profile's type."""
        try:
            value, stamp = self._read(message)
        except PixelarmError as error:
            self._ignore(f"gripper: {error}")
            return
        if value is not None:
            self._on_command(stamp, self._command.gripper(value))

    def _read(self, message: Any) -> tuple[float | None, int]:
        """The driver's number, None of a message that is about another joint, and the stamp."""
        name = self._command.joint
        if isinstance(message, Float64):
            return float(message.data), 0
        if isinstance(message, Float64MultiArray):
            return float(messages.from_multi_array(message, [name])[0]), 0
        stamp = stamp_ns(message.header.stamp)
        if isinstance(message, JointTrajectory):
            return float(messages.from_trajectory(message, [name])[0]), stamp
        return next((float(v) for n, v in zip(message.name, message.position) if n == name), None), stamp

    # ------------------------------------------------------------------------------------------------------- action
    def _serve(self, node: Node) -> None:
        action = action_type(self._command.type)
        self._server = ActionServer(
            node,
            action,
            self._command.topic,
            execute_callback=lambda handle: self.execute(handle, action),
            goal_callback=self.on_goal,
            handle_accepted_callback=self.on_accepted,
            cancel_callback=lambda handle: CancelResponse.ACCEPT,
        )
        node.create_timer(0.05, self.answer)

    def on_goal(self, goal: Any) -> GoalResponse:
        """Takes a goal that the arm follows; rejects what it does not, during a reset say."""
        try:
            value = self._wanted(goal)
        except PixelarmError as error:
            self._ignore(f"gripper: {error}")
            return GoalResponse.REJECT
        return GoalResponse.ACCEPT if self._on_command(0, self._command.gripper(value)) else GoalResponse.REJECT

    def on_accepted(self, handle: Any) -> None:
        self._unanswered.append(handle)
        self.answer()

    def answer(self) -> None:
        """Say what became of the goals that were taken, unless busy."""
        while self._unanswered and not self._busy():
            self._unanswered.pop(0).execute()

    def _wanted(self, goal: Any) -> float:
        command = goal.command
        if self._command.type == ACTION:
            return float(command.position)
        return float(messages.by_name(command.name, command.position, [self._command.joint])[0])

    def execute(self, handle: Any, action: Any) -> Any:
        """Says at once that the goal was reached: the fingers go on moving, as after a message."""
        result, value = action.Result(), self._wanted(handle.request)
        if handle.is_cancel_requested:
            handle.canceled()
            return result
        if self._command.type == ACTION:
            result.position = value
        else:
            result.state.name, result.state.position = [self._command.joint], [value]
        result.reached_goal = True
        handle.succeed()
        return result
