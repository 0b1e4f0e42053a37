"""What every method of imitation shares: what is seen, as features, and what is answered, as chunks of actions."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from policies.augment import make_augmentation
from policies.augment.mirror import Mirror
from policies.data.batch import Batch
from policies.data.windows import Windows
from policies.imitation.config import ImitationConfig, SightConfig
from policies.imitation.normalizers import ActionNormalizer
from policies.networks.encoder import PixelEncoder, Trunk
from policies.networks.normalizers import ProprioNormalizer
from policies.policy import Observation
from robot.contract import Contract
from robot.errors import PixelarmError


class Eyes(nn.Module):
    """From raw observations to features: pictures through the encoder and trunk that reinforcement learning has too;
    of a contract without cameras, the normalised proprioception itself.

    Attributes:
        size: of the features.
    """

    def __init__(self, contract: Contract, cfg: SightConfig) -> None:
        super().__init__()
        self.normalizer = ProprioNormalizer(contract)
        self.augmentation = make_augmentation(cfg.augmentation)
        self.encoder: PixelEncoder | None = None
        self.trunk: Trunk | None = None
        if not contract.cameras:
            self.size = len(self.normalizer.mean)
            if not self.size:
                raise PixelarmError(f"the contract of {contract.task} has neither cameras nor proprioception")
            return
        sizes = {self.augmentation.size(c.height, c.width) for c in contract.cameras}
        if len(sizes) != 1:
            raise PixelarmError(f"cameras must show pictures of one size after augmentation, got {sorted(sizes)}")
        self.encoder = PixelEncoder(contract, cfg.encoder, sizes.pop())
        self.trunk = Trunk(contract, self.encoder.size, cfg.encoder)
        self.size = self.trunk.size

    def forward(self, observations: Observation, generator: torch.Generator | None = None) -> torch.Tensor:
        """``(B, size)``; of pictures as they are, or with a ``generator`` of random views."""
        return self.join(observations, self.normalizer(observations), generator)

    def join(
        self, pictures: Observation, proprio: torch.Tensor, generator: torch.Generator | None = None
    ) -> torch.Tensor:
        """As ``forward``, of proprioception ``(B, n)`` that is normalised already."""
        if self.encoder is None or self.trunk is None:
            return proprio
        see = self.augmentation
        images = {
            name: see.act(pictures[name]) if generator is None else see.train(pictures[name], generator)
            for name in self.encoder.cameras
        }
        return self.trunk(self.encoder(self.encoder.stack(images)), proprio)


class ImitationPolicy(nn.Module):
    """A policy fitted to demonstrations; a method brings ``chunk`` and ``loss``. See ``policies.policy.FittedPolicy``.

    ``measure`` takes the statistics of the demonstrations first. Whatever a loss draws at random comes from torch's own
    stream, which the training loop sets anew at each update.
    """

    def __init__(self, contract: Contract, cfg: ImitationConfig) -> None:
        super().__init__()
        self.contract, self.cfg = contract, cfg
        self.eyes = Eyes(contract, cfg)
        self.actions = ActionNormalizer(contract, classify=cfg.two_valued == "classify")
        self.mirror = Mirror(contract) if cfg.mirror else None

    def chunk(self, features: torch.Tensor) -> torch.Tensor:
        """The best chunk ``(B, chunk, A)``, as ``ActionNormalizer.to_network`` has it, of features ``(B, F)``."""
        raise NotImplementedError

    def loss(self, batch: Batch) -> dict[str, torch.Tensor]:
        """See ``policies.policy.FittedPolicy``."""
        raise NotImplementedError

    def measure(self, windows: Windows) -> None:
        """Take the statistics of demonstrations that inputs and outputs are scaled by."""
        self.eyes.normalizer.fit(windows.all_proprio(), self.cfg.state_floor)
        self.actions.fit(windows.all_actions(), self.cfg.action_floor)

    def widen(self, windows: Windows) -> None:
        """Scale what stood still in pretraining by demonstrations in which it moves."""
        self.eyes.normalizer.widen(windows.all_proprio(), self.cfg.state_floor)

    def learned_from(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Of windows: features of random views ``(B, F)``, the chunk to answer with ``(B, chunk, A)`` as the network
        has it, and which of its actions count ``(B, chunk)`` bool.
        """
        if self.mirror is not None:
            batch = self.mirror(batch)
        assert batch.actions is not None and batch.valid is not None
        seed = int(torch.randint(2**62, ()))
        features = self.eyes(batch.obs, torch.Generator(batch.actions.device).manual_seed(seed))
        return features, self.actions.to_network(batch.actions), batch.valid

    def forward(self, observations: Observation) -> torch.Tensor:
        """Chunks ``(B, chunk, A)`` in the contract's units."""
        return self.actions.to_physical(self.chunk(self.eyes(observations)).float())

    @torch.no_grad()
    def act(self, observations: Observation, sample: bool) -> np.ndarray:
        """Chunks ``(B, chunk, A)`` float32 in the contract's units. ``sample`` changes nothing: these policies do not
        explore.
        """
        device = self.actions.mean.device
        return self({name: value.to(device) for name, value in observations.items()}).cpu().numpy()

    def deployed(self) -> nn.Module:
        """See ``policies.policy.Policy``."""
        return Deployed(self)


class Deployed(nn.Module):
    """A policy as one network from raw observations, without a batch axis."""

    def __init__(self, policy: ImitationPolicy) -> None:
        super().__init__()
        self.policy = policy

    def forward(self, *arrays: torch.Tensor) -> torch.Tensor:
        """Cameras ``(history, H, W, C)`` uint8, then proprioception ``(history, n)`` float32, to ``(chunk, A)``."""
        contract = self.policy.contract
        names = [*(camera.name for camera in contract.cameras), *(entry.name for entry in contract.proprio)]
        named = dict(zip(names, arrays))
        seen = {c.name: named[c.name].permute(0, 3, 1, 2).flatten(0, 1)[None] for c in contract.cameras}
        seen |= {p.name: named[p.name].flatten()[None] for p in contract.proprio}
        return self.policy(seen)[0]


def mean_of_valid(error: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    """Mean of ``error`` ``(B, chunk)`` over the actions that count; 0 when none does."""
    return (error * valid).sum() / valid.sum().clamp(min=1)
