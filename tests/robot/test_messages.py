"""ROS images and arguments without ROS: any object with the right fields will do."""

from __future__ import annotations

import io
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest

from robot.contract import Action, Camera, Contract, Proprio
from robot.errors import PixelarmError
from robot.images import Fit
from robot.profile.grippers import GripperCommand
from robot.ros import messages, runtime

PIXELS = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)


def image(pixels: np.ndarray, encoding: str, padding: int = 0) -> SimpleNamespace:
    height, width, size = pixels.shape
    rows = np.zeros((height, width * size + padding), np.uint8)
    rows[:, : width * size] = pixels.reshape(height, -1)
    return SimpleNamespace(height=height, width=width, step=rows.shape[1], encoding=encoding, data=rows.tobytes())


@pytest.mark.parametrize("padding", [0, 5])
def test_every_encoding_becomes_rgb(padding: int) -> None:
    alpha = np.dstack([PIXELS, np.full((2, 3), 255, np.uint8)])
    for message in (
        image(PIXELS, "rgb8", padding),
        image(PIXELS[..., ::-1], "bgr8", padding),
        image(alpha, "rgba8", padding),
        image(alpha[..., [2, 1, 0, 3]], "bgra8", padding),
    ):
        found = messages.from_image(message)
        np.testing.assert_array_equal(found, PIXELS)
        assert found.flags.c_contiguous


def test_an_image_survives_the_way_there_and_back() -> None:
    message = messages.to_image(SimpleNamespace(), PIXELS)
    assert isinstance(message.data, bytes)  # never an ndarray: rclpy would copy it element by element
    np.testing.assert_array_equal(messages.from_image(message), PIXELS)


@pytest.mark.parametrize("encoding", messages.ENCODINGS)
def test_a_fit_sees_the_whole_picture_and_colours_come_out_right(encoding: str) -> None:
    size, order = messages.ENCODINGS[encoding]
    sent = np.full((2, 3, size), 255, np.uint8)
    sent[..., list(order)] = PIXELS
    fit = Fit(crop=(1, 0, 2, 2), rotate=180)
    found = messages.from_image(image(sent, encoding, padding=5), lambda pixels: fit(pixels, 2, 2))
    np.testing.assert_array_equal(found, PIXELS[::-1, 1:][:, ::-1])
    assert found.flags.c_contiguous


def test_a_jpeg_comes_back_nearly_the_same() -> None:
    pytest.importorskip("PIL.Image")
    shades = np.stack([np.add.outer(np.arange(16), np.arange(24)) * f for f in (2, 3, 4)], axis=-1).astype(np.uint8)
    message = messages.to_compressed(SimpleNamespace(), shades)
    assert message.format == "jpeg" and isinstance(message.data, bytes)
    found = messages.from_compressed(message, lambda pixels: pixels[:, 2:])
    assert found.shape == (16, 22, 3)
    assert np.abs(found.astype(int) - shades[:, 2:]).max() <= 6


def test_unreadable_images_are_explained() -> None:
    with pytest.raises(PixelarmError, match="'yuv422' is not one of: rgb8"):
        messages.from_image(image(PIXELS, "yuv422"))
    short = image(PIXELS, "rgb8")
    short.data = short.data[:-1]
    with pytest.raises(PixelarmError, match="2x3 rgb8 with step 9 cannot have 17 bytes"):
        messages.from_image(short)


def test_compressed_images() -> None:
    image_module = pytest.importorskip("PIL.Image")
    buffer = io.BytesIO()
    image_module.fromarray(PIXELS).save(buffer, format="PNG")
    found = messages.from_compressed(SimpleNamespace(data=buffer.getvalue(), format="png"))
    np.testing.assert_array_equal(found, PIXELS)
    with pytest.raises(PixelarmError, match="cannot be decoded"):
        messages.from_compressed(SimpleNamespace(data=b"nonsense", format="jpeg"))


def test_stamps_are_exact() -> None:
    header = SimpleNamespace(stamp=SimpleNamespace(sec=0, nanosec=0), frame_id="")
    messages.set_stamp(header, 1_795_241_426_174_252_134, "base")
    assert (header.stamp.sec, header.stamp.nanosec, header.frame_id) == (1_795_241_426, 174_252_134, "base")
    assert messages.stamp_ns(header.stamp) == 1_795_241_426_174_252_134


# ------------------------------------------------------------------ poses and joints
def pose() -> SimpleNamespace:
    return SimpleNamespace(position=SimpleNamespace(), orientation=SimpleNamespace())


def test_a_pose_goes_there_and_back_with_one_of_two_quaternions() -> None:
    message = messages.to_pose(pose(), np.array([0.1, 0.2, 0.3]), np.array([0.0, 0.6, 0.0, -0.8]))
    assert (message.position.y, message.orientation.w) == (0.2, -0.8)
    position, xyzw = messages.from_pose(message)
    np.testing.assert_array_equal(position, [0.1, 0.2, 0.3])
    np.testing.assert_array_equal(xyzw, [0.0, -0.6, 0.0, 0.8])  # as a simulator reports the same orientation


def test_joints_are_taken_by_name() -> None:
    np.testing.assert_array_equal(messages.by_name(["b", "x", "a"], [2.0, 9.0, 1.0], ["a", "b"]), [1.0, 2.0])
    with pytest.raises(PixelarmError, match="no value for a, c"):
        messages.by_name(["b", "a"], [2.0], ["a", "b", "c"])  # fewer values than names, as drivers send efforts


