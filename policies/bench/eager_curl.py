"""CURL as it is written down from its paper (arXiv 2004.04136), without haste: what ``pixelarm bench learner`` holds
the agent against.

Float32, contiguous tensors, eager; each loss runs its observations through the convolutions of its own network again,
and the critics' and the contrastive loss have an optimiser each, as in the authors' repository MishaLaskin/curl. In two
places it is quicker than that: the contrastive gradient is stepped on by one optimiser, not by two, and crops are cut
on the device by indexing, not one by one on the processor. Sizes are those of the agent it is compared with; the losses
are the same numbers, a test says.

One camera and no proprioception: DeepMind Control, where CURL published.
"""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from policies.data.batch import Batch
from policies.rl.actor_critic import ActorCritic
from robot.errors import PixelarmError


class Encoder(nn.Module):
    """Four convolutions of 3x3 with strides 2-1-1-1, a linear layer and LayerNorm:
    pixels 0..255 to ``(B, features)``.
    """

    def __init__(self, channels: int, conv_size: int, features: int, filters: int = 32) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            nn.Conv2d(channels if i == 0 else filters, filters, 3, 2 if i == 0 else 1) for i in range(4)
        )
        self.linear, self.norm = nn.Linear(conv_size, features), nn.LayerNorm(features)

    def forward(self, pixels: torch.Tensor, detach: bool = False) -> torch.Tensor:
        """``detach``: the gradient stops before the convolutions."""
        maps = pixels / 255.0 - 0.5
        for conv in self.convs:
            maps = torch.relu(conv(maps))
        flat = maps.flatten(1)
        return self.norm(self.linear(flat.detach() if detach else flat))


