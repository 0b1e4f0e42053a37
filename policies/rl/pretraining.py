"""What happens on the demonstrations before the first online step: objectives such as contrast, then cloning."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from policies.data.replay import Replay, to_device
from policies.rl.actor_critic import Agent
from policies.rl.auxiliary import make_objectives

Progress = Callable[[int, float], None]  # (updates done, loss)


def train_objectives(
    agent: Agent,
    demos: Replay,
    items: list[Any],
    updates: int,
    batch_size: int,
    rng: np.random.Generator,
    progress: Progress,
) -> float:
    """Train the encoder with objectives alone, on the demonstrations: FERM's pre-training where the objective is ``info_nce``.

    Frames of one batch are distinct, because a repeated frame would be its own negative. Parameters of the objectives' own are
    not kept. Returns the mean loss of the last tenth.
    """
    seed = agent.fabric.broadcast(
        int(rng.integers(2**31))
    )  # the same start on every device, which share gradients only
    terms = make_objectives(items, agent, seed)
    parameters = trained_by(agent, terms)
    optimizer = torch.optim.Adam(parameters, agent.cfg.learning_rate, (agent.cfg.beta1, 0.999))
    size, losses = min(batch_size, len(demos)), []
    for update in range(updates):
        batch = to_device(demos.sample(size, rng, distinct=True), agent.device)
        with agent.fabric.autocast():
            convolved = agent.encoder(agent.view(batch["obs"]))
            total = sum(term.weight * term.loss(agent, convolved, batch) for term in terms.values())
        optimizer.zero_grad()
        agent.fabric.backward(total)
        agent.share_gradients([p for p in parameters if p.grad is not None])
        optimizer.step()
        for term in terms.values():
            term.follow(agent)
        losses.append(float(total.detach()))
        progress(update + 1, losses[-1])
    return last_tenth(losses)


def trained_by(agent: Agent, terms: nn.ModuleDict) -> list[nn.Parameter]:
    """The parameters that objectives reach: those of the agent's networks that they name, and their own."""
    names = dict.fromkeys(name for term in terms.values() for name in term.reaches)  # in order, once
    parameters = [p for name in names for p in network(agent, name).parameters()]
    return [*parameters, *(p for p in terms.parameters() if p.requires_grad)]


def network(agent: Agent, path: str) -> nn.Module:
    """One of the agent's networks by its attribute path, "critics.trunk.pixels" say."""
    found: Any = agent
    for part in path.split("."):
        found = getattr(found, part)
    return found


def clone(
    agent: Agent, demos: Replay, updates: int, batch_size: int, rng: np.random.Generator, progress: Progress
) -> float:
    """Behaviour cloning of the demonstrations; returns the mean loss of the last tenth."""
    losses = []
    for update in range(updates):
        batch = to_device(demos.sample(batch_size, rng), agent.device)
        losses.append(float(agent.clone({**batch, "demo_rows": batch_size})))
        progress(update + 1, losses[-1])
    return last_tenth(losses)


def last_tenth(losses: list[float]) -> float:
    return float(np.mean(losses[-max(1, len(losses) // 10) :])) if losses else float("nan")
