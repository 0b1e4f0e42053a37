"""The benchmark's arithmetic, by hand, and one tiny run of the command."""

import errno
import functools
import importlib
import json
import time

import numpy as np
import pytest

from robot.errors import PixelarmError, UnknownName
from sim.bench import harness as bench
from sim.bench import stock as bench_sim
from sim.bench.harness import Row, Sample, Subject, table


def row(target=None):
    # rates by processor time: stock 10, 20, 10 per second; ours 100, 100, 300
    stock = [Sample(10, 1.0, 1.0), Sample(20, 1.0, 1.0), Sample(10, 1.0, 1.0)]
    ours = [Sample(50, 0.5, 0.5), Sample(100, 1.0, 1.0), Sample(300, 1.0, 1.0)]
    return Row("one", "Lift", "step", target, ours, stock)


def test_a_ratio_is_the_median_of_the_rounds_own_ratios():
    """Rounds 100/10, 100/20, 300/10 = 10, 5, 30: median 10, not 100/10 of the medians by luck, spread 5 to 30."""
    found = row(target=12.0).to_dict()
    assert found["ratio"] == {"median": 10.0, "min": 5.0, "max": 30.0, "rounds": [10.0, 5.0, 30.0]}
    assert found["reached"] is False and row(target=10.0).to_dict()["reached"] is True
    assert found["ours"]["n"] == 450 and found["stock"]["n"] == 40
    assert found["ours"]["median_per_cpu_s"] == 100.0 and found["wall_over_cpu"] == 1.0


def test_the_table_shows_ratio_spread_bar_and_what_is_missing():
    text = table([row(target=12.0)], {"FrankaKitchen": "gymnasium-robotics is not installed"})
    line = next(line for line in text.splitlines() if line.startswith("Lift"))
    assert line.split()[2:] == ["10", "100", "10x", "5..30", "12x", "40,", "450"]
    assert "FrankaKitchen" in text and "not available: gymnasium-robotics is not installed" in text
    assert "busy" not in text


def test_a_busy_machine_is_said():
    slow = Row("one", "Lift", "step", ours=[Sample(10, 1.0, 2.0)])
    assert slow.busy == 2.0 and "the machine was busy with something else during: Lift" in table([slow], {})


def test_a_subject_runs_pinned_and_counts():
    core = bench.cores()[0]
    with Subject(functools.partial, core) as subject, pytest.raises(PixelarmError, match="TypeError"):
        subject.measure(0.01)  # partial() without a function: what went wrong comes back in words
    with Subject(functools.partial(functools.partial, time.sleep, 1e-4), core) as subject:
        sample = subject.measure(0.01, at_least=50)
    assert sample.count >= 50 and sample.wall_s > 0


@pytest.mark.parametrize(("cores", "counts"), [(1, [1]), (2, [1, 2]), (6, [1, 2, 4, 6]), (8, [1, 2, 4, 8])])
def test_worker_counts_double_up_to_the_cores(cores, counts):
    assert bench_sim.worker_counts(cores) == counts


def test_exact_physics_is_robosuites_own_model():
    exact, fast = bench_sim.our_task("lift", exact=True), bench_sim.our_task("lift")
    assert set(fast.recipe.terms) - set(exact.recipe.terms) == {"fewer_collisions", "fast_physics"}
    assert exact.contract.rate_hz == 20.0 and [c.name for c in exact.contract.cameras] == ["agentview"]
    assert np.allclose(exact.contract.action.high, [0.05] * 3 + [0.5] * 3 + [1.0])


def test_wrong_names_list_the_right_ones():
    with pytest.raises(UnknownName, match="unknown thing to measure against 'mujoco'; the valid names are: stock"):
        bench_sim.main(["--against", "mujoco"])
    with pytest.raises(UnknownName, match="unknown task 'lfit'"):
        bench_sim.main(["--task", "lfit"])
    with pytest.raises(PixelarmError, match="--seconds must be positive"):
        bench_sim.main(["--seconds", "0"])


@pytest.mark.slow
@pytest.mark.thorough
def test_a_tiny_run_against_stock(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(bench_sim, "SIZES", (32,))
    monkeypatch.setattr(bench_sim, "kitchen_absent", lambda: "left out of this test")
    out = tmp_path / "out"
    assert bench_sim.main(["--against", "stock", "--json", "--seconds", "0.2", "--rounds", "2", "--out", str(out)]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((out / "bench.json").read_text())
    assert [row["key"] for row in printed["rows"]] == ["one", "two", "fast", "reset"]
    assert all(row["ratio"]["median"] > 0 and row["ours"]["n"] and row["stock"]["n"] for row in printed["rows"])
    assert printed["absent"] == {"FrankaKitchen": "left out of this test"}
    assert printed["workers"][0]["workers"] == 1 and printed["sizes"][0]["pixels"] == 32
    assert printed["versions"]["mujoco"] and printed["hardware"]["cpu"] and printed["command"].endswith(str(out))
    assert (out / "bench.png").stat().st_size > 10_000


def test_a_result_is_printed_before_it_is_written_and_both_files_are_tried(tmp_path, monkeypatch, capsys):
    """``keep`` alone: the commands print their tables before they call it."""

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    bench.keep(tmp_path, {"a": 1}, "bench.png", lambda: (tmp_path / "bench.png").write_bytes(b"x"))
    assert json.loads((tmp_path / "bench.json").read_text()) == {"a": 1}
    assert capsys.readouterr().err == f"wrote {tmp_path / 'bench.json'} and {tmp_path / 'bench.png'}\n"
    with pytest.raises(PixelarmError, match="bench.png could not be written: No space left"):
        bench.keep(tmp_path, {"a": 2}, "bench.png", full)
    assert json.loads((tmp_path / "bench.json").read_text()) == {"a": 2}
    monkeypatch.setattr(bench, "write_json", full)
    drawn = []
    with pytest.raises(PixelarmError, match="bench.json could not be written: No space left on device$"):
        bench.keep(tmp_path, {"a": 3}, "bench.png", lambda: drawn.append(1))
    assert drawn == [1]


@pytest.mark.parametrize("suite", ["sim.bench.stock", "sim.bench.tasks", "sim.bench.demo", "policies.bench.learner"])
def test_a_place_that_takes_no_files_is_refused_before_anything_is_measured(suite, tmp_path):
    """All suites, here because they share the harness; policies' is found by name."""
    (tmp_path / "FILE").write_text("")
    with pytest.raises(PixelarmError, match="nothing can be written into .*FILE/out: Not a directory"):
        importlib.import_module(suite).main(["--out", str(tmp_path / "FILE" / "out")])


@pytest.mark.parametrize("suite", ["sim.bench.stock", "sim.bench.demo", "policies.bench.learner"])
@pytest.mark.parametrize("seconds", ["nan", "inf", "-1"])
def test_seconds_that_never_pass_are_refused(suite, seconds, tmp_path):
    with pytest.raises(PixelarmError, match="--seconds must be positive"):
        importlib.import_module(suite).main(["--seconds", seconds, "--out", str(tmp_path)])
