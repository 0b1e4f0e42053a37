"""Between physical units and what networks read: proprioception in, actions out."""

from __future__ import annotations

import torch
from torch import nn

from policies.policy import Observation
from robot.contract import Contract


class ActionScale(nn.Module):
    """Between the contract's physical bounds and the networks' [-1, 1]."""

    middle: torch.Tensor
    half_range: torch.Tensor

    def __init__(self, contract: Contract) -> None:
        super().__init__()
        low, high = torch.tensor(contract.action.low), torch.tensor(contract.action.high)
        self.register_buffer("middle", (low + high) / 2, persistent=False)
        self.register_buffer("half_range", (high - low) / 2, persistent=False)

    def to_network(self, action: torch.Tensor) -> torch.Tensor:
        return (action - self.middle) / self.half_range

    def to_physical(self, action: torch.Tensor) -> torch.Tensor:
        return self.middle + self.half_range * action


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
        """``values``: ``(N, size)``, N at least 2. ``least_std`` keeps a coordinate
        that hardly moved from being blown up.
        """
        if values.shape[1] == 0:
            return  # pixels alone
        self.mean.copy_(values.mean(dim=0))
        self.std.copy_(values.std(dim=0).clamp(min=least_std))

    def widen(self, values: torch.Tensor, least_std: float) -> None:
        """Scale coordinates that hardly moved in what was ``fit``, with the same ``least_std``, by other ``values``
        ``(N, size)``. What reads them has seen next to nothing of them; the others stay as they are.
        """
        still = self.std <= least_std * (1.0 + 1e-6)
        self.std.copy_(torch.where(still, values.std(dim=0).clamp(min=least_std), self.std))

    def concatenate(self, observation: Observation) -> torch.Tensor:
        """``(B, size)``; ``(B, 0)`` of a contract without proprioception."""
        parts = [observation[name] for name in self.names]
        if not parts:
            images = next(iter(observation.values()))
            return images.new_zeros((len(images), 0), dtype=torch.float32)
        return torch.cat(parts, dim=1)

    def forward(self, observation: Observation) -> torch.Tensor:
        """Normalised proprioception, ``(B, size)``."""
        return (self.concatenate(observation) - self.mean) / self.std
