"""SPiRL: reinforcement learning with skill priors (Pertsch et al. 2020, arXiv 2010.11944), from states.

Soft actor-critic (arXiv 1812.05905) that decides on a skill z, which the skills' decoder carries out for H control
steps, closed loop. In place of the entropy stands the divergence from the skills' prior:

    maximise E sum_t [ R_t - alpha KL(pi(z | s_t) || p(z | s_t)) ]     R_t: sum of the rewards while the skill lasts
    critics  y = R + gamma (min Q'(s', z') - alpha KL(pi(. | s') || p(. | s')))         s': the state in which it ended
    actor    alpha KL(pi(. | s) || p(. | s)) - min Q(s, z),  z ~ pi(. | s)
    alpha    alpha (delta - KL), so that it grows while the divergence is above its target delta

The actor begins as the prior. Where ``algo.decides`` is "actions", the same agent decides on the arm's action at every
control step, and the divergence is its log-likelihood: plain soft actor-critic, to compare with.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from policies.data.batch import Batch
from policies.data.replay import Lookup
from policies.imitation.policy import Deployed
from policies.networks.layers import mlp
from policies.policy import Observation
from policies.rl.averages import Averages
from policies.rl.optimizers import Optimizers
from policies.rl.pixel_agent import part_of
from policies.skills.config import SpirlConfig
from policies.skills.spaces import Skills, make_space
from policies.skills.windows import require_states
from robot.contract import Contract

if TYPE_CHECKING:
    from lightning.fabric import Fabric

CRITICS = 2


class SpirlPolicy(nn.Module):
    """Decides, and acts on a decision. See ``policies.policy.Policy``.

    ``act`` and the exported network keep no memory: they decide anew at each control step, on the most likely skill.
    """

    def __init__(self, contract: Contract, cfg: SpirlConfig, seed: int) -> None:
        super().__init__()
        require_states(contract)
        self.contract = contract
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.space = make_space(contract, cfg)
            self.actor = self.space.make_actor(cfg)

    @property
    def horizon(self) -> int:
        """Control steps that a decision is made for."""
        return self.space.horizon

    def load_skills(self, tensors: dict[str, torch.Tensor]) -> None:
        """Take pretrained skills, and begin as their prior."""
        assert isinstance(self.space, Skills) and self.space.skill.prior is not None
        self.space.load(tensors)
        self.actor.load_state_dict(self.space.skill.prior.state_dict())

    def state(self, observations: Observation) -> torch.Tensor:
        """Normalised ``(B, F)``, on the networks' device."""
        device = self.space.normalizer.mean.device
        return self.space.normalizer({name: value.to(device) for name, value in observations.items()})

    def best(self, state: torch.Tensor) -> torch.Tensor:
        """The most likely decisions ``(B, Z)``."""
        return self.space.squash(self.space.distribution(self.actor(state)).mean)

    def sample(self, state: torch.Tensor, noise: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Decisions ``(B, Z)``, of standard normal ``noise`` ``(B, Z)``, and the divergence ``(B,)`` of what they are
        drawn from.
        """
        chosen = self.space.distribution(self.actor(state))
        u = chosen.at(noise)
        return self.space.squash(u), self.space.divergence(chosen, u, state)

    def forward(self, observations: Observation) -> torch.Tensor:
        """Actions ``(B, 1, A)`` in the contract's units."""
        state = self.space.normalizer(observations)
        return self.space.decode(state, self.best(state))[:, None]

    @torch.no_grad()
    def decide(self, observations: Observation) -> torch.Tensor:
        """The most likely decisions ``(B, Z)``."""
        return self.best(self.state(observations))

    @torch.no_grad()
    def carry_out(self, observations: Observation, z: torch.Tensor) -> np.ndarray:
        """Actions ``(B, A)`` float32 in the contract's units, of decisions ``(B, Z)``."""
        return self.space.decode(self.state(observations), z).cpu().numpy()

    @torch.no_grad()
    def act(self, observations: Observation, sample: bool) -> np.ndarray:
        """Actions ``(B, 1, A)`` float32 in the contract's units; sampled with noise of torch's own stream."""
        state = self.state(observations)
        z = self.sample(state, torch.randn(len(state), self.space.size, device=state.device))[0]
        return self.space.decode(state, z if sample else self.best(state))[:, None].cpu().numpy()

    def deployed(self) -> nn.Module:
        """See ``policies.policy.Policy``."""
        return Deployed(self)


class Critics(nn.Module):
    """Values of decisions, of networks that are begun apart."""

    def __init__(self, state: int, decision: int, cfg: SpirlConfig) -> None:
        super().__init__()
        made = (mlp(state + decision, cfg.hidden, 1, cfg.layers, cfg.layer_norm) for _ in range(CRITICS))
        self.members = nn.ModuleList(made)

    def forward(self, state: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        """``(critics, B)``."""
        both = torch.cat([state, z], dim=-1)
        return torch.stack([member(both)[:, 0] for member in self.members])


class Spirl:
    """See the module text, ``policies.policy.Agent`` and, for the arguments, ``policies.rl.pixel_agent.PixelAgent``."""

    proposes = None  # it has no frozen policy that proposes actions
    measures = False  # scales are those of the skills, or none

    def __init__(self, contract: Contract, cfg: SpirlConfig, fabric: Fabric, seed: int, compile: str = "off") -> None:
        self.contract, self.cfg, self.fabric, self.device = contract, cfg, fabric, fabric.device
        self.policy = self.learning = SpirlPolicy(contract, cfg, seed).to(self.device)
        space = self.policy.space
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed + 1)
            self.critics = Critics(len(space.normalizer.mean), space.size, cfg).to(self.device)
        self.log_alpha = nn.Parameter(torch.tensor(cfg.alpha, device=self.device).log())
        self.averages = Averages()
        self.targets = self.averages.copy(self.critics, cfg.target_rate)
        self.optimizers = Optimizers(fabric, clip=0.0)
        self.optimizers.add("critics", self.critics.parameters(), cfg.learning_rate, 0.9)
        self.optimizers.add("actor", self.policy.actor.parameters(), cfg.learning_rate, 0.9)
        self.optimizers.add("alpha", [self.log_alpha], cfg.alpha_rate, 0.9)
        self.generator = torch.Generator(self.device).manual_seed(seed * 1000 + 17)
        self.updates = 0

    def load_skills(self, tensors: dict[str, torch.Tensor]) -> None:
        """Take pretrained skills, and begin as their prior."""
        self.policy.load_skills(tensors)

    # ---------------------------------------------------------------------- act
    def noise(self, rows: int) -> torch.Tensor:
        """Standard normal ``(rows, Z)``."""
        return torch.randn(rows, self.policy.space.size, generator=self.generator, device=self.device)

    @torch.no_grad()
    def decide(self, observations: Observation, at_random: bool = False) -> torch.Tensor:
        """Decisions ``(B, Z)`` to explore with; ``at_random``: of the prior, or uniform actions."""
        state = self.policy.state(observations)
        noise = self.noise(len(state))
        return self.policy.space.at_random(state, noise) if at_random else self.policy.sample(state, noise)[0]

    def act(self, observations: Observation, sample: bool) -> np.ndarray:
        """Actions ``(B, 1, A)`` float32 in the contract's units; with ``sample``, of a decision to explore with."""
        if not sample:
            return self.policy.act(observations, sample=False)
        return self.policy.carry_out(observations, self.decide(observations))[:, None]

    def acting_tensors(self) -> dict[str, Any]:
        return dict(self.policy.state_dict())

    # -------------------------------------------------------------------- learn
    def lookup(self, pretrain: Sequence[Any] = ()) -> Lookup:
        """What is remembered are decisions."""
        return Lookup(self.cfg.discount, decision=self.policy.space.size)

    @property
    def alpha(self) -> torch.Tensor:
        return self.log_alpha.exp()

    def update(self, batch: Batch, bc_weight: float = 0.0, improve_actor: bool = True) -> dict[str, torch.Tensor]:
        """One gradient step of critics, actor and alpha.

        Args:
            batch: its actions are decisions ``(B, Z)``, its rewards and discounts those of whole decisions.
            bc_weight, improve_actor: as of other agents; recipes that use them are refused.
        """
        state, after = self.policy.state(batch.obs), self.policy.state(batch.next_obs)
        noise, later = self.noise(len(state)), self.noise(len(after))
        self.optimizers.zero()
        values = self.critics(state, batch.action)
        critic_loss = F.mse_loss(values, self.target(batch, after, later).expand_as(values)) * CRITICS
        self.optimizers.backward(critic_loss)
        self.optimizers.step("critics")
        self.critics.requires_grad_(False)
        z, divergence = self.policy.sample(state, noise)
        actor_loss = (self.alpha.detach() * divergence - self.critics(state, z).min(dim=0).values).mean()
        self.optimizers.backward(actor_loss)
        self.critics.requires_grad_(True)
        self.optimizers.backward(self.alpha_loss(divergence.detach()))
        self.optimizers.step("actor", "alpha")
        self.updates += 1
        self.averages.follow(self.updates)
        numbers = {"critic_loss": critic_loss, "q": values.mean(), "actor_loss": actor_loss}
        numbers |= {"divergence": divergence.mean(), "alpha": self.alpha}
        return {name: number.detach() for name, number in numbers.items()}

    @torch.no_grad()
    def target(self, batch: Batch, after: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """``R + gamma (min Q'(s', z') - alpha divergence)``, ``(B,)``; R alone where the task ended."""
        z, divergence = self.policy.sample(after, noise)
        value = self.targets(after, z).min(dim=0).values - self.alpha * divergence
        return batch.reward + batch.discount * value

    def alpha_loss(self, divergence: torch.Tensor) -> torch.Tensor:
        """``alpha (delta - divergence)``, mean over ``(B,)``: its gradient raises alpha above the target."""
        return self.alpha * (self.cfg.target_divergence - divergence).mean()

    def observe(self, rewards: np.ndarray) -> None:
        """Rewards are learned as they are."""

    def numbers(self) -> dict[str, float]:
        """Nothing more to log of how it acted."""
        return {}

    # -------------------------------------------------------------------- state
    @property
    def cloned(self) -> tuple[SpirlPolicy, SpirlConfig]:
        """What there is before the first update: the prior."""
        return self.policy, self.cfg

    def reset_targets(self) -> None:
        self.averages.restart()

    def networks(self) -> dict[str, torch.Tensor]:
        """All networks, and how many updates they have had."""
        modules = {"policy": self.policy, "critics": self.critics, "targets": self.targets}
        found = {f"{name}.{k}": v for name, module in modules.items() for k, v in module.state_dict().items()}
        return found | {"log_alpha": self.log_alpha, "updates": torch.tensor(self.updates)}

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Everything that decides the future of learning, as flat named tensors."""
        moments = {f"optimizers.{k}": v for k, v in self.optimizers.state_dict().items()}
        return self.networks() | moments | {"generator": self.generator.get_state()}

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        for name in ("policy", "critics", "targets"):
            getattr(self, name).load_state_dict(part_of(state, name))
        with torch.no_grad():
            self.log_alpha.copy_(state["log_alpha"])
        self.updates = int(state["updates"])
        self.optimizers.load_state_dict(part_of(state, "optimizers"))
        self.generator.set_state(state["generator"].cpu())
