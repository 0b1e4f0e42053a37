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

    A row's ``obs`` ends at its moment, stacked as ``contract.history`` says. ``actions`` ``(B, past + chunk, A)`` begin
    ``past`` control steps before it; ``valid`` ``(B, past + chunk)`` says which of them are examples of the same
    episode. Before its beginning the first one is repeated, after its end the last, and not valid; neither is what a
    policy did where a person took over from it.

    Args:
        contract: with the policy's history and chunk.
        past: actions before the moment, for policies that answer to each observation of their history.
    """

    def __init__(self, contract: Contract, episodes: Sequence[Episode], past: int = 0) -> None:
        self.chunk, self.past = contract.chunk, past
        self.memory = Replay(contract, sum(len(e) + 1 for e in episodes), Lookup())
        for episode in episodes:
            self.memory.add_episode(episode)
        self._follow = np.concatenate([examples(e) for e in episodes]) if episodes else np.zeros(0, bool)
        self._age = np.concatenate([np.arange(len(e)) for e in episodes]) if episodes else np.zeros(0, int)
        self._left = np.concatenate([np.arange(len(e), 0, -1) for e in episodes]) if episodes else np.zeros(0, int)
        self._rows = np.flatnonzero(self._follow)
        actions = [contract.clip_action(e.actions) for e in episodes]  # as the memory has them
        self._actions = np.concatenate(actions) if episodes else np.zeros((0, contract.action.size), np.float32)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitems__(self, rows: Sequence[int]) -> Batch:
        at = self._rows[np.asarray(rows, np.int64)]
        batch = self.memory.gather(self.memory.transitions()[at])
        steps = np.arange(-self.past, self.chunk)
        within = np.clip(steps, -self._age[at][:, None], self._left[at][:, None] - 1)  # of the same episode
        acting = at[:, None] + within
        valid = (within == steps) & self._follow[acting]
        return replace(batch, actions=torch.from_numpy(self._actions[acting]), valid=torch.from_numpy(valid))

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
