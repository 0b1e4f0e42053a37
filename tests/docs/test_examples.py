"""Each script of docs/examples runs as it stands, with a budget that is a fraction of what it shows."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "docs" / "examples"
TINY = [
    "recipe.demos=1", "recipe.pretrain_updates=2", "recipe.clone_updates=3", "recipe.steps=4", "recipe.critic_warmup=2",
    "recipe.batch_size=8", "recipe.learning_starts=2", "trainer.eval_every=4", "trainer.eval_episodes=1",
    "trainer.accelerator=cpu", "trainer.threads=1", "task.image_size=32", "algo.actor.gaussian.hidden=32", "algo.critic.mlp.hidden=32",
]  # fmt: skip

pytestmark = pytest.mark.skipif(importlib.util.find_spec("mujoco") is None, reason="pip install 'pixelarm[sim]'")


def run(folder: Path, *command: str) -> str:
    """What a Python process of its own prints, started in ``folder``."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{EXAMPLES}", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def called(folder: Path, example: str, arguments: str) -> str:
    """What ``main`` of an example prints."""
    return run(folder, "-c", f"from {example} import main; main({arguments})")


def test_they_are_short_and_say_how_to_run_them() -> None:
    for path in EXAMPLES.glob("*.py"):
        text = path.read_text()
        assert len(text.splitlines()) <= 40 and f"python docs/examples/{path.name}" in text, path.name
        assert f"{path.stem}" in Path(__file__).read_text(), f"{path.name} has no test here"


@pytest.mark.gl
def test_make_environment(tmp_path: Path) -> None:
    said = run(tmp_path, str(EXAMPLES / "make_environment.py"))
    assert "'agentview': ((84, 84, 3), 'uint8')" in said and "success: True" in said
    assert (tmp_path / "films" / "lift.mp4").stat().st_size > 1000


@pytest.mark.slow
def test_play_bundle(tmp_path: Path, lift_bundle: Path) -> None:
    said = run(tmp_path, str(EXAMPLES / "play_bundle.py"), str(lift_bundle))
    assert "task lift, 10 Hz, actions ('dx', 'dy', 'dz', 'gripper')" in said
    assert "success: False, after 60 steps" in said  # it goes to a point beside the cube


def test_record_demonstrations(tmp_path: Path) -> None:
    said = called(tmp_path, "record_demonstrations", "'demos', episodes=2, image_size=32")
    steps = [int(n) for n in re.findall(r"seed \d+: (\d+) steps, images \(\d+, 32, 32, 3\)", said)]
    assert len(steps) == 2 and f"2 episodes, {sum(steps)} steps, in demos" in said


def test_many_environments(tmp_path: Path) -> None:
    said = called(tmp_path, "many_environments", "num_envs=2, seconds=1.0")
    assert "'agentview': (2, 84, 84, 3)" in said
    assert int(re.search(r"(\d+) steps per second", said)[1]) > 0  # type: ignore[index]


@pytest.mark.slow
@pytest.mark.train
def test_train_and_evaluate(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    called(tmp_path, "record_demonstrations", "episodes=1, image_size=32")
    said = called(tmp_path, "train_and_evaluate", f"*{TINY}, episodes=1")
    assert re.search(r"^success at any step [01]\.00 \[.*\] \([01] of 1\)$", said, re.MULTILINE), said
    assert (tmp_path / "runs" / "examples" / "lift" / "policy" / "policy.json").is_file()
