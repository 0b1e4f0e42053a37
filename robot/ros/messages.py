"""ROS messages to plain values and back: images without element-wise copies, stamps as integer nanoseconds, joints by
name.

Nothing here imports rclpy: functions take messages, or an empty message to fill.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import yaml

from robot import rotations
from robot.contract import Contract
from robot.errors import MissingDependency, PixelarmError
from robot.profile.grippers import WITH_JOINTS, GripperCommand

# encoding -> (bytes per pixel, which of them are red, green, blue)
ENCODINGS: dict[str, tuple[int, tuple[int, int, int]]] = {
    "rgb8": (3, (0, 1, 2)),
    "bgr8": (3, (2, 1, 0)),
    "rgba8": (4, (0, 1, 2)),
    "bgra8": (4, (2, 1, 0)),
}
JPEG_QUALITY = 95  # of 100, the default of ROS's image_transport
PictureFit = Callable[[np.ndarray], np.ndarray]  # (H, W, C) uint8 to what is left of it: see robot.images


def unchanged(pixels: np.ndarray) -> np.ndarray:
    return pixels


def from_image(message: Any, fit: PictureFit = unchanged) -> np.ndarray:
    """RGB of a raw image, honouring ``step`` and ``encoding``; raises PixelarmError for what it cannot read.

    ``fit`` is done before colours are put in order, because less is left then.
    """
    if message.encoding not in ENCODINGS:
        raise PixelarmError(f"image encoding {message.encoding!r} is not one of: {', '.join(ENCODINGS)}")
    size, order = ENCODINGS[message.encoding]
    height, width, step = message.height, message.width, message.step
    data = np.frombuffer(message.data, np.uint8)
    if step < width * size or data.size != height * step:
        got = f"{height}x{width} {message.encoding} with step {step}"
        raise PixelarmError(f"an image of {got} cannot have {data.size} bytes")
    pixels = fit(data.reshape(height, step)[:, : width * size].reshape(height, width, size))
    return np.ascontiguousarray(pixels if order == (0, 1, 2) and size == 3 else pixels[..., order])


def from_compressed(message: Any, fit: PictureFit = unchanged) -> np.ndarray:
    """RGB of a JPEG or PNG, after ``fit``."""
    try:
        import io

        from PIL import Image
    except ImportError as error:
        raise MissingDependency("compressed images need Pillow: pip install pillow") from error
    try:
        with Image.open(io.BytesIO(bytes(message.data))) as image:
            pixels = np.asarray(image.convert("RGB"))
    except (OSError, ValueError) as error:
        raise PixelarmError(f"a compressed image ({message.format!r}) cannot be decoded: {error}") from error
    return fit(pixels)


def to_image(message: Any, pixels: np.ndarray) -> Any:
    """Fill an empty ``sensor_msgs/Image`` with ``(H, W, 3)`` uint8 RGB; as bytes, since an ndarray takes 50 ms."""
    message.height, message.width = pixels.shape[:2]
    message.encoding, message.is_bigendian, message.step = "rgb8", 0, 3 * pixels.shape[1]
    message.data = np.ascontiguousarray(pixels).tobytes()
    return message


def to_compressed(message: Any, pixels: np.ndarray) -> Any:
    """Fill an empty ``sensor_msgs/CompressedImage`` with ``(H, W, 3)`` uint8 RGB as a JPEG."""
    import io

    try:
        from PIL import Image
    except ImportError as error:
        raise MissingDependency("compressed images need Pillow: pip install pillow") from error
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=JPEG_QUALITY)
    message.format, message.data = "jpeg", file.getvalue()
    return message


def to_contract(message: Any, contract: Contract) -> Any:
    """Fill an empty ``std_msgs/String`` with a contract and its hash, as YAML."""
    message.data = yaml.safe_dump({"hash": contract.hash, "contract": contract.to_dict()}, sort_keys=False)
    return message


def from_contract(message: Any) -> Contract:
    """The contract of a ``std_msgs/String``; raises PixelarmError for what is none, or not what its hash says."""
    try:
        data = yaml.safe_load(message.data)
        contract = Contract.from_dict(data["contract"])
        found = str(data["hash"])
    except (yaml.YAMLError, KeyError, TypeError) as error:
        raise PixelarmError(f"the arm's message holds no contract: {type(error).__name__}: {error}") from error
    if contract.hash != found:
        raise PixelarmError(
            f"the arm's contract has the hash {contract.hash}, its message says {found}: is the arm of another version?"
        )
    return contract


# -------------------------------------------------------------------------------------------------- poses and joints
def from_pose(pose: Any) -> tuple[np.ndarray, np.ndarray]:
    """Position ``(3,)`` and canonical quaternion ``(4,)`` xyzw of a ``geometry_msgs/Pose``."""
    point, turn = pose.position, pose.orientation
    return np.array([point.x, point.y, point.z]), rotations.canonical(np.array([turn.x, turn.y, turn.z, turn.w]))


def to_pose(pose: Any, position: np.ndarray, xyzw: np.ndarray) -> Any:
    """Fill a ``geometry_msgs/Pose``."""
    point, turn = pose.position, pose.orientation
    point.x, point.y, point.z = (float(v) for v in position)
    turn.x, turn.y, turn.z, turn.w = (float(v) for v in xyzw)
    return pose


def by_name(names: Sequence[str], values: Sequence[float], wanted: Sequence[str]) -> np.ndarray:
    """The values of ``wanted`` names, in their order; raises PixelarmError for those without one."""
    found = dict(zip(names, values))  # a driver may leave efforts, or velocities, out
    if missing := [name for name in wanted if name not in found]:
        raise PixelarmError(f"no value for {', '.join(missing)}")
    return np.array([found[name] for name in wanted])


def to_trajectory(
    message: Any, point: Any, names: Sequence[str], positions: Sequence[float] | np.ndarray, after_s: float
) -> Any:
    """Fill a ``trajectory_msgs/JointTrajectory`` with one ``JointTrajectoryPoint``, to be reached ``after_s`` from its
    arrival on.

    It has positions alone: ros2_control refuses a last point with a velocity other than zero.
    """
    message.joint_names = list(names)
    point.positions = [float(v) for v in positions]
    point.time_from_start.sec, point.time_from_start.nanosec = divmod(round(after_s * 1e9), 1_000_000_000)
    message.points = [point]
    return message


def from_trajectory(message: Any, names: Sequence[str]) -> np.ndarray:
    """Positions of the last point of a ``JointTrajectory``, in the order of ``names``;
    raises PixelarmError if it has none.
    """
    if not message.points:
        raise PixelarmError("the joint trajectory has no points")
    return by_name(message.joint_names, message.points[-1].positions, names)


def from_multi_array(message: Any, names: Sequence[str]) -> np.ndarray:
    """The numbers of a ``std_msgs/Float64MultiArray``, one for each of ``names``;
    raises PixelarmError for another number.
    """
    if len(message.data) != len(names):
        raise PixelarmError(f"an array for {len(names)} joints must have as many numbers, got {len(message.data)}")
    return np.array(message.data, np.float64)


def from_joint_command(message: Any, names: Sequence[str], gripper: GripperCommand) -> tuple[np.ndarray, float | None]:
    """Joint targets ``(n,)`` of a ``JointTrajectory`` or a ``Float64MultiArray``, in the order of ``names``, and where
    the gripper goes (-1 opens, +1 closes) if it is the array's last number, as of the type ``with_joints``; else None.

    Raises:
        PixelarmError: another number of joints.
    """
    if hasattr(message, "points"):
        return from_trajectory(message, names), None
    if gripper.type != WITH_JOINTS:
        return from_multi_array(message, names), None
    together = from_multi_array(message, [*names, gripper.joint])
    return together[:-1], gripper.gripper(float(together[-1]))


# ------------------------------------------------------------------------------------------------------------ headers
def stamp_ns(stamp: Any) -> int:
    """Nanoseconds of a ``builtin_interfaces/Time``."""
    return int(stamp.sec * 1_000_000_000 + stamp.nanosec)


def set_stamp(header: Any, ns: int, frame_id: str = "") -> None:
    """Fill a ``std_msgs/Header``."""
    header.stamp.sec, header.stamp.nanosec = divmod(ns, 1_000_000_000)
    header.frame_id = frame_id
