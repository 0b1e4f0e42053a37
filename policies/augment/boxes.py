"""Augmentations that hide part of the picture: window, cutout, cutout_colour."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from policies.augment.base import SameSize, check_number
from policies.augment.colour import colours_of
from policies.augment.draws import below
from robot.errors import PixelarmError


@dataclass(frozen=True)
class Window(SameSize):
    """Keep one random window of each image, black elsewhere (RAD's paper, arXiv 2004.14990). Acting sees everything.

    RAD's released code has no window; the share is that of its crop, 84 of 100 pixels.
    """

    share: float = 0.84  # of height and of width

    def __post_init__(self) -> None:
        check_number("window.share", self.share, 0.0, 1.0)

    def train(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        height, width = (round(self.share * n) for n in images.shape[2:])
        # a product keeps the order in memory, as masked_fill does not
        return images * random_box(images, height, width, generator)


@dataclass(frozen=True)
class Cutout(SameSize):
    """Black out one box of each image: height and width drawn apart, each place equally likely, all of it in the
    picture.

    RAD's sides are 10 to 30 pixels of 84 (its code never draws the 30), kept here as shares of the picture's side.
    Departure: there one number is both a box's height and its distance from the top, another its width and its distance
    from the left, so that boxes cover nothing outside rows and columns 10 to 57 of 84.
    """

    smallest: float = 10 / 84  # side of a box, as a share of the picture's
    largest: float = 30 / 84

    def __post_init__(self) -> None:
        check_number("smallest of a cutout", self.smallest, 0.0, 1.0)
        check_number("largest of a cutout", self.largest, 0.0, 1.0)
        if self.smallest > self.largest:
            raise PixelarmError(f"a cutout's smallest side ({self.smallest}) is more than its largest ({self.largest})")

    def train(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        return images * ~self.box(images, generator)

    def box(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """``(B, 1, H, W)`` bool: what to cover."""
        limits = [(round(self.smallest * n), round(self.largest * n)) for n in images.shape[2:]]
        height, width = (low + below(high - low + 1, len(images), generator) for low, high in limits)
        return random_box(images, height, width, generator)


@dataclass(frozen=True)
class CutoutColour(Cutout):
    """As ``Cutout``, the box in one random colour, the same in all frames
    of an image (in RAD each frame has its own).
    """

    def train(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        box = self.box(images, generator)
        frames = colours_of(images, "cutout_colour").shape[1]
        colour = torch.randint(0, 256, (len(images), 3), generator=generator, device=generator.device)
        return torch.where(box, colour.to(images.dtype).repeat(1, frames)[:, :, None, None], images)


def random_box(
    images: torch.Tensor, height: torch.Tensor | int, width: torch.Tensor | int, generator: torch.Generator
) -> torch.Tensor:
    """A box of this height and width, ``(B,)`` or one for all, at a random place inside each image:
    ``(B, 1, H, W)`` bool.
    """
    batch, _, full_height, full_width = images.shape
    rows = _interval(full_height, height, batch, generator)
    columns = _interval(full_width, width, batch, generator)
    return (rows[:, :, None] & columns[:, None, :])[:, None]


def _interval(full: int, length: torch.Tensor | int, batch: int, generator: torch.Generator) -> torch.Tensor:
    """``(batch, full)`` bool, True in one run of ``length`` at a random place."""
    start = below(full - length + 1, batch, generator)
    place = torch.arange(full, device=start.device)
    return (place >= start[:, None]) & (place < (start + length)[:, None])
