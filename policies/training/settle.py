"""Options of a run that follow from its demonstrations."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from policies.config import TrainConfig
from policies.rollout.person import Person
from robot.dataset.episodes import Episode
from robot.errors import PixelarmError

LEAST_DISCOUNT, LARGEST_DISCOUNT = 0.95, 0.99


def settle(cfg: TrainConfig, env: Any, demos: list[Episode]) -> None:
    """Set what the recipe wants to follow from the demonstrations' lengths, in ``cfg`` and in the environment.

    * ``recipe.discount_from_demos``: a reward at the end of a demonstration of mean length is worth half at its start
    * ``recipe.episode_limit``: training episodes end at so many times the longest demonstration
    """
    recipe = cfg.recipe
    lengths = [demo.steps_to_end for demo in demos]
    if recipe.discount_from_demos:
        cfg.algo.discount = discount_of(lengths)
    if recipe.episode_limit:
        limit = math.ceil(recipe.episode_limit * max(lengths))
        if limit < max(lengths):
            raise PixelarmError(
                f"recipe.episode_limit={recipe.episode_limit:g} cuts training episodes at {limit} steps, and the "
                f"longest demonstration takes {max(lengths)}: set it to 1 or more, or to 0 for the task's own limit"
            )
        cfg.task.time_limit = env.time_limit = min(limit, env.max_steps)
    if recipe.take_over_after and take_over_step(cfg, demos) >= env.time_limit:
        raise PixelarmError(
            f"recipe.take_over_after={recipe.take_over_after:g} is step {take_over_step(cfg, demos)} of a training "
            f"episode, which ends at {env.time_limit}: nobody would take over; lower it, or raise recipe.episode_limit"
        )


def make_person(cfg: TrainConfig, env: Any, demos: list[Episode]) -> Person | None:
    """Who takes over from training episodes, if the recipe wants anyone."""
    if not cfg.recipe.take_over_after:
        return None
    return Person(env, take_over_step(cfg, demos), cfg.recipe.most_take_overs, cfg.seed)


def take_over_step(cfg: TrainConfig, demos: list[Episode]) -> int:
    """Control steps of an episode after which a person takes over."""
    return round(cfg.recipe.take_over_after * float(np.mean([demo.steps_to_end for demo in demos])))


def discount_of(lengths: list[int]) -> float:
    """gamma with gamma^L = 1/2 for demonstrations of mean length L, within 0.95 and 0.99; four digits."""
    gamma = 0.5 ** (1.0 / float(np.mean(lengths)))
    return round(min(max(gamma, LEAST_DISCOUNT), LARGEST_DISCOUNT), 4)
