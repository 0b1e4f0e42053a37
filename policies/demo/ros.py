"""The demo's ROS stage: simulated arm and policy node as two processes over real DDS on loopback."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from policies.evaluation.evaluate import EVAL_SEED
from policies.runs.checkpoint import read_json
from robot import packages
from robot.contract import Contract
from robot.errors import PixelarmError


def run_over_ros(folder: Path, contract: Contract, episodes: int) -> dict[str, Any]:
    """Run ``episodes`` of the folder's bundle, made for ``contract``; returns the arm's results and the loop's counts.

    The arm plays the evaluation's own seeds. Both processes end with this one, however it ends.
    """
    results, loop, films, logs = folder / "ros.json", folder / "loop.json", folder / "films" / "ros", folder / "logs"
    for old in (results, loop):
        old.unlink(missing_ok=True)
    shutil.rmtree(films, ignore_errors=True)
    logs.mkdir(exist_ok=True)
    environment = {
        **os.environ,
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        "ROS_DOMAIN_ID": os.environ.get("ROS_DOMAIN_ID") or str(random.SystemRandom().randint(1, 100)),
        "ROS_LOG_DIR": str((logs / "ros").resolve()),
        "OMP_NUM_THREADS": "1",
        "PYTHONUNBUFFERED": "1",
        **importing_ours(),
    }  # fmt: skip
    cli = [sys.executable, "-m", "robot.cli"]
    arm_command = [
        *cli, "sim-arm", "--task", contract.task, "--image-size", str(contract.cameras[0].height),
        "--episodes", str(episodes), "--seed-start", str(EVAL_SEED),
        "--results", str(results), "--video-dir", str(films),
    ]  # fmt: skip
    node_command = [*cli, "deploy", str(folder / "bundle"), "--arm", "sim_panda", "--stats", str(loop)]
    processes: list[subprocess.Popen[bytes]] = []
    with (logs / "deploy.log").open("wb") as node_log:
        try:
            arm = subprocess.Popen(arm_command, env=environment)
            processes.append(arm)
            node = subprocess.Popen(node_command, env=environment, stdout=node_log, stderr=subprocess.STDOUT)
            processes.append(node)
            _wait(arm, node, limit_s=60 + 20 * episodes, log=logs / "deploy.log")
            _stop(node)
        finally:
            for process in reversed(processes):
                _stop(process)
    if arm.returncode != 0 or not results.exists():
        raise PixelarmError(
            f"the simulated arm ended with exit code {arm.returncode}; the policy node's "
            f"log:\n{_tail(logs / 'deploy.log')}"
        )
    if node.returncode != 0 or not loop.exists():
        raise PixelarmError(
            f"the policy node ended with exit code {node.returncode}; its log:\n{_tail(logs / 'deploy.log')}"
        )
    return {"arm": read_json(results), "loop": {k: v for k, v in read_json(loop).items() if k != "latency_samples_ms"}}


def importing_ours() -> dict[str, str]:
    """What makes ``python -m`` find pixelarm's packages, however folders are called in the one
    that this process runs in.
    """
    return {} if Path.cwd() == packages.HOME else {"PYTHONSAFEPATH": "1"}


def _wait(arm: subprocess.Popen[bytes], node: subprocess.Popen[bytes], limit_s: float, log: Path) -> None:
    """Until the arm has played its episodes; a node that dies before, or a limit that passes, is an error."""
    start = time.monotonic()
    while arm.poll() is None:
        if node.poll() is not None:
            raise PixelarmError(
                f"the policy node ended before the episodes did (exit code {node.returncode}); its log:\n{_tail(log)}"
            )
        if time.monotonic() - start > limit_s:
            raise PixelarmError(
                f"the episodes over ROS 2 did not end within {limit_s:.0f} s; the policy node's log:\n{_tail(log)}"
            )
        time.sleep(0.2)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Ask politely, so that statistics are written; then insist."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _tail(path: Path, lines: int = 15) -> str:
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:]) if path.exists() else "(no log)"
