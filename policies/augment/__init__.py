"""Image augmentation, batched on the device, reproducible from a generator; docs/augmentation.md shows each.

Outsiders may add their own: ``AUGMENTATIONS["mine"] = Mine``, a class with the methods of ``Augmentation`` whose
constructor's arguments are its options.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from policies.augment.base import Augmentation, Composed
from policies.augment.boxes import Cutout, CutoutColour, Window
from policies.augment.colour import ColourJitter, Grayscale, RandomConv
from policies.augment.draws import uniform
from policies.augment.moves import Crop, Shift, Translate
from policies.augment.turns import Flip, Rotate
from policies.registry import build, parse
from robot.errors import PixelarmError, UnknownName

__all__ = ["AUGMENTATIONS", "Augmentation", "make_augmentation", "scale_amplitude"]

AUGMENTATIONS: dict[str, Callable[..., Augmentation]] = {
    "shift": Shift,
    "crop": Crop,
    "translate": Translate,
    "window": Window,
    "grayscale": Grayscale,
    "cutout": Cutout,
    "cutout_colour": CutoutColour,
    "flip": Flip,
    "rotate": Rotate,
    "random_conv": RandomConv,
    "colour_jitter": ColourJitter,
}


def make_augmentation(items: list[Any]) -> Augmentation:
    """The augmentations of a configuration, in order: each ``NAME`` or ``{NAME: {OPTION: VALUE}}``; none leaves images
    alone.

    Raises:
        UnknownName: an augmentation or an option that does not exist; the message lists those that do.
    """
    parts = []
    for name, options in parse(items, "algo.augmentation"):
        if name not in AUGMENTATIONS:
            raise UnknownName("augmentation", name, AUGMENTATIONS)
        parts.append(build(AUGMENTATIONS[name], name, "augmentation", options)())
    return parts[0] if len(parts) == 1 else Composed(parts)


def scale_amplitude(vectors: torch.Tensor, low: float, high: float, generator: torch.Generator) -> torch.Tensor:
    """Every row of ``(B, n)`` times a number of its own from [low, high), which keeps signs:
    RAD's amplitude scaling for states.
    """
    if not 0 <= low <= high:
        raise PixelarmError(f"amplitudes are scaled by [low, high] with 0 <= low <= high, got [{low}, {high}]")
    return vectors * uniform(low, high, len(vectors), generator)[:, None]
