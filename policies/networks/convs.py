"""Stacks of convolutions: from pictures ``(B, C, H, W)`` to flat features ``(B, size)``.
Add one: a function and its name here.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torchvision.models.resnet import BasicBlock

from robot.errors import PixelarmError


def compact(channels: int) -> nn.Sequential:
    """Three layers sized for learning on a CPU, strides 4-2-1: 3 million multiply-adds for two cameras of 64 pixels."""
    return _plain(channels, (32, 5, 4, 2), (64, 3, 2, 0), (64, 3, 1, 0))


def tiny(channels: int) -> nn.Sequential:
    """As ``compact`` with fewer filters: a third of its multiply-adds, the first layer's share among them."""
    return _plain(channels, (16, 5, 4, 2), (48, 3, 2, 0), (48, 3, 1, 0))


def nature(channels: int) -> nn.Sequential:
    """The three layers of DQN (Mnih et al. 2015): 8x8 stride 4, 4x4 stride 2, 3x3."""
    return _plain(channels, (32, 8, 4, 0), (64, 4, 2, 0), (64, 3, 1, 0))


def curl(channels: int) -> nn.Sequential:
    """Four 3x3 layers of 32 filters, strides 2-1-1-1: CURL, RAD, FERM, FLARE, DrQ and DrQ-v2."""
    return _plain(channels, (32, 3, 2, 0), (32, 3, 1, 0), (32, 3, 1, 0), (32, 3, 1, 0))


def atc(channels: int) -> nn.Sequential:
    """As ``curl`` with strides 2-2-2-1: ATC (arXiv 2009.08319) in DeepMind Control;
    at 84 pixels 25 times fewer features.
    """
    return _plain(channels, (32, 3, 2, 0), (32, 3, 2, 0), (32, 3, 2, 0), (32, 3, 1, 0))


def rlpd(channels: int) -> nn.Sequential:
    """Four 3x3 layers of stride 2 with 32, 64, 128 and 256 filters: RLPD from pixels (arXiv 2302.02948)."""
    return _plain(channels, (32, 3, 2, 0), (64, 3, 2, 0), (128, 3, 2, 0), (256, 3, 2, 0))


def resnet(channels: int) -> nn.Sequential:
    """A ResNet-10 of a quarter of the width, whose 128 maps, an eighth of the picture's size, each become a keypoint.

    One of torchvision's basic blocks in each of four stages. GroupNorm instead of BatchNorm: no row sees another of its
    batch, and there are no running statistics that a target network would have to average. The last two stages keep the
    size, for the keypoints' sake.
    """
    parts: list[nn.Module] = [nn.Conv2d(channels, 16, 5, stride=2, padding=2, bias=False), _norm(16), nn.ReLU()]
    width = 16
    for wider, stride in ((16, 2), (32, 2), (64, 1), (128, 1)):
        shortcut = nn.Sequential(nn.Conv2d(width, wider, 1, stride=stride, bias=False), _norm(wider))
        parts.append(BasicBlock(width, wider, stride, shortcut, norm_layer=_norm))
        width = wider
    return nn.Sequential(*parts, SpatialSoftmax())


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(channels // 16, channels)


def _plain(channels: int, *layers: tuple[int, int, int, int]) -> nn.Sequential:
    """Convolutions with a ReLU after each. ``layers``: filters, kernel size, stride, padding."""
    parts: list[nn.Module] = []
    for filters, kernel, stride, padding in layers:
        parts += [nn.Conv2d(channels, filters, kernel, stride=stride, padding=padding), nn.ReLU(inplace=True)]
        channels = filters
    return nn.Sequential(*parts, nn.Flatten())


class SpatialSoftmax(nn.Module):
    """Where each map is large: its softmax's mean position, in [-1, 1] from edge to edge (Finn et al. 2016, arXiv
    1509.06113).

    ``(B, F, H, W)`` to ``(B, 2F)``: across, then down. The softmax's temperature is learned and starts at 1.
    """

    def __init__(self) -> None:
        super().__init__()
        self.log_temperature = nn.Parameter(torch.zeros(()))

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        height, width = maps.shape[2:]
        if min(height, width) < 2:
            raise ValueError(f"no position in a map of {height}x{width}")
        share = torch.softmax(maps.flatten(2).float() / self.log_temperature.exp(), dim=2).unflatten(2, (height, width))
        across, down = (torch.linspace(-1.0, 1.0, n, device=maps.device) for n in (width, height))
        return torch.cat([(share.sum(dim=2) * across).sum(dim=2), (share.sum(dim=3) * down).sum(dim=2)], dim=1)


CONVS: dict[str, Callable[[int], nn.Sequential]] = {
    "compact": compact,
    "tiny": tiny,
    "nature": nature,
    "curl": curl,
    "atc": atc,
    "rlpd": rlpd,
    "resnet": resnet,
}


@torch.no_grad()
def feature_size(convs: nn.Sequential, name: str, channels: int, size: tuple[int, int]) -> int:
    """Features that ``convs`` makes of pictures of ``size`` (height, width);
    refused when nothing would be left of them.
    """

    def features(height: int, width: int) -> int:
        return convs(torch.zeros(1, channels, height, width)).shape[1]

    def fits(side: int) -> bool:
        try:
            return features(side, side) > 0
        except (RuntimeError, ValueError):
            return False

    try:
        return features(*size)
    except (RuntimeError, ValueError) as error:
        least = next(filter(fits, range(1, 512)), None)
        if least is None:
            raise  # whatever the size: not for want of pixels
        raise PixelarmError(
            f"the convolutions {name!r} cannot read images of {size[0]}x{size[1]} pixels, the smallest they can is "
            f"{least}x{least}: "
            "raise task.image_size, crop less, or choose others with algo.encoder.convs"
        ) from error
