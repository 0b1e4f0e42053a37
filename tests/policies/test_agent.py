"""The agent: which gradient reaches what, targets by hand, and a state that decides the future."""

import numpy as np
import pytest
import torch
from conftest_policies import make_agent, random_episode, tiny_contract

from policies.replay import Replay
from policies.sac import Actor
from robot.errors import PixelarmError


@pytest.fixture
def batch(contract):
    replay = Replay(contract, 100)
    for seed in range(3):
        replay.add_episode(random_episode(contract, 8, seed))
    return replay.sample(12, np.random.default_rng(0))


def moved(before, module):
    return any(not torch.equal(a, b) for a, b in zip(before, module.state_dict().values()))


def snapshot(module):
    return [v.clone() for v in module.state_dict().values()]


def test_the_value_gradient_of_the_actor_never_reaches_the_encoder(agent, batch):
    convolved = agent.encoder(agent.view(batch["obs"]))
    agent.encoder.zero_grad()
    agent._improve_actor(convolved.detach(), agent.normalizer(batch["obs"]))
    assert all(p.grad is None for p in agent.encoder.parameters())
    assert all(p.grad is None for p in agent.critics.parameters())
    assert any(p.grad.abs().sum() > 0 for p in agent.actor.parameters())


def test_critics_only_leaves_the_actor_alone(agent, batch):
    before = snapshot(agent.actor), snapshot(agent.encoder), snapshot(agent.critics)
    agent.update(batch, demo_rows=6, bc_weight=0.0, improve_actor=False)
    assert not moved(before[0], agent.actor) and moved(before[1], agent.encoder) and moved(before[2], agent.critics)


def test_cloning_moves_actor_and_encoder_but_no_critic(agent, batch):
    before = snapshot(agent.actor), snapshot(agent.encoder), snapshot(agent.critics)
    agent.clone(batch)
    assert moved(before[0], agent.actor) and moved(before[1], agent.encoder) and not moved(before[2], agent.critics)


def test_an_update_moves_everything_that_learns(agent, batch):
    modules = (agent.actor, agent.encoder, agent.critics, agent.target_critics)
    before, alpha = [snapshot(m) for m in modules], float(agent.log_alpha)
    metrics = agent.update(batch, demo_rows=6, bc_weight=1.0)
    assert all(moved(b, m) for b, m in zip(before, modules)) and float(agent.log_alpha) != alpha
    assert {"critic_loss", "bc_loss", "actor_loss", "alpha", "q"} <= metrics.keys()


def test_the_target_by_hand(contract, batch):
    """All target critics pinned to 0.5, reward 1 at the end: target = r + 0.9 * discount * 0.5."""
    agent = make_agent(contract, discount=0.9, target_subset=3)
    for member in agent.target_critics.members:
        torch.nn.init.zeros_(member[-1].weight)
        torch.nn.init.constant_(member[-1].bias, 0.5)
    target = agent._target(batch, agent.view(batch["next_obs"]), agent.normalizer(batch["next_obs"]))
    assert torch.allclose(target, batch["reward"] + 0.9 * batch["discount"] * 0.5)
    assert torch.all(target[batch["reward"] == 1] == 1.0)


def test_the_minimum_over_a_subset_is_taken(contract, batch):
    """Members pinned to 1, 2 and 3; with all three in the subset the target is built on 1."""
    agent = make_agent(contract, discount=1.0, target_subset=3)
    for value, member in enumerate(agent.target_critics.members, 1):
        torch.nn.init.zeros_(member[-1].weight)
        torch.nn.init.constant_(member[-1].bias, float(value))
    target = agent._target(batch, agent.view(batch["next_obs"]), agent.normalizer(batch["next_obs"]))
    assert torch.allclose(target, batch["reward"] + batch["discount"])


def test_the_target_network_follows_at_its_rate(contract):
    """rate 0.25 from 0 towards 1: one step gives 0.25, two give 0.4375."""
    agent = make_agent(contract, target_rate=0.25)
    with torch.no_grad():
        for p in agent.critics.parameters():
            p.fill_(1.0)
        for p in agent.target_critics.parameters():
            p.fill_(0.0)
    for expected in (0.25, 0.4375):
        agent._follow(agent.critics, agent.target_critics)
        assert all(torch.allclose(p, torch.full_like(p, expected)) for p in agent.target_critics.parameters())


