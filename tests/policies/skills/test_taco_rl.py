"""TACO-RL: how goals are drawn, what critics and actor learn, by hand; who learns what when; what it acts towards."""

import dataclasses
import math
import re

import numpy as np
import pytest
import torch
from conftest_skills import anywhere, observed, small, walk, walking_contract

from policies.export.onnx import TOLERANCE, check_parity, to_onnx
from policies.skills.config import TacoRlConfig
from policies.skills.skill import Gaussian
from policies.skills.taco_rl import GoalBatch, GoalWindows, TacoRl
from robot import bundle
from robot.contract import Camera, Proprio
from robot.dataset.episodes import Episode
from robot.errors import DatasetError, PixelarmError


def tiny(**options) -> TacoRlConfig:
    mine = {"shortest": 2, "horizon": 4, "haste": 0.0, "critic_hidden": 8, "similar_of": 500, "negatives": 0.0}
    return small(TacoRlConfig, **{**mine, **options})


def planner(**options) -> TacoRl:
    """It has looked at two walks of 5 and 7 steps."""
    made = TacoRl(walking_contract(), tiny(**options), seed=0)
    rows = made.rows([walk(5), walk(7, 1)])
    made.measure(rows)
    made.look_up(rows)
    return made


def everything(policy: TacoRl) -> GoalBatch:
    """The twelve stretches of both walks: from steps 0 to 4 of the first, 0 to 6 of the second."""
    return policy.rows([walk(5), walk(7, 1)]).__getitems__(range(12))


def beside(steps: int, object_at: float) -> Episode:
    """A walk whose arm is where that of any other walk is, and whose object is elsewhere."""
    episode = walk(steps)
    objects = np.full((steps + 1, 1), object_at, np.float32)
    return dataclasses.replace(episode, observations={**episode.observations, "object_state": objects})


def wandering(sides: np.ndarray) -> Episode:
    """4 steps of 1 cm to one side, then 4 to the next, and so on: 1 is ahead, -1 is back."""
    signs = np.repeat(np.asarray(sides, np.float32), 4)
    episode = walk(len(signs))
    at = np.zeros((len(signs) + 1, 3), np.float32)
    at[1:, 0] = 0.01 * np.cumsum(signs)
    actions = np.zeros((len(signs), 4), np.float32)
    actions[:, 0], actions[:, 3] = 0.01 * signs, 1.0
    return dataclasses.replace(episode, observations={**episode.observations, "eef_pos": at}, actions=actions)


def step_of(states: torch.Tensor) -> torch.Tensor:
    """Which step of its walk a state is, ``(...)`` int64."""
    return (100 * states[..., 0]).round().long()


# ---------------------------------------------------------------------------------------------------------------- goals
def test_goals_are_geometric_in_stretches_and_reached_if_they_are_the_first():
    """One at the end of n stretches of 4 steps has the chance 0.3 x 0.7^(n-1)."""
    rows = GoalWindows(walking_contract(), [walk(4000)], tiny(shortest=4, goal_chance=0.3))
    found = [rows.__getitems__(range(start, start + 100)) for start in range(0, 3000, 100)]
    away = torch.cat([step_of(batch.goals) - step_of(batch.states[:, 0]) for batch in found])
    reached = torch.cat([batch.reached for batch in found])
    assert (away % 4 == 0).all() and torch.equal(reached, away == 4)
    for n in (1, 2, 3, 4):
        expected = 0.3 * 0.7 ** (n - 1)
        deviation = math.sqrt(expected * (1 - expected) / 3000)
        assert abs((away == 4 * n).float().mean().item() - expected) < 4 * deviation


def test_lengths_are_uniform_and_goals_whole_stretches_away():
    rows = GoalWindows(walking_contract(), [walk(4000)], tiny())
    batch = rows.__getitems__(range(3000))
    away = step_of(batch.goals) - step_of(batch.states[:, 0])
    assert (away % batch.steps == 0).all()
    assert all(900 < int((batch.steps == steps).sum()) < 1100 for steps in (2, 3, 4))


