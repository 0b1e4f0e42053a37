"""``chunk_bc``: behaviour cloning of action chunks with an L1 loss.

One network from what is seen to the next ``chunk`` actions at once. The absolute error, as in ACT (arXiv 2304.13705)
but without its latent variable: its best answer is the median, which stays at a bound where most demonstrations were
at it, and takes one of two sides instead of going between. Each number is scaled to unit spread first, so that all
weigh alike.

    z = eyes(view(o));  a^ = head(z)                                                (B, chunk, A)
    loss = mean over valid (b, k) of [ mean over motions |a^ - a|  +  weight * mean over two-valued BCE(a^, a) ]

A two-valued number (the gripper's) is a class, decided by its log-odds: robots of the field threshold it when they
act, and a loss that knows this is not at rest between the two.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from policies.augment.states import Displacements
from policies.data.batch import Batch
from policies.imitation.config import ChunkBcConfig
from policies.imitation.policy import ImitationPolicy, mean_of_valid
from policies.networks.layers import full_precision, mlp
from robot.contract import Contract


class ChunkBc(ImitationPolicy):
    """See the module text."""

    def __init__(self, contract: Contract, cfg: ChunkBcConfig, seed: int) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            super().__init__(contract, cfg)
            self.weight = cfg.two_valued_weight
            self.displacements = Displacements(contract, cfg.nudge, cfg.object_noise, cfg.strays)
            self.head = mlp(self.eyes.size, cfg.hidden, contract.chunk * contract.action.size, cfg.layers)

    def chunk(self, features: torch.Tensor) -> torch.Tensor:
        with full_precision(features):
            return self.head(features.float()).unflatten(1, (self.contract.chunk, -1))

    def loss(self, batch: Batch) -> dict[str, torch.Tensor]:
        features, wanted, valid = self.learned_from(self.displacements(batch))
        motion, grip = errors(self.chunk(features), wanted, self.actions.two_valued)
        losses = {"motion_loss": mean_of_valid(motion, valid), "two_valued_loss": mean_of_valid(grip, valid)}
        return {"loss": losses["motion_loss"] + self.weight * losses["two_valued_loss"], **losses}


def errors(answer: torch.Tensor, wanted: torch.Tensor, two_valued: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Of actions ``(..., A)`` as the network has them, the mean absolute error of motions ``(...)``, and the mean
    cross-entropy of two-valued numbers, whose log-odds are answered, ``(...)``.
    """
    grip = F.binary_cross_entropy_with_logits(answer, wanted.clamp(0.0, 1.0), reduction="none")
    return mean_of((answer - wanted).abs(), ~two_valued), mean_of(grip, two_valued)


def mean_of(values: torch.Tensor, which: torch.Tensor) -> torch.Tensor:
    """Mean ``(...)`` of ``values`` ``(..., A)`` over the numbers of ``which`` ``(A,)`` bool; 0 of none."""
    return (values * which).sum(dim=-1) / which.sum().clamp(min=1)
