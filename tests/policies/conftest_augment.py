"""Pictures to augment: small ones, the options that show on them, and a generator."""

import torch

from policies.augment import make_augmentation

# every augmentation on pictures of 12 x 12, so that each draw shows
OPTIONS = {
    "shift": {"pixels": 2},
    "crop": {"size": 8},
    "translate": {"size": 16},
    "window": {"share": 0.5},
    "grayscale": {"p": 0.5},
    "cutout": {"smallest": 0.2, "largest": 0.5},
    "cutout_colour": {"smallest": 0.2, "largest": 0.5},
    "flip": {"p": 0.5},
    "rotate": {"p": 0.7},
    "random_conv": {},
    "colour_jitter": {},
}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(batch: int = 16, size: int = 12, channels: int = 3) -> torch.Tensor:
    return torch.randint(0, 256, (batch, channels, size, size), generator=generator(1), dtype=torch.uint8)


def one(name: str, **options: object):
    return make_augmentation([{name: options}])
