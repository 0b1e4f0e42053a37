"""What a node says while it waits: which streams are missing, what may be the matter, and not too often."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from robot import profile
from robot.contract import Action, Camera, Contract, Proprio
from robot.profile import ArmProfile
from robot.ros import waiting
from robot.ros.waiting import Stream, Waiting

CONTRACT = Contract(
    task="lift",
    cameras=(Camera("agentview", 8, 8), Camera("eye_in_hand", 8, 8)),
    proprio=(Proprio("eef_pos", 3, "m", "base"), Proprio("gripper_opening", 1, "m", "gripper")),
    action=Action("eef_delta_position", tuple("xyzg"), ("m", "m", "m", "1"), (-1.0,) * 4, (1.0,) * 4),
    rate_hz=10,
    deadline_ms=80,
    max_age_ms=100,
)
CAMERA = Stream("camera front", "front/image_raw", "sensor_msgs/msg/Image", ("front",), key="cameras.front")
POSE = Stream("eef_pos", "current_pose", "geometry_msgs/msg/PoseStamped", ("eef_pos",), key="eef_pose")


def publisher(kind: str = "sensor_msgs/msg/Image", reliability: str = "RELIABLE", durability: str = "VOLATILE") -> Any:
    """What rclpy knows of one."""
    qos = SimpleNamespace(reliability=SimpleNamespace(name=reliability), durability=SimpleNamespace(name=durability))
    return SimpleNamespace(node_namespace="/left", node_name="driver", topic_type=kind, qos_profile=qos)


class Waited:
    """A node in the namespace /arm, a clock, and what was said."""

    def __init__(self, *streams: Stream, publishers: list[Any] | None = None, topics: list[Any] | None = None) -> None:
        self.now_s, self.said = 50.0, []
        self.missing = {stream.what for stream in streams}
        self.asked: list[str] = []
        self.publishers = publishers or []
        self.elsewhere: dict[str, list[Any]] = {}
        node = SimpleNamespace(
            resolve_topic_name=lambda name: f"/arm/{name}",
            get_namespace=lambda: "/arm",
            get_publishers_info_by_topic=self._publishers,
            get_topic_names_and_types=lambda: topics or [],
        )
        said: list[str] = self.said
        self.waiting = Waiting(node, streams, lambda: self.missing, said.append, lambda: self.now_s)

    def _publishers(self, topic: str) -> list[Any]:
        self.asked.append(topic)
        return self.elsewhere.get(topic, []) if self.elsewhere else self.publishers

    def after(self, seconds: float) -> list[str]:
        """What is said in one look, so long after the start."""
        self.now_s = 50.0 + seconds
        self.said.clear()
        self.waiting.check()
        return list(self.said)


def test_it_is_said_after_three_seconds_and_then_after_twice_as_long() -> None:
    waited = Waited(CAMERA)
    spoken = [seconds for seconds in range(40) if waited.after(seconds)]
    assert spoken == [3, 6, 12, 24]


def test_a_stream_that_came_is_not_mentioned_and_silence_follows_the_last() -> None:
    waited = Waited(CAMERA, POSE)
    waited.missing = {"eef_pos"}
    (said,) = waited.after(3)
    assert said.startswith("still waiting after 3 s for eef_pos on /arm/current_pose: nobody publishes there")
    assert waited.asked == ["/arm/current_pose"]
    waited.missing = set()
    assert waited.after(6) == []


def test_streams_with_one_reason_share_a_line() -> None:
    (said,) = Waited(CAMERA, POSE).after(3)
    assert "for camera front on /arm/front/image_raw, eef_pos on /arm/current_pose: nobody publishes there" in said
    assert "namespace /arm): is the driver running, with the same ROS_DOMAIN_ID" in said


def test_a_topic_that_is_mistaken_for_another_is_named() -> None:
    topics = [
        ("/front/image_raw", ["sensor_msgs/msg/Image"]),
        ("/rear/image_raw", ["sensor_msgs/msg/Image"]),  # ends alike, but another is nearer
        ("/x/arm/front/image_raw", ["sensor_msgs/msg/CompressedImage"]),  # of another type
    ]
    waited = Waited(CAMERA, topics=topics)
    waited.elsewhere = {name: [publisher()] for name, _ in topics}
    (said,) = waited.after(3)
    assert "there is /front/image_raw: start both sides in one namespace, or change cameras.front.topic" in said
    waited = Waited(CAMERA, topics=topics[1:])
    waited.elsewhere = {name: [publisher()] for name, _ in topics}
    (said,) = waited.after(3)
    assert "there is /rear/image_raw: start" in said


def test_topics_that_nobody_publishes_and_own_streams_are_not_named() -> None:
    """A topic that somebody only hears is known to ROS too: this node's own subscriptions are."""
    rear = Stream("camera rear", "rear/image_raw", "sensor_msgs/msg/Image", ("rear",), key="cameras.rear")
    topics = [(name, ["sensor_msgs/msg/Image"]) for name in ("/arm/rear/image_raw", "/front/image_raw")]
    waited = Waited(CAMERA, rear, topics=topics)
    waited.missing = {"camera front"}
    waited.elsewhere = {"/arm/rear/image_raw": [publisher()]}
    (said,) = waited.after(3)
    assert "nobody publishes there (ROS_DOMAIN_ID" in said


@pytest.mark.parametrize(
    ("stream", "found", "words"),
    [
        (POSE, publisher(), "/left/driver publishes sensor_msgs/msg/Image there, and the profile wants geometry_msgs"),
        (
            Stream("camera front", "a", "sensor_msgs/msg/Image", reliable=True, key="cameras.front"),
            publisher(reliability="BEST_EFFORT"),
            "best effort, which reliable does not hear: set cameras.front.qos",
        ),
        (Stream("contract of the arm", "a", latched=True), publisher(), "without the QoS transient local"),
        (CAMERA, publisher(reliability="BEST_EFFORT"), "publishes there, but nothing has come"),
    ],
)
def test_a_publisher_that_is_not_heard_is_explained(stream: Stream, found: Any, words: str) -> None:
    (said,) = Waited(stream, publishers=[found]).after(3)
    assert words in said


def test_a_policy_waits_for_what_its_contract_and_its_profile_name() -> None:
    folder = profile.shipped()
    assert folder is not None
    arm = ArmProfile.load(folder / "sim_panda.yaml")
    streams = waiting.policy_streams(arm, CONTRACT, enable=True)
    assert waiting.listed(streams, lambda topic: f"/{topic}") == (
        "camera agentview on /agentview/image_raw, camera eye_in_hand on /eye_in_hand/image_raw, eef_pos on "
        "/current_pose, gripper_opening on /joint_states, contract of the arm on /sim_arm/contract, enable button on "
        "/joy"
    )
    assert [s.fields for s in streams] == [("agentview",), ("eye_in_hand",), ("eef_pos",), ("gripper_opening",), (), ()]
    assert "enable button" not in [s.what for s in waiting.policy_streams(arm, CONTRACT, enable=False)]
