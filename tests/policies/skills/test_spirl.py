"""SPiRL by hand: divergences, targets, alpha, decisions that last; and a policy that is deployed as it acts."""

import math
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from conftest_skills import tiny, walker, walking_contract
from lightning.fabric import Fabric

from policies.data.batch import Batch
from policies.data.replay import Replay
from policies.rollout.collectors import Recorder
from policies.rollout.decisions import DecisionInTurn, HeldDecisions
from policies.skills.config import SpirlConfig
from policies.skills.skill import Gaussian
from policies.skills.spaces import Actions
from policies.skills.spirl import Spirl

HORIZON = 3  # of ``conftest_skills.tiny``


def agent(**options) -> Spirl:
    """On skills of random weights, or on actions."""
    fist = walker(state_prior=True)
    cfg = replace(SpirlConfig(hidden=8, layers=1, skills_algo=asdict(tiny(state_prior=True))), **options)
    made = Spirl(walking_contract(), cfg, Fabric(accelerator="cpu", devices=1), seed=1)
    if cfg.decides == "skills":
        made.load_skills(fist.state_dict())
    return made


def observations(rows: int, seed: int = 0) -> dict[str, torch.Tensor]:
    drawn = torch.randn(rows, 4, generator=torch.Generator().manual_seed(seed))
    return {"eef_pos": 0.05 * drawn[:, :3], "object_state": 0.05 * drawn[:, 3:]}


def batch(size: int, reward: float = 1.0, discount: float = 0.99, rows: int = 4) -> Batch:
    action = torch.randn(rows, size, generator=torch.Generator().manual_seed(2))
    return Batch(
        observations(rows), observations(rows, 1), action, torch.full((rows,), reward), torch.full((rows,), discount),
        torch.zeros(0, dtype=torch.bool),
    )  # fmt: skip


def numbers(mean: list[float], std: list[float]) -> Gaussian:
    return Gaussian(torch.tensor([*mean, *map(math.log, std)])[None])


# ------------------------------------------------------------------------------------------------- by hand
def test_the_divergence_of_two_normal_distributions():
    """KL(N(1, 1) || N(0, 2)) = log 2 + (1 + 1) / (2 * 4) - 1/2, and KL(N(0, 2) || N(0, 1)) = -log 2 + 4/2 - 1/2."""
    first = math.log(2.0) + 2.0 / 8.0 - 0.5
    second = -math.log(2.0) + 2.0 - 0.5
    found = numbers([1.0, 0.0], [1.0, 2.0]).kl_to(numbers([0.0, 0.0], [2.0, 1.0]))
    assert found.shape == (1,) and float(found) == pytest.approx(first + second, abs=1e-6)
    same = numbers([0.3], [0.7])
    assert float(same.kl_to(same)) == pytest.approx(0.0, abs=1e-7)
    unit = numbers([0.0, 0.0], [1.0, 1.0])
    other = numbers([0.5, -1.0], [0.3, 1.5])
    assert float(other.kl_to(unit)) == pytest.approx(float(other.kl_to_unit()), abs=1e-6)


def test_the_log_likelihood_of_squashed_actions():
    """u = 0 and u = 1 of N(0, 1): log N(u) - log(1 - tanh(u)^2); 1 - tanh(1)^2 = 0.419974."""
    space, at = Actions(walking_contract()), torch.tensor([[0.0, 0.0, 0.0, 1.0]])
    found = space.divergence(numbers([0.0] * 4, [1.0] * 4), at, torch.zeros(1, 4))
    assert float(found) == pytest.approx(4 * -0.5 * math.log(2 * math.pi) - 0.5 - math.log(0.419974), abs=1e-5)


def test_random_actions_are_uniform():
    drawn = Actions(walking_contract()).at_random(torch.zeros(1, 4), torch.randn(20_000, 4))
    assert drawn.mean().abs() < 0.02 and drawn.std() == pytest.approx(1 / math.sqrt(3), abs=0.02)
    assert drawn.abs().max() <= 1.0


@pytest.mark.parametrize(("discount", "wanted"), [(0.9, 2.0 + 0.9 * (3.0 - 0.5 * 4.0)), (0.0, 2.0)])
def test_a_target_holds_the_divergence_and_ends_with_the_task(discount, wanted, monkeypatch):
    """R = 2, min Q' = 3 of 3 and 5, alpha = 0.5, divergence 4: 2 + 0.9 (3 - 2) = 2.9; 2 where the task ended."""
    made = agent(alpha=0.5)
    values = torch.tensor([[5.0], [3.0]])
    monkeypatch.setattr(made.targets, "forward", lambda state, z: values.expand(2, len(z)))
    monkeypatch.setattr(made.policy.space, "divergence", lambda chosen, u, state: torch.full((len(u),), 4.0))
    after = made.policy.state(observations(4, 1))
    found = made.target(batch(2, reward=2.0, discount=discount), after, made.noise(4))
    assert found.tolist() == pytest.approx([wanted] * 4)


@pytest.mark.parametrize(("divergence", "grows"), [(6.0, True), (4.0, False)])
def test_alpha_grows_while_the_divergence_is_above_its_target(divergence, grows):
    """d/d log alpha of alpha (5 - 6) is -alpha: a step against it raises alpha."""
    made = agent(alpha=0.2, target_divergence=5.0)
    made.alpha_loss(torch.full((3,), divergence)).backward()
    assert float(made.log_alpha.grad) == pytest.approx(0.2 * (5.0 - divergence))
    made.optimizers.step("alpha")
    assert (made.alpha.item() > 0.2) == grows


