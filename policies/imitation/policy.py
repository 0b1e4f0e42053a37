"""What every method of imitation shares: what is seen, as features, and what is answered, as chunks of actions."""

from __future__ import annotations

from dataclasses import replace

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

    Args:
        apart: each observation of the history is seen by itself, through the same weights and scales. A random view is
            then the same for all pictures that a camera has in a history.

    Attributes:
        size: of the features; with ``apart``, of those of one observation.
    """

    def __init__(self, contract: Contract, cfg: SightConfig, apart: bool = False) -> None:
        super().__init__()
        self.history = contract.history if apart else 0
        self.sizes = [p.size for p in contract.proprio]
        contract = replace(contract, history=1) if apart else contract
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
        """``(B, size)``, ``apart`` ``(B, history, size)``; of pictures as they are, or with a ``generator`` of random
        views.
        """
        seen = self._views(observations, generator)
        if not self.history:
            return self._features(seen, self.normalizer(seen))
        each = {name: value.unflatten(1, (self.history, -1)).flatten(0, 1) for name, value in seen.items()}
        return self._features(each, self.normalizer(each)).unflatten(0, (-1, self.history))

    def join(
        self, pictures: Observation, proprio: torch.Tensor, generator: torch.Generator | None = None
    ) -> torch.Tensor:
        """As ``forward``, of proprioception ``(B, n)`` that is normalised already."""
        return self._features(self._views(pictures, generator), proprio)

    def _views(self, observations: Observation, generator: torch.Generator | None) -> Observation:
        see, seen = self.augmentation, dict(observations)
        for name in self.encoder.cameras if self.encoder is not None else ():
            seen[name] = see.act(seen[name]) if generator is None else see.train(seen[name], generator)
        return seen

    def _features(self, seen: Observation, proprio: torch.Tensor) -> torch.Tensor:
        if self.encoder is None or self.trunk is None:
            return proprio
        return self.trunk(self.encoder(self.encoder.stack(seen)), proprio)

    def read(self, windows: Windows) -> torch.Tensor:
        """The proprioception of demonstrations that is scaled at once, ``(N, n)``: of each moment what is stacked
        there, or ``apart`` the newest.
        """
        stacked = windows.all_proprio()
        if not self.history or not self.sizes:
            return stacked
        fields = stacked.split([self.history * size for size in self.sizes], dim=1)
        return torch.cat([field[:, -size:] for field, size in zip(fields, self.sizes)], dim=1)


class ImitationPolicy(nn.Module):
    """A policy fitted to demonstrations; a method brings ``chunk`` and ``loss``, and one that knows several ways to go
    on brings ``drawn``. See ``policies.policy.FittedPolicy``.

    ``measure`` takes the statistics of the demonstrations first. Whatever a loss draws at random comes from torch's own
    stream, which the training loop sets anew at each update.

    Args:
        apart: as of ``Eyes``; features are then ``(B, history, F)``.
    """

    def __init__(self, contract: Contract, cfg: ImitationConfig, apart: bool = False) -> None:
        super().__init__()
        self.contract, self.cfg = contract, cfg
        self.eyes = Eyes(contract, cfg, apart)
        self.actions = ActionNormalizer(contract, classify=cfg.two_valued == "classify")
        self.mirror = Mirror(contract) if cfg.mirror else None

    def chunk(self, features: torch.Tensor) -> torch.Tensor:
        """The best chunk ``(B, chunk, A)``, as ``ActionNormalizer.to_network`` has it, of features ``(B, F)``."""
        raise NotImplementedError

    def drawn(self, features: torch.Tensor) -> torch.Tensor:
        """As ``chunk``, a random chunk: the best one of methods that know no other."""
        return self.chunk(features)

    def loss(self, batch: Batch) -> dict[str, torch.Tensor]:
        """See ``policies.policy.FittedPolicy``."""
        raise NotImplementedError

    def measure(self, windows: Windows) -> None:
        """Take the statistics of demonstrations that inputs and outputs are scaled by."""
        self.eyes.normalizer.fit(self.eyes.read(windows), self.cfg.state_floor)
        self.actions.fit(windows.all_actions(), self.cfg.action_floor)

    def widen(self, windows: Windows) -> None:
        """Scale what stood still in pretraining by demonstrations in which it moves."""
        self.eyes.normalizer.widen(self.eyes.read(windows), self.cfg.state_floor)

    def learned_from(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Of windows: features of random views ``(B, F)``, the chunk to answer with ``(B, chunk, A)`` as the network
        has it, and which of its actions count ``(B, chunk)`` bool.
        """
        batch = self.mirrored(batch)
        return self.viewed(batch), *self.wanted(batch)

    def mirrored(self, batch: Batch) -> Batch:
        """With ``algo.mirror`` a batch whose every second row has left and right swapped."""
        return batch if self.mirror is None else self.mirror(batch)

    def viewed(self, batch: Batch) -> torch.Tensor:
        """Features of random views."""
        seed = int(torch.randint(2**62, ()))
        return self.eyes(batch.obs, torch.Generator(batch.reward.device).manual_seed(seed))

    def wanted(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """The actions to answer with as the network has them, and which of them count."""
        assert batch.actions is not None and batch.valid is not None
        return self.actions.to_network(batch.actions), batch.valid

    def forward(self, observations: Observation) -> torch.Tensor:
        """Chunks ``(B, chunk, A)`` in the contract's units."""
        return self.actions.to_physical(self.chunk(self.eyes(observations)).float())

    @torch.no_grad()
    def act(self, observations: Observation, sample: bool) -> np.ndarray:
        """Chunks ``(B, chunk, A)`` float32 in the contract's units: the best ones, or with ``sample`` those that are
        ``drawn`` from torch's own stream.
        """
        device = self.actions.mean.device
        features = self.eyes({name: value.to(device) for name, value in observations.items()})
        answer = self.drawn(features) if sample else self.chunk(features)
        return self.actions.to_physical(answer.float()).cpu().numpy()

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
    """Mean of ``error``, such as ``(B, chunk)``, over the actions that count; 0 when none does."""
    return (error * valid).sum() / valid.sum().clamp(min=1)
