"""What follows from demonstrations: discount and episode limit, by hand."""

from types import SimpleNamespace

import pytest
from conftest_policies import random_episode, tiny_contract

from policies.training.compose import compose
from policies.training.settle import discount_of, settle
from robot.errors import PixelarmError


@pytest.mark.parametrize(
    ("lengths", "gamma"),
    [([40, 50], 0.9847), ([10, 10], 0.95), ([300], 0.99), ([20], 0.9659)],  # 0.5 ** (1 / 45); bounds; 0.5 ** 0.05
)
def test_success_at_a_demonstrations_end_is_worth_a_half(lengths, gamma):
    assert discount_of(lengths) == gamma


def demonstration(end):
    """One that is done with step ``end`` and goes on for 10 steps, which are no part of its length."""
    demo = random_episode(tiny_contract(), end + 10)
    demo.terminated[end - 1 :] = True
    return demo


def settled(*overrides, lengths=(40, 50), max_steps=100):
    cfg, env = compose(["task=move", *overrides]), SimpleNamespace(max_steps=max_steps, time_limit=max_steps)
    settle(cfg, env, [demonstration(n) for n in lengths])
    return cfg, env


def test_limit_and_discount_are_set_where_the_recipe_wants_them():
    cfg, env = settled("recipe.episode_limit=1.5", "recipe.discount_from_demos=true")
    assert (cfg.task.time_limit, env.time_limit, cfg.algo.discount) == (75, 75, 0.9847)
    assert settled("recipe.episode_limit=3")[1].time_limit == 100  # never beyond the task's own
    cfg, env = settled()
    assert (cfg.task.time_limit, env.time_limit, cfg.algo.discount) == (0, 100, 0.96)


def test_a_limit_shorter_than_the_demonstrations_is_refused():
    with pytest.raises(PixelarmError, match="cuts training episodes at 40 steps, and the longest .* takes 50"):
        settled("recipe.episode_limit=0.8")
