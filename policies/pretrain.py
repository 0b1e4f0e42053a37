"""What happens on the demonstrations before the first online step: contrastive pre-training, then cloning."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import torch

from policies.contrastive import info_nce
from policies.replay import Replay, to_device
from policies.sac import SAC

Progress = Callable[[int, float], None]  # (updates done, loss)


def contrast(
    agent: SAC, demos: Replay, updates: int, batch_size: int, rate: float, rng: np.random.Generator, progress: Progress
) -> float:
    """FERM's pre-training: InfoNCE between two augmented views of the demonstrations' frames.

    The query encoder is the agent's convolutional stack with the critics' pixel trunk, as in FERM; the key encoder follows it
    with momentum ``rate`` at every update. Frames of one batch are distinct, because a repeated frame would be its own negative.

    Returns the mean loss of the last tenth.
    """
    projector = agent.critics.trunk.pixels
    query = torch.nn.ModuleList([agent.encoder, projector])
    key = copy.deepcopy(query).requires_grad_(False)
    size = projector[0].out_features
    start = torch.rand(size, size, generator=torch.Generator().manual_seed(int(rng.integers(2**31))))
    bilinear = torch.nn.Parameter(start.to(agent.device))
    optimizer = torch.optim.Adam([*query.parameters(), bilinear], agent.cfg.learning_rate)
    size = min(batch_size, len(demos))
    losses = []
    for update in range(updates):
        observation = to_device(demos.sample(size, rng, distinct=True), agent.device)["obs"]
        with agent.fabric.autocast():
            anchors = projector(agent.encoder(agent.view(observation)))
            with torch.no_grad():
                keys = key[1](key[0](agent.view(observation)))
            loss = info_nce(anchors.float(), keys.float(), bilinear)
        optimizer.zero_grad()
        agent.fabric.backward(loss)
        agent._step(optimizer)
        with torch.no_grad():
            torch._foreach_lerp_(list(key.parameters()), list(query.parameters()), rate)
        losses.append(float(loss.detach()))
        progress(update + 1, losses[-1])
    return float(np.mean(losses[-max(1, len(losses) // 10) :])) if losses else float("nan")


def clone(
    agent: SAC, demos: Replay, updates: int, batch_size: int, rng: np.random.Generator, progress: Progress
) -> float:
    """Behaviour cloning of the demonstrations; returns the mean loss of the last tenth."""
    losses = []
    for update in range(updates):
        losses.append(agent.clone(to_device(demos.sample(batch_size, rng), agent.device)))
        progress(update + 1, losses[-1])
    return float(np.mean(losses[-max(1, len(losses) // 10) :])) if losses else float("nan")
