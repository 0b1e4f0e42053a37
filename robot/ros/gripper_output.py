"""Where the gripper's target goes: a topic in the message of the arm's profile, or an action of control_msgs.

control_msgs is imported only for a profile that uses it, since the wheels of ROS 2 do not have it. An action takes its
time, so its goals are sent on change only (``robot.profile.grippers.Changes``), and what became of each is counted.
"""

from __future__ import annotations

import importlib
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from robot.errors import MissingDependency
from robot.profile.grippers import ACTION, FLOAT, JOINT_STATE, TRAJECTORY, WITH_JOINTS, Changes, GripperCommand
from robot.ros import messages, runtime
from robot.ros.messages import set_stamp

runtime.require_rclpy()

from action_msgs.msg import GoalStatus  # noqa: E402
from sensor_msgs.msg import JointState  # noqa: E402
from std_msgs.msg import Float64, Float64MultiArray  # noqa: E402
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint  # noqa: E402

RESULT_S = 10.0  # a goal without a result for so long is given up: its driver was restarted, say
Say = Callable[[str], None]


class Sink(Protocol):
    """Something that takes the driver's number."""

    counts: dict[str, int]

    def send(self, value: float, stamp_ns: int) -> bool:
        """Send it, and return whether it went out."""


class GripperOutput:
    """Sends the gripper's part of each command."""

    def __init__(
        self, command: GripperCommand, sink: Sink, changes: Changes, renew: Callable[[], None] = lambda: None
    ) -> None:
        self._sink, self._changes, self._renew = sink, changes, renew
        self._on_change = command.sends_on_change

    def publish(self, gripper: float, stamp_ns: int, hold: bool) -> None:
        """A gripper command in [-1, 1] that answers an observation of ``stamp_ns``. While the arm holds, nothing is
        sent on change; a topic that is told every tick is told its last value again.
        """
        value = self._changes.value(gripper)
        if not self._on_change:
            self._sink.send(value, stamp_ns)
            return
        if hold or not self._changes.due(value):
            return
        self._changes.sent(value)  # before it is sent: an action may reject it, and have it forgotten, at once
        if not self._sink.send(value, stamp_ns):
            self._changes.forget()

    def forget(self) -> None:
        """The next value counts as changed, and each kind of trouble is said once more."""
        self._changes.forget()
        self._renew()

    def counts(self) -> dict[str, int]:
        """How many values were sent, and for an action what became of its goals."""
        return dict(self._sink.counts)


class NoSink:
    """Of a gripper whose number goes with the joints."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}

    def send(self, value: float, stamp_ns: int) -> bool:
        return True


class TopicSink:
    """A topic of one of the message types."""

    def __init__(self, command: GripperCommand, publisher: Callable[[Any, str], Any], frame: str, period_s: float):
        kinds = {JOINT_STATE: JointState, FLOAT: Float64, TRAJECTORY: JointTrajectory}
        # an action has no topic; a dry run shows its goals as plain numbers
        kind = Float64 if command.is_action else kinds.get(command.type, Float64MultiArray)
        self._publisher = publisher(kind, command.topic)
        self._kind, self._joint, self._frame, self._period_s = kind, command.joint, frame, period_s
        self.counts = {"sent": 0}

    def send(self, value: float, stamp_ns: int) -> bool:
        self._publisher.publish(self._message(value, stamp_ns))
        self.counts["sent"] += 1
        return True

    def _message(self, value: float, stamp_ns: int) -> Any:
        if self._kind is Float64:
            return Float64(data=value)
        if self._kind is Float64MultiArray:
            return Float64MultiArray(data=[value])
        if self._kind is JointTrajectory:
            point = JointTrajectoryPoint()
            return messages.to_trajectory(JointTrajectory(), point, [self._joint], [value], self._period_s)
        # velocity and effort are filled because rosbag readers stumble over empty arrays
        joint = JointState(name=[self._joint], position=[value], velocity=[0.0], effort=[0.0])
        set_stamp(joint.header, stamp_ns, self._frame)
        return joint


# ------------------------------------------------------------------------------------------------------------- actions
def action_type(kind: str) -> Any:
    """The action of control_msgs for a gripper type. Raises MissingDependency, saying what to do, if it is not here."""
    name = "GripperCommand" if kind == ACTION else "ParallelGripperCommand"
    try:
        module = importlib.import_module("control_msgs.action")
    except ImportError as error:
        raise MissingDependency(
            f"the gripper type {kind} of the arm's profile needs the ROS package control_msgs, and `import "
            f"control_msgs` says: {error}. Install it from apt (ros-jazzy-control-msgs) and source ROS; the wheels of "
            "pixelarm[ros] do not have it. A dry run does without"
        ) from error
    if not hasattr(module, name):
        raise MissingDependency(
            f"the gripper type {kind} of the arm's profile needs control_msgs/action/{name}, and the control_msgs here "
            f"is older than that: update it, or use the type {ACTION} if the driver has it"
        )
    return getattr(module, name)


def make_goal(command: GripperCommand, action: Any, value: float) -> Any:
    """A goal of ``action`` for the driver's number."""
    goal = action.Goal()
    if command.type == ACTION:
        goal.command.position, goal.command.max_effort = float(value), float(command.max_effort or 0.0)
        return goal
    goal.command.name, goal.command.position = [command.joint], [float(value)]
    if command.max_effort is not None:  # an empty list is the driver's own
        goal.command.effort = [float(command.max_effort)]
    return goal


