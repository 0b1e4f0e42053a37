"""Records: what a comparison says of runs, it says of their records, once the runs themselves are gone."""

import json
import shutil

import pytest
from conftest_runs import run_compare, write_run

from policies.config import RecipeConfig
from policies.evaluation import compare, evaluate
from policies.evaluation.compare import main
from policies.evaluation.evaluate import EVAL_SEED, Evaluation, Outcome
from policies.runs.find import find
from policies.runs.record import load_record, make_record, write_record
from robot.errors import PixelarmError


@pytest.fixture
def records(tmp_path, monkeypatch):
    """Runs a1, a2, b1 and b2, what a comparison of them with ``--records`` said, and the folder of their records."""

    class World:
        metric = "success"

        def close(self):
            pass

    def play(env, act, seeds, title):
        good = {"a1": 8, "a2": 4, "b1": 10, "b2": 6, "cloned": 2}[act.name]
        return Evaluation([Outcome(s, s - EVAL_SEED < good, s - EVAL_SEED < good - 1, 7, 0.0) for s in seeds])

    contract = type("Fake", (), {"hash": "x"})()
    monkeypatch.setattr(evaluate, "load_actor", lambda path: (path, contract, {"task": {}}))
    monkeypatch.setattr(evaluate, "make_env_for", lambda contract, config: World())
    monkeypatch.setattr(evaluate, "evaluate", play)
    monkeypatch.setattr(compare, "_save_figure", lambda *a: None)  # drawn in tests of its own
    runs = [write_run(tmp_path / f"{e}{s}", e, s, [(500, 3), (1000, 20)]) for e in "ab" for s in (1, 2)]
    folder = tmp_path / "records"
    said = run_compare(tmp_path, *runs, "--episodes", 10, "--records", folder)
    return runs, said, folder


def without_paths(report: dict) -> dict:
    """What a report says, but for where it was found."""
    curves = [{**c, "runs": [{**r, "run": ""} for r in c["runs"]]} for c in report["curves"]]
    runs = [{**r, "path": ""} for r in report["runs"]]
    return {key: report[key] for key in ("results", "pairs")} | {"curves": curves, "runs": runs}


def test_a_comparison_of_records_is_that_of_their_runs(tmp_path, records):
    runs, said, folder = records
    files = sorted(folder.glob("*.json"))
    assert [f.name for f in files] == [f"lift-{e}-seed{s}.json" for e in "ab" for s in (1, 2)]
    for run in runs:
        shutil.rmtree(run)
    again = run_compare(tmp_path / "later", *files, "--episodes", 10)
    assert without_paths(again) == without_paths(said)
    assert len(again["pairs"][0]["pairs"]) == 2 and again["notes"] == []


def test_records_and_runs_are_compared_with_each_other(tmp_path, records):
    runs, said, folder = records
    mixed = [folder / "lift-a-seed1.json", runs[1], runs[2], folder / "lift-b-seed2.json"]
    assert without_paths(run_compare(tmp_path / "later", *mixed, "--episodes", 10)) == without_paths(said)


def test_fewer_scenes_are_taken_and_more_are_not_made_up(tmp_path, records):
    _, _, folder = records
    files = sorted(folder.glob("*.json"))
    fewer = run_compare(tmp_path / "fewer", *files, "--episodes", 5)
    assert [r["measures"]["success"]["successes"] for r in fewer["results"]] == [9, 10]
    more = run_compare(tmp_path / "more", *files, "--episodes", 11)
    assert more["results"] == [] and sum("--episodes 10 is what it has" in note for note in more["notes"]) == 4


def test_a_record_names_no_folder_of_the_machine_that_made_it(tmp_path, records):
    _, _, folder = records
    text = (folder / "lift-a-seed1.json").read_text()
    assert str(tmp_path) not in text and '"run": "a1"' in text
    assert text.count("\n") > 20 and len(text) < 20_000  # an outcome a line: a change reads well


