"""An actor-critic from pixels, of which CURL, RAD, FERM, ATC, FLARE, DrQ, DrQ-v2 and RLPD are settings.

One convolutional encoder serves actor and critics. It learns from what the configuration names: the critics'
temporal-difference error, auxiliary losses (contrast and kin), and a cloning term where one is on; the actor's own
value gradient never reaches it. ``update`` is the whole algorithm: first every random number, then the losses, then the
steps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from policies.data.batch import Batch
from policies.data.replay import Lookup
from policies.networks.normalizers import ProprioNormalizer
from policies.policy import Observation
from policies.rl import choice
from policies.rl.actors import Temperature, make_actor
from policies.rl.checks import check_agent
from policies.rl.choice import ChoicePolicy, chooses, make_prior
from policies.rl.config import ActorCriticConfig
from policies.rl.critics import make_critics
from policies.rl.exploration import make_exploration
from policies.rl.pixel_agent import PixelAgent, View, part_of, repeat
from policies.rl.pixel_policy import ActorPolicy, make_encoder
from robot.contract import Contract

if TYPE_CHECKING:
    from lightning.fabric import Fabric

Terms = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Noise:
    """Every random number of an update beside its views.

    Attributes:
        target: standard normal ``(views * B, A)``, of the next actions.
        members: ``(M,)``, an order of the critics; the first of them make the target.
        others: of each auxiliary loss, the view that it compares with.
        std: exploration noise now, of actors that do not learn their own; a scalar.
        actor: standard normal ``(views * B, A)``, of the actor's loss; None when it is not the actor's turn.
    """

    target: torch.Tensor
    members: torch.Tensor
    others: dict[str, torch.Tensor]
    std: torch.Tensor
    actor: torch.Tensor | None


class ActorCritic(PixelAgent):
    """See the module text, and ``PixelAgent`` for the arguments."""

    cfg: ActorCriticConfig

    def __init__(
        self, contract: Contract, cfg: ActorCriticConfig, fabric: Fabric, seed: int, compile: str = "off"
    ) -> None:
        check_agent(cfg)
        super().__init__(contract, cfg, fabric, seed, compile)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)  # the same weights whatever was computed before, and on every device
            self.normalizer = ProprioNormalizer(contract)
            self.encoder = make_encoder(contract, cfg)
            self.actor: Any = make_actor(contract, self.encoder.size, cfg)
            self.critics: Any = make_critics(contract, self.encoder.size, cfg)
        for module in (self.normalizer, self.encoder, self.actor, self.critics):
            module.to(self.device)
        self.encoder.to(memory_format=torch.channels_last)
        self.trunk = self.critics.trunk.pixels
        self.temperature = Temperature(self.actor.entropy, contract.action.size) if self.actor.entropy else None
        self._make_copies()
        self._make_optimizers()
        self.add_auxiliary(seed)
        self.exploration = make_exploration(cfg.exploration, contract)
        self.acted = torch.zeros(2)  # actions of the prior, and all, since they were last asked for
        self._td_target, self._losses = self.compiler(self.td_target), self.compiler(self.losses)
        self._actor_loss = self.compiler(self.actor_loss)

    def _make_copies(self) -> None:
        """Targets, and the averaged policy: what is evaluated and exported is steadier than the newest one."""
        cfg, add, every = self.cfg, self.averages.add, self.cfg.target_every
        self.target_encoder: Any = None
        if cfg.encoder.target_rate > 0:
            # in the references (CURL, RAD, FERM, FLARE, ATC) convolutions and trunk are one encoder with a rate of its
            # own
            self.target_encoder = self.averages.copy(self.encoder, cfg.encoder.target_rate, every)
            self.target_critics = self.averages.copy(self.critics, cfg.target_rate, every, apart="trunk")
            add(self.critics.trunk, self.target_critics.trunk, cfg.encoder.target_rate, every)
        else:
            self.target_critics = self.averages.copy(self.critics, cfg.target_rate, every)
        self.prior = make_prior(self.contract, cfg, self.encoder, self.actor)
        if self.prior is not None:
            self.prior.to(self.device)
        self.learning = self._policy(self.encoder, self.actor, self.target_critics)
        encoder, actor, critics = self.encoder, self.actor, self.critics
        if cfg.policy_average < 1.0:
            encoder, actor = (self.averages.copy(m, cfg.policy_average) for m in (encoder, actor))
            critics = self.averages.copy(critics, cfg.policy_average) if chooses(cfg) else critics
        self.policy = self._policy(encoder, actor, critics)
        for policy in (self.learning, self.policy):
            policy.scale.to(self.device)

    def _policy(self, encoder: Any, actor: Any, critics: Any) -> ActorPolicy:
        if chooses(self.cfg):
            prior = self.prior if self.cfg.prior_acts else None
            return ChoicePolicy(self.contract, self.cfg, encoder, self.normalizer, actor, critics, prior)
        return ActorPolicy(self.contract, self.cfg, encoder, self.normalizer, actor)

    def _make_optimizers(self) -> None:
        add, rate, beta1 = self.optimizers.add, self.cfg.learning_rate, self.cfg.beta1
        add("critic", [*self.encoder.parameters(), *self.critics.parameters()], rate, beta1)
        add("actor", self.actor.parameters(), rate, beta1)
        if self.temperature is not None:
            self.temperature.to(self.device)
            entropy = self.actor.entropy
            add("temperature", self.temperature.parameters(), entropy.temperature_rate, entropy.temperature_beta1)

    # ------------------------------------------------------------------- update
    def update(self, batch: Batch, bc_weight: float = 0.0, improve_actor: bool = True) -> Terms:
        """One gradient step of encoder, critics and auxiliary losses; and, when it is its turn, of actor and
        temperature.

        Args:
            batch: on this device.
            bc_weight: weight of the cloning term on the rows to imitate; 0 leaves it out.
            improve_actor: False trains the critics (and the cloning term) only, while they are too young to be
                followed.

        Returns:
            Scalars to log, still on the device.
        """
        batch = self.mirrored(batch)
        turn = self.updates % self.cfg.actor_every == 0  # of the actor
        improves, clones = turn and improve_actor, turn and bc_weight > 0 and len(batch.imitate) > 0
        self.compiler.begin()
        self.optimizers.zero()
        with self.fabric.autocast():
            now, after, noise = self.draw(batch, improves)
            target = self._td_target(batch, after, noise)
            weight = torch.full((), bc_weight, device=self.device) if clones else None
            loss, features, metrics = self._losses(batch, now, noise, target, weight)
        self.optimizers.backward(loss)  # reaches encoder, critics and auxiliary losses, and the actor where it clones
        self.optimizers.step("critic", "auxiliary")
        self.critics.project()
        if improves:
            metrics |= self.improve_actor(features, now, noise)
        if improves or clones:
            self.optimizers.step("actor")
        self.follow()
        return self.compiler.kept({name: number.detach() for name, number in metrics.items()})

    def draw(self, batch: Batch, improves: bool) -> tuple[View, View, Noise]:
        """Every random number of an update: views of the batch now and after it, and noise."""
        now, after = self.draw_views(batch, self.cfg.views)
        target = self.noise(len(after.pixels))
        members = torch.randperm(self.critics.members, generator=self.generator, device=self.device)
        others = self.draw_others(batch)
        # compiled code takes a changing number for a changed program: a scalar on the device
        std = torch.full((), self.actor.noise_std(self.updates), device=self.device)
        return now, after, Noise(target, members, others, std, self.noise(len(now.pixels)) if improves else None)

    @torch.no_grad()
    def td_target(self, batch: Batch, after: View, noise: Noise) -> torch.Tensor:
        """What the critics learn, batch first: ``r + gamma^n Q(o', a')``, averaged over the views of o'."""
        views = self.cfg.views
        features = self.encoder(after.pixels)
        action, log_prob = self.actor.sample(features, after.proprio, noise.target, noise.std, True)
        if self.target_encoder is not None:
            features = self.target_encoder(after.pixels)
        prediction = self._best_prediction(features, after.proprio, action, noise, batch)
        bonus = torch.zeros_like(log_prob)
        if self.temperature is not None and self.actor.entropy.backup_entropy:
            bonus = -self.temperature.alpha * log_prob
        reward, discount = repeat(batch.reward, views), repeat(batch.discount, views)
        target = self.critics.target(prediction, reward, discount, bonus)
        target = target if views == 1 else target.unflatten(0, (views, -1)).mean(dim=0)
        if batch.floor is not None:
            target = torch.maximum(target, batch.floor)
        return target.clamp(*self.cfg.value_range) if self.cfg.value_range else target

    def _best_prediction(
        self, features: torch.Tensor, proprio: torch.Tensor, action: torch.Tensor, noise: Noise, batch: Batch
    ) -> torch.Tensor:
        """The drawn target critics' prediction for the best of what may be done next: by default the actor's action."""
        cfg, critics = self.cfg, self.target_critics
        drawn, by_value = noise.members[: self.critics.subset], cfg.gripper == "values"
        if not (by_value or (self.prior is not None and cfg.prior_bootstraps)):
            return critics.predict(features, proprio, action)[drawn]
        given = None
        if self.prior is not None and cfg.prior_bootstraps:
            assert batch.next_proposal is not None
            given = repeat(batch.next_proposal, cfg.views)
        actions = choice.proposals(action, given, by_value)
        trunk = critics.trunk(features, proprio)
        found = critics.evaluate(trunk.repeat(len(actions), 1), actions.flatten(0, 1))[drawn]
        found = found.unflatten(1, (len(actions), -1))  # (M, K, B) or (M, K, B, atoms)
        best = critics.value(found.flatten(1, 2)).unflatten(1, (len(actions), -1)).min(dim=0).values.argmax(dim=0)
        return found[:, best, torch.arange(len(best), device=best.device)]

    def losses(
        self, batch: Batch, now: View, noise: Noise, target: torch.Tensor, bc_weight: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor, Terms]:
        """What critics, cloning and auxiliary losses minimise together, the features without their gradient, and each
        loss.

        Args:
            target: ``(B, ...)``, from ``td_target``.
            bc_weight: a scalar; None leaves cloning out.
        """
        views, rows = self.cfg.views, len(batch)
        action = self.scale.to_network(batch.action)
        features = self.encoder(now.pixels)
        seen = features if self.cfg.encoder.from_critic else features.detach()
        prediction = self.critics.predict(seen, now.proprio, repeat(action, views))
        loss = self.critics.loss(prediction, repeat(target, views)) * views
        metrics = {"critic_loss": loss.detach(), "q": self.critics.value(prediction).mean().detach()}
        if bc_weight is not None:
            imitate = batch.imitate
            if self.cfg.bc_filter:
                own = self.actor.mean(features, now.proprio)
                imitate = imitate & choice.outdone(self.critics, prediction, features, now.proprio, own)[: len(imitate)]
                metrics["bc_share"] = imitate.float().mean()
            bc_loss = self.cloning_loss(features, now.proprio, action, imitate)
            loss, metrics["bc_loss"] = loss + bc_weight * bc_loss, bc_loss.detach()
        for name, term in self.auxiliary_losses(features[:rows], noise.others, batch).items():
            loss, metrics[name] = loss + self.auxiliary[name].weight * term, term.detach()
        return loss, features.detach(), metrics

    def cloning_loss(
        self, features: torch.Tensor, proprio: torch.Tensor, action: torch.Tensor, imitate: torch.Tensor
    ) -> torch.Tensor:
        """Squared error between the best action and the one to imitate, in [-1, 1], summed over dimensions; mean over
        rows.

        Args:
            imitate: ``(D,)`` bool, as ``Batch.imitate``: which of the first D rows count.
        """
        rows, weight = len(imitate), imitate.float()
        error = (self.actor.mean(features[:rows], proprio[:rows]) - action[:rows]).square().sum(dim=1)
        return (error * weight).sum() / weight.sum().clamp(min=1.0)

    def improve_actor(self, features: torch.Tensor, now: View, noise: Noise) -> Terms:
        """Add the value's gradient to what cloning left on the actor, and step the temperature."""
        self.critics.requires_grad_(False)
        with self.fabric.autocast():
            loss, log_prob = self._actor_loss(features, now, noise)
        self.optimizers.backward(loss)
        self.critics.requires_grad_(True)
        if self.temperature is None:
            return {"actor_loss": loss, "noise": noise.std}
        self.temperature.loss(log_prob).backward()
        self.optimizers.step("temperature")
        return {"actor_loss": loss, "entropy": -log_prob.mean(), "alpha": self.temperature.alpha}

    def actor_loss(self, features: torch.Tensor, now: View, noise: Noise) -> tuple[torch.Tensor, torch.Tensor]:
        """``alpha log pi(a) - Q(o, a)``, a scalar, and the log-probabilities ``(B,)`` without their gradient."""
        assert noise.actor is not None
        action, log_prob = self.actor.sample(features, now.proprio, noise.actor, noise.std, True)
        if self.cfg.gripper == "values":
            values = choice.values_of(self.critics, features, now.proprio, choice.both_grips(action))
        else:
            values = self.critics.value(self.critics.predict(features, now.proprio, action))
        value = values.mean(dim=0) if self.cfg.actor_value == "mean" else values.min(dim=0).values
        if self.cfg.gripper == "values":
            value = value.max(dim=0).values
        if self.temperature is None:
            return -value.mean(), log_prob
        return (self.temperature.alpha.detach() * log_prob - value).mean(), log_prob.detach()

    def clone(self, batch: Batch) -> torch.Tensor:
        batch = self.mirrored(batch)
        with self.fabric.autocast():
            features, proprio = self.encoder(self.pixels(batch.obs)), self.proprio(batch.obs)
            loss = self.cloning_loss(features, proprio, self.scale.to_network(batch.action), batch.imitate)
        self.optimizers.zero()
        self.optimizers.backward(loss)
        # the encoder's moments are with the critics', which have no gradient here and stay
        self.optimizers.step("critic", "actor")
        self.critics.project()
        return loss.detach()

    def explore(self, observations: Observation) -> torch.Tensor:
        action = self._sampled(observations).float()
        if self.exploration is None or (self.exploration.wants_values and self.updates == 0):
            return action
        value = None
        if self.exploration.wants_values:
            learning = self.learning
            features = learning.encoder(learning.encoder.stack(learning.views(observations)))
            found = self.target_critics.predict(features, self.normalizer(observations), action)
            value = self.target_critics.value(found).min(dim=0).values
        return self.exploration.apply(action, self.generator, value)

    def acting_tensors(self) -> dict[str, torch.Tensor]:
        found = super().acting_tensors()
        if self.exploration is not None and self.exploration.wants_values:
            found |= {f"target_critics.{name}": value for name, value in self.target_critics.state_dict().items()}
        return found

    def _sampled(self, observations: Observation) -> torch.Tensor:
        """Actions ``(B, A)`` of the learning policy, with the actor's own noise."""
        if not isinstance(self.learning, ChoicePolicy):
            return super().explore(observations)
        noise = self.noise(_rows(observations), self.learning.noise_size)
        if self.updates == 0:  # critics that have learned nothing do not choose: the policy acts as cloning left it
            action = ActorPolicy.forward(self.learning, observations, noise[:, :-1])
            return choice.two_valued(action) if self.cfg.gripper == "values" else action
        action, of_prior = self.learning.choose(observations, noise)
        self.acted += torch.tensor([float(of_prior.sum()), len(of_prior)])
        return action

    def numbers(self) -> dict[str, float]:
        if not (isinstance(self.learning, ChoicePolicy) and self.learning.prior is not None and self.acted[1] > 0):
            return {}
        share = float(self.acted[0] / self.acted[1])
        self.acted.zero_()
        return {"prior_acted": share}

    def observe(self, rewards: np.ndarray) -> None:
        self.critics.observe(rewards)

    @torch.no_grad()
    def values(self, observations: Observation, actions: torch.Tensor) -> torch.Tensor:
        observations = {name: value.to(self.device) for name, value in observations.items()}
        features = self.encoder(self.encoder.stack(self.learning.views(observations)))
        action = self.scale.to_network(actions.to(self.device))
        prediction = self.critics.predict(features, self.normalizer(observations), action)
        return self.critics.in_rewards(self.critics.value(prediction))

    # -------------------------------------------------------------------- prior
    def lookup(self, pretrain: Sequence[Any] = ()) -> Lookup:
        keeps = self.prior is not None and self.cfg.prior_bootstraps
        return replace(super().lookup(pretrain), floor=self.cfg.return_floor, proposals=keeps)

    @property
    def proposes(self) -> Callable[[Observation], torch.Tensor] | None:
        """What a frozen prior would do, ``(B, A)`` in [-1, 1], to be kept with each frame; None without a prior."""
        return self._propose if self.prior is not None and self.cfg.prior_bootstraps else None

    @torch.no_grad()
    def _propose(self, observations: Observation) -> torch.Tensor:
        assert self.prior is not None
        action = self.prior({name: value.to(self.device) for name, value in observations.items()})
        return choice.two_valued(action) if self.cfg.gripper == "values" else action

    @property
    def cloned(self) -> tuple[ActorPolicy, ActorCriticConfig]:
        cfg = replace(self.cfg, prior="none", gripper="actor")
        return ActorPolicy(self.contract, cfg, self.policy.encoder, self.normalizer, self.policy.actor), cfg

    def reset_targets(self) -> None:
        super().reset_targets()
        if self.prior is not None and self.cfg.prior == "clone":
            for mine, copied in self.prior.named_children():
                copied.load_state_dict(getattr(self.learning, mine).state_dict())

    # -------------------------------------------------------------------- state
    def modules(self) -> dict[str, nn.Module]:
        critics = getattr(self.policy, "critics", None)
        found = {
            "normalizer": self.normalizer,
            "encoder": self.encoder,
            "actor": self.actor,
            "critics": self.critics,
            "target_encoder": self.target_encoder,
            "target_critics": self.target_critics,
            "mean_encoder": self.policy.encoder if self.policy.encoder is not self.encoder else None,
            "mean_actor": self.policy.actor if self.policy.actor is not self.actor else None,
            "mean_critics": critics if critics not in (None, self.critics) else None,
            "prior": self.prior,
            "temperature": self.temperature,
            "auxiliary": self.auxiliary,
        }
        return {name: module for name, module in found.items() if module is not None}

    def state_dict(self) -> dict[str, torch.Tensor]:
        bursts = self.exploration.state_dict() if self.exploration is not None else {}
        counts = {"acted": self.acted} if chooses(self.cfg) else {}
        return super().state_dict() | counts | {f"exploration.{k}": v for k, v in bursts.items()}

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        super().load_state_dict(state)
        if chooses(self.cfg):
            self.acted.copy_(state["acted"])
        if self.exploration is not None:
            self.exploration.load_state_dict(part_of(state, "exploration"), self.device)


def _rows(observations: Observation) -> int:
    return len(next(iter(observations.values())))