def test_a_hindsight_goal_is_of_the_same_episode_and_the_last_state_is_reached_by_what_ends_there():
    """Of the two walks the numbers (y) and the ends (5 and 7) of goals; at the end the last state is the only goal."""
    policy = planner(goal_chance=0.2)
    for _ in range(5):
        batch = everything(policy)
        first, goal, last = step_of(batch.states[:, 0]), step_of(batch.goals), torch.tensor([5] * 5 + [7] * 7)
        assert torch.equal(batch.goals[:, 1], batch.states[:, 0, 1])
        assert (goal > first).all() and (goal <= last).all() and batch.ahead.all()
        assert torch.equal(batch.reached, goal == torch.minimum(first + batch.steps, last))
        assert batch.reached[[3, 4, 10, 11]].sum() >= 2  # 4 and 6 end at the last state, however long they are


def test_a_goal_that_was_not_reached_has_the_same_arm_and_other_objects():
    rows = GoalWindows(walking_contract(), [beside(40, 0.0), beside(40, 1.0)], tiny(negatives=1.0))
    batch = rows.__getitems__(range(80))
    end = batch.states[torch.arange(80), batch.steps]
    assert not batch.ahead.any() and not batch.reached.any()
    assert torch.equal(step_of(batch.goals), step_of(end))
    assert (batch.goals[:, 3] != end[:, 3]).all()


def test_a_goal_that_was_not_reached_may_be_of_the_same_episode_but_not_of_the_same_time():
    rows = GoalWindows(walking_contract(), [walk(40)], tiny(negatives=1.0))
    batch = rows.__getitems__(range(40))
    end = torch.minimum(torch.arange(40) + batch.steps, torch.tensor(40))
    assert not batch.ahead.any() and ((step_of(batch.goals) - end).abs() == 4 + 1).all()  # more than the horizon


def test_where_there_is_no_other_time_goals_are_those_that_were_reached():
    rows = GoalWindows(walking_contract(), [walk(3)], tiny(negatives=1.0))
    assert rows.__getitems__(range(3)).ahead.all()


def test_as_many_goals_as_said_were_not_reached():
    rows = GoalWindows(walking_contract(), [beside(2000, 0.0), beside(2000, 1.0)], tiny(negatives=0.1, similar_of=20))
    share = 1.0 - rows.__getitems__(range(4000)).ahead.float().mean().item()
    assert share == pytest.approx(0.1, abs=0.02)


def test_what_is_drawn_follows_from_the_rows():
    rows = GoalWindows(walking_contract(), [beside(40, 0.0), beside(40, 1.0)], tiny(negatives=0.5))
    one, again, other = (rows.__getitems__(range(start, start + 30)) for start in (0, 0, 30))
    for name in ("steps", "goals", "ahead", "reached", "states", "actions"):
        assert torch.equal(getattr(one, name), getattr(again, name))
    assert not torch.equal(one.steps, other.steps)


def test_a_batch_keeps_its_goals_on_the_way_to_a_device():
    batch = everything(planner())
    moved = batch.to(torch.device("cpu"))
    assert isinstance(moved, GoalBatch) and torch.equal(moved.goals, batch.goals)
    assert torch.equal(moved.steps, batch.steps) and torch.equal(moved.reached, batch.reached)


def test_an_episode_shorter_than_the_shortest_stretch_is_refused():
    with pytest.raises(DatasetError, match="episode 1 of the demonstrations has 1 actions, .* algo.shortest=2"):
        planner().rows([walk(5), walk(1)])


# -------------------------------------------------------------------------------------------------------------- critics
def test_the_density_of_squashed_plans_is_that_of_torch():
    torch.manual_seed(0)
    made = Gaussian(torch.randn(5, 6) * 0.5)
    u = made.sample()
    normal = torch.distributions.Normal(made.mean.double(), made.log_std.exp().double())
    squashed = torch.distributions.TransformedDistribution(normal, [torch.distributions.TanhTransform(cache_size=1)])
    expected = squashed.log_prob(u.double().tanh()).sum(dim=-1)
    assert torch.allclose(made.log_density_of_tanh(u).double(), expected, atol=1e-3)


def test_other_plans_are_of_three_kinds_with_the_densities_they_were_drawn_with():
    policy = planner(samples=5, latent=3)
    torch.manual_seed(3)
    here, there = Gaussian(0.3 * torch.randn(4, 6)), Gaussian(0.3 * torch.randn(4, 6))
    plans, densities = policy.other_plans(here, there)
    assert plans.shape == (15, 4, 3) and densities.shape == (15, 4)
    assert torch.allclose(densities[:5], torch.full((5, 4), 3 * math.log(0.5)))
    assert plans.abs().max() <= 1.0
    for proposed, part in ((here, slice(5, 10)), (there, slice(10, 15))):
        u = torch.atanh(plans[part].double()).float()
        assert torch.allclose(densities[part], proposed.log_density_of_tanh(u), atol=1e-2)


