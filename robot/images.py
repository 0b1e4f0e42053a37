"""A camera's picture as a policy sees it: cropped, reduced and turned by one function, in training and on the arm.

The reduction is exact: integer weights, integer sums and one rounding, so that the same picture gives the same bytes on
every machine and with every version of numpy.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

from robot.errors import PixelarmError, UnknownName

EXACT, STRETCH, CENTER = "exact", "stretch", "center"
RESIZES: dict[str, str] = {
    EXACT: "nothing is resized: the picture, or its crop, must have the contract's size",
    STRETCH: "area averages of the whole picture; its proportions change where the contract's differ",
    CENTER: "area averages of the largest centred part that has the contract's proportions",
}
TURNS = (0, 90, 180, 270)  # degrees


@dataclass(frozen=True)
class Fit:
    """How what a camera sends becomes what a policy sees: cropped, then resized, then turned.

    Args:
        size: width and height in pixels of what the camera sends; None: whatever comes.
        crop: left, top, width and height in pixels of the part that is used; None: all of it.
        resize: one of ``RESIZES``.
        rotate: degrees clockwise, one of ``TURNS``.
    """

    size: tuple[int, ...] | None = None
    crop: tuple[int, ...] | None = None
    resize: str = EXACT
    rotate: int = 0

    def __post_init__(self) -> None:
        if self.resize not in RESIZES:
            raise UnknownName("resize", self.resize, RESIZES)
        if self.rotate not in TURNS:
            raise PixelarmError(f"rotate must be one of {', '.join(map(str, TURNS))} degrees, got {self.rotate}")
        if self.size is not None and (len(self.size) != 2 or min(self.size) < 1):
            raise PixelarmError(f"size must be a width and a height in pixels, got {list(self.size)}")
        if self.crop is None:
            return
        if len(self.crop) != 4 or min(self.crop[:2]) < 0 or min(self.crop[2:]) < 1:
            raise PixelarmError(f"crop must be left, top, width and height in pixels, got {list(self.crop)}")
        if self.size is not None:
            self._require_inside(*self.size)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as files hold it."""
        size, crop = (None if numbers is None else list(numbers) for numbers in (self.size, self.crop))
        return {"size": size, "crop": crop, "resize": self.resize, "rotate": self.rotate}

    @property
    def changes(self) -> bool:
        """Is a picture that already has the contract's size changed, or refused?"""
        return self.crop is not None or self.resize != EXACT or self.rotate != 0

    def require(self, height: int, width: int) -> None:
        """Raise PixelarmError, naming the key, where it is known that no picture of a contract's size comes of this."""
        found = self.crop[2:] if self.crop else self.size
        if found is None:
            return
        across, down = self._before_turning(width, height)
        key = "crop" if self.crop else "size"
        have, want = f"{key} of {found[0]}x{found[1]} pixels", f"{across}x{down}"
        turned = f", which is the policy's {width}x{height} before rotate: {self.rotate}" if self.rotate % 180 else ""
        if self.resize == EXACT and found != (across, down):
            raise PixelarmError(f"a {have} is not {want}{turned}; write resize: {STRETCH} or resize: {CENTER}")
        if found[0] < across or found[1] < down:
            raise PixelarmError(f"a {have} is smaller than {want}{turned}, and pictures are only reduced")

    def __call__(self, pixels: np.ndarray, height: int, width: int) -> np.ndarray:
        """What a policy sees of a picture.

        Args:
            pixels: ``(H, W, C)`` uint8 as the camera sent it.
            height, width: of the contract. With resize ``exact`` they are not looked at.

        Returns:
            ``(height, width, C)`` uint8; the very array where nothing is to be done.

        Raises:
            PixelarmError: another size than ``size``, too small a picture, or a crop that does not lie in it.
        """
        part = self._part(pixels)
        if self.resize != EXACT:
            across, down = self._before_turning(width, height)
            part = reduced(centred(part, down, across) if self.resize == CENTER else part, down, across)
        if self.rotate:
            part = np.rot90(part, -self.rotate // 90)
        return part if part is pixels else np.ascontiguousarray(part)

    def _part(self, pixels: np.ndarray) -> np.ndarray:
        height, width = pixels.shape[:2]
        if self.size is not None and (width, height) != self.size:
            raise PixelarmError(
                f"a picture of {width}x{height} pixels came, and the arm's profile says size: {list(self.size)}"
            )
        if self.crop is None:
            return pixels
        self._require_inside(width, height)
        left, top, across, down = self.crop
        return pixels[top : top + down, left : left + across]

    def _require_inside(self, width: int, height: int) -> None:
        assert self.crop is not None
        left, top, across, down = self.crop
        if left + across > width or top + down > height:
            raise PixelarmError(f"crop {list(self.crop)} does not lie in a picture of {width}x{height} pixels")

    def _before_turning(self, width: int, height: int) -> tuple[int, int]:
        """Width and height of what becomes ``width`` x ``height`` when it is turned."""
        return (height, width) if self.rotate % 180 else (width, height)

    # --------------------------------------------------------------------------------------------- of a simulation
    def drawn_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width that a simulated camera is drawn with, upright: of a policy's picture without ``size``."""
        if self.size is None:
            return height, width
        across, down = self._before_turning(*self.size)
        return down, across

    def mounted(self, upright: np.ndarray) -> np.ndarray:
        """What a camera sends that is mounted so that ``rotate`` is needed, of an upright picture."""
        return np.ascontiguousarray(np.rot90(upright, self.rotate // 90)) if self.rotate else upright


AS_IT_COMES = Fit()


def centred(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """The largest centred part of ``(H, W, C)`` with the proportions of ``height`` and ``width``, to the pixel."""
    down, across = pixels.shape[:2]
    if across * height > down * width:
        across = max(1, (2 * down * width + height) // (2 * height))  # rounded half up
    else:
        down = max(1, (2 * across * height + width) // (2 * width))
    top, left = (pixels.shape[0] - down) // 2, (pixels.shape[1] - across) // 2
    return pixels[top : top + down, left : left + across]


def reduced(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Area averages: each pixel is the mean of what it covers, parts of pixels by their share, rounded half up.

    Args:
        pixels: ``(H, W, C)`` uint8, H at least ``height`` and W at least ``width``.

    Returns:
        ``(height, width, C)`` uint8.
    """
    down, across, channels = pixels.shape
    if (down, across) == (height, width):
        return pixels
    if down < height or across < width:
        raise PixelarmError(
            f"a picture of {across}x{down} pixels is smaller than {width}x{height}, and pictures are only reduced"
        )
    # Rows first, since a row is contiguous. Weights are numerators over ``height`` and ``width``: sums are integers
    # below 2**24 after the first pass and below 2**53 after the second, which float32 and float64 hold exactly.
    rows = np.empty((height, across * channels), np.float32)
    for row, (start, stop, shares) in enumerate(_shares(down, height)):
        np.dot(shares, pixels[start:stop].reshape(stop - start, -1).astype(np.float32), out=rows[row])
    columns = rows.reshape(height, across, channels).transpose(1, 0, 2).reshape(across, -1).astype(np.float64)
    sums = np.empty((width, height * channels), np.float64)
    for column, (start, stop, shares) in enumerate(_shares(across, width)):
        np.dot(shares.astype(np.float64), columns[start:stop], out=sums[column])
    total = down * across  # of the weights
    means = (2 * sums.astype(np.int64) + total) // (2 * total)
    return np.ascontiguousarray(means.astype(np.uint8).reshape(width, height, channels).transpose(1, 0, 2))


@functools.lru_cache(maxsize=64)
def _shares(many: int, few: int) -> list[tuple[int, int, np.ndarray]]:
    """For each of ``few`` pixels of a line: the first and last of the ``many`` that it covers, and the share of each in
    units of 1 / ``few`` (they add up to ``many``).
    """
    found = []
    for pixel in range(few):
        low, high = pixel * many, (pixel + 1) * many  # in units of 1 / few
        start, stop = low // few, -(-high // few)
        edges = np.arange(start, stop) * few
        shares = np.minimum(edges + few, high) - np.maximum(edges, low)
        found.append((start, stop, shares.astype(np.float32)))
    return found
