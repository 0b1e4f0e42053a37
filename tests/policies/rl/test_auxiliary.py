"""Auxiliary losses against numbers worked out by hand, and the networks that each one's gradient reaches."""

import math

import numpy as np
import pytest
import torch
from conftest_policies import make_agent, random_episode, tiny_contract

from policies.data.replay import Lookup, Replay
from policies.rl.auxiliary import AUXILIARY_LOSSES, barlow_twins, info_nce, make_auxiliary, steps_ahead
from policies.rl.pretraining import train_auxiliary
from robot.errors import PixelarmError


def test_equal_similarities_give_ln_batch():
    # every logit 0: each row's softmax is uniform over 4 keys, so the loss is ln 4
    zero = torch.zeros(4, 3)
    assert info_nce(zero, zero, torch.eye(3)).item() == pytest.approx(math.log(4))


def test_two_by_two_by_hand():
    # query = [[1, 0], [0, 1]], key = [[2, 0], [0, 1]], W = I: logits [[2, 0], [0, 1]]
    # row 0: -ln(e^2 / (e^2 + 1)) = 0.126928; row 1: -ln(e / (e + 1)) = 0.313262; mean 0.220095
    loss = info_nce(torch.eye(2), torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.eye(2))
    assert loss.item() == pytest.approx(0.220095, abs=1e-6)


def test_the_gradient_reaches_query_and_similarity_but_not_the_key():
    query, key, bilinear = (
        torch.randn(4, 3, requires_grad=True),
        torch.randn(4, 3, requires_grad=True),
        torch.randn(3, 3, requires_grad=True),
    )
    info_nce(query, key, bilinear).backward()
    assert query.grad.abs().sum() > 0 and bilinear.grad.abs().sum() > 0 and key.grad is None


def test_large_similarities_do_not_overflow():
    loss = info_nce(1e3 * torch.eye(3), 1e3 * torch.eye(3), torch.eye(3))
    assert loss.item() == pytest.approx(0.0)


def test_rows_that_do_not_count_are_keys_all_the_same():
    # logits [[2, 0], [0, 1]] as above; with row 1 not valid, the loss is row 0's alone: 0.126928, key 1 still its
    # negative
    loss = info_nce(torch.eye(2), torch.tensor([[2.0, 0.0], [0.0, 1.0]]), valid=torch.tensor([True, False]))
    assert loss.item() == pytest.approx(0.126928, abs=1e-6)
    assert info_nce(torch.eye(2), torch.eye(2), valid=torch.zeros(2, dtype=torch.bool)).item() == 0.0


def test_barlow_twins_by_hand():
    # columns over 4 rows: x = (1, 1, -1, -1), y = (1, -1, 1, -1): standardised, uncorrelated. C = I for equal views:
    # loss 0.
    # second view swapped to (y, x): C = [[0, 1], [1, 0]], so (1-0)^2 * 2 + 0.5 * (1 + 1) = 3
    views = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    assert barlow_twins(views, views, 0.5).item() == pytest.approx(0.0, abs=1e-4)
    assert barlow_twins(views, views.flip(1), 0.5).item() == pytest.approx(3.0, abs=1e-3)


@pytest.fixture
def demos():
    replay = Replay(tiny_contract(), 100, Lookup(ahead=1))
    for seed in range(3):
        replay.add_episode(random_episode(tiny_contract(), 8, seed))
    return replay


def made(agent, item, seed=0):
    (loss,) = make_auxiliary([item], agent.encoder, agent.trunk, seed).values()
    return loss


def value(agent, loss, batch):
    features = agent.encoder(agent.pixels(batch.obs))
    valid = batch.ahead_valid if loss.ahead else None
    return loss(features, agent.encoder, agent.trunk, agent.other(loss, batch), valid)


@pytest.mark.parametrize("name", AUXILIARY_LOSSES)
def test_the_gradient_reaches_exactly_what_the_loss_says(name, demos):
    agent = make_agent(tiny_contract())
    loss = made(agent, name)
    value(agent, loss, demos.sample(16, np.random.default_rng(0), distinct=True)).backward()
    named = {"encoder": agent.encoder, "trunk": agent.trunk}
    reached = {id(p) for network in loss.reaches for p in named[network].parameters()}
    assert reached and set(loss.reaches) <= named.keys()
    for network, module in agent.modules().items():
        for p in module.parameters():
            touched = p.grad is not None and bool(p.grad.abs().sum() > 0)
            assert touched == (id(p) in reached), network
    own = [p for p in loss.parameters() if p.requires_grad]
    assert own and all(p.grad is not None and p.grad.abs().sum() > 0 for p in own)


