"""SAILOR: what makes skills predictable, by hand; which stretches are retrieved; the flag; when there is a policy."""

import re

import numpy as np
import pytest
import torch
from conftest_skills import anywhere, observed, small, walk, walking_contract

from policies.export.onnx import TOLERANCE, check_parity, to_onnx
from policies.skills.config import SailorConfig
from policies.skills.sailor import Sailor, later, nearest_share
from policies.skills.skill import Gaussian
from policies.skills.windows import MixedBatch, Mixture, SkillWindows
from robot import bundle
from robot.errors import DatasetError, PixelarmError


def tiny(**options) -> SailorConfig:
    return small(SailorConfig, **{"slowness_steps": 2, "time_steps": 4, **options})


def skills(**options) -> Sailor:
    """Scaled by two walks of 5 and 7 steps; no policy yet."""
    made = Sailor(walking_contract(), tiny(**options), seed=0)
    made.measure(made.rows([walk(5), walk(7, 1)]))
    return made


def everything(policy: Sailor):
    """The twelve stretches of both walks: from steps 0 to 4 of the first, 0 to 6 of the second."""
    return policy.rows([walk(5), walk(7, 1)]).__getitems__(range(12))


def metres(policy: Sailor, states: torch.Tensor) -> torch.Tensor:
    return states * policy.normalizer.std + policy.normalizer.mean


def placed(policy: Sailor, monkeypatch) -> list[torch.Tensor]:
    """From now on a stretch's skill is where it begins: (steps from the walk's start, number of the walk). Returns the
    stretches' states, in metres, of each call.
    """
    calls: list[torch.Tensor] = []

    def posterior(states, actions):
        calls.append(metres(policy, states))
        mean = torch.stack([100 * calls[-1][:, 0, 0], calls[-1][:, 0, 1]], dim=-1)
        return Gaussian(torch.cat([mean, torch.zeros_like(mean)], dim=-1))

    monkeypatch.setattr(policy.skill, "posterior", posterior)
    return calls


# --------------------------------------------------------------------------------------------------- predictable skills
def test_later_stretches_are_as_late_as_the_episode_lets_them():
    torch.manual_seed(0)
    room = torch.tensor([-2, 0, 1, 3, 9]).repeat(200)
    offset, there = later(room, 4)
    assert there[:5].tolist() == [False, False, True, True, True]
    assert [offset[i::5].unique().tolist() for i in range(5)] == [[1], [1], [1], [1, 2, 3], [1, 2, 3, 4]]


def test_the_terms_that_make_skills_predictable_by_hand(monkeypatch):
    """H = 3: of the walk of 5 steps, stretches from 0, 1, 2 are whole, with room for 2, 1, 0 later; of that of 7 those
    from 0 to 4, with room for 4, 3, 2, 1, 0. Draws are as late as can be, predictions 0, skills (step, walk).

    Slowness, at most 2 later: 2, 1 and 2, 2, 2, 1 steps: (4 + 1 + 4 + 4 + 4 + 1) / 6 pairs / 2 numbers = 1.5.
    Time, at most 4 later: 2, 1 and 4, 3, 2, 1 steps: (4 + 1 + 16 + 9 + 4 + 1) / 6 = 35/6.
    Inverse: (0 + 1 + 4) of walk 0, and (0 + 1 + 4 + 9 + 16) + 5 x 1 of walk 1, / 8 stretches / 2 numbers = 40/16.
    """
    policy = skills()
    placed(policy, monkeypatch)
    monkeypatch.setattr(torch, "rand", lambda number, device: torch.full((number,), 0.999))
    monkeypatch.setattr(policy.predictors, "steps", lambda first, then: torch.zeros(len(first)))
    monkeypatch.setattr(policy.predictors, "skill", lambda start, end: torch.zeros(len(start), 2))
    losses = policy.loss(everything(policy))
    assert losses["slowness"].item() == pytest.approx(1.5, rel=1e-4)
    assert losses["time"].item() == pytest.approx(35 / 6, rel=1e-4)
    assert losses["inverse"].item() == pytest.approx(40 / 16, rel=1e-4)


def test_the_loss_is_the_sum_of_its_parts():
    policy = skills(prior_weight=0.5, slowness_weight=2.0, inverse_weight=3.0, time_weight=0.25, acting_weight=4.0)
    found = {name: value.item() for name, value in policy.loss(everything(policy)).items()}
    parts = found["reconstruction"] + 0.5 * found["kl"] + 2 * found["slowness"] + 3 * found["inverse"]
    assert found["loss"] == pytest.approx(parts + 0.25 * found["time"], rel=1e-5)
    mixed = policy.loss(MixedBatch(everything(policy), torch.ones(12, dtype=torch.bool)))
    found = {name: value.item() for name, value in mixed.items()}
    parts = found["reconstruction"] + 0.5 * found["kl"] + 2 * found["slowness"] + 3 * found["inverse"]
    parts += 0.25 * found["time"] + found["skill_error"] + 4.0 * found["acting_error"]
    assert found["loss"] == pytest.approx(parts, rel=1e-5)


