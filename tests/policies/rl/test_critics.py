"""Critics that predict distributions: C51's arithmetic and SimbaV2's sphere."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest_policies import tiny_contract

from policies.config import EncoderConfig
from policies.networks.categorical import bellman, cross_entropy, expectation, make_support, project
from policies.rl.config import ActorCriticConfig
from policies.rl.critics import make_critics
from policies.rl.critics.simba import Scaler, SphereLinear
from robot.errors import PixelarmError, UnknownName

CONV = 10  # convolutional features
ROWS = 6
SUPPORT = torch.tensor([0.0, 1.0, 2.0])


def make(kind: str, hidden: int = 16, members: int = 1, actions: int = 4, discount: float = 0.5, **options):
    contract = tiny_contract()
    names = tuple("abcd"[:actions])
    action = replace(contract.action, names=names, units=("m",) * actions, low=(-1.0,) * actions, high=(1.0,) * actions)
    options = {"hidden": hidden, "members": members, "subset": 1, **options}
    torch.manual_seed(0)
    cfg = ActorCriticConfig(
        critic={kind: options}, discount=discount, encoder=EncoderConfig(feature_size=64, tanh=True)
    )
    return make_critics(replace(contract, action=action), CONV, cfg)


def batch(critics, rows: int = ROWS, actions: int = 4, seed: int = 0):
    """Features, proprioception and actions of random states."""
    generator = torch.Generator().manual_seed(seed)
    draws = (torch.randn(rows, CONV, generator=generator), torch.randn(rows, 4, generator=generator))
    return *draws, torch.rand((rows, actions), generator=generator) * 2 - 1


def wake(critics):
    """Heads start at zero, where nothing behind them learns yet."""
    for parameter in critics.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.5)


KINDS = {
    "simba": dict(members=3, atoms=11),
}


# ------------------------------------------------------------------ distributions
def test_expectation_by_hand():
    """0.5 * 0 + 0.25 * 1 + 0.25 * 2 = 0.75."""
    logits = torch.tensor([0.5, 0.25, 0.25]).log() + 7.0  # a constant on all logits changes nothing
    assert expectation(logits, SUPPORT) == pytest.approx(0.75)
    assert make_support(-5.0, 5.0, 101)[:2].tolist() == pytest.approx([-5.0, -4.9])


def test_projection_by_hand():
    """Reward 0.5, discount 0.5: the atoms 0, 1, 2 move to 0.5, 1.0, 1.5.

    0.2 at 0.5 halves between 0 and 1, 0.5 stays at 1, 0.3 at 1.5 halves between 1 and 2: 0.1, 0.1 + 0.5 + 0.15, 0.15.
    The mean 1.05 is 0.5 + 0.5 * 1.1. The second row, sure of 0 and kept as it is, takes nothing from the first; two
    heads of one row share its reward and discount.
    """
    logits = torch.tensor([[0.2, 0.5, 0.3], [1.0, 1e-9, 1e-9]]).log()
    target = bellman(logits, SUPPORT, torch.tensor([0.5, 0.0]), torch.tensor([0.5, 1.0]), torch.zeros(2))
    torch.testing.assert_close(target, torch.tensor([[0.1, 0.75, 0.15], [1.0, 0.0, 0.0]]))
    assert float((target[0] * SUPPORT).sum()) == pytest.approx(0.5 + 0.5 * 1.1)
    heads = bellman(logits[:1, None].expand(1, 2, 3), SUPPORT, *(torch.full((1,), v) for v in (0.5, 0.5, 0.0)))
    torch.testing.assert_close(heads, target[:1, None].expand(1, 2, 3))


def test_values_outside_the_support_count_at_its_edges():
    probabilities, moved = torch.tensor([[0.2, 0.5, 0.3]]), torch.tensor([[-3.0, 1.25, 9.0]])
    # -3 at 0; 1.25 three quarters at 1 and one at 2: 0.375 and 0.125; 9 at 2
    torch.testing.assert_close(project(probabilities, moved, SUPPORT), torch.tensor([[0.2, 0.375, 0.425]]))


def test_the_bonus_is_discounted_with_the_next_value():
    """All mass at 1, bonus 0.5, discount 0.5, reward 0.25: 0.25 + 0.5 * (1 + 0.5) = 1.0, all at the atom 1."""
    target = bellman(torch.tensor([[-99.0, 0.0, -99.0]]), SUPPORT, *(torch.full((1,), v) for v in (0.25, 0.5, 0.5)))
    torch.testing.assert_close(target, torch.tensor([[0.0, 1.0, 0.0]]))


def test_cross_entropy_by_hand():
    """Equal logits give each of three atoms ln(1/3): ln 3 whatever the target;
    of the target itself, its entropy ln 2.
    """
    target = torch.tensor([0.5, 0.5, 0.0])
    assert cross_entropy(torch.zeros(3), target) == pytest.approx(math.log(3))
    assert cross_entropy(torch.tensor([0.0, 0.0, -99.0]), target) == pytest.approx(math.log(2))


# ------------------------------------------------------------------ what every kind keeps
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_reach_trunk_and_every_head(kind):
    critics = make(kind, **KINDS[kind])
    wake(critics)
    convolved, proprio, action = batch(critics)
    action.requires_grad_()
    prediction = critics.predict(convolved, proprio, action)
    target = critics.target(prediction, torch.ones(ROWS), torch.full((ROWS,), 0.5), torch.zeros(ROWS))
    assert not target.requires_grad and prediction.shape[0] == critics.members
    torch.testing.assert_close(target.sum(dim=-1), torch.ones(target.shape[:-1]))
    critics.loss(prediction, target).backward()
    assert {name for name, p in critics.named_parameters() if p.grad is None or not p.grad.any()} == set()
    assert action.grad is not None  # which the actor climbs


@pytest.mark.parametrize("kind", KINDS)
def test_a_terminal_row_learns_its_reward_alone(kind):
    """Atoms at -5, -4 .. 5: reward 1 without a future is all mass at the atom 1, whatever is
    predicted for the next state; with one, the prediction matters."""
    critics = make(kind, **KINDS[kind])
    wake(critics)
    prediction = critics.predict(*batch(critics))
    discount = torch.tensor([0.0, 0.9] * 3)
    targets = [critics.target(p, torch.ones(ROWS), discount, torch.ones(ROWS)) for p in (prediction, -prediction)]
    ended = [target[discount == 0] for target in targets]
    at_one = (critics.support == 1.0).float()
    assert at_one.sum() == 1
    for target in ended:
        torch.testing.assert_close(target, at_one.expand_as(target))
    assert not torch.allclose(targets[0][discount > 0], targets[1][discount > 0])
    # and a critic that predicts it says so: log 1 at the atom, log 0 elsewhere
    assert critics.value(ended[0].clamp(min=1e-30).log()[None])[0].tolist() == pytest.approx([1.0] * 3)


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_is_summed_over_members_and_averaged_over_the_batch(kind):
    """Equal logits: ln(atoms) for each member, whatever the target."""
    critics = make(kind, **KINDS[kind])
    prediction = critics.predict(*batch(critics))
    target = critics.target(prediction, *(torch.zeros(ROWS) for _ in range(3)))
    expected = critics.members * math.log(len(critics.support))
    assert float(critics.loss(torch.zeros_like(prediction), target)) == pytest.approx(expected)


@pytest.mark.parametrize("kind", KINDS)
def test_critics_compile_without_a_break(kind):
    critics = make(kind, **KINDS[kind])
    wake(critics)
    inputs = batch(critics)

    def update(convolved, proprio, action):
        prediction = critics.predict(convolved, proprio, action)
        target = critics.target(prediction, convolved[:, 0], proprio[:, 0].abs(), convolved[:, 1])
        return critics.loss(prediction, target), critics.value(prediction)

    compiled = torch.compile(update, fullgraph=True, backend="aot_eager")
    for mine, theirs in zip(compiled(*inputs), update(*inputs)):
        torch.testing.assert_close(mine, theirs)


def test_bad_options_are_refused_in_words():
    with pytest.raises(UnknownName, match=r"option of critic 'simba'.*atoms, bound"):
        make("simba", bins=3)
    with pytest.raises(PixelarmError, match="atoms >= 2"):
        make("simba", atoms=1)
    with pytest.raises(UnknownName, match="option of critic 'simba' 'layer_norm'"):
        make("simba", layer_norm=True)


# ------------------------------------------------------------------ SimbaV2
def row_lengths(critics):
    return torch.cat([m.weight.norm(dim=-1).flatten() for m in critics.modules() if isinstance(m, SphereLinear)])


def test_rows_have_unit_length_before_and_after_learning():
    critics = make("simba", members=2)
    torch.testing.assert_close(row_lengths(critics), torch.ones(len(row_lengths(critics))))
    optimizer = torch.optim.Adam(critics.parameters(), 0.01)
    prediction = critics.predict(*batch(critics))
    critics.loss(prediction, critics.target(prediction, *(torch.ones(ROWS) for _ in range(3)))).backward()
    optimizer.step()
    assert (row_lengths(critics) - 1).abs().max() > 1e-3
    critics.project()
    torch.testing.assert_close(row_lengths(critics), torch.ones(len(row_lengths(critics))))


def on_sphere(members: int, size: int):
    return torch.nn.functional.normalize(torch.randn(members, ROWS, size), dim=-1)


def test_the_input_keeps_its_length_in_the_shift():
    """Twice the input is the same point of the sphere, unless a constant beside it tells the two apart."""

    def predict(length, shift):
        critics = make("simba", members=2, shift=shift)
        critics.trunk.forward = lambda convolved, proprio: convolved
        features, action = torch.linspace(-1, 1, critics.trunk.size).expand(ROWS, -1), torch.full((ROWS, 4), 0.25)
        return critics.predict(length * features, torch.zeros(ROWS, 4), length * action)

    torch.testing.assert_close(predict(1.0, shift=0.0), predict(2.0, shift=0.0))
    assert (predict(1.0, shift=3.0) - predict(2.0, shift=3.0)).abs().max() > 1e-2


def test_a_block_steps_from_its_features_towards_its_proposal():
    """A step of 0 stays, a step of 1 arrives, one of 1/2 is half way between and put back on the sphere."""
    block = make("simba", members=2).blocks[0]
    x = on_sphere(2, 16)
    hidden = torch.relu(block.inner(x) * math.sqrt(2 / 64))
    proposal = torch.nn.functional.normalize(block.outer(hidden), dim=-1)
    for step, expected in ((0.0, x), (1.0, proposal), (0.5, x + proposal)):
        torch.nn.init.constant_(block.step.stored, step / block.step.factor)
        torch.testing.assert_close(block(x), torch.nn.functional.normalize(expected, dim=-1))
        torch.testing.assert_close(block(x).norm(dim=-1), torch.ones(2, ROWS))


def test_scalers_start_where_the_paper_has_them():
    """Hidden 16, two blocks: sqrt(2 / 16) after the first layer, sqrt(2 / 64) inside a block,
    steps of 1 / 3 stored as 1 / 4.
    """
    critics = make("simba", members=2)
    block = critics.blocks[0]
    scalers = (critics.embed[1], block.scaler, block.step, critics.head[1])
    assert sum(isinstance(m, Scaler) for m in critics.modules()) == 2 + 2 * 2
    starts = [scaler(torch.ones(2, 1, 1)).detach().unique().item() for scaler in scalers]
    assert starts == pytest.approx([math.sqrt(2 / 16), math.sqrt(2 / 64), 1 / 3, 1.0])
    assert block.step.stored.detach().unique().item() == pytest.approx(1 / 4)


def test_the_target_is_the_least_member_of_each_row():
    """Members sure of 2 and 1 in the first row, of -1 and 0 in the second;
    reward 0, discount 1: the targets are 1 and -1.
    """
    critics = make("simba", members=2, atoms=11)
    prediction = torch.full((2, 2, 11), -99.0)
    for member, row, value in ((0, 0, 2), (1, 0, 1), (0, 1, -1), (1, 1, 0)):
        prediction[member, row, value + 5] = 0.0  # the atom of value -5 is the first
    target = critics.target(prediction, torch.zeros(2), torch.ones(2), torch.zeros(2))
    assert (target @ critics.support).tolist() == pytest.approx([1.0, -1.0])


def test_rewards_are_scaled_by_the_returns_seen():
    """Discount 0.5. Before any: 1. Rewards 0, 0, 2 give returns 0, 0, 2: mean 2/3, variance 4/3 - 4/9 = 8/9.

    Rewards 4, 0, -4 then give 4, 2, -3. Of all six: mean 5/6, mean square (4 + 16 + 4 + 9) / 6 = 5.5, variance 5.5 -
    25/36. A return of 60 then asks for 60 / 5, more than the deviation of about 20.6.
    """
    critics = make("simba", members=2)
    assert float(critics.reward_scale) == pytest.approx(1.0)
    critics.observe([0, 0, 2])
    assert float(critics.reward_scale) == pytest.approx(math.sqrt(8 / 9), rel=1e-5)
    critics.observe(np.array([4.0, 0.0, -4.0]))
    assert float(critics.mean) == pytest.approx(5 / 6) and float(critics.largest) == 4.0
    assert float(critics.reward_scale) == pytest.approx(math.sqrt(5.5 - 25 / 36), rel=1e-5)
    critics.observe([0] * 100 + [60])
    assert float(critics.reward_scale) == pytest.approx(60 / 5)
    # a reward of 12 is then one of 1, the atom after the middle one
    critics = make("simba", members=1, atoms=11, discount=1.0)
    critics.observe([0] * 100 + [60])
    target = critics.target(torch.zeros(1, 1, 11), torch.full((1,), 12.0), torch.zeros(1), torch.zeros(1))
    assert (target @ critics.support).tolist() == pytest.approx([1.0])
    other = make("simba", members=1, atoms=11)
    other.load_state_dict(critics.state_dict())  # the statistics are part of what is resumed
    assert torch.equal(other.reward_scale, critics.reward_scale)
    # episodes without reward say nothing about how large rewards are
    sparse = make("simba", members=2)
    sparse.observe([0.0] * 250)
    assert float(sparse.reward_scale) == 1.0
    sparse.observe([0.0, 0.0, 2.0])
    assert float(sparse.reward_scale) == pytest.approx(2.0 / 5)  # the largest return asks for more than the deviation
    off = make("simba", members=2, scale_rewards=False)
    off.observe([0, 0, 60])
    assert float(off.reward_scale) == pytest.approx(1.0)


def test_simba_learns_a_value():
    """Rewards of 0 or 3 by the sign of the first action, no future: values follow within 0.5."""
    critics = make("simba", hidden=32, members=2, atoms=21)
    optimizer = torch.optim.Adam(critics.parameters(), 3e-3)
    for step in range(150):
        convolved, proprio, action = batch(critics, 64, seed=step)
        prediction = critics.predict(convolved, proprio, action)
        reward = 3.0 * (action[:, 0] > 0)
        loss = critics.loss(prediction, critics.target(prediction, reward, *(torch.zeros(64) for _ in range(2))))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        critics.project()
    convolved, proprio, action = batch(critics, 64, seed=1000)
    action[:, 0] = torch.tensor([0.7, -0.7]).repeat(32)
    values = critics.value(critics.predict(convolved, proprio, action)).detach().mean(dim=0)
    assert float(values[0::2].mean()) == pytest.approx(3.0, abs=0.5)
    assert float(values[1::2].mean()) == pytest.approx(0.0, abs=0.5)
