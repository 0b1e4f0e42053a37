"""Networks that follow others: targets, momentum encoders and the averaged policy.
All are soft updates (Polyak averaging).
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import nn

M = TypeVar("M", bound=nn.Module)


@dataclass(frozen=True)
class _Pair:
    online: nn.Module
    target: nn.Module
    rate: float
    every: int  # updates
    apart: str  # name of a submodule that another pair moves


class Averages:
    """Every network of an agent that follows another one."""

    def __init__(self) -> None:
        self._pairs: list[_Pair] = []
        self._copies: list[tuple[nn.Module, nn.Module]] = []

    def copy(self, online: M, rate: float, every: int = 1, apart: str = "") -> M:
        """A frozen copy that follows ``online`` by ``rate`` every so many updates, but for its submodule ``apart``."""
        target = copy.deepcopy(online).requires_grad_(False)
        self._copies.append((online, target))
        self.add(online, target, rate, every, apart)
        return target

    def add(self, online: nn.Module, target: nn.Module, rate: float, every: int = 1, apart: str = "") -> None:
        """Let an existing copy follow."""
        self._pairs.append(_Pair(online, target, rate, every, apart))

    def follow(self, updates: int) -> None:
        """Move everything whose turn it is after so many updates."""
        for pair in self._pairs:
            if updates % pair.every == 0:
                soft_update(pair.online, pair.target, pair.rate, pair.apart)

    def restart(self) -> None:
        """Set every copy equal to its original, after pre-training."""
        for online, target in self._copies:
            target.load_state_dict(online.state_dict())


@torch.no_grad()
def soft_update(online: nn.Module, target: nn.Module, rate: float, apart: str = "") -> None:
    """``target`` moves by ``rate`` of the way to ``online``; its submodule named ``apart`` stays."""
    pairs = [
        (old, new)
        for (name, old), new in zip(target.named_parameters(), online.parameters())
        if not (apart and name.startswith(f"{apart}."))
    ]
    torch._foreach_lerp_([old for old, _ in pairs], [new for _, new in pairs], rate)
