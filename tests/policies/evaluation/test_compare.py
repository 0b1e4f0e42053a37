"""Comparing runs: groups by configuration, the same seeds for all, pairs, curves; from hand-written folders and one real evaluation."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest_policies import agent_config, make_agent, tiny_contract
from omegaconf import OmegaConf

from policies.config import RecipeConfig, TaskConfig, TrainConfig
from policies.evaluation import compare, evaluate
from policies.evaluation.compare import EPISODES, main
from policies.evaluation.curves import RunCurve, draw, group_curve, make_curves
from policies.evaluation.evaluate import EVAL_SEED, Evaluation, Outcome
from policies.evaluation.tables import table
from policies.rl.config import ActorCriticConfig
from policies.runs import checkpoint
from policies.runs.find import find, make_groups
from robot import bundle
from robot.errors import PixelarmError
from robot.stats import wilson

ROOT = Path(__file__).resolve().parents[3]
ABOUT = {"step": 0, "frames": 0}


# ------------------------------------------------------------------------------------------- folders as training leaves them
def write_run(
    folder: Path,
    experiment: str,
    seed: int,
    evals=(),
    *,
    task="lift",
    n=30,
    contract=None,
    repeat=1,
    finished=True,
    steps=2000,
    **more,
) -> Path:
    """A run of ``experiment`` whose validation gave ``evals``: (step, successes of n), or (step, return)."""
    contract = contract or dataclasses.replace(tiny_contract(), task=task)
    cfg = TrainConfig(
        seed=seed, experiment=experiment, run=str(folder), task=TaskConfig(name=task), algo=ActorCriticConfig(), **more
    )
    cfg = dataclasses.replace(cfg, recipe=dataclasses.replace(cfg.recipe, steps=steps))
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(OmegaConf.to_yaml(OmegaConf.structured(cfg)))
    weights = {"weight": torch.tensor([float(seed), float(len(experiment))])}

    def save(name, step):
        about = {"step": step, "frames": step * repeat}
        checkpoint.save_policy(folder / name, weights, cfg, contract, about)

    save("cloned", 0)
    lines = [{"step": 0, "kind": "pretrain", "cloning_loss": 1.0}]
    for step, value in evals:
        found = {"metric": "return", "return": value, "n": n}
        if task.startswith("dmc/") is False:
            found = {"metric": "success", **wilson(value, n).to_dict()}
        lines += [{"step": step, "kind": "train", "q": 0.1}, {"step": step, "kind": "eval", **found}]
        save("policy", step)
    if finished:
        save("last", evals[-1][0] if evals else steps)
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def write_bundle(folder: Path, contract, action, **card) -> Path:
    """A bundle whose network answers the same action whatever it sees."""
    onnx = pytest.importorskip("onnx")
    h, numpy_helper = onnx.helper, onnx.numpy_helper
    inputs = [
        h.make_tensor_value_info(c.name, onnx.TensorProto.UINT8, [contract.history, *c.shape]) for c in contract.cameras
    ] + [h.make_tensor_value_info(p.name, onnx.TensorProto.FLOAT, [contract.history, p.size]) for p in contract.proprio]
    shape = [contract.chunk, contract.action.size]
    constant = numpy_helper.from_array(np.resize(np.asarray(action, np.float32), shape), "constant")
    graph = h.make_graph(
        [h.make_node("Identity", ["constant"], ["action"])], "constant policy", inputs,
        [h.make_tensor_value_info("action", onnx.TensorProto.FLOAT, shape)], [constant],
    )  # fmt: skip
    model = h.make_model(graph, opset_imports=[h.make_opsetid("", 18)], ir_version=9)
    return bundle.write(folder, model.SerializeToString(), contract, {"config": {}, **card})


@pytest.fixture
def scripted(monkeypatch):
    """Policies succeed on the seeds that ``script[run folder's name]`` counts from EVAL_SEED; what was played is in ``played``."""
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


def run_compare(tmp_path: Path, *argv) -> dict:
    assert main([*map(str, argv), "--out", str(tmp_path / "out")]) == 0
    return json.loads((tmp_path / "out" / "compare.json").read_text())


# ---------------------------------------------------------------------------------------------------------------- groups
def test_runs_that_differ_in_the_seed_alone_are_one_group(tmp_path):
    paths = [write_run(tmp_path / f"{e}{s}", e, s) for e in ("ferm_plus", "curl") for s in (2, 1)]
    groups, notes = make_groups(find(paths)[0])
    assert [(g.task, g.label, g.seeds) for g in groups] == [("lift", "ferm_plus", "1, 2"), ("lift", "curl", "1, 2")]
    assert notes == []


def test_an_ablation_by_override_is_not_pooled_with_the_full_recipe(tmp_path):
    paths = [
        write_run(tmp_path / "a", "ferm_plus", 1),
        write_run(tmp_path / "b", "ferm_plus", 1, recipe=RecipeConfig(bc_weight=0.5)),
    ]
    groups, notes = make_groups(find(paths)[0])
    assert [g.label for g in groups] == ["ferm_plus, recipe.bc_weight=0.0", "ferm_plus, recipe.bc_weight=0.5"]
    assert groups[1].differs == {"recipe.bc_weight": 0.5}
    assert "not seeds of one configuration" in notes[0]


def test_a_run_from_before_an_option_existed_is_a_seed_like_others(tmp_path):
    paths = [write_run(tmp_path / str(seed), "ferm_plus", seed) for seed in (1, 2)]
    written = paths[0] / "config.yaml"
    without = OmegaConf.to_container(OmegaConf.load(written))
    del without["task"]["hold_steps"]
    written.write_text(OmegaConf.to_yaml(without))
    ((group,), notes) = make_groups(find(paths)[0])
    assert (group.seeds, notes) == ("1, 2", [])


def test_many_differing_options_are_counted_and_said_once(tmp_path):
    other = RecipeConfig(demos=3, bc_weight=0.5, batch_size=7, clone_updates=1)
    paths = [write_run(tmp_path / "a", "ferm_plus", 1), write_run(tmp_path / "b", "ferm_plus", 1, recipe=other)]
    groups, notes = make_groups(find(paths)[0])
    assert [g.label for g in groups] == ["ferm_plus, variant 1", "ferm_plus, variant 2"]
    assert any("variant 2 has recipe.batch_size=7, recipe.bc_weight=0.5" in note for note in notes)


def test_policies_within_a_run_and_bundles_are_groups_of_their_own(tmp_path):
    run = write_run(tmp_path / "a", "ferm_plus", 1, [(500, 30)])
    made = write_bundle(
        tmp_path / "bundle", dataclasses.replace(tiny_contract(), task="lift"), 0.0, recipe="ferm_plus", seed=1
    )
    groups, _ = make_groups(find([run, run / "cloned", made])[0])
    assert [g.label for g in groups] == ["ferm_plus", "ferm_plus, cloned", "ferm_plus, bundle"]


def test_one_seed_twice_is_refused(tmp_path):
    paths = [write_run(tmp_path / name, "ferm_plus", 1) for name in "ab"]
    with pytest.raises(PixelarmError, match="same configuration with the same seed 1"):
        make_groups(find(paths)[0])
    assert len(find([paths[0], paths[0], tmp_path / "b" / ".." / "a"])[0]) == 1, (
        "the same folder given twice is one run"
    )


def test_what_else_lies_in_a_folder_of_runs_is_left_out_in_words(tmp_path):
    run = write_run(tmp_path / "a", "ferm_plus", 1)
    (tmp_path / "demos").mkdir()
    sources, notes = find([run, tmp_path / "demos"])
    assert len(sources) == 1 and notes == [
        f"{tmp_path / 'demos'} is neither a run of `pixelarm train` nor a policy bundle: left out"
    ]
    with pytest.raises(PixelarmError, match="does not exist; give run folders"):
        find([run, tmp_path / "typo"])
    with pytest.raises(PixelarmError, match="no run of `pixelarm train` and no policy bundle among"):
        find([tmp_path / "demos"])


# ---------------------------------------------------------------------------------------------------------------- curves
def run_curve(steps, values, ended=True) -> RunCurve:
    return RunCurve("run", "success", list(steps), list(values), 30, 0.0, 1.0, ended)


def test_a_curve_is_the_interquartile_mean_with_its_interval():
    # step 500: [0, .2, .4, 1] without the lowest and the highest: (.2 + .4) / 2; all agree at step 1000
    runs = [run_curve((500, 1000), (v, 0.9)) for v in (0.0, 1.0, 0.2, 0.4)]
    curve = group_curve("ferm_plus", "lift", "success", runs)
    assert curve.iqm == [pytest.approx(0.3), pytest.approx(0.9)] and curve.seeds == [4, 4]
    assert 0.0 <= curve.low[0] < 0.3 < curve.high[0] <= 1.0
    assert curve.low[1] == curve.high[1] == pytest.approx(0.9)


def test_one_seed_has_no_band():
    curve = group_curve("ferm_plus", "lift", "success", [run_curve((500, 1000), (0.5, 0.9))])
    assert curve.iqm == [0.5, 0.9] and curve.low == curve.high == [None, None]


def test_a_run_that_stopped_early_is_held_and_one_still_going_is_not():
    early, going = run_curve((500,), (1.0,)), run_curve((500,), (0.4,), ended=False)
    whole = run_curve((500, 1000), (0.2, 0.6))
    assert group_curve("x", "lift", "success", [early, whole]).iqm == [pytest.approx(0.6), pytest.approx(0.8)]
    curve = group_curve("x", "lift", "success", [going, whole])
    assert curve.iqm == [pytest.approx(0.3), 0.6] and curve.seeds == [2, 1] and curve.low[1] is None


def test_what_a_log_lacks_is_said_in_words(tmp_path):
    done = write_run(tmp_path / "done", "ferm_plus", 1, [(500, 10), (1000, 20), (1500, 20), (2000, 29)])
    early = write_run(tmp_path / "early", "ferm_plus", 2, [(500, 30), (1000, 30)])
    going = write_run(tmp_path / "going", "ferm_plus", 3, [(500, 12)], finished=False)
    with (going / "metrics.jsonl").open("a") as log:
        log.write('{"step": 1000, "kind": "ev')  # what a kill leaves
    empty = write_run(tmp_path / "empty", "ferm_plus", 4, finished=False)
    curves, notes = make_curves(make_groups(find([done, early, going, empty])[0])[0])
    assert curves[0].steps == [500, 1000, 1500, 2000] and curves[0].seeds == [3, 2, 2, 2]
    # step 2000: 29/30 and the held 30/30
    assert curves[0].iqm[-1] == pytest.approx((29 / 30 + 1) / 2)
    assert notes == [
        f"{going} has not finished (last evaluation at step 500 of 2000): neither its curve nor its policy is the whole run's",
        f"{empty} has logged no evaluation: it has no curve",
        f"{early} stopped early at step 1000: held at its last value up to step 2000",
    ]


def test_returns_and_successes_never_share_an_axis(tmp_path):
    """And DeepMind Control's steps are counted with the action repeat, as its papers do."""
    lift = write_run(tmp_path / "lift", "curl", 1, [(500, 10), (2000, 20)])
    dmc = dataclasses.replace(tiny_contract(), task="dmc/cartpole-swingup", rate_hz=12.5)
    cart = write_run(
        tmp_path / "cart",
        "curl",
        1,
        [(500, 120.0), (1000, 640.5)],
        task="dmc/cartpole-swingup",
        n=10,
        contract=dmc,
        repeat=8,
    )
    report = run_compare(tmp_path, lift, cart, "--curves-only")
    assert [(c["task"], c["metric"], c["steps"]) for c in report["curves"]] == [
        ("lift", "success", [500, 2000]),
        ("dmc/cartpole-swingup", "return", [4000, 8000]),
    ]
    assert [c["steps_hz"] for c in report["curves"]] == [
        10.0,
        None,
    ]  # no arm works for an hour in a suite of benchmarks
    text = (tmp_path / "out" / "compare.md").read_text()
    assert "| frames (decisions x action repeat)" in text and "640.5, one seed" in text
    # lift's last point: 20 of 30, Wilson
    assert "2000 (3.3 robot minutes)" in text and "0.67 [0.49, 0.81]" in text


def test_curves_need_no_simulator(tmp_path):
    run = write_run(tmp_path / "a", "ferm_plus", 1, [(500, 10)])
    code = (
        "import sys\nclass Refuse:\n    def find_spec(self, name, path=None, target=None):\n"
        "        assert name.partition('.')[0] not in ('mujoco', 'robosuite', 'gymnasium'), name\n"
        "sys.meta_path.insert(0, Refuse())\nfrom robot.cli import main\n"
        f"sys.exit(main(['compare', {str(run)!r}, '--curves-only', '--json', '--out', {str(tmp_path / 'out')!r}]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["curves"][0]["iqm"] == [pytest.approx(1 / 3)]
    assert (tmp_path / "out" / "compare.png").stat().st_size > 1000


# ------------------------------------------------------------------------------------------------------- the same test seeds
def test_results_by_hand(tmp_path, scripted):
    # ten seeds: a1 solves 0..7, a2 0..3; b1 solves 0..9 but keeps only 0..4, b2 2..7
    runs = [write_run(tmp_path / f"{e}{s}", e, s) for e in "ab" for s in (1, 2)]
    scripted.script = {
        "a1": (range(8), range(8)), "a2": (range(4), range(4)), "b1": (range(10), range(5)), "b2": (range(2, 8), range(2, 8)),
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
    # seed 1: only b solves 8 and 9: p = 2 / 2^2; seed 2: only a solves 0, 1, only b solves 4..7: p = 2 (1 + 6 + 15) / 2^6
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


# -------------------------------------------------------------------------------------------------------------- the figure
def test_the_figure_has_a_row_a_task_and_says_what_a_line_is():
    import matplotlib.pyplot as plt

    whole, going = run_curve((500, 1000), (0.2, 0.6)), run_curve((500,), (0.4,), ended=False)
    returns = dataclasses.replace(whole, metric="return", values=[100.0, 600.0])
    curves = [
        group_curve("full", "lift", "success", [whole, going], 10.0),
        group_curve("bare", "lift", "success", [whole], 10.0),
        group_curve("full", "dmc/walker-walk", "return", [returns]),
    ]
    found = {"value": 0.9, "low": 0.8, "high": 1.0, "runs": [0.8, 1.0]}
    result = {
        "task": "lift",
        "metric": "success",
        "label": "full",
        "episodes": 50,
        "measures": {"success": found, "at_end": found},
    }
    figure = draw(curves, [result])
    figure.canvas.draw()
    lift, results, walker, nothing = figure.axes
    assert [t.get_text() for t in lift.get_legend().get_texts()] == [
        "full (2 seeds), dashed: fewer",
        "bare (1 seed, no band)",
    ]
    assert len(lift.collections) == 1, "a band for the group of two seeds alone"
    assert [line.get_linestyle() for line in lift.get_lines()] == ["--", "-", "-"]
    # 600 steps of 10 a second are a minute
    (minutes,) = lift.child_axes
    assert minutes.get_xlim()[1] == pytest.approx(lift.get_xlim()[1] / 600)
    assert [axes.get_title("left") for axes in (lift, walker)] == ["lift", "dmc/walker-walk"]
    assert (lift.get_ylabel(), walker.get_ylabel()) == (
        "validation success, IQM over seeds",
        "validation return, IQM over seeds",
    )
    assert not walker.child_axes, "no robot minutes where the rate is not known"
    assert [t.get_text() for t in results.get_yticklabels()] == ["full"] and not nothing.axison
    colours = {line.get_color() for axes in (lift, walker) for line in axes.get_lines()}
    assert len(colours) == 2, "an experiment has one colour in every panel"
    plt.close(figure)


# -------------------------------------------------------------------------------------------------------------- the command
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
    checkpoint.save_policy(run / "policy", agent.policy.state_dict(), cfg, contract, ABOUT)
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


def test_a_run_that_was_given_more_steps_is_known_by_its_last_configuration(tmp_path):
    """Its best policy may be older than the longer budget."""
    one = write_run(tmp_path / "one", "curl", 1, [(500, 10), (2000, 20)])
    two = write_run(tmp_path / "two", "curl", 2, [(500, 10), (2000, 20)], steps=1000)
    text = (two / "config.yaml").read_text()
    (two / "config.yaml").write_text(text.replace("  steps: 1000", "  steps: 2000"))
    report = run_compare(tmp_path, one, two, "--curves-only")
    assert [(c["label"], len(c["runs"])) for c in report["curves"]] == [("curl", 2)]


# ------------------------------------------------------------------------------------------------- what cannot be written
def test_a_place_that_takes_no_files_is_refused_before_anything_is_played(tmp_path, scripted):
    run = write_run(tmp_path / "a1", "a", 1, [(500, 3)])
    (tmp_path / "FILE").write_text("")
    with pytest.raises(PixelarmError, match="nothing can be written into .*FILE/out: Not a directory"):
        main([str(run), "--episodes", "3", "--out", str(tmp_path / "FILE" / "out")])
    assert scripted.played == []


def test_what_was_played_is_printed_when_it_cannot_be_written(tmp_path, scripted, monkeypatch, capsys):
    """The disk fills up meanwhile: the tables are printed, what is not kept is a remark, and the picture is tried all the same."""

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


# ------------------------------------------------------------------------------------------------------- damaged folders
@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("config.yaml", b"\x80\x81", "config.yaml is not YAML"),
        ("config.yaml", b"a: [1", "config.yaml is not YAML"),
        ("config.yaml", b"experiment: x\ntask: {name: lift}\nrecipe: 3\n", "is not one of `pixelarm train`"),
        ("policy/policy.json", b"[1]", "policy.json must hold a JSON object .*, got list"),
        ("policy/policy.json", b"\xff", "policy.json is not JSON"),
        ("policy/policy.json", b"{}", "does not describe a policy"),
        ("metrics.jsonl", b'[1]\n"x"\n', r"metrics.jsonl is not a log of `pixelarm train`: a line of it is '\[1\]'"),
    ],
)
def test_a_damaged_run_is_said_in_words(tmp_path, file, content, words):
    run = write_run(tmp_path / "a1", "a", 1, [(500, 3)])
    (run / file).write_bytes(content)
    with pytest.raises(PixelarmError, match=words):
        main([str(run), "--curves-only", "--out", str(tmp_path / "out")])


def test_a_log_that_ends_in_half_a_character_is_read_up_to_there(tmp_path):
    run = write_run(tmp_path / "a1", "a", 1, [(500, 3)])
    with (run / "metrics.jsonl").open("ab") as log:
        log.write(b'{"step": 600, "kind": "eval", "\xe2\x82')
    assert run_compare(tmp_path, run, "--curves-only")["curves"][0]["steps"] == [500]


@pytest.mark.parametrize(
    ("about", "words"),
    [
        ({"format": checkpoint.FORMAT}, "policy.json lacks contract and config: the policy cannot be used"),
        ({"format": "other"}, "has format 'other', expected"),
    ],
)
def test_a_policy_without_its_description_is_not_played(tmp_path, about, words):
    (tmp_path / "policy.json").write_text(json.dumps(about))
    with pytest.raises(PixelarmError, match=words):
        checkpoint.read_policy(tmp_path)


def test_weights_of_another_network_are_said_not_to_fit(tmp_path):
    """As when a policy.json was copied without its policy.safetensors."""
    from policies.rollout.acting import load_agent

    checkpoint.save_policy(tmp_path, {"encoder.x": torch.zeros(2)}, TrainConfig(), tiny_contract(), ABOUT)
    with pytest.raises(
        PixelarmError, match="is damaged .RuntimeError.*; its policy.safetensors does not fit its policy.json"
    ):
        load_agent(tmp_path)


def test_a_safetensors_file_that_cannot_be_written_is_an_error_of_the_system(tmp_path):
    """Which a checkpoint takes for what it is, and leaves the one before it whole."""
    (tmp_path / "FILE").write_text("")
    with pytest.raises(NotADirectoryError, match="FILE/x"):
        checkpoint.save_tensors(tmp_path / "FILE" / "x", {"a": torch.zeros(2)})

    def fill(folder):
        checkpoint.save_tensors(folder / "none" / "agent.safetensors", {"a": torch.zeros(2)})

    with pytest.raises(PixelarmError, match="could not be written .*; the one before it is whole"):
        checkpoint.write(tmp_path / "checkpoints", 10, fill)
