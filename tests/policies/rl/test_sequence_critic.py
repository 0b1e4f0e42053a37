"""CQN-AS's critic: zooming in on the best action sequence, by hand and on a known function."""

from dataclasses import replace

import pytest
import torch
from conftest_policies import tiny_contract

from policies.config import EncoderConfig
from policies.networks.categorical import expectation
from policies.rl.config import SequenceCriticConfig
from policies.rl.cqn_as.critic import GRU, SequenceCritic
from robot.errors import PixelarmError

CONV = 10  # convolutional features
ROWS = 6


def make(hidden: int = 16, actions: int = 4, **options):
    contract = tiny_contract()
    names = tuple("abcd"[:actions])
    action = replace(contract.action, names=names, units=("m",) * actions, low=(-1.0,) * actions, high=(1.0,) * actions)
    torch.manual_seed(0)
    encoder, cfg = EncoderConfig(feature_size=64, tanh=True), SequenceCriticConfig(hidden=hidden, **options)
    return SequenceCritic(replace(contract, action=action), CONV, encoder, cfg)


def batch(critics, rows: int = ROWS, actions: int = 4, seed: int = 0):
    """Features, proprioception and actions of random states."""
    generator = torch.Generator().manual_seed(seed)
    draws = (torch.randn(rows, CONV, generator=generator), torch.randn(rows, 4, generator=generator))
    return *draws, torch.rand((rows, critics.sequence, actions), generator=generator) * 2 - 1


def wake(critics):
    """Heads start at zero, where nothing behind them learns yet."""
    for parameter in critics.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.5)


SMALL = dict(steps=2, levels=2, bins=3, atoms=5)


def test_gradients_reach_trunk_and_every_head_but_not_the_action():
    critics = make(**SMALL)
    wake(critics)
    convolved, proprio, action = batch(critics)
    action.requires_grad_()
    prediction = critics.predict(convolved, proprio, action)
    target = critics.target(prediction, torch.ones(ROWS), torch.full((ROWS,), 0.5))
    assert not target.requires_grad
    torch.testing.assert_close(target.sum(dim=-1), torch.ones(target.shape[:-1]))
    critics.loss(prediction, target).backward()
    assert {name for name, p in critics.named_parameters() if p.grad is None or not p.grad.any()} == set()
    assert action.grad is None  # bins have no gradient


def test_a_terminal_row_learns_its_reward_alone():
    """Atoms at -2, -1 .. 2: reward 1 without a future is all mass at the atom 1,
    whatever is predicted for the next state.
    """
    critics = make(**SMALL)
    wake(critics)
    prediction, discount = critics.predict(*batch(critics)), torch.tensor([0.0, 0.9] * 3)
    targets = [critics.target(p, torch.ones(ROWS), discount) for p in (prediction, -prediction)]
    at_one = (critics.support == 1.0).float()
    for target in targets:
        torch.testing.assert_close(target[discount == 0], at_one.expand_as(target[discount == 0]))
    assert not torch.allclose(targets[0][discount > 0], targets[1][discount > 0])
    said = targets[0][discount == 0].clamp(min=1e-30).log()
    assert critics.value(said).tolist() == pytest.approx([1.0] * 3)


def test_the_critic_compiles_without_a_break():
    critics = make(**SMALL)
    wake(critics)
    inputs = batch(critics)

    def update(convolved, proprio, action):
        prediction = critics.predict(convolved, proprio, action)
        target = critics.target(prediction, convolved[:, 0], proprio[:, 0].abs())
        return critics.loss(prediction, target), critics.value(prediction)

    compiled = torch.compile(update, fullgraph=True, backend="aot_eager")
    for mine, theirs in zip(compiled(*inputs), update(*inputs)):
        torch.testing.assert_close(mine, theirs)


def test_bad_options_are_refused_in_words():
    with pytest.raises(PixelarmError, match=">= 2"):
        make(bins=1)
    with pytest.raises(PixelarmError, match="cells"):
        make(bins=11, levels=9)


