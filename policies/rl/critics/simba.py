"""SimbaV2's critic: features and weights on the unit sphere, values as distributions (Lee et al. 2025, arXiv
2502.15280).

Every weight row has length 1 and every feature vector too, so neither can grow while targets keep moving; what must
have a size is a learned scaler. A residual block is a step of learned length from the features towards what the block
proposes. Rewards are divided by a running measure of the returns, so that values fill the same atoms whatever the task
pays.

The numbers are those of the paper and of configs/agent/simbaV2.yaml in the authors' repository dojeon-ai/SimbaV2: a
width of 512, 2 blocks, a target rate of 0.005, and two members where failing ends an episode, one elsewhere.
Differences:

* the input is the trunk's features of pixels and proprioception beside the action, where the paper has a state
  normalised by its running mean and deviation; the trunk's own weights are free;
* the actor is that of the configuration, not a hyperspherical one, and the learning rate does not fall;
* the statistics of returns are taken from whole episodes (``observe``), demonstrations included, not from each step as
  it happens; and an episode's last return counts in full, where the authors' code forgets the earlier rewards one step
  too soon.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from policies.networks.categorical import bellman, cross_entropy, expectation, make_support
from policies.networks.encoder import Trunk
from policies.rl.config import ActorCriticConfig
from policies.rl.critics.base import Critic, check_ensemble
from robot.contract import Contract
from robot.errors import PixelarmError

EXPANSION = 4  # width of a block's hidden layer, in widths of its features


class SphereLinear(nn.Module):
    """One linear layer for each member, without bias, whose rows have unit length:
    ``(M, B, inputs)`` to ``(M, B, outputs)``.
    """

    def __init__(self, members: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(members, outputs, inputs))
        for weight in self.weight:
            nn.init.orthogonal_(weight)
        self.project()

    @torch.no_grad()
    def project(self) -> None:
        """Bring each row back to unit length."""
        self.weight.copy_(F.normalize(self.weight, dim=-1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.weight.mT


class Scaler(nn.Module):
    """A learned factor for each feature. It starts at ``initial``; ``speed`` is the size of the stored parameter, to
    which Adam's steps compare: the smaller, the faster it learns."""

    def __init__(self, members: int, size: int, initial: float, speed: float) -> None:
        super().__init__()
        self.stored = nn.Parameter(torch.full((members, 1, size), speed))
        self.factor = initial / speed

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.stored * self.factor * x


class LerpBlock(nn.Module):
    """Features ``(M, B, hidden)`` on the sphere, moved towards a two-layer network's proposal and put back on it."""

    def __init__(self, members: int, hidden: int, blocks: int) -> None:
        super().__init__()
        wide = EXPANSION * hidden
        size = math.sqrt(2.0 / wide)
        self.inner = SphereLinear(members, hidden, wide)
        self.scaler = Scaler(members, wide, size, size)
        self.outer = SphereLinear(members, wide, hidden)
        self.step = Scaler(members, hidden, 1.0 / (blocks + 1), 1.0 / math.sqrt(hidden))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        # the tiny constant keeps a proposal that the ReLU silenced from having no direction
        proposal = F.normalize(self.outer(F.relu(self.scaler(self.inner(x))) + 1e-8), dim=-1)
        return F.normalize(x + self.step(proposal - x), dim=-1)


