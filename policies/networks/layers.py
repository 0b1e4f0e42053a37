"""What several networks are made of: the plain multi-layer perceptron, and how weights start."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from robot.errors import UnknownName


def mlp(inputs: int, hidden: int, outputs: int, layers: int = 2, layer_norm: bool = False) -> nn.Sequential:
    """``layers`` hidden ReLU layers; with ``layer_norm``, LayerNorm before each ReLU (RLPD's critic,
    arXiv 2302.02948).
    """
    parts: list[nn.Module] = []
    for width in (inputs, *[hidden] * (layers - 1)):
        parts += [nn.Linear(width, hidden), *([nn.LayerNorm(hidden)] if layer_norm else []), nn.ReLU()]
    return nn.Sequential(*parts, nn.Linear(hidden, outputs))


@torch.no_grad()
def zero(layer: nn.Linear) -> nn.Linear:
    """The layer, whose every answer is 0 until it learns another."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def full_precision(values: torch.Tensor) -> torch.autocast:
    """A context in which layers compute in float32 whatever ``trainer.precision`` says:
    the heads, small and read as numbers.
    """
    return torch.autocast(values.device.type, enabled=False)


@torch.no_grad()
def orthogonal(network: nn.Module) -> None:
    """Linear layers orthogonal, convolutions delta-orthogonal (arXiv 1806.05393), biases zero: CURL, RAD, FERM and
    FLARE.

    Delta-orthogonal: only the middle tap of a kernel is not zero, and it is orthogonal, times ReLU's gain of sqrt(2).
    Of a kernel of even size the tap after the middle counts as it.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            tap = torch.empty(layer.out_channels, layer.in_channels)
            nn.init.orthogonal_(tap, gain=nn.init.calculate_gain("relu"))
            nn.init.zeros_(layer.weight)
            height, width = layer.kernel_size
            layer.weight[:, :, height // 2, width // 2] = tap
        elif isinstance(layer, nn.Linear):
            nn.init.orthogonal_(layer.weight)
        if isinstance(layer, nn.Conv2d | nn.Linear) and layer.bias is not None:
            nn.init.zeros_(layer.bias)


INITS: dict[str, Callable[[nn.Module], None]] = {
    "default": lambda network: None,  # as torch makes them
    "orthogonal": orthogonal,
}


def initialise(network: nn.Module, init: str) -> None:
    """Start the weights of a new network as ``init`` says, one of ``INITS``."""
    if init not in INITS:
        raise UnknownName("initialisation (algo.encoder.init)", init, INITS)
    INITS[init](network)
