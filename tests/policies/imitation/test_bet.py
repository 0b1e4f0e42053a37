"""Behavior Transformers: the loss by hand, two ways from one observation, and histories that begin with an episode."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest_policies import random_observation, tiny_contract
from conftest_skills import walk, walking_contract
from conftest_tokens import bet, episode_of, fit, fork, seen

from policies.export.onnx import TOLERANCE, check_parity, to_onnx
from policies.imitation.bc import ChunkBc
from policies.imitation.checks import check_fitted
from policies.imitation.config import BetConfig, ChunkBcConfig
from policies.rollout.acting import GreedyPolicy
from robot import bundle
from robot.errors import PixelarmError


def small(contract=None, **options):
    contract = contract or replace(tiny_contract(), cameras=())
    return bet(contract, [episode_of(contract, 6, seed) for seed in range(3)], **options)


def test_bins_of_demonstrations_that_go_two_ways():
    """Four to the right and four to the left: 32 actions whose two centres are the two ways, gripper included."""
    policy, rows = bet(walking_contract(), [fork(n) for n in range(8)], bins=2)
    ways = policy.placed(policy.actions.to_network(rows.all_actions()))[[4, 0]]
    order = policy.centres[:, 0].argsort()
    assert torch.allclose(policy.centres[order], ways, atol=1e-6)
    assert policy.centres[order, 3].tolist() == [-1.0, 1.0]
    again, _ = bet(walking_contract(), [fork(n) for n in range(8)], bins=2)
    assert torch.equal(again.centres, policy.centres)


def test_more_bins_than_different_actions_are_refused():
    with pytest.raises(
        PixelarmError, match="too few demonstrated actions for algo.bins=3: .* of which 2 are different"
    ):
        bet(walking_contract(), [fork(0), fork(1)], bins=3)


def test_the_loss_by_hand():
    """Both heads answer 0: of four bins each has 1/4, the action is its bin's centre, the gripper's odds are even."""
    policy, rows = small(focal=2.0, offset_weight=3.0, two_valued_weight=0.5)
    for head in (policy.bin_head, policy.offset_head):
        torch.nn.init.zeros_(head.weight)
        torch.nn.init.zeros_(head.bias)
    batch = rows.__getitems__([0, 7])  # the first moment of an episode, and the second of the next
    assert batch.valid.tolist() == [[False, False, True], [False, True, True]]
    found = {name: float(value.detach()) for name, value in policy.loss(batch).items()}
    wanted = policy.actions.to_network(batch.actions)[batch.valid]
    away = (policy.placed(wanted)[:, None] - policy.centres).square().sum(dim=2)
    motion = float((policy.centres[away.argmin(dim=1)] - wanted)[:, :3].abs().mean())
    focal = 0.75**2 * math.log(4.0)
    assert found["bin_loss"] == pytest.approx(focal, rel=1e-5)
    assert found["motion_loss"] == pytest.approx(motion, rel=1e-5) and motion > 0.05
    assert found["two_valued_loss"] == pytest.approx(math.log(2.0), rel=1e-5)
    assert found["loss"] == pytest.approx(focal + 3.0 * (motion + 0.5 * math.log(2.0)), rel=1e-5)


def test_only_the_true_bins_offset_learns():
    policy, rows = small()
    batch = rows.__getitems__([5])
    true = policy.placed(policy.actions.to_network(batch.actions[0]))
    bins = (true[:, None] - policy.centres).square().sum(dim=2).argmin(dim=1).unique()
    policy.loss(batch)["loss"].backward()
    moved = policy.offset_head.bias.grad.unflatten(0, policy.centres.shape).abs().sum(dim=1)
    assert 0 < len(bins) < 4 and torch.equal(moved.nonzero()[:, 0], bins)


@pytest.mark.parametrize(("see", "updates"), [(tiny_contract, 70), (lambda: replace(tiny_contract(), cameras=()), 150)])
def test_it_learns_what_it_is_shown(see, updates):
    policy, rows = small(see())
    losses = fit(policy, rows, updates)
    assert losses[-1]["loss"] < 0.3 * losses[0]["loss"] and losses[-1]["bin_accuracy"] > 0.8  # of four bins


def test_it_takes_one_of_two_ways_and_each_half_of_the_time():
    """Of 600 draws a half within four standard deviations, 0.08; cloning has one answer, which may lie between."""
    policy, rows = bet(walking_contract(), [fork(n) for n in range(8)], bins=2)
    fit(policy, rows, 80)
    torch.manual_seed(0)
    drawn = policy.act(seen(600), sample=True)[:, 0]
    right = drawn[:, 0] > 0
    assert np.abs(drawn[:, 0]) == pytest.approx(np.full(600, 0.03), abs=0.002)
    assert right.mean() == pytest.approx(0.5, abs=0.08)
    assert np.array_equal(drawn[:, 3], np.where(right, 1.0, -1.0))  # the gripper is of the same way
    best = policy.act(seen(2), sample=False)[:, 0]
    assert abs(best[0, 0]) == pytest.approx(0.03, abs=0.002) and np.array_equal(best[0], best[1])
    cloned = ChunkBc(walking_contract().for_policy(3, 1, 1), ChunkBcConfig(history=3, chunk=1, hidden=16), seed=1)
    cloned.measure(rows)
    batch = rows.__getitems__(range(len(rows)))
    assert len(np.unique(cloned.act(batch.obs, sample=True)[:, 0, 0])) == 1


def test_an_episodes_first_observation_stands_for_those_before_it():
    """What is learned from at an episode's first moments is what acting begins with; there one action counts, then
    two.
    """
    policy, rows = bet(walking_contract(), [walk(5), fork(0)], bins=2)
    fit(policy, rows, 5)
    batch = rows.__getitems__([0, 1, 2, 3])
    assert batch.valid.sum(dim=1).tolist() == [1, 2, 3, 3]
    greedy, learned = GreedyPolicy(policy), policy.act(batch.obs, sample=False)[:, 0]
    acted = np.stack([greedy(walk(5).observation(t)) for t in range(4)])
    assert np.allclose(acted, learned, atol=1e-6)


def test_each_observation_is_seen_by_itself():
    """The same features as alone, scaled by the same numbers; and all of a history from one random view."""
    policy, rows = small(tiny_contract(), augmentation=[{"shift": {"pixels": 4}}], history=2)
    eyes, obs = policy.eyes, rows.__getitems__([3, 9]).obs
    each = np.concatenate([np.concatenate([e.observations["eef_pos"], e.observations["gripper_opening"]], axis=1)[:6]
                           for e in (episode_of(tiny_contract(), 6, seed) for seed in range(3))])  # fmt: skip
    assert np.allclose(eyes.normalizer.mean, each.mean(axis=0), atol=1e-6)
    together = eyes(obs)
    newest = {name: value.unflatten(1, (2, -1))[:, 1] for name, value in obs.items()}
    alone = eyes(_twice(newest))
    assert together.shape == (2, 2, eyes.size)
    assert torch.allclose(alone[:, 0], alone[:, 1]) and torch.allclose(together[:, 1], alone[:, 1], atol=1e-5)
    view = eyes(_twice(newest), torch.Generator().manual_seed(0))
    assert torch.allclose(view[:, 0], view[:, 1], atol=1e-6) and not torch.allclose(view, alone, atol=1e-3)


def _twice(newest: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: torch.cat([value, value], dim=1) for name, value in newest.items()}


def test_the_exported_network_takes_the_best_bin():
    policy, rows = small()
    fit(policy, rows, 10)
    rng = np.random.default_rng(0)
    exported = bundle.Policy(to_onnx(policy), policy.contract, {})
    observations = [random_observation(policy.contract, rng) for _ in range(6)]
    assert check_parity(exported, policy, observations) < TOLERANCE
    assert exported.contract.history == 3


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"chunk": 2}, "algo.chunk must be 1: a bin is of single actions, got 2; vqbet has chunks"),
        ({"bins": 0}, "algo.bins must be at least 1, got 0"),
        ({"focal": -1.0}, "algo.focal must be at least 0, got -1"),
    ],
)
def test_options_that_mean_nothing_are_refused(options, words):
    with pytest.raises(PixelarmError, match=words):
        check_fitted(BetConfig(**options))
    check_fitted(BetConfig())


def test_a_transformer_that_cannot_be_is_refused():
    cfg = BetConfig()
    cfg.transformer.heads, cfg.encoder.history = 5, "flow"
    with pytest.raises(PixelarmError, match="heads must divide the width, got 3, 5 and 96") as refused:
        check_fitted(cfg)
    assert "algo.encoder.history=flow would do nothing" in str(refused.value)
