"""Demonstrations as rows to fit a policy to: at each moment what it sees, and the actions from then on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch.utils.data import Dataset, Sampler

from policies.data.batch import Batch
from policies.data.replay import Lookup, Replay
from robot.contract import Contract
from robot.dataset.episodes import Episode


class Windows(Dataset[Batch]):
    """Every moment of some episodes.

    A row's ``obs`` ends at its moment, stacked as ``contract.history`` says; ``actions`` ``(B, chunk, A)`` begin there,
    the last one repeated after the episode's end, where ``valid`` is False.

    Args:
        contract: with the policy's history and chunk.
    """

    def __init__(self, contract: Contract, episodes: Sequence[Episode]) -> None:
        self.chunk = contract.chunk
        self.memory = Replay(contract, sum(len(e) + 1 for e in episodes), Lookup(sequence=contract.chunk))
        for episode in episodes:
            self.memory.add_episode(episode)

    def __len__(self) -> int:
        return len(self.memory.transitions())

    def __getitems__(self, rows: Sequence[int]) -> Batch:
        batch = self.memory.gather(self.memory.transitions()[np.asarray(rows)])
        if self.chunk > 1:
            return batch
        return replace(batch, actions=batch.action[:, None], valid=torch.ones(len(batch), 1, dtype=torch.bool))


class Draws(Sampler[list[int]]):
    """Batches of rows drawn uniformly, the same ones whenever they are iterated."""

    def __init__(self, rows: int, batch_size: int, seed: int, updates: int) -> None:
        self.rows, self.batch_size, self.seed, self.updates = rows, batch_size, seed, updates

    def __len__(self) -> int:
        return self.updates

    def __iter__(self) -> Iterator[list[int]]:
        for update in range(self.updates):
            yield np.random.default_rng([self.seed, update]).integers(0, self.rows, self.batch_size).tolist()
