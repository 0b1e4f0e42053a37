"""The benchmark of tasks: one task, two seeds, every column of its table and of its picture."""

import json

import numpy as np
import pytest
from PIL import Image

from robot.errors import MissingDependency, PixelarmError, UnknownName
from sim.bench import tasks as bench_tasks
from sim.envs.make import make
from sim.envs.task_env import TaskEnv
from sim.rendering import renderer as render
from sim.rendering.raycast import why_not
from sim.rendering.renderer import OpenGLRenderer
from sim.tasks import make_task

FLIPPED = 2  # each pixel's value has this bit flipped, so every one is off by exactly 2


class FlippedRenderer(OpenGLRenderer):
    """Stands for the ray-caster, whose kernels take their time to compile: another picture, and no textures."""

    def __init__(self, model, height, width):
        if reason := why_not(model):
            raise PixelarmError(f"the plain look only: {reason}")
        super().__init__(model, height, width)

    def render(self, data, camera):
        return super().render(data, camera) ^ np.uint8(FLIPPED)


@pytest.fixture
def flipped(monkeypatch):
    monkeypatch.setitem(render.RENDERERS, "raycast", FlippedRenderer)
    monkeypatch.setattr(bench_tasks, "PICTURE_SEEDS", 2)


def run(tmp_path, capsys, *options):
    assert bench_tasks.main(["--tasks", "reach", "--seeds", "2", "--out", str(tmp_path), *options]) == 0
    return capsys.readouterr().out


@pytest.mark.gl
def test_one_task_and_two_seeds(tmp_path, capsys, flipped):
    printed = json.loads(run(tmp_path, capsys, "--json"))
    assert printed == json.loads((tmp_path / "bench.json").read_text())
    assert printed["seeds"] == [0, 1] and printed["git"] and printed["versions"]["mujoco"] and printed["absent"] == {}
    expert, pictures = (printed["tasks"]["reach"][what] for what in ("expert", "pictures"))
    # Wilson, 2 of 2: the lower bound is 1 / (1 + 1.96^2 / 2) = 0.342
    assert (expert["success"], expert["n"], expert["failed_seeds"]) == (1.0, 2, [])
    assert expert["low"] == pytest.approx(0.342, abs=1e-3) and 1 < expert["mean_steps"] < 30
    assert pictures["difference"] == {"agentview": [2.0, 2.0], "eye_in_hand": [2.0, 2.0]}
    assert pictures["opengl_draws_both_looks"] and "has textures" in pictures["raycast_refuses_textures"]
    assert expert["reached"] and pictures["reached"]
    width, height = Image.open(tmp_path / "tasks.png").size
    assert width > 700 and height > 150


@pytest.mark.gl
def test_what_misses_its_bar_is_named(tmp_path, capsys, flipped, monkeypatch):
    monkeypatch.setattr(bench_tasks, "AGREE", 2.0)
    monkeypatch.setattr(bench_tasks, "play", lambda env, seed: (seed == 1, 10 * (seed + 1)))
    out = run(tmp_path, capsys)
    (line,) = [line for line in out.splitlines() if line.startswith("reach")]
    assert "0.50 [0.09, 0.91] (1 of 2)" in line and " 15.0 " in line  # steps (10 + 20) / 2
    assert "agentview 2.00 (2.00), eye_in_hand 2.00 (2.00)" in line
    assert line.endswith("MISSED: expert, pictures")
    assert json.loads((tmp_path / "bench.json").read_text())["tasks"]["reach"]["expert"]["failed_seeds"] == [0]


def test_without_a_renderer_the_experts_are_measured_all_the_same(tmp_path, capsys, monkeypatch):
    def missing(model, height, width):
        raise MissingDependency("no OpenGL library; install one")

    monkeypatch.setitem(render.RENDERERS, "opengl", missing)
    out = run(tmp_path, capsys)
    assert "(2 of 2)" in out and "pictures not available: no OpenGL library; install one" in out
    assert not (tmp_path / "tasks.png").exists()


@pytest.mark.gl
def test_an_episode_without_pictures_is_the_same_episode():
    seen, blind = make("reach", image_size=16), TaskEnv(bench_tasks.without_cameras(make_task("reach")))
    found = []
    for env in (seen, blind):
        found.append((*bench_tasks.play(env, 3), env.world.data.qpos.tolist()))
        env.close()
    assert found[0] == found[1] and found[0][0]


def test_wrong_arguments_are_refused_in_words():
    with pytest.raises(UnknownName, match="unknown task 'raech'; the valid names are: .*reach"):
        bench_tasks.main(["--tasks", "raech"])
    with pytest.raises(PixelarmError, match="--seeds must be at least 1, got 0"):
        bench_tasks.main(["--seeds", "0"])
