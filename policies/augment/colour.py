"""Augmentations of colours: grayscale, random_conv, colour_jitter. Every frame of an image gets the same draw.

torchvision draws once for a whole batch; here each image has a draw of its own, so only what draws nothing is
torchvision's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torchvision.transforms.v2 import functional as vision

from policies.augment.base import SameSize, check_number
from policies.augment.draws import chosen, uniform
from robot.errors import PixelarmError


@dataclass(frozen=True)
class Grayscale(SameSize):
    """Take the colour from an image with probability ``p`` (RAD, arXiv 2004.14990); of uint8 rounded down, as there."""

    p: float = 0.3

    def __post_init__(self) -> None:
        check_number("grayscale.p", self.p, 0.0, 1.0)

    def train(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        gray = vision.rgb_to_grayscale(colours_of(images, "grayscale"), num_output_channels=3).flatten(1, 2)
        return torch.where(chosen(self.p, len(images), generator), gray, images)


class RandomConv(SameSize):
    """Every image through a fresh 3 x 3 convolution from colours to colours, Xavier-normal weights, no bias, zero
    border (RAD).

    Departure: values that leave 0..255 are clipped; RAD hands them on.
    """

    std = math.sqrt(2 / (27 + 27))  # Xavier: 3 channels x 3 x 3 taps go in, as many come out

    def train(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        colours = colours_of(images, "random_conv").float()
        batch, frames, _, height, width = colours.shape
        weight = self.std * torch.randn(batch, 3, 3, 3, 3, generator=generator, device=generator.device)
        weight = weight[:, None].expand(-1, frames, -1, -1, -1, -1).reshape(-1, 3, 3, 3)
        mixed = F.conv2d(colours.reshape(1, -1, height, width), weight, padding=1, groups=batch * frames)
        return mixed.view(batch, -1, height, width).clamp(0, 255)


@dataclass(frozen=True)
class ColourJitter(SameSize):
    """Change brightness, contrast, saturation and hue of every image, as torchvision's ColorJitter does, with RAD's
    ranges.

    Factors lie within 1 - x and 1 + x, hue within a share of -x and x of the colour circle. Departures: torchvision
    shuffles the order of the four, RAD applies contrast first or last; here it is always that of the names. RAD
    measures contrast from the mean of each channel and turns hue by 255/360 of its draw.
    """

    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.4
    hue: float = 0.5

    def __post_init__(self) -> None:
        for name in ("brightness", "contrast", "saturation"):
            check_number(f"colour_jitter.{name}", getattr(self, name), 0.0, 1.0)
        check_number("colour_jitter.hue", self.hue, 0.0, 0.5)

    def train(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        colours = (
            colours_of(images, "colour_jitter").float().contiguous()
        )  # whole planes: means and grays take a fraction of the time
        for change, middle, reach in (
            (adjust_brightness, 1.0, self.brightness),
            (adjust_contrast, 1.0, self.contrast),
            (adjust_saturation, 1.0, self.saturation),
            (adjust_hue, 0.0, self.hue),
        ):
            if reach:
                factor = uniform(middle - reach, middle + reach, len(images), generator)
                colours = change(colours, factor.view(-1, 1, 1, 1, 1))
        return colours.flatten(1, 2)


def adjust_brightness(colours: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """Colours ``(B, frames, 3, H, W)`` float in 0..255, as in the other three; ``factor`` is 1 for no change."""
    return (colours * factor).clamp(0, 255)


def adjust_contrast(colours: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """Away from the frame's mean gray where ``factor`` is above 1, towards it below."""
    mean = vision.rgb_to_grayscale(colours).mean(dim=(-3, -2, -1), keepdim=True)
    return mean.lerp(colours, factor).clamp(0, 255)


def adjust_saturation(colours: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """Away from each pixel's gray where ``factor`` is above 1, towards it below."""
    return vision.rgb_to_grayscale(colours).lerp(colours, factor).clamp(0, 255)


def adjust_hue(colours: torch.Tensor, turn: torch.Tensor) -> torch.Tensor:
    """Around the colour circle by ``turn`` of it, saturation and value in HSV kept.

    The hue h is counted in sixths: 0 red, 2 green, 4 blue. Between the least channel and the largest, red lies at the
    share |h - 3| - 1, green at 2 - |h - 2|, blue at 2 - |h - 4|, each within 0..1.
    """
    red, green, blue = colours.unbind(-3)
    low, high = colours.aminmax(dim=-3)
    chroma = high - low
    divisor = torch.where(chroma > 0, chroma, 1.0)  # gray has no hue; any will do
    hue = torch.where(high == green, 2 + (blue - red) / divisor, 4 + (red - green) / divisor)
    hue = torch.where(high == red, (green - blue) / divisor, hue)
    hue = (hue + 6 * turn.squeeze(-3)).remainder(6)
    shares = ((hue - 3).abs() - 1, 2 - (hue - 2).abs(), 2 - (hue - 4).abs())
    return torch.stack([low + chroma * share.clamp(0, 1) for share in shares], dim=-3)


def colours_of(images: torch.Tensor, what: str) -> torch.Tensor:
    """Images ``(B, 3 * frames, H, W)`` as ``(B, frames, 3, H, W)``, for the augmentation ``what``."""
    if images.shape[1] % 3:
        raise PixelarmError(
            f"{what} needs red, green and blue in every frame, got images of {images.shape[1]} channel(s)"
        )
    return images.unflatten(1, (-1, 3))
