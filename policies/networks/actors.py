"""Policies: from features to actions normalised to [-1, 1].

Every actor answers two questions for a batch: ``mean``, the action it thinks best, and ``sample``, an action to explore with or
to take the value of, with its log-probability where it has one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import torch
import torch.nn.functional as F
from torch import nn

from policies.config import AgentConfig
from policies.networks.blocks import full_precision, initialise, mlp
from policies.networks.encoder import Trunk
from robot.contract import Contract
from robot.errors import PixelarmError, UnknownName

if TYPE_CHECKING:
    from policies.networks.sequence import SequenceCritics


class Actor(Protocol):
    """What an agent needs of a policy; ``stochastic`` policies have a log-probability and a temperature."""

    stochastic: bool

    def mean(self, convolved: torch.Tensor, proprio: torch.Tensor) -> torch.Tensor:
        """The best action, ``(B, A)`` in [-1, 1]; ``(B, K, A)`` of a sequence policy."""

    def sample(
        self, convolved: torch.Tensor, proprio: torch.Tensor, noise: torch.Tensor, std: torch.Tensor, clip: float | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """An action as in ``mean`` and its log-probability ``(B,)``, zeros where there is none.

        Args:
            noise: standard normal, ``(B, A)``.
            std: exploration noise of a policy that does not learn its own, as a share of [-1, 1]; a scalar on the device.
            clip: bound of that noise; None for none.
        """


class GaussianActor(nn.Module):
    """A tanh-squashed Gaussian with a learned standard deviation (SAC, arXiv 1812.05905)."""

    stochastic = True

    def __init__(self, contract: Contract, conv_size: int, cfg: AgentConfig) -> None:
        super().__init__()
        self.trunk = Trunk(contract, conv_size, cfg.encoder)
        self.head = mlp(self.trunk.size, cfg.actor.hidden, 2 * contract.action.size, cfg.actor.layers)
        initialise(self.head, cfg.encoder.init)
        self.bounds = (cfg.actor.log_std_min, cfg.actor.log_std_max)

    def forward(self, convolved: torch.Tensor, proprio: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean before the tanh and log standard deviation, ``(B, A)`` each."""
        features = self.trunk(convolved, proprio).float()
        with full_precision(features):
            mean, raw = self.head(features).chunk(2, dim=1)
        low, high = self.bounds
        return mean, low + 0.5 * (high - low) * (torch.tanh(raw) + 1.0)

    def mean(self, convolved: torch.Tensor, proprio: torch.Tensor) -> torch.Tensor:
        return torch.tanh(self(convolved, proprio)[0])

    def sample(
        self,
        convolved: torch.Tensor,
        proprio: torch.Tensor,
        noise: torch.Tensor,
        std: torch.Tensor | float = 0.0,
        clip: float | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        mean, log_std = self(convolved, proprio)
        return squash(mean, log_std, noise)


def squash(mean: torch.Tensor, log_std: torch.Tensor, noise: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """A reparameterised action ``(B, A)`` in [-1, 1] and its log-probability ``(B,)``."""
    before = mean + log_std.exp() * noise
    log_prob = -0.5 * noise.square() - log_std - 0.5 * math.log(2 * math.pi)
    # log(1 - tanh(x)^2) in the form that does not lose precision for large |x|
    log_prob = log_prob - 2.0 * (math.log(2.0) - before - F.softplus(-2.0 * before))
    return torch.tanh(before), log_prob.sum(dim=1)


class DeterministicActor(nn.Module):
    """One action a state, explored with scheduled Gaussian noise (DrQ-v2, arXiv 2107.09645)."""

    stochastic = False

    def __init__(self, contract: Contract, conv_size: int, cfg: AgentConfig) -> None:
        super().__init__()
        self.trunk = Trunk(contract, conv_size, cfg.encoder)
        self.head = mlp(self.trunk.size, cfg.actor.hidden, contract.action.size, cfg.actor.layers)
        initialise(self.head, cfg.encoder.init)

    def mean(self, convolved: torch.Tensor, proprio: torch.Tensor) -> torch.Tensor:
        features = self.trunk(convolved, proprio).float()
        with full_precision(features):
            return torch.tanh(self.head(features))

    forward = mean

    def sample(
        self, convolved: torch.Tensor, proprio: torch.Tensor, noise: torch.Tensor, std: torch.Tensor, clip: float | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        mean = self.mean(convolved, proprio)
        step = noise * std if clip is None else (noise * std).clamp(-clip, clip)
        action = mean + step
        # clamped in value, not in gradient: an action pushed over the edge still learns to come back
        return action + (action.clamp(-1.0, 1.0) - action).detach(), action.new_zeros(len(action))


class ZoomActor(nn.Module):
    """No network of its own: the sequence critic's greedy action (CQN-AS, arXiv 2411.12155), with a little noise to explore."""

    stochastic = False

    def __init__(self, critics: SequenceCritics) -> None:
        super().__init__()
        self.critics = critics

    def mean(self, convolved: torch.Tensor, proprio: torch.Tensor) -> torch.Tensor:
        return self.critics.best(convolved, proprio)

    forward = mean

    def sample(
        self, convolved: torch.Tensor, proprio: torch.Tensor, noise: torch.Tensor, std: torch.Tensor, clip: float | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        step = noise * std if clip is None else (noise * std).clamp(-clip, clip)
        action = (self.mean(convolved, proprio) + step[:, None]).clamp(-1.0, 1.0)
        return action, action.new_zeros(len(action))


ACTORS: dict[str, Callable[[Contract, int, AgentConfig], nn.Module]] = {
    "gaussian": GaussianActor,
    "deterministic": DeterministicActor,
}


def make_actor(contract: Contract, conv_size: int, cfg: AgentConfig) -> nn.Module:
    """The actor of a configuration; "zoom" is made by the agent, from its critics."""
    if cfg.actor.kind not in ACTORS:
        raise UnknownName("actor", cfg.actor.kind, [*ACTORS, "zoom"])
    return ACTORS[cfg.actor.kind](contract, conv_size, cfg)


def schedule(text: str, step: int) -> float:
    """The value at ``step`` of a number, or of ``linear(START, END, STEPS)``: START falls to END over STEPS, then stays."""
    try:
        if not text.startswith("linear("):
            return float(text)
        start, end, steps = (float(part) for part in text.removeprefix("linear(").removesuffix(")").split(","))
    except ValueError as error:
        raise PixelarmError(f"a schedule is a number or linear(START, END, STEPS), got {text!r}") from error
    return start + (end - start) * min(1.0, step / max(1.0, steps))
