"""Several replay memories that are sampled like one: a lane for each stream of experience.

A ``Replay`` holds one stream, in which every frame follows the one before it. Environments that step side by side make
as many.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from policies.data.batch import Batch, concatenate
from policies.data.replay import Lookup, Replay
from robot.contract import Contract
from robot.dataset.episodes import Episode


class VectorReplay:
    """``count`` replay memories of ``capacity // count`` frames each, with the sampling interface of ``Replay``.

    Transitions are drawn uniformly from all lanes together, so each lane's share of a batch is what it holds.

    Args:
        folder: keep the lanes' frames in memory-mapped files in folders of their own in this one.
        reuse: as of ``Replay``.
    """

    def __init__(
        self,
        contract: Contract,
        capacity: int,
        count: int,
        lookup: Lookup | None = None,
        folder: Path | None = None,
        reuse: bool = False,
    ) -> None:
        self.lanes = [
            Replay(contract, capacity // count, lookup, folder / f"lane{i}" if folder else None, reuse)
            for i in range(count)
        ]
        self._episodes = 0  # recorded ones that were added

    def __len__(self) -> int:
        return sum(len(lane) for lane in self.lanes)

    def add_episode(self, episode: Episode) -> None:
        """A recorded episode; the lanes take turns."""
        self.lanes[self._episodes % len(self.lanes)].add_episode(episode)
        self._episodes += 1

    def propose_all(self, prior: Callable[[dict[str, torch.Tensor]], torch.Tensor]) -> None:
        """As of ``Replay``, in every lane."""
        for lane in self.lanes:
            lane.propose_all(prior)

    def sample(self, size: int, rng: np.random.Generator) -> Batch:
        """``size`` transitions, the same that one memory with the lanes' transitions end to end would draw."""
        index = [lane.transitions() for lane in self.lanes]
        ends = np.cumsum([len(slots) for slots in index])
        if ends[-1] == 0:
            raise ValueError("the replay memory holds no complete transition yet")
        drawn = rng.integers(0, ends[-1], size)
        of_lane = np.searchsorted(ends, drawn, side="right")
        parts, rows = [], []
        for number, (lane, slots) in enumerate(zip(self.lanes, index)):
            mine = np.flatnonzero(of_lane == number)
            if len(mine):
                parts.append(lane.gather(slots[drawn[mine] - (ends[number] - len(slots))]))
                rows.append(mine)
        return concatenate(parts).take(torch.from_numpy(np.argsort(np.concatenate(rows))))

    def all_proprio(self) -> torch.Tensor:
        """Every transition's proprioception, ``(N, history * size)``, lane by lane."""
        return torch.cat([lane.all_proprio() for lane in self.lanes])

    def save(self, folder: Path) -> None:
        """Write each lane into a folder of its own in this one."""
        for number, lane in enumerate(self.lanes):
            (folder / f"lane{number}").mkdir()
            lane.save(folder / f"lane{number}")

    def load(self, folder: Path) -> None:
        for number, lane in enumerate(self.lanes):
            lane.load(folder / f"lane{number}")
