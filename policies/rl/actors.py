"""Policies: from features to actions normalised to [-1, 1].

Every actor answers two questions for a batch: ``mean``, the action it thinks best, and ``sample``, an action to explore
with or to take the value of, with its log-probability where it has one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import nn

from policies.networks.encoder import Trunk
from policies.networks.layers import full_precision, initialise, mlp
from policies.registry import choose
from policies.rl.config import ActorCriticConfig
from policies.schedules import schedule
from robot.contract import Contract
from robot.errors import PixelarmError


@dataclass(frozen=True)
class Entropy:
    """How a stochastic policy's entropy is weighed; the agent holds and trains the temperature itself."""

    temperature: float  # initial
    temperature_rate: float  # Adam's, on log alpha; 0 keeps the initial value
    temperature_beta1: float
    target_entropy: float  # nats an action dimension
    backup_entropy: bool  # the target value has the entropy bonus too


class Temperature(nn.Module):
    """The weight of entropy in soft actor-critic, learned (arXiv 1812.05905, section 5): alpha, the exponential of a
    parameter.

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


class Actor(Protocol):
    """What an agent needs of a policy."""

    entropy: Entropy | None  # of stochastic policies, which have a log-probability

    def noise_std(self, updates: int) -> float:
        """Exploration noise after so many updates, of a policy that does not learn its own."""

    def mean(self, convolved: torch.Tensor, proprio: torch.Tensor) -> torch.Tensor:
        """The best action, ``(B, A)`` in [-1, 1]."""

    def sample(
        self, convolved: torch.Tensor, proprio: torch.Tensor, noise: torch.Tensor, std: torch.Tensor, clip: bool
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """An action as in ``mean`` and its log-probability ``(B,)``, zeros where there is none.

        Args:
            noise: standard normal, ``(B, A)``.
            std: ``noise_std`` as a scalar on the device.
            clip: whether that noise is bounded, as in updates; exploring it is not.
        """


class GaussianActor(nn.Module):
    """A tanh-squashed Gaussian with a learned standard deviation (SAC, arXiv 1812.05905).

    Args:
        hidden, layers: width and number of the hidden layers.
        log_std_min, log_std_max: bounds of the log standard deviation, which is squashed into them.
        temperature: initial weight of entropy.
        temperature_rate: Adam's learning rate on its logarithm; 0 keeps the initial value.
        temperature_beta1: Adam's.
        target_entropy: nats an action dimension.
        backup_entropy: whether the target value has the entropy bonus too.
    """

    def __init__(
        self,
        contract: Contract,
        conv_size: int,
        cfg: ActorCriticConfig,
        hidden: int = 256,
        layers: int = 2,
        log_std_min: float = -10.0,
        log_std_max: float = 2.0,
        temperature: float = 0.1,
        temperature_rate: float = 3e-4,
        temperature_beta1: float = 0.9,
        target_entropy: float = -1.0,
        backup_entropy: bool = True,
    ) -> None:
        super().__init__()
        check_layers("gaussian", layers)
        if not temperature > 0:
            raise PixelarmError(f"algo.actor.gaussian.temperature must be positive, got {temperature}")
        self.trunk = Trunk(contract, conv_size, cfg.encoder)
        self.head = mlp(self.trunk.size, hidden, 2 * contract.action.size, layers)
        initialise(self.head, cfg.encoder.init)
        self.bounds = (log_std_min, log_std_max)
        self.entropy = Entropy(temperature, temperature_rate, temperature_beta1, target_entropy, backup_entropy)

    def noise_std(self, updates: int) -> float:
        return 0.0

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
        clip: bool = False,
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
    """One action a state, explored with scheduled Gaussian noise (DrQ-v2, arXiv 2107.09645).

    Args:
        hidden, layers: width and number of the hidden layers.
        noise: standard deviation of the exploration noise, of [-1, 1]: a number, or linear(START, END, UPDATES).
        noise_clip: bound of the noise on target and actor actions.
    """

    entropy = None

    def __init__(
        self,
        contract: Contract,
        conv_size: int,
        cfg: ActorCriticConfig,
        hidden: int = 256,
        layers: int = 2,
        noise: float | str = 0.1,
        noise_clip: float = 0.3,
    ) -> None:
        super().__init__()
        check_layers("deterministic", layers)
        self.trunk = Trunk(contract, conv_size, cfg.encoder)
        self.head = mlp(self.trunk.size, hidden, contract.action.size, layers)
        initialise(self.head, cfg.encoder.init)
        self.noise, self.noise_clip = checked_schedule("deterministic", noise), noise_clip

    def noise_std(self, updates: int) -> float:
        return schedule(self.noise, updates)

    def mean(self, convolved: torch.Tensor, proprio: torch.Tensor) -> torch.Tensor:
        features = self.trunk(convolved, proprio).float()
        with full_precision(features):
            return torch.tanh(self.head(features))

    forward = mean

    def sample(
        self, convolved: torch.Tensor, proprio: torch.Tensor, noise: torch.Tensor, std: torch.Tensor, clip: bool
    ) -> tuple[torch.Tensor, torch.Tensor]:
        mean = self.mean(convolved, proprio)
        step = (noise * std).clamp(-self.noise_clip, self.noise_clip) if clip else noise * std
        action = mean + step
        # clamped in value, not in gradient: an action pushed over the edge still learns to come back
        return action + (action.clamp(-1.0, 1.0) - action).detach(), action.new_zeros(len(action))


ACTORS: dict[str, Callable[[Contract, int, ActorCriticConfig], nn.Module]] = {
    "gaussian": GaussianActor,
    "deterministic": DeterministicActor,
}


def make_actor(contract: Contract, conv_size: int, cfg: ActorCriticConfig) -> nn.Module:
    """The actor of a configuration."""
    return choose(cfg.actor, ACTORS, "actor", "algo.actor", skip=3)(contract, conv_size, cfg)


def check_layers(kind: str, layers: int) -> None:
    if layers < 1:
        raise PixelarmError(f"algo.actor.{kind}.layers must be at least 1, got {layers}")


def checked_schedule(kind: str, noise: float | str) -> float | str:
    try:
        schedule(noise, 0)
    except PixelarmError as error:
        raise PixelarmError(f"algo.actor.{kind}.noise: {error}") from error
    return noise
