"""The tables of `pixelarm bench spirl`, by hand, what it refuses, and that what is there is used again."""

import shlex

import numpy as np
import pytest

from policies.bench.spirl import LEARNERS, _parser, curve_table, main, table
from policies.evaluation.curves import RunCurve, group_curve
from robot.errors import PixelarmError, UnknownName
from sim.kitchen.folder import jobs_of, make_split
from sim.kitchen.protocol import Score


def played(done: list[list[int]]) -> Score:
    """Scenes whose subtasks are done (1) from step 100 on, or never (0)."""
    distances = np.ones((len(done), 451, len(done[0])))
    distances[:, 100:] -= 0.9 * np.array(done)[:, None]
    return Score(("microwave", "kettle"), tuple(range(len(done))), distances)


def test_held_and_deployed_stand_beside_each_other():
    """Held, both scenes have both subtasks; deployed, one has one: 0.5 of 2."""
    text = table({"SPiRL": [{"held": played([[1, 1], [1, 1]]), "deployed": played([[1, 0], [0, 0]])}]})
    both, half = "2.00 [2.00, 2.00]", "0.50 [0.00, 1.00]"
    assert text.splitlines()[-1] == f"| SPiRL | 1 | {both} | {both} | {half} | {half} | 1.00 | 1.00 |"


def test_curves_stand_beside_each_other_step_by_step():
    """Two seeds of the first, whose mean at step 10 is 1.5; the second has no point at step 20."""

    def run(values: list[float], steps: list[int]) -> RunCurve:
        return RunCurve("run", "completed", steps, values, 10, None, None, True)

    first = group_curve("a", "kitchen", "completed", [run([1.0, 2.0], [10, 20]), run([2.0, 3.0], [10, 20])])
    second = group_curve("b", "kitchen", "completed", [run([0.5], [10])])
    lines = curve_table([first, second]).splitlines()
    assert lines[0] == "| environment steps | a | b |"
    assert lines[2].startswith("| 10 | 1.50 [1.00, 2.00] | 0.50 |") and lines[3].startswith(
        "| 20 | 2.50 [2.00, 3.00] |"
    )


@pytest.mark.parametrize(
    ("argv", "error", "words"),
    [
        (["--split", "no-kettle", "--learners", "nobody"], UnknownName, "nobody"),
        (["--split", "no-kettle", "--data", "nowhere"], PixelarmError, "nowhere holds no pretraining data"),
        (["--split", "no-kettle", "--steps", "0"], PixelarmError, "--steps must be at least 1, got 0"),
    ],
)
def test_what_cannot_be_measured_is_refused(argv, error, words):
    with pytest.raises(error, match=words):
        main(argv)


def test_its_examples_can_be_pasted(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    lines = capsys.readouterr().out.partition("examples:")[2].replace("\\\n", " ").strip().splitlines()
    commands = [shlex.split(line) for line in lines]
    assert [words[:3] for words in commands] == [["pixelarm", "data", "make"], *[["pixelarm", "bench", "spirl"]] * 2]
    for words in commands[1:]:
        assert set(_parser().parse_args(words[3:]).learners) <= set(LEARNERS)


@pytest.mark.train
def test_what_is_there_is_used_again(tmp_path, capsys):
    """Flat soft actor-critic of 30 steps, asked for again, then for more steps, then for fewer."""
    assert len(list(make_split(jobs_of("no-top-burner", tmp_path / "data", 1, 1, 3), "no-top-burner", 1))) == 2
    words = ["--split", "no-top-burner", "--data", str(tmp_path / "data"), "--out", str(tmp_path / "out")]
    small = ["recipe.random_steps=10", "recipe.learning_starts=10", "task.time_limit=10", "trainer.eval_episodes=1"]
    words += ["--learners", "sac", "--episodes", "1", "--option", *small, "trainer.eval_every=15", "--steps"]
    assert main([*words, "30"]) == 0
    first = (tmp_path / "out" / "table.md").read_text()
    made = (tmp_path / "out" / "sac-seed1" / "last" / "policy.safetensors").stat().st_mtime_ns
    assert (tmp_path / "out" / "curves.png").stat().st_size > 1000 and "| 30 | " in first
    assert main([*words, "30"]) == 0
    assert (tmp_path / "out" / "sac-seed1" / "last" / "policy.safetensors").stat().st_mtime_ns == made
    assert main([*words, "45"]) == 0
    assert "| 45 | " in (tmp_path / "out" / "table.md").read_text()
    with pytest.raises(PixelarmError, match="is a run of 45 steps, not 30"):
        main([*words, "30"])
