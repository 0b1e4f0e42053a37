"""Numbers of a run's log, and exploration by dimension."""

import json
import math

import numpy as np
import pytest
import torch
from conftest_policies import DETERMINISTIC, make_agent, make_cqn_as, random_observation, tiny_contract

from policies.diagnose.log import read
from policies.diagnose.noise import measure, squashed
from policies.rollout.acting import to_batch


def write(folder, *lines):
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def train(step, success, **more):
    return {"step": step, "kind": "train", "train_success": success, "critic_loss": 0.1, "q": 0.5, **more}


def test_early_and_late_are_a_fifth_each(tmp_path):
    lines = [train(step, step / 1000, prior_acted=1 - step / 1000) for step in range(100, 1101, 100)]
    found = read(write(tmp_path, *lines))
    # steps 100 to 1,100: early up to 300, late from 900 on
    assert found["train_success_early"] == pytest.approx(0.2) and found["train_success_late"] == pytest.approx(1.0)
    assert found["prior_acted_late"] == pytest.approx(0.0) and found["steps"] == 1100
    assert found["critic_loss_growth"] == pytest.approx(1.0) and "alpha_late" not in found


def test_validation_is_compared_with_exploring_at_the_end(tmp_path):
    evals = [{"step": s, "kind": "eval", "success": v, "n": 30} for s, v in ((0, 0.1), (500, 0.9), (1000, 0.7))]
    found = read(write(tmp_path, {"step": 0, "kind": "pretrain", "cloning_loss": 0.03}, train(1000, 0.4), *evals))
    assert found["exploring_gap"] == pytest.approx(0.3) and found["cloning_loss"] == 0.03
    assert (found["validation_first"], found["validation_best"], found["validation_last"]) == (0.1, 0.9, 0.7)


def test_a_log_without_training_lines_says_what_it_has(tmp_path):
    assert read(tmp_path) == {}
    assert read(write(tmp_path, {"step": 5, "kind": "fit", "loss": 1.0})) == {}


def test_the_entropy_of_a_squashed_gaussian():
    narrow = torch.full((1, 1), math.log(0.01))
    # about 0 the tanh is the identity: 0.5 log(2 pi e 0.0001) = -3.186
    std, entropy = squashed(torch.zeros(500, 1), narrow.expand(500, 1))
    assert std.item() == pytest.approx(0.01, rel=0.02) and entropy.item() == pytest.approx(-3.186, abs=0.01)
    # saturated, at 2.65 before the tanh with 0.3: research's -3.7 nats
    _, entropy = squashed(torch.full((500, 1), 2.65), torch.full((500, 1), math.log(0.3)))
    assert entropy.item() == pytest.approx(-3.7, abs=0.1)


@pytest.mark.parametrize("kind", ["gaussian", "deterministic", "cqn_as"])
def test_exploration_is_said_by_dimension_in_physical_units(kind):
    contract, rng = tiny_contract(), np.random.default_rng(0)
    agent = (
        make_cqn_as(contract) if kind == "cqn_as" else make_agent(contract, *DETERMINISTIC[: 2 * (kind != "gaussian")])
    )
    found = measure(agent, [to_batch([random_observation(contract, rng)]) for _ in range(6)])
    assert [d.name for d in found] == ["dx", "dy", "dz", "gripper"]
    assert [d.physical for d in found] == pytest.approx([0.04 * d.std for d in found[:3]] + [found[3].std])
    assert all((d.entropy is not None) == (kind == "gaussian") for d in found)
    if kind == "deterministic":
        assert [d.std for d in found] == pytest.approx([0.1] * 4)
    assert measure(agent, []) == []