def test_the_published_weights_are_the_defaults():
    cfg = SailorConfig()
    weights = (cfg.prior_weight, cfg.slowness_weight, cfg.inverse_weight, cfg.time_weight, cfg.retrieved)
    assert weights == (1e-5, 1e-3, 0.1, 1e-6, 0.1)
    assert (cfg.slowness_steps, cfg.time_steps, cfg.horizon) == (5, 50, 10)


def test_stretches_that_are_compared_are_of_one_episode(monkeypatch):
    """Where a later one is drawn that there is, all its states have the number (y) of the first one's walk, and its x
    goes on in steps of one; a short walk between two others shifts nothing.
    """
    policy = skills()
    calls = placed(policy, monkeypatch)
    walks = [walk(9, 0), walk(3, 1), walk(12, 2)]
    rows = policy.rows(walks)
    policy.loss(rows.__getitems__(range(len(rows))))
    (three,) = calls
    first, soon, far = three.chunk(3)
    steps_left = torch.tensor([len(w) - t for w in walks for t in range(len(w))])
    there = steps_left >= 3 + 1
    assert there.sum() == 6 + 0 + 9
    for stretch in (soon, far):
        assert (stretch[there][..., 1] == first[there][:, :1, 1]).all()
        assert torch.allclose(stretch[there].diff(dim=1)[..., 0], torch.tensor(0.01), atol=1e-4)
    offset = (100 * (far - first)[there][:, 0, 0]).round()
    assert offset.min() >= 1 and (offset <= (steps_left[there] - 3).clamp(max=4)).all()


def test_what_a_policy_did_before_a_person_took_over_is_compared_with_nothing(monkeypatch):
    """Of 8 steps only 2 to 5 are a person's, room for two whole stretches of 3: from 2 and 3."""
    policy = skills()
    placed(policy, monkeypatch)
    monkeypatch.setattr(policy.predictors, "skill", lambda start, end: torch.zeros(len(start), 2))
    episode = walk(8)
    episode.provenance["interventions"] = [[2, 5]]
    rows = policy.rows([episode])
    losses = policy.loss(rows.__getitems__(range(len(rows))))
    assert len(rows) == 4 and losses["inverse"].item() == pytest.approx((4 + 9) / 2 / 2, rel=1e-4)
    assert losses["slowness"].item() == pytest.approx(0.5, rel=1e-4)  # one pair, one step


def test_an_episode_may_be_shorter_than_what_lies_ahead_but_not_than_a_skill():
    policy = skills()
    assert len(policy.rows([walk(3)])) == 3
    with pytest.raises(DatasetError, match="episode 0 of the demonstrations has 2 actions, .* algo.horizon=3"):
        policy.rows([walk(2)])


# ------------------------------------------------------------------------------------------------------------ retrieval
def test_the_nearest_tenth_by_hand():
    """Of 20 skills at 0, 1, .. 19 the two nearest to 4.9 or 17.2 are 5 (0.1 away) and 17 (0.2)."""
    found = torch.arange(20.0)[:, None]
    assert nearest_share(found, torch.tensor([[4.9], [17.2]]), 0.1).tolist() == [5, 17]
    assert nearest_share(found, torch.tensor([[4.9]]), 0.2).tolist() == [3, 4, 5, 6]
    assert nearest_share(found, torch.tensor([[6.5]]), 0.01).tolist() == [6]  # one at least, the earlier of equals


def test_stretches_like_the_demonstrations_are_retrieved_and_no_cut_ones(monkeypatch):
    """Ten walks of 12 steps have ten whole stretches of 3 each: a tenth of them are those of the walk in the
    demonstration's place, from its ten first steps.
    """
    policy = skills()
    placed(policy, monkeypatch)
    prior = policy.rows([walk(12, number) for number in range(0, 1000, 100)])
    mixture = policy.beside_prior(policy.rows([walk(12, 700)]), prior)
    got = mixture.others.__getitems__(range(len(mixture.others)))
    assert got.states[:, 0, 1].tolist() == [700.0] * 10
    assert (100 * got.states[:, 0, 0]).round().tolist() == list(range(10))
    assert len(prior) == 120  # as it was


def test_nothing_to_retrieve_is_said(monkeypatch):
    policy = skills()
    episode = walk(8)
    episode.provenance["interventions"] = [[2, 3]]
    with pytest.raises(PixelarmError, match="algo.horizon=3 actions that are all .* in the prior data"):
        policy.beside_prior(policy.rows([walk(5)]), policy.rows([episode]))
    with pytest.raises(PixelarmError, match="all examples to follow in the demonstrations"):
        policy.beside_prior(policy.rows([episode]), policy.rows([walk(5)]))