def test_a_trajectory_is_one_point_a_period_ahead() -> None:
    point = SimpleNamespace(time_from_start=SimpleNamespace(sec=0, nanosec=0))
    message = messages.to_trajectory(SimpleNamespace(), point, ("a", "b"), np.array([0.1, 0.2]), 1.08)
    assert (message.joint_names, message.points[0].positions) == (["a", "b"], [0.1, 0.2])
    assert (point.time_from_start.sec, point.time_from_start.nanosec) == (1, 80_000_000)
    np.testing.assert_array_equal(messages.from_trajectory(message, ["b", "a"]), [0.2, 0.1])
    with pytest.raises(PixelarmError, match="no points"):
        messages.from_trajectory(SimpleNamespace(points=[]), ["a"])


def test_an_array_has_a_number_for_each_joint() -> None:
    np.testing.assert_array_equal(messages.from_multi_array(SimpleNamespace(data=[1.0, 2.0]), ["a", "b"]), [1.0, 2.0])
    with pytest.raises(PixelarmError, match="for 2 joints must have as many numbers, got 3"):
        messages.from_multi_array(SimpleNamespace(data=[1.0, 2.0, 3.0]), ["a", "b"])


def test_ros_arguments_are_told_apart() -> None:
    own, ros = runtime.split_ros_args(["--task", "lift", "--ros-args", "-r", "a:=b", "--", "--seed", "1"])
    assert own == ["--task", "lift", "--seed", "1"]
    assert ros == ["--ros-args", "-r", "a:=b", "--"]


def test_discovery_stays_on_this_machine_unless_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(runtime.RANGE)
    monkeypatch.delenv(runtime.OLD_RANGE, raising=False)
    runtime.settle_discovery()
    assert runtime.os.environ[runtime.RANGE] == "LOCALHOST"
    monkeypatch.setenv(runtime.RANGE, "OFF")
    runtime.settle_discovery()
    assert runtime.os.environ[runtime.RANGE] == "OFF"
    runtime.settle_discovery(network=True)
    assert runtime.os.environ[runtime.RANGE] == "SUBNET"


def contract() -> Contract:
    return Contract(
        task="lift",
        cameras=(Camera("front", 8, 8),),
        proprio=(Proprio("eef_pos", 3, "m", "base"),),
        action=Action("eef_delta_position", ("dx", "gripper"), ("m", "1"), (-0.04, -1), (0.04, 1)),
        rate_hz=10,
        deadline_ms=80,
        max_age_ms=100,
    )


def test_a_contract_goes_through_a_message() -> None:
    message = messages.to_contract(SimpleNamespace(data=""), contract())
    assert messages.from_contract(message) == contract()
    assert (
        message.data.startswith(f"hash: {contract().hash}\n") and "task: lift" in message.data
    )  # as `ros2 topic echo` shows it


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: "hello", "holds no contract"),
        (lambda text: "{", "holds no contract"),
        (lambda text: text.replace("task: lift", "task: reach"), "its message says .*another version"),
        (lambda text: text.replace("schema: 1", "schema: 9"), "contract schema 9 is not the supported 1"),
    ],
)
def test_a_message_that_holds_no_contract_is_refused_in_words(change: Callable[[str], str], words: str) -> None:
    text = messages.to_contract(SimpleNamespace(data=""), contract()).data
    with pytest.raises(PixelarmError, match=words):
        messages.from_contract(SimpleNamespace(data=change(text)))


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({}, "ROS_DOMAIN_ID 0, discovery range SUBNET"),
        ({"ROS_DOMAIN_ID": "7", "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}, "ROS_DOMAIN_ID 7, this machine only"),
        ({"ROS_LOCALHOST_ONLY": "1"}, "ROS_DOMAIN_ID 0, this machine only"),
    ],
)
def test_where_topics_are_heard_is_said(variables: dict[str, str], words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ROS_DOMAIN_ID", "ROS_AUTOMATIC_DISCOVERY_RANGE", "ROS_LOCALHOST_ONLY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert runtime.where() == words


def test_a_gripper_may_be_the_last_number_of_the_joints_command() -> None:
    """Open is 1.0 and closed 0.0: 0.25 is half-way between the middle and closed."""
    together = GripperCommand(topic="commands", type="with_joints", unit="fraction", open=1.0, closed=0.0)
    joints, gripper = messages.from_joint_command(SimpleNamespace(data=[0.1, 0.2, 0.25]), ["a", "b"], together)
    assert (joints.tolist(), gripper) == ([0.1, 0.2], 0.5)
    with pytest.raises(PixelarmError, match="3 joints must have as many numbers, got 2"):
        messages.from_joint_command(SimpleNamespace(data=[0.1, 0.2]), ["a", "b"], together)
    beside = GripperCommand(topic="gripper", open=1.0, closed=0.0)
    joints, gripper = messages.from_joint_command(SimpleNamespace(data=[0.1, 0.2]), ["a", "b"], beside)
    assert (joints.tolist(), gripper) == ([0.1, 0.2], None)
    trajectory = SimpleNamespace(joint_names=["b", "a"], points=[SimpleNamespace(positions=[2.0, 1.0])])
    joints, gripper = messages.from_joint_command(trajectory, ["a", "b"], beside)
    assert (joints.tolist(), gripper) == ([1.0, 2.0], None)
