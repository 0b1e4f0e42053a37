"""Teleoperation over real DDS: a page without a browser, the arbiter, and an arm that goes where it is told."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("aiohttp")
import aiohttp
from page_rig import Client, free_port

from robot.errors import PixelarmError

pytestmark = [pytest.mark.ros, pytest.mark.serial]

ROOT = Path(__file__).parents[3]


class Arm:
    """An arm that stands where it was told to be, in this process; ``heard`` are its targets with their times."""

    def __init__(self) -> None:
        import rclpy
        from geometry_msgs.msg import PoseStamped
        from rclpy.executors import SingleThreadedExecutor
        from rclpy.node import Node
        from sensor_msgs.msg import JointState
        from std_msgs.msg import String

        from robot.ros.runtime import qos

        rclpy.init()
        self.node, self.executor = Node("arm"), SingleThreadedExecutor()
        self.executor.add_node(self.node)
        self.heard: list[tuple[float, tuple[float, ...]]] = []
        self.grippers: list[float] = []
        self.status: dict[str, Any] = {}
        self.page: dict[str, Any] = {}  # the last status that the page got
        self.pose = PoseStamped()
        self.pose.header.frame_id = "panda_link0"
        self.pose.pose.position.x, self.pose.pose.position.z = 0.5, 0.3
        self.pose.pose.orientation.x, self.pose.pose.orientation.w = 1.0, 0.0
        self._out = self.node.create_publisher(PoseStamped, "current_pose", 10)
        self.node.create_subscription(PoseStamped, "target_pose", self._on_target, qos(50, True))
        self.node.create_subscription(
            JointState, "gripper/target", lambda message: self.grippers.append(message.position[0]), qos(50, True)
        )
        self.node.create_subscription(
            String, "arbiter/status", lambda message: self.status.update(json.loads(message.data)), qos(1, True)
        )
        self.node.create_timer(0.02, self._say)
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._running = True
        self._thread.start()

    def _spin(self) -> None:
        while self._running:
            self.executor.spin_once(timeout_sec=0.05)

    def _on_target(self, message: Any) -> None:
        point = message.pose.position
        self.heard.append((time.monotonic(), (point.x, point.y, point.z)))
        self.pose.pose = message.pose

    def _say(self) -> None:
        self.pose.header.stamp = self.node.get_clock().now().to_msg()
        self._out.publish(self.pose)

    async def until(self, what: Callable[[], bool], timeout_s: float) -> None:
        end = time.monotonic() + timeout_s
        while not what():
            assert time.monotonic() < end, json.dumps([self.page, self.status])
            await asyncio.sleep(0.01)

    async def stands(self, on_the_way_s: float = 0.3) -> None:
        """See that the target stands still while commands go on; not those that were still on their way."""
        await asyncio.sleep(on_the_way_s)
        before = len(self.heard)
        await self.until(lambda: len(self.heard) - before > 25, 5.0)
        assert len({place for _, place in self.heard[before - 1 :]}) == 1

    def close(self) -> None:
        import rclpy

        self._running = False
        self._thread.join(timeout=5.0)
        self.node.destroy_node()
        rclpy.try_shutdown()


@pytest.fixture
def robot() -> Iterator[Arm]:
    made = Arm()
    yield made
    made.close()


def started(*arguments: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "hardware.commands.teleop", *arguments]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)


def ended(process: subprocess.Popen[str]) -> int:
    if process.poll() is None:
        process.send_signal(signal.SIGCONT)
        process.send_signal(signal.SIGINT)
    try:
        process.communicate(timeout=20)
    except subprocess.TimeoutExpired:
        process.kill()
    return process.returncode


async def reading(client: Client, last: dict[str, Any]) -> None:
    """Keep the newest status in ``last``, and answer the server's pings."""
    async for message in client.socket:
        if message.type == aiohttp.WSMsgType.TEXT:
            last.update(message.json())


class Hand:
    """Holds until it is let go, as a page does; ``again``: presses anew where a busy machine was silent for 150 ms."""

    def __init__(self, client: Client, robot: Arm, **wanted: Any) -> None:
        self.again, self._client, self._robot, self._wanted = True, client, robot, wanted
        self._task = asyncio.ensure_future(self._hold())

    async def _hold(self) -> None:
        await self._client.say(False)
        while True:
            if self.again and "press anew" in self._robot.page.get("words", ""):
                await self._client.say(False)
            await self._client.say(True, **self._wanted)
            await asyncio.sleep(0.03)

    async def let_go(self) -> None:
        self._task.cancel()
        await self._client.say(False)


