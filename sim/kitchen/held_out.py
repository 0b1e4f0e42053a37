"""Whether an object that is to be new later was moved in the pretraining data, by the objects' true states.

Labels are not asked: an episode in which the hand knocked against the kettle while it opened the microwave teaches
something about kettles, whatever its file says.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from robot.dataset.episodes import Episode, episode_files, read_episode
from robot.dataset.simulated import QPOS
from robot.errors import DatasetError, UnknownName
from sim.kitchen.objects import Objects
from sim.tasks.kitchen import SUBTASKS

STIRRED = 0.1  # of the way to its goal: an object that has moved so far occurs in an episode


@dataclass(frozen=True)
class Moved:
    """One object in one episode that has moved."""

    path: Path
    subtask: str
    step: int  # the first step at which it had moved by ``STIRRED``
    furthest: float  # as a share of the way to its goal

    def __str__(self) -> str:
        return f"{self.path}: the object of {self.subtask} moves from step {self.step}, {self.furthest:.0%} of its way"


def moved_in(episode: Episode, path: Path, objects: Objects, subtasks: Iterable[str] = SUBTASKS) -> list[Moved]:
    """Which objects an episode moves.

    Raises:
        DatasetError: the episode has no true states, or of another scene.
    """
    qpos = episode.simulation.get(QPOS)
    if qpos is None or qpos.shape[1] != objects.size:
        what = "no true states" if qpos is None else f"states of {qpos.shape[1]} numbers, not the kitchen's"
        raise DatasetError(
            f"{path} has {what}, so nobody can tell what it moves; `pixelarm data make kitchen` keeps them"
        )
    found = []
    for subtask in subtasks:
        travel = objects.travel(qpos, subtask)
        if travel.max() >= STIRRED:
            found.append(Moved(path, subtask, int(np.argmax(travel >= STIRRED)), float(travel.max())))
    return found


def require_held_out(folder: Path, subtask: str, objects: Objects) -> None:
    """Raise DatasetError naming each episode of ``folder`` in which the object of ``subtask`` moves."""
    if subtask not in SUBTASKS:
        raise UnknownName("kitchen subtask", subtask, SUBTASKS)
    found = [
        str(moved)
        for path in episode_files(folder)
        for moved in moved_in(read_episode(path), path, objects, (subtask,))
    ]
    if found:
        raise DatasetError(
            f"{subtask} is held out, and its object moves in {len(found)} episodes of {folder}:\n  - "
            + "\n  - ".join(found)
            + "\nmove them out of the folder, then repeat the command that made it"
        )