def test_log_probability_of_a_squashed_gaussian():
    """Against torch.distributions with the tanh transform."""
    mean, log_std = torch.randn(64, 4), torch.randn(64, 4) * 0.3 - 1
    action, log_prob = Actor.sample(mean, log_std, torch.Generator().manual_seed(0))
    normal = torch.distributions.Normal(mean, log_std.exp())
    before = torch.atanh(action.double().clamp(-1 + 1e-9, 1 - 1e-9)).float()
    reference = (normal.log_prob(before) - torch.log1p(-action.double().square()).float()).sum(1)
    inner = action.abs().max(dim=1).values < 0.99  # beyond, atanh itself loses the digits
    assert torch.allclose(log_prob[inner], reference[inner], atol=1e-3)


def test_actions_are_physical_and_inside_the_bounds(agent, batch):
    for sample in (False, True):
        action = agent.act(batch["obs"], sample)
        assert (
            action.shape == (12, 4)
            and (abs(action[:, :3]) <= 0.04 + 1e-6).all()
            and (abs(action[:, 3]) <= 1 + 1e-6).all()
        )


def test_a_state_dict_decides_the_future(contract, batch):
    first = make_agent(contract, target_encoder=True)
    for _ in range(3):
        first.update(batch, 6, 1.0)
    second = make_agent(contract, seed=5, target_encoder=True)
    second.load_state_dict({k: v.clone() for k, v in first.state_dict().items()})
    for _ in range(3):
        a, b = first.update(batch, 6, 1.0), second.update(batch, 6, 1.0)
        assert a == b
    assert all(torch.equal(v, second.state_dict()[k]) for k, v in first.state_dict().items())


def test_bf16_mixed_precision_learns_in_finite_numbers(contract, batch):
    from lightning.fabric import Fabric

    from policies.config import AgentConfig
    from policies.sac import SAC

    cfg = AgentConfig(hidden=32, feature_size=16, proprio_size=8, critics=3)
    agent = SAC(contract, cfg, Fabric(accelerator="cpu", devices=1, precision="bf16-mixed"), seed=0)
    for _ in range(3):
        metrics = agent.update(batch, 6, 1.0)
    assert all(np.isfinite(v) for v in metrics.values())
    assert all(p.dtype == torch.float32 and torch.isfinite(p).all() for p in agent.actor.parameters())


def test_the_seed_decides_the_weights(contract):
    torch.manual_seed(1)
    first = make_agent(contract, seed=3).policy_state()
    torch.manual_seed(2)
    again, other = make_agent(contract, seed=3).policy_state(), make_agent(contract, seed=4).policy_state()
    assert all(torch.equal(first[k], again[k]) for k in first)
    assert any(not torch.equal(first[k], other[k]) for k in first)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"actor_q": "max"}, "actor_q must be mean or min"),
        ({"target_subset": 9}, "target_subset"),
        ({"encoder": "vgg"}, "unknown encoder 'vgg'"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, words):
    with pytest.raises(PixelarmError, match=words):
        make_agent(tiny_contract(), **options)


def test_the_averaged_policy_follows_and_is_the_one_that_acts(contract, batch):
    """rate 0.5: after one update the average lies half way from the old weights to the new; greedy acting and saving use it."""
    agent = make_agent(contract, policy_average=0.5)
    agent.reset_targets()
    before = [p.clone() for p in agent.actor.parameters()]
    agent.update(batch, 6, 1.0)
    for old, new, mean in zip(before, agent.actor.parameters(), agent.mean_actor.parameters()):
        assert torch.allclose(mean, (old + new) / 2, atol=1e-6)
    saved = agent.policy_state()
    assert all(torch.equal(saved[f"actor.{k}"], v) for k, v in agent.mean_actor.state_dict().items())
    other = make_agent(contract, seed=9)
    other.load_policy_state(saved)
    assert np.allclose(other.act(batch["obs"], sample=False), agent.act(batch["obs"], sample=False))
