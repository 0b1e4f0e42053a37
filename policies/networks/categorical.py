"""Values as probabilities over a fixed row of atoms (C51, Bellemare et al. 2017, arXiv 1707.06887), and classes: their
focal loss, and one that is drawn.

Logits and probabilities have the atoms last; ``support`` ``(atoms,)`` holds the atoms' values, evenly spaced.
"""

from __future__ import annotations

import torch


def make_support(low: float, high: float, atoms: int) -> torch.Tensor:
    """Values of the atoms, ``(atoms,)`` float32 from ``low`` to ``high``."""
    return torch.linspace(low, high, atoms)


def expectation(logits: torch.Tensor, support: torch.Tensor) -> torch.Tensor:
    """Mean value ``(...)`` of the distributions of ``logits`` ``(..., atoms)``."""
    return (logits.softmax(dim=-1) * support).sum(dim=-1)


def project(probabilities: torch.Tensor, moved: torch.Tensor, support: torch.Tensor) -> torch.Tensor:
    """Probabilities of atoms that moved, shared between the two atoms of the support on either side of each.

    Args:
        probabilities: ``(B, ..., atoms)``.
        moved: ``(B, atoms)``, the value each atom has now; what lies outside the support counts at its edge.

    Returns:
        ``(B, ..., atoms)``.
    """
    # a matrix product rather than a scatter: as many rows as wanted for each batch row, and the same sums in the same
    # order on a GPU. In full precision whatever the caller's: a target that sums to 0.99 would pull every value down
    with torch.autocast(probabilities.device.type, enabled=False):
        probabilities, moved = probabilities.float(), moved.float().clamp(support[0], support[-1])
        spacing = (support[-1] - support[0]) / (len(support) - 1)
        share = (1.0 - (moved[:, :, None] - support).abs() / spacing).clamp(min=0.0)  # (B, from, to)
        rows = probabilities.reshape(len(probabilities), -1, len(support))
        return (rows @ share).reshape(probabilities.shape)


@torch.no_grad()
def bellman(
    logits: torch.Tensor, support: torch.Tensor, reward: torch.Tensor, discount: torch.Tensor, bonus: torch.Tensor
) -> torch.Tensor:
    """Probabilities ``(B, ..., atoms)`` of ``reward + discount * (value + bonus)``, the value distributed as ``logits``
    say.

    Args:
        logits: ``(B, ..., atoms)``.
        reward, discount, bonus: ``(B,)``.
    """
    moved = reward[:, None] + discount[:, None] * (support + bonus[:, None])
    return project(logits.float().softmax(dim=-1), moved, support)


def cross_entropy(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Nats ``(...)`` from the probabilities ``target`` to the distributions of ``logits``, ``(..., atoms)`` each."""
    return -(target * logits.log_softmax(dim=-1)).sum(dim=-1)


def focal_loss(logits: torch.Tensor, target: torch.Tensor, gamma: float) -> torch.Tensor:
    """-(1 - p)^gamma log p in nats, p the probability of the true class (Lin et al. 2017, arXiv 1708.02002).

    Classes that are told well already weigh less than with the cross-entropy, which it is at ``gamma`` 0.

    Args:
        logits: ``(..., classes)``.
        target: ``(...)`` int64.

    Returns:
        ``(...)``.
    """
    log_p = logits.log_softmax(dim=-1).gather(-1, target[..., None])[..., 0]
    return -((1.0 - log_p.exp()) ** gamma) * log_p


def draw(logits: torch.Tensor) -> torch.Tensor:
    """One class ``(B,)`` int64 of each row of ``logits`` ``(B, classes)``, by its probability, from torch's own
    stream.
    """
    return torch.multinomial(logits.softmax(dim=-1), 1)[:, 0]
