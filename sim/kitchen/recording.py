"""Recording an expert that is disturbed: noise is executed, and what the expert wanted is written down."""

from __future__ import annotations

from typing import Any

import numpy as np

from robot.dataset import recording
from robot.dataset.episodes import Episode
from robot.dataset.simulated import EXECUTED, QPOS, QVEL, SUBTASK
from sim.envs.task_env import TaskEnv
from sim.kitchen.experts import VariedExpert
from sim.tasks.kitchen import Kitchen

NOISE, NEAR_NOISE = 0.16, 0.05  # rad/s, standard deviations, in free motion and at an object
PICTURES = ("look", "renderer")  # of how an episode was recorded: what nothing depends on before it is drawn


def disturbed(wanted: np.ndarray, expert: VariedExpert, env: TaskEnv, rng: np.random.Generator) -> np.ndarray:
    """What is executed: the wanted action with noise on each joint's velocity, within the contract's bounds."""
    executed = wanted.copy()
    executed[:-1] += rng.normal(0.0, NEAR_NOISE if expert.holds else NOISE, len(wanted) - 1)
    return env.contract.clip_action(executed)


def record(
    env: TaskEnv,
    task: Kitchen,
    expert: VariedExpert,
    seed: int,
    rng: np.random.Generator,
    limit: int,
    endless: bool = False,
) -> Episode:
    """Play one episode and keep its states, to its success or for ``limit`` control steps.

    Args:
        env: of any kitchen, without cameras: all of them share a scene. ``task`` is the one that is judged.
        seed: of the scene.
        rng: of the executed noise.
        endless: a success does not end it.
    """
    env.task = task
    observation, _ = env.reset(seed=seed)
    data, period_ns = env.world.data, round(1e9 / env.contract.rate_hz)
    objects = env.world.loose_objects()
    seen, qpos, qvel = [observation], [data.qpos.copy()], [data.qvel.astype(np.float32)]
    actions: list[np.ndarray] = []
    ended: list[bool] = []
    executed, rewards, subtasks = [], [], []
    while len(actions) < limit and (endless or not any(ended)):
        wanted = expert.act(env.world)
        action = disturbed(wanted, expert, env, rng)
        observation, reward, terminated, _, _ = env.step(action)
        actions.append(wanted)
        executed.append(action)
        rewards.append(reward)
        ended.append(terminated)
        subtasks.append(-1 if expert.subtask is None else task.subtasks.index(expert.subtask))
        seen.append(observation)
        qpos.append(data.qpos.copy())
        qvel.append(data.qvel.astype(np.float32))
    return Episode(
        contract=env.contract,
        observations={name: np.stack([row[name] for row in seen]) for name in observation},
        actions=np.array(actions, np.float32),
        rewards=np.array(rewards, np.float32),
        terminated=np.array(ended, bool),
        stamps=np.arange(len(seen), dtype=np.int64) * period_ns,
        success=any(ended),
        provenance={recording.KEY: how(env), "objects": objects},
        simulation={
            QPOS: np.stack(qpos),
            QVEL: np.stack(qvel),
            EXECUTED: np.array(executed, np.float32),
            SUBTASK: np.array(subtasks, np.int8),
        },
    )


def how(env: TaskEnv) -> dict[str, Any]:
    """How it was recorded, without what is decided when it is drawn."""
    kept = {name: value for name, value in env.recording.items() if name not in PICTURES}
    return {**kept, "executed_noise": [NOISE, NEAR_NOISE]}


def without_boundaries(episode: Episode, lead: int) -> Episode:
    """What comes after ``lead`` steps, with nothing in it that says where a subtask begins or ends."""
    steps = len(episode) - lead
    simulation = {name: values[lead:] for name, values in episode.simulation.items() if name != SUBTASK}
    return Episode(
        contract=episode.contract,
        observations={name: values[lead:] for name, values in episode.observations.items()},
        actions=episode.actions[lead:],
        rewards=np.zeros(steps, np.float32),
        terminated=np.zeros(steps, bool),
        stamps=episode.stamps[: steps + 1],
        success=False,
        provenance={name: value for name, value in episode.provenance.items() if name != "objects"},  # as it began
        simulation=simulation,
    )
