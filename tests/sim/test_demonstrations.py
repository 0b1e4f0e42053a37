"""Scripted demonstrations: what is recorded, and that they end where training's episodes would."""

import numpy as np
import pytest

from robot.dataset.episodes import read_dataset
from robot.errors import DatasetError, PixelarmError
from sim import demonstrations
from sim.demonstrations import main
from sim.envs.config import TaskConfig
from sim.envs.make import make_env, make_env_for


def record(folder, *options):
    assert main(["--task", "reach", "--episodes", "2", "--image-size", "32", "--out", str(folder), *options]) == 0
    return read_dataset(folder)


def test_demonstrations_last_as_long_as_success_must(tmp_path):
    """The same scenes and expert: three steps more, which keep what was reached, and the reward at the very end."""
    once = record(tmp_path / "once", "--hold-steps", "1", "--after", "0")
    held = record(tmp_path / "held", "--hold-steps", "4", "--after", "0")
    assert [len(episode) for episode in held] == [len(episode) + 3 for episode in once]
    for short, long in zip(once, held):
        assert (long.actions[: len(short)] == short.actions).all()
        assert long.rewards.tolist() == [0.0] * (len(long) - 1) + [1.0] == long.terminated.tolist()
    assert [episode.provenance["recording"]["hold_steps"] for episode in once + held] == [1, 1, 4, 4]


def test_demonstrations_go_on_past_success(tmp_path):
    """The same scenes and expert: each of three steps more pays, and would have ended the episode, too."""
    until, past = record(tmp_path / "until", "--after", "0"), record(tmp_path / "past", "--after", "3")
    for short, long in zip(until, past):
        assert len(long) == len(short) + 3 and (long.actions[: len(short)] == short.actions).all()
        assert long.rewards.tolist() == [0.0] * (len(short) - 1) + [1.0] * 4 == long.terminated.tolist()
        assert long.steps_to_end == short.steps_to_end == len(short)
    assert len(record(tmp_path / "default")[0]) == len(until[0]) + 10


class Undone:
    """An expert that leaves the goal of Reach once it is there: the environment's, but for its last actions."""

    def __init__(self, env, seed, scenes):
        self.env, self.act, self.leaves, self.there = env, env.expert(seed), seed in scenes, False

    def __call__(self):
        action = self.act()
        self.there = self.there or bool(self.env._done_for)
        if self.leaves and self.there:
            action[:3] = self.env.contract.action.high[:3]
        return action


def test_an_attempt_that_undoes_its_success_is_recorded_anew(tmp_path):
    env = make_env(TaskConfig(name="reach", image_size=32, hold_steps=1))

    class Leaving:
        contract, recording, reset, step = env.contract, env.recording, env.reset, env.step

        def expert(self, seed):
            return Undone(env, seed, {1_001_000})

    demonstrations.collect(Leaving(), tmp_path, 1, 1, after=8)
    env.close()
    assert [episode.provenance["seed"] for episode in read_dataset(tmp_path)] == [1_001_001]


def test_where_loose_objects_lay_is_recorded(tmp_path):
    """In the base frame, as success tests have it; Reach has none."""
    env = make_env(TaskConfig(name="lift", image_size=32))
    demonstrations.collect(env, tmp_path / "lift", 2, 1)
    for episode in read_dataset(tmp_path / "lift"):
        env.reset(seed=episode.provenance["seed"])
        assert list(episode.provenance["objects"]) == ["cube_main"]
        there = env.world.object_position("cube_main")
        assert episode.provenance["objects"]["cube_main"] == pytest.approx(there, abs=1e-4)
    env.close()


@pytest.mark.gl
def test_how_demonstrations_were_recorded_is_recorded(tmp_path):
    """The defaults, and every option; the look shows in the pictures."""
    plain = record(tmp_path / "plain")[0]
    assert plain.provenance["recording"] == {
        "look": "plain", "renderer": "opengl", "actuation_delay_ms": [0.0, 50.0], "observation_delay_ms": [0.0, 0.0],
        "randomise": [], "hold_steps": 5, "cameras": {},
    }  # fmt: skip
    options = ["--actuation-delay-ms", "10", "30", "--observation-delay-ms", "0", "25", "--look", "textured"]
    options += ["--randomise", "mass", "lights", "--camera-profile", "sim_panda_vga"]
    camera = {"size": [640, 480], "crop": None, "resize": "center", "rotate": 0}
    other = record(tmp_path / "other", *options)[0]
    assert other.provenance["recording"] == {
        "look": "textured", "renderer": "opengl", "actuation_delay_ms": [10.0, 30.0],
        "observation_delay_ms": [0.0, 25.0], "randomise": ["lights", "mass"],
        "hold_steps": 5, "cameras": {"agentview": camera, "eye_in_hand": camera},
    }  # fmt: skip
    first = [episode.observation(0)["agentview"].astype(float) for episode in (plain, other)]
    assert np.abs(first[0] - first[1]).mean() > 5


def test_appending_with_the_same_seed_records_other_scenes(tmp_path):
    record(tmp_path)
    seeds = [episode.provenance["seed"] for episode in record(tmp_path, "--append")]
    assert seeds == [1_001_000, 1_001_001, 1_001_002, 1_001_003]
    with pytest.raises(DatasetError, match="hold_steps: 2 here, 5 there(.|\n)*append with the same options"):
        record(tmp_path, "--append", "--hold-steps", "2")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--after", "-1"], "--after must be 0 to 1000 steps, got -1"),
        (["--look", "shiny"], "unknown look of reach 'shiny'; the valid names are: plain, textured"),
        (
            ["--actuation-delay-ms", "0", "100"],
            "actuation_delay_ms must be 0 <= low <= high < one control period of 100 ms",
        ),
        (["--task", "dmc/cartpole_swingup"], "unknown task 'dmc/cartpole_swingup'; the valid names are: .*reach"),
    ],
)
def test_what_cannot_be_recorded_is_refused_in_words(tmp_path, options, words):
    with pytest.raises(PixelarmError, match=words):
        record(tmp_path, *options)


def test_a_policy_is_judged_by_half_a_second_of_success_whatever_it_learned_from():
    trained = make_env(TaskConfig(name="reach", hold_steps=4))
    judged = make_env_for(trained.contract, {"task": {"name": "reach", "hold_steps": 4}})
    assert (trained.hold_steps, judged.hold_steps) == (4, 5)
    trained.close()
    judged.close()


def test_returns_cannot_be_held():
    pytest.importorskip("dm_control")
    with pytest.raises(PixelarmError, match="dmc/cartpole_swingup has returns alone"):
        make_env(TaskConfig(name="dmc/cartpole_swingup", hold_steps=4))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--image-size", "7"], "--image-size must be 25 to 2048 pixels, got 7: the networks of `pixelarm train`"),
        (["--image-size", "24"], "must be 25 to 2048"),
        (["--image-size", "0"], "must be 25 to 2048"),
        (["--image-size", "100000"], "must be 25 to 2048"),
        (["--image-size", "2049"], "must be 25 to 2048"),
        (["--seed", "-5"], "--seed must be at least 0, got -5"),
        (["--out", "FILE/demos"], "nothing can be written into FILE/demos: Not a directory"),
    ],
)
def test_what_cannot_be_recorded_is_refused_before_the_scene_is_built(options, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(demonstrations, "make_env", lambda *_: pytest.fail("built"))
    (tmp_path / "FILE").write_text("")
    with pytest.raises(PixelarmError, match=words):
        main(["--task", "reach", *options])
