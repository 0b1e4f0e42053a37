"""What a policy decides on: skills, each for several control steps, or the arm's actions, one at a time.

Both are numbers z in [-bound, bound], of a normal distribution of u squashed by z = bound tanh(u / bound), and both say
how far such a distribution lies from what is done without a reward: ``divergence``, in nats.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import nn

from policies.imitation.normalizers import ActionNormalizer
from policies.networks.layers import mlp
from policies.networks.normalizers import ActionScale, ProprioNormalizer
from policies.policy import family_of
from policies.rl.pixel_agent import part_of
from policies.skills.config import FistConfig, SpirlConfig
from policies.skills.skill import Gaussian, SkillModel
from robot.contract import Contract

Tensors = dict[str, torch.Tensor]


class Space(nn.Module, ABC):
    """See the module text.

    Attributes:
        size: numbers of a decision, Z.
        horizon: control steps that it lasts.
        bound: of each of its numbers.
        least_std: of the distributions over them.
    """

    size: int
    horizon: int
    bound: float
    least_std: float = 0.0  # of the normal distributions

    def __init__(self, contract: Contract) -> None:
        super().__init__()
        self.normalizer = ProprioNormalizer(contract)

    def distribution(self, numbers: torch.Tensor) -> Gaussian:
        """Of u, of the numbers ``(B, 2 Z)`` of a network."""
        return Gaussian(numbers, self.least_std)

    def squash(self, u: torch.Tensor) -> torch.Tensor:
        """Decisions of unbounded numbers: near the same around 0, within the bound far from it."""
        return self.bound * torch.tanh(u / self.bound)

    @abstractmethod
    def make_actor(self, cfg: SpirlConfig) -> nn.Module:
        """A new network of states ``(B, F)`` to the numbers ``(B, 2 Z)`` of a ``Gaussian``."""

    @abstractmethod
    def at_random(self, state: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """Decisions ``(B, Z)`` that nothing was learned for, of standard normal ``noise`` ``(B, Z)``."""

    @abstractmethod
    def divergence(self, chosen: Gaussian, u: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
        """Nats ``(B,)`` of a distribution, of which ``u`` ``(B, Z)`` is a sample before it is squashed."""

    @abstractmethod
    def decode(self, state: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        """Actions ``(B, A)`` in the contract's units for normalised states ``(B, F)`` and decisions ``(B, Z)``."""


class Skills(Space):
    """Skills of a pretrained run, which stay as they are; the divergence is the KL from their prior.

    Squashing does not change the KL of two distributions that are squashed alike, so it is that of the normal ones.
    """

    def __init__(self, contract: Contract, cfg: FistConfig, bound: float, least_std: float) -> None:
        super().__init__(contract)
        self.size, self.horizon, self.bound, self.least_std = cfg.latent, cfg.horizon, bound, least_std
        self.actions = ActionNormalizer(contract, classify=True)
        self.skill = SkillModel(len(self.normalizer.mean), contract.action.size, cfg, prior=cfg.state_prior)
        self._shape = cfg
        self.requires_grad_(False)

    def load(self, tensors: Tensors) -> None:
        """Take weights and scales of a policy of the family fist."""
        for mine, name in ((self.normalizer, "eyes.normalizer"), (self.actions, "actions"), (self.skill, "skill")):
            mine.load_state_dict(part_of(tensors, name))

    def prior(self, state: torch.Tensor) -> Gaussian:
        assert self.skill.prior is not None
        return self.distribution(self.skill.prior(state))

    def make_actor(self, cfg: SpirlConfig) -> nn.Module:
        """Of the prior's shape; ``SpirlPolicy.load_skills`` gives it the prior's weights."""
        return mlp(len(self.normalizer.mean), self._shape.hidden, 2 * self.size, self._shape.layers)

    def at_random(self, state: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """Of the prior."""
        return self.squash(self.prior(state).at(noise))

    def divergence(self, chosen: Gaussian, u: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
        return chosen.kl_to(self.prior(state))

    def decode(self, state: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        return self.actions.to_physical(self.skill.decode(state, z))


class Actions(Space):
    """The contract's actions, scaled to [-1, 1], one a control step, from states in the contract's units. The
    divergence is their log-likelihood, whose mean is minus the entropy.
    """

    def __init__(self, contract: Contract) -> None:
        super().__init__(contract)
        self.size, self.horizon, self.bound = contract.action.size, 1, 1.0
        self.scale = ActionScale(contract)

    def make_actor(self, cfg: SpirlConfig) -> nn.Module:
        return mlp(len(self.normalizer.mean), cfg.hidden, 2 * self.size, cfg.layers)

    def at_random(self, state: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """Uniform."""
        return torch.erf(noise / math.sqrt(2.0))

    def divergence(self, chosen: Gaussian, u: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
        return chosen.log_density_of_tanh(u)

    def decode(self, state: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        return self.scale.to_physical(z)


def make_space(contract: Contract, cfg: SpirlConfig) -> Space:
    """What ``algo.decides`` names."""
    if cfg.decides == "actions":
        return Actions(contract)
    return Skills(contract, family_of(cfg.skills_algo).read_options(cfg.skills_algo), cfg.bound, cfg.least_std)
