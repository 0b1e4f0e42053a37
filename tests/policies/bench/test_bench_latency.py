"""`pixelarm bench latency`: its numbers from given samples, whose turn it is, other numbers of states, refusals."""

import dataclasses
import os
from types import SimpleNamespace

import numpy as np
import pytest
from conftest_skills import tiny, walk, walker, walking_contract

from policies.bench.latency import Row, main, measure, pinned, quantiles, scaled, states_of, table
from policies.config import TrainConfig
from policies.export.onnx import to_onnx
from policies.rollout.acting import to_batch
from policies.runs.checkpoint import read_json, save_policy
from policies.skills.fist import Fist
from robot import bundle
from robot.dataset.episodes import Episode
from robot.errors import PixelarmError
from sim.envs.config import TaskConfig
from sim.tasks.kitchen import Kitchen


def row(name: str, ms: list[float], **options) -> Row:
    return Row(name, SimpleNamespace(contract=walking_contract()), ms=ms, cpu_ms=[half / 2 for half in ms], **options)


# ------------------------------------------------------------------------------------------------------------- numbers
def test_quantiles_of_a_hundred_samples_by_hand():
    """Of 1 to 100 the p50 lies half-way between 50 and 51; the p99 1 % of 99 steps from the end."""
    found = quantiles([float(ms) for ms in range(1, 101)])
    assert found == pytest.approx({"p50": 50.5, "p95": 95.05, "p99": 99.01, "max": 100.0})


def test_the_table_of_given_samples_by_hand():
    """The second is 1, 2 and 9 ms slower in the three rounds: 2 in the median. Its p99 is 2 % from 13 towards 5."""
    alone = row("fist, 1 state", [0.5, 0.5, 0.5], states=1)
    first, second = row("bc", [1.0, 3.0, 4.0]), row("fist", [2.0, 5.0, 13.0], states=3493, alone=alone)
    lines = table([first, second], 10.0).splitlines()
    assert lines[0].startswith("ms a decision, n = 3 each")
    assert lines[4] == "| bc | none | 1 | 3.000 | 3.900 | 3.980 | 4.000 | 1.990 |  |  | yes | 0 of 3 |"
    assert lines[5] == (
        "| fist | 3,493 | 1 | 5.000 | 12.200 | 12.840 | 13.000 | 6.420 | +2.000 | 4.500 | no | 1 of 3 |"
    )
    assert [line.count("|") for line in lines[2:6]] == [13] * 4
    assert "not on its card" in table([row("old", [1.0], states=None)], 10.0)


def test_a_budget_is_kept_by_99_of_100():
    """One in 200 may be late; three may not."""
    few, many = row("few", [1.0] * 199 + [50.0]), row("many", [1.0] * 197 + [50.0] * 3)
    assert few.within(10.0) and few.over(10.0) == 1
    assert not many.within(10.0) and many.over(10.0) == 3 and many.within(50.0)


def test_the_card_says_how_many_states_are_looked_up():
    fist, cloning = {"algo": {"family": "fist"}}, {"algo": {"family": "chunk_bc"}}
    assert states_of({"config": fist, "data": {"states_looked_up": 14}}) == 14
    assert states_of({"config": fist, "data": {}}) is None  # from before cards said it
    assert states_of({"config": cloning, "data": {}}) == 0


# --------------------------------------------------------------------------------------------------------------- turns
class Asked:
    """A policy that writes down when it was asked, and about what."""

    def __init__(self, name: str, log: list) -> None:
        self.name, self.log, self.contract = name, log, walking_contract()

    def act(self, observation: dict[str, np.ndarray]) -> np.ndarray:
        self.log.append((self.name, observation["eef_pos"].tolist()))
        return np.zeros((1, 4), np.float32)


def test_each_is_asked_once_a_round_in_random_order_and_warm_up_is_not_counted():
    log: list = []
    rows = [Row(name, Asked(name, log)) for name in "abc"]
    assert measure(rows, 40, 3, seed=0, quiet=True) > 0.0
    assert [len(one.ms) for one in rows] == [len(one.cpu_ms) for one in rows] == [40] * 3
    names = [name for name, _ in log]
    rounds = {tuple(names[i : i + 3]) for i in range(0, len(names), 3)}
    assert len(names) == 43 * 3 and all(sorted(one) == ["a", "b", "c"] for one in rounds) and len(rounds) == 6
    assert len({str(seen) for name, seen in log if name == "a"}) == 16  # one observation after the other
    again: list = []
    measure([Row(name, Asked(name, again)) for name in "abc"], 40, 3, seed=0, quiet=True)
    assert again == log


def test_the_process_runs_on_one_core_meanwhile():
    before = os.sched_getaffinity(0)
    with pinned(min(before)) as alone:
        assert alone and os.sched_getaffinity(0) == {min(before)}
    assert os.sched_getaffinity(0) == before