def test_the_target_by_hand(monkeypatch):
    """Reached: the reward, and nothing beyond; else the discounted value, of the lower critic, at the stretch's end."""
    policy = planner(reward=7.0, discount=0.5)
    monkeypatch.setattr(policy.targets, "forward", lambda state, goal, z: torch.tensor([[1.0, 8.0], [3.0, 6.0]]))
    state, there = torch.zeros(2, policy.size), Gaussian(torch.zeros(2, 4))
    assert policy.target(state, state, there, torch.tensor([False, False])).tolist() == [0.5, 3.0]
    assert policy.target(state, state, there, torch.tensor([True, False])).tolist() == [7.0, 3.0]


def test_the_loss_of_critics_by_its_formulas():
    """Squared error of both, and the conservative term with the logarithm of the sum written out."""
    policy = planner(gap=2.0, conservative=3.0)
    torch.manual_seed(0)
    start, goal = torch.randn(4, policy.size), torch.randn(4, policy.size)
    z, y = torch.rand(4, 2), torch.tensor([0.0, 1.0, 2.0, 10.0])
    others, densities = torch.rand(6, 4, 2), torch.randn(6, 4)
    total, parts = policy.critic_loss(start, goal, z, y, others, densities)
    error, gaps = 0.0, []
    for critic in policy.critics.members:

        def q(row, plan, critic=critic):
            return critic(torch.cat([start[row], goal[row], plan])).item()

        error += sum((q(i, z[i]) - y[i].item()) ** 2 for i in range(4)) / 4
        for i in range(4):
            others_exp = [math.exp(q(i, others[j, i]) - densities[j, i].item()) for j in range(6)]
            gaps.append(math.log(sum(others_exp)) - q(i, z[i]))
    gap = sum(gaps) / 8
    assert parts["critic_error"].item() == pytest.approx(error, rel=1e-4)
    assert parts["gap"].item() == pytest.approx(gap, rel=1e-4)
    weighed = error + 3.0 * 2 * gap + 3.0 * (2.0 - gap)  # the last of it adapts the weight
    assert total.item() == pytest.approx(weighed, rel=1e-4)
    (gradient,) = torch.autograd.grad(total, policy.log_conservative)
    assert gradient.item() == pytest.approx(3.0 * (2.0 - gap), rel=1e-3)  # the weight falls while the gap is below 2


def test_the_loss_of_the_actor_by_its_formula():
    policy = planner(alpha=0.5)
    torch.manual_seed(0)
    start, goal, here = torch.randn(3, policy.size), torch.randn(3, policy.size), Gaussian(torch.randn(3, 4))
    torch.manual_seed(1)
    total, parts = policy.actor_loss(start, goal, here)
    torch.manual_seed(1)
    u = here.sample()
    density, value = here.log_density_of_tanh(u), policy.critics(start, goal, u.tanh()).amin(dim=0)
    assert parts["actor_loss"].item() == pytest.approx((0.5 * density - value).mean().item(), rel=1e-4)
    assert parts["entropy"].item() == pytest.approx(-density.mean().item())
    (gradient,) = torch.autograd.grad(total, policy.log_alpha)  # alpha grows while the entropy is below -2
    assert gradient.item() == pytest.approx(0.5 * (2.0 - density.mean().item()), rel=1e-3)


def test_without_a_gap_the_conservative_weight_stays():
    policy = planner(gap=0.0, conservative=0.5)
    assert not policy.log_conservative.requires_grad
    losses = policy.loss(everything(policy))
    assert losses["conservative"].item() == pytest.approx(0.5)


def test_target_critics_follow_by_a_share_of_the_way():
    policy = planner(target_rate=0.25)
    with torch.no_grad():
        for weight in policy.critics.parameters():
            weight += 1.0
    pairs = list(zip(policy.targets.parameters(), policy.critics.parameters()))
    before = [target.clone() for target, _ in pairs]
    policy.loss(everything(policy))
    assert all(
        torch.allclose(target, 0.75 * old + 0.25 * weight, atol=1e-6) for (target, weight), old in zip(pairs, before)
    )
    assert not any(target.requires_grad for target, _ in pairs)