@pytest.mark.parametrize("name", ["info_nce", "temporal_info_nce"])
def test_the_key_encoder_follows_at_its_rate_and_pace(name, demos):
    """rate 0.25, every second step: from 0 towards 1, after one step 0, after two 0.25."""
    agent = make_agent(tiny_contract())
    loss = made(agent, {name: {"key_rate": 0.25, "key_every": 2}})
    with torch.no_grad():
        for query, key in zip(loss.query_networks(agent.encoder, agent.trunk), loss.key):
            for p in query.parameters():
                p.fill_(1.0)
            for p in key.parameters():
                p.fill_(0.0)
    for expected in (0.0, 0.25):
        loss.follow(agent.encoder, agent.trunk)
        assert all(torch.allclose(p, torch.full_like(p, expected)) for p in loss.key.parameters())


@pytest.mark.parametrize("name", AUXILIARY_LOSSES)
def test_pretraining_lowers_the_loss_and_leaves_the_actor_alone(name, demos):
    agent = make_agent(tiny_contract(), "learning_rate=0.003", "augmentation=[]")
    before = [p.clone() for p in agent.actor.parameters()]
    losses: list[float] = []
    train_auxiliary(agent, demos, [name], 80, 16, np.random.default_rng(0), lambda _, loss: losses.append(loss))
    assert len(losses) == 80 and np.mean(losses[-10:]) < 0.95 * np.mean(losses[:10])
    assert all(torch.equal(a, b) for a, b in zip(before, agent.actor.parameters()))


def test_anchors_at_an_episodes_end_do_not_count():
    """Three steps ahead in episodes of 8: the last two transitions of each have no such frame."""
    replay = Replay(tiny_contract(), 100, Lookup(ahead=3))
    replay.add_episode(random_episode(tiny_contract(), 8))
    batch = replay.gather(np.arange(8))
    assert batch.ahead_valid.tolist() == [True] * 6 + [False] * 2
    ahead = replay.gather(np.array([5])).next_obs["eef_pos"]  # frame 6
    assert torch.equal(batch.ahead_obs["eef_pos"][3], ahead[0])


def test_items_that_are_no_losses_are_refused():
    agent = make_agent(tiny_contract())
    with pytest.raises(PixelarmError, match="NAME or"):
        made(agent, ["info_nce"])


def test_pre_training_starts_alike_on_every_device(monkeypatch):
    """Devices average gradients and nothing else, so a loss's own weights must come from one seed: rank 0's."""
    contract = tiny_contract()
    agent, demos, seeds = make_agent(contract), Replay(contract, 40), []
    demos.add_episode(random_episode(contract, 8, seed=0))
    monkeypatch.setattr(agent.fabric, "broadcast", lambda value: 7)
    monkeypatch.setattr(
        "policies.rl.pretraining.make_auxiliary", lambda *args: seeds.append(args[3]) or make_auxiliary(*args)
    )
    train_auxiliary(agent, demos, ["temporal_info_nce"], 0, 4, np.random.default_rng(0), lambda *_: None)
    assert seeds == [7]


@pytest.mark.parametrize("name", AUXILIARY_LOSSES)
def test_similarities_are_float32_under_bf16(name):
    agent = make_agent(tiny_contract(), precision="bf16-mixed")
    replay = Replay(agent.contract, 40, Lookup(ahead=1))
    replay.add_episode(random_episode(agent.contract, 8, seed=0))
    batch = replay.sample(4, np.random.default_rng(0))
    with agent.fabric.autocast():
        assert value(agent, made(agent, name), batch).dtype == torch.float32


def test_losses_that_look_ahead_look_equally_far():
    agent = make_agent(tiny_contract())
    near, far = (made(agent, {"temporal_info_nce": {"ahead": steps}}) for steps in (1, 3))
    assert steps_ahead([made(agent, "info_nce")]) == 0 and steps_ahead([far, made(agent, "info_nce"), far]) == 3
    with pytest.raises(PixelarmError, match=r"equally far, got \[1, 3\]"):
        steps_ahead([near, far])
