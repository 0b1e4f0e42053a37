"""The examination: episodes, their look-ups, the skills, and the numbers that rules judge."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from tqdm import tqdm

from policies.reuse.jumps import Jumps, count_jumps, gaps, shares
from policies.reuse.latent import (
    Plane,
    Stretches,
    error_of_choice,
    every_for,
    posterior_means,
    principal_plane,
    stretches,
    subtasks_of,
)
from policies.reuse.play import Played, apart, completed_by, play
from policies.reuse.rules import FAR
from policies.reuse.subject import Library, Subject
from robot.dataset.episodes import Episode, read_episode
from robot.dataset.several import files_of, for_task, headers_of
from sim.envs.task_env import TaskEnv
from sim.kitchen.objects import Objects
from sim.kitchen.states import States, has_states

POINTS = 4000  # stretches of the skills' data, and of the demonstrations, that are shown


@dataclass
class Examined:
    """Everything that was measured.

    Attributes:
        demonstrated: of each demonstration, when each subtask of this task was first done.
        apart: see ``policies.reuse.play.apart``.
        shown, data: stretches of the demonstrations and of the data that the skills are from; ``every``: how many
            control steps apart those begin.
        done: ``(M, latent)`` the posterior mean of the stretch from each row of ``Fist.seen`` on; NaN near an end.
        doing: the subtask being done at each row of ``Fist.seen``.
    """

    library: Library
    horizon: int
    rate_hz: float
    played: list[Played]
    demonstrated: list[dict[str, int | None]]
    apart: np.ndarray
    shown: Stretches
    data: Stretches
    every: dict[str, int]
    done: np.ndarray
    doing: tuple[str, ...]
    notes: list[str] = field(default_factory=list)

    def demonstration(self, episode: Played) -> np.ndarray:
        """Which demonstration each look-up of an episode is of, ``(T,)``."""
        return self.library.demonstration[episode.rows]

    def moment(self, episode: Played) -> np.ndarray:
        """Its control step there, ``(T,)``."""
        return self.library.moment[episode.rows]

    def subtasks(self, episode: Played) -> list[str]:
        """The subtask being done at each moment that was looked up."""
        return [self.doing[row] for row in episode.rows]

    def jumps(self, episode: Played) -> Jumps:
        return count_jumps(self.demonstration(episode), self.moment(episode), self.horizon)

    def to_go(self, episode: Played) -> np.ndarray:
        """Control steps from each look-up to its demonstration's end, ``(T,)``."""
        ends = np.array([self.library.last(number) for number in range(len(self.library.episodes))])
        return ends[self.demonstration(episode)] - self.moment(episode)

    @cached_property
    def plane(self) -> Plane:
        return principal_plane(np.concatenate([self.data.z, self.shown.z]))

    @cached_property
    def far(self) -> float | None:
        """The distance that ``FAR`` of 100 demonstrated states keep within from another demonstration."""
        return float(np.percentile(self.apart, FAR)) if len(self.apart) else None

    @cached_property
    def usual_gaps(self) -> dict[str, float]:
        """Median control steps of each subtask in demonstrations, since the one before it."""
        found: dict[str, list[int]] = {}
        for one in self.demonstrated:
            for subtask, steps in gaps(one).items():
                found.setdefault(subtask, []).append(steps)
        return {subtask: float(np.median(steps)) for subtask, steps in found.items()}

    @property
    def numbers(self) -> dict[str, float | None]:
        """Those that rules judge; None: nothing can be said."""
        steps = max(1, sum(episode.steps for episode in self.played))
        jumps = [self.jumps(episode) for episode in self.played]
        done = [step is not None for episode in self.played for step in episode.completed.values()]
        away = np.concatenate([episode.away for episode in self.played])
        ends = np.concatenate([self.to_go(episode) < self.horizon for episode in self.played])
        return {
            "completed": float(np.mean(done)),
            "pace": self._pace(),
            "far": None if self.far is None else float((away > self.far).mean()),
            "back": float(np.mean([one.far_backward for one in jumps])),
            "switches": 100.0 * sum(one.switches for one in jumps) / steps,
            "stay": float(max(one.longest_stay for one in jumps)),
            "at_end": float(ends.mean()),
            "choice": self._choice(),
        }

    def _pace(self) -> float | None:
        both = [
            (steps, self.usual_gaps[subtask])
            for episode in self.played
            for subtask, steps in gaps(episode.completed).items()
            if subtask in self.usual_gaps
        ]
        usual = sum(steps for _, steps in both)
        return sum(steps for steps, _ in both) / usual if usual else None

    def _choice(self) -> float | None:
        chosen = np.concatenate([episode.chosen for episode in self.played])
        done = self.done[np.concatenate([episode.rows for episode in self.played])]
        whole = ~np.isnan(done).any(axis=1)
        return error_of_choice(chosen[whole], done[whole], self.shown.z)

    def to_dict(self) -> dict[str, Any]:
        return {
            "horizon": self.horizon,
            "demonstrations": [len(episode) for episode in self.library.episodes],
            "numbers": self.numbers,
            "far_from": self.far,
            "demonstrated": {"completed": self.demonstrated, "median_steps_for": self.usual_gaps},
            "episodes": [self._episode(episode) for episode in self.played],
            "skills": {
                "stretches": {"data": len(self.data.z), "demonstrations": len(self.shown.z)},
                "every": self.every,
                "explained": self.plane.explained,
            },
            "notes": self.notes,
        }

    def _episode(self, episode: Played) -> dict[str, Any]:
        return {
            "seed": episode.seed,
            "steps": episode.steps,
            "completed": episode.completed,
            "steps_for": gaps(episode.completed),
            **asdict(self.jumps(episode)),
            "shares": shares(self.demonstration(episode), len(self.library.episodes)),
            "demonstration": self.demonstration(episode).tolist(),
            "moment": self.moment(episode).tolist(),
            "distance": [round(float(away), 4) for away in episode.away],
            "skill": np.round(episode.chosen, 4).tolist(),
        }


