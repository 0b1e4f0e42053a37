"""What a running robot offers: its topics, who speaks and hears there, and one message of each that matters."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

from robot.profile.draft import Found
from robot.ros import runtime
from robot.ros.runtime import message_type, qos

runtime.require_rclpy()

from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from rclpy.node import Node  # noqa: E402

HEARD = {  # type -> whether it is latched
    "sensor_msgs/msg/JointState": False,
    "geometry_msgs/msg/PoseStamped": False,
    "sensor_msgs/msg/Image": False,
    "sensor_msgs/msg/CompressedImage": False,
    "std_msgs/msg/String": True,  # robot_description
}
COMMANDS = (
    "trajectory_msgs/msg/JointTrajectory",
    "std_msgs/msg/Float64MultiArray",
    "geometry_msgs/msg/PoseStamped",
)


def look(node: Node, seconds: float) -> Found:
    """Listen for so long; nothing is published."""
    executor, found = SingleThreadedExecutor(), Found()
    executor.add_node(node)
    end = time.monotonic() + seconds
    known: set[str] = set()
    while time.monotonic() < end:
        for topic, types in node.get_topic_names_and_types():
            if topic in known or types[0] not in HEARD:
                continue
            if types[0].endswith("/String") and not topic.endswith("robot_description"):
                continue
            known.add(topic)
            latched = HEARD[types[0]]
            callback = partial(_hear, found, topic, types[0])
            node.create_subscription(message_type(types[0]), topic, callback, qos(5, latched, latched))
        executor.spin_once(timeout_sec=0.05)
    for topic, types in node.get_topic_names_and_types():
        listeners = [info for info in node.get_subscriptions_info_by_topic(topic) if info.node_name != node.get_name()]
        if types[0] in COMMANDS and listeners:
            found.heard_by[topic] = types[0]
    executor.remove_node(node)
    return found


def _hear(found: Found, topic: str, kind: str, message: Any) -> None:
    if kind.endswith("/JointState"):
        found.joints.setdefault(topic, list(message.name))
    elif kind.endswith("/PoseStamped"):
        found.poses.setdefault(topic, message.header.frame_id)
    elif kind.endswith("/Image"):
        found.cameras.setdefault(topic, ("image", (message.width, message.height)))
    elif kind.endswith("/CompressedImage"):
        found.cameras.setdefault(topic, ("compressed", None))
    else:
        found.urdf = found.urdf or message.data
