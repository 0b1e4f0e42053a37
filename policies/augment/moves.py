"""Augmentations that move the picture: shift, crop, translate.
All cut a window at a random place of something larger.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from policies.augment.base import SameSize, check_pixels
from robot.errors import PixelarmError


@dataclass(frozen=True)
class Shift(SameSize):
    """Move each image by up to ``pixels`` in x and y, repeating its edge (DrQ, arXiv 2004.13649: 4 pixels;
    whole ones here).
    """

    pixels: int = 4

    def __post_init__(self) -> None:
        check_pixels("shift.pixels", self.pixels, 0)

    def train(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        return random_window(_repeat_edges(images, self.pixels), images.shape[2], images.shape[3], generator)


class Crop:
    """Cut a square at random in training and from the centre in acting (CURL, RAD, FERM: 84 pixels of a rendering of
    100).

    Args:
        size: side of the square, in pixels.
        resize: enlarge it to the size of the image again, bilinearly, so that the network reads what the camera
            delivers.
    """

    def __init__(self, size: int = 84, resize: bool = False) -> None:
        check_pixels("crop.size", size, 1)
        self.side, self.resize = size, resize

    def size(self, height: int, width: int) -> tuple[int, int]:
        if self.side > min(height, width):
            raise PixelarmError(
                f"cannot crop {self.side} pixels from pictures of {height} x {width}: "
                "raise task.image_size (CURL renders 100 for crops of 84) or lower crop.size"
            )
        return (height, width) if self.resize else (self.side, self.side)

    def train(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        size = self.size(*images.shape[2:])
        return self._resized(random_window(images, self.side, self.side, generator), size)

    def act(self, images: torch.Tensor) -> torch.Tensor:
        size = self.size(*images.shape[2:])
        top, left = (images.shape[2] - self.side) // 2, (images.shape[3] - self.side) // 2
        return self._resized(images[:, :, top : top + self.side, left : left + self.side], size)

    def _resized(self, images: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        if not self.resize:
            return images
        return F.interpolate(images.float(), size, mode="bilinear", align_corners=False)


class Translate:
    """Put the whole picture somewhere on a black square; in the middle when acting (RAD, FLARE: 100 pixels on 108).

    Their code lets the policy collect experience on another geometry than it learns from; here the two are one.

    Args:
        size: side of the square, in pixels.
    """

    def __init__(self, size: int = 108) -> None:
        check_pixels("translate.size", size, 1)
        self.side = size

    def size(self, height: int, width: int) -> tuple[int, int]:
        if self.side < max(height, width):
            raise PixelarmError(
                f"pictures of {height} x {width} do not fit on a square of {self.side}: "
                "lower task.image_size (RAD puts 100 on 108) or raise translate.size"
            )
        return self.side, self.side

    def train(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        down, right = self._room(images)
        return random_window(F.pad(images, (right, right, down, down)), self.side, self.side, generator)

    def act(self, images: torch.Tensor) -> torch.Tensor:
        down, right = self._room(images)
        return F.pad(images, (right // 2, right - right // 2, down // 2, down - down // 2))

    def _room(self, images: torch.Tensor) -> tuple[int, int]:
        """Rows and columns that stay black."""
        height, width = self.size(*images.shape[2:])
        return height - images.shape[2], width - images.shape[3]


def _repeat_edges(images: torch.Tensor, pixels: int) -> torch.Tensor:
    """Repeat the border outwards; torch's own replicate padding knows no uint8."""
    p, (batch, channels, height, width) = pixels, images.shape
    if p == 0:
        return images
    padded = images.new_empty((batch, height + 2 * p, width + 2 * p, channels)).permute(0, 3, 1, 2)
    padded[:, :, p:-p, p:-p] = images
    padded[:, :, :p, p:-p], padded[:, :, -p:, p:-p] = images[:, :, :1], images[:, :, -1:]
    padded[:, :, :, :p], padded[:, :, :, -p:] = padded[:, :, :, p : p + 1], padded[:, :, :, -p - 1 : -p]
    return padded


def random_window(images: torch.Tensor, height: int, width: int, generator: torch.Generator) -> torch.Tensor:
    """A ``(height, width)`` window of each image at its own random place, in the images' own order in memory.

    Whole rows of windows are copied, each as it lies in memory, which for bytes on a CPU is quicker than an index per
    pixel; nothing is read back from a device.
    """
    batch, channels, full_height, full_width = images.shape
    device = generator.device
    top = torch.randint(0, full_height - height + 1, (batch,), generator=generator, device=device)
    left = torch.randint(0, full_width - width + 1, (batch,), generator=generator, device=device)
    channels_last = channels > 1 and images.stride(1) == 1
    pixel = channels if channels_last else 1  # neighbours in memory that belong together
    planes = channels // pixel
    row = torch.arange(batch * planes, device=device).view(batch, planes, 1) * full_height
    row = row + torch.arange(height, device=device) + top.view(-1, 1, 1)
    starts = (row * full_width + left.view(-1, 1, 1)) * pixel
    memory = (images.permute(0, 2, 3, 1) if channels_last else images).reshape(-1)
    rows = memory.unfold(0, width * pixel, 1).index_select(0, starts.flatten())
    if channels_last:
        return rows.view(batch, height, width, channels).permute(0, 3, 1, 2)
    return rows.view(batch, channels, height, width)
