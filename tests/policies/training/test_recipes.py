"""Every recipe in configs/experiment, ablations too, composes, makes its agent at full size,
and learns two steps in finite numbers.
"""

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest_policies import random_episode, tiny_contract
from lightning.fabric import Fabric

import configs
from policies.config import TrainConfig
from policies.data.replay import Replay
from policies.policy import family_of
from policies.rl.pretraining import train_auxiliary
from policies.runs.find import flatten
from policies.schedules import schedule
from policies.training.checks import check_recipe
from policies.training.train import compose
from robot.contract import Contract
from robot.errors import PixelarmError

EXPERIMENTS = Path(configs.__file__).parent / "experiment"
# fitted, or from states alone: tested elsewhere
OTHERS = (
    "chunk_bc", "chunk_bc_states", "bet_states", "vqbet_states", "fist", "fist_pixels", "play_lmp", "sailor",
    "sac_states", "spirl", "spirl_skills", "taco_rl",
)  # fmt: skip
RECIPES = sorted(str(path.relative_to(EXPERIMENTS).with_suffix("")) for path in EXPERIMENTS.rglob("*.yaml"))


def contract_of(cfg: TrainConfig) -> Contract:
    """The cameras and history of a recipe on a task that needs no simulator; DeepMind Control has no proprioception."""
    tiny, size = tiny_contract(), cfg.task.image_size
    if cfg.task.name.startswith("dmc/"):
        return replace(tiny, cameras=(replace(tiny.cameras[0], height=size, width=size),), proprio=())
    return replace(tiny, cameras=tuple(replace(c, height=size, width=size) for c in tiny.cameras))


@pytest.mark.parametrize("name", [name for name in RECIPES if name not in OTHERS])
def test_a_recipe_learns(name):
    cfg = compose([f"experiment={name}"])
    assert cfg.experiment == name
    contract = contract_of(cfg)
    demos = [random_episode(contract, 6, seed) for seed in range(cfg.recipe.demos)]
    check_recipe(cfg)
    agent = family_of(cfg.algo).make_agent(contract, cfg.algo, Fabric(accelerator="cpu", devices=1), seed=0)
    contract = agent.contract
    replay = Replay(contract, 200, agent.lookup(cfg.recipe.pretrain))
    for episode in demos or [random_episode(contract, 6, seed) for seed in range(2)]:
        replay.add_episode(episode)
    rng = np.random.default_rng(0)
    if cfg.recipe.pretrain_updates:
        assert np.isfinite(train_auxiliary(agent, replay, cfg.recipe.pretrain, 1, 4, rng, lambda *_: None))
    for _ in range(2):
        batch = replay.sample(4, rng)
        batch = replace(batch, imitate=batch.imitate[: 2 * bool(demos)])
        metrics = agent.update(batch, schedule(cfg.recipe.bc_weight, 0))
        assert all(torch.isfinite(value) for value in metrics.values())
    assert set(agent.auxiliary) <= metrics.keys()
    assert ("bc_loss" in metrics) == (schedule(cfg.recipe.bc_weight, 0) > 0)


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("no_contrast", {"pretrain", "pretrain_updates"}),
        ("no_augmentation", {"augmentation"}),
        (
            "no_demonstrations",
            {
                "demos",
                "demo_fraction",
                "pretrain",
                "pretrain_updates",
                "clone_updates",
                "bc_weight",
                "critic_warmup",
                "successes_join",
            }
            | {"random_steps"},
        ),
        ("pp_no_mirror", {"mirror"}),
        ("pp_no_lasting_noise", {"exploration"}),
        ("pp_constant_noise", {"known"}),
        ("pp_no_silence", {"quiet"}),
        ("pp_one_step", {"n_step"}),
        ("pp_no_bounds", {"return_floor", "value_range"}),
        ("pp_bootstrap", {"time_limit"}),
        ("pp_no_successes", {"demo_fraction", "success_fraction", "successes_join"}),
        ("pp_learned_noise", {"actor"}),
        ("pp_large", {"convs", "members", "batch_size"}),
        ("pp_no_limit", {"discount", "discount_from_demos", "episode_limit"}),
    ],
)
def test_an_ablation_changes_what_its_name_says_and_nothing_else(name, changed):
    whole = "ferm_pp" if name.startswith("pp_") else "ferm_plus"
    full, without = (flatten(asdict(compose([f"experiment={e}"]))) for e in (whole, f"ablation/{name}"))
    keys = {key for key in full.keys() | without.keys() if full.get(key) != without.get(key)}
    differing = {key.split(".")[-1] for key in keys}
    for part in changed & {key.split(".")[1] for key in keys if "." in key}:  # another part has other options
        differing = differing - {key.split(".")[-1] for key in keys if f".{part}." in key} | {part}
    assert differing == changed | {"experiment", "run"}


@pytest.mark.parametrize(
    ("recipe", "what"),
    [
        (
            "curl",
            lambda a: (
                list(a.auxiliary) == ["info_nce"] and a.contract.history == 3 and a.encoder.image_size == (84, 84)
            ),
        ),
        ("rad", lambda a: not a.auxiliary and a.encoder.image_size == (84, 84) and a.actor.entropy.backup_entropy),
        ("atc", lambda a: not a.cfg.encoder.from_critic and list(a.auxiliary) == ["temporal_info_nce"]),
        ("flare", lambda a: a.encoder.flow and a.encoder.image_size == (108, 108) and a.cfg.same_augmentation),
        ("drq", lambda a: a.cfg.views == 2 and not a.auxiliary),
        ("drqv2", lambda a: a.actor.entropy is None and a.cfg.n_step == 3),
        ("rlpd", lambda a: a.critics.members == 10 and a.critics.subset == 1 and a.cfg.actor_value == "mean"),
    ],
)
def test_a_recipe_is_what_its_paper_says(recipe, what):
    cfg = compose([f"experiment={recipe}"])
    assert what(
        family_of(cfg.algo).make_agent(contract_of(cfg), cfg.algo, Fabric(accelerator="cpu", devices=1), seed=0)
    )


def test_a_task_on_the_command_line_wins_over_the_recipes():
    assert compose(["experiment=curl", "task=dmc/walker_walk"]).task.name == "dmc/walker-walk"
    assert compose(["experiment=curl", "task=lift"]).task.image_size == 100  # the recipe's pictures all the same


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("recipe.step=30", r"unknown option step .did you mean steps.*demos, demos_share_replay"),
        ("+recipe.step=30", "unknown option recipe.step .did you mean steps"),
        ("+trainer.gpu=1", "unknown option trainer.gpu.*accelerator"),
        ("algo.encoder.conv=curl", "unknown option conv .did you mean convs"),
        ("recipe.steps=many", "steps|many"),
    ],
)
def test_an_option_that_does_not_exist_is_refused_and_the_nearest_named(override, words):
    with pytest.raises(PixelarmError, match=words):
        compose([override])
