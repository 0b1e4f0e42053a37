"""Critics that predict distributions: C51's arithmetic, SimbaV2's sphere, and zooming in on the best action sequence."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest_policies import tiny_contract

from policies.config import AgentConfig, EncoderConfig
from policies.networks.categorical import bellman, cross_entropy, expectation, make_support, project
from policies.rl.critics.base import make_critics
from policies.rl.critics.simba import Scaler, SphereLinear
from policies.rl.sequence_critic import GRU
from robot.errors import PixelarmError, UnknownName

CONV = 10  # convolutional features
ROWS = 6
SUPPORT = torch.tensor([0.0, 1.0, 2.0])


def make(kind: str, hidden: int = 16, members: int = 1, actions: int = 4, discount: float = 0.5, **options):
    contract = tiny_contract()
    names = tuple("abcd"[:actions])
    action = replace(contract.action, names=names, units=("m",) * actions, low=(-1.0,) * actions, high=(1.0,) * actions)
    options = {"hidden": hidden, **options} | ({} if kind == "sequence" else {"members": members, "subset": 1})
    torch.manual_seed(0)
    cfg = AgentConfig(critic={kind: options}, discount=discount, encoder=EncoderConfig(feature_size=64, tanh=True))
    return make_critics(replace(contract, action=action), CONV, cfg)


def batch(critics, rows: int = ROWS, actions: int = 4, seed: int = 0):
    """Features, proprioception and actions of random states."""
    generator = torch.Generator().manual_seed(seed)
    shape = (rows, actions) if critics.sequence == 1 else (rows, critics.sequence, actions)
    draws = (torch.randn(rows, CONV, generator=generator), torch.randn(rows, 4, generator=generator))
    return *draws, torch.rand(shape, generator=generator) * 2 - 1


def wake(critics):
    """Heads start at zero, where nothing behind them learns yet."""
    for parameter in critics.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.5)


KINDS = {
    "simba": dict(members=3, atoms=11),
    "sequence": dict(steps=2, levels=2, bins=3, atoms=5),
}


# ------------------------------------------------------------------ distributions
def test_expectation_by_hand():
    """0.5 * 0 + 0.25 * 1 + 0.25 * 2 = 0.75."""
    logits = torch.tensor([0.5, 0.25, 0.25]).log() + 7.0  # a constant on all logits changes nothing
    assert expectation(logits, SUPPORT) == pytest.approx(0.75)
    assert make_support(-5.0, 5.0, 101)[:2].tolist() == pytest.approx([-5.0, -4.9])


def test_projection_by_hand():
    """Reward 0.5, discount 0.5: the atoms 0, 1, 2 move to 0.5, 1.0, 1.5.

    0.2 at 0.5 halves between 0 and 1, 0.5 stays at 1, 0.3 at 1.5 halves between 1 and 2: 0.1, 0.1 + 0.5 + 0.15, 0.15. The mean
    1.05 is 0.5 + 0.5 * 1.1. The second row, sure of 0 and kept as it is, takes nothing from the first; two heads of one row share
    its reward and discount.
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
    """Equal logits give each of three atoms ln(1/3): ln 3 whatever the target; of the target itself, its entropy ln 2."""
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
    assert (kind == "simba") == (action.grad is not None)  # bins have no gradient; the actor climbs the others


@pytest.mark.parametrize("kind", KINDS)
def test_a_terminal_row_learns_its_reward_alone(kind):
    """Atoms at -5, -4 .. 5 (simba) and -2, -1 .. 2 (sequence): reward 1 without a future is all mass at the atom 1, whatever is
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
    with pytest.raises(UnknownName, match="levels"):
        make("sequence", level=3)
    with pytest.raises(PixelarmError, match="at least|>= 2"):
        make("sequence", bins=1)
    with pytest.raises(PixelarmError, match="cells"):
        make("sequence", bins=11, levels=9)
    with pytest.raises(UnknownName, match="option of critic 'sequence' 'members'"):
        make_critics(tiny_contract(), CONV, AgentConfig(critic={"sequence": {"members": 2}}))
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
    """Hidden 16, two blocks: sqrt(2 / 16) after the first layer, sqrt(2 / 64) inside a block, steps of 1 / 3 stored as 1 / 4."""
    critics = make("simba", members=2)
    block = critics.blocks[0]
    scalers = (critics.embed[1], block.scaler, block.step, critics.head[1])
    assert sum(isinstance(m, Scaler) for m in critics.modules()) == 2 + 2 * 2
    starts = [scaler(torch.ones(2, 1, 1)).detach().unique().item() for scaler in scalers]
    assert starts == pytest.approx([math.sqrt(2 / 16), math.sqrt(2 / 64), 1 / 3, 1.0])
    assert block.step.stored.detach().unique().item() == pytest.approx(1 / 4)


def test_the_target_is_the_least_member_of_each_row():
    """Members sure of 2 and 1 in the first row, of -1 and 0 in the second; reward 0, discount 1: the targets are 1 and -1."""
    critics = make("simba", members=2, atoms=11)
    prediction = torch.full((2, 2, 11), -99.0)
    for member, row, value in ((0, 0, 2), (1, 0, 1), (0, 1, -1), (1, 1, 0)):
        prediction[member, row, value + 5] = 0.0  # the atom of value -5 is the first
    target = critics.target(prediction, torch.zeros(2), torch.ones(2), torch.zeros(2))
    assert (target @ critics.support).tolist() == pytest.approx([1.0, -1.0])


def test_rewards_are_scaled_by_the_returns_seen():
    """Discount 0.5. Before any: 1. Rewards 0, 0, 2 give returns 0, 0, 2: mean 2/3, variance 4/3 - 4/9 = 8/9.

    Rewards 4, 0, -4 then give 4, 2, -3. Of all six: mean 5/6, mean square (4 + 16 + 4 + 9) / 6 = 5.5, variance 5.5 - 25/36.
    A return of 60 then asks for 60 / 5, more than the deviation of about 20.6.
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


