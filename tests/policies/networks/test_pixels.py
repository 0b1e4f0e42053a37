"""Pictures to a network's input: the same numbers by both ways, to the bit."""

import pytest
import torch

from policies.networks import pixels


def pictures(channels, dtype, last):
    drawn = torch.randint(0, 256, (2, channels, 5, 7), generator=torch.Generator().manual_seed(channels)).to(dtype)
    return drawn.to(memory_format=torch.channels_last) if last else drawn


@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_cameras_follow_each_other_scaled(monkeypatch, dtype, last):
    images = [pictures(channels, dtype, last) for channels in (3, 9, 1)]
    joined = pixels.join(images)
    assert joined.shape == (2, 13, 5, 7) and joined.is_contiguous(memory_format=torch.channels_last)
    assert torch.allclose(joined, torch.cat(images, dim=1) / 255 - 0.5, atol=1e-6)
    monkeypatch.setattr(pixels, "njit", None)
    assert torch.equal(joined, pixels.join(images))


def test_black_and_white_are_the_ends():
    images = torch.tensor([0, 255], dtype=torch.uint8).view(1, 1, 1, 2)
    assert pixels.join([images, images])[0, 0, 0].tolist() == pytest.approx([-0.5, 0.5])


def test_autocast_chooses_the_type():
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert pixels.join([pictures(3, torch.uint8, True)]).dtype == torch.bfloat16
