"""A look at a robot before anything moves: what its driver says, against the profile. It only listens."""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from robot.actions import JOINT_POSITION, POSE
from robot.errors import MissingDependency, PixelarmError
from robot.profile import ArmProfile
from robot.profile.grippers import WITH_JOINTS
from robot.ros import messages, runtime
from robot.ros.arbitration import NODE
from robot.ros.runtime import message_type, qos

runtime.require_rclpy()

from geometry_msgs.msg import PoseStamped  # noqa: E402
from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from rclpy.node import Node  # noqa: E402
from sensor_msgs.msg import CompressedImage, Image, JointState  # noqa: E402
from std_msgs.msg import Float64MultiArray  # noqa: E402
from trajectory_msgs.msg import JointTrajectory  # noqa: E402

OK, NOTE, WRONG = "ok", "note", "wrong"
SLOW_HZ = 9.0
NEAR_M, NEAR_RAD = 0.02, 0.05  # a target that is nearer to what is measured moves nothing


@dataclass(frozen=True)
class Finding:
    """One line: what was looked at, ok, note or wrong, what was found, and what to do."""

    what: str
    state: str
    found: str
    todo: str = ""


class ArmCheck:
    """Listens to the topics of a profile. ``listen``, then ``findings``."""

    def __init__(self, node: Node, profile: ArmProfile) -> None:
        self.node, self.profile = node, profile
        self._heard: dict[str, list[float]] = defaultdict(list)
        self._last: dict[str, Any] = {}
        self._broken: list[Finding] = []
        for name, camera in profile.cameras.items():
            self._subscribe(f"camera {name}", Image if camera.type == "image" else CompressedImage, camera.topic)
        for what, topic, kind in (
            ("joint states", profile.joint_state, JointState),
            ("pose", profile.eef_pose, PoseStamped),
            ("gripper", profile.gripper_state, JointState),
        ):
            if topic is not None:
                self._subscribe(what, kind, topic.topic)
        for told, output in profile.outputs.items():
            trajectory = getattr(output, "type", "") == "joint_trajectory"
            kind = PoseStamped if told == POSE else JointTrajectory if trajectory else Float64MultiArray
            self._subscribe(f"targets {told}", kind, output.topic)
        for ready in profile.arbiter.ready:
            try:
                self._subscribe(f"ready {ready.topic}", message_type(ready.type), ready.topic, ready.latched)
            except MissingDependency as error:
                self._broken.append(Finding(f"ready {ready.topic}", WRONG, str(error)))

    def _subscribe(self, what: str, kind: Any, topic: str, latched: bool = False) -> None:
        self.node.create_subscription(kind, topic, partial(self._on, what), qos(10, latched, latched))

    def _on(self, what: str, message: Any) -> None:
        self._heard[what].append(time.monotonic())
        self._last[what] = message

    def listen(self, seconds: float) -> None:
        executor, end = SingleThreadedExecutor(), time.monotonic() + seconds
        executor.add_node(self.node)
        while time.monotonic() < end:
            executor.spin_once(timeout_sec=0.05)
        executor.remove_node(self.node)
        self._seconds = seconds

    # ---------------------------------------------------------------------------------------------------- findings
    def findings(self) -> list[Finding]:
        profile = self.profile
        found = [*self._broken]
        found += [self._stream(f"camera {name}", camera.topic) for name, camera in profile.cameras.items()]
        if profile.joint_state:
            found += [self._stream("joint states", profile.joint_state.topic), *self._names("joint states")]
        if profile.eef_pose:
            found += [self._stream("pose", profile.eef_pose.topic), *self._frame()]
        found += [self._stream("gripper", profile.gripper_state.topic), *self._names("gripper")]
        for told, output in profile.outputs.items():
            found += [self._publishers(told, output.topic), *self._target(told)]
        found += [self._ready(i) for i in range(len(profile.arbiter.ready))]
        state = OK if profile.verified else NOTE
        words = "ran on this very arm" if profile.verified else "nobody has run this profile on its arm"
        todo = "" if profile.verified else "work through the first motion in docs/how-to/deploy.md"
        return [*found, Finding("profile", state, words, todo)]

    def _stream(self, what: str, topic: str) -> Finding:
        times = self._heard[what]
        if len(times) < 2:
            resolved = self.node.resolve_topic_name(topic)
            talkers = self.node.get_publishers_info_by_topic(resolved)
            names = ", ".join(f"{t.node_name} ({t.topic_type})" for t in talkers)
            why = f"published by {names}, not heard: another type or QoS?" if names else "nobody publishes there"
            return Finding(what, WRONG, f"{resolved} is silent", f"{why}; start the driver, or change the profile")
        rate = (len(times) - 1) / (times[-1] - times[0])
        slow = rate < SLOW_HZ
        todo = "a policy at 10 Hz will find it too old: raise the driver's rate" if slow else ""
        return Finding(what, NOTE if slow else OK, f"{rate:.1f} Hz on {self.node.resolve_topic_name(topic)}", todo)

    def _names(self, what: str) -> list[Finding]:
        wanted = self.profile.joint_names if what == "joint states" else self.profile.gripper_state.joints
        message = self._last.get(what)
        if message is None:
            return []
        missing = [name for name in wanted if name not in message.name]
        if missing:
            words = f"{', '.join(missing)} is not among {', '.join(message.name)}"
            return [Finding(f"{what}: names", WRONG, words, "correct joint_names (or gripper_state.joints)")]
        return [Finding(f"{what}: names", OK, ", ".join(wanted))]

    def _frame(self) -> list[Finding]:
        message = self._last.get("pose")
        if message is None:
            return []
        frame, wanted = message.header.frame_id, self.profile.base_frame
        good = frame == wanted
        return [Finding("pose: frame", OK if good else WRONG, frame, "" if good else f"base_frame says {wanted}")]

    def _publishers(self, told: str, topic: str) -> Finding:
        resolved = self.node.resolve_topic_name(topic)
        others = [info.node_name for info in self.node.get_publishers_info_by_topic(resolved)]
        arbiters = others.count(NODE)
        strangers = [name for name in others if name != NODE] + ["a second arbiter"] * (arbiters > 1)
        what = f"who commands {told}"
        if strangers:
            return Finding(what, WRONG, f"{', '.join(strangers)} on {resolved}", "end it: only the arbiter may")
        if not self.node.get_subscriptions_info_by_topic(resolved)[1:]:  # the first is our own
            return Finding(what, NOTE, f"nobody hears {resolved}", "is the driver's controller active?")
        return Finding(what, OK, f"{'the arbiter' if others else 'nobody'} on {resolved}")

    def _target(self, told: str) -> list[Finding]:
        """Whether what is commanded now is where the arm is."""
        message = self._last.get(f"targets {told}")
        if message is None:
            return []
        what = f"target {told}"
        if told == POSE and "pose" in self._last:
            there, here = (messages.from_pose(m.pose)[0] for m in (message, self._last["pose"]))
            return [_gap(what, float(np.linalg.norm(there - here)), NEAR_M, "m")]
        if told == JOINT_POSITION and "joint states" in self._last:
            names, state = self.profile.joint_names, self._last["joint states"]
            read = messages.from_trajectory if isinstance(message, JointTrajectory) else messages.from_multi_array
            try:
                measured = messages.by_name(state.name, state.position, names)
                more = (self.profile.gripper_command.joint,) if self.profile.gripper_command.type == WITH_JOINTS else ()
                commanded = read(message, (*names, *more))[: len(names)]
                return [_gap(what, float(np.abs(commanded - measured).max()), NEAR_RAD, "rad")]
            except PixelarmError as error:
                return [Finding(what, WRONG, str(error))]
        return []

    def _ready(self, index: int) -> Finding:
        ready = self.profile.arbiter.ready[index]
        message, what = self._last.get(f"ready {ready.topic}"), f"ready {ready.topic}"
        if message is None:
            return Finding(what, WRONG, "not heard", "is the driver running?")
        try:
            value = ready.read(message)
        except PixelarmError as error:
            return Finding(what, WRONG, str(error), "correct arbiter.ready of the profile")
        good = value in ready.values
        todo = "" if good else f"it follows commands at {', '.join(map(str, ready.values))}"
        return Finding(what, OK if good else WRONG, str(value), todo)


def _gap(what: str, gap: float, near: float, unit: str) -> Finding:
    todo = "" if gap < near else "do not enable: it would jump; clear the arbiter first"
    return Finding(what, WRONG if todo else OK, f"{gap:.3f} {unit} from the arm", todo)
