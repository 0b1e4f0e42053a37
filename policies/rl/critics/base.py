"""The value of actions: an ensemble of heads on one trunk, and the kinds there are.

A kind predicts values as plain numbers or as distributions; the agent does not need to know which. It takes a prediction of the
next state's action from the target networks, asks ``target`` what to learn from it, and ``loss`` how far its own is from that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import nn

from policies.config import AgentConfig
from policies.networks.encoder import Trunk
from policies.networks.layers import full_precision, initialise, mlp
from policies.registry import choose
from robot.contract import Contract
from robot.errors import PixelarmError


class Critic(nn.Module):
    """An ensemble of action values. ``convolved`` and ``proprio`` are the encoder's; actions are in [-1, 1].

    A kind brings the four methods that raise here; the two after them it may leave as they are.
    """

    trunk: Trunk
    members: int  # M
    subset: int  # members whose minimum makes the target
    sequence: int = 1  # K, actions that are valued together

    def predict(self, convolved: torch.Tensor, proprio: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        """Prediction for actions ``(B, A)``, or ``(B, K, A)`` of a sequence critic: ``(M, B)`` values or ``(M, B, ..., atoms)`` logits."""
        raise NotImplementedError

    def value(self, prediction: torch.Tensor) -> torch.Tensor:
        """Expected values, ``(M, B)``."""
        raise NotImplementedError

    def target(
        self, prediction: torch.Tensor, reward: torch.Tensor, discount: torch.Tensor, bonus: torch.Tensor
    ) -> torch.Tensor:
        """What to learn, batch first, from the target networks' prediction for the next state.

        Args:
            prediction: of the members drawn for this update, as ``predict`` gives it.
            reward: ``(B,)``, of all n steps.
            discount: ``(B,)``, gamma to the n, 0 where the task ended.
            bonus: ``(B,)``, added to the next state's value.
        """
        raise NotImplementedError

    def loss(self, prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Scalar: mean over the batch, summed over members."""
        raise NotImplementedError

    def observe(self, rewards: Sequence[float]) -> None:
        """The rewards of one whole episode, in order, demonstrated or own: for kinds that scale what they learn by them."""

    def project(self) -> None:
        """After each optimiser step: for kinds whose weights are kept on a surface."""


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
        cfg: AgentConfig,
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

    def predict(self, convolved: torch.Tensor, proprio: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        features = torch.cat([self.trunk(convolved, proprio).float(), action], dim=1)
        with full_precision(features):  # a value of 100 in bf16 is wrong by up to 0.25
            return torch.stack([head(features).squeeze(1) for head in self.heads])

    forward = predict

    def value(self, prediction: torch.Tensor) -> torch.Tensor:
        return prediction

    def target(
        self, prediction: torch.Tensor, reward: torch.Tensor, discount: torch.Tensor, bonus: torch.Tensor
    ) -> torch.Tensor:
        return reward + discount * (prediction.min(dim=0).values + bonus)

    def loss(self, prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return (prediction - target).square().mean(dim=1).sum()


def check_ensemble(kind: str, members: int, subset: int, layers: int) -> tuple[int, int]:
    """``members`` and ``subset``, refused when no target could be made of them."""
    if layers < 1:
        raise PixelarmError(f"algo.critic.{kind}.layers must be at least 1, got {layers}")
    if not 1 <= subset <= members:
        raise PixelarmError(f"algo.critic.{kind}.subset must be 1 to its members ({members}), got {subset}")
    return members, subset


def critics() -> dict[str, Callable[..., Critic]]:
    """Every kind by name."""
    from policies.rl.critics.simba import SimbaCritics
    from policies.rl.sequence_critic import SequenceCritics

    return {"mlp": MLPCritics, "simba": SimbaCritics, "sequence": SequenceCritics}


def make_critics(contract: Contract, conv_size: int, cfg: AgentConfig) -> Critic:
    """The critics of a configuration; an unknown kind lists those that exist."""
    return choose(cfg.critic, critics(), "critic", "algo.critic", skip=3)(contract, conv_size, cfg)
