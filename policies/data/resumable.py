"""A loader that goes on where a checkpoint was taken, in the middle of an epoch too."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset


class ResumableLoader:
    """The batches of a dataset, and how many of them have been given.

    Lightning's Trainer keeps ``state_dict`` in its checkpoints and hands it back before it iterates. Iterating goes on
    after the last batch that was given; after the last of all, the next epoch begins. Batches that were given before
    are not loaded again.

    Args:
        batches: lists of rows, the same ones whenever it is iterated, as ``policies.data.windows.Draws`` does; or the
            same in each epoch, if it has ``set_epoch(epoch)``, which is called with 0, 1, ... It must have a length.
        seed: of worker processes. What they draw begins anew with each epoch and each resumption.
        options: of ``torch.utils.data.DataLoader``: ``collate_fn``, ``num_workers``, ``pin_memory``.
    """

    def __init__(self, dataset: Dataset[Any], batches: Iterable[list[int]], seed: int = 0, **options: Any) -> None:
        self.dataset, self.batches, self.seed, self.options = dataset, batches, seed, options
        self._epoch = self._given = 0

    def __len__(self) -> int:
        """Batches of a whole epoch."""
        return len(self.batches)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[Any]:
        if self._given >= len(self):
            self._epoch, self._given = self._epoch + 1, 0
        if hasattr(self.batches, "set_epoch"):
            self.batches.set_epoch(self._epoch)
        rest = islice(iter(self.batches), self._given, None)
        # of its own, so that no loader draws from the stream that training draws from
        generator = torch.Generator().manual_seed(self.seed + self._epoch)
        for batch in DataLoader(self.dataset, batch_sampler=rest, generator=generator, **self.options):
            self._given += 1
            yield batch

    def state_dict(self) -> dict[str, int]:
        return {"epoch": self._epoch, "given": self._given}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self._epoch, self._given = state["epoch"], state["given"]
