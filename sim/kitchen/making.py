"""One episode of a split: who plays it, what is kept, and when it is tried again.

An episode follows from (split, role, seed, index) alone, so any number of processes makes the same data, and what is
missing from a folder can be made later.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from robot.contract import Contract
from robot.dataset.episodes import Episode, write_episode
from robot.dataset.simulated import QPOS
from robot.errors import PixelarmError
from robot.provenance import git_commit, versions
from sim.envs.task_env import TaskEnv
from sim.kitchen.experts import PlayExpert, VariedExpert
from sim.kitchen.held_out import STIRRED
from sim.kitchen.objects import Objects
from sim.kitchen.recording import record, without_boundaries
from sim.kitchen.splits import PRETRAINING, TARGET, Split, split_named
from sim.tasks.kitchen import SUBTASKS, Kitchen

VERSION = 2  # of all that decides an episode: experts, noise, limits. Data of two versions do not mix
LONGEST = 450  # control steps of a demonstration
PLAY_STEPS, PLAY_LEAD = 400, 60  # control steps of a play episode, and at most so many before it
ATTEMPTS = 20
FIRST_SEED = 2**32  # scenes of data are those from here on; evaluation's and `pixelarm collect`'s are below
MADE = "made"  # the provenance's entry that says what an episode follows from


@dataclass(frozen=True)
class Job:
    """One episode to make, and its file."""

    split: str
    role: str  # PRETRAINING or TARGET
    seed: int
    index: int
    path: Path

    @property
    def made(self) -> dict[str, Any]:
        parts = ("split", "role", "seed", "index")
        return {**{name: getattr(self, name) for name in parts}, "version": VERSION}


def states_only(contract: Contract) -> Contract:
    """The same contract without cameras."""
    return dataclasses.replace(contract, cameras=())


class Maker:
    """Makes one episode after the other in one world: all kitchens share a scene."""

    def __init__(self) -> None:
        task = Kitchen(tuple(SUBTASKS))
        task.contract = states_only(task.contract)
        self.env = TaskEnv(task)
        self.objects = Objects(self.env.world.model)
        self._code = {"git": git_commit(), "versions": versions()}

    def __call__(self, job: Job) -> int:
        """Make and write an episode; returns its number of steps."""
        episode = self.make(job)
        write_episode(job.path, episode)
        return len(episode)

    def make(self, job: Job) -> Episode:
        """The first attempt that does what its split says.

        Raises:
            PixelarmError: none of ``ATTEMPTS`` did.
        """
        split = split_named(job.split)
        for attempt in range(ATTEMPTS):
            entropy = [job.seed, (PRETRAINING, TARGET).index(job.role), job.index, attempt]
            rng = np.random.default_rng(np.random.SeedSequence(entropy, spawn_key=tuple(job.split.encode())))
            episode = self._attempt(split, job, rng)
            if self._fits(split, job, episode):
                episode.provenance["attempt"] = attempt
                return episode
        raise PixelarmError(f"the expert failed {ATTEMPTS} times at episode {job.index} of {job.split}, {job.role}")

    def _attempt(self, split: Split, job: Job, rng: np.random.Generator) -> Episode:
        scene = FIRST_SEED + int(rng.integers(2**32))
        if split.play:
            order, lead = tuple(SUBTASKS), int(rng.integers(PLAY_LEAD + 1))
            expert: VariedExpert = PlayExpert(rng, Kitchen(order))
            recorded = record(self.env, Kitchen(order), expert, scene, rng, lead + PLAY_STEPS, endless=True)
            episode = without_boundaries(recorded, lead)
        else:
            order = split.target if job.role == TARGET else split.order(rng)
            expert = VariedExpert(rng, Kitchen(order))
            episode = record(self.env, Kitchen(order), expert, scene, rng, LONGEST)
        episode.contract = states_only(split.task().contract)
        episode.provenance |= {
            "device": f"scripted {type(expert).__name__}",
            "operator": "script",
            "task": episode.contract.task,
            "seed": scene,
            MADE: job.made,
            "speed": expert.speed,
            **({} if split.play else {"subtasks": list(order)}),
            **self._code,
        }
        return episode

    def _fits(self, split: Split, job: Job, episode: Episode) -> bool:
        """Whether it succeeded, and left alone what it had to. Play is as it is."""
        if split.held_out is None or job.role == TARGET:
            return episode.success or split.play
        stirred = self.objects.travel(episode.simulation[QPOS], split.held_out).max()
        return episode.success and bool(stirred < STIRRED)
