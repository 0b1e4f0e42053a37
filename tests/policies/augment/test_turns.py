"""Pictures that turn: flip and rotate."""

import math

import pytest
import torch
from conftest_augment import generator, images, one


def test_rotate_of_two_by_two_by_hand():
    source = torch.tensor([[1, 2], [3, 4]], dtype=torch.uint8).expand(3000, 3, 2, 2)
    out = one("rotate", p=1.0).train(source, generator())[:, 0].flatten(1)
    kinds, counts = out.unique(dim=0, return_counts=True)
    # counter-clockwise by 90: 2 4 / 1 3; by 180: 4 3 / 2 1; by 270: 3 1 / 4 2
    assert kinds.tolist() == [[2, 4, 1, 3], [3, 1, 4, 2], [4, 3, 2, 1]]
    assert (counts - 1000).abs().max() < 4 * math.sqrt(3000 / 3 * 2 / 3)


def test_flip_mirrors_left_and_right():
    assert one("flip", p=1.0).train(torch.tensor([[[[1, 2], [3, 4]]]]), generator()).tolist() == [[[[2, 1], [4, 3]]]]


@pytest.mark.parametrize(("name", "p"), [("flip", 0.2), ("rotate", 0.3), ("grayscale", 0.3)])
def test_the_probability_is_rads_unless_said_otherwise(name, p):
    source = images(1, size=4).expand(4000, -1, -1, -1)
    changed = (one(name).train(source, generator()) != source).flatten(1).any(dim=1)
    assert changed.float().mean().item() == pytest.approx(p, abs=4 * math.sqrt(p * (1 - p) / 4000))


@pytest.mark.parametrize("name", ["flip", "rotate"])
def test_turning_only_reorders_pixels(name):
    out = one(name, p=1.0).train(images(), generator())
    assert torch.equal(out.flatten(2).sort().values, images().flatten(2).sort().values)
