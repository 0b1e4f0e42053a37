"""Where the kitchen's objects are in recorded positions: the truth that labels are checked against."""

from __future__ import annotations

import mujoco
import numpy as np

from sim.scene.names import named_id
from sim.tasks.kitchen import SUBTASKS


class Objects:
    """The object of each subtask in rows of ``qpos``; ``model`` is any kitchen's, they share a scene."""

    def __init__(self, model: mujoco.MjModel) -> None:
        self.size = int(model.nq)  # numbers in a row
        self._columns: dict[str, np.ndarray] = {}
        for subtask, (joints, goal) in SUBTASKS.items():
            starts = [int(model.jnt_qposadr[named_id(model, "joint", joint)]) for joint in joints]
            free = len(goal) > len(joints)  # position and quaternion under one name
            self._columns[subtask] = np.arange(starts[0], starts[0] + len(goal)) if free else np.array(starts)

    def distance(self, qpos: np.ndarray, subtask: str) -> np.ndarray:
        """``(...,)`` rad and m from the goal, of ``qpos`` ``(..., nq)``; as ``sim.tasks.kitchen.distance``."""
        return np.linalg.norm(qpos[..., self._columns[subtask]] - np.array(SUBTASKS[subtask][1]), axis=-1)

    def travel(self, qpos: np.ndarray, subtask: str) -> np.ndarray:
        """``(T,)`` how far the object is from where row 0 of ``qpos`` ``(T, nq)`` has it, as a share of the way from
        there to the goal."""
        at = qpos[:, self._columns[subtask]]
        way = np.linalg.norm(np.array(SUBTASKS[subtask][1]) - at[0])
        return np.linalg.norm(at - at[0], axis=-1) / max(float(way), 1e-9)
