"""The agent: which gradient reaches what, targets by hand, and a state that decides the future."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest_policies import DETERMINISTIC, SIMBA, make_agent, make_cqn_as, random_episode, tiny_contract

from policies.data.replay import Lookup, Replay
from policies.rl.actors import squash
from policies.rl.averages import soft_update
from policies.schedules import schedule
from robot.errors import PixelarmError

KINDS = {
    "sac": [],
    "drqv2": [*DETERMINISTIC, "policy_average=1.0", "n_step=3"],
    "drq": ["views=2", "encoder.target_rate=0.05", "actor.gaussian.backup_entropy=true"],
    "curl": ["auxiliary=[info_nce]", "encoder.tanh=false"],
    "atc": ["auxiliary=[temporal_info_nce]", "encoder.from_critic=false"],
    "simba": SIMBA,
    "cqn_as": [],
}


def make(contract, kind, seed=0):
    return make_cqn_as(contract, seed=seed) if kind == "cqn_as" else make_agent(contract, *KINDS[kind], seed=seed)


def batch_for(agent, rows=12, demo_rows=6):
    look = agent.lookup()
    replay = Replay(agent.contract, 100, Lookup(look.discount, look.n_step, look.sequence, 1))
    for seed in range(3):
        replay.add_episode(random_episode(agent.contract, 8, seed))
    batch = replay.sample(rows, np.random.default_rng(0))
    return replace(batch, imitate=batch.imitate[:demo_rows])


@pytest.fixture
def batch(agent):
    return batch_for(agent)


def moved(before, module):
    return any(not torch.equal(a, b) for a, b in zip(before, snapshot(module)))


def snapshot(module):
    return [p.detach().clone() for p in module.parameters()]


def test_the_value_gradient_of_the_actor_never_reaches_the_encoder(agent, batch):
    convolved = agent.encoder(agent.pixels(batch.obs))
    agent.encoder.zero_grad()
    now, _, noise = agent.draw(batch, improves=True)
    agent.improve_actor(convolved.detach(), now, noise)
    assert all(p.grad is None for p in agent.encoder.parameters())
    assert all(p.grad is None for p in agent.critics.parameters())
    assert any(p.grad.abs().sum() > 0 for p in agent.actor.parameters())


def test_critics_only_leaves_the_actor_alone(agent, batch):
    before = snapshot(agent.actor), snapshot(agent.encoder), snapshot(agent.critics)
    agent.update(batch, bc_weight=0.0, improve_actor=False)
    assert not moved(before[0], agent.actor) and moved(before[1], agent.encoder) and moved(before[2], agent.critics)


def test_cloning_moves_actor_and_encoder_but_no_critic(agent, batch):
    before = snapshot(agent.actor), snapshot(agent.encoder), snapshot(agent.critics)
    agent.clone(batch)
    assert moved(before[0], agent.actor) and moved(before[1], agent.encoder) and not moved(before[2], agent.critics)


@pytest.mark.parametrize("kind", KINDS)
def test_an_update_moves_everything_that_learns(contract, kind):
    agent = make(contract, kind)
    batch = batch_for(agent)
    modules = [m for name, m in agent.modules().items() if name not in ("normalizer", "auxiliary")]
    before = [snapshot(m) for m in modules]
    for _ in range(2):  # a last layer that starts at zero lets no gradient through at first
        metrics = agent.update(batch, bc_weight=1.0)
    assert all(moved(b, m) for b, m in zip(before, modules))
    assert {"critic_loss", "bc_loss", "q", *agent.auxiliary} <= metrics.keys()
    assert all(torch.isfinite(number) for number in metrics.values())


def test_without_the_critics_gradient_only_the_auxiliary_loss_trains_the_encoder(contract):
    """ATC: with its weight at 0 the encoder stays; the critics above it learn all the same."""
    agent = make_agent(contract, "auxiliary=[{temporal_info_nce: {weight: 0.0}}]", "encoder.from_critic=false")
    batch = batch_for(agent)
    before = snapshot(agent.encoder), snapshot(agent.critics)
    agent.update(batch)
    assert not moved(before[0], agent.encoder) and moved(before[1], agent.critics)


def pin(critics, values):
    """Make each head predict a constant."""
    for value, head in zip(values, critics.heads):
        torch.nn.init.zeros_(head[-1].weight)
        torch.nn.init.constant_(head[-1].bias, float(value))


def target_of(agent, batch):
    _, after, noise = agent.draw(batch, improves=False)
    return agent.td_target(batch, after, noise)


def test_the_target_by_hand(contract):
    """All target critics pinned to 0.5, reward 1 at the end: target = r + 0.9 * 0.5, or 1 where the task ended."""
    agent = make_agent(contract, "discount=0.9", "critic.mlp.subset=3")
    batch = batch_for(agent)
    pin(agent.target_critics, [0.5] * 3)
    target = target_of(agent, batch)
    assert torch.allclose(target, torch.where(batch.reward == 1, 1.0, 0.9 * 0.5))


def test_the_minimum_over_a_subset_is_taken(contract):
    """Members pinned to 1, 2 and 3; with all three in the subset the target is built on 1."""
    agent = make_agent(contract, "discount=1.0", "critic.mlp.subset=3")
    batch = batch_for(agent)
    pin(agent.target_critics, [1, 2, 3])
    assert torch.allclose(target_of(agent, batch), batch.reward + batch.discount)


def test_the_entropy_bonus_is_backed_up_only_when_asked(contract):
    """Same weights and draws: the targets differ by -discount * alpha * log_prob,
    so by exactly nothing where the task ended.
    """
    plain, bonus = (
        make_agent(contract, f"actor.gaussian.backup_entropy={on}", "actor.gaussian.temperature=0.5")
        for on in ("false", "true")
    )
    batch = batch_for(plain)
    a, b = target_of(plain, batch), target_of(bonus, batch)
    ended = batch.discount == 0
    assert torch.equal(a[ended], b[ended]) and not torch.isclose(a[~ended], b[~ended]).any()


def test_two_views_average_their_targets(contract):
    """Members pinned, so every view's target is the same number: the average keeps the batch's size and that number."""
    agent = make_agent(contract, "views=2", "discount=1.0", "critic.mlp.subset=3")
    batch = batch_for(agent)
    pin(agent.target_critics, [2, 2, 2])
    assert torch.allclose(target_of(agent, batch), batch.reward + 2 * batch.discount)


def test_the_target_network_follows_at_its_rate(contract):
    """rate 0.25 from 0 towards 1: one step gives 0.25, two give 0.4375."""
    agent = make_agent(contract)
    with torch.no_grad():
        for p in agent.critics.parameters():
            p.fill_(1.0)
        for p in agent.target_critics.parameters():
            p.fill_(0.0)
    for expected in (0.25, 0.4375):
        soft_update(agent.critics, agent.target_critics, 0.25)
        assert all(torch.allclose(p, torch.full_like(p, expected)) for p in agent.target_critics.parameters())


def test_actor_and_targets_keep_their_own_time(contract):
    """actor_every 2 and target_every 2: the first update is the actor's turn and not the targets',
    the second the reverse.
    """
    agent = make_agent(contract, "actor_every=2", "target_every=2")
    batch = batch_for(agent)
    for turn in (True, False):
        before = snapshot(agent.actor), snapshot(agent.target_critics)
        agent.update(batch)
        assert moved(before[0], agent.actor) == turn and moved(before[1], agent.target_critics) == (not turn)


def test_only_examples_are_cloned(contract):
    """With no row to imitate the cloning loss is 0; with one, it is that row's squared error."""
    agent = make_agent(contract)
    batch = batch_for(agent)
    features, proprio = agent.encoder(agent.pixels(batch.obs)), agent.normalizer(batch.obs)
    action = agent.scale.to_network(batch.action)
    none = torch.zeros(6, dtype=torch.bool)
    assert agent.cloning_loss(features, proprio, action, none).item() == 0.0
    third = torch.arange(6) == 2
    error = (agent.actor.mean(features, proprio)[2] - action[2]).square().sum()
    assert torch.allclose(agent.cloning_loss(features, proprio, action, third), error)


