"""What agents from pixels share: random views, the random numbers of an update, and a state that decides the future."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import nn

from policies.augment import scale_amplitude
from policies.augment.mirror import Mirror
from policies.data.batch import Batch
from policies.data.replay import Lookup
from policies.networks.encoder import PixelEncoder
from policies.networks.normalizers import ActionScale, ProprioNormalizer
from policies.policy import Observation
from policies.rl.auxiliary import AuxiliaryLoss, make_auxiliary, steps_ahead
from policies.rl.averages import Averages
from policies.rl.config import PixelAgentConfig
from policies.rl.optimizers import Optimizers
from policies.rl.pixel_policy import PixelPolicy
from policies.runtime.compiling import Compiler
from robot.contract import Contract

if TYPE_CHECKING:
    from lightning.fabric import Fabric


@dataclass(frozen=True)
class View:
    """Random views of a batch's observations, one view after the other.

    Attributes:
        pixels: ``(views * B, C, H, W)``, as the encoder takes them.
        proprio: ``(views * B, n)``, normalised.
    """

    pixels: torch.Tensor
    proprio: torch.Tensor


class PixelAgent(ABC):
    """An agent with an encoder of pixels, auxiliary losses and soft-updated copies. Kinds of it bring ``update`` and
    ``clone``.

    Args:
        contract: with the policy's history and chunk.
        fabric: device, precision and the averaging of gradients over devices.
        compile: ``trainer.compile``; anything but "off" is quicker and differs from it by rounding.
    """

    encoder: PixelEncoder
    normalizer: ProprioNormalizer
    trunk: nn.Module  # the critics' pixel trunk
    learning: PixelPolicy  # the policy that explores
    policy: PixelPolicy  # the one that is evaluated and exported: it may be an average of the other
    measures: ClassVar[bool] = True  # proprioception is scaled by what the first data show

    def __init__(self, contract: Contract, cfg: PixelAgentConfig, fabric: Fabric, seed: int, compile: str) -> None:
        self.contract, self.cfg, self.fabric, self.device = contract, cfg, fabric, fabric.device
        self.scale = ActionScale(contract).to(self.device)
        self.compiler = Compiler(compile, self.device)
        self.optimizers = Optimizers(fabric, cfg.clip)
        self.averages = Averages()
        self.mirror = Mirror(contract) if cfg.mirror else None
        # one stream a process, so that several devices draw different augmentations
        self.generator = torch.Generator(self.device).manual_seed(seed * 1000 + 17 + fabric.global_rank)
        self.updates = 0

    def add_auxiliary(self, seed: int) -> None:
        """Make the auxiliary losses, once encoder and critics are there."""
        cfg = self.cfg
        self.auxiliary = make_auxiliary(cfg.auxiliary, self.encoder, self.trunk, seed)
        own = [p for p in self.auxiliary.parameters() if p.requires_grad]
        self.optimizers.add("auxiliary", own, cfg.learning_rate, cfg.beta1)

    @abstractmethod
    def update(self, batch: Batch, bc_weight: float = 0.0, improve_actor: bool = True) -> dict[str, torch.Tensor]:
        """One gradient step; scalars to log, still on the device."""

    @abstractmethod
    def clone(self, batch: Batch) -> torch.Tensor:
        """One behaviour-cloning step of encoder and policy on demonstrations; returns the loss."""

    def lookup(self, pretrain: Sequence[Any] = ()) -> Lookup:
        """What this agent, and auxiliary losses that are trained alone first, need of each transition."""
        first = make_auxiliary(list(pretrain), self.encoder, self.trunk, 0)
        ahead = steps_ahead([*self.auxiliary.values(), *first.values()])
        return Lookup(self.cfg.discount, self.cfg.n_step, ahead=ahead)

    # ---------------------------------------------------------------------- act
    @torch.no_grad()
    def act(self, observations: Observation, sample: bool) -> np.ndarray:
        """Actions ``(B, 1, A)`` float32 in contract units for a batch of observations.

        With ``sample``, of the learning policy, to explore; without, the best action of the averaged one.
        """
        observations = {name: value.to(self.device) for name, value in observations.items()}
        self.learning.updates = self.updates
        with self.fabric.autocast():
            action = self.explore(observations) if sample else self.policy(observations)
        return self.learning.physical(action)

    def explore(self, observations: Observation) -> torch.Tensor:
        """Actions ``(B, A)`` in [-1, 1] of the learning policy, at random."""
        return self.learning(observations, self.noise(len(next(iter(observations.values())))))

    def acting_tensors(self) -> dict[str, torch.Tensor]:
        return dict(self.learning.state_dict())

    def numbers(self) -> dict[str, float]:
        """More to log of how it acted since this was last asked for."""
        return {}

    @property
    def proposes(self) -> Callable[[Observation], torch.Tensor] | None:
        """What is to be kept with each frame as a prior's proposal: ``(B, A)`` in [-1, 1]; None by default."""
        return None

    @property
    def cloned(self) -> tuple[PixelPolicy, PixelAgentConfig]:
        """What is kept of cloning alone, right after it, and its options: without critics that choose."""
        return self.policy, self.cfg

    # --------------------------------------------------------------- random draws
    def mirrored(self, batch: Batch) -> Batch:
        """The batch as the configuration has it: half of it with left and right swapped, or as it is."""
        return batch if self.mirror is None else self.mirror(batch)

    def noise(self, rows: int, size: int = 0) -> torch.Tensor:
        """Standard normal, ``(rows, A)``, or of another ``size``."""
        return torch.randn(rows, size or self.contract.action.size, generator=self.generator, device=self.device)

    def pixels(self, observation: Observation) -> torch.Tensor:
        """A random view of a batch, as the encoder takes it."""
        images = {
            name: self.learning.augmentation.train(observation[name], self.generator) for name in self.encoder.cameras
        }
        return self.encoder.stack(images)

    def proprio(self, observation: Observation) -> torch.Tensor:
        """Normalised proprioception ``(B, n)``, its amplitude scaled at random if the configuration says so."""
        values = self.normalizer(observation)
        if self.cfg.proprio_scaling:
            low, high = self.cfg.proprio_scaling
            values = scale_amplitude(values, low, high, self.generator)
        return values

    def draw_views(self, batch: Batch, views: int = 1) -> tuple[View, View]:
        """Random views of observations and of next observations,
        the same draw for both if the configuration says so.
        """
        before = self.generator.get_state() if self.cfg.same_augmentation else None
        now = self._pixels(batch.obs, views)
        if before is not None:
            self.generator.set_state(before)
        after = self._pixels(batch.next_obs, views)
        proprio, next_proprio = (repeat(self.proprio(o), views) for o in (batch.obs, batch.next_obs))
        return View(now, proprio), View(after, next_proprio)

    def _pixels(self, observation: Observation, views: int) -> torch.Tensor:
        drawn = [self.pixels(observation) for _ in range(views)]
        return drawn[0] if views == 1 else torch.cat(drawn)

    def draw_others(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Of each auxiliary loss, the view that it compares with."""
        return {name: self.other(loss, batch) for name, loss in self.auxiliary.items()}

    def other(self, loss: AuxiliaryLoss, batch: Batch) -> torch.Tensor:
        return self.pixels(batch.ahead_obs if loss.ahead and batch.ahead_obs is not None else batch.obs)

    # ------------------------------------------------------------------- losses
    def auxiliary_losses(
        self, features: torch.Tensor, others: dict[str, torch.Tensor], batch: Batch
    ) -> dict[str, torch.Tensor]:
        """Each auxiliary loss without its weight. ``features``: ``(B, F)``, with their gradient."""
        return {
            name: loss(features, self.encoder, self.trunk, others[name], batch.ahead_valid if loss.ahead else None)
            for name, loss in self.auxiliary.items()
        }

    @torch.no_grad()
    def values(self, observations: Observation, actions: torch.Tensor) -> torch.Tensor | None:
        """What the critics think that actions are worth, in units of the reward, ``(M, B)`` float32 of M critics.

        Args:
            observations: B of them, as the policy sees them, not augmented at random.
            actions: ``(B, A)`` in the contract's units.

        Returns:
            None of agents that have no value of an action.
        """
        return None

    def observe(self, rewards: np.ndarray) -> None:  # noqa: B027  (most have nothing to scale)
        """The rewards ``(N,)`` of one whole episode, demonstrated or own,
        for critics that scale what they learn by them.
        """

    def follow(self) -> None:
        """After an update: move everything that follows the learning networks."""
        self.updates += 1
        self.averages.follow(self.updates)
        for loss in self.auxiliary.values():
            loss.follow(self.encoder, self.trunk)

    def reset_targets(self) -> None:
        """Start everything that follows from the networks as they are, after pre-training."""
        self.averages.restart()
        for loss in self.auxiliary.values():
            loss.restart(self.encoder, self.trunk)

    # -------------------------------------------------------------------- state
    @abstractmethod
    def modules(self) -> dict[str, nn.Module]:
        """Every network by name, copies included, each once."""

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Everything that decides the future of learning, as flat named tensors."""
        moments = {f"optimizers.{k}": v for k, v in self.optimizers.state_dict().items()}
        return self.networks() | moments | {"generator": self.generator.get_state()}

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        self.load_networks(state)
        self.optimizers.load_state_dict(part_of(state, "optimizers"))
        self.generator.set_state(state["generator"].cpu())

    def networks(self) -> dict[str, torch.Tensor]:
        """The part of ``state_dict`` that acting and valuing need: all networks, and how many updates they have had."""
        found = {f"{name}.{k}": v for name, module in self.modules().items() for k, v in module.state_dict().items()}
        return found | {"updates": torch.tensor(self.updates)}

    def load_networks(self, state: dict[str, torch.Tensor]) -> None:
        """Take the networks of ``networks`` or of ``state_dict``; optimisers and random streams stay as they are."""
        for name, module in self.modules().items():
            module.load_state_dict(part_of(state, name))
        self.updates = int(state["updates"])


def repeat(values: torch.Tensor, views: int) -> torch.Tensor:
    """``(B, ...)`` to ``(views * B, ...)``, one copy after the other."""
    return values if views == 1 else values.repeat(views, *[1] * (values.ndim - 1))


def part_of(state: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {key[len(prefix) + 1 :]: value for key, value in state.items() if key.startswith(prefix + ".")}
