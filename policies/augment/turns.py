"""Augmentations that mirror or turn the picture: flip, rotate. A robot's actions are not mirrored or turned with it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torchvision.transforms.v2 import functional as vision

from policies.augment.base import SameSize, check_number
from policies.augment.draws import below, chosen
from robot.errors import PixelarmError


@dataclass(frozen=True)
class Flip(SameSize):
    """Swap left and right of an image with probability ``p`` (RAD, arXiv 2004.14990)."""

    p: float = 0.2

    def __post_init__(self) -> None:
        check_number("flip.p", self.p, 0.0, 1.0)

    def train(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        return torch.where(chosen(self.p, len(images), generator), vision.horizontal_flip(images), images)


@dataclass(frozen=True)
class Rotate(SameSize):
    """Turn an image by 90, 180 or 270 degrees, equally likely, with probability ``p`` (RAD, arXiv 2004.14990)."""

    p: float = 0.3

    def __post_init__(self) -> None:
        check_number("rotate.p", self.p, 0.0, 1.0)

    def size(self, height: int, width: int) -> tuple[int, int]:
        if height != width:
            raise PixelarmError(
                f"rotate needs square pictures, got {height} x {width}: crop them first, or leave it out"
            )
        return height, width

    def train(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        self.size(*images.shape[2:])
        batch, channels, side, _ = images.shape
        turned = chosen(self.p, batch, generator).flatten()
        quarters = turned * (1 + below(3, batch, generator))  # counter-clockwise, 0 to 3
        place = torch.arange(side * side, device=images.device).view(side, side)  # of each pixel in its image
        sources = torch.stack([place.rot90(k) for k in range(4)])[quarters]
        sources = sources + side * side * torch.arange(batch, device=images.device).view(-1, 1, 1)
        pixels = images.permute(0, 2, 3, 1).reshape(-1, channels)[sources.flatten()]
        return pixels.view(batch, side, side, channels).permute(0, 3, 1, 2)
