"""Bursts and lasting noise: how often, how long, of what; and that a resumed run goes on in the middle of it."""

import math

import pytest
import torch
from conftest_policies import make_agent

from policies.rl.exploration import Bursts, Lasting
from robot.errors import PixelarmError


def played(bursts, steps, rows=64, seed=0):
    """What comes of the action (0, 0, 0, 1) step after step, ``(steps, rows, 4)``."""
    generator = torch.Generator().manual_seed(seed)
    action = torch.tensor([0.0, 0.0, 0.0, 1.0]).expand(rows, 4)
    return torch.stack([bursts.apply(action, generator, None) for _ in range(steps)])


def test_without_probability_nothing_changes():
    assert torch.equal(played(Bursts(4, True, 0.0, 8), 20), torch.tensor([0.0, 0.0, 0.0, 1.0]).expand(20, 64, 4))


def test_a_burst_holds_one_choice_of_hand_or_gripper():
    """Probability 1: bursts follow each other; in each step either the hand is moved or the gripper is turned over,
    never both.
    """
    seen = played(Bursts(4, True, 1.0, 8), 200)
    hand, gripper = (seen[..., :3] != 0).any(dim=-1), seen[..., 3] == -1
    assert torch.equal(hand, ~gripper) and 0.4 < hand.float().mean() < 0.6
    assert seen.abs().max() <= 1.0


def test_durations_are_between_two_steps_and_the_longest():
    """A hand's burst is a run of one value; its length is counted where it stands between two others."""
    values = played(Bursts(4, False, 1.0, 5), 400)[..., 0].T
    for row in values:
        changes = torch.nonzero(row[1:] != row[:-1]).flatten()
        lengths = changes[1:] - changes[:-1]
        assert lengths.min() >= 2 and lengths.max() <= 5 and len(lengths.unique()) == 4


def test_bursts_begin_as_often_as_asked():
    """Probability 0.1, every burst 2 steps: of 1000 steps a share of 2 p / (1 + p) = 0.18 is replaced, give or take."""
    share = (played(Bursts(4, False, 0.1, 2), 1000)[..., 0] != 0).float().mean()
    assert 0.16 < share < 0.21


def test_exploring_actions_burst_and_evaluated_ones_do_not(contract):
    calm, wild = make_agent(contract), make_agent(contract, "exploration={bursts: {probability: 1.0}}")
    observation = {"a": torch.zeros(3, 3, 32, 32, dtype=torch.uint8), "b": torch.zeros(3, 3, 32, 32, dtype=torch.uint8)}
    observation |= {"eef_pos": torch.zeros(3, 3), "gripper_opening": torch.zeros(3, 1)}
    assert (calm.act(observation, sample=False) == wild.act(observation, sample=False)).all()
    assert (calm.act(observation, sample=True) != wild.act(observation, sample=True)).any(axis=2).all()


def test_a_state_dict_goes_on_in_the_middle_of_a_burst(contract):
    first, second = (make_agent(contract, "exploration={bursts: {probability: 0.5}}", seed=seed) for seed in (0, 1))
    observation = {"a": torch.zeros(3, 3, 32, 32, dtype=torch.uint8), "b": torch.zeros(3, 3, 32, 32, dtype=torch.uint8)}
    observation |= {"eef_pos": torch.zeros(3, 3), "gripper_opening": torch.zeros(3, 1)}
    for _ in range(3):
        first.act(observation, sample=True)
    second.load_state_dict({k: v.clone() for k, v in first.state_dict().items()})
    for _ in range(8):
        assert (first.act(observation, sample=True) == second.act(observation, sample=True)).all()


