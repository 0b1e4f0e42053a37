"""Cameras of this computer, each read in a thread of its own: the newest picture counts, older ones are dropped."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from robot.errors import MissingDependency, PixelarmError

Heard = Callable[[np.ndarray, int], None]  # pixels (H, W, 3) uint8 RGB, and their stamp, ns since the epoch
Lost = Callable[[str], None]  # why there are no pictures any more
STOP_S = 1.0  # that the last read may take


class Camera(Protocol):
    """Something that gives pictures."""

    def start(self, heard: Heard, lost: Lost) -> None:
        """Give pictures from now on, from a thread of its own."""

    def stop(self) -> None:
        """End that, and let the device go."""


class UsbCamera:
    """A camera that OpenCV opens. Such a driver gives no stamps: a picture is stamped when it has been read whole.

    Args:
        device: an index, or a path such as /dev/video0 (/dev/v4l/by-id/... stays the same after a restart).
        size: width and height to ask for, pixels; another answer is refused. None: as the camera likes.
        fps: frames a second to ask for; 0: as the camera likes.

    Raises:
        MissingDependency: OpenCV is not installed.
        PixelarmError: no such camera, or it gives pictures of another size.
    """

    def __init__(self, name: str, device: str, size: tuple[int, int] | None = None, fps: float = 0.0) -> None:
        try:
            import cv2
        except ImportError as error:
            raise MissingDependency("cameras without ROS need OpenCV: pip install opencv-python-headless") from error
        self.name, self.device = name, device
        self._capture: Any = cv2.VideoCapture(int(device) if device.isdecimal() else device)
        if not self._capture.isOpened():
            raise PixelarmError(f"camera {name}: {device} does not open; is it plugged in, and used by nobody else?")
        self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        if size is not None:
            self._capture.set(cv2.CAP_PROP_FRAME_WIDTH, size[0])
            self._capture.set(cv2.CAP_PROP_FRAME_HEIGHT, size[1])
        if fps:
            self._capture.set(cv2.CAP_PROP_FPS, fps)
        self._require_size(size)
        self._running, self._thread = False, threading.Thread(target=lambda: None)

    def _require_size(self, size: tuple[int, int] | None) -> None:
        good, pixels = self._capture.read()
        if not good:
            self._capture.release()
            raise PixelarmError(f"camera {self.name}: {self.device} opens, and gives no picture")
        height, width = pixels.shape[:2]
        if size is not None and (width, height) != tuple(size):
            self._capture.release()
            raise PixelarmError(
                f"camera {self.name}: the profile says {size[0]} x {size[1]} pixels, {self.device} gives {width} x "
                f"{height}: choose another camera, or correct the profile (and train with its pictures)"
            )

    def start(self, heard: Heard, lost: Lost) -> None:
        self._running = True
        self._thread = threading.Thread(target=self._run, args=(heard, lost), name=self.name, daemon=True)
        self._thread.start()

    def _run(self, heard: Heard, lost: Lost) -> None:
        try:
            while self._running:
                good, pixels = self._capture.read()
                if not good:
                    lost(f"camera {self.name}: {self.device} gives no pictures any more")
                    return
                heard(np.ascontiguousarray(pixels[:, :, ::-1]), time.time_ns())  # OpenCV's order is blue, green, red
        except Exception as error:  # a thread must not die in silence
            lost(f"camera {self.name}: {self.device} is read no more: {type(error).__name__}: {error}")

    def stop(self) -> None:
        """A driver that does not come back from a read keeps the device until the program ends: to release it under
        the read would crash the program."""
        self._running = False
        if self._thread.is_alive():
            self._thread.join(timeout=STOP_S)
        if not self._thread.is_alive():
            self._capture.release()