def test_log_probability_of_a_squashed_gaussian():
    """Against torch.distributions with the tanh transform."""
    mean, log_std = torch.randn(64, 4), torch.randn(64, 4) * 0.3 - 1
    action, log_prob = squash(mean, log_std, torch.randn(64, 4))
    normal = torch.distributions.Normal(mean, log_std.exp())
    before = torch.atanh(action.double().clamp(-1 + 1e-9, 1 - 1e-9)).float()
    reference = (normal.log_prob(before) - torch.log1p(-action.double().square()).float()).sum(1)
    inner = action.abs().max(dim=1).values < 0.99  # beyond, atanh itself loses the digits
    assert torch.allclose(log_prob[inner], reference[inner], atol=1e-3)


def test_scheduled_noise_is_clipped_and_the_action_stays_inside(contract):
    """Deterministic actor, std 1, clip 0.3: no action farther than 0.3 from the best one, none outside [-1, 1]."""
    agent = make_agent(contract, *DETERMINISTIC)
    batch = batch_for(agent)
    features, proprio = agent.encoder(agent.pixels(batch.obs)), agent.normalizer(batch.obs)
    best = agent.actor.mean(features, proprio)
    action, log_prob = agent.actor.sample(features, proprio, torch.randn(12, 4), 1.0, True)
    assert (action - best).abs().max() <= 0.3 + 1e-6 and action.abs().max() <= 1.0 and not log_prob.any()
    assert (action - best).abs().max() > 0.1


