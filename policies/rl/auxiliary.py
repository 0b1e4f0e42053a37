"""What an encoder learns from besides reward: each objective is a term that is added to the critics' loss, or trained alone first.

A term sees the features of one random view of the batch's observations and makes of them what it needs. ``reaches`` names the
agent's networks that its gradient trains, beside parameters of its own; a test holds each term to it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

import torch
import torch.nn.functional as F
from torch import nn

from policies.data.replay import Batch
from policies.networks.layers import full_precision
from policies.registry import build, parse
from robot.errors import PixelarmError, UnknownName

if TYPE_CHECKING:
    from policies.rl.actor_critic import Agent


# ------------------------------------------------------------------------------------------------------------- the losses
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
    """How far the cross-correlation of two views' embeddings is from the identity (Barlow Twins, arXiv 2103.03230, eq. 1).

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


# -------------------------------------------------------------------------------------------------------------- the terms
class Objective(nn.Module):
    """One term. Its parameters that require a gradient are trained with it; those that do not are averaged copies."""

    reaches: ClassVar[tuple[str, ...]]  # the agent's networks, as attribute paths
    ahead: int = (
        0  # control steps to a later observation of the same episode that the term compares with; 0: needs none
    )
    weight: float

    def other(self, agent: Agent, batch: Batch) -> torch.Tensor:
        """The random view that the term compares with, as the encoder takes it: another one of the same observations."""
        return agent.view(batch["obs"])

    def loss(
        self, agent: Agent, convolved: torch.Tensor, batch: Batch, other: torch.Tensor | None = None
    ) -> torch.Tensor:
        """The term's value, a scalar.

        Args:
            convolved: ``(B, F)``, ``agent.encoder`` of a random view of ``batch["obs"]``, with its gradient.
            batch: as ``Replay.sample`` gives it, with ``ahead_obs`` and ``ahead_valid`` if ``ahead`` is set.
            other: what ``self.other`` drew; None draws it now.
        """
        raise NotImplementedError

    def follow(self, agent: Agent) -> None:
        """After each optimiser step: move the averaged copies."""

    def restart(self, agent: Agent) -> None:
        """After pre-training: averaged copies start from the networks as they are."""


class MomentumObjective(Objective):
    """A term with a key encoder that follows the learning one."""

    def __init__(self, key_rate: float, key_every: int) -> None:
        super().__init__()
        self.key_rate, self.key_every, self._steps = key_rate, key_every, 0

    def query_networks(self, agent: Agent) -> list[nn.Module]:
        """What the key networks are copies of, in the same order as ``self.key``."""
        raise NotImplementedError

    def copy_keys(self, agent: Agent) -> None:
        self.key = nn.ModuleList(copy.deepcopy(network) for network in self.query_networks(agent)).requires_grad_(False)

    @torch.no_grad()
    def follow(self, agent: Agent) -> None:
        self._steps += 1
        if self._steps % self.key_every == 0:
            for key, query in zip(self.key, self.query_networks(agent)):
                torch._foreach_lerp_(list(key.parameters()), list(query.parameters()), self.key_rate)

    def restart(self, agent: Agent) -> None:
        for key, query in zip(self.key, self.query_networks(agent)):
            key.load_state_dict(query.state_dict())

    def get_extra_state(self) -> torch.Tensor:
        return torch.tensor(self._steps)

    def set_extra_state(self, state: torch.Tensor) -> None:
        self._steps = int(state)


