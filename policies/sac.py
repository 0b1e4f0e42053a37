"""Soft actor-critic from pixels (arXiv 1812.05905), with the parts that make it learn from sparse reward and few demonstrations.

One convolutional encoder serves actor and critics. It learns from the critics' temporal-difference error and, where a cloning
term is on, from that; the actor's own value gradient never reaches it. Critics are an ensemble with LayerNorm, the target is the
minimum over a random subset, the actor maximises the ensemble's mean (RLPD, arXiv 2302.02948).

An agent has four verbs: ``act``, ``update``, ``state_dict``, ``load_state_dict``.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from lightning.fabric import Fabric
from torch import nn

from policies.augment import make_augmentation
from policies.config import AgentConfig
from policies.encoders import Observation, PixelEncoder, ProprioNormalizer, Trunk, mlp
from policies.replay import Batch
from robot.contract import Contract
from robot.errors import PixelarmError


class Actor(nn.Module):
    """A tanh-squashed Gaussian over actions normalised to [-1, 1]."""

    def __init__(self, contract: Contract, conv_size: int, cfg: AgentConfig) -> None:
        super().__init__()
        self.trunk = Trunk(contract, conv_size, cfg.feature_size, cfg.proprio_size)
        self.head = mlp(self.trunk.size, cfg.hidden, 2 * contract.action.size)
        self.bounds = (cfg.log_std_min, cfg.log_std_max)

    def forward(self, convolved: torch.Tensor, proprio: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean before the tanh and log standard deviation, ``(B, A)`` each."""
        mean, raw = self.head(self.trunk(convolved, proprio)).float().chunk(2, dim=1)
        low, high = self.bounds
        return mean, low + 0.5 * (high - low) * (torch.tanh(raw) + 1.0)

    @staticmethod
    def sample(
        mean: torch.Tensor, log_std: torch.Tensor, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """A reparameterised action ``(B, A)`` in [-1, 1] and its log-probability ``(B,)``."""
        noise = torch.randn(mean.shape, generator=generator, device=mean.device)
        before = mean + log_std.exp() * noise
        log_prob = -0.5 * noise.square() - log_std - 0.5 * np.log(2 * np.pi)
        # log(1 - tanh(x)^2) in the form that does not lose precision for large |x|
        log_prob = log_prob - 2.0 * (np.log(2.0) - before - F.softplus(-2.0 * before))
        return torch.tanh(before), log_prob.sum(dim=1)


class Critics(nn.Module):
    """An ensemble of action values on one shared trunk: ``(members, B)``."""

    def __init__(self, contract: Contract, conv_size: int, cfg: AgentConfig) -> None:
        super().__init__()
        self.trunk = Trunk(contract, conv_size, cfg.feature_size, cfg.proprio_size)
        inputs = self.trunk.size + contract.action.size
        self.members = nn.ModuleList(mlp(inputs, cfg.hidden, 1, layer_norm=True) for _ in range(cfg.critics))

    def forward(self, convolved: torch.Tensor, proprio: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        features = torch.cat([self.trunk(convolved, proprio), action], dim=1)
        return torch.stack([member(features).squeeze(1).float() for member in self.members])


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


class SAC:
    """The agent. ``fabric`` gives device, precision and, over several devices, the averaging of gradients."""

    def __init__(self, contract: Contract, cfg: AgentConfig, fabric: Fabric, seed: int) -> None:
        if cfg.actor_q not in ("mean", "min"):
            raise PixelarmError(f"actor_q must be mean or min, got {cfg.actor_q!r}")
        if not 1 <= cfg.target_subset <= cfg.critics:
            raise PixelarmError(f"target_subset must be 1 to critics ({cfg.critics}), got {cfg.target_subset}")
        self.contract, self.cfg, self.fabric, self.device = contract, cfg, fabric, fabric.device
        self.augmentation = make_augmentation(cfg.augmentation, cfg.augmentation_pixels)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)  # the same weights whatever was computed before, and on every device
            self.normalizer = ProprioNormalizer(contract)
            self.scale = ActionScale(contract)
            self.encoder = PixelEncoder(contract, cfg.encoder)
            self.actor = Actor(contract, self.encoder.size, cfg)
            self.critics = Critics(contract, self.encoder.size, cfg)
        for module in (self.normalizer, self.scale, self.encoder, self.actor, self.critics):
            module.to(self.device)
        self.encoder.to(memory_format=torch.channels_last)
        self.target_critics = copy.deepcopy(self.critics).requires_grad_(False)
        self.target_encoder = copy.deepcopy(self.encoder).requires_grad_(False) if cfg.target_encoder else None
        # the policy that is evaluated and exported: an average over recent updates, steadier than the newest one
        self.mean_encoder = copy.deepcopy(self.encoder).requires_grad_(False)
        self.mean_actor = copy.deepcopy(self.actor).requires_grad_(False)
        self.log_alpha = torch.tensor(float(np.log(cfg.temperature)), device=self.device, requires_grad=True)
        self.critic_optimizer = torch.optim.Adam(
            [*self.encoder.parameters(), *self.critics.parameters()], cfg.learning_rate
        )
        self.actor_optimizer = torch.optim.Adam(self.actor.parameters(), cfg.learning_rate)
        self.alpha_optimizer = torch.optim.Adam([self.log_alpha], cfg.temperature_rate)
        # one stream a process, so that several devices draw different augmentations
        self.generator = torch.Generator(self.device).manual_seed(seed * 1000 + 17 + fabric.global_rank)

    # ---------------------------------------------------------------------- act
    @torch.no_grad()
    def act(self, observation: Observation, sample: bool) -> np.ndarray:
        """Actions ``(B, A)`` float32 in contract units for a batch of observations (tensors as in ``Replay``).

        With ``sample``, of the learning policy, to explore; without, the mean action of the averaged one.
        """
        observation = {name: value.to(self.device) for name, value in observation.items()}
        views = {name: self.augmentation.act(v) if v.ndim == 4 else v for name, v in observation.items()}
        encoder, actor = (self.encoder, self.actor) if sample else (self.mean_encoder, self.mean_actor)
        with self.fabric.autocast():
            mean, log_std = actor(encoder(encoder.stack(views)), self.normalizer(observation))
        action = Actor.sample(mean, log_std, self.generator)[0] if sample else torch.tanh(mean)
        return self.scale.to_physical(action).cpu().numpy()

    def view(self, observation: Observation) -> torch.Tensor:
        """A random view of a batch, as the encoder takes it."""
        images = {name: self.augmentation.train(observation[name], self.generator) for name in self.encoder.cameras}
        return self.encoder.stack(images)

    # ------------------------------------------------------------------- update
    def update(self, batch: Batch, demo_rows: int, bc_weight: float, improve_actor: bool = True) -> dict[str, float]:
        """One gradient step of critics, actor and temperature.

        Args:
            batch: as ``Replay.sample`` gives it, on this device; its first ``demo_rows`` rows are demonstrations.
            bc_weight: weight of the cloning term on those rows; 0 leaves it out.
            improve_actor: False trains the critics (and the cloning term) only, while they are too young to be followed.
        """
        pixels, next_pixels = self.view(batch["obs"]), self.view(batch["next_obs"])
        proprio, next_proprio = self.normalizer(batch["obs"]), self.normalizer(batch["next_obs"])
        action = self.scale.to_network(batch["action"])
        with self.fabric.autocast():
            target = self._target(batch, next_pixels, next_proprio)
            convolved = self.encoder(pixels)
            values = self.critics(convolved, proprio, action)
            critic_loss = (values - target).square().mean(dim=1).sum()
            loss, metrics = critic_loss, {"critic_loss": critic_loss, "q": values.mean(), "target": target.mean()}
            if bc_weight > 0 and demo_rows > 0:
                bc_loss = self._cloning_loss(convolved[:demo_rows], proprio[:demo_rows], action[:demo_rows])
                loss, metrics["bc_loss"] = critic_loss + bc_weight * bc_loss, bc_loss
        self.critic_optimizer.zero_grad()
        self.actor_optimizer.zero_grad()
        self.fabric.backward(loss)
        self._step(self.critic_optimizer)
        if improve_actor:
            metrics |= self._improve_actor(convolved.detach(), proprio)
        if improve_actor or bc_weight > 0:
            self._step(self.actor_optimizer)
        if self.target_encoder is not None:
            self._follow(self.encoder, self.target_encoder)
        self._follow(self.critics, self.target_critics)
        self._follow(self.encoder, self.mean_encoder, self.cfg.policy_average)
        self._follow(self.actor, self.mean_actor, self.cfg.policy_average)
        return {name: float(value.detach()) for name, value in metrics.items()}

    @torch.no_grad()
    def _target(self, batch: Batch, pixels: torch.Tensor, proprio: torch.Tensor) -> torch.Tensor:
        """``r + gamma * min over a random subset of Q(o', a')``, ``(B,)``; plus the entropy bonus if it is backed up."""
        convolved = self.encoder(pixels)
        mean, log_std = self.actor(convolved, proprio)
        action, log_prob = Actor.sample(mean, log_std, self.generator)
        if self.target_encoder is not None:
            convolved = self.target_encoder(pixels)
        values = self.target_critics(convolved, proprio, action)
        order = torch.randperm(self.cfg.critics, generator=self.generator, device=self.device)
        value = values[order[: self.cfg.target_subset]].min(dim=0).values
        if self.cfg.backup_entropy:
            value = value - self.log_alpha.exp() * log_prob
        return batch["reward"] + self.cfg.discount * batch["discount"] * value

    def _cloning_loss(self, convolved: torch.Tensor, proprio: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        """Mean squared error between the actor's mean action and the demonstrated one, both in [-1, 1]."""
        mean, _ = self.actor(convolved, proprio)
        return (torch.tanh(mean) - action).square().sum(dim=1).mean()

    def _improve_actor(self, convolved: torch.Tensor, proprio: torch.Tensor) -> dict[str, torch.Tensor]:
        """Add the actor's value gradient to what the cloning term left, and step the temperature."""
        self.critics.requires_grad_(False)
        with self.fabric.autocast():
            mean, log_std = self.actor(convolved, proprio)
            action, log_prob = Actor.sample(mean, log_std, self.generator)
            values = self.critics(convolved, proprio, action)
            value = values.mean(dim=0) if self.cfg.actor_q == "mean" else values.min(dim=0).values
            actor_loss = (self.log_alpha.exp().detach() * log_prob - value).mean()
        self.fabric.backward(actor_loss)
        self.critics.requires_grad_(True)
        alpha_loss = -(self.log_alpha.exp() * (log_prob.detach() + self.cfg.target_entropy)).mean()
        self.alpha_optimizer.zero_grad()
        alpha_loss.backward()
        self._step(self.alpha_optimizer)
        return {"actor_loss": actor_loss, "entropy": -log_prob.mean(), "alpha": self.log_alpha.exp()}

    def clone(self, batch: Batch) -> float:
        """One behaviour-cloning step of encoder and actor on demonstrations; returns the loss."""
        pixels = self.view(batch["obs"])
        with self.fabric.autocast():
            action = self.scale.to_network(batch["action"])
            loss = self._cloning_loss(self.encoder(pixels), self.normalizer(batch["obs"]), action)
        self.critic_optimizer.zero_grad()
        self.actor_optimizer.zero_grad()
        self.fabric.backward(loss)
        self._step(self.critic_optimizer)  # the encoder's moments live here; the critics have no gradient and stay
        self._step(self.actor_optimizer)
        return float(loss.detach())

    def _step(self, optimizer: torch.optim.Optimizer) -> None:
        """Average the gradients over all devices, then step."""
        if self.fabric.world_size > 1:
            parameters = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
            flat = torch.cat([p.grad.flatten() for p in parameters])
            flat = self.fabric.all_reduce(flat, reduce_op="mean")
            start = 0
            for p in parameters:
                p.grad.copy_(flat[start : start + p.numel()].view_as(p))
                start += p.numel()
        optimizer.step()

    @torch.no_grad()
    def _follow(self, online: nn.Module, target: nn.Module, rate: float | None = None) -> None:
        rate = self.cfg.target_rate if rate is None else rate
        torch._foreach_lerp_(list(target.parameters()), list(online.parameters()), rate)

    def reset_targets(self) -> None:
        """Start the targets and the averaged policy from the online networks, after pre-training."""
        self.mean_encoder.load_state_dict(self.encoder.state_dict())
        self.mean_actor.load_state_dict(self.actor.state_dict())
        if self.target_encoder is not None:
            self.target_encoder.load_state_dict(self.encoder.state_dict())
        self.target_critics.load_state_dict(self.critics.state_dict())

    # -------------------------------------------------------------------- state
    _POLICY = ("normalizer", "encoder", "actor")
    _OPTIMIZERS = ("critic_optimizer", "actor_optimizer", "alpha_optimizer")

    def policy_state(self) -> dict[str, torch.Tensor]:
        """The tensors that acting needs: those of the averaged policy."""
        modules = {"normalizer": self.normalizer, "encoder": self.mean_encoder, "actor": self.mean_actor}
        return {f"{name}.{k}": v for name, module in modules.items() for k, v in module.state_dict().items()}

    def load_policy_state(self, state: dict[str, torch.Tensor]) -> None:
        for name in self._POLICY:
            getattr(self, name).load_state_dict(
                {k[len(name) + 1 :]: v for k, v in state.items() if k.startswith(name + ".")}
            )
        self.mean_encoder.load_state_dict(self.encoder.state_dict())
        self.mean_actor.load_state_dict(self.actor.state_dict())

    def _modules(self) -> tuple[str, ...]:
        averaged = ("target_encoder",) if self.target_encoder is not None else ()
        return (*self._POLICY, "mean_encoder", "mean_actor", "critics", "target_critics", *averaged)

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Everything that decides the future of learning, as flat named tensors."""
        state = {f"{m}.{k}": v for m in self._modules() for k, v in getattr(self, m).state_dict().items()}
        state["log_alpha"] = self.log_alpha.detach()
        state["generator"] = self.generator.get_state()
        for name in self._OPTIMIZERS:
            for index, moments in getattr(self, name).state_dict()["state"].items():
                state.update({f"{name}.{index}.{k}": v for k, v in moments.items()})
        return state

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        def part(prefix: str) -> dict[str, torch.Tensor]:
            return {k[len(prefix) + 1 :]: v for k, v in state.items() if k.startswith(prefix + ".")}

        for name in self._modules():
            getattr(self, name).load_state_dict(part(name))
        with torch.no_grad():
            self.log_alpha.copy_(state["log_alpha"])
        self.generator.set_state(state["generator"].cpu())
        for name in self._OPTIMIZERS:
            optimizer = getattr(self, name)
            moments: dict[int, dict[str, Any]] = {}
            for key, value in part(name).items():
                index, field = key.split(".")
                moments.setdefault(int(index), {})[field] = value
            optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