@pytest.mark.parametrize(
    ("text", "step", "value"),
    [
        ("0.2", 7, 0.2),
        ("linear(1.0, 0.1, 100)", 0, 1.0),
        ("linear(1.0, 0.1, 100)", 50, 0.55),
        ("linear(1.0, 0.1, 100)", 900, 0.1),
    ],
)
def test_schedules(text, step, value):
    assert schedule(text, step) == pytest.approx(value)


def test_a_schedule_that_is_none_is_refused():
    with pytest.raises(PixelarmError, match="linear"):
        schedule("cosine(1, 0)", 0)


@pytest.mark.parametrize("kind", KINDS)
def test_actions_are_physical_and_inside_the_bounds(contract, kind):
    agent = make(contract, kind)
    batch = batch_for(agent)
    for sample in (False, True):
        action = agent.act(batch.obs, sample)
        assert action.shape == (12, 1, 4) and (abs(action[..., :3]) <= 0.04 + 1e-6).all()
        assert (abs(action[..., 3]) <= 1 + 1e-6).all() or (
            kind == "drqv2" and sample
        )  # exploration is clipped by the contract


@pytest.mark.parametrize("kind", KINDS)
def test_a_state_dict_decides_the_future(contract, kind):
    first = make(contract, kind)
    batch = batch_for(first)
    for _ in range(3):
        first.update(batch, 1.0)
    second = make(contract, kind, seed=5)
    second.load_state_dict({k: v.clone() for k, v in first.state_dict().items()})
    for _ in range(3):
        a, b = first.update(batch, 1.0), second.update(batch, 1.0)
        assert a == b
    assert all(torch.equal(v, second.state_dict()[k]) for k, v in first.state_dict().items())


def test_bf16_mixed_precision_learns_in_finite_numbers(contract):
    agent = make_agent(contract, precision="bf16-mixed")
    batch = batch_for(agent)
    for _ in range(3):
        metrics = agent.update(batch, 1.0)
    assert all(np.isfinite(float(v)) for v in metrics.values())
    assert all(p.dtype == torch.float32 and torch.isfinite(p).all() for p in agent.actor.parameters())


def test_the_seed_decides_the_weights(contract):
    torch.manual_seed(1)
    first = make_agent(contract, seed=3).policy.state_dict()
    torch.manual_seed(2)
    again, other = make_agent(contract, seed=3).policy.state_dict(), make_agent(contract, seed=4).policy.state_dict()
    assert all(torch.equal(first[k], again[k]) for k in first)
    assert any(not torch.equal(first[k], other[k]) for k in first)


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("actor_value=max", "actor_value must be mean or min"),
        ("critic.mlp.subset=9", r"critic.mlp.subset must be 1 to its members \(3\), got 9"),
        ("encoder.convs=vgg", "'vgg'.*compact"),
        ("actor=discrete", "unknown actor .algo.actor. 'discrete'.*gaussian"),
        ("critic=tabular", "unknown critic .algo.critic. 'tabular'.*mlp"),
        ("auxiliary=[byol]", "unknown auxiliary loss 'byol'.*info_nce"),
        ("auxiliary=[{info_nce: {rate: 1}}]", "'rate'.*key_rate"),
        ("augmentation=[blur]", "unknown augmentation 'blur'.*shift"),
        ("encoder.history=flow", "history"),
        ("encoder.from_critic=false", "nothing would train the encoder"),
        ("critic.mlp.atoms=3", "unknown option of critic 'mlp' 'atoms'.*members"),
        ("actor.gaussian.noise=0.1", "unknown option of actor 'gaussian' 'noise'.*log_std_min"),
        ("actor.gaussian.hidden=wide", "option hidden of actor 'gaussian' must be int, got 'wide'"),
        ("actor.deterministic.hidden=8", "chooses exactly one part, got gaussian, deterministic"),
        ("time_limit=never", "bootstrap, terminal or drop"),
        ("auxiliary=[info_nce, {info_nce: {weight: 2}}]", "list info_nce twice"),
        ("discount=1.5", "discount must be between 0 and 1"),
        ("critic.mlp.layers=0", "critic.mlp.layers must be at least 1"),
        ("actor.gaussian.layers=0", "actor.gaussian.layers must be at least 1"),
        (
            "actor={gaussian: null, deterministic: {noise: 'linear(1.0, 0.1)'}}",
            "actor.deterministic.noise: a schedule is a number or linear",
        ),
        ("proprio_scaling=[1.2, 0.6]", "proprio_scaling is .low, high."),
    ],
)
def test_options_that_make_no_sense_are_refused(option, words):
    with pytest.raises(PixelarmError, match=words):
        make_agent(tiny_contract(), option)