# ------------------------------------------------------------------------------------------------- who learns, and when
def gradients(policy: TacoRl, loss: torch.Tensor) -> dict[str, bool]:
    """Which networks a loss would change."""
    parts = {
        "recognition": policy.skill.posterior_head,
        "decoder": policy.skill.decoder,
        "actor": policy.actor,
        "critics": policy.critics,
    }
    found = {}
    for name, part in parts.items():
        given = torch.autograd.grad(loss, list(part.parameters()), retain_graph=True, allow_unused=True)
        found[name] = any(each is not None and bool(each.abs().sum() > 0) for each in given)
    return found


def test_first_plans_are_learned_and_then_the_actor_is_improved():
    policy = planner(acting_weight=0.0)
    policy.begin(4, 10)
    assert policy.planning
    first = policy.loss(everything(policy))
    assert gradients(policy, first["loss"]) == dict.fromkeys(("recognition", "decoder", "actor", "critics"), True)
    assert gradients(policy, first["clone_nll"]) == {
        "recognition": False, "decoder": False, "actor": True, "critics": False,
    }  # fmt: skip
    policy.begin(5, 10)
    assert not policy.planning
    then = policy.loss(everything(policy))
    assert gradients(policy, then["loss"]) == {"recognition": False, "decoder": True, "actor": True, "critics": True}
    assert gradients(policy, then["reconstruction"]) == {
        "recognition": False, "decoder": True, "actor": False, "critics": False,
    }  # fmt: skip


def test_critics_judge_the_actor_and_learn_nothing_of_it():
    policy = planner()
    batch = everything(policy)
    start, goal = policy.scaled(batch.states[:, 0]), policy.scaled(batch.goals)
    loss, _ = policy.actor_loss(start, goal, policy.propose(start, goal))
    assert gradients(policy, loss) == {"recognition": False, "decoder": False, "actor": True, "critics": False}


def test_the_loss_is_the_sum_of_its_parts():
    policy = planner(kl_weight=0.5, acting_weight=2.0, gap=0.0, conservative=3.0)
    for planning in (True, False):
        policy.planning = planning
        found = {name: value.item() for name, value in policy.loss(everything(policy)).items()}
        parts = found["reconstruction"] + 2.0 * found["acting_error"] + found["critic_error"] + 6.0 * found["gap"]
        if planning:
            parts += 0.5 * found["kl"] + found["clone_nll"]
        else:
            parts += found["actor_loss"] + found["alpha"] * (2 + found["entropy"])
        assert found["loss"] == pytest.approx(parts, rel=1e-4)


def test_the_actor_is_cloned_only_where_its_goal_was_on_the_way(monkeypatch):
    policy = planner()
    batch = dataclasses.replace(everything(policy), ahead=torch.arange(12) == 3)
    calls = []
    monkeypatch.setattr(Gaussian, "nll", lambda self, u: calls.append(u) or torch.arange(12.0))
    assert policy.loss(batch)["clone_nll"].item() == pytest.approx(3.0 / 2)  # of two numbers of a plan


# ------------------------------------------------------------------------------------------------------- what it learns
def test_plans_that_lead_to_the_goal_are_worth_more_and_taken():
    """A point that wanders: from the same place it went either way, and came to any goal sooner or later. The plan
    towards a goal is worth 10 one stretch away and 5 two away, the other one a quarter of that.
    """
    options = {"horizon": 4, "shortest": 4, "hidden": 32, "critic_hidden": 64, "layers": 2, "acting_weight": 0.0}
    policy = TacoRl(walking_contract(), tiny(**options, discount=0.5, target_rate=0.05), seed=0)
    rng = np.random.default_rng(0)
    rows = policy.rows([wandering(rng.choice([-1, 1], 60)) for _ in range(6)])
    policy.measure(rows)
    optimizer = torch.optim.Adam(policy.parameters(), 3e-3)
    torch.manual_seed(0)
    for update in range(1000):
        policy.begin(update, 1000)
        optimizer.zero_grad()
        policy.loss(rows.__getitems__(rng.integers(0, len(rows), 64)))["loss"].backward()
        optimizer.step()
    batch = policy.rows([wandering([1]), wandering([-1])]).__getitems__([0, 4])  # a stretch ahead, and one back
    states, steps = policy.scaled(batch.states), torch.tensor([4, 4])
    z = policy.skill.posterior(states[:, :-1], policy.actions.to_network(batch.actions), steps).mean.tanh()
    for centimetres, more in ((4.0, 2.0), (8.0, 1.0)):
        goals = torch.zeros(2, 4)
        goals[:, 0] = torch.tensor([0.01, -0.01]) * centimetres
        goal = policy.scaled(goals)
        there = policy.critics(states[:, 0], goal, z).amin(dim=0)
        elsewhere = policy.critics(states[:, 0], goal, z.flip(0)).amin(dim=0)
        assert (there > elsewhere + more).all()
        taken = policy.actions.to_physical(policy._plan_and_decode(states[:, 0], goal))
        assert taken[0, 0] > 0.005 and taken[1, 0] < -0.005


