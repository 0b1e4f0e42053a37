"""An actor-critic from pixels, of which CURL, RAD, FERM, ATC, FLARE, DrQ, DrQ-v2 and RLPD are settings.

One convolutional encoder serves actor and critics. It learns from what the configuration names: the critics' temporal-difference
error, objectives (contrast and kin), and a cloning term where one is on; the actor's own value gradient never reaches it.

An agent has four verbs: ``act``, ``update``, ``state_dict``, ``load_state_dict``.
"""

from __future__ import annotations

import copy
import functools
from typing import Any

import numpy as np
import torch
from lightning.fabric import Fabric
from torch import nn

from policies.augment import make_augmentation, scale_amplitude
from policies.config import AgentConfig
from policies.data.replay import Batch
from policies.networks.encoder import Observation, PixelEncoder, ProprioNormalizer
from policies.rl.actors import Entropy, ZoomActor, make_actor, make_zoom, zooms
from policies.rl.auxiliary import make_objectives
from policies.rl.critics.base import make_critics
from policies.rl.exploration import make_exploration
from policies.runtime.compiling import Compiler
from robot.contract import Contract
from robot.errors import PixelarmError


class ActionScale(nn.Module):
    """Between the contract's physical bounds and the networks' [-1, 1]."""

    middle: torch.Tensor
    half_range: torch.Tensor

    def __init__(self, contract: Contract) -> None:
        super().__init__()
        low, high = torch.tensor(contract.action.low), torch.tensor(contract.action.high)
        self.register_buffer("middle", (low + high) / 2)
        self.register_buffer("half_range", (high - low) / 2)

    def to_network(self, action: torch.Tensor) -> torch.Tensor:
        return (action - self.middle) / self.half_range

    def to_physical(self, action: torch.Tensor) -> torch.Tensor:
        return self.middle + self.half_range * action


