"""Scripted demonstrations: what is recorded, and that they end where training's episodes would."""

import pytest

from policies.collect import main
from policies.config import TaskConfig
from policies.envs import make_env, make_env_for
from robot.episodes import read_dataset
from robot.errors import PixelarmError


def record(folder, *options):
    assert main(["--task", "reach", "--episodes", "2", "--image-size", "32", "--out", str(folder), *options]) == 0
    return read_dataset(folder)


def test_demonstrations_last_as_long_as_success_must(tmp_path):
    """The same scenes and expert: three steps more, which keep what was reached, and the reward at the very end."""
    once, held = record(tmp_path / "once"), record(tmp_path / "held", "--hold-steps", "4")
    assert [len(episode) for episode in held] == [len(episode) + 3 for episode in once]
    for short, long in zip(once, held):
        assert (long.actions[: len(short)] == short.actions).all()
        assert long.rewards.tolist() == [0.0] * (len(long) - 1) + [1.0] == long.terminated.tolist()
    assert [episode.provenance["hold_steps"] for episode in once + held] == [1, 1, 4, 4]


def test_a_policy_is_judged_by_its_first_success_whatever_it_learned_from():
    trained = make_env(TaskConfig(name="reach", hold_steps=4))
    judged = make_env_for(trained.contract, {"task": {"name": "reach", "hold_steps": 4}})
    assert (trained.hold_steps, judged.hold_steps) == (4, 1)
    trained.close()
    judged.close()


def test_returns_cannot_be_held():
    pytest.importorskip("dm_control")
    with pytest.raises(PixelarmError, match="dmc/cartpole_swingup has returns alone"):
        make_env(TaskConfig(name="dmc/cartpole_swingup", hold_steps=4))
