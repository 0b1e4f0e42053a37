"""What a skill is: H actions, as a few numbers z that a decoder makes actions of, one state at a time.

    posterior        q(z | s_0 .. s_{H-1}, a_0 .. a_{H-1})     what was done in a stretch of a demonstration
    decoder          a_k = pi(s_k, z)                          closed loop: it sees the state at each of the H steps
    inverse skill    p(z | s_0, s_H)                           what it would take to come from one state to another
    dynamics
    prior            p(z | s_0)                                what is done in such a state (SPiRL, arXiv 2010.11944)

    loss = error of pi(s_k, z ~ q)  +  beta KL(q || N(0, I))  -  log p(z' | s_0, s_H)  +  w error of pi(s_k, mean of p)

z' is a sample of q without a gradient: the inverse dynamics follow the posterior, and do not shape it. The last term is
not in the paper. When the policy acts, z is the mean of p; trained as it is used, p need not only be near q but good.
The prior, where ``algo.state_prior`` wants one, follows the posterior alike: - log p(z' | s_0) is added.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from policies.networks.layers import mlp
from policies.skills.config import FistConfig, SkillConfig

LOG_STD = (-5.0, 2.0)  # bounds of log standard deviations


class Gaussian:
    """Independent normal distributions, of a network's ``(..., 2 z)``: means, then log standard deviations.

    Args:
        least: bound of the standard deviations, beside ``LOG_STD``.
    """

    def __init__(self, numbers: torch.Tensor, least: float = 0.0) -> None:
        self.mean, log_std = numbers.chunk(2, dim=-1)
        low, high = LOG_STD
        self.log_std = log_std.clamp(max(low, math.log(least)) if least else low, high)

    def at(self, noise: torch.Tensor) -> torch.Tensor:
        """A sample, of standard normal ``noise`` of the same shape."""
        return self.mean + self.log_std.exp() * noise

    def sample(self) -> torch.Tensor:
        return self.at(torch.randn_like(self.mean))

    def kl_to_unit(self) -> torch.Tensor:
        """KL(self || N(0, I)) in nats, ``(...)``."""
        return (0.5 * (self.mean**2 + (2 * self.log_std).exp() - 1.0) - self.log_std).sum(dim=-1)

    def kl_to(self, other: Gaussian) -> torch.Tensor:
        """KL(self || other) in nats, ``(...)``; gradients flow into both."""
        wide, away = (2 * (self.log_std - other.log_std)).exp(), (self.mean - other.mean) * (-other.log_std).exp()
        return (0.5 * (wide + away**2 - 1.0) + other.log_std - self.log_std).sum(dim=-1)

    def nll(self, z: torch.Tensor) -> torch.Tensor:
        """Negative log-likelihood of ``z`` in nats but for a constant, ``(...)``."""
        return (0.5 * ((z - self.mean) * (-self.log_std).exp()) ** 2 + self.log_std).sum(dim=-1)

    def log_density_of_tanh(self, u: torch.Tensor) -> torch.Tensor:
        """Of tanh(u), ``(...)`` nats, u of this distribution (arXiv 1812.05905, appendix C), with log(1 - tanh(u)^2) as
        2 (log 2 - u - softplus(-2 u)), which stays finite.
        """
        normal = -self.nll(u) - 0.5 * u.shape[-1] * math.log(2.0 * math.pi)
        return normal - (2.0 * (math.log(2.0) - u - F.softplus(-2.0 * u))).sum(dim=-1)


class SkillVae(nn.Module):
    """Posterior and decoder, over states ``(..., F)``, scaled proprioception ``(..., P)`` and actions ``(..., A)``.

    Without cameras the first two are the same. With them the posterior still reads proprioception and actions alone:
    what an arm did shows in these, and pictures of every step of a stretch would be four fifths of an update's work.

    Args:
        goal: numbers that the decoder sees beside the state, which it is then given in one with it.
        proprio: P, if it is not F.
    """

    def __init__(self, state: int, action: int, cfg: SkillConfig, goal: int = 0, proprio: int | None = None) -> None:
        super().__init__()
        self.recurrent = nn.LSTM((state if proprio is None else proprio) + action, cfg.recurrent, batch_first=True)
        self.posterior_head = nn.Linear(cfg.recurrent, 2 * cfg.latent)
        self.decoder = mlp(state + goal + cfg.latent, cfg.hidden, action, cfg.layers)

    def posterior(self, proprio: torch.Tensor, actions: torch.Tensor, steps: torch.Tensor | None = None) -> Gaussian:
        """q(z) of stretches: proprioception ``(B, H, P)`` before each of the actions ``(B, H, A)``; of those, the first
        ``steps`` ``(B,)`` int64, or all.
        """
        read, _ = self.recurrent(torch.cat([proprio, actions], dim=-1))
        last = read[:, -1] if steps is None else read[torch.arange(len(read), device=read.device), steps - 1]
        return Gaussian(self.posterior_head(last))

    def decode(self, states: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        """Actions ``(B, A)`` in states ``(B, F)``, or ``(B, H, A)`` in ``(B, H, F)``, of skills ``(B, latent)``."""
        if states.dim() == 3:
            z = z[:, None].expand(-1, states.shape[1], -1)
        return self.decoder(torch.cat([states, z], dim=-1))


class SkillModel(SkillVae):
    """The three networks, and with ``prior`` that of p(z | s), which is None without."""

    def __init__(
        self,
        state: int,
        action: int,
        cfg: SkillConfig,
        goal: int = 0,
        proprio: int | None = None,
        prior: bool = False,
    ) -> None:
        super().__init__(state, action, cfg, goal, proprio)
        self.inverse = mlp(2 * state, cfg.hidden, 2 * cfg.latent, cfg.layers)
        self.prior = mlp(state, cfg.hidden, 2 * cfg.latent, cfg.layers) if prior else None

    def inverse_dynamics(self, start: torch.Tensor, end: torch.Tensor) -> Gaussian:
        """p(z) of what leads from states ``(B, F)`` to states ``(B, F)`` H, or some, control steps later."""
        return Gaussian(self.inverse(torch.cat([start, end], dim=-1)))


class Distance(nn.Module):
    """Which states are near each other in time: f, trained with InfoNCE (arXiv 1807.03748) at the horizon.

    logit_ij = (W f(s_i)) . f(s'_j) / temperature, where s'_i is the state H steps after s_i in the same episode, and
    the other rows of the batch are what it is told from. f has length 1, so that the squared Euclidean distance
    of two embeddings, which is what looks demonstrations up, does not depend on how sure the network is.
    """

    def __init__(self, state: int, cfg: FistConfig) -> None:
        super().__init__()
        self.temperature = cfg.temperature
        self.network = mlp(state, cfg.hidden, cfg.embedding, 2)
        self.forward_in_time = nn.Linear(cfg.embedding, cfg.embedding, bias=False)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """``(..., embedding)`` of length 1, of normalised states ``(..., F)``."""
        return F.normalize(self.network(states), dim=-1)

    def loss(self, start: torch.Tensor, later: torch.Tensor) -> torch.Tensor:
        """InfoNCE in nats of B pairs ``(B, F)``; 0 of fewer than two, which say nothing."""
        if len(start) < 2:
            return start.sum() * 0.0
        logits = self.forward_in_time(self(start)) @ self(later).T / self.temperature
        return F.cross_entropy(logits, torch.arange(len(start), device=start.device))
