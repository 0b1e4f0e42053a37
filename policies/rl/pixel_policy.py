"""What is left of an agent when it has learned: encoder and actor, from raw observations to physical actions."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from policies.augment import make_augmentation
from policies.networks.encoder import PixelEncoder
from policies.networks.normalizers import ActionScale, ProprioNormalizer
from policies.policy import Observation
from policies.rl.config import PixelAgentConfig
from robot.contract import Contract
from robot.errors import PixelarmError


class PixelPolicy(nn.Module):
    """A policy of one action at a time over an encoder of pixels. See ``policies.policy.Policy``."""

    def __init__(
        self, contract: Contract, cfg: PixelAgentConfig, encoder: PixelEncoder, normalizer: ProprioNormalizer
    ) -> None:
        super().__init__()
        self.contract, self.augmentation = contract, make_augmentation(cfg.augmentation)
        self.normalizer, self.scale, self.encoder = normalizer, ActionScale(contract), encoder
        self.noise_size = contract.action.size  # standard normal numbers that exploring takes

    def normalised(self, features: torch.Tensor, proprio: torch.Tensor, noise: torch.Tensor | None) -> torch.Tensor:
        """Actions ``(B, A)`` in [-1, 1]: the best ones, or some to explore with.

        Args:
            features: ``(B, F)`` of the encoder.
            proprio: ``(B, n)``, normalised.
            noise: standard normal, ``(B, A)``, to explore; None for the best.
        """
        raise NotImplementedError

    def forward(self, observations: Observation, noise: torch.Tensor | None = None) -> torch.Tensor:
        """``normalised`` of raw observations."""
        features = self.encoder(self.encoder.stack(self.views(observations)))
        return self.normalised(features, self.normalizer(observations), noise)

    def views(self, observations: Observation) -> Observation:
        """Observations with their images as augmentation leaves them for acting."""
        return {n: self.augmentation.act(v) if v.ndim == 4 else v for n, v in observations.items()}

    @torch.no_grad()
    def act(self, observations: Observation, sample: bool) -> np.ndarray:
        """Actions ``(B, 1, A)`` float32 in the contract's units."""
        device = self.scale.middle.device
        observations = {name: value.to(device) for name, value in observations.items()}
        rows = len(next(iter(observations.values())))
        noise = torch.randn(rows, self.noise_size, device=device) if sample else None
        return self.physical(self(observations, noise))

    def physical(self, action: torch.Tensor) -> np.ndarray:
        """Actions ``(B, 1, A)`` in the contract's units of ``(B, A)`` in [-1, 1]."""
        return self.scale.to_physical(action.float())[:, None].cpu().numpy()

    def deployed(self) -> nn.Module:
        """See ``policies.policy.Policy``."""
        return DeployedPolicy(self)


class DeployedPolicy(nn.Module):
    """A policy's best action as one network from raw observations, without a batch axis."""

    def __init__(self, policy: PixelPolicy) -> None:
        super().__init__()
        self.policy = policy
        self.cameras = [c.name for c in policy.contract.cameras]
        self.proprio = [p.name for p in policy.contract.proprio]

    def forward(self, *arrays: torch.Tensor) -> torch.Tensor:
        """Cameras ``(history, H, W, C)`` uint8, then proprioception ``(history, n)`` float32, to ``(1, A)`` float32."""
        named = dict(zip([*self.cameras, *self.proprio], arrays))
        observation = {c: named[c].permute(0, 3, 1, 2).flatten(0, 1)[None] for c in self.cameras}
        observation |= {p: named[p].flatten()[None] for p in self.proprio}
        return self.policy.scale.to_physical(self.policy(observation))


class ActorPolicy(PixelPolicy):
    """An actor over an encoder."""

    def __init__(
        self,
        contract: Contract,
        cfg: PixelAgentConfig,
        encoder: PixelEncoder,
        normalizer: ProprioNormalizer,
        actor: nn.Module,
    ) -> None:
        super().__init__(contract, cfg, encoder, normalizer)
        self.actor = actor
        self.updates = 0  # so many updates have trained it; scheduled exploration noise depends on that

    def normalised(self, features: torch.Tensor, proprio: torch.Tensor, noise: torch.Tensor | None) -> torch.Tensor:
        if noise is None:
            return self.actor.mean(features, proprio)
        std = torch.full((), self.actor.noise_std(self.updates), device=noise.device)
        return self.actor.sample(features, proprio, noise, std, False)[0]


def make_encoder(contract: Contract, cfg: PixelAgentConfig) -> PixelEncoder:
    """The encoder for a contract's pictures as augmentation leaves them."""
    augmentation = make_augmentation(cfg.augmentation)
    sizes = {augmentation.size(c.height, c.width) for c in contract.cameras}
    if len(sizes) != 1:
        raise PixelarmError(f"cameras must show pictures of one size after augmentation, got {sorted(sizes)}")
    return PixelEncoder(contract, cfg.encoder, sizes.pop())
