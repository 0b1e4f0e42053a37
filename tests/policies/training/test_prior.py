"""A frozen policy of another run that goes on proposing: kept as it is, and refused where it does not fit."""

from pathlib import Path

import pytest
import torch

from policies.export.onnx import export
from policies.rollout.acting import load_policy
from policies.training.compose import compose
from policies.training.train import train
from robot.errors import ContractMismatch, PixelarmError
from sim.demonstrations import collect
from sim.envs.make import make

SMALL = [
    "recipe.demos=2", "recipe.pretrain_updates=0", "recipe.clone_updates=5", "recipe.learning_starts=10",
    "recipe.critic_warmup=10", "recipe.batch_size=8", "trainer.eval_episodes=0", "trainer.log_every=10",
    "trainer.checkpoint_every=10", "trainer.accelerator=cpu", "trainer.threads=1", "task.image_size=32",
]  # fmt: skip
OTHER = ["experiment=ferm_plus", "algo.encoder.feature_size=8", "algo.augmentation=[{crop: {size: 28}}]"]


@pytest.fixture(scope="module")
def demos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "demos"
    env = make("lift", image_size=32)
    collect(env, folder, episodes=2, seed=1)
    env.close()
    return folder


@pytest.fixture(scope="module")
def prior(demos, tmp_path_factory):
    """A run with another encoder and another augmentation than those it will propose to."""
    return train(
        compose([*SMALL, *OTHER, f"demos={demos}", f"run={tmp_path_factory.mktemp('p') / 'r'}", "recipe.steps=20"])
    )


def with_prior(prior: Path, demos: Path, run: Path, *more: str) -> Path:
    names = ["experiment=ibrl", "algo.prior=run", f"recipe.prior={prior}", f"demos={demos}", f"run={run}"]
    return train(compose([*SMALL, *names, "recipe.steps=30", *more]))


def states(run: Path) -> list[dict[str, torch.Tensor]]:
    return [load_policy(run / name)[0].state_dict() for name in ("policy", "last")]


@pytest.mark.train
def test_it_stays_what_it_was_while_the_actor_learns_and_is_exported_with_it(prior, demos, tmp_path):
    run = with_prior(prior, demos, tmp_path / "run")
    theirs = load_policy(prior / "policy")[0].state_dict()
    mine, _ = states(run)
    assert all(torch.equal(mine[f"prior.{name}"], value) for name, value in theirs.items())
    bundle, difference = export(run, tmp_path / "bundle")
    assert (bundle / "policy.onnx").exists() and difference < 1e-4


@pytest.mark.train
def test_a_run_with_it_goes_on_to_the_bit(prior, demos, tmp_path):
    straight = with_prior(prior, demos, tmp_path / "straight")
    with_prior(prior, demos, tmp_path / "cut", "recipe.steps=20")
    cut = with_prior(prior, demos, tmp_path / "cut", "resume=true")
    for one, other in zip(states(straight), states(cut)):
        assert one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


@pytest.mark.train
def test_one_of_another_contract_is_refused_in_words(prior, demos, tmp_path):
    with pytest.raises(ContractMismatch, match=f"that of {prior}/policy .there.:\n  - history: 2 here, 1 there"):
        with_prior(prior, demos, tmp_path / "run", "algo.history=2")
    assert not (tmp_path / "run" / "config.yaml").exists()


def test_a_folder_without_a_policy_is_refused(demos, tmp_path):
    with pytest.raises(PixelarmError, match="recipe.prior=.*/nothing holds no policy .policy/policy.json."):
        with_prior(tmp_path / "nothing", demos, tmp_path / "run")


@pytest.mark.parametrize("options", [["algo.prior=run"], ["recipe.prior=runs/x"], ["algo.prior=run", "recipe.prior="]])
def test_half_of_the_request_is_refused(options):
    with pytest.raises(PixelarmError, match="is algo.prior=run and recipe.prior=RUN together"):
        train(compose(["experiment=ibrl", "trainer=cpu", *options]))