class SimbaCritics(Critic):
    """An ensemble of hyperspherical critics, computed together; the target is the distribution with the least mean of
    those drawn.

    Values are in scaled reward, as is the entropy bonus beside them.

    Args:
        members: size of the ensemble.
        subset: members among which the least makes the target, drawn anew for each update.
        hidden: width of the features; a block's hidden layer is four times as wide.
        layers: residual blocks.
        atoms: of a value's distribution.
        bound: the atoms lie evenly in [-bound, bound], in scaled reward.
        shift: coordinate put beside the input before it is normalised, so that its length is not forgotten.
        scale_rewards: divide rewards by the running measure of returns.
    """

    support: torch.Tensor
    count: torch.Tensor  # returns seen
    mean: torch.Tensor  # of them
    variance: torch.Tensor
    largest: torch.Tensor  # absolute value of them

    def __init__(
        self,
        contract: Contract,
        conv_size: int,
        cfg: ActorCriticConfig,
        members: int = 2,
        subset: int = 2,
        hidden: int = 512,
        layers: int = 2,
        atoms: int = 101,
        bound: float = 5.0,
        shift: float = 3.0,
        scale_rewards: bool = True,
    ) -> None:
        super().__init__()
        if not (atoms >= 2 and bound > 0):
            raise PixelarmError(f"critic simba needs atoms >= 2 and bound > 0, got {atoms} and {bound}")
        self.members, self.subset = check_ensemble("simba", members, subset, layers)
        self.discount, self.bound, self.shift, self.scale_rewards = cfg.discount, bound, shift, scale_rewards
        size = math.sqrt(2.0 / hidden)
        self.trunk = Trunk(contract, conv_size, cfg.encoder)
        self.embed = nn.Sequential(
            SphereLinear(members, self.trunk.size + contract.action.size + 1, hidden),
            Scaler(members, hidden, size, size),
        )
        self.blocks = nn.Sequential(*(LerpBlock(members, hidden, layers) for _ in range(layers)))
        self.head = nn.Sequential(
            SphereLinear(members, hidden, hidden),
            Scaler(members, hidden, 1.0, 1.0),
            SphereLinear(members, hidden, atoms),
        )
        self.bias = nn.Parameter(torch.zeros(members, 1, atoms))
        self.register_buffer("support", make_support(-bound, bound, atoms))
        # no returns yet, and a variance of 1 until there are, which leaves rewards as they come
        for name, start in (("count", 0.0), ("mean", 0.0), ("variance", 1.0), ("largest", 0.0)):
            self.register_buffer(name, torch.tensor(start))

    def evaluate(self, features: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        """Logits ``(M, B, atoms)`` of the values of actions ``(B, A)``."""
        features = torch.cat([features, action], dim=1)
        lifted = F.pad(features, (0, 1), value=self.shift)
        embedded = F.normalize(self.embed(F.normalize(lifted, dim=-1)), dim=-1)
        return (self.head(self.blocks(embedded)) + self.bias).float()

    def value(self, prediction: torch.Tensor) -> torch.Tensor:
        return expectation(prediction, self.support)

    @torch.no_grad()
    def target(
        self, prediction: torch.Tensor, reward: torch.Tensor, discount: torch.Tensor, bonus: torch.Tensor
    ) -> torch.Tensor:
        """Probabilities ``(B, atoms)``."""
        least = self.value(prediction).argmin(dim=0)
        chosen = prediction.take_along_dim(least[None, :, None], dim=0).squeeze(0)
        return bellman(chosen, self.support, reward / self.reward_scale, discount, bonus)

    def loss(self, prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return cross_entropy(prediction, target).mean(dim=1).sum()

    def project(self) -> None:
        """Bring every weight row back to unit length; after each optimiser step."""
        for module in self.modules():
            if isinstance(module, SphereLinear):
                module.project()

    @property
    def reward_scale(self) -> torch.Tensor:
        """What rewards are divided by: the returns' deviation, or more where that would put the largest one outside the
        atoms.

        1 until an episode with a reward has ended: after zeros alone the deviation is 0, and the first success would be
        cut off at the last atom.
        """
        scale = torch.maximum((self.variance + 1e-8).sqrt(), self.largest / self.bound)
        return torch.where(self.largest > 0, scale, torch.ones_like(scale))

    def in_rewards(self, values: torch.Tensor) -> torch.Tensor:
        return values * self.reward_scale

    @torch.no_grad()
    def observe(self, rewards: Sequence[float]) -> None:
        """Take the rewards of one whole episode, in order, into the statistics of returns."""
        if not self.scale_rewards or not len(rewards):
            return
        returns, running = [], 0.0  # discounted sums of the rewards up to each step
        for reward in rewards:
            running = float(reward) + self.discount * running
            returns.append(running)
        new = torch.tensor(returns, device=self.mean.device)
        total, delta = self.count + len(new), new.mean() - self.mean
        # Chan et al. 1979: the variance of two sets joined. The first set replaces the placeholder, for which count is
        # 0
        spread = self.variance * self.count + new.var(correction=0) * len(new)
        self.variance.copy_((spread + delta.square() * self.count * len(new) / total) / total)
        self.mean.add_(delta * len(new) / total)
        self.largest.copy_(torch.maximum(self.largest, new.abs().max()))
        self.count.copy_(total)
