"""What a node waits for before anything moves: said in its first line, and again, with a hint, while it is missing."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from robot.contract import Contract
from robot.profile import ArmProfile
from robot.ros import runtime

FIRST_S = 3.0  # of waiting, before anything is said; then after twice as long each time
IMAGES = {"image": "sensor_msgs/msg/Image", "compressed": "sensor_msgs/msg/CompressedImage"}


@dataclass(frozen=True)
class Stream:
    """Something that must be heard."""

    what: str  # in words: "camera agentview"
    topic: str  # as the profile has it
    type: str = ""  # of its messages, package/msg/Name; empty: not compared
    fields: tuple[str, ...] = ()  # of the contract's observation, that it carries
    reliable: bool = False  # a publisher that is not would not be heard
    latched: bool = False
    key: str = ""  # of the profile


def policy_streams(arm: ArmProfile, contract: Contract, enable: bool) -> list[Stream]:
    """What a policy of ``contract`` waits for, on an arm that can feed it."""
    found = []
    for camera in contract.cameras:
        source = arm.cameras[camera.name]
        words, key = f"camera {camera.name}", f"cameras.{camera.name}"
        kind, reliable = IMAGES.get(source.type, ""), source.qos == "reliable"
        found.append(Stream(words, source.topic, kind, (camera.name,), reliable, key=key))
    wanted = [p.name for p in contract.proprio]
    pose: tuple[str, ...] = ("eef_pos", "eef_quat")
    joints: tuple[str, ...] = ("joint_pos", "joint_vel")
    if arm.eef_pose is None:
        pose, joints = (), (*pose, *joints)
    for key, fields, kind in (
        ("eef_pose", pose, "geometry_msgs/msg/PoseStamped"),
        ("gripper_state", ("gripper_opening",), "sensor_msgs/msg/JointState"),
        ("joint_state", joints, "sensor_msgs/msg/JointState"),
    ):
        carried, source = tuple(name for name in wanted if name in fields), getattr(arm, key)
        if carried and source is not None:
            found.append(Stream(", ".join(carried), source.topic, kind, carried, key=key))
    for name in wanted:
        if name in arm.states:
            kind = "sensor_msgs/msg/JointState"
            found.append(Stream(name, arm.states[name].topic, kind, (name,), key=f"states.{name}"))
    if arm.contract:
        kind = "std_msgs/msg/String"
        found.append(Stream("contract of the arm", arm.contract.topic, kind, (), True, True, key="contract"))
    if enable:
        found.append(Stream("enable button", arm.enable.topic, "sensor_msgs/msg/Joy", key="enable"))
    return found


def listed(streams: Iterable[Stream], resolve: Callable[[str], str]) -> str:
    """``camera agentview on /agentview/image_raw, ...``"""
    return ", ".join(f"{stream.what} on {resolve(stream.topic)}" for stream in streams)


class Waiting:
    """Says which streams are still missing, and what may be the matter, to somebody who calls ``check`` each second.

    Args:
        node: an rclpy node, for what it knows of other publishers.
        missing: names of ``streams`` (their ``what``) that were not heard yet.
        say: takes one line.
    """

    def __init__(
        self,
        node: Any,
        streams: Sequence[Stream],
        missing: Callable[[], Collection[str]],
        say: Callable[[str], Any],
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._node, self.streams, self._missing = node, streams, missing
        self._say, self._steady = say, steady
        self.begin()

    def begin(self) -> None:
        """Waiting starts now."""
        self._start_s, self._next_s = self._steady(), FIRST_S

    def check(self) -> None:
        waited_s = self._steady() - self._start_s
        if waited_s < self._next_s:
            return
        missing = self._missing()
        hints: dict[str, list[Stream]] = {}
        for stream in self.streams:
            if stream.what in missing:
                hints.setdefault(self._hint(stream), []).append(stream)
        for hint, streams in hints.items():  # most often they have one reason
            what = listed(streams, self._node.resolve_topic_name)
            self._say(f"still waiting after {waited_s:.0f} s for {what}: {hint}")
        self._next_s = 2.0 * max(self._next_s, waited_s)

    def _hint(self, stream: Stream) -> str:
        topic = self._node.resolve_topic_name(stream.topic)
        publishers = self._publishers(topic)
        if not publishers:
            others = [name for name in self._foreign(topic, stream.type) if self._publishers(name)]
            return nobody(stream, others, f"{runtime.where()}, namespace {self._node.get_namespace()}")
        return unheard(stream, publishers)

    def _publishers(self, topic: str) -> Sequence[Any]:
        return self._node.get_publishers_info_by_topic(topic)

    def _foreign(self, topic: str, kind: str) -> list[str]:
        """Topics that ``topic`` may be mistaken for; another stream of this node's own is none."""
        own = {self._node.resolve_topic_name(stream.topic) for stream in self.streams}
        known = [found for found in self._node.get_topic_names_and_types() if found[0] not in own]
        return elsewhere(topic, kind, known)


def elsewhere(topic: str, kind: str, known: Iterable[tuple[str, Sequence[str]]]) -> list[str]:
    """Topics whose name ends, or begins, like ``topic``'s and which carry the same type: those it is mistaken for."""
    last = topic.rsplit("/", 1)[-1]
    same = [name for name, types in known if name != topic and (not kind or kind in types)]
    near = [name for name in same if name.endswith(topic) or topic.endswith(name)]
    return sorted(near or [name for name in same if name.rsplit("/", 1)[-1] == last])


def nobody(stream: Stream, others: Sequence[str], where: str) -> str:
    """A hint for a topic without a publisher."""
    if others:
        return (
            f"nobody publishes there, but there is {', '.join(others[:3])}: start both sides in one namespace, or "
            f"change {stream.key}.topic in the profile"
        )
    return (
        f"nobody publishes there ({where}): is the driver running, with the same ROS_DOMAIN_ID, discovery range and "
        "namespace?"
    )


def unheard(stream: Stream, publishers: Sequence[Any]) -> str:
    """A hint for a topic that has publishers (``rclpy.topic_endpoint_info.TopicEndpointInfo``) and is silent."""
    first = publishers[0]
    name = f"{first.node_namespace.rstrip('/')}/{first.node_name}"
    if stream.type and first.topic_type != stream.type:
        return f"{name} publishes {first.topic_type} there, and the profile wants {stream.type}: change {stream.key}"
    if stream.reliable and first.qos_profile.reliability.name == "BEST_EFFORT":
        return f"{name} publishes with the QoS best effort, which reliable does not hear: set {stream.key}.qos"
    if stream.latched and first.qos_profile.durability.name == "VOLATILE":
        return f"{name} publishes without the QoS transient local (latched), so that a message from before is not heard"
    return f"{name} publishes there, but nothing has come: is it paused, or are its messages lost on the way?"
