"""Losses of classes by hand. Distributions over atoms are tested with the critic that has them."""

import math

import pytest
import torch

from policies.networks.categorical import draw, focal_loss


def test_the_focal_loss_by_hand():
    """Three times as likely as the other: p = 3/4, and of the other class 1/4."""
    logits = torch.tensor([[math.log(3.0), 0.0]]).expand(2, 2)
    found = focal_loss(logits, torch.tensor([0, 1]), gamma=2.0)
    assert found.tolist() == pytest.approx([0.25**2 * math.log(4 / 3), 0.75**2 * math.log(4.0)], rel=1e-5)
    plain = focal_loss(logits, torch.tensor([0, 1]), gamma=0.0)
    assert plain.tolist() == pytest.approx([math.log(4 / 3), math.log(4.0)], rel=1e-5)


def test_the_focal_loss_of_a_certain_class_has_a_gradient():
    logits = torch.tensor([[80.0, 0.0]], requires_grad=True)
    focal_loss(logits, torch.tensor([0]), gamma=2.0).sum().backward()
    assert torch.isfinite(logits.grad).all()


def test_classes_are_drawn_by_their_probability():
    """3/4 of 2,000: within four standard deviations, 0.04."""
    torch.manual_seed(0)
    drawn = draw(torch.tensor([[math.log(3.0), 0.0]]).expand(2000, 2))
    assert float((drawn == 0).float().mean()) == pytest.approx(0.75, abs=0.04)
