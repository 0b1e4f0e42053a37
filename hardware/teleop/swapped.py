"""Whether two cameras changed places: what they show now beside what they showed in a dataset's first episodes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np

from robot.contract import Contract
from robot.dataset.episodes import episode_files
from robot.dataset.hdf5 import read_file
from robot.errors import DatasetError

FIRST_EPISODES = 5
FIELDS = 8  # of a picture, each way
# The other camera's earlier pictures fit better by so much. First pictures of one camera are nearer to each other than
# to the other camera's by a factor of 2.9 and more, in 650 episodes of 13 tasks and 5 arms.
FACTOR = 1.5

Pictures = Mapping[str, np.ndarray]  # camera -> (H, W, C) uint8


def first_pictures(folder: Path, contract: Contract) -> Iterator[Pictures]:
    """The first picture of each camera in each of a dataset's first episodes; unreadable files are left out."""
    for path in episode_files(folder)[:FIRST_EPISODES]:
        try:
            yield read_file(path, lambda file: {c.name: file[f"data/demo_0/obs/{c.name}"][0] for c in contract.cameras})
        except DatasetError:
            continue


def layout(pixels: np.ndarray) -> np.ndarray:
    """``(FIELDS, FIELDS, C)`` float32: what is light and dark where, whatever the exposure."""
    rows, columns = (np.linspace(0, size, FIELDS + 1).astype(int)[:-1] for size in pixels.shape[:2])
    sums = np.add.reduceat(np.add.reduceat(pixels.astype(np.float32), rows, axis=0), columns, axis=1)
    counts = np.add.reduceat(np.add.reduceat(np.ones(pixels.shape[:2], np.float32), rows, axis=0), columns, axis=1)
    means = sums / counts[:, :, None]
    return np.asarray(means - means.mean(axis=(0, 1)), np.float32)


class Known:
    """What each camera showed when earlier episodes began."""

    def __init__(self, earlier: Sequence[Pictures] | Iterator[Pictures] = ()) -> None:
        self._layouts: dict[str, list[np.ndarray]] = {}
        for pictures in earlier:
            self.add(pictures)

    def add(self, pictures: Pictures) -> None:
        """The first pictures of one more episode; beyond ``FIRST_EPISODES`` they change nothing."""
        for camera, pixels in pictures.items():
            found = self._layouts.setdefault(camera, [])
            if len(found) < FIRST_EPISODES:
                found.append(layout(pixels))

    def swapped(self, pictures: Pictures) -> list[tuple[str, str]]:
        """Pairs of cameras of which each shows what the other one showed."""
        now = {camera: layout(pixels) for camera, pixels in pictures.items() if camera in self._layouts}
        found = []
        for one, other in combinations(now, 2):
            if now[one].shape != now[other].shape:
                continue
            straight = self._away(now[one], one) + self._away(now[other], other)
            crossed = self._away(now[one], other) + self._away(now[other], one)
            if crossed * FACTOR < straight:
                found.append((one, other))
        return found

    def _away(self, seen: np.ndarray, camera: str) -> float:
        return min(float(np.abs(seen - earlier).mean()) for earlier in self._layouts[camera])