def test_a_page_moves_the_arm_through_the_arbiter_and_what_dies_stops_it(robot: Arm) -> None:
    port = free_port()
    process = started("--arm", "sim_panda", "--port", str(port), "--speed", "0.1")

    async def drive() -> None:
        assert process.stdout is not None
        line = await asyncio.to_thread(process.stdout.readline)
        token = re.search(r"#token=(\S+)", line)
        assert token is not None, line
        await robot.until(lambda: robot.status.get("mode") == "teleop", 20.0)
        base = f"http://127.0.0.1:{port}"
        async with aiohttp.ClientSession() as session:
            async with session.ws_connect(f"{base}/socket", headers={"Origin": base}) as socket:
                client = Client(socket)
                await client.send(type="hello", token=token[1])
                read = asyncio.ensure_future(reading(client, robot.page))
                await robot.until(lambda: bool(robot.page.get("measured") and robot.page["arbiter"]), 5.0)
                assert robot.heard == []  # nobody has pressed yet
                hand = Hand(client, robot, linear=[1, 0, 0], gripper=1)
                await robot.until(lambda: bool(robot.heard) and robot.heard[-1][1][0] > 0.52, 5.0)
                await robot.until(lambda: robot.grippers[-1] < 0.04, 5.0)  # metres between the fingers, after the blend
                await hand.let_go()
                await robot.until(lambda: robot.status["rule"] == "released", 2.0)
                await robot.stands()

                hand = Hand(client, robot, linear=[0, 0, 1])
                await robot.until(lambda: robot.heard[-1][1][2] > 0.31, 5.0)
                hand.again = False
                process.send_signal(signal.SIGSTOP)  # the program that teleoperates hangs: the arbiter lets go
                await robot.until(lambda: robot.status["rule"] == "released", 2.0)
                await robot.stands()
                process.send_signal(signal.SIGCONT)
                await robot.stands(0.0)  # it is back with the key still down, and a backlog
                await hand.let_go()

                hand = Hand(client, robot, linear=[0, 0, 1])
                above = robot.heard[-1][1][2] + 0.01
                await robot.until(lambda: robot.heard[-1][1][2] > above, 5.0)
                hand.again = False
                await client.send(type="order", order="stop")
                await robot.until(lambda: robot.status["mode"] == "idle", 2.0)
                await robot.stands()
                await hand.let_go()
                await client.send(type="order", order="command")
                await robot.until(lambda: robot.status["mode"] == "teleop", 2.0)
                await robot.stands()  # command alone moves nothing
                read.cancel()

    try:
        asyncio.run(drive())
    finally:
        status = ended(process)
    assert status == 0


@pytest.mark.thorough
def test_it_ends_when_the_simulated_arm_cannot_be_had(capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("mujoco")
    process = started("--task", "nonsense", "--port", str(free_port()))
    process.communicate(timeout=60)
    assert process.returncode not in (0, None)
    said = capfd.readouterr().err
    assert "nonsense" in said and "the simulated arm ended" in said


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--device", "replay"], "belong together"),
        (["--lan", "--device", "keyboard"], "there is none"),
        (["--port", "8000", "--device", "keyboard"], "there is none"),
        (["--seed", "3"], "--task starts, and there is none"),
        (["--task", "lift", "--arbiter", "running"], "leave --arbiter running out"),
        (["--dry-run", "--arbiter", "running"], "give it to `pixelarm arbiter`"),
        (["--record", "x", "--arm", "franka_crisp"], "add --contract with a task"),
        (["--record", "x", "--dry-run"], "add --no-dry-run"),
        (["--camera-fps", "20"], "--task starts, and there is none"),
        (["--policy-too"], "nothing is recorded: add --record"),
        (["--arm", "sim_kitchen"], "cannot be teleoperated"),
        (["--speed", "-1"], "must be positive"),
        (["--port", "70000"], "must be 1 to 65535"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_starts(options: list[str], words: str) -> None:
    from hardware.commands import teleop

    with pytest.raises(PixelarmError, match=words):
        teleop._check(teleop.parser().parse_args(options))


@pytest.mark.slow
@pytest.mark.gl
@pytest.mark.thorough
def test_one_command_starts_the_simulated_arm_the_arbiter_and_the_device(tmp_path: Path) -> None:
    """It plays inputs of a file, and ends by itself, having written them anew and kept an episode."""
    pytest.importorskip("mujoco")
    inputs = tmp_path / "inputs.jsonl"
    # three presses: on a busy machine one may be ended by a silence of 150 ms
    lines: list[dict[str, Any]] = [{"at_s": 0.04 * i, "held": i % 20 > 5, "linear": [0, 0, -1]} for i in range(60)]
    lines += [{"at_s": 2.4, "held": False}, {"at_s": 2.7, "order": "success"}, {"at_s": 2.8, "held": False}]
    inputs.write_text("\n".join(map(json.dumps, lines)))
    options = ["--task", "lift", "--image-size", "64", "--device", "replay", "--replay", str(inputs)]
    hands = tmp_path / "hands"
    process = started(*options, "--seed", "7", "--log", str(tmp_path / "log.jsonl"), "--record", str(hands))
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0, out
    assert "ready: simulated arm sim_panda, task lift" in out
    from hardware.teleop.replay import read_log

    log = [parts for _, parts in read_log(tmp_path / "log.jsonl")]
    played = [parts for parts in log if parts.get("held")]
    assert len(played) == 42 and played[0]["linear"] == [0.0, 0.0, -1.0] and {"order": "success"} in log
    from robot.dataset.episodes import read_dataset
    from sim.tasks import make_task

    (episode,) = read_dataset(hands, make_task("lift").contract)
    assert episode.success and episode.provenance["seed"] == 7 and 2 <= len(episode) <= 25
    lowered = episode.observations["eef_pos"][0, 2] - episode.observations["eef_pos"][-1, 2]
    assert 0.01 < lowered < 0.26  # at most 0.15 m/s for 1.68 s
    assert episode.actions[:, 2].min() < -0.002
