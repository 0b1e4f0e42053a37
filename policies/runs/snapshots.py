"""Snapshots: a run's networks at a few of its steps, to look at values over the course of the run.

``snapshots/step_000001000/agent.safetensors`` holds what acts and what values, without optimisers and memories: nothing
can be resumed from it. A run that is resumed writes the same ones again.
"""

from __future__ import annotations

from pathlib import Path

import torch

from policies.runs import checkpoint

SHARES = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)  # of a run's steps after which a snapshot is kept
FOLDER, AGENT = "snapshots", "agent.safetensors"


def due(before: int, now: int, total: int) -> bool:
    """Whether one of ``SHARES`` of ``total`` steps lies in (before, now]."""
    return any(before < total * share <= now for share in SHARES)


def keep(run: Path, step: int, networks: dict[str, torch.Tensor]) -> None:
    """Write the snapshot of a step, whole or not at all."""

    def fill(folder: Path) -> None:
        checkpoint.save_tensors(folder / AGENT, networks)

    checkpoint.write(run / FOLDER, step, fill, keep=0)


def kept(run: Path) -> dict[int, Path]:
    """The files of a run's snapshots by step, in order; and of its newest checkpoint, which holds more, where that is
    later. Empty when the run has saved nothing yet.
    """
    folder = run / FOLDER
    found = {step: checkpoint.folder_of(folder, step) / AGENT for step in checkpoint.steps(folder)}
    checkpoints = run / "checkpoints" / "rank0"
    latest = max(checkpoint.steps(checkpoints), default=-1)
    if latest > max(found, default=-1):
        found[latest] = checkpoint.folder_of(checkpoints, latest) / AGENT
    return found
