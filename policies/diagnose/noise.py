"""How much an agent explores in each dimension of its action."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from policies.policy import Observation
from policies.schedules import schedule

DRAWS = 32  # of each frame, for the entropy of a squashed Gaussian, which has no closed form


@dataclass(frozen=True)
class Dimension:
    """Exploration in one dimension of the action, a mean over frames.

    Attributes:
        std: standard deviation of the action, in halves of its range.
        physical: the same in ``unit``.
        entropy: differential entropy in nats of the action in [-1, 1]; None of an actor with fixed noise.
    """

    name: str
    unit: str
    std: float
    physical: float
    entropy: float | None


@torch.no_grad()
def measure(agent: Any, seen: Sequence[Observation]) -> list[Dimension]:
    """Of each dimension; empty of an agent whose noise is not known here.

    Args:
        agent: an ``ActorCritic`` or ``CqnAs``.
        seen: frames, each a batch of one.
    """
    action = agent.contract.action
    if not seen:
        return []
    spread, entropies = _spread(agent, seen)
    if spread is None:
        return []
    half = [(high - low) / 2 for low, high in zip(action.low, action.high)]
    return [
        Dimension(name, unit, float(std), float(std * scale), None if entropies is None else float(entropies[i]))
        for i, (name, unit, std, scale) in enumerate(zip(action.names, action.units, spread, half))
    ]


def _spread(agent: Any, seen: Sequence[Observation]) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """Standard deviations ``(A,)`` in [-1, 1] and entropies ``(A,)``."""
    size, actor = agent.contract.action.size, getattr(agent, "actor", None)
    if actor is None:  # critics that choose themselves explore with scheduled noise on what they choose
        std = getattr(agent.cfg, "noise", None)
        return None if std is None else torch.full((size,), schedule(std, agent.updates)), None
    if actor.entropy is None:
        return torch.full((size,), actor.noise_std(agent.updates)), None
    batch = {name: torch.cat([one[name] for one in seen]) for name in seen[0]}
    features = agent.encoder(agent.encoder.stack(agent.learning.views(batch)))
    return squashed(*actor(features, agent.normalizer(batch)))


def squashed(mean: torch.Tensor, log_std: torch.Tensor, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Standard deviation and differential entropy of tanh(N(mean, std)), ``(A,)`` each, means over rows ``(B, A)``."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn((DRAWS, *mean.shape), generator=generator)
    before = mean + log_std.exp() * noise
    # entropy of the Gaussian, and what the tanh's slope adds: E[log(1 - tanh^2)]
    gaussian = 0.5 * math.log(2 * math.pi * math.e) + log_std
    slope = 2.0 * (math.log(2.0) - before - torch.nn.functional.softplus(-2.0 * before))
    return torch.tanh(before).std(dim=0).mean(dim=0), (gaussian + slope.mean(dim=0)).mean(dim=0)
