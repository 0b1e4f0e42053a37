"""Random numbers, one for each image of a batch, drawn on the generator's device."""

from __future__ import annotations

import torch


def uniform(low: float, high: float, count: int, generator: torch.Generator) -> torch.Tensor:
    """``(count,)`` float32 in [low, high)."""
    return low + (high - low) * torch.rand(count, generator=generator, device=generator.device)


def below(bounds: torch.Tensor | int, count: int, generator: torch.Generator) -> torch.Tensor:
    """``(count,)`` int64, each from 0 to below its own bound, which may be a tensor ``(count,)``."""
    return (torch.rand(count, generator=generator, device=generator.device) * bounds).long()


def chosen(p: float, count: int, generator: torch.Generator) -> torch.Tensor:
    """``(count, 1, 1, 1)`` bool, each True with probability ``p``: which images of a batch to change."""
    return (torch.rand(count, generator=generator, device=generator.device) < p).view(-1, 1, 1, 1)
