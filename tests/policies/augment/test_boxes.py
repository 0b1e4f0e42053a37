"""Boxes: what lies in them is kept, blackened or coloured; their sides and places are uniform."""

import pytest
import torch
from conftest_augment import generator, images, one

from policies.augment.boxes import random_box


def test_window_keeps_its_share_and_blackens_the_rest():
    source = images(200) // 2 + 1
    out = one("window", share=0.5).train(source, generator())
    kept = out[:, 0] > 0
    assert torch.equal(out, source * kept[:, None])
    assert (kept.sum(dim=(1, 2)) == 36).all()  # 6 x 6 = half of 12, both ways
    first = torch.stack([box.nonzero().amin(dim=0) for box in kept])
    assert torch.equal(first + 5, torch.stack([box.nonzero().amax(dim=0) for box in kept]))  # in one piece
    assert first.unique().tolist() == list(range(7))  # 0 to 6 = 12 - 6


def test_a_box_by_hand():
    """A box as large as the picture leaves one place; one column short of it, two."""
    source = torch.empty(50, 3, 2, 3)
    whole = random_box(source, 2, 3, generator())
    assert whole.shape == (50, 1, 2, 3) and whole.all()
    boxes = random_box(source, torch.full((50,), 1), torch.full((50,), 2), generator())
    found = {tuple(box.flatten().int().tolist()) for box in boxes}
    assert found == {(1, 1, 0, 0, 0, 0), (0, 1, 1, 0, 0, 0), (0, 0, 0, 1, 1, 0), (0, 0, 0, 0, 1, 1)}


def test_cutout_has_rads_sides_on_84_pixels_anywhere_in_the_picture():
    out = one("cutout").train(torch.ones(3000, 1, 84, 84, dtype=torch.uint8), generator())[:, 0]
    rows, columns = (out == 0).any(dim=2), (out == 0).any(dim=1)
    assert torch.equal(out == 0, rows[:, :, None] & columns[:, None, :])  # a box
    heights, widths = rows.sum(dim=1), columns.sum(dim=1)
    for sides in (heights, widths):
        assert (sides.min(), sides.max()) == (10, 30)
        # uniform on 10..30: mean 20, standard deviation sqrt((21**2 - 1) / 12) = 6.06, of the mean of 3000 0.11
        assert sides.float().mean().item() == pytest.approx(20, abs=0.45)
    assert rows[:, 0].any() and rows[:, 83].any() and columns[:, 0].any() and columns[:, 83].any()
    drawn = torch.stack(
        [heights.float(), widths.float(), rows.int().argmax(dim=1).float(), columns.int().argmax(dim=1).float()]
    )
    correlation = torch.corrcoef(drawn)
    # height and width, top and left, height and left: independent, so within 4 / sqrt(3000) = 0.073
    assert all(abs(correlation[i, j]) < 0.073 for i, j in ((0, 1), (2, 3), (0, 3), (1, 2)))


def test_cutout_colour_fills_its_box_with_one_colour():
    source = torch.zeros(200, 6, 20, 20)
    out = one("cutout_colour", smallest=0.25, largest=0.25).train(source, generator())
    for image in out:
        inside = image.amax(dim=0) > 0
        assert inside.sum() == 25  # 5 x 5; black itself would be drawn once in 256^3
        assert len(image[:, inside].unique(dim=1).T) == 1
    colours = out.amax(dim=(2, 3))
    assert torch.equal(colours[:, :3], colours[:, 3:])  # both frames
    # uniform on 0..255: mean 127.5, standard deviation 73.9, of the mean of 600 numbers 3.0
    assert colours[:, :3].mean().item() == pytest.approx(127.5, abs=12)
