"""`pixelarm teleop --policy-too` over real DDS: a policy drives the simulated arm, and a person takes over."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("mujoco")

from robot.dataset import acting

pytestmark = [pytest.mark.ros, pytest.mark.serial, pytest.mark.slow, pytest.mark.gl]
ROOT = Path(__file__).parents[4]
UP_M = 0.01  # above where the hand is: what the policy of this test always wants


class Policy:
    """Wants the hand to rise, ten times a second, and says that it is ready."""

    def __init__(self) -> None:
        import rclpy
        from geometry_msgs.msg import PoseStamped
        from rclpy.executors import SingleThreadedExecutor
        from rclpy.node import Node
        from sensor_msgs.msg import JointState
        from std_msgs.msg import String

        from robot.ros.runtime import qos

        rclpy.init()
        self.node, self.executor = Node("policy"), SingleThreadedExecutor()
        self.executor.add_node(self.node)
        self._pose: Any = None
        self._out = self.node.create_publisher(PoseStamped, "arbiter/policy/pose", qos(1, True))
        gripper = self.node.create_publisher(JointState, "arbiter/policy/gripper", qos(1, True))
        ready = self.node.create_publisher(String, "arbiter/policy/ready", qos(1, True))
        self.node.create_subscription(PoseStamped, "current_pose", lambda m: setattr(self, "_pose", m), qos(1))
        self.node.create_timer(0.1, lambda: ready.publish(String(data="")))
        self.node.create_timer(0.1, lambda: self._say(gripper, JointState(name=["gripper"], position=[-1.0])))
        self._running = True
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def _say(self, gripper: Any, opens: Any) -> None:
        if self._pose is None:
            return
        pose = self._pose
        pose.pose.position.z += UP_M
        pose.header.stamp = self.node.get_clock().now().to_msg()
        gripper.publish(opens)
        self._out.publish(pose)
        self._pose = None

    def _spin(self) -> None:
        while self._running:
            self.executor.spin_once(timeout_sec=0.05)

    def close(self) -> None:
        import rclpy

        self._running = False
        self._thread.join(timeout=5.0)
        self.node.destroy_node()
        rclpy.try_shutdown()


@pytest.fixture
def policy() -> Iterator[Policy]:
    made = Policy()
    yield made
    made.close()


def test_a_take_over_and_a_hand_back_become_one_episode(policy: Policy, tmp_path: Path) -> None:
    """The policy raises the hand, a person moves it ahead for 1.5 s, the policy goes on; then an outcome."""
    lines: list[dict[str, Any]] = [{"at_s": 0.04 * i, "held": False} for i in range(125)]
    # more than once: until the arbiter has found the policy it refuses, and ROS takes its time
    lines += [{"at_s": at_s, "order": "policy"} for at_s in (1.01, 2.01, 3.01)]
    lines += [{"at_s": 5.0 + 0.04 * i, "held": True, "linear": [1, 0, 0]} for i in range(40)]
    lines += [{"at_s": 6.6 + 0.04 * i, "held": False} for i in range(40)]
    lines += [{"at_s": 8.2, "order": "success"}, {"at_s": 9.4, "held": False}]
    lines.sort(key=lambda line: line["at_s"])
    (tmp_path / "inputs.jsonl").write_text("\n".join(map(json.dumps, lines)))
    options = ["--task", "lift", "--image-size", "64", "--device", "replay", "--replay", str(tmp_path / "inputs.jsonl")]
    options += ["--record", str(tmp_path / "both"), "--policy-too"]
    process = subprocess.Popen(
        [sys.executable, "-m", "hardware.commands.teleop", *options], cwd=ROOT, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        out, _ = process.communicate(timeout=150)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    time.sleep(0.1)
    from robot.dataset.episodes import read_dataset
    from sim.tasks import make_task

    (episode,) = read_dataset(tmp_path / "both", make_task("lift").contract)
    assert episode.source is not None and episode.proposed is not None, out
    moved = [code for code in episode.source.tolist() if code not in (acting.HOLD, acting.BLEND)]
    who = [acting.CODES[code] for code, _ in groupby(moved)]
    assert who == ["policy", "person", "policy"], out
    person, driven = episode.source == acting.PERSON, episode.source == acting.POLICY
    assert episode.actions[person, 0].mean() > 0.005 and episode.actions[driven, 2].mean() > 0.002
    # a pose that the policy saw up to a tenth of a second ago, and 1 cm: half of it at least is left
    assert episode.proposed[driven, 2].mean() > 0.5 * UP_M