def test_lasting_noise_has_its_size_and_its_memory():
    """Over 20,000 steps: standard deviation 0.2, correlation exp(-1/5) from step to step; the gripper is untouched."""
    noise, generator = Lasting(3, gripper=True, std=0.2, steps=5.0), torch.Generator().manual_seed(0)
    action = torch.tensor([[0.0, 0.0, 0.7]])
    seen = torch.stack([noise.apply(action, generator, None)[0] for _ in range(20_000)])
    assert seen[:, 2].unique().tolist() == pytest.approx([0.7])
    assert seen[:, :2].std(dim=0).tolist() == pytest.approx([0.2, 0.2], rel=0.05)
    after = torch.corrcoef(torch.stack([seen[:-1, 0], seen[1:, 0]]))[0, 1]
    assert float(after) == pytest.approx(math.exp(-1 / 5), abs=0.02)


@pytest.mark.parametrize(("value", "share"), [(-0.2, 1.0), (0.0, 1.0), (0.25, 0.5), (0.5, 0.0), (0.9, 0.0)])
def test_lasting_noise_fades_where_success_is_known(value, share):
    """known 0.5: all of it at a value of 0, half at 0.25, none from 0.5 on."""
    both = [Lasting(2, gripper=False, std=0.1, known=known) for known in (0.0, 0.5)]
    assert [one.wants_values for one in both] == [False, True]
    zero = torch.zeros(1, 2)
    for _ in range(5):
        plain = both[0].apply(zero, torch.Generator().manual_seed(1), None)
        faded = both[1].apply(zero, torch.Generator().manual_seed(1), torch.tensor([value]))
        assert torch.allclose(faded, share * plain)


def test_lasting_noise_is_silent_for_a_share_of_the_time_in_stretches():
    rows, steps = 400, 600
    noise, generator = Lasting(2, False, std=0.1, quiet=0.25, stretch=20.0), torch.Generator().manual_seed(0)
    still = torch.zeros(rows, 2)
    silent = torch.stack([(noise.apply(still, generator, None) == 0).all(1) for _ in range(steps)])
    assert silent[200:].float().mean() == pytest.approx(0.25, abs=0.02)
    # a silent row goes on being silent unless it is drawn anew, 1 in 20, and becomes loud, 3 in 4
    ends = (silent[200:-1] & ~silent[201:]).sum() / silent[200:-1].sum()
    assert ends == pytest.approx(0.75 / 20, rel=0.15)


@pytest.mark.parametrize("quiet", [0.0, 0.5])
def test_lasting_noise_goes_on_where_it_was_saved(quiet):
    one, other = (Lasting(2, False, quiet=quiet, stretch=2.0) for _ in range(2))
    generator, zero = torch.Generator().manual_seed(0), torch.zeros(3, 2)
    for _ in range(3):
        one.apply(zero, generator, None)
    other.load_state_dict(one.state_dict(), torch.device("cpu"))
    again = torch.Generator().manual_seed(5)
    saved = again.get_state()
    first = one.apply(zero, again, None)
    again.set_state(saved)
    assert torch.equal(first, other.apply(zero, again, None))


@pytest.mark.parametrize("options", [{"std": -0.1}, {"steps": 0.0}, {"known": -1.0}])
def test_lasting_noise_without_sense_is_refused(options):
    with pytest.raises(PixelarmError, match="exploration lasting: std is 0 to 2"):
        Lasting(2, False, **options)


@pytest.mark.parametrize("options", [{"quiet": 1.0}, {"quiet": -0.1}, {"stretch": 0.5}])
def test_silence_without_sense_is_refused(options):
    with pytest.raises(PixelarmError, match="quiet is at least 0 and less than 1, stretch at least 1"):
        Lasting(2, False, **options)


def test_who_acts_elsewhere_is_given_the_critics_that_fade_the_noise(contract):
    plain = make_agent(contract, "exploration=lasting")
    fading = make_agent(contract, "exploration={lasting: {known: 0.5}}")
    critics = {name for name in fading.acting_tensors() if name.startswith("target_critics.")}
    assert {f"target_critics.{name}" for name in fading.target_critics.state_dict()} == critics
    assert fading.acting_tensors().keys() - critics == plain.acting_tensors().keys()
