"""Demonstrations as rows to fit a policy to: at each moment what it sees, and the actions from then on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch.utils.data import Dataset, Sampler

from policies.data.batch import Batch
from policies.data.replay import Lookup, Replay, examples
from robot.contract import Contract
from robot.dataset.episodes import Episode


class Windows(Dataset[Batch]):
    """Every moment of some episodes whose action is an example to follow.

    A row's ``obs`` ends at its moment, stacked as ``contract.history`` says. ``actions`` ``(B, chunk, A)`` begin there;
    ``valid`` ``(B, chunk)`` says which of them are examples of the same episode. After its end the last one is
    repeated, and not valid; neither is what a policy did where a person took over from it.

    Args:
        contract: with the policy's history and chunk.
    """

    def __init__(self, contract: Contract, episodes: Sequence[Episode]) -> None:
        self.chunk = contract.chunk
        self.memory = Replay(contract, sum(len(e) + 1 for e in episodes), Lookup(sequence=contract.chunk))
        for episode in episodes:
            self.memory.add_episode(episode)
        self._follow = np.concatenate([examples(e) for e in episodes]) if episodes else np.zeros(0, bool)
        self._left = np.concatenate([np.arange(len(e), 0, -1) for e in episodes]) if episodes else np.zeros(0, int)
        self._rows = np.flatnonzero(self._follow)
        actions = [contract.clip_action(e.actions) for e in episodes]  # as the memory has them
        self._actions = np.concatenate(actions) if episodes else np.zeros((0, contract.action.size), np.float32)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitems__(self, rows: Sequence[int]) -> Batch:
        at = self._rows[np.asarray(rows, np.int64)]
        batch = self.memory.gather(self.memory.transitions()[at])
        actions = batch.action[:, None] if batch.actions is None else batch.actions
        return replace(batch, actions=actions, valid=torch.from_numpy(self._valid(at)))

    def _valid(self, at: np.ndarray) -> np.ndarray:
        """``(B, chunk)`` bool, of moments ``at`` counted over all episodes."""
        steps = np.arange(self.chunk)
        within = steps < self._left[at][:, None]
        later = np.where(within, at[:, None] + steps, at[:, None])
        return within & self._follow[later]

    def all_actions(self) -> torch.Tensor:
        """Every action that is an example to follow, ``(N, A)`` float32."""
        return torch.from_numpy(self._actions[self._rows])

    def all_proprio(self) -> torch.Tensor:
        """What the policy sees of the arm's state at each of those moments, ``(N, history * size)``; N x 0 if there is
        nothing.
        """
        return self.memory.all_proprio()[self._rows]


class Draws(Sampler[list[int]]):
    """Batches of rows drawn uniformly, the same ones whenever they are iterated.

    Args:
        rank: of the process; each draws batches of its own.
    """

    def __init__(self, rows: int, batch_size: int, seed: int, updates: int, rank: int = 0) -> None:
        self.rows, self.batch_size, self.updates = rows, batch_size, updates
        self._seeds = [seed, rank] if rank else [seed]

    def __len__(self) -> int:
        return self.updates

    def __iter__(self) -> Iterator[list[int]]:
        for update in range(self.updates):
            yield np.random.default_rng([*self._seeds, update]).integers(0, self.rows, self.batch_size).tolist()