def test_the_averaged_policy_follows_and_is_the_one_that_acts(contract):
    """rate 0.5: after one update the average lies half way from the old weights to the new;
    greedy acting and saving use it.
    """
    agent = make_agent(contract, "policy_average=0.5")
    batch = batch_for(agent)
    agent.reset_targets()
    before = [p.clone() for p in agent.actor.parameters()]
    agent.update(batch, 1.0)
    for old, new, mean in zip(before, agent.actor.parameters(), agent.policy.actor.parameters()):
        assert torch.allclose(mean, (old + new) / 2, atol=1e-6)
    saved = agent.policy.state_dict()
    assert all(torch.equal(saved[f"actor.{k}"], v) for k, v in agent.policy.actor.state_dict().items())
    other = make_agent(contract, seed=9)
    other.policy.load_state_dict(saved)
    assert np.allclose(other.policy.act(batch.obs, sample=False), agent.act(batch.obs, sample=False))


def test_the_trunk_of_the_target_follows_with_its_convolutions(contract):
    """encoder.target_rate 0.5 and target_rate 0.25: convolutions and trunk move half of the way,
    heads a quarter of it.
    """
    agent = make_agent(contract, "encoder.target_rate=0.5", "target_rate=0.25")
    agent.reset_targets()
    old = {name: p.clone() for name, p in agent.target_critics.named_parameters()}
    convs = [p.clone() for p in agent.target_encoder.parameters()]
    agent.update(batch_for(agent))
    for name, p in agent.target_critics.named_parameters():
        rate = 0.5 if name.startswith("trunk.") else 0.25
        assert torch.allclose(p, old[name] + rate * (agent.critics.get_parameter(name) - old[name]), atol=1e-6), name
    for before, new, p in zip(convs, agent.encoder.parameters(), agent.target_encoder.parameters()):
        assert torch.allclose(p, (before + new) / 2, atol=1e-6)
    assert moved([old["trunk.pixels.0.weight"]], agent.target_critics.trunk.pixels[0])


# ----------------------------------------------------------------------------------------------------- looking inside
@pytest.mark.parametrize("kind", ["sac", "drqv2", "simba"])
def test_values_are_those_that_the_critics_learn_with_in_units_of_the_reward(kind):
    agent = make_agent(tiny_contract(), *KINDS[kind], "augmentation=[]")
    agent.observe(np.array([0.0, 0.0, 8.0]))  # simba divides rewards by their returns' spread
    batch = batch_for(agent)
    found = agent.values(batch.obs, batch.action)
    scale = float(agent.critics.reward_scale) if kind == "simba" else 1.0
    assert found.shape == (agent.critics.members, len(batch)) and (kind != "simba" or scale > 1.1)
    assert torch.allclose(found.mean(), agent.update(batch)["q"] * scale, atol=1e-5)


def test_a_critic_of_sequences_values_the_action_and_its_own_best_continuation():
    agent = make(tiny_contract(), "cqn_as")
    batch = batch_for(agent)
    best = agent.scale.to_physical(agent.policy(batch.obs))
    found = agent.values(batch.obs, best)
    assert found.shape == (1, len(batch)) and bool(torch.isfinite(found).all())


def test_networks_alone_bring_back_what_an_agent_does(contract):
    agent, other = make_agent(contract), make_agent(contract, seed=5)
    batch = batch_for(agent)
    agent.update(batch)
    networks = agent.networks()
    assert not [name for name in networks if name.startswith(("optimizers", "generator"))]
    other.load_networks(networks)
    assert other.updates == 1 and np.array_equal(other.act(batch.obs, False), agent.act(batch.obs, False))
    assert torch.equal(other.values(batch.obs, batch.action), agent.values(batch.obs, batch.action))
