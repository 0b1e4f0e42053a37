"""Comparing runs: the same seeds for all, pairs and their tests, by hand-written folders and one real evaluation."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from conftest_policies import agent_config, make_agent, tiny_contract
from conftest_runs import run_compare, write_bundle, write_run

from policies.config import TaskConfig, TrainConfig
from policies.evaluation import compare, evaluate
from policies.evaluation.compare import EPISODES, main
from policies.evaluation.evaluate import EVAL_SEED, Evaluation, Outcome
from policies.evaluation.tables import table
from policies.runs import checkpoint
from robot import bundle
from robot.errors import PixelarmError
from robot.stats import wilson


@pytest.fixture
def scripted(monkeypatch):
    """Policies succeed on the seeds that ``script[run folder's name]`` counts from EVAL_SEED;
    what was played is in ``played``.
    """
    world = SimpleNamespace(script={}, returns={}, played=[])

    def make_env_for(contract, config):
        return SimpleNamespace(metric="return" if world.returns else "success", close=lambda: None)

    def play(env, act, seeds, title):
        world.played.append(act.name)
        outcomes = []
        for seed in seeds:
            once, end = (seed - EVAL_SEED in s for s in world.script.get(act.name, ((), ())))
            outcomes.append(Outcome(seed, once, end, 7, world.returns.get(act.name, 0.0) + (seed - EVAL_SEED)))
        return Evaluation(outcomes)

    fake = SimpleNamespace(hash="x")
    monkeypatch.setattr(evaluate, "load_actor", lambda path: (path, fake, {"task": {}}))
    monkeypatch.setattr(evaluate, "make_env_for", make_env_for)
    monkeypatch.setattr(evaluate, "evaluate", play)
    monkeypatch.setattr(compare, "_save_figure", lambda *a: None)  # drawn in tests of its own
    return world


# -------------------------------------------------------------------------------------------------- the same test seeds
def test_results_by_hand(tmp_path, scripted):
    # ten seeds: a1 solves 0..7, a2 0..3; b1 solves 0..9 but keeps only 0..4, b2 2..7
    runs = [write_run(tmp_path / f"{e}{s}", e, s) for e in "ab" for s in (1, 2)]
    scripted.script = {
        "a1": (range(8), range(8)), "a2": (range(4), range(4)), "b1": (range(10), range(5)),
        "b2": (range(2, 8), range(2, 8)),
    }  # fmt: skip
    for run in runs:
        checkpoint_of(run)
    report = run_compare(tmp_path, *runs, "--episodes", 10)
    a, b = (r["measures"] for r in report["results"])
    assert (a["success"]["successes"], a["success"]["n"], a["success"]["runs"]) == (12, 20, [0.8, 0.4])
    assert a["success"]["episodes"] == [wilson(12, 20).low, wilson(12, 20).high]
    # seeds drawn first: both may be the better one, so the interval reaches beyond either run's own rate
    assert a["success"]["over_seeds"][0] < 0.4 and a["success"]["over_seeds"][1] > 0.8
    assert (b["success"]["successes"], b["at_end"]["successes"]) == (16, 11)
    (pair,) = report["pairs"]
    assert (pair["first"], pair["second"], pair["difference"]) == ("a", "b", pytest.approx(0.2))
    # seed 1: only b solves 8 and 9: p = 2 / 2^2; seed 2: only a solves 0, 1, only b solves 4..7: p = 2 (1 + 6 + 15) /
    # 2^6
    assert [p["tests"]["success"] for p in pair["pairs"]] == [
        {"only_first": 0, "only_second": 2, "p": 0.5},
        {"only_first": 2, "only_second": 4, "p": pytest.approx(44 / 64)},
    ]
    assert pair["pairs"][0]["tests"]["at_end"] == {"only_first": 3, "only_second": 0, "p": 0.25}
    text = (tmp_path / "out" / "compare.md").read_text()
    assert (
        "0.60 [0.39, 0.78] (12 of 20)" in text and "2 / 4 (p = 0.688)" in text and "0.80 [0.49, 0.94] (8 of 10)" in text
    )


def checkpoint_of(run: Path) -> None:
    """Give a run without evaluations the policy that it would have saved at its end."""
    os.rename(run / "last", run / "policy")


def test_nothing_is_played_twice(tmp_path, scripted, capsys):
    one, two = (write_run(tmp_path / f"a{s}", "a", s, [(500, 3)]) for s in (1, 2))
    run_compare(tmp_path, one, "--episodes", 4)
    run_compare(tmp_path, one, two, "--episodes", 4)
    assert scripted.played == ["a1", "a2"]
    run_compare(tmp_path, one, "--episodes", 5)  # other seeds
    assert scripted.played == ["a1", "a2", "a1"]
    checkpoint.save_tensors(one / "policy" / "policy.safetensors", {"weight": torch.zeros(2)})  # another policy
    run_compare(tmp_path, one, "--episodes", 4)
    assert scripted.played == ["a1", "a2", "a1", "a1"]


def test_a_result_of_another_commit_is_said_to_be_one(tmp_path, scripted, monkeypatch):
    run = write_run(tmp_path / "a1", "a", 1, [(500, 3)])
    monkeypatch.setattr(compare, "git_commit", lambda: "aaaa")
    run_compare(tmp_path, run, "--episodes", 4)
    monkeypatch.setattr(compare, "git_commit", lambda: "bbbb")
    assert any(
        "played at commit aaaa, this is bbbb" in note for note in run_compare(tmp_path, run, "--episodes", 4)["notes"]
    )


def test_runs_pair_by_training_seed_or_not_at_all(tmp_path, scripted):
    runs = [
        write_run(tmp_path / f"{e}{s}", e, s, [(500, 3)]) for e, s in (("a", 1), ("a", 2), ("b", 2), ("b", 3), ("c", 7))
    ]
    report = run_compare(tmp_path, *runs, "--episodes", 3)
    (pair,) = report["pairs"]
    assert pair["second"] == "b" and [p["seeds"] for p in pair["pairs"]] == [[2, 2]]
    assert "a and c have no training seed in common: not paired" in report["notes"]
    report = run_compare(tmp_path, runs[0], runs[4], "--episodes", 3)
    assert report["pairs"][0]["pairs"][0]["seeds"] == [1, 7], "one policy against another needs no common training seed"


def test_other_scenes_are_not_paired_and_other_cameras_are(tmp_path, scripted):
    base = dataclasses.replace(tiny_contract(), task="lift")
    wide = dataclasses.replace(base, cameras=tuple(dataclasses.replace(c, height=64, width=64) for c in base.cameras))
    fast = dataclasses.replace(base, rate_hz=20.0)
    runs = [
        write_run(tmp_path / name, name, 1, [(500, 3)], contract=contract)
        for name, contract in (("base", base), ("wide", wide), ("fast", fast))
    ]
    report = run_compare(tmp_path, *runs, "--episodes", 3)
    assert [p["second"] for p in report["pairs"]] == ["wide"]
    assert any("scenes differ: rate_hz: 10.0 here, 20.0 there" in note for note in report["notes"])


def test_tasks_are_kept_apart(tmp_path, scripted):
    runs = [write_run(tmp_path / f"{t}{e}", e, 1, [(500, 3)], task=t) for t in ("lift", "door") for e in "ab"]
    report = run_compare(tmp_path, *runs, "--episodes", 3)
    assert report["tasks"] == ["lift", "door"]
    assert [(p["task"], p["first"], p["second"]) for p in report["pairs"]] == [("lift", "a", "b"), ("door", "a", "b")]


def test_returns_are_compared_as_numbers(tmp_path, scripted):
    scripted.returns = {"a": 100.0, "b": 130.0}
    runs = [write_run(tmp_path / e, e, 1, [(500, 50.0)], task="dmc/walker-walk") for e in "ab"]
    report = run_compare(tmp_path, *runs, "--episodes", 3)
    # returns 100, 101, 102 and 130, 131, 132: the difference is 30 on every seed
    assert (
        report["results"][0]["measures"]["return"]["value"] == 101.0
        and "success" not in report["results"][0]["measures"]
    )
    assert (report["pairs"][0]["difference"], report["pairs"][0]["interval"]) == (30.0, [30.0, 30.0])
    text = (tmp_path / "out" / "compare.md").read_text()
    assert "+30.0 [all alike]" in text and "101.0 [100.0, 102.0] (n = 3)" in text and "McNemar" not in text


def test_a_run_without_a_policy_is_said_and_a_damaged_one_refused(tmp_path, scripted, monkeypatch):
    good, new = write_run(tmp_path / "good", "a", 1, [(500, 3)]), write_run(tmp_path / "new", "a", 2, finished=False)
    assert f"{new} has saved no policy yet: not evaluated" in run_compare(tmp_path, good, new, "--episodes", 3)["notes"]
    with pytest.raises(PixelarmError, match="nothing to compare"):
        compare.compare([new], tmp_path / "out2", episodes=3)

    def foreign(path):
        raise PixelarmError("the contract differs")

    monkeypatch.setattr(evaluate, "load_actor", foreign)
    with pytest.raises(
        PixelarmError, match=r"good cannot be played, leave it out or export it again: the contract differs"
    ):
        compare.compare([good], tmp_path / "out3", episodes=3)


# ---------------------------------------------------------------------------------------------------------- the command
def test_options_that_do_not_fit_are_refused(tmp_path):
    run = write_run(tmp_path / "a", "a", 1, [(500, 3)])
    with pytest.raises(PixelarmError, match="plays no episodes"):
        main([str(run), "--curves-only", "--episodes", str(EPISODES)])
    with pytest.raises(PixelarmError, match="at least 1, got 0"):
        main([str(run), "--episodes", "0"])


def test_table_leaves_empty_columns_out():
    assert (
        table([{"a": "1", "b": "", "c": "x"}, {"a": "22", "c": ""}]) == "| a  | c |\n| -- | - |\n| 1  | x |\n| 22 |   |"
    )


@pytest.mark.gl
def test_a_run_and_a_bundle_for_real(tmp_path, capsys):
    """A network as training saves it, and a bundle, on two seeds of a task; both may fail, but on the same scenes."""
    from sim.tasks import make_task

    contract = make_task("reach", image_size=32).contract
    agent = make_agent(contract)
    run = tmp_path / "run"
    task = TaskConfig(name="reach", image_size=32)
    cfg = TrainConfig(experiment="curl", run=str(run), task=task, algo=agent_config())
    checkpoint.save_policy(run / "policy", agent.policy.state_dict(), cfg, contract, {"step": 0, "frames": 0})
    still = write_bundle(tmp_path / "still", contract, 0.0, recipe="still", seed=3)
    report = run_compare(tmp_path, run, still, "--episodes", 2)
    assert [(r["label"], r["seeds"], r["episodes"]) for r in report["results"]] == [("curl", [1], 2), ("still", [3], 2)]
    assert report["test_seeds"] == [EVAL_SEED, EVAL_SEED + 1]
    cached = [json.loads(f.read_text()) for f in (tmp_path / "out" / "evaluations").glob("*.json")]
    assert {tuple(o["seed"] for o in c["outcomes"]) for c in cached} == {(EVAL_SEED, EVAL_SEED + 1)}
    assert sorted(c["policy"] for c in cached) == [str(run), str(still)]
    assert report["pairs"][0]["pairs"][0]["seeds"] == [1, 3]
    assert "Against curl on the same scenes" in capsys.readouterr().out
    bad = tmp_path / "still" / bundle.POLICY
    bad.write_bytes(bad.read_bytes() + b"x")
    with pytest.raises(PixelarmError, match="was altered"):
        main([str(still), "--out", str(tmp_path / "out")])


# ----------------------------------------------------------------------------------------------- what cannot be written
def test_a_place_that_takes_no_files_is_refused_before_anything_is_played(tmp_path, scripted):
    run = write_run(tmp_path / "a1", "a", 1, [(500, 3)])
    (tmp_path / "FILE").write_text("")
    with pytest.raises(PixelarmError, match="nothing can be written into .*FILE/out: Not a directory"):
        main([str(run), "--episodes", "3", "--out", str(tmp_path / "FILE" / "out")])
    assert scripted.played == []


def test_what_was_played_is_printed_when_it_cannot_be_written(tmp_path, scripted, monkeypatch, capsys):
    """The disk fills up meanwhile: the tables are printed, what is not kept is a remark,
    and the picture is tried all the same.
    """

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    drawn = []
    monkeypatch.setattr(compare, "write_json", full)
    monkeypatch.setattr(compare, "_save_figure", lambda curves, results, path: drawn.append(path.name))
    run = write_run(tmp_path / "a1", "a", 1, [(500, 3)])
    with pytest.raises(PixelarmError, match="compare.json could not be written: No space left on device$"):
        main([str(run), "--episodes", "3", "--out", str(tmp_path / "out")])
    said = capsys.readouterr().out
    assert "(0 of 3)" in said and f"what {run} did could not be kept for another time" in said
    assert drawn == ["compare.png"] and (tmp_path / "out" / "compare.md").exists()
