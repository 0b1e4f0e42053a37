"""Large raw images through DDS: Fast DDS loses many of them unless a settings file gives it more shared memory.

``hardware/ros/fastdds.xml`` is that file. The launch files set it for every node that they start; ``pixelarm deploy``
and ``pixelarm sim-arm`` set it for themselves where the arm's profile says that a camera sends large images.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from xml.etree import ElementTree

from robot.profile.topics import LARGE_BYTES, CameraTopic

OLD_VARIABLE, VARIABLE = "FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE"
RMW = "RMW_IMPLEMENTATION"
LEAST_SEGMENT = 8 * 1024 * 1024  # bytes: several images of the largest size that is usual, 1280x720


def shipped() -> Path | None:
    """pixelarm's own settings file, found by its place so that ``robot`` imports nothing of ``hardware``."""
    file = Path(__file__).resolve().parents[2] / "hardware" / "ros" / "fastdds.xml"
    return file if file.is_file() else None


def settle(cameras: Iterable[CameraTopic]) -> None:
    """Use the shipped file in this process if a camera sends large images and no other file was chosen; before rclpy
    starts.
    """
    file = shipped()
    chosen = os.environ.get(OLD_VARIABLE) or os.environ.get(VARIABLE)
    if file and not chosen and any(camera.large for camera in cameras):
        os.environ[OLD_VARIABLE] = os.environ[VARIABLE] = str(file)


def lacking() -> str:
    """Why large images may be lost on their way to this process, in words; empty if nothing is known against it."""
    if not (os.environ.get(RMW) or "rmw_fastrtps").startswith("rmw_fastrtps"):
        return ""  # another middleware has settings of its own
    name = OLD_VARIABLE if os.environ.get("ROS_DISTRO", "jazzy") in ("humble", "iron", "jazzy") else VARIABLE
    chosen = os.environ.get(name)
    if not chosen:
        return f"{name} is not set"
    try:
        root = ElementTree.parse(chosen).getroot()
    except (OSError, ElementTree.ParseError) as error:
        return f"{name} names a file that cannot be read ({error})"
    if _largest_segment(root) < LEAST_SEGMENT:
        return f"{name} names {chosen}, which has no shared memory of {LEAST_SEGMENT // 2**20} MiB or more"
    return ""


def _largest_segment(root: ElementTree.Element) -> int:
    found = [0]
    for descriptor in root.iterfind(".//{*}transport_descriptor"):
        size = descriptor.findtext("{*}segment_size", "0").strip()
        if descriptor.findtext("{*}type", "").strip() == "SHM" and size.isdigit():
            found.append(int(size))
    return max(found)


class Watch:
    """Warns once of large raw images that this process's settings are not made for."""

    def __init__(self, say: Callable[[str], object]) -> None:
        self._say, self._done = say, False

    def image(self, topic: str, size: int) -> None:
        """A raw image of ``size`` bytes came on ``topic``, or will come."""
        if self._done or size <= LARGE_BYTES:
            return
        self._done = True
        if why := lacking():
            advice = f"set it to {shipped()}" if shipped() else "set it to pixelarm's hardware/ros/fastdds.xml"
            self._say(
                f"images on {topic} have {size / 2**20:.1f} MiB, and Fast DDS as it comes loses many of that size: "
                f"{why}. In this process and in the camera's driver, {advice}; or have the driver send compressed "
                "images (type: compressed in the arm's profile)"
            )
