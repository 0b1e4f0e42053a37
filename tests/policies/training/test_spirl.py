"""SPiRL in the kitchen, as a user runs it: skills, a run from reward, resumed, played, exported; what is refused."""

import json
import re
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from policies.evaluation.evaluate import load_actor
from policies.export.onnx import TOLERANCE, export
from policies.rollout.acting import load_policy
from policies.runs import checkpoint
from policies.runs.metrics import read_log
from policies.training.checks import check_recipe
from policies.training.compose import compose
from policies.training.skills import adapt, pretrain
from policies.training.train import train
from robot.errors import PixelarmError
from sim.kitchen.folder import jobs_of, make_split

TINY = ["trainer=cpu", "trainer.threads=1", "recipe.batch_size=8"]
SHORT = [
    *TINY, "recipe.steps=80", "recipe.random_steps=20", "recipe.learning_starts=20", "task.time_limit=25",
    "trainer.eval_every=40", "trainer.eval_episodes=1", "trainer.checkpoint_every=20", "trainer.log_every=20",
    "algo.hidden=8", "algo.layers=1",
]  # fmt: skip
NETWORK = ["algo.hidden=8", "algo.layers=1", "algo.recurrent=8"]

pytestmark = pytest.mark.train


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("split") / "no-top-burner"
    assert len(list(make_split(jobs_of("no-top-burner", folder, 1, 1, 3), "no-top-burner", 1))) == 2
    return folder


def learn(data: Path, run: Path, *options: str) -> Path:
    assert pretrain([f"data={data}", f"run={run}", "recipe.fit_updates=3", *TINY, *NETWORK, *options]) == 0
    return run


@pytest.fixture(scope="module")
def skills(data, tmp_path_factory):
    return learn(data, tmp_path_factory.mktemp("skills") / "run", "experiment=spirl_skills")


def from_reward(run: Path, *options: str) -> Path:
    return train(compose(["task=kitchen", "seed=2", f"run={run}", *SHORT, *options]))


@pytest.fixture(scope="module")
def learned(skills, tmp_path_factory):
    return from_reward(tmp_path_factory.mktemp("spirl") / "run", "experiment=spirl", f"recipe.skills={skills}")


def newest(run: Path) -> dict[str, torch.Tensor]:
    folder = checkpoint.newest(run / "checkpoints" / "rank0")
    assert folder is not None and folder.name == "step_000000085"  # the decision is carried out that began at 75
    return load_file(folder / "agent.safetensors")


def test_a_run_logs_completed_subtasks_and_counts_control_steps(learned):
    """An episode of 25 steps is decisions of 10, 10 and 5; validation is cut at 25 steps, too."""
    evaluated = read_log(learned, "eval")
    assert [(line["metric"], line["n"], line["steps"]) for line in evaluated] == [("completed", 1, 25.0)] * 2
    assert all(0.0 <= line["completed"] <= 4.0 for line in evaluated)
    trained = read_log(learned, "train")
    assert {"divergence", "alpha", "critic_loss", "train_return"} <= trained[-1].keys()
    about = json.loads((learned / "last" / "policy.json").read_text())
    assert about["step"] == 85 and not list(learned.rglob("*.pkl")) + list(learned.rglob("*.pt"))
    memory = checkpoint.newest(learned / "checkpoints" / "rank0") / "online"
    assert sum(len(np.load(path)) for path in memory.glob("*action*")) >= 10


def test_resumed_equals_uninterrupted(learned, skills, tmp_path):
    words = ["experiment=spirl", f"recipe.skills={skills}"]
    from_reward(tmp_path / "run", *words, "recipe.steps=45")
    from_reward(tmp_path / "run", *words, "resume=true")
    one, other = newest(learned), newest(tmp_path / "run")
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
    assert [line["completed"] for line in read_log(tmp_path / "run", "eval")] == [
        line["completed"] for line in read_log(learned, "eval")
    ]


