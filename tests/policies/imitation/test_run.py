"""``experiment=chunk_bc`` from demonstrations to the robot: trained, resumed to the bit, evaluated, exported, run by
the control loop.
"""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

sys.path.insert(0, str(Path(__file__).parents[2] / "robot" / "control"))  # loop_rig

from loop_rig import LIMITS, FakeClock, FakeWorker

from policies.evaluation.evaluate import evaluate, load_actor
from policies.export.onnx import TOLERANCE, export
from policies.rollout.acting import GreedyPolicy, load_policy
from policies.runs import checkpoint
from policies.runs.checkpoint import read_json
from policies.runs.metrics import read_log
from policies.training.train import compose, train
from robot import bundle
from robot.control.limits import default_limits
from robot.control.loop import Command, ControlLoop
from robot.errors import PixelarmError
from sim.demonstrations import collect
from sim.envs.config import TaskConfig
from sim.envs.make import make_env

TINY = [
    "experiment=chunk_bc", "task=reach", "task.image_size=32", "algo.history=2", "algo.chunk=3", "algo.execute=2",
    "algo.hidden=32", "algo.warmup_updates=5", "algo.encoder.convs=tiny", "algo.encoder.feature_size=16",
    "recipe.demos=2", "recipe.fit_updates=40", "recipe.batch_size=16", "trainer=cpu", "trainer.precision=32-true",
    "trainer.threads=1",
    "trainer.eval_every=20", "trainer.eval_episodes=2", "trainer.checkpoint_every=20", "trainer.log_every=10",
]  # fmt: skip

pytestmark = pytest.mark.train


@pytest.fixture(scope="module")
def demos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demos")
    env = make_env(TaskConfig(name="reach", image_size=32))
    collect(env, folder, episodes=2, seed=1)
    env.close()
    return folder


@pytest.fixture(scope="module")
def run(demos, tmp_path_factory):
    return train(compose([*TINY, f"demos={demos}", f"run={tmp_path_factory.mktemp('chunk_bc') / 'run'}"]))


def test_it_learns_and_logs(run):
    lines = read_log(run, "fit")
    assert [line["step"] for line in lines] == [10, 20, 30, 40]
    assert lines[-1]["loss"] < lines[0]["loss"] and lines[-1]["learning_rate"] < lines[0]["learning_rate"]
    assert {"motion_loss", "two_valued_loss", "updates_per_second"} <= lines[0].keys()
    assert list((run / "tensorboard").iterdir())


def test_the_best_on_the_validation_scenes_is_kept(run):
    """The later one of equals, and beside it the last."""
    evals = read_log(run, "eval")
    assert [line["step"] for line in evals] == [20, 40] and evals[0]["n"] == 2
    best = max(evals, key=lambda line: (line["success"], line["step"]))
    kept, last = (read_json(run / name / "policy.json") for name in ("policy", "last"))
    assert kept["updates"] == best["step"] and kept["validation"]["success"] == best["success"]
    assert last["updates"] == 40 and last["validation"] is None and last["robot_minutes"] == 0.0


def test_what_is_kept_is_the_average_of_the_weights(run):
    state = load_file(next((run / "checkpoints/rank0/step_000000040").glob("tensors-*.safetensors")))
    last = load_file(run / "last" / "policy.safetensors")
    name = "head.0.weight"
    mine, average = (
        next(tensor for key, tensor in state.items() if key.endswith(f"{where}.{name}"))
        for where in ("policy", "average")
    )
    assert torch.equal(last[name], average) and not torch.equal(last[name], mine)


def test_a_run_that_was_killed_equals_one_that_was_not(run, demos, tmp_path):
    """The process ends after update 25; the run goes on from the checkpoint of update 20."""
    options = [*TINY, f"demos={demos}", f"run={tmp_path / 'run'}"]
    code = """
import os, sys
from policies.imitation.optimise import Fit
from policies.training.train import compose, train
step = Fit.training_step
def stepping(self, batch, index):
    if int(self.updates) == 25:
        os._exit(9)
    return step(self, batch, index)
Fit.training_step = stepping
train(compose(sys.argv[1:]))
"""
    killed = subprocess.run([sys.executable, "-c", code, *options], capture_output=True, timeout=300)
    assert killed.returncode == 9, killed.stderr.decode()
    assert not (tmp_path / "run" / "last").exists()
    resumed = train(compose([*options, "resume=true"]))
    for name in ("policy", "last"):
        one, other = (load_file(folder / name / "policy.safetensors") for folder in (run, resumed))
        assert one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)
    for kind in ("fit", "eval"):
        logs = [
            [{k: v for k, v in line.items() if k != "updates_per_second"} for line in read_log(folder, kind)]
            for folder in (run, resumed)
        ]
        assert logs[0] == logs[1]


def test_a_run_that_ended_is_not_begun_anew(run, demos):
    """Its last update is a checkpoint, whatever trainer.checkpoint_every says; two of them stay."""
    assert [path.name for path in sorted((run / "checkpoints" / "rank0").iterdir())] == [
        "step_000000020", "step_000000040",
    ]  # fmt: skip
    with pytest.raises(PixelarmError, match="holds a run already; add resume=true"):
        train(compose([*TINY, f"demos={demos}", f"run={run}"]))


