"""The leaderboard: what is missing is done, what is there is not done again, and the numbers of the table by hand."""

import json

import pytest

from policies.bench import leaderboard
from policies.bench.leaderboard import MINUTES, Cell, cells, main, to_markdown
from robot.errors import PixelarmError, UnknownName
from sim.tasks import TASKS

TINY = [
    "recipe.demos=2", "recipe.pretrain_updates=2", "recipe.clone_updates=3", "recipe.steps=40",
    "recipe.critic_warmup=20", "recipe.learning_starts=20", "recipe.batch_size=8", "trainer.eval_every=40",
    "trainer.eval_episodes=1", "trainer.log_every=10", "trainer.checkpoint_every=20", "trainer.accelerator=cpu",
    "trainer.threads=1", "task.image_size=32",
]  # fmt: skip


def test_every_task_of_the_table_exists_and_has_its_rate():
    from sim.envs.config import TaskConfig
    from sim.envs.make import contract_for

    assert MINUTES.keys() <= TASKS.keys()
    assert {contract_for(TaskConfig(task)).rate_hz for task in MINUTES} == {leaderboard.RATE_HZ}


def test_a_seed_of_everything_comes_before_the_next(tmp_path):
    order = [(c.seed, c.task, c.recipe) for c in cells(["reach", "lift"], ["bc", "ibrl"], [1, 2], tmp_path)]
    assert order[:5] == [
        (1, "reach", "bc"),
        (1, "reach", "ibrl"),
        (1, "lift", "bc"),
        (1, "lift", "ibrl"),
        (2, "reach", "bc"),
    ]


def test_the_budget_is_robot_minutes_and_cloning_has_none(tmp_path):
    assert "recipe.steps=18000" in Cell("move", "ferm_pp", 1, tmp_path).overrides([])  # 30 minutes at 10 Hz
    assert not any(o.startswith("recipe.steps") for o in Cell("move", "bc", 1, tmp_path).overrides([]))
    assert [o for o in Cell("move", "ibrl", 1, tmp_path).overrides(["recipe.steps=7"]) if "recipe.steps" in o] == [
        "recipe.steps=7"
    ]


def test_a_line_of_the_table():
    once = {"value": 0.9, "runs": [0.95, 0.85]}
    results = [
        {"label": "bc", "measures": {"success": {"value": 0.5, "runs": [0.5]}, "at_end": {"value": 0.25}}},
        {"label": "ferm_pp", "measures": {"success": once, "at_end": {"value": 0.875}}},
    ]
    line = to_markdown({"move": {"results": results}}, 100).splitlines()[-1]
    cells_ = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells_ == ["[move](move/compare.md)", "30", "0.50 / 0.50, 0.25", "0.90 / 0.85, 0.88"]


@pytest.mark.train
def test_the_command_records_trains_plays_and_then_does_nothing_twice(tmp_path, monkeypatch, capsys):
    command = ["--tasks", "reach", "--recipes", "bc", "ferm_pp", "--seeds", "1", "--demos", "2", "--episodes", "2"]
    command += ["--out", str(tmp_path), "--override", *TINY]
    assert main(command) == 0
    first = json.loads((tmp_path / "leaderboard.json").read_text())
    assert [r["label"] for r in first["tasks"]["reach"]["results"]] == ["bc", "ferm_pp"]
    assert "ferm_pp" in (tmp_path / "leaderboard.md").read_text()
    monkeypatch.setattr(leaderboard, "learn", lambda *_: pytest.fail("trained twice"))
    assert main(command) == 0
    again = json.loads((tmp_path / "leaderboard.json").read_text())
    assert again["tasks"]["reach"]["results"] == first["tasks"]["reach"]["results"]


def test_one_run_that_fails_does_not_stop_the_others(tmp_path, monkeypatch):
    done = []

    def learn(cell, demos, more):
        done.append(cell.recipe)
        if cell.recipe == "bc":
            raise PixelarmError("the disk is full")

    monkeypatch.setattr(leaderboard, "learn", learn)
    monkeypatch.setattr(leaderboard, "write", lambda *_: None)
    with pytest.raises(PixelarmError, match="the same command tries them again(.|\n)*bc-reach-seed1: the disk is full"):
        main(["--tasks", "reach", "--recipes", "bc", "ibrl", "--seeds", "1", "--out", str(tmp_path)])
    assert done == ["bc", "ibrl"]


@pytest.mark.parametrize(
    ("more", "kind", "words"),
    [
        (["--tasks", "kitchen"], UnknownName, "unknown task of the leaderboard 'kitchen'"),
        (["--seeds", "0"], PixelarmError, "--seeds must be at least 1"),
        (["--only-table"], PixelarmError, "no run in .* has ended: nothing to show yet"),
    ],
)
def test_what_cannot_be_done_is_refused(tmp_path, more, kind, words):
    with pytest.raises(kind, match=words):
        main(["--out", str(tmp_path), *more])
