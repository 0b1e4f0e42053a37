"""What a simulator knows of an episode and no policy is told: kept beside the observations, to draw them later.

Names and arrays, as the simulator has them; under ``data/demo_0/simulation`` in the file. Those of one row for each
observation (N + 1) tell a state, those of one row for each action (N) what happened in between:

* ``qpos`` (N + 1, nq) float64: all positions of the scene, from which any camera's pictures follow
* ``qvel`` (N + 1, nv) float32: all velocities
* ``executed`` (N, A) float32: what was executed where that was not ``actions``, which stay free of added noise
* ``subtask`` (N,) int8: which part of the task was being done, an index into the provenance's ``subtasks``; -1: none
"""

from __future__ import annotations

from collections.abc import Mapping

import h5py
import numpy as np

from robot.errors import DatasetError

GROUP = "simulation"
QPOS, QVEL, EXECUTED, SUBTASK = "qpos", "qvel", "executed", "subtask"
DTYPES = {QPOS: np.float64, QVEL: np.float32, EXECUTED: np.float32, SUBTASK: np.int8}
EACH_ACTION = (EXECUTED, SUBTASK)


def check(simulation: Mapping[str, np.ndarray], actions: int) -> None:
    """Raise DatasetError unless names, lengths, dtypes and values are as above."""
    for name, values in simulation.items():
        if name not in DTYPES:
            raise DatasetError(f"{GROUP}/{name} is unknown; the valid names are: {', '.join(DTYPES)}")
        rows, dtype = actions + (name not in EACH_ACTION), np.dtype(DTYPES[name])
        if len(values) != rows or values.dtype != dtype:
            raise DatasetError(
                f"{GROUP}/{name} must have {rows} rows of {dtype.name}, got {values.shape} {values.dtype.name}"
            )
        if not np.all(np.isfinite(values)):
            raise DatasetError(f"{GROUP}/{name} holds numbers that are not finite")


def write(demo: h5py.Group, simulation: Mapping[str, np.ndarray]) -> None:
    """Shuffled bytes compress to two thirds: most of a scene stands still."""
    for name, values in simulation.items():
        demo.create_dataset(f"{GROUP}/{name}", data=values, compression="gzip", compression_opts=4, shuffle=True)


def read(demo: h5py.Group) -> dict[str, np.ndarray]:
    """Empty for an episode that has none."""
    return {name: values[()] for name, values in demo[GROUP].items()} if GROUP in demo else {}