class InfoNCE(MomentumObjective):
    """Two views of one observation against the rest of the batch, with a bilinear similarity (CURL, arXiv 2004.04136).

    The query is the encoder with the critics' pixel trunk, as in CURL and FERM (arXiv 2012.07975); W starts uniform in [0, 1).
    """

    reaches = ("encoder", "critics.trunk.pixels")

    def __init__(
        self, agent: Agent, seed: int, weight: float = 1.0, key_rate: float = 0.05, key_every: int = 1
    ) -> None:
        super().__init__(key_rate, key_every)
        self.weight = weight
        size = agent.critics.trunk.pixels[0].out_features
        self.bilinear = nn.Parameter(torch.rand(size, size, generator=torch.Generator().manual_seed(seed)))
        self.copy_keys(agent)

    def query_networks(self, agent: Agent) -> list[nn.Module]:
        return [agent.encoder, agent.critics.trunk.pixels]

    def loss(
        self, agent: Agent, convolved: torch.Tensor, batch: Batch, other: torch.Tensor | None = None
    ) -> torch.Tensor:
        other = self.other(agent, batch) if other is None else other
        query = agent.critics.trunk.pixels(convolved)
        with torch.no_grad():
            key = self.key[1](self.key[0](other))
        with full_precision(query):
            return info_nce(query.float(), key.float(), self.bilinear)


class TemporalInfoNCE(MomentumObjective):
    """An observation against the one ``ahead`` control steps later (ATC, arXiv 2009.08319).

    anchor: c = compress(encoder(o_t)), p = c + MLP(c); positive: c' = the averaged compress(encoder(o_{t + ahead})); similarity
    p W c'. A row whose episode ends before that is no anchor; its key stays a negative.
    """

    reaches = ("encoder",)

    def __init__(
        self,
        agent: Agent,
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
            self.compress = nn.Linear(agent.encoder.size, latent)
            self.predict = nn.Sequential(nn.Linear(latent, hidden), nn.ReLU(), nn.Linear(hidden, latent))
            self.similarity = nn.Linear(latent, latent, bias=False)
        self.to(agent.device)
        self.copy_keys(agent)

    def query_networks(self, agent: Agent) -> list[nn.Module]:
        return [agent.encoder, self.compress]

    def other(self, agent: Agent, batch: Batch) -> torch.Tensor:
        return agent.view(batch["ahead_obs"])

    def loss(
        self, agent: Agent, convolved: torch.Tensor, batch: Batch, other: torch.Tensor | None = None
    ) -> torch.Tensor:
        other = self.other(agent, batch) if other is None else other
        anchor = self.compress(convolved)
        with torch.no_grad():
            positive = self.key[1](self.key[0](other))
        query = self.similarity(anchor + self.predict(anchor))
        with full_precision(query):
            return info_nce(query.float(), positive.float(), valid=batch["ahead_valid"])


class BarlowTwins(Objective):
    """Two views of one observation, each feature alike in both and unlike the other features (arXiv 2103.03230)."""

    reaches = ("encoder",)

    def __init__(
        self,
        agent: Agent,
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
            self.project = nn.Sequential(nn.Linear(agent.encoder.size, hidden), nn.ReLU(), nn.Linear(hidden, size))

    def loss(
        self, agent: Agent, convolved: torch.Tensor, batch: Batch, other: torch.Tensor | None = None
    ) -> torch.Tensor:
        second = agent.encoder(self.other(agent, batch) if other is None else other)
        with full_precision(convolved):
            return barlow_twins(self.project(convolved.float()), self.project(second.float()), self.off_diagonal)


OBJECTIVES: dict[str, Callable[..., Objective]] = {
    "info_nce": InfoNCE,
    "temporal_info_nce": TemporalInfoNCE,
    "barlow_twins": BarlowTwins,
}


def make_objectives(items: list[Any], agent: Agent, seed: int) -> nn.ModuleDict:
    """Objectives by name, on the agent's device. ``items``: as in AgentConfig.objectives; unknown names and options are refused."""
    made = nn.ModuleDict()
    for index, (name, options) in enumerate(parse(items, "objectives")):
        if name not in OBJECTIVES:
            raise UnknownName("objective", name, OBJECTIVES)
        if name in made:
            raise PixelarmError(f"objectives lists {name} twice: a run has each objective once")
        made[name] = build(OBJECTIVES[name], name, "objective", options, skip=2)(agent, seed + index)
    return made.to(agent.device)
