"""The value of actions: an ensemble of heads on one trunk.

A kind predicts values as plain numbers or as distributions; the agent does not need to know which. It takes a
prediction of the next state's action from the target networks, asks ``target`` what to learn from it, and ``loss`` how
far its own is from that.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from policies.networks.encoder import Trunk
from robot.errors import PixelarmError


class Critic(nn.Module):
    """An ensemble of action values. ``convolved`` and ``proprio`` are the encoder's; actions are in [-1, 1].

    A kind brings the four methods that raise here; the three after them it may leave as they are.
    """

    trunk: Trunk
    members: int  # M
    subset: int  # members whose minimum makes the target

    def predict(self, convolved: torch.Tensor, proprio: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        """Prediction for actions ``(B, A)``: ``(M, B)`` values, or ``(M, B, atoms)`` logits of their distributions."""
        return self.evaluate(self.trunk(convolved, proprio), action)

    forward = predict

    def evaluate(self, features: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        """The same from features ``(B, F)`` of the trunk."""
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

    def in_rewards(self, values: torch.Tensor) -> torch.Tensor:
        """Expected values in units of the reward, for people to look at: for kinds that learn from scaled ones."""
        return values

    def observe(self, rewards: Sequence[float]) -> None:
        """The rewards of one whole episode, in order, demonstrated or own:
        for kinds that scale what they learn by them.
        """

    def project(self) -> None:
        """After each optimiser step: for kinds whose weights are kept on a surface."""


def check_ensemble(kind: str, members: int, subset: int, layers: int) -> tuple[int, int]:
    """``members`` and ``subset``, refused when no target could be made of them."""
    if layers < 1:
        raise PixelarmError(f"algo.critic.{kind}.layers must be at least 1, got {layers}")
    if not 1 <= subset <= members:
        raise PixelarmError(f"algo.critic.{kind}.subset must be 1 to its members ({members}), got {subset}")
    return members, subset