def test_half_of_a_batch_is_retrieved_and_each_pair_is_a_row():
    policy = skills()
    mixture = policy.beside_prior(policy.rows([walk(4)]), policy.rows([walk(30, 1)]))
    assert len(mixture.others) == 3 and len(mixture) == 4 * 3
    batch = mixture.__getitems__([0, 7, 11, 0, 5, 11, 3])
    assert batch.target.tolist() == [True] * 4 + [False] * 3
    assert batch.stretches.states[:, 0, 1].tolist() == [0] * 4 + [1] * 3
    assert (100 * batch.stretches.states[:4, 0, 0]).round().tolist() == [0, 3, 3, 0]  # 0, 7, 11, 0 modulo 4
    pairs = {(row % 4, row // 4) for row in range(len(mixture))}
    assert pairs == {(i, j) for i in range(4) for j in range(3)}
    fifth = Mixture(mixture.target, mixture.others, share=0.2).__getitems__(range(11))
    assert fifth.target.tolist() == [True] * 9 + [False] * 2


# ----------------------------------------------------------------------------------------------------------- the policy
def test_the_flag_says_whose_skill_is_chosen(monkeypatch):
    """Demonstrations are learned from with 1, what was retrieved with 0; it acts with 1."""
    policy = skills()
    mixture = policy.beside_prior(policy.rows([walk(5)]), policy.rows([walk(30, 1)]))
    flags, choose = [], policy.choose
    monkeypatch.setattr(policy, "choose", lambda states, target: flags.append(target) or choose(states, target))
    policy.loss(mixture.__getitems__(range(6)))
    assert [f.tolist() for f in flags] == [[True] * 3 + [False] * 3] * 2
    policy.act(observed(0.01), sample=False)
    assert flags[-1].tolist() == [True]
    state = torch.zeros(1, 4)
    one, other = choose(state, torch.tensor([True])), choose(state, torch.tensor([False]))
    with torch.no_grad():
        policy.choice[0].weight[:, -1] = 0.0
    assert not torch.allclose(one, other, atol=1e-6)
    assert torch.equal(choose(state, torch.tensor([True])), choose(state, torch.tensor([False])))


def test_the_policys_error_is_the_squared_distance_to_the_stretchs_skill(monkeypatch):
    """A choice of (0, 0), and skills (step, walk) of the twelve stretches: as ``inverse`` above, of all of them."""
    policy = skills()
    placed(policy, monkeypatch)
    monkeypatch.setattr(policy, "choose", lambda states, target: torch.zeros(len(states), 2))
    losses = policy.loss(MixedBatch(everything(policy), torch.ones(12, dtype=torch.bool)))
    by_hand = (0 + 1 + 4 + 9 + 16) + (0 + 1 + 4 + 9 + 16 + 25 + 36) + 7 * 1
    assert losses["skill_error"].item() == pytest.approx(by_hand / 12 / 2, rel=1e-4)


def test_the_policy_follows_the_skills_and_does_not_shape_them():
    policy = skills()
    losses = policy.loss(MixedBatch(everything(policy), torch.ones(12, dtype=torch.bool)))
    (gradient,) = torch.autograd.grad(
        losses["skill_error"], policy.skill.posterior_head.weight, retain_graph=True, allow_unused=True
    )
    assert gradient is None
    (gradient,) = torch.autograd.grad(losses["skill_error"], policy.choice[0].weight)
    assert gradient.abs().sum() > 0


def test_while_skills_are_learned_there_is_no_policy():
    policy = skills()
    assert {"skill_error", "acting_error"}.isdisjoint(policy.loss(everything(policy)))
    for use in (lambda: policy.act(observed(0.0), sample=False), policy.deployed):
        with pytest.raises(PixelarmError, match="no policy that chooses them.*pixelarm adapt"):
            use()


def test_of_the_data_nothing_stays_in_the_policy():
    """Whatever was retrieved: the same tensors of the same sizes, and the same bits."""
    one, other = skills(), skills()
    assert isinstance(one.beside_prior(one.rows([walk(5)]), None).target, SkillWindows)
    other.beside_prior(other.rows([walk(9, 4)]), other.rows([walk(40, 1), walk(30, 2)]))
    mine, theirs = one.state_dict(), other.state_dict()
    assert mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in mine)
    again = Sailor(walking_contract(), tiny(), seed=5)
    again.load_state_dict(mine)  # with it, that there is a policy
    assert np.array_equal(again.act(observed(0.03), False), one.act(observed(0.03), False))


def test_it_is_exported():
    policy = skills()
    policy.beside_prior(policy.rows([walk(5)]), None)
    exported = bundle.Policy(to_onnx(policy), policy.contract, {})
    assert check_parity(exported, policy, anywhere(20)) <= TOLERANCE


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ({"retrieved": 0.0}, "algo.retrieved must be more than 0 and at most 1, got 0.0"),
        ({"retrieved": 1.5}, "algo.retrieved must be more than 0 and at most 1, got 1.5"),
        ({"time_steps": 0}, "algo.time_steps must be at least 1, got 0"),
        ({"slowness_weight": -1.0}, "algo.slowness_weight must not be negative"),
        ({"nudge": -0.1}, "algo.nudge must not be negative"),
    ],
)
def test_options_that_mean_nothing_are_refused(option, words):
    assert any(re.search(words, problem) for problem in tiny(**option).problems())
