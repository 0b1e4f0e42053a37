"""The arbiter over real DDS: it alone commands, and a policy process that is stopped or killed leaves the arm held."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("mujoco")
pytestmark = [pytest.mark.ros, pytest.mark.serial]

ROOT = Path(__file__).parents[2]


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts modules as processes, and ends those that are left."""
    made: list[subprocess.Popen[str]] = []

    def start(module: str, *arguments: str) -> subprocess.Popen[str]:
        made.append(
            subprocess.Popen(
                [sys.executable, "-m", module, *arguments], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
                text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
            )
        )  # fmt: skip
        return made[-1]

    yield start
    for process in made:
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.terminate()
        try:
            process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()


class Listener:
    """Hears the command topic and the arbiter's status, in this process."""

    def __init__(self) -> None:
        import rclpy
        from geometry_msgs.msg import PoseStamped
        from rclpy.executors import SingleThreadedExecutor
        from rclpy.node import Node
        from std_msgs.msg import String

        from robot.ros.runtime import qos

        rclpy.init()
        self.node = Node("listener")
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.node)
        self.heard: list[tuple[float, tuple[float, ...]]] = []
        self.status: dict[str, Any] = {}
        self.node.create_subscription(PoseStamped, "target_pose", self._on_pose, qos(50, True))
        self.node.create_subscription(String, "arbiter/status", self._on_status, qos(1, True))

    def _on_pose(self, message: Any) -> None:
        point = message.pose.position
        self.heard.append((time.monotonic(), (point.x, point.y, point.z)))

    def _on_status(self, message: Any) -> None:
        self.status = json.loads(message.data)

    def until(self, what: Callable[[], bool], timeout_s: float) -> bool:
        end = time.monotonic() + timeout_s
        while not what() and time.monotonic() < end:
            self.executor.spin_once(timeout_sec=0.05)
        return what()

    def listen(self, seconds: float) -> list[tuple[float, tuple[float, ...]]]:
        before = len(self.heard)
        self.until(lambda: False, seconds)
        return self.heard[before:]

    def call(self, name: str) -> Any:
        from std_srvs.srv import Trigger

        client = self.node.create_client(Trigger, f"arbiter/{name}")
        assert client.wait_for_service(5.0)
        future = client.call_async(Trigger.Request())
        self.executor.spin_until_future_complete(future, 5.0)
        return future.result()

    def close(self) -> None:
        import rclpy

        self.node.destroy_node()
        rclpy.try_shutdown()


@pytest.fixture
def listener() -> Iterator[Listener]:
    made = Listener()
    yield made
    made.close()


@pytest.mark.gl
def test_a_policy_process_that_is_stopped_or_killed_leaves_the_arm_held(
    start: Callable[..., subprocess.Popen[str]], listener: Listener, lift_bundle: Path
) -> None:
    start("hardware.commands.sim_arm", "--task", "lift")
    start("robot.commands.arbiter", "--command", "policy")
    policy = start("robot.commands.deploy", str(lift_bundle), "--arbiter", "running")
    assert listener.until(lambda: listener.status.get("commands", 0) > 100, 40.0), listener.status

    policy.send_signal(signal.SIGSTOP)
    assert listener.until(lambda: listener.status["rule"] == "silent", 3.0), listener.status
    listener.listen(0.3)  # what was still on its way
    held = listener.listen(0.5)
    assert len(held) > 25  # the stream goes on
    assert len({position for _, position in held}) == 1  # and the target stands

    policy.send_signal(signal.SIGCONT)
    assert listener.until(lambda: not listener.status["rule"], 5.0), listener.status

    policy.kill()
    assert listener.until(lambda: listener.status["mode"] == "idle", 8.0), listener.status
    listener.listen(0.3)
    assert len({position for _, position in listener.listen(0.3)}) == 1
    assert not listener.call("clear").message.startswith("policy")  # services answer


def test_another_publisher_is_noticed_before_anything_moves(
    start: Callable[..., subprocess.Popen[str]], listener: Listener
) -> None:
    from geometry_msgs.msg import PoseStamped

    listener.node.create_publisher(PoseStamped, "target_pose", 1)
    start("robot.commands.arbiter", "--arm", "sim_panda")
    assert listener.until(lambda: bool(listener.status), 20.0)
    said = "listener publishes on /target_pose too"  # once discovery has found it
    assert listener.until(lambda: said in listener.call("policy").message, 10.0), listener.call("policy")


@pytest.mark.gl
@pytest.mark.thorough
def test_faults_runs_a_row_of_the_matrix(lift_bundle: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "hardware.commands.faults", str(lift_bundle), "--only", "button: released"]
    done = subprocess.run(
        [*command, "--out", str(tmp_path)], cwd=ROOT, env=environment, text=True, capture_output=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (row,) = json.loads((tmp_path / "faults.json").read_text())["rows"]
    assert (row["rule"], row["safe"], row["recovered"]) == ("enable", True, True)
    assert "| button: released |" in (tmp_path / "faults.md").read_text()


def test_a_second_arbiter_is_noticed_although_it_has_the_same_name(
    start: Callable[..., subprocess.Popen[str]], listener: Listener
) -> None:
    start("robot.commands.arbiter", "--arm", "sim_panda")
    assert listener.until(lambda: bool(listener.status), 20.0)
    start("robot.commands.arbiter", "--arm", "sim_panda")
    said = "another /arbiter publishes on /target_pose too"
    assert listener.until(lambda: said in listener.call("policy").message, 20.0), listener.call("policy")