def test_perfect_validations_end_it(demos, tmp_path, monkeypatch):
    from policies.training import fit

    perfect = evaluate(make_env(TaskConfig(name="reach", image_size=32)), _expert_like(), range(1), quiet=True)
    perfect.outcomes[:] = [replace(outcome, success_once=True) for outcome in perfect.outcomes]
    monkeypatch.setattr(fit, "evaluate", lambda *args, **kwargs: perfect)
    folder = train(compose([*TINY, "trainer.eval_every=5", "trainer.patience=3", f"demos={demos}", f"run={tmp_path}"]))
    assert [line["step"] for line in read_log(folder, "eval")] == [5, 10, 15]
    assert read_json(folder / "last" / "policy.json")["updates"] == 15
    assert (folder / "checkpoints" / "rank0" / "step_000000015").exists()


def _expert_like():
    return lambda observation: np.zeros(4, np.float32)


def test_it_is_evaluated_and_exported(run, tmp_path):
    act, contract, _ = load_actor(run)
    assert (contract.history, contract.chunk, contract.execute) == (2, 3, 2)
    out, difference = export(run, tmp_path / "bundle")
    assert difference < TOLERANCE
    assert json.loads((out / "card.json").read_text())["recipe"] == "chunk_bc"
    exported, again, _ = load_actor(out)
    env = make_env(TaskConfig(name="reach", image_size=32))
    one, other = (evaluate(env, policy, range(2), quiet=True) for policy in (act, exported))
    env.close()
    assert again == contract and [o.steps for o in one.outcomes] == [o.steps for o in other.outcomes]


def test_the_control_loop_does_what_the_policy_does_in_simulation(run, tmp_path):
    """The same observations, one a period, to the torch policy and to the loop with the exported bundle: the targets
    lie ahead of the measured position by the policy's actions, to 1e-4 of half their range; two actions of each chunk.
    """
    policy, _ = load_policy(run / "policy")
    reference, observations, actions = GreedyPolicy(policy), [], []
    env = make_env(TaskConfig(name="reach", image_size=32))
    seen, _ = env.reset(seed=3)
    for _ in range(9):
        observations.append(seen)
        actions.append(reference(seen))
        seen, *_ = env.step(actions[-1])
    env.close()
    exported = bundle.load(export(run, tmp_path / "bundle")[0])
    asked, sent = [], []

    def answer(observation):
        asked.append(observation)
        return exported.act(observation)

    clock = FakeClock()
    limits = default_limits(replace(LIMITS, max_reach_m=0.2), exported.contract)
    loop = ControlLoop(
        exported, limits, lambda command, hold: sent.append((command, hold)), clock=clock,
        worker=FakeWorker(answer, clock),
    )  # fmt: skip

    def observe(index=0):
        for name, value in observations[index].items():
            (loop.put_image if value.ndim == 3 else loop.put_proprio)(name, value, clock.now_ns())
        if index + 1 < len(observations):
            clock.at(clock.now_s + 0.1, lambda: observe(index + 1))

    clock.at(clock.now_s + 0.03, observe)
    while len(sent) < len(observations):
        loop.step()
    assert len(asked) == 5 and not any(hold for _, hold in sent)  # at 0, 2, 4, 6 and 8
    moved = [_motion(command, seen) for (command, _), seen in zip(sent, observations)]
    assert np.abs(np.array(moved) - np.array(actions)[:, :3]).max() < TOLERANCE * 0.04


def _motion(command: Command, observation) -> np.ndarray:
    return np.asarray(command.target.position) - observation["eef_pos"]


@pytest.mark.slow
@pytest.mark.thorough
def test_two_devices_stay_one_policy(demos, tmp_path):
    """Two CPU processes average their gradients; each has batches of its own, so this is another policy than one
    process gives. It goes on from its checkpoint as if it had not stopped.
    """
    folders = [tmp_path / "whole", tmp_path / "halves"]
    for folder in folders:
        command = [
            sys.executable, "-m", "robot.cli", "train", *TINY, f"demos={demos}", f"run={folder}", "trainer.devices=2",
            "recipe.fit_updates=20", "algo.schedule=constant", "trainer.eval_every=1000",
            "trainer.checkpoint_every=10", *(["resume=true"] if folder.exists() else []),
        ]  # fmt: skip
        done = subprocess.run(command, timeout=300, capture_output=True)
        assert done.returncode == 0, done.stderr.decode()
        if folder == folders[0]:  # the other is this one, cut off in the middle
            shutil.copytree(folder, folders[1])
            shutil.rmtree(folders[1] / "last")
            for rank in (folders[1] / "checkpoints").iterdir():
                assert checkpoint.steps(rank) == [10, 20]
                shutil.rmtree(checkpoint.folder_of(rank, 20))
    whole, halves = (load_file(folder / "last" / "policy.safetensors") for folder in folders)
    assert all(torch.equal(whole[name], halves[name]) for name in whole)
    alone = train(
        compose([*TINY, f"demos={demos}", f"run={tmp_path / 'alone'}", "recipe.fit_updates=20",
                 "algo.schedule=constant", "trainer.eval_episodes=0"])
    )  # fmt: skip
    other = load_file(alone / "last" / "policy.safetensors")
    assert not torch.equal(other["head.0.weight"], whole["head.0.weight"])


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("algo.execute=4", "algo.execute must be at most algo.chunk, which is 3, got 4"),
        ("trainer.num_envs=2", "trainer.num_envs would do nothing"),
        ("recipe.clone_updates=5", "recipe.clone_updates would do nothing"),
    ],
)
def test_what_it_does_not_have_is_refused(option, words):
    with pytest.raises(PixelarmError, match=words):
        train(compose([*TINY, option]))