# ------------------------------------------------------------------ CQN-AS
def test_actions_in_bins_by_hand():
    """Two levels of three bins: nine cells of width 2/9.

    -1 is the first bin twice, and its second level divides [-1, -1/3], middle -2/3. 0.5 lies 1.5 / (2/9) = 6.75 cells in: bin
    2 of the first level, cell 6 = 2 * 3 + 0 hence bin 0 of the second, which divides [1/3, 1], middle 2/3. 1 is the last twice.
    """
    critics = make("sequence", actions=1, steps=3, levels=2, bins=3)
    bins, centres = critics.encode(torch.tensor([-1.0, 0.5, 1.0]).view(1, 3, 1))
    assert bins.flatten().tolist() == [0, 2, 2, 0, 0, 2]  # level by level, three steps each
    assert centres.flatten().tolist() == pytest.approx([0, 0, 0, -2 / 3, 2 / 3, 2 / 3])


def test_the_recurrence_is_the_gated_one_of_torch():
    torch.manual_seed(0)
    mine, theirs = GRU(5), torch.nn.GRU(5, 5, batch_first=True)
    theirs.load_state_dict({
        "weight_ih_l0": mine.inputs.weight, "bias_ih_l0": mine.inputs.bias,
        "weight_hh_l0": mine.recurrent.weight, "bias_hh_l0": mine.recurrent.bias,
    })  # fmt: skip
    x = torch.randn(3, 4, 5)
    torch.testing.assert_close(mine(x), theirs(x)[0])


def test_a_step_is_valued_from_itself_and_those_before():
    critics = make("sequence", steps=3, levels=2, bins=3, atoms=5)
    wake(critics)
    convolved, proprio, action = batch(critics)
    before = critics.predict(convolved, proprio, action)
    changed = action.clone()
    changed[:, 1] = -changed[:, 1]
    differs = (critics.predict(convolved, proprio, changed) - before).abs().amax(dim=(0, 1, 2, 4, 5))
    assert differs[0] == 0 and differs[1] > 0 and differs[2] > 0


def test_each_step_and_level_is_told_which_it_is():
    """The input of the streams ends in a one-hot step, of three, and a one-hot level, of two; the action's middle stands before."""
    critics = make("sequence", actions=1, steps=3, levels=2, bins=3)
    seen = []
    critics.advantage.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    convolved, proprio, _ = batch(critics, 1)
    critics.predict(convolved, proprio, torch.tensor([-1.0, 0.5, 1.0]).view(1, 3, 1))
    critics.best(convolved, proprio)
    tail = torch.cat(seen)[:, :, -6:]
    assert tail[0].tolist() == [[0, 1, 0, 0, 1, 0], [0, 0, 1, 0, 1, 0], [0, 0, 0, 1, 1, 0]]
    assert tail[1, :, 1:].tolist() == [[1, 0, 0, 0, 1], [0, 1, 0, 0, 1], [0, 0, 1, 0, 1]]
    assert tail[1, :, 0].tolist() == pytest.approx([-2 / 3, 2 / 3, 2 / 3])
    torch.testing.assert_close(tail[2:, :, 1:], tail[:2, :, 1:])  # zooming in, level by level


def test_advantages_are_relative_to_the_mean_bin():
    """What the advantage stream gives to all bins alike changes nothing; the value stream's part does."""
    critics = make("sequence", actions=1, steps=2, levels=2, bins=3, atoms=5)
    wake(critics)
    inputs = batch(critics, actions=1)
    before = critics.predict(*inputs)
    with torch.no_grad():
        critics.advantage.net[-1].bias.view(3, 5).add_(torch.arange(5.0))
    torch.testing.assert_close(critics.predict(*inputs), before)
    with torch.no_grad():
        critics.state_value.net[-1].bias.add_(torch.arange(5.0))
    torch.testing.assert_close(critics.predict(*inputs), before + torch.arange(5.0))


def test_an_untrained_critic_holds_still():
    """Heads start at zero, all bins tie, and the middle of the middle bin is 0."""
    critics = make("sequence")
    convolved, proprio, action = batch(critics)
    torch.testing.assert_close(critics.best(convolved, proprio), torch.zeros_like(action))


