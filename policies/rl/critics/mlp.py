"""Plain action values from independent multi-layer perceptrons."""

from __future__ import annotations

import torch
from torch import nn

from policies.networks.encoder import Trunk
from policies.networks.layers import full_precision, initialise, mlp
from policies.rl.config import ActorCriticConfig
from policies.rl.critics.base import Critic, check_ensemble
from robot.contract import Contract


class MLPCritics(Critic):
    """Plain values from independent heads; the target is the minimum over the members drawn (RLPD, arXiv 2302.02948).

    Args:
        members: size of the ensemble.
        subset: members whose minimum makes the target, drawn anew for each update.
        hidden, layers: width and number of the hidden layers.
        layer_norm: LayerNorm before each ReLU (RLPD).
    """

    def __init__(
        self,
        contract: Contract,
        conv_size: int,
        cfg: ActorCriticConfig,
        members: int = 2,
        subset: int = 2,
        hidden: int = 256,
        layers: int = 2,
        layer_norm: bool = False,
    ) -> None:
        super().__init__()
        self.members, self.subset = check_ensemble("mlp", members, subset, layers)
        self.trunk = Trunk(contract, conv_size, cfg.encoder)
        inputs = self.trunk.size + contract.action.size
        heads = (mlp(inputs, hidden, 1, layers, layer_norm) for _ in range(self.members))
        self.heads = nn.ModuleList(heads)
        initialise(self.heads, cfg.encoder.init)

    def evaluate(self, features: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        features = torch.cat([features.float(), action], dim=1)
        with full_precision(features):  # a value of 100 in bf16 is wrong by up to 0.25
            return torch.stack([head(features).squeeze(1) for head in self.heads])

    def value(self, prediction: torch.Tensor) -> torch.Tensor:
        return prediction

    def target(
        self, prediction: torch.Tensor, reward: torch.Tensor, discount: torch.Tensor, bonus: torch.Tensor
    ) -> torch.Tensor:
        return reward + discount * (prediction.min(dim=0).values + bonus)

    def loss(self, prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return (prediction - target).square().mean(dim=1).sum()
