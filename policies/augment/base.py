"""What an augmentation is, how several follow each other, and what is asked of their options."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from robot.errors import PixelarmError


class Augmentation(Protocol):
    """Two sides of one change to images: ``train`` draws it at random, ``act`` gives what a policy acts on, in the same
    geometry.

    Images are ``(B, C, H, W)``, uint8 or float in 0..255, all frames of one camera by channel, ``C = 3 * frames`` where
    colours matter. Each image of the batch gets a draw of its own, and all its channels share it. How much a call takes
    from the generator depends on shapes alone, so that the same state draws the same change for an observation and for
    its successor; nothing is read back from the device.
    """

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width after it, in pixels, of images before it; refuses those it cannot take."""
        ...

    def train(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """A random view, still in 0..255, uint8 or float32. ``generator`` lives on the images' device."""
        ...

    def act(self, images: torch.Tensor) -> torch.Tensor:
        """The view a policy acts on: deterministic, and plain enough to be exported to ONNX."""
        ...


class SameSize:
    """For augmentations that keep the size and the place of things: a policy acts on the image itself."""

    def size(self, height: int, width: int) -> tuple[int, int]:
        return height, width

    def act(self, images: torch.Tensor) -> torch.Tensor:
        return images


@dataclass(frozen=True)
class Composed:
    """One augmentation after the other; of none, the image itself."""

    parts: Sequence[Augmentation]

    def size(self, height: int, width: int) -> tuple[int, int]:
        for part in self.parts:
            height, width = part.size(height, width)
        return height, width

    def train(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        for part in self.parts:
            images = part.train(images, generator)
        return images

    def act(self, images: torch.Tensor) -> torch.Tensor:
        for part in self.parts:
            images = part.act(images)
        return images


def check_pixels(option: str, value: Any, least: int) -> None:
    """Refuse what is not a whole number of at least ``least`` pixels."""
    if type(value) is not int or value < least:
        raise PixelarmError(f"augmentation option {option} is a whole number of pixels, {least} or more, got {value!r}")


def check_number(option: str, value: Any, low: float, high: float) -> None:
    """Refuse what is not a number from ``low`` to ``high``."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise PixelarmError(f"augmentation option {option} is a number from {low:g} to {high:g}, got {value!r}")
