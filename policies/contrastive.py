"""InfoNCE between two views of one observation, with a bilinear similarity and a momentum key encoder (CURL, arXiv 2004.04136).

FERM (arXiv 2012.07975) runs it alone, on the demonstrations, before any reinforcement learning.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F


def info_nce(query: torch.Tensor, key: torch.Tensor, bilinear: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of picking each query's own key among the batch's keys.

    Args:
        query: ``(B, D)``, carries the gradient.
        key: ``(B, D)``, from the momentum encoder; its gradient is stopped here.
        bilinear: ``(D, D)`` learned similarity W.

    Returns:
        The mean loss, a scalar. With all similarities equal it is ln B.
    """
    logits = query @ bilinear @ key.detach().T
    logits = logits - logits.max(dim=1, keepdim=True).values.detach()
    return F.cross_entropy(logits, torch.arange(len(query), device=query.device))
