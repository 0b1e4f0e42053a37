"""Episodes of a FIST policy with what it looked up and chose at every control step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from policies.reuse.jumps import first_within
from policies.reuse.subject import Library
from policies.rollout.acting import to_batch
from policies.skills.fist import Fist
from robot.dataset.episodes import Episode
from sim.envs.task_env import TaskEnv
from sim.kitchen.objects import Objects
from sim.kitchen.pictures import states_of
from sim.kitchen.protocol import LIMITS
from sim.tasks.kitchen import THRESHOLD, Kitchen


@dataclass(frozen=True)
class Played:
    """One episode of T control steps; state 0 is the reset's, state t that after t steps.

    Attributes:
        qpos: ``(T + 1, nq)`` positions of the scene.
        rows: ``(T,)`` int64, the row of ``Fist.seen`` that was looked up before each step.
        away: ``(T,)`` float32, its distance, by which it was looked up; without the haste.
        chosen: ``(T, latent)`` float32, the skill that was chosen.
        completed: of each subtask, the control step after which it was first completed; None: never.
    """

    seed: int
    qpos: np.ndarray
    rows: np.ndarray
    away: np.ndarray
    chosen: np.ndarray
    completed: dict[str, int | None]

    @property
    def steps(self) -> int:
        return len(self.rows)


@torch.no_grad()
def looked_up(policy: Fist, observation: dict[str, np.ndarray]) -> tuple[int, float, np.ndarray]:
    """What a policy looks up of one observation: row of ``seen``, distance, and the skill ``(latent,)``."""
    state = policy.eyes(to_batch([observation])).float()
    rows, z = policy.choose(state)
    away = (policy.embed(state) - policy.embedded[rows]).norm(dim=1)
    return int(rows), float(away), z[0].numpy()


def play(env: TaskEnv, policy: Fist, objects: Objects, seed: int, limit: int = LIMITS[-1]) -> Played:
    """Play one scene until every subtask has been completed at some step, or for ``limit`` control steps."""
    task = env.task
    assert isinstance(task, Kitchen)
    observation, _ = env.reset(seed=seed)
    found: list[tuple[int, float, np.ndarray]] = []
    qpos, left = [env.world.data.qpos.copy()], set(task.subtasks) - set(task.completed(env.world))
    while left and len(found) < limit:
        found.append(looked_up(policy, observation))
        observation, *_ = env.step(policy.act(to_batch([observation]), sample=False)[0, 0])
        qpos.append(env.world.data.qpos.copy())
        left -= set(task.completed(env.world))
    states = np.stack(qpos)
    return Played(
        seed=seed,
        qpos=states,
        rows=np.array([row for row, _, _ in found], np.int64),
        away=np.array([away for _, away, _ in found], np.float32),
        chosen=np.array([z for *_, z in found], np.float32).reshape(len(found), policy.cfg.latent),
        completed=completed_in(states, task.subtasks, objects),
    )


def completed_in(qpos: np.ndarray, subtasks: tuple[str, ...], objects: Objects) -> dict[str, int | None]:
    """Of each subtask the first row of ``qpos`` ``(T + 1, nq)`` in which it is done, by FrankaKitchen's threshold."""
    return {subtask: first_within(objects.distance(qpos, subtask), THRESHOLD) for subtask in subtasks}


def completed_by(episode: Episode, env: TaskEnv, objects: Objects) -> dict[str, int | None]:
    """The same of a demonstration, for the task that is played. Raises DatasetError of one without states."""
    assert isinstance(env.task, Kitchen)
    return completed_in(states_of(episode, env.world), env.task.subtasks, objects)


@torch.no_grad()
def apart(policy: Fist, library: Library) -> np.ndarray:
    """Of every demonstrated state, the distance to the nearest of another demonstration; empty if there is but one."""
    policy.nearest(policy.seen[:1])  # embeds them all
    found = []
    for number in range(len(library.episodes)):
        mine = torch.from_numpy(library.demonstration == number)
        if not mine.all():
            found.append(torch.cdist(policy.embedded[mine], policy.embedded[~mine]).min(dim=1).values.numpy())
    return np.concatenate(found) if found else np.zeros(0, np.float32)
