"""A tiny contract and agent that learn in milliseconds."""

import dataclasses

import numpy as np
import pytest
from lightning.fabric import Fabric
from omegaconf import OmegaConf

import policies.families  # noqa: F401
from policies.policy import family_of
from policies.rl.actor_critic import ActorCritic
from policies.rl.config import ActorCriticConfig, CqnAsConfig
from policies.rl.cqn_as.agent import CqnAs
from robot.contract import Action, Camera, Contract, Proprio
from robot.dataset.episodes import Episode


def tiny_contract(history: int = 1) -> Contract:
    return Contract(
        task="tiny",
        cameras=(Camera("a", 32, 32), Camera("b", 32, 32)),
        proprio=(Proprio("eef_pos", 3, "m", "base"), Proprio("gripper_opening", 1, "m", "gripper")),
        action=Action(
            kind="eef_delta_position", names=("dx", "dy", "dz", "gripper"), units=("m", "m", "m", "1"),
            low=(-0.04, -0.04, -0.04, -1), high=(0.04, 0.04, 0.04, 1),
        ),
        rate_hz=10, deadline_ms=80, max_age_ms=100, history=history,
    )  # fmt: skip


def random_observation(contract: Contract, rng: np.random.Generator) -> dict[str, np.ndarray]:
    images = {c.name: rng.integers(0, 256, c.shape, dtype=np.uint8) for c in contract.cameras}
    return {**images, **{p.name: rng.normal(size=p.size).astype(np.float32) for p in contract.proprio}}


def random_episode(contract: Contract, steps: int, seed: int = 0) -> Episode:
    rng = np.random.default_rng(seed)
    observations = [random_observation(contract, rng) for _ in range(steps + 1)]
    terminated = np.zeros(steps, bool)
    terminated[-1] = True
    return Episode(
        contract=contract,
        observations={name: np.stack([o[name] for o in observations]) for name in observations[0]},
        actions=contract.clip_action(rng.uniform(-1, 1, (steps, 4)) * 0.04),
        rewards=terminated.astype(np.float32),
        terminated=terminated,
        stamps=np.arange(steps + 1, dtype=np.int64) * 100_000_000,
        success=True,
        provenance={"device": "test"},
    )


@pytest.fixture
def contract() -> Contract:
    return tiny_contract()


SMALL = [
    "encoder.convs=compact", "encoder.feature_size=16", "encoder.proprio_size=8", "encoder.tanh=true",
    "actor.gaussian.hidden=32", "actor.gaussian.log_std_min=-5", "actor.gaussian.log_std_max=0",
    "actor.gaussian.temperature=0.002", "actor.gaussian.temperature_rate=1e-3", "actor.gaussian.target_entropy=-0.75",
    "actor.gaussian.backup_entropy=false",
    "critic.mlp.hidden=32", "critic.mlp.members=3", "critic.mlp.layer_norm=true",
    "discount=0.96", "target_rate=0.01", "policy_average=0.005", "augmentation=[{shift: {pixels: 3}}]",
]  # fmt: skip
DETERMINISTIC = ["actor=deterministic", "actor.deterministic.hidden=32"]
SIMBA = ["critic=simba", "critic.simba.hidden=32"]


def agent_config(*overrides: str) -> ActorCriticConfig:
    """A small agent's configuration, with overrides as on the command line, "critic.mlp.members=2" say."""
    config = OmegaConf.merge(OmegaConf.structured(ActorCriticConfig), OmegaConf.from_dotlist([*SMALL, *overrides]))
    made = OmegaConf.to_object(config)
    assert isinstance(made, ActorCriticConfig)
    return made


def make_agent(
    contract: Contract, *overrides: str, seed: int = 0, precision: str = "32-true", compile: str = "off"
) -> ActorCritic:
    fabric = Fabric(accelerator="cpu", devices=1, precision=precision)
    cfg = dataclasses.replace(agent_config(*overrides), history=contract.history)
    return family_of(cfg).make_agent(contract, cfg, fabric, seed, compile)


def make_cqn_as(contract: Contract, *overrides: str, seed: int = 0) -> CqnAs:
    small = [text for text in SMALL if text.startswith(("encoder.", "augmentation", "discount"))]
    config = OmegaConf.merge(
        OmegaConf.structured(CqnAsConfig), OmegaConf.from_dotlist([*small, "critic.hidden=32", *overrides])
    )
    cfg = OmegaConf.to_object(config)
    assert isinstance(cfg, CqnAsConfig)
    fabric = Fabric(accelerator="cpu", devices=1)
    return family_of(cfg).make_agent(
        contract.for_policy(), dataclasses.replace(cfg, history=contract.history), fabric, seed
    )


@pytest.fixture
def agent(contract) -> ActorCritic:
    return make_agent(contract)