class ActionSink:
    """Goals of one action client. ``send`` is called from the loop's thread, the answers come in the executor's.

    Args:
        client: an ``rclpy.action.ActionClient``.
        say: is told each kind of trouble once, until ``renew``.
        on_rejected: called when the newest goal was rejected, so that it is tried again.
    """

    def __init__(
        self,
        command: GripperCommand,
        client: Any,
        action: Any,
        say: Say,
        on_rejected: Callable[[], None] = lambda: None,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._command, self._client, self._action = command, client, action
        self._say, self._on_rejected, self._steady = say, on_rejected, steady
        self._lock = threading.Lock()
        self._newest = 0  # number of the goal that was sent last
        self._running: int | None = None  # its number, while nobody has said what became of it
        self._handle: Any = None
        self._cancelled = False
        self._since_s = 0.0
        self._said: set[str] = set()
        self.counts = dict.fromkeys(("sent", "succeeded", "rejected", "aborted", "cancelled", "lost", "no_server"), 0)

    def send(self, value: float, stamp_ns: int) -> bool:
        if not self._client.server_is_ready():
            self._count("no_server", "has no server: is the gripper's driver running, and is this the name it uses?")
            return False
        with self._lock:
            if not self._command.preempt and self._occupied():
                return False
            self._newest += 1
            self._running, self._handle, self._cancelled = self._newest, None, False
            self._since_s, number = self._steady(), self._newest
        self.counts["sent"] += 1
        future = self._client.send_goal_async(make_goal(self._command, self._action, value))
        future.add_done_callback(lambda done: self._answered(number, value, done))
        return True

    def renew(self) -> None:
        """Say each kind of trouble once more."""
        self._said.clear()

    def _occupied(self) -> bool:
        """Whether a goal runs, which is then asked to end."""
        if self._running is None:
            return False
        if self._steady() - self._since_s > RESULT_S:
            self._count("lost", f"did not say within {RESULT_S:g} s what became of a goal; the next one is sent anyway")
            self._running = None
            return False
        if self._handle is not None and not self._cancelled:
            self._cancelled = True
            self._handle.cancel_goal_async()
        return True

    def _answered(self, number: int, value: float, future: Any) -> None:
        handle = future.result()
        if handle.accepted:
            with self._lock:
                if number == self._running:
                    self._handle = handle
            handle.get_result_async().add_done_callback(lambda done: self._ended(number, value, done))
            return
        self._count("rejected", f"rejected the goal {self._words(value)}; it is sent again")
        self._end(number)
        if number == self._newest:
            self._on_rejected()

    def _ended(self, number: int, value: float, future: Any) -> None:
        status = future.result().status
        self._end(number)
        if status == GoalStatus.STATUS_SUCCEEDED:
            self.counts["succeeded"] += 1
        elif status == GoalStatus.STATUS_CANCELED:
            self.counts["cancelled"] += 1
        else:
            hint = "an object between the fingers ends a goal like that in many drivers; it is not sent again"
            self._count("aborted", f"aborted the goal {self._words(value)}: {hint}")

    def _end(self, number: int) -> None:
        with self._lock:
            if number == self._running:
                self._running = self._handle = None

    def _words(self, value: float) -> str:
        return f"{value:g} {self._command.unit or ''}".strip()

    def _count(self, what: str, words: str) -> None:
        self.counts[what] += 1
        if what not in self._said:
            self._said.add(what)
            self._say(f"the gripper's action {self._command.topic} {words} (said once; the statistics have the number)")


def make(
    command: GripperCommand,
    publisher: Callable[[Any, str], Any],
    action_client: Callable[[Any, str], Any] | None,
    say: Say,
    frame: str,
    period_s: float,
    steady: Callable[[], float] = time.monotonic,
) -> GripperOutput:
    """What a profile's gripper command asks for.

    Args:
        publisher: makes one of a message type and a topic.
        action_client: makes one of an action type and a name; None in a dry run, which shows the values of an action on
            a topic of its name, as std_msgs/Float64.
    """
    changes = Changes(command, steady)
    if command.type == WITH_JOINTS:
        return GripperOutput(command, NoSink(), changes)
    if not command.is_action or action_client is None:
        return GripperOutput(command, TopicSink(command, publisher, frame, period_s), changes)
    action = action_type(command.type)
    sink = ActionSink(command, action_client(action, command.topic), action, say, changes.forget, steady)
    return GripperOutput(command, sink, changes, renew=sink.renew)
