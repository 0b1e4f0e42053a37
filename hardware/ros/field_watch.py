"""Listens to what an arm is told and how it moves, for ``pixelarm field``."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np

from robot.profile import ArmProfile
from robot.ros import messages, runtime
from robot.ros.runtime import qos

runtime.require_rclpy()

from geometry_msgs.msg import PoseStamped  # noqa: E402
from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from rclpy.node import Node  # noqa: E402
from std_srvs.srv import Trigger  # noqa: E402


class FieldWatch:
    """Commands as ``(arrival s, age ms, stamp ns)`` and the tip as ``(stamp s, x, y, z)``."""

    def __init__(self, profile: ArmProfile) -> None:
        assert profile.target_pose is not None
        self.node = Node("field_watch")
        self.commands: list[tuple[float, float, int]] = []
        self.tip: list[tuple[float, float, float, float]] = []
        self.node.create_subscription(PoseStamped, profile.target_pose.topic, self._on_command, qos(50, True))
        self.node.create_subscription(PoseStamped, "sim_arm/tip", self._on_tip, qos(50))
        self._executor, self._running = SingleThreadedExecutor(), True
        self._executor.add_node(self.node)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while self._running:
            self._executor.spin_once(timeout_sec=0.1)

    def _on_command(self, message: PoseStamped) -> None:
        now_ns, stamp = self.node.get_clock().now().nanoseconds, messages.stamp_ns(message.header.stamp)
        self.commands.append((time.monotonic(), (now_ns - stamp) * 1e-6, stamp))

    def _on_tip(self, message: PoseStamped) -> None:
        point = message.pose.position
        self.tip.append((messages.stamp_ns(message.header.stamp) * 1e-9, point.x, point.y, point.z))

    def reset(self) -> bool:
        """A new scene; whether the simulated arm says that it has one."""
        client: Any = self.node.create_client(Trigger, "sim_arm/reset")
        try:
            if not client.wait_for_service(10.0):
                return False
            future = client.call_async(Trigger.Request())
            end = time.monotonic() + 5.0
            while not future.done() and time.monotonic() < end:
                time.sleep(0.01)
            return bool(future.done() and future.result().success)
        finally:
            self.node.destroy_client(client)

    def close(self) -> None:
        self._running = False
        self._thread.join(timeout=2.0)
        self.node.destroy_node()


def first_of_each(commands: list[tuple[float, float, int]]) -> np.ndarray:
    """``(n, 2)`` arrival and age of the first command that answers each observation."""
    seen: dict[int, tuple[float, float]] = {}
    for arrived_s, age_ms, stamp in commands:
        seen.setdefault(stamp, (arrived_s, age_ms))
    return np.array(list(seen.values())).reshape(-1, 2)
