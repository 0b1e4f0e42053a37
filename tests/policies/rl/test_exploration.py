"""Bursts: how often, how long, of what; and that a resumed run goes on in the middle of one."""

import torch
from conftest_policies import make_agent

from policies.rl.exploration import Bursts


def played(bursts, steps, rows=64, seed=0):
    """What comes of the action (0, 0, 0, 1) step after step, ``(steps, rows, 4)``."""
    generator = torch.Generator().manual_seed(seed)
    action = torch.tensor([0.0, 0.0, 0.0, 1.0]).expand(rows, 4)
    return torch.stack([bursts.apply(action, generator) for _ in range(steps)])


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
