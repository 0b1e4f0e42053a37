"""Augmentations do what their names say, to whole images, and repeat under the same generator."""

import pytest
import torch

from policies.augment import AUGMENTATIONS, make_augmentation
from robot.errors import UnknownName


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(batch: int = 16, size: int = 12) -> torch.Tensor:
    return torch.randint(0, 256, (batch, 3, size, size), generator=generator(1), dtype=torch.uint8)


@pytest.mark.parametrize("name", sorted(AUGMENTATIONS))
def test_shape_is_kept_and_a_generator_repeats(name):
    augmentation = make_augmentation(name, 2)
    first, again = augmentation.train(images(), generator()), augmentation.train(images(), generator())
    assert first.shape == images().shape and torch.equal(first, again)
    assert augmentation.act(images()).shape == images().shape


def test_shift_moves_the_whole_image_and_repeats_its_edge():
    """Every result must be one of the 25 shifts of its own input, all channels alike, and not always the same one."""
    source, pixels = images(), 2
    shifted = make_augmentation("shift", pixels).train(source, generator())
    offsets = set()
    for before, after in zip(source, shifted):
        found = []
        for dy in range(-pixels, pixels + 1):
            for dx in range(-pixels, pixels + 1):
                rows = (torch.arange(12) + dy).clamp(0, 11)
                columns = (torch.arange(12) + dx).clamp(0, 11)
                if torch.equal(before[:, rows][:, :, columns], after):
                    found.append((dy, dx))
        assert len(found) == 1
        offsets.add(found[0])
    assert len(offsets) > 5


def test_acting_sees_the_unshifted_image():
    assert torch.equal(make_augmentation("shift", 3).act(images()), images())


def test_crop_acts_on_the_centre_in_the_same_geometry():
    """A constant image stays constant; the centre pixel of an even ramp stays the centre."""
    crop = make_augmentation("crop", 2)
    flat = torch.full((1, 3, 12, 12), 7, dtype=torch.uint8)
    assert torch.allclose(crop.act(flat), torch.full((1, 3, 12, 12), 7.0))
    ramp = torch.arange(12, dtype=torch.uint8).expand(1, 3, 12, 12)
    # 8 columns 2..9 stretched over 12: the middle of columns 5 and 6 is 5.5 before and after
    assert crop.act(ramp)[0, 0, 0, 5:7].mean().item() == pytest.approx(5.5)


def test_an_unknown_augmentation_names_the_known_ones():
    with pytest.raises(UnknownName, match="augmentation 'blur'.*crop.*none.*shift"):
        make_augmentation("blur", 1)
