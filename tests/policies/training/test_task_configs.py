"""``task=NAME``: every registered task composes, wherever it is named, without a file of its own."""

import re

import pytest

from policies.training import train
from policies.training.train import compose
from robot.errors import PixelarmError
from sim.tasks import TASKS
from sim.tasks.reach import Reach


@pytest.fixture
def trained(monkeypatch):
    """The configurations that ``pixelarm train`` would have trained with."""
    configs = []
    monkeypatch.setattr(train, "train", lambda cfg: configs.append(cfg) or cfg.run)
    return configs


@pytest.mark.parametrize("name", sorted(TASKS))
def test_every_registered_task_composes(name):
    cfg = compose([f"task={name}"])
    assert cfg.task.name == name and cfg.run == f"runs/ferm_plus-{name}-seed1"


def test_a_task_composes_as_soon_as_it_is_registered(monkeypatch):
    with pytest.raises(PixelarmError, match=r"Could not find 'task/mine'(.|\n)*\treach"):
        compose(["task=mine"])
    monkeypatch.setitem(TASKS, "mine", Reach)
    assert compose(["task=mine", "task.image_size=32"]).task.name == "mine"
    monkeypatch.delitem(TASKS, "mine")
    with pytest.raises(PixelarmError):
        compose(["task=mine"])


@pytest.mark.parametrize(
    ("choice", "name"),
    [("dmc/walker_walk", "dmc/walker-walk"), ("dmc/walker-walk", "dmc/walker-walk"), ("dmc/hopper-stand",) * 2],
)
def test_deepmind_control_by_file_and_by_name(choice, name):
    assert compose(["experiment=curl", f"task={choice}"]).task.name == name


def test_a_sweep_over_tasks(trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(TASKS, "mine", Reach)
    train.main(["-m", "task=lift,mine,dmc/hopper-stand"])
    assert [cfg.task.name for cfg in trained] == ["lift", "mine", "dmc/hopper-stand"]


def test_a_task_in_an_experiment_and_a_file_of_the_users(trained, tmp_path, monkeypatch):
    """A file of that name comes before the registry, with all that it says."""
    monkeypatch.chdir(tmp_path)
    for path, text in {
        "more/experiment/with_reach.yaml": "# @package _global_\ndefaults: [{override /task: reach}]\nexperiment: "
        "with_reach",
        "more/task/move.yaml": "name: move\nimage_size: 48",
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    train.main(["--config-dir", "more", "experiment=with_reach"])
    train.main(["--config-dir", "more", "task=move"])
    reach, move = (cfg.task for cfg in trained)
    assert reach.name == "reach" and reach.image_size == 64
    assert move.name == "move" and move.image_size == 48


def test_help_lists_the_tasks(capsys):
    with pytest.raises(SystemExit):
        train.main(["--help"])
    (line,) = re.findall(r"^task: (.*)$", capsys.readouterr().out, re.MULTILINE)
    assert set(line.split(", ")) == set(TASKS)