def test_its_first_policy_is_the_prior(learned, skills):
    cloned, mine = load_file(learned / "cloned" / "policy.safetensors"), load_file(skills / "policy/policy.safetensors")
    actor = {name.removeprefix("actor."): value for name, value in cloned.items() if name.startswith("actor.")}
    assert actor and all(torch.equal(value, mine[f"skill.prior.{name}"]) for name, value in actor.items())


@pytest.mark.parametrize("kind", ["skills", "actions"])
def test_it_is_played_and_exported_as_any_policy(kind, learned, tmp_path):
    run = learned if kind == "skills" else from_reward(tmp_path / "run", "experiment=sac_states")
    act, contract, config = load_actor(run)
    assert contract.task == "kitchen" and not contract.cameras and config["task"]["reward"] == "subtasks"
    bundle, difference = export(run, tmp_path / "bundle")
    assert difference <= TOLERANCE
    exported, _, _ = load_actor(bundle)
    rng = np.random.default_rng(0)
    seen = {entry.name: rng.normal(size=entry.size).astype(np.float32) for entry in contract.proprio}
    assert act(seen) == pytest.approx(exported(seen), abs=1e-4)
    policy, _ = load_policy(run / "policy")
    assert policy.horizon == (10 if kind == "skills" else 1)


def test_it_begins_with_what_fist_fine_tuned(skills, data, tmp_path):
    """Skills of `pixelarm adapt` are skills as well; their prior has seen the demonstrations."""
    words = [f"skills={skills}", f"demos={data / 'target'}", f"run={tmp_path / 'fist'}", "recipe.fit_updates=3", *TINY]
    assert adapt(words) == 0
    run = from_reward(
        tmp_path / "run", "experiment=spirl", f"recipe.skills={tmp_path / 'fist'}", "recipe.steps=20",
        "task=kitchen_microwave_kettle_top_burner_light_switch",
    )  # fmt: skip
    tuned, begun = (
        load_file(folder / "policy.safetensors") for folder in (tmp_path / "fist" / "policy", run / "cloned")
    )
    assert torch.equal(tuned["skill.decoder.0.weight"], begun["space.skill.decoder.0.weight"])


# ------------------------------------------------------------------------------------------------- refused
def test_skills_without_a_prior_are_refused(data, tmp_path):
    plain = learn(data, tmp_path / "plain", "experiment=fist")
    with pytest.raises(PixelarmError, match="have no prior p"):
        from_reward(tmp_path / "run", "experiment=spirl", f"recipe.skills={plain}")


def test_skills_of_another_contract_are_refused(skills, tmp_path):
    with pytest.raises(PixelarmError, match="observes the cameras|skills can be reused for another task, but not"):
        from_reward(tmp_path / "run", "experiment=spirl", f"recipe.skills={skills}", "task.observe=pixels")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["experiment=spirl"], "recipe.skills must name what"),
        (["experiment=sac_states", "recipe.skills=runs/x"], "would do nothing where algo.decides=actions"),
        (["experiment=sac_states", "recipe.demos=3", "trainer.num_envs=2"], "recipe.demos, trainer.num_envs would do"),
        (["experiment=sac_states", "trainer.devices=2"], "trainer.devices must be 1, got 2"),
        (["experiment=sac_states", "trainer.precision=bf16-mixed"], "trainer.precision must be 32-true"),
        (["experiment=sac_states", "recipe.random_steps=0"], "recipe.random_steps must be at least 2"),
    ],
)
def test_options_that_would_do_nothing_are_refused(options, words):
    with pytest.raises(PixelarmError, match=words):
        check_recipe(compose(["task=kitchen", *options]))


def test_pretraining_it_names_what_learns_skills(data):
    with pytest.raises(PixelarmError, match=re.escape("experiment=spirl_skills")):
        pretrain([f"data={data}", "experiment=spirl"])


def test_skills_that_are_none_are_refused(tmp_path):
    with pytest.raises(PixelarmError, match="holds no skills"):
        from_reward(tmp_path / "run", "experiment=spirl", f"recipe.skills={tmp_path}")


def test_its_options_are_kept(learned):
    _, config = load_policy(learned / "policy")
    assert asdict(config.algo)["skills_algo"]["horizon"] == 10 and config.algo.decides == "skills"