# --------------------------------------------------------------------------------------------------------------- acting
@pytest.mark.parametrize(("ahead", "ends"), [(0, (5, 7)), (2, (3, 3)), (100, (5, 7))])
def test_its_goal_is_the_end_of_the_nearest_demonstration_or_some_steps_ahead(ahead, ends):
    policy = planner(goal_ahead=ahead)
    for number, end in enumerate(ends):
        row = policy.nearest(policy.normalizer(observed(0.01, number)))
        goal = policy.ahead[row] * policy.normalizer.std + policy.normalizer.mean
        assert step_of(goal).tolist() == [end] and goal[0, 1].item() == pytest.approx(number)


def test_it_acts_on_the_way_to_that_goal_and_by_the_most_likely_plan():
    policy, other = planner(), planner()
    assert np.array_equal(policy.act(observed(0.01), False), other.act(observed(0.01), True))
    other.ahead = other.ahead + 1.0
    assert not np.allclose(policy.act(observed(0.01), False), other.act(observed(0.01), False), atol=1e-6)


def test_without_demonstrations_it_does_not_act():
    policy = TacoRl(walking_contract(), tiny(), seed=0)
    with pytest.raises(PixelarmError, match="no demonstrations to look up.*pixelarm adapt"):
        policy.act(observed(0.0), sample=False)


def test_it_is_exported_with_what_it_looks_up():
    policy = planner()
    exported = bundle.Policy(to_onnx(policy), policy.contract, {})
    assert check_parity(exported, policy, anywhere(20)) <= TOLERANCE


# ------------------------------------------------------------------------------------------------------------- refusals
def test_a_contract_with_cameras_is_refused():
    contract = dataclasses.replace(walking_contract(), cameras=(Camera("agentview", 32, 32),))
    with pytest.raises(PixelarmError, match="learned from states alone.*set task.observe=states"):
        TacoRl(contract, tiny(object_weight=1.0), seed=0)


def test_goals_by_the_arm_alone_need_something_beside_the_arm():
    contract = dataclasses.replace(walking_contract(), proprio=(Proprio("eef_pos", 3, "m", "base"),))
    with pytest.raises(PixelarmError, match="algo.negatives=0.1 takes goals .* not observe object_state"):
        TacoRl(contract, tiny(object_weight=1.0, negatives=0.1), seed=0)
    assert TacoRl(contract, tiny(object_weight=1.0), seed=0).size == 3


def test_the_defaults_fit_together():
    assert TacoRlConfig().problems() == []


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ({"shortest": 5}, "algo.shortest must be at most algo.horizon, which is 4, got 5"),
        ({"shortest": 0}, "algo.shortest must be at least 1, got 0"),
        ({"goal_ahead": -1}, "algo.goal_ahead must not be negative, got -1"),
        ({"plan_share": 0.0}, "algo.plan_share must be more than 0, got 0.0"),
        ({"plan_share": 1.5}, "algo.plan_share must be at most 1, got 1.5"),
        ({"goal_chance": 0.0}, "algo.goal_chance must be more than 0, got 0.0"),
        ({"discount": 1.1}, "algo.discount must be at most 1, got 1.1"),
        ({"negatives": 2.0}, "algo.negatives must be at most 1, got 2.0"),
        ({"conservative": 0.0}, "algo.gap=5 adapts algo.conservative, which cannot begin at 0"),
        ({"samples": 0}, "algo.samples must be at least 1, got 0"),
        ({"history": 2}, "algo.history must be 1"),
    ],
)
def test_options_that_mean_nothing_are_refused(option, words):
    assert any(re.search(words, problem) for problem in tiny(**option).problems())
