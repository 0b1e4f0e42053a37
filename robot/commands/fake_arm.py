"""An arm that stands still: what a contract's cameras and joints would send, paced, for measuring without any arm."""

from __future__ import annotations

import math
import time
from types import SimpleNamespace

import numpy as np

from robot.contract import Contract
from robot.control.limits import LimitConfig
from robot.control.loop import ControlLoop
from robot.control.timing import StageTimes
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


class FakeArm:
    """Sends to a loop, at its contract's rate: one image of each camera as raw bytes, decoded as the policy node
    decodes them, and every field of proprioception, all with one stamp.
    """

    def __init__(self, loop: ControlLoop, sensor_ms: float = 0.0) -> None:
        """``sensor_ms``: what exposure and transport of an image take, from its stamp to its arrival."""
        self._loop, self._sensor_s = loop, sensor_ms * 1e-3
        contract, rng = loop.contract, np.random.default_rng(0)
        self._pictures = {
            camera.name: [
                messages.to_image(SimpleNamespace(), rng.integers(0, 256, camera.shape, np.uint8))
                for _ in range(PICTURES)
            ]
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
        for name, pictures in self._pictures.items():
            with self.stages.measure("decode"):
                pixels = messages.from_image(pictures[tick % PICTURES])
            self._loop.put_image(name, pixels, stamp)
