"""Actions between physical units and numbers of about unit spread."""

import pytest
import torch
from conftest_policies import tiny_contract

from policies.imitation.normalizers import ActionNormalizer

# dx has a spread of its own, dy hardly moves, dz is always the same, and the gripper opens or closes
ACTIONS = torch.tensor([[0.03, 0.001, 0.01, -1.0], [-0.03, -0.001, 0.01, 1.0]])


def fitted(classify: bool = True, floor: float = 0.1) -> ActionNormalizer:
    made = ActionNormalizer(tiny_contract(), classify)
    made.fit(ACTIONS, floor)
    return made


def test_what_hardly_moved_is_divided_by_the_floor():
    """Of two values +-v the standard deviation is v sqrt(2); a tenth of half the range is 0.004 m."""
    made = fitted()
    assert made.std[:3].tolist() == pytest.approx([0.03 * 2**0.5, 0.004, 0.004])
    assert made.mean.tolist() == pytest.approx([0.0, 0.0, 0.01, 0.0])
    assert made.to_network(ACTIONS)[0].tolist() == pytest.approx([0.5**0.5, 0.25, 0.0, 0.0])


def test_there_and_back():
    assert torch.allclose(fitted(False).to_physical(fitted(False).to_network(ACTIONS)), ACTIONS)
    made = fitted()
    assert made.two_valued.tolist() == [False, False, False, True]
    logits = made.to_network(ACTIONS) * torch.tensor([1.0, 1, 1, 2]) - torch.tensor([0.0, 0, 0, 1])  # 0, 1 to -1, +1
    assert torch.allclose(made.to_physical(logits), ACTIONS)


def test_two_valued_numbers_are_bounds_and_nothing_between():
    logits = torch.tensor([[0.0, 0.0, 0.0, -0.001], [0.0, 0.0, 0.0, 7.0]])
    assert fitted().to_physical(logits)[:, 3].tolist() == [-1.0, 1.0]
    assert fitted(classify=False).two_valued.tolist() == [False] * 4


def test_a_number_that_was_between_its_bounds_once_is_not_two_valued():
    made = ActionNormalizer(tiny_contract(), True)
    made.fit(torch.cat([ACTIONS, torch.tensor([[0.0, 0.0, 0.01, 0.9]])]), 0.1)
    assert made.two_valued.tolist() == [False] * 4


def test_answers_stay_within_the_bounds():
    physical = fitted().to_physical(torch.tensor([[100.0, -100.0, 0.0, 0.0]]))
    assert physical[0].tolist() == pytest.approx([0.04, -0.04, 0.01, 1.0])