class Agent:
    """Networks, targets and optimisers. ``fabric`` gives device, precision and the averaging of gradients over devices.

    ``compile`` is ``trainer.compile``; anything but "off" is quicker and differs from it by rounding.
    """

    def __init__(self, contract: Contract, cfg: AgentConfig, fabric: Fabric, seed: int, compile: str = "off") -> None:
        check_agent(cfg)
        self.contract, self.cfg, self.fabric, self.device = contract, cfg, fabric, fabric.device
        self.augmentation = make_augmentation(cfg.augmentation)
        sizes = {self.augmentation.size(c.height, c.width) for c in contract.cameras}
        if len(sizes) != 1:
            raise PixelarmError(f"cameras must show pictures of one size after augmentation, got {sorted(sizes)}")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)  # the same weights whatever was computed before, and on every device
            self.normalizer = ProprioNormalizer(contract)
            self.scale = ActionScale(contract)
            self.encoder = PixelEncoder(contract, cfg.encoder, sizes.pop())
            zoom = zooms(cfg)
            actor = None if zoom else make_actor(contract, self.encoder.size, cfg)
            self.critics: Any = make_critics(contract, self.encoder.size, cfg)
            if zoom != (self.critics.sequence > 1):
                raise PixelarmError(
                    f"actor zoom and critic sequence belong together, got actor {cfg.actor} and critic {cfg.critic}"
                )
            self.actor: Any = make_zoom(self.critics, cfg) if actor is None else actor
        for module in (self.normalizer, self.scale, self.encoder, self.actor, self.critics):
            module.to(self.device)
        self.encoder.to(memory_format=torch.channels_last)
        self.target_critics = _frozen(self.critics)
        self.target_encoder = _frozen(self.encoder) if cfg.encoder.target_rate > 0 else None
        # the policy that is evaluated and exported: an average over recent updates, steadier than the newest one
        averaged = cfg.policy_average < 1.0
        self.mean_encoder = _frozen(self.encoder) if averaged else self.encoder
        self.mean_actor = _frozen(self.actor) if averaged else self.actor
        self.entropy: Entropy | None = self.actor.entropy
        initial = self.entropy.temperature if self.entropy else 1.0
        self.log_alpha = torch.tensor(float(np.log(initial)), device=self.device, requires_grad=True)
        self.compiler = Compiler(compile, self.device)
        self._target_values, self._losses = self.compiler(self._target_of), self.compiler(self._losses_of)
        self._actor_loss = self.compiler(self._actor_loss_of)
        # on a CPU in full precision the plain loop over parameters, whose rounding the fused kernel does not share
        plain = self.device.type == "cpu" and fabric.strategy.precision.precision == "32-true" and not self.compiler.on
        adam = functools.partial(torch.optim.Adam, fused=not plain)
        rate, betas = cfg.learning_rate, (cfg.beta1, 0.999)
        critic_side = [*self.encoder.parameters(), *self.critics.parameters()]
        self.optimizers = {"critic": adam(critic_side, rate, betas)}
        if not zoom:
            self.optimizers["actor"] = adam(self.actor.parameters(), rate, betas)
        if self.entropy:
            betas = (self.entropy.temperature_beta1, 0.999)
            self.optimizers["alpha"] = adam([self.log_alpha], self.entropy.temperature_rate, betas)
        self.objectives = make_objectives(cfg.objectives, self, seed)
        own = [p for p in self.objectives.parameters() if p.requires_grad]
        if own:
            self.optimizers["objective"] = adam(own, rate, (cfg.beta1, 0.999))
        # one stream a process, so that several devices draw different augmentations
        self.generator = torch.Generator(self.device).manual_seed(seed * 1000 + 17 + fabric.global_rank)
        self.exploration = make_exploration(cfg.exploration, contract)
        self.updates = 0

    # ---------------------------------------------------------------------- act
    @torch.no_grad()
    def act(self, observation: Observation, sample: bool) -> np.ndarray:
        """Actions ``(B, A)`` float32 in contract units for a batch of observations (tensors as in ``Replay``).

        With ``sample``, of the learning policy, to explore; without, the best action of the averaged one.
        """
        observation = {name: value.to(self.device) for name, value in observation.items()}
        with self.fabric.autocast():
            if sample:
                features = self.encoder(self.encoder.stack(self.acting_view(observation)))
                noise = self._noise(len(features))
                action, _ = self.actor.sample(features, self.normalizer(observation), noise, self._std(), False)
            else:
                features = self.mean_encoder(self.mean_encoder.stack(self.acting_view(observation)))
                action = self.mean_actor.mean(features, self.normalizer(observation))
        action = action[:, 0] if action.ndim == 3 else action  # of a sequence, the first
        if sample and self.exploration is not None:
            action = self.exploration.apply(action.float(), self.generator)
        return self.scale.to_physical(action.float()).cpu().numpy()

    def acting_view(self, observation: Observation) -> Observation:
        """The observation's images as a policy sees them outside training."""
        return {name: self.augmentation.act(v) if v.ndim == 4 else v for name, v in observation.items()}

    @property
    def noise_std(self) -> float:
        """Exploration noise now, of actors that do not learn their own."""
        return self.actor.noise_std(self.updates)

    def _std(self) -> torch.Tensor:
        """``noise_std`` as a scalar on the device: compiled code takes a changing number for a changed program."""
        return torch.full((), self.noise_std, device=self.device)

    def _noise(self, rows: int) -> torch.Tensor:
        return torch.randn(rows, self.contract.action.size, generator=self.generator, device=self.device)

    def view(self, observation: Observation) -> torch.Tensor:
        """A random view of a batch, as the encoder takes it."""
        images = {name: self.augmentation.train(observation[name], self.generator) for name in self.encoder.cameras}
        return self.encoder.stack(images)

    def proprio(self, observation: Observation) -> torch.Tensor:
        """Normalised proprioception ``(B, n)``, its amplitude scaled at random if the configuration says so."""
        values = self.normalizer(observation)
        if self.cfg.proprio_scaling:
            low, high = self.cfg.proprio_scaling
            values = scale_amplitude(values, low, high, self.generator)
        return values

    # ------------------------------------------------------------------- update
    def update(self, batch: Batch, bc_weight: float = 0.0, improve_actor: bool = True) -> dict[str, torch.Tensor]:
        """One gradient step of encoder, critics and objectives; and, when it is its turn, of actor and temperature.

        Args:
            batch: as ``Replay.sample`` gives it, on this device; its first ``demo_rows`` rows are demonstrations.
            bc_weight: weight of the cloning term on those of them that are to be imitated; 0 leaves it out.
            improve_actor: False trains the critics (and the cloning term) only, while they are too young to be followed.

        Returns:
            Scalars to log, still on the device.
        """
        self.compiler.begin()
        self._zero_grad()
        views = self.cfg.views
        turn = self.updates % self.cfg.actor_every == 0  # of the actor
        before = self.generator.get_state() if self.cfg.same_augmentation else None
        with self.fabric.autocast():
            pixels = self._views(batch["obs"])
            if before is not None:
                self.generator.set_state(before)
            next_pixels = self._views(batch["next_obs"])
            proprio, next_proprio = (_repeat(self.proprio(batch[key]), views) for key in ("obs", "next_obs"))
            target = self._target(batch, next_pixels, next_proprio)
            others = {name: objective.other(self, batch) for name, objective in self.objectives.items()}
            cloning = bc_weight > 0 and turn and batch["demo_rows"]
            weight = torch.full((), bc_weight, device=self.device) if cloning else None
            loss, convolved, metrics = self._losses(batch, pixels, proprio, target, others, weight)
        self.fabric.backward(loss)
        self._step("critic", "objective")
        if turn and improve_actor and "actor" in self.optimizers:
            metrics |= self._improve_actor(convolved, proprio)
        if turn and (improve_actor or bc_weight > 0):
            self._step("actor")
        self.updates += 1
        self._average()
        return self.compiler.kept({name: number.detach() for name, number in metrics.items()})

    def _losses_of(
        self,
        batch: Batch,
        pixels: torch.Tensor,
        proprio: torch.Tensor,
        target: torch.Tensor,
        others: dict[str, torch.Tensor],
        bc_weight: torch.Tensor | None,
    ) -> tuple[torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]:
        """What critics, objectives and cloning ask for together, the features without their gradient, and each loss.

        Nothing is drawn here, nor in ``_target_of`` and ``_actor_loss_of``: these three are what ``trainer.compile`` compiles.

        Args:
            pixels, proprio: all views, one after the other.
            target: ``(B, ...)``, what the critics learn.
            others: of each objective, the view that it compares with.
            bc_weight: a scalar; None leaves cloning out.
        """
        views, rows = self.cfg.views, len(batch["reward"])
        action = self._actions(batch)
        convolved = self.encoder(pixels)
        seen = convolved if self.cfg.encoder.from_critic else convolved.detach()
        prediction = self.critics.predict(seen, proprio, _repeat(action, views))
        loss = self.critics.loss(prediction, _repeat(target, views)) * views
        metrics = {"critic_loss": loss.detach(), "q": self.critics.value(prediction).mean().detach()}
        if bc_weight is not None:
            bc_loss = self.cloning_loss(convolved[:rows], proprio[:rows], action, batch)
            loss, metrics["bc_loss"] = loss + bc_weight * bc_loss, bc_loss.detach()
        for name, objective in self.objectives.items():
            term = objective.loss(self, convolved[:rows], batch, others[name])
            loss, metrics[name] = loss + objective.weight * term, term.detach()
        return loss, convolved.detach(), metrics

    def _actions(self, batch: Batch) -> torch.Tensor:
        """The batch's actions in [-1, 1], ``(B, A)``, or ``(B, K, A)`` for critics of sequences."""
        return self.scale.to_network(batch["actions" if self.critics.sequence > 1 else "action"])

    def _views(self, observation: Observation) -> torch.Tensor:
        """Random views of a batch, one after the other, ``(views * B, C, H, W)``."""
        drawn = [self.view(observation) for _ in range(self.cfg.views)]
        return drawn[0] if len(drawn) == 1 else torch.cat(drawn)

    @torch.no_grad()
    def _target(self, batch: Batch, pixels: torch.Tensor, proprio: torch.Tensor) -> torch.Tensor:
        """What the critics learn, batch first: ``r + gamma^n Q(o', a')``, averaged over the views of o'."""
        noise = self._noise(len(pixels))
        order = torch.randperm(self.critics.members, generator=self.generator, device=self.device)
        return self._target_values(batch, pixels, proprio, noise, self._std(), order)

    @torch.no_grad()
    def _target_of(
        self,
        batch: Batch,
        pixels: torch.Tensor,
        proprio: torch.Tensor,
        noise: torch.Tensor,
        std: torch.Tensor,
        order: torch.Tensor,
    ) -> torch.Tensor:
        """``_target``, after it has drawn ``noise`` for the actions and the ``order`` ``(M,)`` of the critics."""
        views = self.cfg.views
        convolved = self.encoder(pixels)
        action, log_prob = self.actor.sample(convolved, proprio, noise, std, True)
        if self.target_encoder is not None:
            convolved = self.target_encoder(pixels)
        prediction = self.target_critics.predict(convolved, proprio, action)
        bonus = torch.zeros_like(log_prob)
        if self.entropy and self.entropy.backup_entropy:
            bonus = -self.log_alpha.exp() * log_prob
        reward, discount = _repeat(batch["reward"], views), _repeat(batch["discount"], views)
        target = self.critics.target(prediction[order[: self.critics.subset]], reward, discount, bonus)
        return target if views == 1 else target.unflatten(0, (views, -1)).mean(dim=0)

    def cloning_loss(
        self, convolved: torch.Tensor, proprio: torch.Tensor, action: torch.Tensor, batch: Batch
    ) -> torch.Tensor:
        """How far the policy is from the actions of the batch's demonstrations that are to be imitated.

        Squared error between the best action and the demonstrated one, both in [-1, 1], summed over dimensions; critics that
        choose actions themselves bring a loss of their own.
        """
        rows = batch["demo_rows"]
        convolved, proprio, action = convolved[:rows], proprio[:rows], action[:rows]
        weight = batch["imitate"][:rows].float()
        if isinstance(self.actor, ZoomActor):
            return self.critics.cloning_loss(convolved, proprio, action, weight)
        error = (self.actor.mean(convolved, proprio) - action).square().sum(dim=1)
        return (error * weight).sum() / weight.sum().clamp(min=1.0)

    def _improve_actor(self, convolved: torch.Tensor, proprio: torch.Tensor) -> dict[str, torch.Tensor]:
        """Add the actor's value gradient to what the cloning term left, and step the temperature."""
        self.critics.requires_grad_(False)
        with self.fabric.autocast():
            loss, log_prob = self._actor_loss(convolved, proprio, self._noise(len(convolved)), self._std())
        self.fabric.backward(loss)
        self.critics.requires_grad_(True)
        if not self.entropy:
            return {"actor_loss": loss, "noise": torch.tensor(self.noise_std)}
        aim = self.entropy.target_entropy * self.contract.action.size
        alpha_loss = -(self.log_alpha.exp() * (log_prob + aim)).mean()
        alpha_loss.backward()
        self._step("alpha")
        return {"actor_loss": loss, "entropy": -log_prob.mean(), "alpha": self.log_alpha.exp()}

    def _actor_loss_of(
        self, convolved: torch.Tensor, proprio: torch.Tensor, noise: torch.Tensor, std: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The actor's loss, a scalar, and the log-probabilities ``(B,)`` without their gradient."""
        action, log_prob = self.actor.sample(convolved, proprio, noise, std, True)
        values = self.critics.value(self.critics.predict(convolved, proprio, action))
        value = values.mean(dim=0) if self.cfg.actor_value == "mean" else values.min(dim=0).values
        return (self.log_alpha.exp().detach() * log_prob - value).mean(), log_prob.detach()

    def clone(self, batch: Batch) -> torch.Tensor:
        """One behaviour-cloning step of encoder and policy on demonstrations; returns the loss."""
        with self.fabric.autocast():
            pixels = self.view(batch["obs"])
            loss = self.cloning_loss(self.encoder(pixels), self.proprio(batch["obs"]), self._actions(batch), batch)
        self._zero_grad()
        self.fabric.backward(loss)
        self._step(
            "critic", "actor"
        )  # the encoder's moments are with the critics', which have no gradient here and stay
        return loss.detach()

    def observe(self, rewards: np.ndarray) -> None:
        """The rewards ``(N,)`` of one whole episode, demonstrated or own, for critics that scale what they learn by them."""
        self.critics.observe(rewards)

    def _zero_grad(self) -> None:
        for optimizer in self.optimizers.values():
            optimizer.zero_grad()

    def _step(self, *names: str) -> None:
        """Average the gradients over all devices, bound them if asked, and step the optimisers of these names."""
        for name in names:
            if name in self.optimizers:
                parameters = [p for group in self.optimizers[name].param_groups for p in group["params"]]
                self.share_gradients([p for p in parameters if p.grad is not None])
                self.optimizers[name].step()
        if "critic" in names:
            self.critics.project()

    def share_gradients(self, parameters: list[nn.Parameter]) -> None:
        """Make gradients the mean over all devices, and bound their norm if the configuration says so."""
        if self.fabric.world_size > 1 and parameters:
            flat = torch.cat([p.grad.flatten() for p in parameters])
            flat = self.fabric.all_reduce(flat, reduce_op="mean")
            start = 0
            for p in parameters:
                p.grad.copy_(flat[start : start + p.numel()].view_as(p))
                start += p.numel()
        if self.cfg.clip > 0:
            nn.utils.clip_grad_norm_(parameters, self.cfg.clip)

    def _average(self) -> None:
        """Move everything that follows the learning networks."""
        cfg = self.cfg
        if self.updates % cfg.target_every == 0:
            self._soft_update()
        if self.mean_actor is not self.actor:
            follow(self.encoder, self.mean_encoder, cfg.policy_average)
            follow(self.actor, self.mean_actor, cfg.policy_average)
        for objective in self.objectives.values():
            objective.follow(self)

    def _soft_update(self) -> None:
        """All targets follow. Where the target has convolutions of its own, the critics' trunk follows at their rate: in the
        references (CURL, RAD, FERM, FLARE, ATC) convolutions and trunk are one encoder."""
        cfg = self.cfg
        if self.target_encoder is None:
            follow(self.critics, self.target_critics, cfg.target_rate)
            return
        follow(self.encoder, self.target_encoder, cfg.encoder.target_rate)
        follow(self.critics.trunk, self.target_critics.trunk, cfg.encoder.target_rate)
        follow(self.critics, self.target_critics, cfg.target_rate, apart="trunk")

    def reset_targets(self) -> None:
        """Start everything that follows from the networks as they are, after pre-training."""
        self.mean_encoder.load_state_dict(self.encoder.state_dict())
        self.mean_actor.load_state_dict(self.actor.state_dict())
        if self.target_encoder is not None:
            self.target_encoder.load_state_dict(self.encoder.state_dict())
        self.target_critics.load_state_dict(self.critics.state_dict())
        for objective in self.objectives.values():
            objective.restart(self)

    # -------------------------------------------------------------------- state
    _POLICY = ("normalizer", "encoder", "actor")

    def policy_state(self) -> dict[str, torch.Tensor]:
        """The tensors that acting needs: those of the averaged policy."""
        modules = {"normalizer": self.normalizer, "encoder": self.mean_encoder, "actor": self.mean_actor}
        return {f"{name}.{k}": v for name, module in modules.items() for k, v in module.state_dict().items()}

    def load_policy_state(self, state: dict[str, torch.Tensor]) -> None:
        for name in self._POLICY:
            getattr(self, name).load_state_dict(_part(state, name))
        self.mean_encoder.load_state_dict(self.encoder.state_dict())
        self.mean_actor.load_state_dict(self.actor.state_dict())

    def _modules(self) -> tuple[str, ...]:
        averaged = ("target_encoder",) if self.target_encoder is not None else ()
        return (*self._POLICY, "mean_encoder", "mean_actor", "critics", "target_critics", "objectives", *averaged)

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Everything that decides the future of learning, as flat named tensors."""
        state = {f"{m}.{k}": v for m in self._modules() for k, v in getattr(self, m).state_dict().items()}
        state["log_alpha"] = self.log_alpha.detach()
        state["generator"] = self.generator.get_state()
        state["updates"] = torch.tensor(self.updates)
        if self.exploration is not None:
            state.update({f"exploration.{k}": v for k, v in self.exploration.state_dict().items()})
        for name, optimizer in self.optimizers.items():
            for index, moments in optimizer.state_dict()["state"].items():
                state.update({f"{name}_optimizer.{index}.{k}": v for k, v in moments.items()})
        return state

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        for name in self._modules():
            getattr(self, name).load_state_dict(_part(state, name))
        with torch.no_grad():
            self.log_alpha.copy_(state["log_alpha"])
        self.generator.set_state(state["generator"].cpu())
        self.updates = int(state["updates"])
        if self.exploration is not None:
            self.exploration.load_state_dict(_part(state, "exploration"), self.device)
        for name, optimizer in self.optimizers.items():
            moments: dict[int, dict[str, Any]] = {}
            for key, value in _part(state, f"{name}_optimizer").items():
                index, field = key.split(".")
                moments.setdefault(int(index), {})[field] = value
            optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})


def check_agent(cfg: AgentConfig) -> None:
    """Refuse an agent whose parts do not fit together, all problems at once."""
    problems = []
    if cfg.actor_value not in ("mean", "min"):
        problems.append(f"actor_value must be mean or min, got {cfg.actor_value!r}")
    if cfg.time_limit not in ("bootstrap", "terminal", "drop"):
        problems.append(f"time_limit must be bootstrap, terminal or drop, got {cfg.time_limit!r}")
    for name in ("n_step", "views", "actor_every", "target_every"):
        if getattr(cfg, name) < 1:
            problems.append(f"{name} must be at least 1, got {getattr(cfg, name)}")
    for name in ("discount", "target_rate", "policy_average", "beta1"):
        if not 0.0 <= getattr(cfg, name) <= 1.0:
            problems.append(f"{name} must be between 0 and 1, got {getattr(cfg, name)}")
    for name in ("learning_rate", "clip"):
        if getattr(cfg, name) < 0.0:
            problems.append(f"{name} must not be negative, got {getattr(cfg, name)}")
    if not 0.0 <= cfg.encoder.target_rate <= 1.0:
        problems.append(f"encoder.target_rate must be between 0 and 1, got {cfg.encoder.target_rate}")
    if min(cfg.encoder.feature_size, cfg.encoder.proprio_size) < 1:
        problems.append("encoder.feature_size and encoder.proprio_size must be at least 1")
    if not cfg.encoder.from_critic and not cfg.objectives:
        problems.append(
            "encoder.from_critic is off and there are no objectives: nothing would train the encoder online"
        )
    if cfg.proprio_scaling and not (len(cfg.proprio_scaling) == 2 and cfg.proprio_scaling[0] <= cfg.proprio_scaling[1]):
        problems.append(f"proprio_scaling is [low, high], got {cfg.proprio_scaling}")
    if problems:
        raise PixelarmError("this agent cannot learn:\n  - " + "\n  - ".join(problems))


def _frozen(module: Any) -> Any:
    return copy.deepcopy(module).requires_grad_(False)


def _repeat(values: torch.Tensor, views: int) -> torch.Tensor:
    return values if views == 1 else values.repeat(views, *[1] * (values.ndim - 1))


@torch.no_grad()
def follow(online: nn.Module, target: nn.Module, rate: float, apart: str = "") -> None:
    """``target`` moves by ``rate`` of the way to ``online``; a submodule named ``apart`` stays."""
    pairs = [
        (old, new)
        for (name, old), new in zip(target.named_parameters(), online.parameters())
        if not (apart and name.startswith(f"{apart}."))
    ]
    torch._foreach_lerp_([old for old, _ in pairs], [new for _, new in pairs], rate)


def _part(state: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {key[len(prefix) + 1 :]: value for key, value in state.items() if key.startswith(prefix + ".")}
