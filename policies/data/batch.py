"""A batch of transitions, as replay memories give it and agents take it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch

Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Batch:
    """B transitions, or B windows of demonstrations.

    Attributes:
        obs, next_obs: name to ``(B, history * C, H, W)`` uint8 or ``(B, history * n)`` float32; ``next_obs`` lies n
            steps on.
        action: ``(B, A)`` float32, in the contract's units.
        reward: ``(B,)`` float32, sum of gamma^i r_i over those n steps.
        discount: ``(B,)`` float32, gamma^n; 0 where the task ended there (a time limit is no end).
        imitate: ``(D,)`` bool, D <= B: which of the first D rows show an action to imitate. D is 0 where none may be.
        actions: ``(B, K, A)`` float32, the action and those after it, where sequences are looked up; windows may have
            some before it, too.
        valid: ``(B, K)`` bool, which of those lie within their episode.
        ahead_obs: as ``obs``, some steps on, where an auxiliary loss looks ahead.
        ahead_valid: ``(B,)`` bool, whether the episode goes on that far.
        floor: ``(B,)`` float32, what the rest of an episode that came to its end paid; minus infinity of others.
        proposal, next_proposal: ``(B, A)`` float32 in [-1, 1], what a frozen prior would do in ``obs`` and
            ``next_obs``, where memories keep it.
    """

    obs: Tensors
    next_obs: Tensors
    action: torch.Tensor
    reward: torch.Tensor
    discount: torch.Tensor
    imitate: torch.Tensor
    actions: torch.Tensor | None = None
    valid: torch.Tensor | None = None
    ahead_obs: Tensors | None = None
    ahead_valid: torch.Tensor | None = None
    floor: torch.Tensor | None = None
    proposal: torch.Tensor | None = None
    next_proposal: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.reward)

    def without_examples(self) -> Batch:
        """The same transitions, none of them to imitate."""
        return replace(self, imitate=self.imitate[:0])

    def to(self, device: torch.device) -> Batch:
        """The same batch on a device.

        A GPU is not waited for: it fetches from pinned memory, which torch does not use again before that is done.
        """
        pin = device.type == "cuda"
        return self._each(lambda t: t.pin_memory().to(device, non_blocking=True) if pin else t.to(device))

    def take(self, rows: torch.Tensor) -> Batch:
        """Rows in this order; every row's ``imitate`` must be known."""
        return self._each(lambda t: t[rows])

    def _each(self, change: Callable[[torch.Tensor], torch.Tensor]) -> Batch:
        return Batch(**{field.name: _apply(change, getattr(self, field.name)) for field in fields(self)})


def _apply(change: Callable[[torch.Tensor], torch.Tensor], value: Any) -> Any:
    if isinstance(value, dict):
        return {name: change(inner) for name, inner in value.items()}
    return value if value is None else change(value)


def concatenate(parts: Sequence[Batch]) -> Batch:
    """Batches end to end, with every row's ``imitate``."""
    return _end_to_end(parts, torch.cat([part.imitate for part in parts]))


def join(examples: Sequence[Batch], online: Batch) -> Batch:
    """Demonstrations and own successes, then experience. Examples to imitate are among the former alone."""
    return _end_to_end([*examples, online], torch.cat([part.imitate for part in examples]))


def _end_to_end(parts: Sequence[Batch], imitate: torch.Tensor) -> Batch:
    joined: dict[str, Any] = {"imitate": imitate}
    for name in (field.name for field in fields(Batch) if field.name != "imitate"):
        values = [getattr(part, name) for part in parts]
        if isinstance(values[0], dict):
            joined[name] = {key: torch.cat([value[key] for value in values]) for key in values[0]}
        else:
            joined[name] = None if values[0] is None else torch.cat(values)
    return Batch(**joined)
