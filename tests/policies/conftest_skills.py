"""States of a point that walks, in episodes of given lengths."""

import dataclasses
from typing import TypeVar

import numpy as np
import torch

from policies.config import EncoderConfig
from policies.skills.config import FistConfig, SkillConfig
from policies.skills.fist import Fist
from robot.contract import Action, Camera, Contract, Proprio
from robot.dataset.episodes import Episode


def walking_contract() -> Contract:
    return Contract(
        task="walk",
        cameras=(),
        proprio=(Proprio("eef_pos", 3, "m", "base"), Proprio("object_state", 1, "m", "objects' joints")),
        action=Action(
            kind="eef_delta_position", names=("dx", "dy", "dz", "gripper"), units=("m", "m", "m", "1"),
            low=(-0.04, -0.04, -0.04, -1), high=(0.04, 0.04, 0.04, 1),
        ),
        rate_hz=10, deadline_ms=80, max_age_ms=100,
    )  # fmt: skip


def walk(steps: int, number: int = 0) -> Episode:
    """x counts the steps in centimetres, y is the episode's number in metres: any row says where it is from."""
    contract = walking_contract()
    at = np.stack([0.01 * np.arange(steps + 1), np.full(steps + 1, number), np.zeros(steps + 1)], axis=1)
    return Episode(
        contract=contract,
        observations={
            "eef_pos": at.astype(np.float32),
            "object_state": np.zeros((steps + 1, 1), np.float32),
        },
        actions=np.tile(np.float32([0.01, 0.0, 0.0, 1.0]), (steps, 1)),
        rewards=np.zeros(steps, np.float32),
        terminated=np.zeros(steps, bool),
        stamps=np.arange(steps + 1, dtype=np.int64) * 100_000_000,
        success=True,
        provenance={"device": "test"},
    )


def filmed_walk(steps: int, number: int = 0) -> Episode:
    """The same with a camera, whose pictures are as bright as the number of the step, plus a hundred for each walk."""
    episode = walk(steps, number)
    bright = (np.arange(steps + 1) + 100 * number).astype(np.uint8)
    pictures = np.broadcast_to(bright[:, None, None, None], (steps + 1, 32, 32, 3)).copy()
    return dataclasses.replace(
        episode,
        contract=dataclasses.replace(episode.contract, cameras=(Camera("agentview", 32, 32),)),
        observations={"agentview": pictures, **episode.observations},
    )


SMALL = {"horizon": 3, "latent": 2, "hidden": 8, "layers": 1, "recurrent": 8, "nudge": 0.0}
SEES = EncoderConfig(convs="tiny", feature_size=6, proprio_size=4)
Options = TypeVar("Options", bound=SkillConfig)


def small(family: type[Options], **options) -> Options:
    return dataclasses.replace(family(), **{**SMALL, "encoder": SEES, **options})


def tiny(**options) -> FistConfig:
    return small(FistConfig, **{"embedding": 4, "haste": 0.0, "object_weight": 1.0, **options})


def observed(x: float, y: float = 0.0) -> dict[str, torch.Tensor]:
    return {"eef_pos": torch.tensor([[x, y, 0.0]]), "object_state": torch.zeros(1, 1)}


def anywhere(number: int) -> list[dict[str, np.ndarray]]:
    """Observations of noise."""
    rng = np.random.default_rng(0)
    return [
        {"eef_pos": rng.normal(size=3).astype(np.float32), "object_state": np.zeros(1, np.float32)}
        for _ in range(number)
    ]


def walker(step=walk, **options) -> Fist:
    """It has looked at two walks of 5 and 7 steps; with ``step=filmed_walk``, through a camera, too."""
    walks = [step(5), step(7, 1)]
    made = Fist(walks[0].contract, tiny(**options), seed=0)
    rows = made.rows(walks)
    made.measure(rows)
    made.look_up(rows)
    return made
