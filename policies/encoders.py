"""From a dictionary of observations to one feature vector."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from robot.contract import Contract
from robot.errors import UnknownName

Observation = dict[str, torch.Tensor]


def compact_convs(channels: int) -> nn.Sequential:
    """Three layers that read a 64-pixel image in 0.4 GFLOP: sized for learning on a CPU (strides 4-2-1)."""
    return nn.Sequential(
        nn.Conv2d(channels, 32, 5, stride=4, padding=2), nn.ReLU(), nn.Conv2d(32, 64, 3, stride=2), nn.ReLU(),
        nn.Conv2d(64, 64, 3), nn.ReLU(), nn.Flatten(),
    )  # fmt: skip


def nature_convs(channels: int) -> nn.Sequential:
    """The three layers of DQN (Mnih et al. 2015): 8x8 stride 4, 4x4 stride 2, 3x3."""
    return nn.Sequential(
        nn.Conv2d(channels, 32, 8, stride=4), nn.ReLU(), nn.Conv2d(32, 64, 4, stride=2), nn.ReLU(),
        nn.Conv2d(64, 64, 3), nn.ReLU(), nn.Flatten(),
    )  # fmt: skip


def ferm_convs(channels: int) -> nn.Sequential:
    """Four 3x3 layers of 32 filters, strides 2-1-1-1, as CURL, RAD and FERM have them."""
    return nn.Sequential(
        nn.Conv2d(channels, 32, 3, stride=2), nn.ReLU(), nn.Conv2d(32, 32, 3), nn.ReLU(),
        nn.Conv2d(32, 32, 3), nn.ReLU(), nn.Conv2d(32, 32, 3), nn.ReLU(), nn.Flatten(),
    )  # fmt: skip


CONVS: dict[str, Callable[[int], nn.Sequential]] = {
    "compact": compact_convs,
    "nature": nature_convs,
    "ferm": ferm_convs,
}


class PixelEncoder(nn.Module):
    """All cameras stacked by channel through one convolutional network: ``(B, C, H, W)`` each to ``(B, size)``."""

    def __init__(self, contract: Contract, convs: str) -> None:
        super().__init__()
        if convs not in CONVS:
            raise UnknownName("encoder", convs, CONVS)
        sizes = {(c.height, c.width) for c in contract.cameras}
        if len(sizes) != 1:
            raise ValueError(f"cameras that are stacked must be of one size, got {sorted(sizes)}")
        self.cameras = [c.name for c in contract.cameras]
        channels = contract.history * sum(c.channels for c in contract.cameras)
        self.convs = CONVS[convs](channels)
        with torch.no_grad():
            self.size = self.convs(torch.zeros(1, channels, *sizes.pop())).shape[1]

    def stack(self, observation: Observation) -> torch.Tensor:
        """The network's input: cameras stacked by channel, ``(B, channels, H, W)`` float32 in [-0.5, 0.5]."""
        # in place, because these passes over the pixels cost as much as a layer
        images = torch.cat([observation[name] for name in self.cameras], dim=1).to(torch.float32, copy=True)
        return images.mul_(1.0 / 255.0).sub_(0.5).contiguous(memory_format=torch.channels_last)

    def forward(self, stacked: torch.Tensor) -> torch.Tensor:
        """``(B, channels, H, W)`` from ``stack`` to ``(B, size)``."""
        return self.convs(stacked)


class Trunk(nn.Module):
    """Convolutional features and normalised proprioception to one vector: linear, LayerNorm, tanh (DrQ-v2's trunk) for each."""

    def __init__(self, contract: Contract, conv_size: int, feature_size: int = 64, proprio_size: int = 32) -> None:
        super().__init__()
        self.proprio = [p.name for p in contract.proprio]
        inputs = contract.history * sum(p.size for p in contract.proprio)
        self.pixels = nn.Sequential(nn.Linear(conv_size, feature_size), nn.LayerNorm(feature_size), nn.Tanh())
        self.state = (
            nn.Sequential(nn.Linear(inputs, proprio_size), nn.LayerNorm(proprio_size), nn.Tanh()) if inputs else None
        )
        self.size = feature_size + (proprio_size if inputs else 0)

    def forward(self, convolved: torch.Tensor, proprio: torch.Tensor) -> torch.Tensor:
        pixels = self.pixels(convolved)
        return pixels if self.state is None else torch.cat([pixels, self.state(proprio)], dim=1)


class ProprioNormalizer(nn.Module):
    """Concatenated proprioception, shifted and scaled by the demonstrations' mean and standard deviation."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, contract: Contract) -> None:
        super().__init__()
        self.names = [p.name for p in contract.proprio]
        size = contract.history * sum(p.size for p in contract.proprio)
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("std", torch.ones(size))

    def fit(self, values: torch.Tensor, least_std: float = 0.01) -> None:
        """``values``: ``(N, size)``. ``least_std`` keeps a coordinate that hardly moved from being blown up."""
        self.mean.copy_(values.mean(dim=0))
        self.std.copy_(values.std(dim=0).clamp(min=least_std))

    def concatenate(self, observation: Observation) -> torch.Tensor:
        parts = [observation[name] for name in self.names]
        return (
            torch.cat(parts, dim=1)
            if parts
            else next(iter(observation.values())).new_zeros((1, 0), dtype=torch.float32)
        )

    def forward(self, observation: Observation) -> torch.Tensor:
        return (self.concatenate(observation) - self.mean) / self.std


def mlp(inputs: int, hidden: int, outputs: int, layer_norm: bool = False) -> nn.Sequential:
    """Two hidden ReLU layers; with ``layer_norm``, LayerNorm before each ReLU (RLPD's critic)."""
    layers: list[nn.Module] = []
    for width_in in (inputs, hidden):
        layers += [nn.Linear(width_in, hidden), *([nn.LayerNorm(hidden)] if layer_norm else []), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(hidden, outputs))
