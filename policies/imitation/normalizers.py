"""Actions between physical units and numbers of about unit spread."""

from __future__ import annotations

import torch
from torch import nn

from robot.contract import Contract

AT_BOUND = 1e-3  # as a share of half the range: an action that is nearer to a bound than this lies on it


class ActionNormalizer(nn.Module):
    """Actions shifted and scaled by the demonstrations' mean and standard deviation.

    Numbers that were only ever at one of their bounds, such as the gripper's -1 and +1, are two-valued. With
    ``classify`` the network's number is the log-odds of the upper bound and is made a bound again, never something
    between; otherwise they are numbers like the others.

    Attributes:
        two_valued: ``(A,)`` bool.
    """

    mean: torch.Tensor
    std: torch.Tensor
    low: torch.Tensor
    high: torch.Tensor
    two_valued: torch.Tensor

    def __init__(self, contract: Contract, classify: bool) -> None:
        super().__init__()
        self.classify = classify
        low, high = torch.tensor(contract.action.low), torch.tensor(contract.action.high)
        self.register_buffer("low", low, persistent=False)
        self.register_buffer("high", high, persistent=False)
        self.register_buffer("mean", (low + high) / 2)
        self.register_buffer("std", (high - low) / 2)
        self.register_buffer("two_valued", torch.zeros(len(low), dtype=torch.bool))

    def fit(self, actions: torch.Tensor, floor: float) -> None:
        """Take the statistics of demonstrated actions ``(N, A)``, N at least 2.

        Args:
            floor: the least standard deviation, as a share of half the range: a number that hardly moved is not blown
                up, and its errors do not outweigh those of the others.
        """
        half = (self.high - self.low) / 2
        at_low, at_high = ((actions - bound).abs() <= AT_BOUND * half for bound in (self.low, self.high))
        if self.classify:
            self.two_valued.copy_((at_low | at_high).all(dim=0))
        self.mean.copy_(actions.mean(dim=0))
        self.std.copy_(torch.maximum(actions.std(dim=0), floor * half))

    def to_network(self, actions: torch.Tensor) -> torch.Tensor:
        """``(..., A)`` in the contract's units to about unit spread; two-valued ones to 0 (low) and 1 (high)."""
        is_high = (actions > (self.low + self.high) / 2).to(actions.dtype)
        return torch.where(self.two_valued, is_high, (actions - self.mean) / self.std)

    def to_physical(self, numbers: torch.Tensor) -> torch.Tensor:
        """``(..., A)`` of a network to the contract's units, within its bounds."""
        bound = torch.where(numbers < 0.0, self.low, self.high)
        scaled = torch.minimum(torch.maximum(self.mean + self.std * numbers, self.low), self.high)
        return torch.where(self.two_valued, bound, scaled)