def examine(subject: Subject, env: TaskEnv, seeds: Sequence[int], limit: int) -> Examined:
    """Play the scenes of ``seeds``, and measure; the run is only read."""
    policy, library = subject.policy.eval(), subject.library
    objects = Objects(env.world.model)
    demonstrated = [completed_by(episode, env, objects) for episode in library.episodes]
    every = {"demonstrations": every_for(sum(map(len, library.episodes)), POINTS)}
    done = [_to_the_end(posterior_means(policy, episode), len(episode) + 1) for episode in library.episodes]
    doing = [name for one in library.episodes for name in (*subtasks_of(one), subtasks_of(one)[-1])]
    shown = stretches(policy, library.episodes, every["demonstrations"])
    data = Stretches(np.zeros((0, policy.cfg.latent), np.float32), ())
    if subject.skills is not None:
        folder = subject.skills[1]
        every["data"] = every_for(sum(header.steps for header in headers_of(folder)), POINTS)
        data = stretches(policy, _episodes(subject), every["data"])
    played = [play(env, policy, objects, seed, limit) for seed in tqdm(seeds, desc="playing", unit="episode")]
    notes = [subject.note] if subject.note else []
    if not len(apart_ := apart(policy, library)):
        notes.append("there is one demonstration, so nobody can say how far apart demonstrations are")
    return Examined(
        library, policy.cfg.horizon, policy.contract.rate_hz, played, demonstrated, apart_, shown, data, every,
        np.concatenate(done), tuple(doing), notes,
    )  # fmt: skip


def _episodes(subject: Subject) -> Iterator[Episode]:
    """The episodes that the skills were learned from, one after the other, as the policy observes them."""
    assert subject.skills is not None
    contract, folder = subject.skills
    states = States() if has_states(contract) else None
    for path in tqdm(files_of(folder), desc="reading what the skills are from", unit="episode"):
        episode = read_episode(path)
        if states is None:
            for_task(contract, episode.contract.task).require_equal(episode.contract, "the skills", str(path))
        yield states.observed(episode, contract, path) if states else episode


def _to_the_end(means: np.ndarray, rows: int) -> np.ndarray:
    """``(rows, latent)``: what is there, then NaN."""
    missing = np.full((rows - len(means), means.shape[1]), np.nan, np.float32)
    return np.concatenate([means, missing])
