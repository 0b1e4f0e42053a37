"""Choosing among proposed actions by their value: a frozen prior's beside the actor's (IBRL, arXiv 2311.02198), and a
gripper that opens or closes, whichever is worth more (HIL-SERL, arXiv 2410.21845).
"""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import nn

from policies.networks.encoder import PixelEncoder
from policies.networks.normalizers import ProprioNormalizer
from policies.policy import Observation, family_of
from policies.rl.actors import make_actor
from policies.rl.config import ActorCriticConfig
from policies.rl.critics import make_critics
from policies.rl.pixel_policy import ActorPolicy, PixelPolicy, make_encoder
from robot.contract import Contract


def two_valued(action: torch.Tensor) -> torch.Tensor:
    """Actions ``(..., A)`` with the gripper's command, the last number, as its sign: -1 opens, +1 closes."""
    return torch.cat([action[..., :-1], torch.where(action[..., -1:] < 0.0, -1.0, 1.0)], dim=-1)


def both_grips(action: torch.Tensor) -> torch.Tensor:
    """``(B, A)`` to ``(2, B, A)``: the same motion with the gripper opening, and closing."""
    motion, sign = action[:, :-1], torch.ones_like(action[:, -1:])
    return torch.stack([torch.cat([motion, -sign], dim=1), torch.cat([motion, sign], dim=1)])


def proposals(action: torch.Tensor, prior: torch.Tensor | None, by_value: bool) -> torch.Tensor:
    """What there is to choose from, ``(K, B, A)``: the actor's first, then the prior's.

    Args:
        action: the actor's, ``(B, A)``.
        prior: the prior's, ``(B, A)``; None if it has no say.
        by_value: the gripper's command is chosen by value, so that the actor proposes its motion with both.
    """
    own = both_grips(action) if by_value else action[None]
    if prior is None:
        return own
    return torch.cat([own, (two_valued(prior) if by_value else prior)[None]])


def values_of(critics: nn.Module, features: torch.Tensor, proprio: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
    """Values ``(M, K, B)`` of K proposals ``(K, B, A)`` in the same B observations."""
    kinds, rows = actions.shape[:2]
    trunk = critics.trunk(features, proprio)
    found = critics.value(critics.evaluate(trunk.repeat(kinds, 1), actions.flatten(0, 1)))
    return found.unflatten(1, (kinds, rows))


@torch.no_grad()
def outdone(
    critics: nn.Module, prediction: torch.Tensor, features: torch.Tensor, proprio: torch.Tensor, own: torch.Tensor
) -> torch.Tensor:
    """In which of B observations the critics value the action that ``prediction`` is of above ``own`` ``(B, A)``, by
    their least; ``(B,)`` bool.
    """
    other = critics.predict(features, proprio, own)
    return critics.value(prediction).min(dim=0).values > critics.value(other).min(dim=0).values


def take(actions: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """Of proposals ``(K, B, A)`` the one that ``index`` ``(B,)`` names in each row, ``(B, A)``."""
    return actions.gather(0, index[None, :, None].expand(1, -1, actions.shape[2]))[0]


class ChoicePolicy(ActorPolicy):
    """An actor over an encoder, with critics that choose among what it and a prior propose.

    Args:
        critics: their least value of a proposal counts.
        prior: proposes too; None without one.
    """

    def __init__(
        self,
        contract: Contract,
        cfg: ActorCriticConfig,
        encoder: PixelEncoder,
        normalizer: ProprioNormalizer,
        actor: nn.Module,
        critics: nn.Module,
        prior: PixelPolicy | None,
    ) -> None:
        super().__init__(contract, cfg, encoder, normalizer, actor)
        self.critics, self.prior, self.by_value = critics, prior, cfg.gripper == "values"
        # a standard normal number lies below this with the probability of trying another proposal
        self.other_below = math.sqrt(2.0) * _erfinv(2.0 * cfg.try_other - 1.0)
        self.noise_size = contract.action.size + 1

    def forward(self, observations: Observation, noise: torch.Tensor | None = None) -> torch.Tensor:
        return self.choose(observations, noise)[0]

    def choose(self, observations: Observation, noise: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        """Actions ``(B, A)`` in [-1, 1], and which of them are the prior's, ``(B,)`` bool.

        Args:
            noise: standard normal ``(B, A + 1)`` to explore: the actor's, and whether the prior gives way to the actor
                or the other way round, whatever their values. None for the best.
        """
        views = self.views(observations)
        features, proprio = self.encoder(self.encoder.stack(views)), self.normalizer(observations)
        own = self.normalised(features, proprio, None if noise is None else noise[:, :-1])
        given = self.prior(observations) if self.prior is not None else None
        actions = proposals(own, given, self.by_value)
        values = values_of(self.critics, features, proprio, actions).min(dim=0).values
        best = values.argmax(dim=0)
        if self.prior is None:
            return take(actions, best), torch.zeros_like(best, dtype=torch.bool)
        last = len(actions) - 1
        if noise is not None:
            own_best = values[:last].argmax(dim=0)
            other = torch.where(best == last, own_best, torch.full_like(best, last))
            best = torch.where(noise[:, -1] < self.other_below, other, best)
        return take(actions, best), best == last


def _erfinv(value: float) -> float:
    return float(torch.erfinv(torch.tensor(value, dtype=torch.float64)))


def make_policy(contract: Contract, cfg: ActorCriticConfig, seed: int) -> ActorPolicy:
    """A new policy of a configuration, to load weights into."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder = make_encoder(contract, cfg)
        actor = make_actor(contract, encoder.size, cfg)
        normalizer = ProprioNormalizer(contract)
        if not chooses(cfg):
            return ActorPolicy(contract, cfg, encoder, normalizer, actor)
        critics = make_critics(contract, encoder.size, cfg)
        prior = make_prior(contract, cfg, encoder, actor) if cfg.prior_acts else None
        return ChoicePolicy(contract, cfg, encoder, normalizer, actor, critics, prior)


def chooses(cfg: ActorCriticConfig) -> bool:
    """Whether values choose what is done."""
    return cfg.gripper == "values" or (cfg.prior != "none" and cfg.prior_acts)


def make_prior(
    contract: Contract, cfg: ActorCriticConfig, encoder: PixelEncoder, actor: nn.Module
) -> PixelPolicy | None:
    """A frozen policy with weights of its own: a copy of the one that learns, or one of another run's kind, to load its
    weights into. None if the configuration wants no prior.
    """
    if cfg.prior == "none":
        return None
    if cfg.prior == "run":
        family = family_of(cfg.prior_algo)
        made: Any = family.make_policy(contract, family.read_options(cfg.prior_algo), seed=0)
        return made.requires_grad_(False)
    parts = (copy.deepcopy(module).requires_grad_(False) for module in (encoder, ProprioNormalizer(contract), actor))
    return ActorPolicy(contract, cfg, *parts)
