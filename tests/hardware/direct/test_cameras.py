"""Cameras without ROS: what they give, and what they say when they end."""

from __future__ import annotations

import sys
import threading
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hardware.direct import cameras
from hardware.direct.cameras import UsbCamera
from robot.errors import PixelarmError

BLUE = np.zeros((4, 6, 3), np.uint8)
BLUE[..., 0] = 200  # OpenCV's first channel


class Capture:
    """What OpenCV gives: pictures from ``reads``, then ``(False, None)``; an exception among them is raised."""

    def __init__(self, reads: list[Any]) -> None:
        self.reads, self.released, self.blocked = reads, 0, threading.Event()

    def isOpened(self) -> bool:
        return True

    def set(self, what: int, value: float) -> None: ...

    def read(self) -> tuple[bool, Any]:
        found = self.reads.pop(0) if self.reads else None
        if isinstance(found, threading.Event):
            self.blocked.set()
            found.wait(10.0)
            return False, None
        if isinstance(found, Exception):
            raise found
        return found is not None, found

    def release(self) -> None:
        self.released += 1


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Cameras that read what a test says."""

    def make(*reads: Any, size: tuple[int, int] | None = None) -> tuple[UsbCamera, Capture]:
        capture = Capture(list(reads))
        names = {"CAP_PROP_BUFFERSIZE": 1, "CAP_PROP_FRAME_WIDTH": 2, "CAP_PROP_FRAME_HEIGHT": 3, "CAP_PROP_FPS": 4}
        monkeypatch.setitem(sys.modules, "cv2", SimpleNamespace(VideoCapture=lambda device: capture, **names))
        return UsbCamera("front", "0", size), capture

    return make


def test_pictures_come_as_rgb_and_their_end_is_said(opened: Any) -> None:
    camera, capture = opened(BLUE, BLUE)
    heard, lost, ended = [], [], threading.Event()
    camera.start(lambda pixels, stamp: heard.append(pixels), lambda words: (lost.append(words), ended.set()))
    assert ended.wait(5.0)
    camera.stop()
    assert [tuple(pixels[0, 0]) for pixels in heard] == [(0, 0, 200)]
    assert lost == ["camera front: 0 gives no pictures any more"] and capture.released == 1


@pytest.mark.parametrize("where", ["in the driver", "in what hears it"])
def test_a_thread_that_dies_says_so(opened: Any, where: str) -> None:
    camera, _ = opened(BLUE, *([OSError("gone")] if where == "in the driver" else [BLUE]))
    lost, ended = [], threading.Event()

    def heard(pixels: np.ndarray, stamp_ns: int) -> None:
        raise OSError("gone")

    camera.start(heard, lambda words: (lost.append(words), ended.set()))
    assert ended.wait(5.0) and lost == ["camera front: 0 is read no more: OSError: gone"]
    camera.stop()


def test_a_device_is_not_released_under_a_read_that_blocks(opened: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cameras, "STOP_S", 0.05)
    block = threading.Event()
    camera, capture = opened(BLUE, block)
    camera.start(lambda pixels, stamp: None, lambda words: None)
    assert capture.blocked.wait(5.0)
    camera.stop()
    assert capture.released == 0
    block.set()
    camera._thread.join(5.0)
    camera.stop()
    assert capture.released == 1


def test_a_camera_that_was_not_started_is_let_go(opened: Any) -> None:
    camera, capture = opened(BLUE)
    camera.stop()
    assert capture.released == 1


def test_another_size_is_refused(opened: Any) -> None:
    with pytest.raises(PixelarmError, match="the profile says 640 x 480 pixels, 0 gives 6 x 4"):
        opened(BLUE, size=(640, 480))
