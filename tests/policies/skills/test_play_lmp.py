"""Play-LMP: its divergence by hand, where goals are, what is read of a stretch, what it acts and is exported with."""

import re

import numpy as np
import pytest
import torch
from conftest_skills import anywhere, observed, small, walk, walking_contract

from policies.export.onnx import TOLERANCE, check_parity, to_onnx
from policies.skills.config import PlayLmpConfig
from policies.skills.play_lmp import PlayLmp
from policies.skills.skill import Gaussian, SkillVae
from robot import bundle
from robot.errors import DatasetError, PixelarmError


def tiny(**options) -> PlayLmpConfig:
    return small(PlayLmpConfig, **{"shortest": 2, "horizon": 4, "goal_ahead": 3, "haste": 0.0, **options})


def player(**options) -> PlayLmp:
    """It has looked at two walks of 5 and 7 steps."""
    made = PlayLmp(walking_contract(), tiny(**options), seed=0)
    rows = made.rows([walk(5), walk(7, 1)])
    made.measure(rows)
    made.look_up(rows)
    return made


def everything(policy: PlayLmp):
    """The twelve stretches of both walks: from steps 0 to 4 of the first, 0 to 6 of the second."""
    return policy.rows([walk(5), walk(7, 1)]).__getitems__(range(12))


def in_steps(policy: PlayLmp, states: torch.Tensor) -> torch.Tensor:
    """x of normalised states, which counts a walk's steps, and y, which is its number."""
    metres = states * policy.normalizer.std + policy.normalizer.mean
    return torch.stack([100 * metres[..., 0], metres[..., 1]], dim=-1).round()


# ----------------------------------------------------------------------------------------------------------- divergence
def test_the_divergence_of_two_gaussians_by_hand():
    """KL(N(1, 1) || N(0, 2)) = log 2 + (1 + 1) / 8 - 1/2; KL(N(0, 2) || N(0, 1)) = -log 2 + 4/2 - 1/2; their sum."""
    log2 = float(np.log(2.0))
    one, other = Gaussian(torch.tensor([[1.0, 0.0, 0.0, log2]])), Gaussian(torch.tensor([[0.0, 0.0, log2, 0.0]]))
    assert one.kl_to(other).item() == pytest.approx((log2 + 0.25 - 0.5) + (-log2 + 2.0 - 0.5))
    unit = Gaussian(torch.zeros(1, 4))
    assert one.kl_to(unit).item() == pytest.approx(one.kl_to_unit().item())
    assert one.kl_to(one).item() == pytest.approx(0.0)


def test_the_divergence_trains_both_of_its_sides():
    policy = player(proposal_weight=0.0)
    divergence = policy.loss(everything(policy))["kl"]
    for weight in (policy.skill.posterior_head.weight, policy.skill.inverse[0].weight):
        (gradient,) = torch.autograd.grad(divergence, weight, retain_graph=True)
        assert gradient.abs().sum() > 0


def test_the_loss_is_the_sum_of_its_parts():
    policy = player(kl_weight=0.5, proposal_weight=2.0)
    found = {name: value.item() for name, value in policy.loss(everything(policy)).items()}
    parts = found["reconstruction"] + 0.5 * found["kl"] + 2.0 * found["proposal_error"]
    assert found["loss"] == pytest.approx(parts, rel=1e-5)


# ------------------------------------------------------------------------------------------------------------ stretches
def test_goals_are_where_stretches_end_and_never_in_another_episode(monkeypatch):
    """Of L = 2, 3, 4, 2, ...: x of the goal is that of the start and L, at most that of the walk's end, 5 or 7."""
    policy, pairs = player(), []
    steps = torch.tensor([2, 3, 4] * 4)
    monkeypatch.setattr(policy, "draw_steps", lambda batch: steps)
    propose = policy.skill.inverse_dynamics
    monkeypatch.setattr(
        policy.skill, "inverse_dynamics", lambda start, goal: pairs.append((start, goal)) or propose(start, goal)
    )
    policy.loss(everything(policy))
    assert len(pairs) == 2  # the divergence's, and as it acts
    for start, goal in pairs:
        assert in_steps(policy, start).tolist() == [[x, 0] for x in range(5)] + [[x, 1] for x in range(7)]
        ends = [2, 4, 5, 5, 5] + [4, 3, 5, 7, 6, 7, 7]
        assert in_steps(policy, goal).tolist() == [[x, 0] for x in ends[:5]] + [[x, 1] for x in ends[5:]]