class Actor(nn.Module):
    """A tanh-squashed Gaussian."""

    def __init__(self, encoder: Encoder, hidden: int, actions: int, bounds: tuple[float, float]) -> None:
        super().__init__()
        self.encoder, self.bounds = encoder, bounds
        self.head = _mlp(encoder.linear.out_features, hidden, 2 * actions)

    def forward(self, pixels: torch.Tensor, noise: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Actions ``(B, A)`` in [-1, 1] and their log-probabilities ``(B, 1)``.
        ``noise``: standard normal, ``(B, A)``.
        """
        mean, log_std = self.head(self.encoder(pixels, detach=True)).chunk(2, dim=1)
        low, high = self.bounds
        log_std = low + 0.5 * (high - low) * (torch.tanh(log_std) + 1)
        unsquashed = mean + noise * log_std.exp()
        normal = (-0.5 * noise**2 - log_std).sum(1, keepdim=True) - 0.5 * math.log(2 * math.pi) * noise.shape[1]
        # log(1 - tanh(u)^2), written so that it keeps its digits where tanh is almost 1
        squashing = 2 * (math.log(2) - unsquashed - F.softplus(-2 * unsquashed))
        return torch.tanh(unsquashed), normal - squashing.sum(1, keepdim=True)


class Critic(nn.Module):
    """Two values of an action."""

    def __init__(self, encoder: Encoder, hidden: int, actions: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.q1, self.q2 = (_mlp(encoder.linear.out_features + actions, hidden, 1) for _ in range(2))

    def forward(
        self, pixels: torch.Tensor, action: torch.Tensor, detach: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """``(B, 1)`` each."""
        both = torch.cat([self.encoder(pixels, detach), action], dim=1)
        return self.q1(both), self.q2(both)


class EagerCURL:
    """Networks of an agent's sizes and weights, and one update of them."""

    def __init__(self, agent: ActorCritic) -> None:
        cfg, contract = agent.cfg, agent.contract
        if (
            contract.proprio
            or len(contract.cameras) != 1
            or list(agent.auxiliary) != ["info_nce"]
            or agent.actor.entropy is None
        ):
            raise PixelarmError(
                "the eager baseline is CURL's: one camera, no proprioception, a gaussian actor and info_nce"
            )
        self.cfg, self.device, self.crop = cfg, agent.device, agent.encoder.image_size[0]
        sizes = agent.encoder.channels[0], agent.encoder.size, cfg.encoder.feature_size
        actions, self.entropy = contract.action.size, agent.actor.entropy
        self.critic = Critic(Encoder(*sizes), agent.critics.heads[0][0].out_features, actions)
        self.actor = Actor(Encoder(*sizes), agent.actor.head[0].out_features, actions, agent.actor.bounds)
        _copy(self.critic, agent.encoder, agent.critics.trunk.pixels, *agent.critics.heads)
        _copy(self.actor, agent.encoder, agent.actor.trunk.pixels, agent.actor.head)
        self.actor.encoder.convs = self.critic.encoder.convs  # one set of weights
        self.target = copy.deepcopy(self.critic)
        self.bilinear = nn.Parameter(agent.auxiliary["info_nce"].bilinear.detach().clone().cpu())
        for module in (self.critic, self.actor, self.target):
            module.to(self.device)
        self.bilinear.data = self.bilinear.data.to(self.device)
        self.log_alpha = torch.tensor(math.log(self.entropy.temperature), device=self.device, requires_grad=True)
        heads = [
            *self.actor.encoder.linear.parameters(),
            *self.actor.encoder.norm.parameters(),
            *self.actor.head.parameters(),
        ]
        rate, betas, beta1 = cfg.learning_rate, (cfg.beta1, 0.999), self.entropy.temperature_beta1
        self.critic_optimizer = torch.optim.Adam(self.critic.parameters(), rate, betas)
        self.contrastive_optimizer = torch.optim.Adam([*self.critic.encoder.parameters(), self.bilinear], rate, betas)
        self.actor_optimizer = torch.optim.Adam(heads, rate, betas)
        self.alpha_optimizer = torch.optim.Adam([self.log_alpha], self.entropy.temperature_rate, (beta1, 0.999))
        self.generator = torch.Generator(self.device).manual_seed(0)
        self.updates = 0

    # ----------------------------------------------------------------- the losses
    def critic_loss(self, pixels: Any, action: Any, reward: Any, discount: Any, after: Any, noise: Any) -> torch.Tensor:
        """Squared distance of both critics to ``r + gamma (min Q'(o', a') - alpha log pi(a'))``."""
        with torch.no_grad():
            following, log_prob = self.actor(after, noise)
            value = torch.min(*self.target(after, following)) - self.log_alpha.exp() * log_prob
            aim = reward[:, None] + discount[:, None] * value
        q1, q2 = self.critic(pixels, action)
        return F.mse_loss(q1, aim) + F.mse_loss(q2, aim)

    def actor_loss(self, pixels: torch.Tensor, noise: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """``alpha log pi(a) - min Q(o, a)``, and the log-probabilities. The convolutions are left alone."""
        action, log_prob = self.actor(pixels, noise)
        value = torch.min(*self.critic(pixels, action, detach=True))
        return (self.log_alpha.exp().detach() * log_prob - value).mean(), log_prob.detach()

    def contrastive_loss(self, anchor: torch.Tensor, positive: torch.Tensor) -> torch.Tensor:
        """Cross-entropy of ``q W k`` between two crops of the same observations."""
        query = self.critic.encoder(anchor)
        with torch.no_grad():
            key = self.target.encoder(positive)
        logits = query @ (self.bilinear @ key.T)
        logits = logits - logits.max(dim=1, keepdim=True)[0]
        return F.cross_entropy(logits, torch.arange(len(logits), device=logits.device))

    # ----------------------------------------------------------------- one update
    def update(self, batch: Batch) -> dict[str, torch.Tensor]:
        """One update on a batch as ``Replay.sample`` gives it, with actions in [-1, 1]."""
        cfg = self.cfg
        (images,), (next_images,) = batch.obs.values(), batch.next_obs.values()
        anchor, after, positive = (self.random_crop(x) for x in (images, next_images, images))
        loss = self.critic_loss(anchor, batch.action, batch.reward, batch.discount, after, self.noise(batch))
        _step(loss, self.critic_optimizer)
        metrics = {"critic_loss": loss.detach()}
        if self.updates % cfg.actor_every == 0:
            loss, log_prob = self.actor_loss(anchor, self.noise(batch))
            _step(loss, self.actor_optimizer)
            aim = self.entropy.target_entropy * batch.action.shape[1]
            _step(-(self.log_alpha.exp() * (log_prob + aim)).mean(), self.alpha_optimizer)
            metrics["actor_loss"] = loss.detach()
        self.updates += 1
        if self.updates % cfg.target_every == 0:
            _follow(self.critic.encoder, self.target.encoder, cfg.encoder.target_rate)
            _follow(self.critic.q1, self.target.q1, cfg.target_rate)
            _follow(self.critic.q2, self.target.q2, cfg.target_rate)
        loss = self.contrastive_loss(anchor, positive)
        _step(loss, self.contrastive_optimizer)
        return {**metrics, "info_nce": loss.detach()}

    def noise(self, batch: Batch) -> torch.Tensor:
        return torch.randn(batch.action.shape, generator=self.generator, device=self.device)

    def random_crop(self, images: torch.Tensor) -> torch.Tensor:
        """``(B, C, H, W)`` uint8 to ``(B, C, crop, crop)`` float32, a window of its own for each image."""
        windows = images.unfold(2, self.crop, 1).unfold(
            3, self.crop, 1
        )  # (B, C, tops, lefts, crop, crop), without a copy
        top, left = (
            torch.randint(0, places, (len(images),), generator=self.generator, device=self.device)
            for places in windows.shape[2:4]
        )
        return windows[torch.arange(len(images), device=self.device), :, top, left].float()


def _mlp(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, outputs)
    )


@torch.no_grad()
def _copy(to: nn.Module, *of: nn.Module) -> None:
    """Weights one by one, which lie in the same order in both."""
    for mine, theirs in zip(to.parameters(), (p for module in of for p in module.parameters()), strict=True):
        mine.copy_(theirs)


@torch.no_grad()
def _follow(online: nn.Module, target: nn.Module, rate: float) -> None:
    for mine, theirs in zip(online.parameters(), target.parameters()):
        theirs.copy_(rate * mine + (1 - rate) * theirs)


def _step(loss: torch.Tensor, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
