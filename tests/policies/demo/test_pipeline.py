"""The main job with almost no training: every stage, over real ROS 2 processes, and again at once."""

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from policies.demo.pipeline import Demo, preflight
from policies.evaluation import report
from policies.training.checks import check_recording
from robot.dataset.episodes import read_dataset
from robot.errors import MissingDependency, PixelarmError
from robot.files import Claim
from sim.envs.make import make_env
from sim.rendering import gl

WANTED = {
    "sim", "bc", "ros", "latency_ms", "deadline_ms", "deadline_misses", "env_steps", "robot_minutes",
    "updates_per_second", "minutes", "seed", "versions", "contract_hash",
}  # fmt: skip

needs_ros = pytest.mark.skipif(importlib.util.find_spec("rclpy") is None, reason="rclpy is not installed")


def demo(folder, *options, **kwargs):
    command = [sys.executable, "-m", "robot.cli", "demo", "--budget", "smoke", "--run", str(folder), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=400, **kwargs)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "run"
    done = demo(folder)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder, done


def test_without_opengl_only_an_absent_ray_caster_stops_the_demo(monkeypatch):
    """Otherwise it runs, drawn by the ray-caster."""
    there = importlib.util.find_spec("mujoco")
    monkeypatch.setattr(gl, "_missing", "no OpenGL library")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: there)
    preflight(skip_ros=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "mujoco_warp" else there)
    with pytest.raises(MissingDependency, match="no OpenGL library.*apt-get"):
        preflight(skip_ros=False)


def test_what_the_demo_cannot_do_is_refused_before_its_first_stage(tmp_path, monkeypatch):
    def demo_of(folder, task="reach", seed=1, *options):
        made = Demo(folder, task, seed, "smoke", "ferm_plus", True, list(options))
        monkeypatch.setattr(made, "collect", lambda: pytest.fail("recorded"))
        return made

    (tmp_path / "FILE").write_text("")
    for arguments, words in (
        (("r", "dmc/walker-walk"), "the demo learns from a scripted expert, which dmc/walker-walk has not"),
        (("r", "reach", -1), "seed must be between 0"),
        (("r", "reach", 1, "recipe.steps=-3"), "recipe.steps must be at least 0, got -3"),
        (("r", "reach", 1, "nosuch.option=3"), "unknown option nosuch"),
        (("FILE/r",), "nothing can be written into .*FILE/r: Not a directory"),
    ):
        with pytest.raises(PixelarmError, match=words):
            demo_of(tmp_path / arguments[0], *arguments[1:]).run()
    assert not (tmp_path / "r" / "demo.json").exists()
    with (
        Claim(tmp_path / "r", "running the demo"),
        pytest.raises(PixelarmError, match="r is in use by .*running the demo"),
    ):
        demo_of(tmp_path / "r").run()


@pytest.mark.parametrize(
    ("file", "text"), [("demo.json", "{"), ("demo.json", "[]"), ("stages.json", "{"), ("stages.json", "{}")]
)
def test_a_damaged_demo_is_said_in_words(file, text, tmp_path):
    one = Demo(tmp_path, "reach", 1, "smoke", "ferm_plus", True, [])
    one._open()
    (tmp_path / file).write_text(text)
    with pytest.raises(PixelarmError, match=f"{file}( is|.*damaged| must hold)"):
        one._open()


@pytest.mark.gl
def test_the_demo_records_in_the_way_it_learns(tmp_path):
    options = ["task.randomise=[mass]", "task.look=textured", "task.actuation_delay_ms=[0,20]", "task.hold_steps=2"]
    one = Demo(tmp_path, "reach", 1, "smoke", "ferm_plus", True, [*options, "task.image_size=32"])
    one.collect()
    env = make_env(one.config().task)
    assert check_recording(env.recording, read_dataset(tmp_path / "demos")) == []
    judging = one._judging_env()
    assert (judging.recording["randomise"], judging.recording["look"], judging.hold_steps) == ([], "textured", 5)
    env.close()
    judging.close()


@needs_ros
@pytest.mark.slow
@pytest.mark.ros
def test_the_smoke_demo_goes_all_the_way(finished):
    folder, done = finished
    summary = json.loads((folder / "summary.json").read_text())
    assert summary.keys() >= WANTED
    for part in ("sim", "bc", "ros"):
        assert summary[part].keys() >= {"success", "n", "low", "high"} and summary[part]["low"] <= summary[part]["high"]
    assert summary["latency_ms"].keys() >= {"p50", "p99", "max"} and summary["latency_ms"]["n"] > 20
    assert summary["env_steps"] == 80 and summary["robot_minutes"] == pytest.approx(80 / 600)
    named = re.findall(r"``([\w/.]+[./]\w*)``", report.__doc__)
    assert "summary.json" in named and all((folder / name).exists() for name in named), named
    page = (folder / "report.html").read_text()
    assert "data:image/png" in page and "data:video/mp4" in page and "Smoke budget" in page
    assert "success, over ROS 2" in done.stdout and str(folder / "report.html") in done.stdout


@needs_ros
@pytest.mark.slow
@pytest.mark.ros
@pytest.mark.serial
@pytest.mark.thorough
def test_the_second_time_is_quick_and_loses_nothing(finished):
    folder, _ = finished
    before = (folder / "bundle" / "policy.onnx").read_bytes()
    again = demo(folder)
    assert again.returncode == 0 and "done before" in again.stdout and "[5/6]" not in again.stdout
    assert (folder / "bundle" / "policy.onnx").read_bytes() == before


@needs_ros
@pytest.mark.slow
@pytest.mark.ros
@pytest.mark.serial
@pytest.mark.thorough
def test_a_folder_of_another_demo_is_refused(finished):
    folder, _ = finished
    other = demo(folder, "--seed", "7")
    assert other.returncode == 2 and "holds another demo" in other.stderr and "Traceback" not in other.stderr


@pytest.mark.slow
@pytest.mark.thorough
def test_ctrl_c_in_any_stage_ends_cleanly_and_goes_on(tmp_path):
    """The same demo is interrupted in three stages; each start goes on where the one before it was ended."""
    folder = tmp_path / "run"
    command = [sys.executable, "-m", "robot.cli", "demo", "--budget", "smoke", "--no-ros", "--run", str(folder)]
    for stage in ("[1/6]", "[2/6]", "[3/6]"):
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        assert any(stage in line for line in process.stdout), process.stderr.read()[-2000:]  # reads up to that line
        time.sleep(0.2)  # into the stage; what is left takes longer
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=60)
        # Python ends itself by the signal where a module in C was being imported; a shell calls both 130
        assert process.returncode in (130, -signal.SIGINT) and "Traceback" not in err, err[-2000:]
    resumed = demo(folder, "--no-ros")
    assert resumed.returncode == 0, resumed.stderr[-3000:]
    assert (folder / "report.html").exists()
