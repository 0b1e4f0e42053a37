"""The optimisers of an agent: one Adam for each group of parameters,
gradients averaged over devices and bounded alike.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

if TYPE_CHECKING:
    from lightning.fabric import Fabric


class Optimizers:
    """Named Adams.

    Args:
        clip: bound of each group's gradient norm; 0: none.
    """

    def __init__(self, fabric: Fabric, clip: float) -> None:
        self.fabric, self.clip = fabric, clip
        self._adam = functools.partial(torch.optim.Adam, fused=True)
        self._named: dict[str, torch.optim.Optimizer] = {}

    def add(self, name: str, parameters: Iterable[nn.Parameter], rate: float, beta1: float) -> None:
        """A group of parameters, unless there are none."""
        parameters = list(parameters)
        if parameters:
            self._named[name] = self._adam(parameters, rate, (beta1, 0.999))

    def __contains__(self, name: str) -> bool:
        return name in self._named

    def zero(self) -> None:
        """Forget all gradients."""
        for optimizer in self._named.values():
            optimizer.zero_grad()

    def backward(self, loss: torch.Tensor) -> None:
        """Add the loss's gradient to every parameter that it reaches, of whatever group."""
        self.fabric.backward(loss)

    def step(self, *names: str) -> None:
        """Step these groups on the gradients that they have gathered."""
        for name in names:
            if name in self._named:
                parameters = [p for group in self._named[name].param_groups for p in group["params"]]
                self.share([p for p in parameters if p.grad is not None])
                self._named[name].step()

    def share(self, parameters: list[nn.Parameter]) -> None:
        """Make gradients the mean over all devices, and bound their norm."""
        if self.fabric.world_size > 1 and parameters:
            flat = torch.cat([p.grad.flatten() for p in parameters])
            flat = self.fabric.all_reduce(flat, reduce_op="mean")
            start = 0
            for p in parameters:
                p.grad.copy_(flat[start : start + p.numel()].view_as(p))
                start += p.numel()
        if self.clip > 0:
            nn.utils.clip_grad_norm_(parameters, self.clip)

    # -------------------------------------------------------------------- state
    def state_dict(self) -> dict[str, torch.Tensor]:
        """Adam's moments as flat named tensors."""
        return {
            f"{name}.{index}.{key}": value
            for name, optimizer in self._named.items()
            for index, moments in optimizer.state_dict()["state"].items()
            for key, value in moments.items()
        }

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        """Take what ``state_dict`` gave, or a file of it, which forgets the order in memory: the fused kernel goes
        through parameter, gradient and moments as they lie, so moments are laid out like their parameter again.
        """
        for name, optimizer in self._named.items():
            moments: dict[int, dict[str, Any]] = {}
            parameters = [p for group in optimizer.param_groups for p in group["params"]]
            for key, value in state.items():
                group, _, rest = key.partition(".")
                if group == name:
                    index, field = rest.split(".")
                    like = parameters[int(index)]
                    laid = torch.empty_like(like).copy_(value) if value.shape == like.shape else value
                    moments.setdefault(int(index), {})[field] = laid
            optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
