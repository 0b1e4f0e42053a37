"""An episode that was recorded in the simulator, played on the simulated arm over ROS."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy")

from robot.dataset.dataset import Dataset

ROOT = Path(__file__).parents[2]


def run(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", module, *arguments]


@pytest.mark.ros
@pytest.mark.serial
@pytest.mark.gl
@pytest.mark.slow
def test_the_arm_ends_where_it_ended_when_it_was_recorded(tmp_path: Path) -> None:
    from sim import demonstrations

    folder = tmp_path / "demos"
    assert demonstrations.main(["--task", "reach", "--image-size", "32", "--episodes", "1", "--out", str(folder)]) == 0
    recorded = Dataset(folder)[0].observations["eef_pos"]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    arm = ["--task", "reach", "--image-size", "32", "--seed", str(Dataset(folder).headers[0].provenance["seed"])]
    sim = subprocess.Popen(run("hardware.commands.sim_arm", *arm, "--end-with-parent"), cwd=ROOT, env=env)
    try:
        played = subprocess.run(
            run("robot.commands.replay", str(folder), "--arm", "sim_panda", "--end-with-parent"),
            cwd=ROOT, env=env, capture_output=True, text=True, timeout=90,
        )  # fmt: skip
        assert played.returncode == 0 and "played" in played.stdout + played.stderr, played.stderr
        away = [float(np.linalg.norm(measured() - recorded[i])) for i in (0, -1)]
        assert away[1] < 0.02 < 0.1 < away[0], away
    finally:
        sim.send_signal(signal.SIGINT)
        sim.wait(timeout=20)


@pytest.mark.ros
@pytest.mark.serial
@pytest.mark.parametrize(
    ("status", "waits"),
    [
        ({"mode": "policy", "rule": "enable", "words": "released"}, True),
        ({"mode": "policy", "rule": "not_followed", "words": "stands"}, True),
        ({"mode": "policy", "rule": "", "words": ""}, False),
        ({"mode": "policy", "rule": "source_holds", "words": "its own hold"}, False),
        ({"mode": "idle", "rule": "idle", "words": "nobody"}, False),
    ],
)
def test_what_holds_the_arm_holds_the_episode(status: dict[str, str], waits: bool, tmp_path: Path) -> None:
    """Else it would go on without the arm, and the arm would take a short cut afterwards."""
    import rclpy
    from std_msgs.msg import String

    from robot.commands import replay
    from sim import demonstrations

    folder = tmp_path / "demos"
    assert demonstrations.main(["--task", "reach", "--image-size", "32", "--episodes", "1", "--out", str(folder)]) == 0
    rclpy.init()
    try:
        policy = replay.EpisodePolicy(Dataset(folder)[0])
        node = replay._node(policy, {"bundle": str(folder), "profile": "sim_panda", "arbiter": True}, "")
        node.trigger_configure()
        node.loop.bars.put("arm_contract", "")
        node._on_arbiter(String(data=json.dumps(status)))
        held = node.loop.bars.but("not_in_command")
        names = [] if held is None else [held.rule]
        assert ("arbiter_holds" in names) == waits
        node.finish()
        node.destroy_node()
    finally:
        rclpy.try_shutdown()


def measured() -> np.ndarray:
    """Where the arm is now."""
    import rclpy
    from geometry_msgs.msg import PoseStamped

    from robot.ros.runtime import qos

    rclpy.init()
    node, found = rclpy.create_node("looks"), []
    node.create_subscription(PoseStamped, "sim_arm/tip", lambda m: found.append(m.pose.position), qos(1))
    while len(found) < 20:  # those of now
        rclpy.spin_once(node, timeout_sec=5.0)
    node.destroy_node()
    rclpy.try_shutdown()
    return np.array([found[-1].x, found[-1].y, found[-1].z])