def test_what_is_decoded_lies_before_the_goal(monkeypatch):
    policy, seen = player(decoded=50), []
    monkeypatch.setattr(policy, "draw_steps", lambda batch: torch.tensor([2, 3, 4] * 4))
    decode = policy.decode
    monkeypatch.setattr(policy, "decode", lambda states, goal, z: seen.append(states) or decode(states, goal, z))
    policy.loss(everything(policy))
    (states,) = [s for s in seen if s.dim() == 3]
    done = in_steps(policy, states[5:9])[..., 0] - torch.arange(4)[:, None]  # of the second walk, far from its end
    assert [row.unique().tolist() for row in done] == [[0, 1, 2, 3], [0, 1], [0, 1, 2], [0, 1, 2, 3]]


def test_lengths_are_drawn_from_the_shortest_to_the_longest():
    policy = player()
    torch.manual_seed(0)
    drawn = torch.cat([policy.draw_steps(everything(policy)) for _ in range(20)])
    assert drawn.unique().tolist() == [2, 3, 4]
    assert all(60 < int((drawn == steps).sum()) < 100 for steps in (2, 3, 4))  # of 240


def test_the_recognition_reads_a_stretch_as_far_as_it_goes():
    vae = SkillVae(4, 4, tiny())
    torch.manual_seed(0)
    states, actions = torch.randn(2, 5, 4), torch.randn(2, 5, 4)
    both = vae.posterior(states, actions, torch.tensor([2, 5])).mean
    assert torch.allclose(both[0], vae.posterior(states[:1, :2], actions[:1, :2]).mean[0], atol=1e-6)
    assert torch.allclose(both[1], vae.posterior(states[1:], actions[1:]).mean[0], atol=1e-6)
    assert not torch.allclose(both[0], vae.posterior(states[:1], actions[:1]).mean[0], atol=1e-3)


def test_an_episode_may_be_shorter_than_the_longest_stretch_but_not_than_the_shortest():
    policy = player()
    assert len(policy.rows([walk(2)])) == 2
    with pytest.raises(DatasetError, match="episode 1 of the demonstrations has 1 actions, .* algo.shortest=2"):
        policy.rows([walk(5), walk(1)])


# --------------------------------------------------------------------------------------------------------------- acting
def test_its_goal_is_some_steps_after_the_nearest_state_of_the_demonstrations():
    policy = player(goal_ahead=3)
    for (x, y), ahead in {(0.01, 0): (4, 0), (0.03, 0): (5, 0), (0.03, 1): (6, 1), (0.06, 1): (7, 1)}.items():
        row = policy.nearest(policy.normalizer(observed(x, y)))
        assert in_steps(policy, policy.ahead[row]).tolist() == [list(ahead)]


def test_it_acts_on_the_way_to_that_goal():
    """Other goals, other actions; the same demonstrations, the same ones."""
    policy, other = player(goal_ahead=2), player(goal_ahead=2)
    assert np.array_equal(policy.act(observed(0.01), False), other.act(observed(0.01), True))
    other.ahead = other.ahead + 1.0
    assert not np.allclose(policy.act(observed(0.01), False), other.act(observed(0.01), False), atol=1e-6)


def test_without_demonstrations_it_does_not_act():
    policy = PlayLmp(walking_contract(), tiny(), seed=0)
    with pytest.raises(PixelarmError, match="no demonstrations to look up.*pixelarm adapt"):
        policy.act(observed(0.0), sample=False)


def test_it_is_exported_with_what_it_looks_up():
    policy = player()
    exported = bundle.Policy(to_onnx(policy), policy.contract, {})
    assert check_parity(exported, policy, anywhere(20)) <= TOLERANCE


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ({"shortest": 5}, "algo.shortest must be at most algo.horizon, which is 4, got 5"),
        ({"goal_ahead": 5}, "algo.goal_ahead must be from algo.shortest=2 to algo.horizon=4, .*, got 5"),
        ({"goal_ahead": 1}, "algo.goal_ahead must be from algo.shortest=2 to algo.horizon=4, .*, got 1"),
        ({"shortest": 0}, "algo.shortest must be at least 1, got 0"),
        ({"kl_weight": -1.0}, "algo.kl_weight must not be negative, got -1.0"),
        ({"history": 2}, "algo.history must be 1"),
    ],
)
def test_options_that_mean_nothing_are_refused(option, words):
    assert any(re.search(words, problem) for problem in tiny(**option).problems())
