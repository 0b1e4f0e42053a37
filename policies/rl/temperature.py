"""The weight of entropy in soft actor-critic, learned (arXiv 1812.05905, section 5)."""

from __future__ import annotations

import math

import torch
from torch import nn

from policies.rl.actors import Entropy


class Temperature(nn.Module):
    """alpha, as the exponential of a parameter.

    Args:
        entropy: its start and its target, nats an action dimension.
        dimensions: of an action.
    """

    def __init__(self, entropy: Entropy, dimensions: int) -> None:
        super().__init__()
        self.log_alpha = nn.Parameter(torch.tensor(float(math.log(entropy.temperature))))
        self.target_entropy = entropy.target_entropy * dimensions

    @property
    def alpha(self) -> torch.Tensor:
        return self.log_alpha.exp()

    def loss(self, log_prob: torch.Tensor) -> torch.Tensor:
        """Its gradient is alpha (entropy - target entropy). ``log_prob``: ``(B,)``, without a gradient."""
        return -(self.alpha * (log_prob + self.target_entropy)).mean()
