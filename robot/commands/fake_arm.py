"""An arm that stands still: what a contract's cameras and joints would send, paced, for measuring without any arm."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np

from robot.contract import Camera, Contract
from robot.control.limits import LimitConfig
from robot.control.loop import ControlLoop
from robot.control.timing import StageTimes
from robot.errors import PixelarmError
from robot.profile.topics import CameraTopic
from robot.ros import messages

PICTURES = 4  # of each camera, in turn: noise, so that no picture repeats the one before
HOME = (0.0, 0.0, 0.0, 1.0)  # orientation of the end effector, at home and always
VALUES = {"eef_pos": (0.5, 0.0, 0.3), "eef_quat": HOME}  # of the rest, zero


def wide_limits(contract: Contract) -> LimitConfig:
    """Limits whose filters all work and none of which stops an arm that stands still."""
    joints = contract.joints or 0
    return LimitConfig(
        max_reach_m=1.0, max_speed_m_s=5.0, speed_scale=1.0, box_low=(-2.0,) * 3, box_high=(2.0,) * 3, expiry_s=10.0,
        max_turn_rad=1.5, max_turn_speed_rad_s=12.0, joint_low=(-math.pi,) * joints, joint_high=(math.pi,) * joints,
        max_joint_speed_rad_s=(10.0,) * joints, max_joint_reach_rad=1.0,
    )  # fmt: skip


def _messages(camera: Camera, source: CameraTopic) -> tuple[list[Any], Callable[[Any], np.ndarray]]:
    """Messages of a camera, and what makes the contract's picture of one."""
    if source.fit.changes and source.size is None:
        raise PixelarmError(
            f"camera {camera.name!r} is cropped, resized or turned, and it is not known what size it sends: add size: "
            "[WIDTH, HEIGHT] to the camera in the arm's profile"
        )
    width, height = source.size or (camera.width, camera.height)
    raw = source.type == "image"
    fill, read = (messages.to_image, messages.from_image) if raw else (messages.to_compressed, messages.from_compressed)
    made = [fill(SimpleNamespace(), noise(height, width, number, smooth=not raw)) for number in range(PICTURES)]
    return made, partial(read, fit=partial(source.fit, height=camera.height, width=camera.width))


def noise(height: int, width: int, number: int, smooth: bool) -> np.ndarray:
    """``(height, width, 3)`` uint8; ``smooth``: in blocks of 8 pixels, which a JPEG holds about as well as a scene."""
    rng = np.random.default_rng(number)
    if not smooth:
        return rng.integers(0, 256, (height, width, 3), np.uint8)
    blocks = rng.integers(0, 256, (-(-height // 8), -(-width // 8), 3), np.uint8)
    return np.ascontiguousarray(blocks.repeat(8, axis=0).repeat(8, axis=1)[:height, :width])


class FakeArm:
    """Sends to a loop, at its contract's rate: a message of each camera, decoded as the policy node decodes it, and
    every field of proprioception, all with one stamp.
    """

    def __init__(
        self, loop: ControlLoop, sensor_ms: float = 0.0, cameras: Mapping[str, CameraTopic] | None = None
    ) -> None:
        """
        Args:
            sensor_ms: what exposure and transport of an image take, from its stamp to its arrival.
            cameras: of an arm's profile that takes the loop's contract; without them images are raw and of the
                contract's size.
        """
        self._loop, self._sensor_s = loop, sensor_ms * 1e-3
        contract = loop.contract
        self._cameras = {
            camera.name: _messages(camera, (cameras or {}).get(camera.name, CameraTopic(camera.name)))
            for camera in contract.cameras
        }
        self._proprio = {p.name: np.array(VALUES.get(p.name, (0.0,) * p.size)) for p in contract.proprio}
        self.stages = StageTimes(loop.clock.steady)

    def run(self, ticks: int) -> None:
        """Look ``ticks`` times, a control period apart; returns when the last look must have been answered."""
        contract, due = self._loop.contract, time.monotonic()
        for tick in range(ticks):
            time.sleep(max(0.0, due - time.monotonic()))
            self._look(tick)
            due += contract.period_s
        time.sleep(contract.deadline_ms * 1e-3)

    def _look(self, tick: int) -> None:
        stamp = self._loop.clock.now_ns()
        for name, value in self._proprio.items():
            self._loop.put_proprio(name, value, stamp)
        time.sleep(self._sensor_s)
        for name, (sent, decode) in self._cameras.items():
            with self.stages.measure("decode"):
                pixels = decode(sent[tick % PICTURES])
            self._loop.put_image(name, pixels, stamp)