def test_nor_of_the_skills_that_a_run_began_with(tmp_path):
    run = write_run(tmp_path / "b1", "b", 1, recipe=RecipeConfig(skills=str(tmp_path / "elsewhere" / "grasping")))
    about = make_record(find([run])[0][0], {"outcomes": []}, [], True)
    assert about["config"]["recipe"]["skills"] == "grasping" and str(tmp_path) not in str(about)


def test_a_run_that_was_fitted_to_demonstrations_has_ended(tmp_path, records):
    """It takes no steps: its last policy is of step 0, and its log counts updates."""
    run = write_run(tmp_path / "b3", "b", 3, [(500, 3)], recipe=RecipeConfig(fit_updates=500))
    about = json.loads((run / "last" / "policy.json").read_text())
    (run / "last" / "policy.json").write_text(json.dumps({**about, "step": 0}))
    shutil.rmtree(tmp_path / "b1")  # what the policies of this name do is known
    run.rename(tmp_path / "b1")
    run_compare(tmp_path / "now", tmp_path / "b1", "--episodes", 10, "--records", tmp_path / "fitted")
    assert json.loads((tmp_path / "fitted" / "lift-b-seed3.json").read_text())["ended"]


def test_a_record_is_read_as_it_was_written(tmp_path):
    """Whatever its parts are called, and with nothing in its lists."""
    run = write_run(tmp_path / "log", "outcomes", 1)
    for outcomes, log in (([], []), ([{"seed": 1}], [{"step": 2}, {"step": 3}])):
        made = make_record(find([run])[0][0], {"outcomes": outcomes, "seeds": [1, 1]}, log, True)
        write_record(tmp_path / "a.json", made)
        assert load_record(tmp_path / "a.json") == made


def test_a_policy_inside_a_run_keeps_its_name(tmp_path, records):
    runs, _, _ = records
    run_compare(tmp_path / "two", runs[0], runs[0] / "cloned", "--episodes", 10, "--records", tmp_path / "both")
    again = run_compare(tmp_path / "later", *sorted((tmp_path / "both").glob("*.json")), "--episodes", 10)
    assert sorted(r["label"] for r in again["results"]) == ["a", "a, cloned"]


def test_what_has_not_ended_is_not_held_at_its_last_value(tmp_path, records):
    runs, _, _ = records
    shutil.rmtree(runs[1] / "last")  # stopped by hand
    said = run_compare(tmp_path / "now", runs[0], runs[1], "--episodes", 10, "--records", tmp_path / "stopped")
    again = run_compare(tmp_path / "later", *sorted((tmp_path / "stopped").glob("*.json")), "--episodes", 10)
    assert [r["ended"] for r in again["curves"][0]["runs"]] == [True, False]
    assert without_paths(again) == without_paths(said)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": "pixelarm-record/9"}, "it is pixelarm-record/9"),
        ({"log": None}, "it has no log"),
    ],
)
def test_a_damaged_record_is_refused_with_its_name(tmp_path, records, change, words):
    file = records[2] / "lift-a-seed1.json"
    data = {key: value for key, value in {**json.loads(file.read_text()), **change}.items() if value is not None}
    file.write_text(json.dumps(data))
    with pytest.raises(PixelarmError, match=f"lift-a-seed1.json is not a record .*{words}"):
        main([str(file), "--out", str(tmp_path / "out")])


def test_other_files_are_no_records(tmp_path):
    for name, text in (("a.json", "{}"), ("b.json", "not JSON"), ("c.json", "[1]"), ("d.txt", "{}")):
        (tmp_path / name).write_text(text)
        assert load_record(tmp_path / name) is None


def test_records_need_episodes(tmp_path):
    with pytest.raises(PixelarmError, match="leave --records out"):
        main([str(tmp_path), "--curves-only", "--records", str(tmp_path / "records")])
