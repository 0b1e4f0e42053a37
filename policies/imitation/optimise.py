"""A fitted policy as a module of Lightning's Trainer: the optimiser, its rate, and the average of the weights."""

from __future__ import annotations

import copy
import math
from typing import Any

import lightning
import numpy as np
import torch
from torch import nn

from policies.data.batch import Batch
from policies.imitation.config import OptimiserConfig


class Fit(lightning.LightningModule):
    """Minimises a policy's ``loss`` with AdamW.

    Every update decides its own rate and its own random stream, from how many were made and from the process's rank:
    a run that goes on from a checkpoint goes on as it would have.

    Args:
        policy: an ``nn.Module`` with a ``loss``, see ``policies.policy.FittedPolicy``.
        updates: of the whole run.

    Attributes:
        metrics: of the last update, still on the device.
    """

    updates: torch.Tensor

    def __init__(self, policy: nn.Module, options: OptimiserConfig, updates: int, seed: int) -> None:
        super().__init__()
        self.policy, self.options, self.total, self.seed = policy, options, updates, seed
        self.average = copy.deepcopy(policy).requires_grad_(False) if options.ema_decay else None
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))
        self.metrics: dict[str, torch.Tensor] = {}

    @property
    def best(self) -> nn.Module:
        """What is evaluated and kept: the average, where there is one."""
        return self.policy if self.average is None else self.average

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        made = int(self.updates)
        stream = np.random.SeedSequence([self.seed, self.global_rank, made]).generate_state(1, np.uint64)[0]
        torch.manual_seed(int(stream >> np.uint64(1)))  # also of its GPUs
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = rate(self.options, made, self.total)
        if hasattr(self.policy, "begin"):
            self.policy.begin(made, self.total)

    def training_step(self, batch: Batch, batch_idx: int) -> torch.Tensor:
        losses = self.policy.loss(batch)
        self.metrics = {name: value.detach() for name, value in losses.items()}
        return losses["loss"]

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        super().optimizer_step(*args, **kwargs)
        self.updates += 1
        if self.average is not None:
            follow(self.average, self.policy, decay_at(self.options.ema_decay, int(self.updates)))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        options = self.options
        return torch.optim.AdamW(self.policy.parameters(), options.learning_rate, weight_decay=options.weight_decay)

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        return batch.to(device)


def rate(options: OptimiserConfig, made: int, total: int) -> float:
    """The learning rate of the update after ``made`` ones, of ``total``."""
    highest = options.learning_rate * min(1.0, (made + 1) / (options.warmup_updates + 1))
    if options.schedule == "constant":
        return highest
    return highest * 0.5 * (1.0 + math.cos(math.pi * made / max(1, total)))


def decay_at(decay: float, updates: int) -> float:
    """The average's decay after so many updates: at first it forgets sooner, since what it started from was random."""
    return min(decay, (1 + updates) / (10 + updates))


@torch.no_grad()
def follow(average: nn.Module, policy: nn.Module, decay: float) -> None:
    """Move the weights of ``average`` towards those of ``policy``: decay * average + (1 - decay) * policy. Buffers are
    copied.
    """
    mine, theirs = list(average.parameters()), [p.detach() for p in policy.parameters()]
    torch._foreach_lerp_(mine, theirs, 1.0 - decay)
    for own, other in zip(average.buffers(), policy.buffers()):
        own.copy_(other)
