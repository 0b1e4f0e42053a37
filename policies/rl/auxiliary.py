"""What an encoder learns from besides reward: auxiliary losses, added to the critics' loss or trained alone first.

An auxiliary loss gets the networks that learn and the features of one random view of a batch, and compares these with
another view. ``reaches`` names the networks that its gradient trains, beside parameters of its own; a test holds each
loss to it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import nn

from policies.networks.encoder import PixelEncoder
from policies.networks.layers import full_precision
from policies.registry import build, parse
from robot.errors import PixelarmError, UnknownName


# ----------------------------------------------------------------------------------------------------------- the losses
def info_nce(
    query: torch.Tensor, key: torch.Tensor, bilinear: torch.Tensor | None = None, valid: torch.Tensor | None = None
) -> torch.Tensor:
    """Cross-entropy of picking each query's own key among the batch's keys.

    Args:
        query: ``(B, D)``, carries the gradient.
        key: ``(B, D)``, from the momentum encoder; its gradient is stopped here.
        bilinear: ``(D, D)`` learned similarity W; None for the dot product.
        valid: ``(B,)`` bool, queries that count; every key stays a negative for the others.

    Returns:
        The mean loss, a scalar. With all similarities equal it is ln B.
    """
    logits = (query if bilinear is None else query @ bilinear) @ key.detach().T
    logits = logits - logits.max(dim=1, keepdim=True).values.detach()
    own = torch.arange(len(query), device=query.device)
    if valid is None:
        return F.cross_entropy(logits, own)
    weight = valid.to(logits.dtype)
    return (F.cross_entropy(logits, own, reduction="none") * weight).sum() / weight.sum().clamp(min=1.0)


def barlow_twins(first: torch.Tensor, second: torch.Tensor, off_diagonal: float) -> torch.Tensor:
    """How far the cross-correlation of two views' embeddings is from the identity (Barlow Twins, arXiv 2103.03230, eq.
    1).

    Args:
        first, second: ``(B, D)``; both carry gradients. Each dimension is standardised over the batch.
        off_diagonal: lambda, the weight of the redundancy terms.

    Returns:
        ``sum_i (1 - C_ii)^2 + lambda sum_{i != j} C_ij^2``, a scalar; 0 if both views are equal and uncorrelated.
    """
    first, second = (_standardised(z) for z in (first, second))
    correlation = first.T @ second / len(first)
    diagonal = correlation.diagonal()
    off = correlation.square().sum() - diagonal.square().sum()
    return (1.0 - diagonal).square().sum() + off_diagonal * off


def _standardised(z: torch.Tensor) -> torch.Tensor:
    return (z - z.mean(dim=0)) / (z.var(dim=0, unbiased=False) + 1e-5).sqrt()


# ------------------------------------------------------------------------------------------------------------ the terms
class AuxiliaryLoss(nn.Module):
    """One term. Its parameters that require a gradient are trained with it; those that do not are averaged copies.

    ``encoder`` is the network of convolutions that learns, ``trunk`` the critics' pixel trunk on top of it.
    """

    reaches: ClassVar[tuple[str, ...]]  # of "encoder" and "trunk"
    ahead: int = (
        0  # control steps to a later observation of the same episode that it compares with; 0: another view of the same
    )
    weight: float

    def forward(
        self,
        features: torch.Tensor,
        encoder: PixelEncoder,
        trunk: nn.Module,
        other: torch.Tensor,
        valid: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """The term's value, a scalar, without its weight.

        Args:
            features: ``(B, F)``, the encoder's, of a random view of the batch's observations, with their gradient.
            other: ``(B, C, H, W)``, the view that it compares with, as the encoder takes it: of the same observations,
                or of those ``ahead`` steps later.
            valid: ``(B,)`` bool, rows whose episode goes on that far; None: all.
        """
        raise NotImplementedError

    def follow(self, encoder: PixelEncoder, trunk: nn.Module) -> None:
        """After each optimiser step: move the averaged copies."""

    def restart(self, encoder: PixelEncoder, trunk: nn.Module) -> None:
        """After pre-training: averaged copies start from the networks as they are."""


class MomentumLoss(AuxiliaryLoss):
    """A term with key networks that follow the learning ones."""

    key: nn.ModuleList

    def __init__(self, key_rate: float, key_every: int) -> None:
        super().__init__()
        self.key_rate, self.key_every, self._steps = key_rate, key_every, 0

    def query_networks(self, encoder: PixelEncoder, trunk: nn.Module) -> list[nn.Module]:
        """What the key networks are copies of, in the same order as ``self.key``."""
        raise NotImplementedError

    def copy_keys(self, encoder: PixelEncoder, trunk: nn.Module) -> None:
        networks = self.query_networks(encoder, trunk)
        self.key = nn.ModuleList(copy.deepcopy(network) for network in networks).requires_grad_(False)

    def encode_key(self, other: torch.Tensor) -> torch.Tensor:
        """``(B, D)`` of the averaged networks, without a gradient."""
        with torch.no_grad():
            return self.key[1](self.key[0](other))

    @torch.no_grad()
    def follow(self, encoder: PixelEncoder, trunk: nn.Module) -> None:
        self._steps += 1
        if self._steps % self.key_every == 0:
            for key, query in zip(self.key, self.query_networks(encoder, trunk)):
                torch._foreach_lerp_(list(key.parameters()), list(query.parameters()), self.key_rate)

    def restart(self, encoder: PixelEncoder, trunk: nn.Module) -> None:
        for key, query in zip(self.key, self.query_networks(encoder, trunk)):
            key.load_state_dict(query.state_dict())

    def get_extra_state(self) -> torch.Tensor:
        return torch.tensor(self._steps)

    def set_extra_state(self, state: torch.Tensor) -> None:
        self._steps = int(state)


class InfoNCE(MomentumLoss):
    """Two views of one observation against the rest of the batch, with a bilinear similarity (CURL, arXiv 2004.04136).

    The query is the encoder with the critics' pixel trunk, as in CURL and FERM (arXiv 2012.07975); W starts uniform in
    [0, 1).
    """

    reaches = ("encoder", "trunk")

    def __init__(
        self,
        encoder: PixelEncoder,
        trunk: nn.Sequential,
        seed: int,
        weight: float = 1.0,
        key_rate: float = 0.05,
        key_every: int = 1,
    ) -> None:
        super().__init__(key_rate, key_every)
        self.weight = weight
        size = int(trunk[0].out_features)
        self.bilinear = nn.Parameter(torch.rand(size, size, generator=torch.Generator().manual_seed(seed)))
        self.copy_keys(encoder, trunk)

    def query_networks(self, encoder: PixelEncoder, trunk: nn.Module) -> list[nn.Module]:
        return [encoder, trunk]

    def forward(
        self,
        features: torch.Tensor,
        encoder: PixelEncoder,
        trunk: nn.Module,
        other: torch.Tensor,
        valid: torch.Tensor | None = None,
    ) -> torch.Tensor:
        query, key = trunk(features), self.encode_key(other)
        with full_precision(query):
            return info_nce(query.float(), key.float(), self.bilinear)


class TemporalInfoNCE(MomentumLoss):
    """An observation against the one ``ahead`` control steps later (ATC, arXiv 2009.08319).

    anchor: c = compress(encoder(o_t)), p = c + MLP(c); positive: c' = the averaged compress(encoder(o_{t + ahead}));
    similarity p W c'. A row whose episode ends before that is no anchor; its key stays a negative.
    """

    reaches = ("encoder",)

    def __init__(
        self,
        encoder: PixelEncoder,
        trunk: nn.Module,
        seed: int,
        weight: float = 1.0,
        ahead: int = 1,
        latent: int = 128,
        hidden: int = 512,
        key_rate: float = 0.01,
        key_every: int = 1,
    ) -> None:
        super().__init__(key_rate, key_every)
        self.weight, self.ahead = weight, ahead
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.compress = nn.Linear(encoder.size, latent)
            self.predict = nn.Sequential(nn.Linear(latent, hidden), nn.ReLU(), nn.Linear(hidden, latent))
            self.similarity = nn.Linear(latent, latent, bias=False)
        self.to(next(encoder.parameters()).device)
        self.copy_keys(encoder, trunk)

    def query_networks(self, encoder: PixelEncoder, trunk: nn.Module) -> list[nn.Module]:
        return [encoder, self.compress]

    def forward(
        self,
        features: torch.Tensor,
        encoder: PixelEncoder,
        trunk: nn.Module,
        other: torch.Tensor,
        valid: torch.Tensor | None = None,
    ) -> torch.Tensor:
        anchor, positive = self.compress(features), self.encode_key(other)
        query = self.similarity(anchor + self.predict(anchor))
        with full_precision(query):
            return info_nce(query.float(), positive.float(), valid=valid)


class BarlowTwins(AuxiliaryLoss):
    """Two views of one observation, each feature alike in both and unlike the other features (arXiv 2103.03230)."""

    reaches = ("encoder",)

    def __init__(
        self,
        encoder: PixelEncoder,
        trunk: nn.Module,
        seed: int,
        weight: float = 0.02,
        hidden: int = 512,
        size: int = 256,
        off_diagonal: float = 0.005,
    ) -> None:
        super().__init__()
        self.weight, self.off_diagonal = weight, off_diagonal
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.project = nn.Sequential(nn.Linear(encoder.size, hidden), nn.ReLU(), nn.Linear(hidden, size))

    def forward(
        self,
        features: torch.Tensor,
        encoder: PixelEncoder,
        trunk: nn.Module,
        other: torch.Tensor,
        valid: torch.Tensor | None = None,
    ) -> torch.Tensor:
        second = encoder(other)
        with full_precision(features):
            return barlow_twins(self.project(features.float()), self.project(second.float()), self.off_diagonal)


AUXILIARY_LOSSES: dict[str, Callable[..., AuxiliaryLoss]] = {
    "info_nce": InfoNCE,
    "temporal_info_nce": TemporalInfoNCE,
    "barlow_twins": BarlowTwins,
}


def make_auxiliary(items: list[Any], encoder: PixelEncoder, trunk: nn.Module, seed: int) -> nn.ModuleDict:
    """Auxiliary losses by name, on the encoder's device.

    Args:
        items: NAME or {NAME: {OPTION: VALUE}} each; unknown names and options are refused.
        trunk: the critics' pixel trunk.
    """
    made = nn.ModuleDict()
    for index, (name, options) in enumerate(parse(items, "auxiliary losses")):
        if name not in AUXILIARY_LOSSES:
            raise UnknownName("auxiliary loss", name, AUXILIARY_LOSSES)
        if name in made:
            raise PixelarmError(f"auxiliary losses list {name} twice: a run has each once")
        loss = build(AUXILIARY_LOSSES[name], name, "auxiliary loss", options, skip=3)
        made[name] = loss(encoder, trunk, seed + index)
    return made.to(next(encoder.parameters()).device)


def steps_ahead(losses: list[AuxiliaryLoss]) -> int:
    """How far these losses look ahead, in control steps; 0: not at all. They must look equally far."""
    found = {loss.ahead for loss in losses if loss.ahead}
    if len(found) > 1:
        raise PixelarmError(
            f"auxiliary losses that look ahead must look equally far, got {sorted(found)} control steps"
        )
    return max(found, default=0)
