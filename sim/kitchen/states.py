"""Recorded kitchen episodes as a policy observes them that is told where arm and objects are, without cameras.

`pixelarm data make` keeps the scene's positions beside what a camera's policy would see. They are that policy's
observations of the same moments, so no other dataset is needed.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from robot.contract import Contract
from robot.dataset.episodes import Episode, episode_files, read_dataset
from robot.dataset.simulated import QPOS
from robot.errors import DatasetError
from sim.envs.task_world import build_world
from sim.tasks.kitchen import FINGERS, OBJECT_NUMBERS, STATES, Kitchen

OBJECTS = "object_state"  # the observation that only the simulator has


def has_states(contract: Contract) -> bool:
    """Whether a contract is one of true states (``sim.tasks.kitchen.states_contract``)."""
    return any(entry.name == OBJECTS for entry in contract.proprio)


class States:
    """What the numbers of ``qpos`` are in the kitchen's scene, which all of its tasks share."""

    def __init__(self) -> None:
        world = build_world(Kitchen(observe=STATES))
        self.size = int(world.model.nq)
        self._addresses = {
            "joint_pos": world.arm.qpos,
            "finger_pos": world.arm.finger_qpos,
            OBJECTS: world.object_qpos,
        }
        world.close()
        assert len(self._addresses["finger_pos"]) == FINGERS and len(world.object_qpos) == OBJECT_NUMBERS

    def observed(self, episode: Episode, contract: Contract, path: Path) -> Episode:
        """The same episode with the observations of ``contract``.

        Args:
            path: of the episode, for messages.

        Raises:
            DatasetError: it has no true states, or those of another scene.
            ContractMismatch: more differs than what is observed; each difference in words.
        """
        if episode.contract == contract:
            return episode  # recorded so
        same = dataclasses.replace(contract, cameras=episode.contract.cameras, proprio=episode.contract.proprio)
        same.require_equal(episode.contract, here="this policy of states", there=str(path))
        qpos = episode.simulation.get(QPOS)
        if qpos is None or qpos.shape[1] != self.size:
            what = "no true states" if qpos is None else f"states of {qpos.shape[1]} numbers, not the kitchen's"
            raise DatasetError(
                f"{path} has {what}, and a policy with task.observe=states learns from them; `pixelarm data make "
                "kitchen` keeps them"
            )
        rows = {entry.name: qpos[:, self._addresses[entry.name]].astype(np.float32) for entry in contract.proprio}
        return dataclasses.replace(episode, contract=contract, observations=rows)


def read_states(folder: str | Path, contract: Contract) -> list[Episode]:
    """The episodes of a dataset as a policy with ``contract``, of true states, observes them.

    Raises:
        DatasetError, ContractMismatch: as ``States.observed`` and ``robot.dataset.episodes.read_dataset``.
    """
    states, episodes = States(), read_dataset(folder)
    return [states.observed(e, contract, path) for e, path in zip(episodes, episode_files(folder), strict=True)]
