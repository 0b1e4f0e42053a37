"""When the nodes of a row are fit for it, and that none outlives the command."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("rclpy")

from rclpy.node import Node
from std_msgs.msg import String

from hardware.ros.fault_scene import FaultScene
from robot.ros import runtime

ROOT = Path(__file__).parents[3]


@pytest.fixture
def scene() -> FaultScene:
    """One that has heard everything just now, and starts nothing."""
    made: Any = FaultScene.__new__(FaultScene)
    made.profile = SimpleNamespace(arbiter=SimpleNamespace(state_age_s=0.3))
    made.status, made._status_s = {"state_age_s": 0.02}, time.monotonic()
    made._unready, made._ready_times = "nothing was heard of it yet", 0
    for _ in range(3):
        made._on_ready(String(data=""))
    return made


def test_a_scene_that_hears_everything_is_fit(scene: FaultScene) -> None:
    assert scene.trouble() == ""


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"status": {}}, "the arbiter is not heard"),
        ({"_status_s": -9.0}, "the arbiter is not heard"),
        ({"status": {"state_age_s": 0.4}}, "state of the arm is 0.4 s old"),
        ({"status": {"state_age_s": None}}, "state of the arm is - s old"),
        ({"_ready_s": -9.0}, "the policy is not heard"),
    ],
)
def test_what_is_silent_or_old_is_said(scene: FaultScene, change: dict[str, Any], words: str) -> None:
    vars(scene).update(change)
    assert words in scene.trouble()


def test_a_policy_is_ready_when_it_says_so_three_times_in_a_row(scene: FaultScene) -> None:
    scene._on_ready(String(data="agentview is old"))
    assert scene.trouble() == "agentview is old"
    for _ in range(2):
        scene._on_ready(String(data=""))
        assert "only now and then" in scene.trouble()
    scene._on_ready(String(data=""))
    assert scene.trouble() == ""


@pytest.mark.ros
@pytest.mark.serial
@pytest.mark.parametrize(("gone", "code"), [(0, 9), (1, 0)], ids=["there", "gone"])
def test_a_node_ends_in_order_when_its_parent_is_gone(gone: int, code: int) -> None:
    """One whose parent is there goes on until somebody ends it, here with 9."""

    class Quiet(Node):
        def __init__(self) -> None:
            super().__init__("quiet")
            self.done, self.exit_code, self.finished = threading.Event(), 0, False
            threading.Timer(1.0, self.end).start()

        def end(self) -> None:
            self.exit_code = self.exit_code if self.finished else 9
            self.done.set()

        def finish(self) -> None:
            self.finished = True

    assert runtime.run(Quiet, parent=os.getppid() + gone) == code


def children(pid: int) -> dict[int, str]:
    """The processes that ``pid`` started, and their command lines."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == pid:
                found[int(entry.name)] = (entry / "cmdline").read_text().replace("\0", " ")
        except OSError:
            continue
    return found


def alive(pid: int) -> bool:
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.ros
@pytest.mark.serial
@pytest.mark.gl
@pytest.mark.thorough
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("module", ["faults", "field"])
def test_what_it_started_ends_with_it(module: str, number: signal.Signals, lift_bundle: Path) -> None:
    """In order where it can still end it, and by itself where it cannot."""
    command = [sys.executable, "-m", f"hardware.commands.{module}", str(lift_bundle)]
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, start_new_session=True)
    started: dict[int, str] = {}
    try:
        end, wanted = time.monotonic() + 60, {"faults": 3, "field": 2}[module]
        while len(started) < wanted and time.monotonic() < end:
            time.sleep(0.1)
            started = {pid: words for pid, words in children(process.pid).items() if "--end-with-parent" in words}
        assert len(started) == wanted, started
        time.sleep(6.0)  # until they run: a process that is still being imported has no other parent to compare with
        process.send_signal(number)
        assert process.wait(timeout=40) == (143 if number == signal.SIGTERM else -9)
        end = time.monotonic() + (0.5 if number == signal.SIGTERM else 20)
        while any(alive(pid) for pid in started) and time.monotonic() < end:
            time.sleep(0.1)
        assert [words for pid, words in started.items() if alive(pid)] == []
    finally:
        for pid in [process.pid, *started]:
            if alive(pid):
                os.kill(pid, signal.SIGKILL)
