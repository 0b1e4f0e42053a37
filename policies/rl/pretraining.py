"""What happens on the demonstrations before the first online step: auxiliary losses such as contrast, then cloning."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from policies.data.replay import Replay
from policies.rl.auxiliary import make_auxiliary
from policies.rl.pixel_agent import PixelAgent

Progress = Callable[[int, float], None]  # (updates done, loss)


def train_auxiliary(
    agent: PixelAgent,
    demos: Replay,
    items: list[Any],
    updates: int,
    batch_size: int,
    rng: np.random.Generator,
    progress: Progress,
) -> float:
    """Train the encoder with auxiliary losses alone, on the demonstrations: FERM's pre-training where the loss is
    ``info_nce``.

    Frames of one batch are distinct, because a repeated frame would be its own negative. The losses' own parameters are
    not kept. Returns the mean loss of the last tenth.
    """
    # the same start on every device, which share gradients only
    seed = agent.fabric.broadcast(int(rng.integers(2**31)))
    losses = make_auxiliary(items, agent.encoder, agent.trunk, seed)
    parameters = trained_by(agent, losses)
    optimizer = torch.optim.Adam(parameters, agent.cfg.learning_rate, (agent.cfg.beta1, 0.999))
    size, totals = min(batch_size, len(demos)), []
    for update in range(updates):
        batch = demos.sample(size, rng, distinct=True).to(agent.device)
        with agent.fabric.autocast():
            features = agent.encoder(agent.pixels(batch.obs))
            others = {name: agent.other(loss, batch) for name, loss in losses.items()}
            total = sum(
                loss.weight
                * loss(features, agent.encoder, agent.trunk, others[name], batch.ahead_valid if loss.ahead else None)
                for name, loss in losses.items()
            )
        optimizer.zero_grad()
        agent.fabric.backward(total)
        agent.optimizers.share([p for p in parameters if p.grad is not None])
        optimizer.step()
        for loss in losses.values():
            loss.follow(agent.encoder, agent.trunk)
        totals.append(float(total.detach()))
        progress(update + 1, totals[-1])
    return last_tenth(totals)


def trained_by(agent: PixelAgent, losses: nn.ModuleDict) -> list[nn.Parameter]:
    """The parameters that auxiliary losses reach: those of the networks that they name, and their own."""
    networks = {"encoder": agent.encoder, "trunk": agent.trunk}
    names = dict.fromkeys(name for loss in losses.values() for name in loss.reaches)  # in order, once
    parameters = [p for name in names for p in networks[name].parameters()]
    return [*parameters, *(p for p in losses.parameters() if p.requires_grad)]


def clone(
    agent: PixelAgent, demos: Replay, updates: int, batch_size: int, rng: np.random.Generator, progress: Progress
) -> float:
    """Behaviour cloning of the demonstrations; returns the mean loss of the last tenth."""
    losses = []
    for update in range(updates):
        losses.append(float(agent.clone(demos.sample(batch_size, rng).to(agent.device))))
        progress(update + 1, losses[-1])
    return last_tenth(losses)


def last_tenth(losses: list[float]) -> float:
    return float(np.mean(losses[-max(1, len(losses) // 10) :])) if losses else float("nan")
