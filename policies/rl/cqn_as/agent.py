"""CQN-AS: no actor, the critic of action sequences chooses actions itself (Seo and Abbeel 2024, arXiv 2411.12155).

The critic and what its numbers are taken from: ``policies.rl.cqn_as.critic``. A sequence is valued whole and its first
action is executed; the authors average overlapping sequences while acting.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from policies.data.batch import Batch
from policies.data.replay import Lookup
from policies.networks.encoder import PixelEncoder
from policies.networks.normalizers import ProprioNormalizer
from policies.policy import Observation
from policies.rl.checks import check_agent
from policies.rl.config import CqnAsConfig
from policies.rl.cqn_as.critic import SequenceCritic
from policies.rl.pixel_agent import PixelAgent, View
from policies.rl.pixel_policy import PixelPolicy, make_encoder
from policies.schedules import schedule
from robot.contract import Contract

if TYPE_CHECKING:
    from lightning.fabric import Fabric

NOISE_CLIP = 0.3  # bound of the noise on next actions, as in the authors' code


class CqnAsPolicy(PixelPolicy):
    """The first action of the critic's greedy sequence, with a little noise to explore."""

    def __init__(
        self,
        contract: Contract,
        cfg: CqnAsConfig,
        encoder: PixelEncoder,
        normalizer: ProprioNormalizer,
        critic: SequenceCritic,
    ) -> None:
        super().__init__(contract, cfg, encoder, normalizer)
        self.critic, self.std, self.updates = critic, cfg.noise, 0

    @staticmethod
    def make(contract: Contract, cfg: CqnAsConfig, seed: int) -> CqnAsPolicy:
        """A new policy of a configuration, to load weights into."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            encoder = make_encoder(contract, cfg)
            critic = SequenceCritic(contract, encoder.size, cfg.encoder, cfg.critic)
            return CqnAsPolicy(contract, cfg, encoder, ProprioNormalizer(contract), critic)

    def normalised(self, features: torch.Tensor, proprio: torch.Tensor, noise: torch.Tensor | None) -> torch.Tensor:
        action = self.critic.best(features, proprio)[:, 0]
        return action if noise is None else (action + noise * schedule(self.std, self.updates)).clamp(-1.0, 1.0)


class CqnAs(PixelAgent):
    """See the module text, and ``PixelAgent`` for the arguments.
    There is no actor, so ``improve_actor`` changes nothing.
    """

    cfg: CqnAsConfig

    def __init__(self, contract: Contract, cfg: CqnAsConfig, fabric: Fabric, seed: int, compile: str = "off") -> None:
        check_agent(cfg)
        schedule(cfg.noise, 0)  # one that is none is refused now
        super().__init__(contract, cfg, fabric, seed, compile)
        policy = CqnAsPolicy.make(contract, cfg, seed).to(self.device)
        self.normalizer, self.encoder, self.critic = policy.normalizer, policy.encoder, policy.critic
        self.encoder.to(memory_format=torch.channels_last)
        self.learning = self.policy = policy
        self.trunk = self.critic.trunk.pixels
        every = cfg.target_every
        self.target_critic = self.averages.copy(self.critic, cfg.target_rate, every)
        self.target_encoder: Any = None
        if cfg.encoder.target_rate > 0:
            self.target_encoder = self.averages.copy(self.encoder, cfg.encoder.target_rate, every)
        networks = [*self.encoder.parameters(), *self.critic.parameters()]
        self.optimizers.add("critic", networks, cfg.learning_rate, cfg.beta1)
        self.add_auxiliary(seed)
        self._td_target, self._losses = self.compiler(self.td_target), self.compiler(self.losses)

    def lookup(self, pretrain: Any = ()) -> Lookup:
        look = super().lookup(pretrain)
        return Lookup(look.discount, look.n_step, self.critic.sequence, look.ahead)

    # ------------------------------------------------------------------- update
    def update(self, batch: Batch, bc_weight: float = 0.0, improve_actor: bool = True) -> dict[str, torch.Tensor]:
        clones = bc_weight > 0 and len(batch.imitate) > 0
        batch = self.mirrored(batch)
        self.compiler.begin()
        self.optimizers.zero()
        with self.fabric.autocast():
            now, after = self.draw_views(batch)
            noise = self.noise(len(batch)) * schedule(self.cfg.noise, self.updates)
            others = self.draw_others(batch)
            target = self._td_target(batch, after, noise.clamp(-NOISE_CLIP, NOISE_CLIP))
            weight = torch.full((), bc_weight, device=self.device) if clones else None
            loss, metrics = self._losses(batch, now, others, target, weight)
        self.optimizers.backward(loss)
        self.optimizers.step("critic", "auxiliary")
        self.follow()
        return self.compiler.kept({name: number.detach() for name, number in metrics.items()})

    @torch.no_grad()
    def td_target(self, batch: Batch, after: View, noise: torch.Tensor) -> torch.Tensor:
        """What the critic learns, probabilities ``(B, levels, K, A, atoms)``:
        of the next state's greedy sequence with ``noise`` on it.
        """
        features = self.encoder(after.pixels)
        actions = (self.critic.best(features, after.proprio) + noise[:, None]).clamp(-1.0, 1.0)
        if self.target_encoder is not None:
            features = self.target_encoder(after.pixels)
        prediction = self.target_critic.predict(features, after.proprio, actions)
        return self.critic.target(prediction, batch.reward, batch.discount)

    def losses(
        self,
        batch: Batch,
        now: View,
        others: dict[str, torch.Tensor],
        target: torch.Tensor,
        bc_weight: torch.Tensor | None,
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """What critic, cloning and auxiliary losses minimise together, and each loss."""
        assert batch.actions is not None
        actions = self.scale.to_network(batch.actions)
        features = self.encoder(now.pixels)
        seen = features if self.cfg.encoder.from_critic else features.detach()
        prediction = self.critic.predict(seen, now.proprio, actions)
        loss = self.critic.loss(prediction, target)
        metrics = {"critic_loss": loss.detach(), "q": self.critic.value(prediction).mean().detach()}
        if bc_weight is not None:
            bc_loss = self.cloning_loss(features, now.proprio, actions, batch.imitate)
            loss, metrics["bc_loss"] = loss + bc_weight * bc_loss, bc_loss.detach()
        for name, term in self.auxiliary_losses(features, others, batch).items():
            loss, metrics[name] = loss + self.auxiliary[name].weight * term, term.detach()
        return loss, metrics

    @torch.no_grad()
    def values(self, observations: Observation, actions: torch.Tensor) -> torch.Tensor:
        """Of the greedy sequences that begin with ``actions``; one critic, so M is 1."""
        observations = {name: value.to(self.device) for name, value in observations.items()}
        features = self.encoder(self.encoder.stack(self.policy.views(observations)))
        proprio = self.normalizer(observations)
        sequence = self.critic.best(features, proprio)
        sequence[:, 0] = self.scale.to_network(actions.to(self.device))
        return self.critic.value(self.critic.predict(features, proprio, sequence))[None]

    def cloning_loss(
        self, features: torch.Tensor, proprio: torch.Tensor, actions: torch.Tensor, imitate: torch.Tensor
    ) -> torch.Tensor:
        """See ``SequenceCritic.cloning_loss``; of the first D rows, those to imitate."""
        rows = len(imitate)
        return self.critic.cloning_loss(features[:rows], proprio[:rows], actions[:rows], imitate.float())

    def clone(self, batch: Batch) -> torch.Tensor:
        batch = self.mirrored(batch)
        assert batch.actions is not None
        with self.fabric.autocast():
            features, proprio = self.encoder(self.pixels(batch.obs)), self.proprio(batch.obs)
            loss = self.cloning_loss(features, proprio, self.scale.to_network(batch.actions), batch.imitate)
        self.optimizers.zero()
        self.optimizers.backward(loss)
        self.optimizers.step("critic")
        return loss.detach()

    def modules(self) -> dict[str, nn.Module]:
        found = {
            "normalizer": self.normalizer,
            "encoder": self.encoder,
            "critic": self.critic,
            "target_encoder": self.target_encoder,
            "target_critic": self.target_critic,
            "auxiliary": self.auxiliary,
        }
        return {name: module for name, module in found.items() if module is not None}
