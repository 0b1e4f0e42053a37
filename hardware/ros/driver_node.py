"""What the simulated arm's node has beside its topics where the profile is a real driver's: its manners, the topics by
which the driver says whether it follows commands, and services to make it stop and recover (std_srvs/Trigger):

``~/protective_stop``  a reflex, a protective stop or a person's push: the arm follows nothing
``~/recover``          what the profile lists under ``driver.recovery``
"""

from __future__ import annotations

import time
from typing import Any

from hardware.simulated.arm import SimArm
from hardware.simulated.driver import DriverManners, Motion
from robot.profile import ArmProfile
from robot.ros import runtime
from robot.ros.runtime import message_type, qos

runtime.require_rclpy()

from rclpy.node import Node  # noqa: E402
from std_srvs.srv import Trigger  # noqa: E402


class DriverNode:
    """Made by ``SimArmNode`` for a profile with ``driver``."""

    def __init__(self, node: Node, profile: ArmProfile, arm: SimArm, topic: str) -> None:
        assert profile.driver is not None
        self._node, self._arm, self._topic = node, arm, node.resolve_topic_name(topic)
        self.driver = profile.driver
        self.manners = DriverManners(self.driver, arm.measured, self._follow, node.get_logger().warning)
        arm.world.driver_gain, arm.world.joints_at_once = self.driver.gain, True
        arm.state_s = 1.0 / self.driver.state_hz
        self._next_state_s = 0.0
        self._ready = [(node.create_publisher(message_type(r.type), r.topic, qos(1, True, r.latched)), r) for r in
                       profile.arbiter.ready]  # fmt: skip
        self._say_ready()
        node.create_service(Trigger, "~/protective_stop", self._on_stop)
        node.create_service(Trigger, "~/recover", self._on_recover)
        node.create_timer(0.02, lambda: self.manners.tick(time.monotonic()))
        node.create_timer(1.0, self._say_ready)

    def admit(self, motion: Motion) -> bool:
        before = self.manners.stopped
        publishers = self._node.count_publishers(self._topic) if self.driver.single_publisher else 1
        admitted = self.manners.admit(motion, publishers, time.monotonic())
        if self.manners.stopped != before:
            self._say_ready()
        return admitted

    def _follow(self, motion: Motion) -> None:
        parts: dict[str, Any] = dict(motion)
        self._arm.command(self._arm.now_ns(), **parts)

    def state_due(self) -> bool:
        """Whether joint states are sent at this instant: slow drivers send few."""
        now = time.monotonic()
        if now < self._next_state_s:
            return False
        self._next_state_s = max(self._next_state_s + 1.0 / self.driver.state_hz, now)
        return True

    def order(self, n: int) -> range:
        """In which the joints stand in a message."""
        return range(n - 1, -1, -1) if self.driver.shuffled else range(n)

    def _say_ready(self) -> None:
        for publisher, ready in self._ready:
            message = message_type(ready.type)()
            good = ready.values[0]
            value = good if not self.manners.stopped else (not good if isinstance(good, bool) else type(good)())
            holder: Any = message
            *path, last = ready.field.split(".")
            for part in path:
                holder = getattr(holder, part)
            setattr(holder, last, value)
            publisher.publish(message)

    def _on_stop(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self.manners.stop("a protective stop, on request")
        self._say_ready()
        response.success = True
        return response

    def _on_recover(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self.manners.recover()
        self._say_ready()
        response.success, response.message = True, "; ".join(self.driver.recovery)
        return response
