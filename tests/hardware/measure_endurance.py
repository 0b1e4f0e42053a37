"""Measures deployment over a long time: ``python tests/hardware/measure_endurance.py BUNDLE --minutes 20 --rate 20``.

The simulated arm, `pixelarm deploy` and its arbiter run as a user would start them, with two cameras as the profile has
them. A listener of its own notes when commands come on the arm's topic. ``--rate`` runs the policy at another rate than
it was trained for, to see the times and not the skill: the scene's contract is changed alike. ``--busy`` adds processes
that only count. A process of the arbiter's priority looks at the clock a hundred times a second: by what it is late
(``machine_late_ms``) the machine itself stood still.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
os.environ.setdefault("ROS_DOMAIN_ID", str(1 + os.getpid() % 101))

from robot import bundle, profile  # noqa: E402
from robot.contract import Contract  # noqa: E402
from robot.control.timing import Samples  # noqa: E402
from robot.files import write_json  # noqa: E402
from robot.profile import ArmProfile  # noqa: E402
from robot.provenance import git_commit, hardware  # noqa: E402

BUSY = "while True: pass"
WITNESS = """
import json, signal, time
from robot.ros import runtime

runtime.go_first()
late, due, on = [], time.monotonic(), [True]
signal.signal(signal.SIGTERM, lambda *_: on.clear())
while on:
    due += 0.01
    time.sleep(max(0.0, due - time.monotonic()))
    late.append(1e3 * (time.monotonic() - due))
    due = max(due, time.monotonic() - 0.01)
print(json.dumps(late))
"""


def at_rate(contract: Contract, rate_hz: float) -> Contract:
    """The same contract with another rate; the deadline stays the same share of a period."""
    deadline = contract.deadline_ms * contract.rate_hz / rate_hz
    cameras = tuple(dataclasses.replace(camera, fps=rate_hz) for camera in contract.cameras)
    return dataclasses.replace(contract, rate_hz=rate_hz, cameras=cameras, deadline_ms=deadline)


def simulate(task: str, arm: str, size: int, rate_hz: float, episodes: int, results: Path) -> int:
    """The simulated arm, its scene's contract at this rate. In a process of its own."""
    from hardware.commands import sim_arm
    from sim.envs import make

    made = make.make_task

    def faster(name: str, **options: Any) -> Any:
        found = made(name, **options)
        found.contract = at_rate(found.contract, rate_hz)
        return found

    make.make_task = faster
    argv = ["--task", task, "--arm", arm, "--image-size", str(size), "--seed-start", "10000", "--end-with-parent"]
    return sim_arm.main([*argv, "--episodes", str(episodes), "--results", str(results)])


class Ear:
    """When commands came on the arm's topic: ms between one and the next."""

    def __init__(self, topic: str) -> None:
        import rclpy
        from geometry_msgs.msg import PoseStamped
        from rclpy.executors import SingleThreadedExecutor
        from rclpy.node import Node

        from robot.ros.runtime import qos

        rclpy.init()
        self.between, self._last_s = Samples(), 0.0
        self._node, self._executor = Node("ear"), SingleThreadedExecutor()
        self._executor.add_node(self._node)
        self._node.create_subscription(PoseStamped, topic, self._on_command, qos(50, True))
        threading.Thread(target=self._executor.spin, daemon=True).start()

    def _on_command(self, message: Any) -> None:
        now_s = time.monotonic()
        if self._last_s:
            self.between.add(1e3 * (now_s - self._last_s))
        self._last_s = now_s


def measure(path: Path, arm: str, minutes: float, rate_hz: float, busy: int) -> dict[str, Any]:
    network, contract, card = bundle.read(path)
    rate_hz = rate_hz or contract.rate_hz
    topic = ArmProfile.load(profile.find(arm, profile.shipped())).outputs["pose"].topic
    with tempfile.TemporaryDirectory() as folder:
        made = bundle.write(Path(folder) / "bundle", network, at_rate(contract, rate_hz), {"recipe": card["recipe"]})
        stats, results = Path(folder) / "stats.json", Path(folder) / "results.json"
        this = [sys.executable, __file__, str(path), "--arm", arm, "--rate", str(rate_hz), "--simulate", str(results)]
        deploy = [sys.executable, "-m", "robot.cli", "deploy", str(made), "--arm", arm, "--stats", str(stats)]
        loops = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(busy)]
        witness = subprocess.Popen([sys.executable, "-c", WITNESS], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        arms = subprocess.Popen(this, cwd=ROOT)
        ear, policy = Ear(topic), subprocess.Popen(deploy, cwd=ROOT)
        try:
            end = time.monotonic() + 60.0 * minutes
            while time.monotonic() < end and policy.poll() is None and arms.poll() is None:
                time.sleep(0.5)
            alive = policy.poll() is None and arms.poll() is None
        finally:
            for process in (policy, arms):
                process.send_signal(signal.SIGINT)
                process.wait(timeout=60.0)
            for process in loops:
                process.kill()
            witness.terminate()
            machine = Samples()
            for late_ms in json.loads(witness.communicate()[0]):
                machine.add(late_ms)
        said = {name: value for name, value in json.loads(stats.read_text()).items() if name != "latency_samples_ms"}
        episodes = json.loads(results.read_text())["episodes"] if results.exists() else []
    return {
        "minutes": minutes, "rate_hz": rate_hz, "arm": arm, "busy_loops": busy, "ran_to_the_end": alive,
        "between_commands_ms": ear.between.summary(), "machine_late_ms": machine.summary(), "deploy": said,
        "episodes": len(episodes), "success": sum(e["success_once"] for e in episodes),
        "bundle": card["recipe"], "load": os.getloadavg(), "git": git_commit(), "hardware": hardware(),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(allow_abbrev=False, description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--arm", default="sim_panda_vga", help="profile (default %(default)s)")
    parser.add_argument("--minutes", type=float, default=20.0, help="(default %(default)s)")
    parser.add_argument("--rate", type=float, default=0.0, help="Hz (default: the bundle's own)")
    parser.add_argument("--busy", type=int, default=0, help="processes that only count (default %(default)s)")
    parser.add_argument("--out", type=Path, help="write the numbers there, as JSON")
    parser.add_argument("--simulate", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.simulate:
        contract = bundle.read(args.bundle)[1]
        size = contract.cameras[0].height
        sys.exit(simulate(contract.task, args.arm, size, args.rate, 100_000, args.simulate))
    found = measure(args.bundle, args.arm, args.minutes, args.rate, args.busy)
    print(json.dumps(found, indent=2))
    if args.out:
        write_json(args.out, found)


if __name__ == "__main__":
    main()
