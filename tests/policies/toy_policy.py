"""The smallest policy of its own: chunks of actions from proprioception and coarse pictures,
fitted with a squared error.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from policies.data.batch import Batch
from policies.networks.normalizers import ActionScale
from policies.policy import POLICIES, Family, Observation
from robot.contract import Contract

SIDE = 8  # pixels that a picture is averaged down to


@dataclass
class ToyConfig:
    family: str = "toy"
    history: int = 1  # observations the policy sees
    chunk: int = 8  # actions it returns
    hidden: int = 64
    learning_rate: float = 1e-3


class Toy(nn.Module):
    def __init__(self, contract: Contract, cfg: ToyConfig, seed: int) -> None:
        super().__init__()
        self.contract, self.scale = contract, ActionScale(contract)
        pixels = sum(c.channels for c in contract.cameras) * SIDE * SIDE
        inputs = contract.history * (pixels + sum(p.size for p in contract.proprio))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.net = nn.Sequential(
                nn.Linear(inputs, cfg.hidden), nn.ReLU(), nn.Linear(cfg.hidden, contract.chunk * contract.action.size)
            )

    def forward(self, observations: Observation) -> torch.Tensor:
        """Actions ``(B, chunk, A)`` in [-1, 1]."""
        images = [F.adaptive_avg_pool2d(observations[c.name].float() / 255, SIDE) for c in self.contract.cameras]
        parts = [*(i.flatten(1) for i in images), *(observations[p.name] for p in self.contract.proprio)]
        return torch.tanh(self.net(torch.cat(parts, dim=1))).unflatten(1, (self.contract.chunk, -1))

    def loss(self, batch: Batch) -> dict[str, torch.Tensor]:
        error = (self(batch.obs) - self.scale.to_network(batch.actions)).square().sum(dim=2)
        return {"loss": (error * batch.valid).sum() / batch.valid.sum()}

    @torch.no_grad()
    def act(self, observations: Observation, sample: bool) -> np.ndarray:
        return self.scale.to_physical(self(observations)).numpy()

    def deployed(self) -> nn.Module:
        return Deployed(self)


class Deployed(nn.Module):
    def __init__(self, policy: Toy) -> None:
        super().__init__()
        self.policy = policy

    def forward(self, *arrays: torch.Tensor) -> torch.Tensor:
        contract = self.policy.contract
        named = dict(zip([o.name for o in (*contract.cameras, *contract.proprio)], arrays))
        images = {c.name: named[c.name].permute(0, 3, 1, 2).flatten(0, 1)[None] for c in contract.cameras}
        vectors = {p.name: named[p.name].flatten()[None] for p in contract.proprio}
        return self.policy.scale.to_physical(self.policy({**images, **vectors}))[0]


POLICIES["toy"] = Family(ToyConfig, Toy)