def test_the_greedy_action_has_the_greedy_bins():
    """What ``best`` returns, ``predict`` finds in the bins with the highest value of their level, and no other action beats it
    at the first level, which all actions share."""
    critics = make("sequence", steps=2, levels=3, bins=5, atoms=5)
    wake(critics)
    convolved, proprio, action = batch(critics)
    best = critics.best(convolved, proprio)
    bins, centres = critics.encode(best)
    values = expectation(critics.logits(critics.trunk(convolved, proprio), centres), critics.support)
    assert torch.equal(values.argmax(dim=-1), bins)
    first = [expectation(critics.predict(convolved, proprio, a)[0], critics.support)[:, 0] for a in (best, action)]
    assert torch.all(first[0] >= first[1])
    # the middle of a cell of width 2 / 125
    cell = (best + 1) / (2 / 125)
    torch.testing.assert_close(cell - cell.floor(), torch.full_like(cell, 0.5), atol=1e-3, rtol=0)


def test_the_cloning_loss_by_hand():
    """One level of two bins, atoms -2 and 2, one action of one dimension, the first bin demonstrated.

    Logits set to probabilities (0.5, 0.5) and (0.25, 0.75): means 0 and 1. The demonstrated cumulative 0.5, 1 against 0.25, 1 lies
    0.25 above; averaged over two bins 0.125. The mean is behind by 1 and by the margin 0.5: 1.5, halved 0.75. Shown the other
    bin, the first term is 0 and the lead of 1 is more than the margin: 0. Weights 1 and 0 keep the first row alone.
    """
    critics = make("sequence", actions=1, steps=1, levels=1, bins=2, atoms=2, margin=0.5)
    wanted = torch.tensor([[0.5, 0.5], [0.25, 0.75]]).log()
    critics.logits = lambda features, centres: wanted.expand(len(features), 1, 1, 1, 2, 2)  # type: ignore[method-assign]
    convolved, proprio, _ = batch(critics, 2)
    actions = torch.tensor([-0.5, 0.5]).view(2, 1, 1)
    assert float(critics.cloning_loss(convolved, proprio, actions)) == pytest.approx((0.875 + 0.0) / 2)
    for weight, expected in (([1.0, 0.0], 0.875), ([0.0, 1.0], 0.0), ([0.0, 0.0], 0.0), ([1.0, 1.0], 0.4375)):
        loss = critics.cloning_loss(convolved, proprio, actions, torch.tensor(weight))
        assert float(loss) == pytest.approx(expected, abs=1e-6)


def train(critics, steps, loss_of, rate=3e-3):
    optimizer = torch.optim.Adam(critics.parameters(), rate)
    for step in range(steps):
        loss = loss_of(*batch(critics, 128, 1, seed=step))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def test_zooming_finds_the_maximum_of_a_known_function():
    """A reward of 1 - (mean distance to 2/3 and -4/9), the middles of two of the nine cells of width 2/9, and no future."""
    critics = make("sequence", hidden=32, actions=1, steps=2, levels=2, bins=3, atoms=11, low=-1.0, high=1.0)
    aim = torch.tensor([6 / 9, -4 / 9]).view(2, 1)

    def loss(convolved, proprio, action):
        reward = 1.0 - (action - aim).abs().mean(dim=(1, 2))
        prediction = critics.predict(convolved, proprio, action)
        return critics.loss(prediction, critics.target(prediction, reward, torch.zeros(128), torch.zeros(128)))

    train(critics, 300, loss)
    convolved, proprio, _ = batch(critics, 32, 1, seed=1000)
    found = (critics.best(convolved, proprio) - aim).abs() < 1e-3
    assert found.float().mean() > 0.9  # one of nine by chance


def test_cloning_alone_makes_the_demonstrated_action_the_greedy_one():
    critics = make("sequence", hidden=32, actions=1, steps=2, levels=2, bins=3, atoms=11, margin=0.1)
    shown = torch.tensor([0.6, -0.4]).view(2, 1)
    train(critics, 60, lambda c, p, a: critics.cloning_loss(c, p, shown.expand(len(a), 2, 1)))
    convolved, proprio, _ = batch(critics, 32, 1, seed=1000)
    assert torch.all((critics.best(convolved, proprio) - shown).abs() <= 1 / 9 + 1e-6)
    assert critics.cloning_loss(convolved, proprio, shown.expand(32, 2, 1)).item() < 0.01


def test_the_greedy_action_can_be_exported():
    critics = make("sequence", steps=2, levels=2, bins=3, atoms=5).eval()
    wake(critics)
    convolved, proprio, _ = batch(critics, 1)

    class Best(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.critics = critics

        def forward(self, convolved, proprio):
            return self.critics.best(convolved, proprio)

    program = torch.export.export(Best(), (convolved, proprio))
    torch.testing.assert_close(program.module()(convolved, proprio), critics.best(convolved, proprio))