def test_it_begins_as_the_prior_and_leaves_the_skills_as_they_are():
    made = agent()
    before = {name: value.clone() for name, value in made.policy.state_dict().items()}
    state = made.policy.state(observations(5))
    z, divergence = made.policy.sample(state, made.noise(5))
    assert divergence.abs().max() < 1e-6 and z.abs().max() <= 2.0
    for _ in range(3):
        made.update(batch(2))
    after = made.policy.state_dict()
    changed = {name.partition(".")[0] for name, value in after.items() if not torch.equal(value, before[name])}
    assert changed == {"actor"}
    assert made.policy.sample(state, made.noise(5))[1].min() > 0.0


def test_values_follow_the_reward():
    """Nothing lies ahead (discount 0): the critics learn the reward itself."""
    made = agent(learning_rate=1e-2)
    rows = batch(2, reward=1.5, discount=0.0, rows=16)
    for _ in range(200):
        found = made.update(rows)
    assert float(found["critic_loss"]) < 0.05 and float(found["q"]) == pytest.approx(1.5, abs=0.15)


# ------------------------------------------------------------------------------------------------- decisions that last
class Walk:
    """Pays 1 at each step; ``ends`` names the step at which it ends, and how."""

    def __init__(self, ends: int, how: str) -> None:
        self.contract, self.ends, self.how, self.actions = walking_contract(), ends, how, []

    def seen(self, step: int) -> dict[str, np.ndarray]:
        return {"eef_pos": np.float32([0.01 * step, 0, 0]), "object_state": np.zeros(1, np.float32)}

    def reset(self, *, seed: int | None = None):
        self.steps = 0
        return self.seen(0), {"success": False}

    def step(self, action: np.ndarray):
        self.steps += 1
        self.actions.append(action)
        over = self.steps == self.ends
        ended, cut = over and self.how == "success", over and self.how == "clock"
        return self.seen(self.steps), 1.0, ended, cut, {"success": ended}


@pytest.mark.parametrize(("how", "discount"), [("success", 0.0), ("clock", 0.99)])
def test_a_decision_pays_the_sum_and_is_cut_by_the_episodes_end(how, discount):
    """5 steps in decisions of 3: rewards 3 and 2; the task's end has nothing after it, the clock's has."""
    made, env = agent(), Walk(5, how)
    memory = Replay(env.contract, 10, made.lookup())
    collector = DecisionInTurn(env, Recorder(memory, None, "bootstrap"))
    collector.begin(0)
    got = [collector.collect(made, None, False) for _ in range(2)]
    assert [one.steps for one in got] == [3, 2]
    assert [(f.total, f.success) for f in got[1].finished] == [(5.0, how == "success")]
    rows = memory.gather(memory.transitions())
    assert rows.reward.tolist() == [3.0, 2.0] and rows.action.shape == (2, 2)
    assert rows.discount.tolist() == pytest.approx([0.99, discount])
    assert rows.next_obs["eef_pos"][:, 0].tolist() == pytest.approx([0.03, 0.05])
    assert not np.allclose(env.actions[0], env.actions[1])  # the decoder sees each state


def test_held_decisions_are_made_once_in_a_horizon(monkeypatch):
    made, asked = agent(), []
    decide = made.policy.decide
    monkeypatch.setattr(made.policy, "decide", lambda seen: asked.append(len(asked)) or decide(seen))
    act, env = HeldDecisions(made.policy), Walk(99, "clock")
    for steps, wanted in [(HORIZON, 1), (HORIZON + 1, 3)]:  # 3 steps are one decision, 4 two more
        act.reset()
        observation, _ = env.reset()
        for _ in range(steps):
            observation, *_ = env.step(act(observation))
        assert len(asked) == wanted


# ------------------------------------------------------------------------------------------------- state
@pytest.mark.parametrize("decides", ["skills", "actions"])
def test_its_state_decides_the_future(decides):
    size = 2 if decides == "skills" else 4
    one, other = agent(decides=decides), agent(decides=decides)
    for _ in range(3):
        one.update(batch(size))
    other.load_state_dict({name: value.clone() for name, value in one.state_dict().items()})
    for made in (one, other):
        made.update(batch(size))
    mine, theirs = one.state_dict(), other.state_dict()
    assert mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in mine)
    assert torch.equal(one.decide(observations(2)), other.decide(observations(2)))


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ({"decides": "torques"}, "algo.decides must be one of skills, actions"),
        ({"bound": 0.0}, "algo.bound must be more than 0"),
        ({"discount": 1.5}, "algo.discount must be at most 1"),
        ({"layers": 0}, "algo.layers must be at least 1"),
        ({"time_limit": "never"}, "algo.time_limit must be one of"),
        ({"history": 2}, "algo.history must be 1"),
    ],
)
def test_options_that_do_not_fit_are_named(option, words):
    assert any(words in problem for problem in replace(SpirlConfig(), **option).problems())
    assert SpirlConfig().problems() == []


def test_layer_norm_bounds_the_values_of_decisions_far_from_all_others():
    """A decision ten times as far away: without LayerNorm values grow with it, with it they do not."""
    for layer_norm in (False, True):
        critics = agent(layer_norm=layer_norm, hidden=64).critics
        assert any(isinstance(layer, torch.nn.LayerNorm) for layer in critics.modules()) == layer_norm
        state, z = torch.zeros(32, 4), torch.randn(32, critics.members[0][0].in_features - 4)
        near, far = (critics(state, scale * z).detach().abs().mean() for scale in (100.0, 1000.0))
        assert (float(far / near) < 1.5) == layer_norm
