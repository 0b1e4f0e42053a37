"""Image augmentation, batched on the device, reproducible from a generator.

Images are ``(B, C, H, W)`` uint8, one tensor a camera; each camera gets its own window, and all channels of one image share it.
An augmentation has two sides: ``train`` draws a random view, ``act`` gives the view a policy acts on, in the same geometry.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F

from robot.errors import UnknownName


class Augmentation(Protocol):
    def train(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor: ...

    def act(self, images: torch.Tensor) -> torch.Tensor: ...


@dataclass(frozen=True)
class RandomShift:
    """Move each image by up to ``pixels`` in x and y, repeating its edge (DrQ, arXiv 2004.13649; whole pixels here)."""

    pixels: int

    def train(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        return _random_window(_pad_edges(images, self.pixels), images.shape[2], images.shape[3], generator)

    def act(self, images: torch.Tensor) -> torch.Tensor:
        return images


@dataclass(frozen=True)
class RandomCrop:
    """Cut a window ``2 * pixels`` smaller, at random in training and from the centre in acting, as CURL, RAD and FERM do.

    They cut 84 from a 100-pixel rendering; here the window is enlarged back, so that the network's input keeps the camera's size.
    """

    pixels: int

    def train(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        height, width = images.shape[2:]
        return self._enlarge(
            _random_window(images, height - 2 * self.pixels, width - 2 * self.pixels, generator), height, width
        )

    def act(self, images: torch.Tensor) -> torch.Tensor:
        height, width = images.shape[2:]
        p = self.pixels
        return self._enlarge(images[:, :, p : height - p, p : width - p], height, width)

    @staticmethod
    def _enlarge(images: torch.Tensor, height: int, width: int) -> torch.Tensor:
        return F.interpolate(images.float(), (height, width), mode="bilinear", align_corners=False)


@dataclass(frozen=True)
class NoAugmentation:
    """The ablation."""

    pixels: int = 0

    def train(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        return images

    def act(self, images: torch.Tensor) -> torch.Tensor:
        return images


def _pad_edges(images: torch.Tensor, pixels: int) -> torch.Tensor:
    """Repeat the border outwards; torch's own replicate padding knows no uint8."""
    p, (batch, channels, height, width) = pixels, images.shape
    if p == 0:
        return images
    padded = images.new_empty((batch, height + 2 * p, width + 2 * p, channels)).permute(0, 3, 1, 2)
    padded[:, :, p:-p, p:-p] = images
    padded[:, :, :p, p:-p], padded[:, :, -p:, p:-p] = images[:, :, :1], images[:, :, -1:]
    padded[:, :, :, :p], padded[:, :, :, -p:] = padded[:, :, :, p : p + 1], padded[:, :, :, -p - 1 : -p]
    return padded


def _random_window(images: torch.Tensor, height: int, width: int, generator: torch.Generator) -> torch.Tensor:
    """A ``(height, width)`` window of each image at its own random place."""
    batch, _, full_height, full_width = images.shape
    device = generator.device
    top = torch.randint(0, full_height - height + 1, (batch,), generator=generator, device=device)
    left = torch.randint(0, full_width - width + 1, (batch,), generator=generator, device=device)
    windows = images.permute(0, 2, 3, 1).unfold(1, height, 1).unfold(2, width, 1)  # a view: (B, tops, lefts, C, H, W)
    return windows[torch.arange(batch, device=device), top, left]


AUGMENTATIONS: dict[str, Callable[[int], Augmentation]] = {
    "shift": RandomShift,
    "crop": RandomCrop,
    "none": NoAugmentation,
}


def make_augmentation(name: str, pixels: int) -> Augmentation:
    """An augmentation by name with its window in pixels; an unknown name lists those that exist."""
    if name not in AUGMENTATIONS:
        raise UnknownName("augmentation", name, AUGMENTATIONS)
    return AUGMENTATIONS[name](pixels)
