"""Pictures that move: shift, crop and translate."""

import pytest
import torch
from conftest_augment import generator, images, one


def test_shift_of_two_by_two_by_hand():
    """With one pixel, the window of the picture padded to 4 x 4 has nine places."""
    source = torch.tensor([[1, 2], [3, 4]], dtype=torch.uint8).expand(200, 1, 2, 2)
    found = {tuple(out.flatten().tolist()) for out in one("shift", pixels=1).train(source, generator())}
    # rows: both upper, as they are, both lower; columns likewise
    rows, columns = [(1, 1), (1, 2), (2, 2)], [(0, 0), (0, 1), (1, 1)]
    assert found == {tuple(2 * (r - 1) + c + 1 for r in rs for c in cs) for rs in rows for cs in columns}


def test_shift_takes_its_rows_then_its_columns():
    """A run must see the same draws in every version: batch offsets down, then batch offsets right,
    each 0 to twice the pixels.
    """
    random = generator(5)
    down, right = (torch.randint(0, 7, (16,), generator=random) - 3 for _ in range(2))
    shifted = one("shift", pixels=3).train(images(), generator(5))
    for before, after, dy, dx in zip(images(), shifted, down, right):
        rows, columns = ((torch.arange(12) + d).clamp(0, 11) for d in (dy, dx))
        assert torch.equal(before[:, rows][:, :, columns], after)


def test_crop_is_a_window_of_its_image_and_acting_takes_the_middle():
    source = torch.arange(144, dtype=torch.uint8).view(1, 1, 12, 12)
    crop = one("crop", size=8)
    assert torch.equal(crop.act(source), source[:, :, 2:10, 2:10])
    corners = crop.train(source.expand(400, -1, -1, -1), generator())[:, 0, 0, 0].tolist()
    assert set(corners) == {12 * top + left for top in range(5) for left in range(5)}  # 0 to 4 = 12 - 8, both included
    odd = torch.arange(100, dtype=torch.uint8).view(1, 1, 10, 10)
    assert one("crop", size=7).act(odd)[0, 0, 0, 0] == 11  # (10 - 7) // 2 = 1, as CURL's


def test_crop_with_resize_keeps_the_size_and_its_centre():
    """A constant image stays constant; the centre pixel of an even ramp stays the centre."""
    crop = one("crop", size=8, resize=True)
    assert crop.size(12, 12) == (12, 12)
    flat = torch.full((1, 3, 12, 12), 7, dtype=torch.uint8)
    assert torch.allclose(crop.act(flat), torch.full((1, 3, 12, 12), 7.0))
    ramp = torch.arange(12, dtype=torch.uint8).expand(1, 3, 12, 12)
    # 8 columns 2..9 stretched over 12: the middle of columns 5 and 6 is 5.5 before and after
    assert crop.act(ramp)[0, 0, 0, 5:7].mean().item() == pytest.approx(5.5)


def test_translate_keeps_the_whole_picture_and_acting_puts_it_in_the_middle():
    source = images(400, size=3) // 2 + 1  # nowhere black
    translate = one("translate", size=5)
    moved = translate.train(source, generator())
    assert torch.equal(moved.sum(dim=(1, 2, 3)), source.sum(dim=(1, 2, 3)))
    places = set()
    for before, after in zip(source, moved):
        top, left = after[0].nonzero().amin(dim=0).tolist()
        assert torch.equal(after[:, top : top + 3, left : left + 3], before)
        places.add((top, left))
    assert places == {(top, left) for top in range(3) for left in range(3)}
    middle = translate.act(source)
    assert torch.equal(middle[:, :, 1:4, 1:4], source) and torch.equal(
        middle.sum(dim=(1, 2, 3)), source.sum(dim=(1, 2, 3))
    )
    uneven = one("translate", size=6).act(source)  # 3 rows stay black: 1 above, 2 below
    assert torch.equal(uneven[:, :, 1:4, 1:4], source)