# ------------------------------------------------------------------------------------------------------- other numbers
def test_more_demonstrations_are_the_same_ones_over_and_over():
    """Two walks have 14 states: five have 35. The answers are those of the two."""
    policy = walker()
    alone = row("walk, 1 state", [1.0], states=1)
    (five,) = scaled(policy, "walk", [5, 5], alone)
    assert (five.name, five.states, five.alone) == ("walk, 5 demonstrations", 35, alone)
    seen = {"eef_pos": np.array([0.031, 0.9, 0.0], np.float32), "object_state": np.zeros(1, np.float32)}
    wanted = policy.act(to_batch([seen]), sample=False)[0]
    assert np.allclose(five.policy.act({name: value for name, value in seen.items()}), wanted, atol=1e-5)
    assert len(policy.seen) == 14  # it is left as it was


# ----------------------------------------------------------------------------------------------------------- a command
@pytest.fixture(scope="module")
def walking(tmp_path_factory):
    """A bundle of the walker."""
    policy = walker()
    card = {"config": {"algo": {"family": "fist"}}, "data": {"states_looked_up": len(policy.seen)}}
    return bundle.write(tmp_path_factory.mktemp("bundles") / "walk", to_onnx(policy), policy.contract, card)


def test_bundles_are_measured_beside_each_other(walking, tmp_path, capsys):
    other = bundle.write(tmp_path / "other", (walking / "policy.onnx").read_bytes(), walking_contract(), {"config": {}})
    out = tmp_path / "out"
    assert main([str(walking), str(other), "--decisions", "30", "--warm-up", "2", "--out", str(out)]) == 0
    said, found = capsys.readouterr().out, read_json(out / "bench.json")
    assert (out / "latency.md").read_text() == said
    assert [(one["name"], one["n"], one["states_looked_up"]) for one in found["policies"]] == [
        ("walk", 30, 14),
        ("other", 30, 0),
    ]
    for one in found["policies"]:
        assert one["ms"] == pytest.approx(quantiles(one["samples_ms"]))
        assert 0 < one["ms"]["p50"] <= one["ms"]["p95"] <= one["ms"]["p99"] <= one["ms"]["max"]
    first, second = (np.array(one["samples_ms"]) for one in found["policies"])
    assert found["policies"][1]["minus_first_ms"] == pytest.approx(np.median(second - first), abs=1e-4)
    assert found["hardware"]["cpu"] in said and found["git"] in said and "only 30 decisions: a p99 needs 100" in said
    assert {"onnxruntime", "torch"} <= set(found["versions"]) and found["budget_ms"] == 10.0


def kitchen_walk(steps: int) -> Episode:
    """Twelve steps of a kitchen in which nothing moves."""
    contract, episode = Kitchen(observe="states").contract, walk(steps)
    observations = {entry.name: np.zeros((steps + 1, entry.size), np.float32) for entry in contract.proprio}
    actions = np.zeros((steps, contract.action.size), np.float32)
    return dataclasses.replace(episode, contract=contract, observations=observations, actions=actions)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run folder whose FIST policy looks up two demonstrations of 13 and 9 states."""
    folder = tmp_path_factory.mktemp("runs") / "kitchen"
    cfg = TrainConfig(algo=tiny(), task=TaskConfig(name="kitchen", observe="states"), experiment="fist", run="here")
    policy = Fist(Kitchen(observe="states").contract, cfg.algo, seed=0)
    policy.look_up(policy.rows([kitchen_walk(12), kitchen_walk(8)]))
    save_policy(folder / "policy", policy.state_dict(), cfg, policy.contract, {"step": 0, "git": "abc"})
    return folder


@pytest.mark.train
def test_a_run_is_exported_and_measured_with_other_numbers_of_states(run, tmp_path, capsys):
    words = [str(run), "--decisions", "5", "--warm-up", "1", "--demonstrations", "3", "--out", str(tmp_path)]
    assert main(words) == 0
    found = read_json(tmp_path / "bench.json")["policies"]
    assert [(one["name"], one["states_looked_up"]) for one in found] == [
        ("kitchen", 22),
        ("kitchen, 1 state", 1),
        ("kitchen, 3 demonstrations", 33),
    ]
    assert found[1]["retrieval_ms"] is None and found[0]["retrieval_ms"] is not None
    assert "| kitchen, 3 demonstrations | 33 | 1 |" in capsys.readouterr().out
    assert [path.name for path in run.iterdir()] == ["policy"]  # the run is left as it was


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "nowhere does not exist; give policy bundles, or run folders"),
        (["."], "is neither a policy bundle nor a run of `pixelarm train`"),
        (["WALK", "--demonstrations", "10"], "--demonstrations is of FIST runs, and there is none among these"),
        (["WALK", "--demonstrations", "0"], "--demonstrations must be at least 1 each, got 0"),
        (["WALK", "--decisions", "0"], "--decisions must be at least 1, got 0"),
        (["WALK", "--budget-ms", "0"], "--budget-ms must be more than 0, got 0"),
    ],
)
def test_what_cannot_be_measured_is_refused(walking, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PixelarmError, match=message):
        main([str(walking) if word == "WALK" else word for word in words])
