"""The leaderboard: what is missing is done, what is there is not done again, and the numbers of the table by hand."""

import json

import numpy as np
import pytest

from policies.bench import leaderboard, leaderboard_pages
from policies.bench.leaderboard import MINUTES, Cell, cells, main
from policies.bench.leaderboard_pages import side_by_side, to_markdown
from robot import bundle
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
        {"label": "ferm_pp", "measures": {"success": once, "at_end": {"value": 0.875}}},
        {"label": "bc", "measures": {"success": {"value": 0.5, "runs": [0.5]}, "at_end": {"value": 0.25}}},
    ]
    line = to_markdown({"move": {"results": results}}, {"move": 30}, 100).splitlines()[-1]
    cells_ = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells_ == ["[move](move/README.md)", "30", "0.90 / 0.85, 0.88 (2)", "0.50 / 0.50, 0.25 (1)"]


def test_a_shorter_film_holds_its_last_frame():
    films = [[np.full((2, 2, 3), value, np.uint8) for value in values] for values in ([1, 2, 3], [7])]
    joined = side_by_side(films)
    assert [frame[0, :, 0].tolist() for frame in joined] == [[1, 1, 7, 7], [2, 2, 7, 7], [3, 3, 7, 7]]


@pytest.mark.train
def test_the_command_records_trains_plays_and_then_does_nothing_twice(tmp_path, monkeypatch, capsys):
    command = ["--tasks", "reach", "--recipes", "bc", "ferm_pp", "--seeds", "1", "--demos", "2", "--episodes", "2"]
    command += ["--out", str(tmp_path), "--records", str(tmp_path / "records"), "--override", *TINY]
    assert main(command) == 0
    first = json.loads((tmp_path / "leaderboard.json").read_text())
    assert [r["label"] for r in first["tasks"]["reach"]["results"]] == ["ferm_pp", "bc"]  # the others against it
    assert "ferm_pp" in (tmp_path / "leaderboard.md").read_text()
    page = (tmp_path / "reach" / "README.md").read_text()
    assert "pixelarm leaderboard --tasks reach --recipes ferm_pp bc --seeds 1" in page and str(tmp_path) not in page
    assert (tmp_path / "reach" / "film.mp4").stat().st_size > 1000
    whole = (tmp_path / "leaderboard.html").read_text()
    assert "data:video/mp4" in whole and "data:image/png" in whole and "<script" not in whole
    assert bundle.read(tmp_path / "bundles" / "ferm_pp-reach-seed1")[1].task == "reach"
    monkeypatch.setattr(leaderboard, "learn", lambda *_: pytest.fail("trained twice"))
    monkeypatch.setattr("policies.export.onnx.export", lambda *_: pytest.fail("exported twice"))
    monkeypatch.setattr("policies.evaluation.evaluate.rollout", lambda *_, **__: pytest.fail("played twice"))
    assert main(command) == 0
    again = json.loads((tmp_path / "leaderboard.json").read_text())
    assert again["tasks"]["reach"]["results"] == first["tasks"]["reach"]["results"]
    # nor where nothing but the records is left
    (tmp_path / "records").rename(tmp_path / "elsewhere")
    command[command.index("--out") + 1 : command.index("--override")] = [
        str(tmp_path / "new"), "--records", str(tmp_path / "elsewhere"),
    ]  # fmt: skip
    assert main(command) == 0
    kept = json.loads((tmp_path / "new" / "leaderboard.json").read_text())
    assert kept["tasks"]["reach"]["results"] == first["tasks"]["reach"]["results"]
    assert "the record of what they did" in (tmp_path / "new" / "reach" / "README.md").read_text()


def test_one_run_that_fails_does_not_stop_the_others(tmp_path, monkeypatch):
    done = []

    def learn(cell, demos, more):
        done.append(cell.recipe)
        if cell.recipe == "bc":
            raise PixelarmError("the disk is full")

    monkeypatch.setattr(leaderboard, "learn", learn)
    monkeypatch.setattr(leaderboard_pages, "write_pages", lambda *_, **__: "")
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