def test_actions_in_bins_by_hand():
    """Two levels of three bins: nine cells of width 2/9.

    -1 is the first bin twice, and its second level divides [-1, -1/3], middle -2/3. 0.5 lies 1.5 / (2/9) = 6.75 cells
    in: bin 2 of the first level, cell 6 = 2 * 3 + 0 hence bin 0 of the second, which divides [1/3, 1], middle 2/3. 1 is
    the last twice.
    """
    critics = make(actions=1, steps=3, levels=2, bins=3)
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
    critics = make(steps=3, levels=2, bins=3, atoms=5)
    wake(critics)
    convolved, proprio, action = batch(critics)
    before = critics.predict(convolved, proprio, action)
    changed = action.clone()
    changed[:, 1] = -changed[:, 1]
    differs = (critics.predict(convolved, proprio, changed) - before).abs().amax(dim=(0, 1, 3, 4))
    assert differs[0] == 0 and differs[1] > 0 and differs[2] > 0


def test_each_step_and_level_is_told_which_it_is():
    """The input of the streams ends in a one-hot step, of three, and a one-hot level, of two;
    the action's middle stands before.
    """
    critics = make(actions=1, steps=3, levels=2, bins=3)
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
    critics = make(actions=1, steps=2, levels=2, bins=3, atoms=5)
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
    critics = make()
    convolved, proprio, action = batch(critics)
    torch.testing.assert_close(critics.best(convolved, proprio), torch.zeros_like(action))


def test_the_greedy_action_has_the_greedy_bins():
    """What ``best`` returns, ``predict`` finds in the bins with the highest value of their level, and no other action
    beats it at the first level, which all actions share."""
    critics = make(steps=2, levels=3, bins=5, atoms=5)
    wake(critics)
    convolved, proprio, action = batch(critics)
    best = critics.best(convolved, proprio)
    bins, centres = critics.encode(best)
    values = expectation(critics.logits(critics.trunk(convolved, proprio), centres), critics.support)
    assert torch.equal(values.argmax(dim=-1), bins)
    first = [expectation(critics.predict(convolved, proprio, a), critics.support)[:, 0] for a in (best, action)]
    assert torch.all(first[0] >= first[1])
    # the middle of a cell of width 2 / 125
    cell = (best + 1) / (2 / 125)
    torch.testing.assert_close(cell - cell.floor(), torch.full_like(cell, 0.5), atol=1e-3, rtol=0)


def test_the_cloning_loss_by_hand():
    """One level of two bins, atoms -2 and 2, one action of one dimension, the first bin demonstrated.

    Logits set to probabilities (0.5, 0.5) and (0.25, 0.75): means 0 and 1. The demonstrated cumulative 0.5, 1 against
    0.25, 1 lies 0.25 above; averaged over two bins 0.125. The mean is behind by 1 and by the margin 0.5: 1.5, halved
    0.75. Shown the other bin, the first term is 0 and the lead of 1 is more than the margin: 0. Weights 1 and 0 keep
    the first row alone.
    """
    critics = make(actions=1, steps=1, levels=1, bins=2, atoms=2, margin=0.5)
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
    """A reward of 1 - (mean distance to 2/3 and -4/9), the middles of two of the nine cells of width 2/9,
    and no future.
    """
    critics = make(hidden=32, actions=1, steps=2, levels=2, bins=3, atoms=11, low=-1.0, high=1.0)
    aim = torch.tensor([6 / 9, -4 / 9]).view(2, 1)

    def loss(convolved, proprio, action):
        reward = 1.0 - (action - aim).abs().mean(dim=(1, 2))
        prediction = critics.predict(convolved, proprio, action)
        return critics.loss(prediction, critics.target(prediction, reward, torch.zeros(128)))

    train(critics, 300, loss)
    convolved, proprio, _ = batch(critics, 32, 1, seed=1000)
    found = (critics.best(convolved, proprio) - aim).abs() < 1e-3
    assert found.float().mean() > 0.9  # one of nine by chance


def test_cloning_alone_makes_the_demonstrated_action_the_greedy_one():
    critics = make(hidden=32, actions=1, steps=2, levels=2, bins=3, atoms=11, margin=0.1)
    shown = torch.tensor([0.6, -0.4]).view(2, 1)
    train(critics, 60, lambda c, p, a: critics.cloning_loss(c, p, shown.expand(len(a), 2, 1)))
    convolved, proprio, _ = batch(critics, 32, 1, seed=1000)
    assert torch.all((critics.best(convolved, proprio) - shown).abs() <= 1 / 9 + 1e-6)
    assert critics.cloning_loss(convolved, proprio, shown.expand(32, 2, 1)).item() < 0.01


def test_the_greedy_action_can_be_exported():
    critics = make(steps=2, levels=2, bins=3, atoms=5).eval()
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
