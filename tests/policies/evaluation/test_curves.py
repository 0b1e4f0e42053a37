"""Curves of groups of runs: interquartile means, what a log lacks, their axes and their figure."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest_policies import tiny_contract
from conftest_runs import run_compare, write_run

from policies.config import RecipeConfig
from policies.evaluation.curves import RunCurve, draw, group_curve, make_curves
from policies.runs.find import find, make_groups

ROOT = Path(__file__).resolve().parents[3]


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
        f"{going} has not finished (last evaluation at step 500 of 2000): neither its curve nor its policy is the "
        f"whole run's",
        f"{empty} has logged no evaluation: it has no curve",
        f"{early} stopped early at step 1000: held at its last value up to step 2000",
    ]


def test_what_was_fitted_to_demonstrations_has_no_curve_over_environment_steps(tmp_path):
    """Its log counts updates."""
    recipe = RecipeConfig(demos=10, fit_updates=2000)
    fitted = write_run(tmp_path / "fitted", "chunk_bc", 1, [(500, 10), (2000, 20)], steps=0, recipe=recipe)
    curves, notes = make_curves(make_groups(find([fitted])[0])[0])
    assert curves == []
    assert notes == [f"{fitted} was fitted to demonstrations: it takes no environment steps, and has no curve"]


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


def test_a_run_that_was_given_more_steps_is_known_by_its_last_configuration(tmp_path):
    """Its best policy may be older than the longer budget."""
    one = write_run(tmp_path / "one", "curl", 1, [(500, 10), (2000, 20)])
    two = write_run(tmp_path / "two", "curl", 2, [(500, 10), (2000, 20)], steps=1000)
    text = (two / "config.yaml").read_text()
    (two / "config.yaml").write_text(text.replace("  steps: 1000", "  steps: 2000"))
    report = run_compare(tmp_path, one, two, "--curves-only")
    assert [(c["label"], len(c["runs"])) for c in report["curves"]] == [("curl", 2)]


# ----------------------------------------------------------------------------------------------------------- the figure
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
