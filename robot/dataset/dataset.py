"""A recorded dataset to loop over, one episode in memory at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from robot.contract import Contract
from robot.dataset.episodes import Episode, read_episode, read_headers


class Dataset:
    """The episodes of a folder in the order of their files. ``dataset[i]`` reads one, a loop reads one after the other.

    Args:
        folder: what a ``Recorder``, or `pixelarm collect`, wrote.
        expect: the contract that all of them must have; None takes the folder's own.

    Raises:
        DatasetError: no such folder, no episodes, or none that can be read.
        ContractMismatch: recorded under another contract than ``expect``; each difference is named.
        StrayEpisodes: some cannot be read, or do not belong to the others.
    """

    def __init__(self, folder: str | Path, expect: Contract | None = None) -> None:
        self.folder = Path(folder)
        self.headers = read_headers(self.folder, expect)  # file, contract, steps and provenance of each episode
        self.contract: Contract = self.headers[0].contract

    @property
    def steps(self) -> int:
        """Actions of all episodes together."""
        return sum(header.steps for header in self.headers)

    def __len__(self) -> int:
        return len(self.headers)

    def __getitem__(self, index: int) -> Episode:
        """Read one episode; -1 is the last."""
        return read_episode(self.headers[index].path)

    def __iter__(self) -> Iterator[Episode]:
        return (read_episode(header.path) for header in self.headers)

    def __repr__(self) -> str:
        return f"Dataset({str(self.folder)!r}: {len(self)} episodes, {self.steps} steps of {self.contract.task})"
