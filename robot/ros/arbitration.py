"""What goes between the arbiter and those who want to command: topics and messages, the same for every robot.

Relative to the arbiter's own name, for SOURCE ``policy`` or ``teleop``:

- ``SOURCE/pose`` (geometry_msgs/PoseStamped, base frame; a quaternion of zeros keeps the orientation) or
  ``SOURCE/joints`` (sensor_msgs/JointState with a position, or a velocity, for each joint), whose stamp is that of the
  observation it answers, and zero now;
- ``SOURCE/gripper`` (sensor_msgs/JointState, one position: -1 opens, +1 closes);
- ``SOURCE/holds`` (std_msgs/String): it wants the arm held, and why; in place of a target;
- ``policy/ready`` (std_msgs/String): without command, why it could not command now; empty: it could;
- ``teleop/held`` (std_msgs/Bool): the deadman of the operator's device, at 20 Hz or more;
- ``status`` (std_msgs/String, JSON): ``Arbiter.status``, at each change and at 10 Hz.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from robot import rotations
from robot.actions import JOINT_VELOCITY, POSE, Target
from robot.control.loop import Command, ControlLoop
from robot.errors import PixelarmError
from robot.profile import ArmProfile
from robot.ros import messages, runtime
from robot.ros.messages import set_stamp, stamp_ns

runtime.require_rclpy()

from geometry_msgs.msg import PoseStamped  # noqa: E402
from sensor_msgs.msg import JointState  # noqa: E402
from std_msgs.msg import String  # noqa: E402

NODE = "arbiter"
STATUS_HZ = 10.0
STATUS_LOST_S = 0.5  # without a status for so long, the arbiter is dead to those who want to command
GRIPPER = "gripper"


class ToArbiter:
    """Sends the commands of one source to the arbiter, as ``robot.ros.outputs.Outputs`` sends them to a driver."""

    def __init__(
        self, publisher: Callable[[Any, str], Any], arm: ArmProfile, kind: str, source: str = "policy"
    ) -> None:
        """``publisher(message type, topic)`` makes one; ``kind`` of target is one of ``robot.actions.TARGETS``."""
        self._arm, self._kind = arm, kind
        topic = f"{NODE}/{source}"
        self._target = publisher(*((PoseStamped, f"{topic}/pose") if kind == POSE else (JointState, f"{topic}/joints")))
        self._gripper, self._holds = publisher(JointState, f"{topic}/{GRIPPER}"), publisher(String, f"{topic}/holds")
        self.gripper = self
        self._sent = 0

    def hold(self, words: str) -> None:
        """The arm is to be held: the arbiter knows best how, since it sees the arm at the driver's rate."""
        self._holds.publish(String(data=words))

    def publish(self, command: Command, hold: bool = False) -> None:
        target, stamp = command.target, command.obs_stamp_ns
        gripper = JointState(name=[GRIPPER], position=[float(target.gripper)])
        set_stamp(gripper.header, stamp)
        self._gripper.publish(gripper)  # first: a target is complete when its motion comes
        self._target.publish(self._pose(target, stamp) if self._kind == POSE else self._joints(target, stamp))
        self._sent += 1

    def _pose(self, target: Target, stamp: int) -> Any:
        assert target.position is not None
        message, kept = PoseStamped(), np.zeros(4)
        set_stamp(message.header, stamp, self._arm.base_frame)
        xyzw = kept if target.rotation is None else rotations.to_quaternion(target.rotation)
        messages.to_pose(message.pose, target.position, xyzw)
        return message

    def _joints(self, target: Target, stamp: int) -> Any:
        message = JointState(name=list(self._arm.joint_names))
        set_stamp(message.header, stamp)
        if self._kind == JOINT_VELOCITY:
            assert target.joint_velocities is not None
            message.velocity = target.joint_velocities.tolist()
        else:
            assert target.joint_positions is not None
            message.position = target.joint_positions.tolist()
        return message

    # the rest of what ``Outputs`` and its gripper offer: the arbiter does it
    def measured(self, xyzw: np.ndarray) -> None: ...

    def let_go(self) -> None: ...

    def counts(self) -> dict[str, int]:
        return {"sent": self._sent}


class InCommand:
    """Whether a policy's loop has command: without it the loop is held, and the arbiter hears whether it could command.

    ``check`` is called ten times a second; ``status_topic`` is for messages.
    """

    def __init__(self, loop: ControlLoop, ready: Any, status_topic: str, steady: Callable[[], float] = time.monotonic):
        self._loop, self._ready, self._topic, self._steady = loop, ready, status_topic, steady
        self._heard_s = -STATUS_LOST_S
        self.check()

    def on_status(self, message: Any) -> None:
        """A policy that has no command plans nothing, and begins where the arm is once it is given."""
        status = json.loads(message.data)
        self._heard_s, mode = self._steady(), status["mode"]
        words = "" if mode == "policy" else f"the arbiter's mode is {mode}: {status['words']}"
        self._loop.bars.put("not_in_command", words)

    def check(self) -> None:
        if self._steady() - self._heard_s >= STATUS_LOST_S:
            words = f"the arbiter is not heard on {self._topic}: is it running?"
            self._loop.bars.put("not_in_command", words)
        trouble = self._loop.bars.but("not_in_command") or self._loop.mailbox.trouble
        latched = f"latched ({self._loop.rule}): clear its hold" if self._loop.state == "latched" else ""
        self._ready.publish(String(data=latched or ("" if trouble is None else trouble.words)))


def read_pose(message: Any, frame: str) -> tuple[dict[str, np.ndarray], int]:
    """The fields of a target, and the stamp, of a ``SOURCE/pose``; raises PixelarmError for what is none."""
    if message.header.frame_id != frame:
        raise PixelarmError(f"targets must be in frame {frame!r}, got {message.header.frame_id!r}")
    turn = message.pose.orientation
    length = float(np.linalg.norm([turn.x, turn.y, turn.z, turn.w]))
    point = message.pose.position
    motion = {"position": np.array([point.x, point.y, point.z])}
    if abs(length - 1.0) < 0.01:
        motion["rotation"] = rotations.from_quaternion(np.array([turn.x, turn.y, turn.z, turn.w]) / length)
    elif length > 0.0:
        raise PixelarmError(f"the orientation must be a unit quaternion, or zeros to keep it; its length is {length:g}")
    return motion, stamp_ns(message.header.stamp)


def read_joints(message: Any, names: Sequence[str], kind: str) -> tuple[dict[str, np.ndarray], int]:
    """As ``read_pose``, of a ``SOURCE/joints``, by the joints' names."""
    velocities = kind == JOINT_VELOCITY
    values = messages.by_name(message.name, message.velocity if velocities else message.position, names)
    return {"joint_velocities" if velocities else "joint_positions": values}, stamp_ns(message.header.stamp)
