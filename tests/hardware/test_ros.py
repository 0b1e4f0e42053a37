"""The nodes over real DDS on loopback: two processes run an episode, and the policy node refuses what it should."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("mujoco")
from robot.commands.deploy import _end

pytestmark = [pytest.mark.ros, pytest.mark.serial]

ROOT = Path(__file__).parents[2]


@pytest.fixture
def policy(lift_bundle: Path) -> Path:
    return lift_bundle


STARTED: list[subprocess.Popen[str]] = []


@pytest.fixture(autouse=True)
def nothing_stays() -> Iterator[None]:
    """A test that fails leaves no node behind."""
    yield
    for process in STARTED:
        if process.poll() is None:
            process.kill()
    STARTED.clear()


def start(module: str, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", module, *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    STARTED.append(process)
    return process


def finish(process: subprocess.Popen[str], number: int | None = None, timeout: float = 60) -> str:
    """Output of a process that ends by itself or after a signal; never leaves it running."""
    if number is not None:
        process.send_signal(number)
    try:
        return process.communicate(timeout=timeout)[0]
    finally:
        if process.poll() is None:
            process.kill()


@pytest.mark.gl
def test_an_episode_runs_through_two_processes(policy: Path, tmp_path: Path) -> None:
    results, stats, films = tmp_path / "results.json", tmp_path / "stats.json", tmp_path / "films"
    deploy = start("robot.commands.deploy", str(policy), "--stats", str(stats))
    try:
        arm = start(
            "hardware.commands.sim_arm",
            "--episodes",
            "1",
            "--seed-start",
            "3",
            "--results",
            str(results),
            "--video-dir",
            str(films),
        )
        said_by_arm = finish(arm)
    finally:
        said = finish(deploy, signal.SIGINT)
    assert arm.returncode == 0, said_by_arm
    assert deploy.returncode == 0, said
    assert "ready: simulated arm sim_panda, task lift, scenes 3 to 3; out: agentview/image_raw," in said_by_arm
    assert f"ROS_DOMAIN_ID {os.environ['ROS_DOMAIN_ID']}, this machine only" in said_by_arm

    found = json.loads(results.read_text())
    assert found["complete"] is True
    assert [(e["seed"], e["steps"], e["success_once"]) for e in found["episodes"]] == [(3, 60, False)]
    assert [p.name for p in films.iterdir()] == ["episode_3_failure.mp4"]

    told = json.loads(stats.read_text())
    assert told["commands"] == told["latency_ms"]["n"] == len(told["latency_samples_ms"]) >= 30
    assert told["deadline_misses"] == told["rules"]["deadline_missed"]
    assert told["ticks"] == told["commands"] + told["holds"]
    assert told["contract_hash"] == found["contract_hash"]
    assert "observation to command: p50" in said
    first = said.splitlines()[0]
    assert (
        "(task lift, arm panda, 10 Hz, eef_delta_position) waits for: camera agentview on /agentview/image_raw" in first
    )
    assert "contract of the arm on /sim_arm/contract; commands sim_panda on /arbiter/policy" in first


@pytest.mark.gl
def test_cameras_of_640x480_raw_and_compressed_feed_a_policy_of_64x64(policy: Path, tmp_path: Path) -> None:
    profile, stats = tmp_path / "mixed.yaml", tmp_path / "stats.json"
    text = (ROOT / "hardware" / "arms" / "sim_panda_vga.yaml").read_text()
    profile.write_text(text.replace("topic: eye_in_hand/image_raw,", "topic: eye_in_hand/jpeg, type: compressed,"))
    arm = ["--arm", str(profile)]
    deploy = start("robot.commands.deploy", str(policy), *arm, "--stats", str(stats))
    try:
        simulated = start("hardware.commands.sim_arm", *arm, "--episodes", "1", "--seed-start", "3")
        said_by_arm = finish(simulated)
    finally:
        said = finish(deploy, signal.SIGINT)
    assert simulated.returncode == 0 and "out: agentview/image_raw, eye_in_hand/jpeg" in said_by_arm, said_by_arm
    assert deploy.returncode == 0 and "loses many" not in said + said_by_arm, said
    told = json.loads(stats.read_text())
    assert told["commands"] >= 20 and told["rules"]["wrong_shape"] == 0
    assert next(iter(told["stages"])) == "decode" and told["stages"]["decode"]["n"] >= 2 * told["commands"]


@pytest.mark.gl
@pytest.mark.parametrize(
    ("options", "difference"),
    [(["--task", "reach"], "task: 'lift' here, 'reach' there"), (["--image-size", "48"], "height: 64 here, 48 there")],
)
def test_an_arm_of_another_scene_is_not_driven(
    policy: Path, tmp_path: Path, options: list[str], difference: str
) -> None:
    stats = tmp_path / "stats.json"
    arm = start("hardware.commands.sim_arm", *options)
    try:
        deploy = start("robot.commands.deploy", str(policy), "--stats", str(stats))
        said = finish(deploy)
    finally:
        said_by_arm = finish(arm, signal.SIGINT)
    assert deploy.returncode == 2, said
    assert "refused to drive this arm" in said and difference in said and "Traceback" not in said
    assert json.loads(stats.read_text())["commands"] == 0
    assert arm.returncode == 0, said_by_arm


def test_an_arbiter_that_is_still_starting_ends_without_a_word() -> None:
    command = [sys.executable, "-m", "robot.commands.arbiter", "--arm", "sim_panda"]
    for after in (0.05, 0.2):
        arbiter = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        time.sleep(after)  # it imports
        _end(arbiter)
        assert b"Traceback" not in arbiter.communicate()[0]


@pytest.fixture
def ros() -> Iterator[None]:
    import rclpy

    rclpy.init()
    yield
    rclpy.try_shutdown()


def node(**parameters: Any) -> Any:
    from robot.ros.policy_node import PolicyNode

    return PolicyNode(parameters)


def test_the_node_refuses_what_it_should(policy: Path, tmp_path: Path, ros: None) -> None:
    from rclpy.lifecycle import TransitionCallbackReturn

    refused, done = TransitionCallbackReturn.FAILURE, TransitionCallbackReturn.SUCCESS
    for wrong in (
        {},
        {"bundle": str(tmp_path)},
        {"bundle": str(policy), "profile": "nobody"},
        {"bundle": str(policy), "dry_run": "maybe"},
    ):
        made = node(**wrong)
        assert made.trigger_configure() == refused, wrong
        made.destroy_node()
    made = node(bundle=str(policy))
    assert made.trigger_configure() == done
    made.loop.warm["p99"] = 500.0  # a machine that is too slow
    assert made.trigger_activate() == refused
    made.loop.warm["p99"] = 5.0
    assert made.trigger_activate() == done
    assert made.trigger_deactivate() == done
    assert made.trigger_cleanup() == done
    assert made.loop is None
    made.destroy_node()
    made = node(bundle=str(policy), deadline_ms=30.0)  # 80 in the contract
    assert made.trigger_configure() == done and made.loop.deadline_ms == 30.0
    made.loop.warm["p99"] = 40.0
    assert made.trigger_activate() == refused
    made.destroy_node()
    made = node(bundle=str(policy), deadline_ms=400.0)  # longer than a period, and the policy returns one action
    assert made.trigger_configure() == refused
    made.destroy_node()


def test_a_node_that_others_start_refuses_to_activate_for_another_arm(policy: Path, ros: None) -> None:
    from rclpy.lifecycle import TransitionCallbackReturn
    from std_msgs.msg import String

    from robot.ros import messages
    from sim.tasks import make_task

    refused, done = TransitionCallbackReturn.FAILURE, TransitionCallbackReturn.SUCCESS
    made = node(bundle=str(policy))
    assert made.trigger_configure() == done
    made._on_contract(messages.to_contract(String(), make_task("reach").contract))
    assert made.trigger_activate() == refused and not made.done.is_set()
    made._on_contract(messages.to_contract(String(), make_task("lift").contract))
    assert made.trigger_activate() == done
    made.finish()
    made.destroy_node()


def test_messages_become_observations_or_named_faults(policy: Path, ros: None) -> None:
    from geometry_msgs.msg import PoseStamped
    from sensor_msgs.msg import Image, JointState, Joy
    from std_srvs.srv import SetBool

    from robot.ros import messages
    from robot.ros.shared_memory import Watch

    made = node(bundle=str(policy), profile="franka_crisp")
    made.trigger_configure()
    assert made.dry_run  # nobody has tried this arm
    now = made.get_clock().now().nanoseconds
    box, inputs = made.loop.mailbox, made._inputs

    def image(size: int) -> Image:
        message = messages.to_image(Image(), np.full((size, size, 3), 90, np.uint8))
        messages.set_stamp(message.header, now, "camera")
        return message

    def pose(frame: str) -> PoseStamped:
        message = PoseStamped()
        messages.set_stamp(message.header, now, frame)
        message.pose.position.x = 0.5
        return message

    fingers = JointState(name=["fr3_finger_joint2", "fr3_finger_joint1"], position=[0.01, 0.03])
    messages.set_stamp(fingers.header, now)
    for name in ("agentview", "eye_in_hand"):
        inputs.on_image(name, messages.from_image, image(64))
    inputs.on_pose(pose("base"))
    inputs.on_gripper(JointState(name=["someone_else"], position=[1.0]))
    inputs.on_gripper(fingers)
    found = box.newest()
    np.testing.assert_allclose(found.values["gripper_opening"], [0.04])
    np.testing.assert_allclose(found.values["eef_pos"], [0.5, 0.0, 0.0])

    inputs.on_pose(pose("world"))
    assert "frame 'world'" in box.newest().words
    unset = pose("base")
    unset.pose.orientation.w = 0.0
    inputs.on_pose(unset)
    assert "no unit quaternion: [0.0, 0.0, 0.0, 0.0]" in box.newest().words
    inputs.on_pose(pose("base"))
    warned = []
    inputs._watch = Watch(warned.append)
    inputs.on_image("agentview", messages.from_image, image(400))
    assert "images on camera/third_person/color/image_raw have 0.5 MiB" in warned[0]
    inputs.on_image("agentview", messages.from_image, image(32))
    assert "must be (64, 64, 3) uint8, got (32, 32, 3)" in box.newest().words
    made._on_joy(Joy(buttons=[0, 0, 0, 0, 1]))
    assert made.loop._enable_s is not None
    made._on_joy(Joy(buttons=[1]))
    assert made.loop._enable_s is None

    ask = lambda on: made._on_hold(SetBool.Request(data=on), SetBool.Response())  # noqa: E731
    assert ask(True).success and made.loop._operator_hold
    made.loop.put_estop(True)
    assert ask(False).message == "the emergency stop is still pressed"
    made.loop.put_estop(False)
    assert ask(False).success and not made.loop._operator_hold
    made.finish()
    made.destroy_node()


def test_sigterm_before_any_sensor_ends_cleanly(policy: Path, tmp_path: Path) -> None:
    stats = tmp_path / "stats.json"
    process = start(
        "robot.commands.deploy", str(policy), "--arm", "franka_crisp", "--arbiter", "none", "--stats", str(stats)
    )
    assert process.stderr is None and process.stdout is not None
    heard = []
    for line in process.stdout:
        heard.append(line)
        if "still waiting" in line:
            break
    assert "waits for: camera" in heard[0] and "(dry run: previews only)" in heard[0]
    assert any("missing_stream" in line for line in heard)
    assert "nobody publishes there" in heard[-1] and "same ROS_DOMAIN_ID" in heard[-1]
    finish(process, signal.SIGTERM, timeout=20)
    assert process.returncode == 0
    told = json.loads(stats.read_text())
    assert told["dry_run"] is True
    assert told["commands"] == 0
    assert told["rules"]["missing_stream"] == told["ticks"]


def test_a_missing_bundle_is_one_sentence() -> None:
    process = start("robot.cli", "deploy", "nowhere")
    said = finish(process)
    assert process.returncode == 2
    assert "no policy bundle at nowhere" in said
    assert "Traceback" not in said
