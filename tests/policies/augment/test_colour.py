"""Colours: gray, random convolutions and jitter, beside torchvision and by hand."""

import pytest
import torch
from conftest_augment import generator, images, one
from torchvision.transforms.v2 import functional as vision

from policies.augment.colour import RandomConv, adjust_brightness, adjust_contrast, adjust_hue, adjust_saturation


def test_grayscale_by_hand():
    source = torch.tensor([100, 200, 50], dtype=torch.uint8).view(1, 3, 1, 1)
    out = one("grayscale", p=1.0).train(source, generator())
    # 0.2989 * 100 + 0.587 * 200 + 0.114 * 50 = 29.89 + 117.4 + 5.7 = 152.99, rounded down
    assert out.flatten().tolist() == [152, 152, 152]


def test_random_conv_is_a_convolution_of_each_image_with_weights_of_its_own():
    source = images(6, channels=6)
    out = one("random_conv").train(source, generator(7))
    weights = RandomConv.std * torch.randn(6, 3, 3, 3, 3, generator=generator(7))
    for image, weight, found in zip(source.float(), weights, out):
        expected = torch.nn.functional.conv2d(image.view(2, 3, 12, 12), weight, padding=1).clamp(0, 255)
        assert torch.allclose(found.view(2, 3, 12, 12), expected, atol=1e-3)


def test_random_conv_has_xavier_weights():
    """An impulse of 1 in the middle of one channel shows that channel's taps;
    their variance is 2 / (27 + 27) = 0.037.
    """
    impulse = torch.zeros(2000, 3, 3, 3)
    impulse[:, 0, 1, 1] = 1.0
    out = one("random_conv").train(impulse, generator())
    # the negative half is clipped to 0: of a normal number the mean square of the positive half is half the variance
    assert out.square().mean().item() == pytest.approx(1 / 54, rel=0.05)
    assert (out == 0).float().mean().item() == pytest.approx(0.5, abs=0.01)
    torchs = torch.stack(
        [torch.nn.init.xavier_normal_(torch.empty(3, 3, 3, 3), generator=generator(i)) for i in range(200)]
    )
    assert torchs.std().item() == pytest.approx(RandomConv.std, rel=0.02)  # 16,200 numbers: 0.6 % is one deviation


@pytest.mark.parametrize(
    ("ours", "torchvisions", "low", "high"),
    [
        (adjust_brightness, vision.adjust_brightness, 0.6, 1.4),
        (adjust_contrast, vision.adjust_contrast, 0.6, 1.4),
        (adjust_saturation, vision.adjust_saturation, 0.6, 1.4),
        (adjust_hue, vision.adjust_hue, -0.5, 0.5),
    ],
)
def test_each_change_of_colour_is_torchvisions(ours, torchvisions, low, high):
    """Theirs an image at a time, on floats in 0..1."""
    source = images(20, channels=6).float().view(20, 2, 3, 12, 12)
    source[0] = source[0, :, :1]  # gray: without hue
    factors = torch.linspace(low, high, 20)
    found = ours(source, factors.view(-1, 1, 1, 1, 1))
    expected = torch.stack([torchvisions(image / 255, factor.item()) * 255 for image, factor in zip(source, factors)])
    assert torch.allclose(found, expected, atol=0.01)


def test_hue_by_hand():
    """A third of the circle takes red to green and orange (255, 128, 0) to (0, 255, 128)."""
    source = torch.tensor([[255.0, 0.0, 0.0], [255.0, 128.0, 0.0], [90.0, 90.0, 90.0]]).T.reshape(1, 1, 3, 1, 3)
    out = adjust_hue(source, torch.full((1, 1, 1, 1, 1), 1 / 3)).reshape(3, 3).T
    assert torch.allclose(out, torch.tensor([[0.0, 255.0, 0.0], [0.0, 255.0, 128.0], [90.0, 90.0, 90.0]]), atol=1e-3)


@pytest.mark.parametrize("option", ["brightness", "contrast", "saturation", "hue"])
def test_jitter_applies_what_is_not_zero(option):
    off = dict.fromkeys(("brightness", "contrast", "saturation", "hue"), 0.0)
    source = torch.tensor([120.0, 60.0, 60.0]).view(1, 3, 1, 1).expand(2000, -1, 4, 4)
    out = one("colour_jitter", **(off | {option: 0.4})).train(source, generator())[:, :, 0, 0]
    low, high = out.amin(dim=0), out.amax(dim=0)
    if option == "brightness":  # 0.6 to 1.4 times
        assert torch.allclose(low, torch.tensor([72.0, 36.0, 36.0]), rtol=0.01)
        assert torch.allclose(high, torch.tensor([168.0, 84.0, 84.0]), rtol=0.01)
        assert out[:, 0].mean().item() == pytest.approx(120, rel=0.01)
    elif option == "hue":  # 0.4 either way reaches green (1/3) and blue (-1/3); the largest and the least channel stay
        assert torch.allclose(out.amax(dim=1), torch.tensor(120.0)) and torch.allclose(
            out.amin(dim=1), torch.tensor(60.0)
        )
        assert high.tolist() == pytest.approx([120, 120, 120], abs=1)
    else:  # gray is 0.2989 * 120 + (0.587 + 0.114) * 60 = 77.9; red lies 42.1 above it, times 0.6 to 1.4
        assert (low[0].item(), high[0].item()) == pytest.approx((77.93 + 0.6 * 42.07, 77.93 + 1.4 * 42.07), abs=0.2)
