"""Skills in a plane: posterior means of stretches of recorded episodes, and their two principal axes."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view

from policies.skills.fist import Fist
from robot.dataset.episodes import Episode
from robot.dataset.simulated import SUBTASK

NOTHING = "no subtask"  # on the way between two, or not labelled


@dataclass(frozen=True)
class Stretches:
    """n stretches of H actions of some episodes.

    Attributes:
        z: ``(n, latent)`` posterior means.
        labels: of each, the subtask that was being done at its first action.
    """

    z: np.ndarray
    labels: tuple[str, ...]


def stretches(policy: Fist, episodes: Iterable[Episode], every: int = 1) -> Stretches:
    """Every ``every``-th stretch of each episode that lies wholly in it."""
    means: list[np.ndarray] = [np.zeros((0, policy.cfg.latent), np.float32)]
    labels: list[str] = []
    for episode in episodes:
        found = posterior_means(policy, episode, every)
        means.append(found)
        labels += subtasks_of(episode)[::every][: len(found)]
    return Stretches(np.concatenate(means), tuple(labels))


@torch.no_grad()
def posterior_means(policy: Fist, episode: Episode, every: int = 1) -> np.ndarray:
    """``(n, latent)`` of the stretches that begin at control steps 0, ``every``, 2 ``every``, ... of an episode."""
    h = policy.cfg.horizon
    if len(episode) < h:
        return np.zeros((0, policy.cfg.latent), np.float32)
    proprio = np.concatenate([episode.observations[entry.name] for entry in policy.contract.proprio], axis=1)
    cut = [
        torch.from_numpy(sliding_window_view(values, h, axis=0)[::every].swapaxes(1, 2).astype(np.float32))
        for values in (proprio[:-1], policy.contract.clip_action(episode.actions))
    ]
    return policy.done_in(*cut).mean.numpy()


def subtasks_of(episode: Episode) -> list[str]:
    """The subtask being done at each action, in words."""
    names = episode.provenance.get("subtasks", [])
    numbers = episode.simulation.get(SUBTASK)
    if numbers is None:
        return [NOTHING] * len(episode)
    return [names[number] if 0 <= number < len(names) else NOTHING for number in numbers]


def every_for(steps: int, points: int) -> int:
    """How many control steps apart stretches begin so that of ``steps`` there are at most about ``points``."""
    return max(1, math.ceil(steps / points))


@dataclass(frozen=True)
class Plane:
    """The plane in which points differ most (principal component analysis).

    Attributes:
        centre: ``(latent,)``.
        axes: ``(2, latent)`` of length 1; of each, the entry of largest size is positive, so that the same points
            always look the same. The second is 0 where there is but one direction.
        explained: share of the variance along each.
    """

    centre: np.ndarray
    axes: np.ndarray
    explained: tuple[float, float]

    def project(self, z: np.ndarray) -> np.ndarray:
        """``(n, latent)`` to ``(n, 2)``."""
        return (z - self.centre) @ self.axes.T


def principal_plane(z: np.ndarray) -> Plane:
    """Of points ``(n, latent)``, by singular value decomposition."""
    centre = z.mean(axis=0)
    _, sizes, directions = np.linalg.svd(z - centre, full_matrices=False)
    axes, variance = np.zeros((2, z.shape[1])), np.zeros(2)
    for i, direction in enumerate(directions[:2]):
        axes[i] = direction * (1.0 if direction[np.abs(direction).argmax()] >= 0 else -1.0)
        variance[i] = sizes[i] ** 2
    whole = max(float((sizes**2).sum()), 1e-12)
    return Plane(centre, axes, (float(variance[0]) / whole, float(variance[1]) / whole))


def error_of_choice(chosen: np.ndarray, done: np.ndarray, among: np.ndarray) -> float | None:
    """How far chosen skills ``(n, latent)`` are from those that were done where they were looked up, as a share of how
    far two of ``among`` ``(m, latent)`` drawn at random are from each other; root mean squares. None of no skills.

    The mean square distance of two independent draws is twice the sum of the variances.
    """
    spread = 2.0 * float(among.var(axis=0).sum()) if len(among) else 0.0
    if not len(chosen) or spread <= 0.0:
        return None
    return math.sqrt(float(((chosen - done) ** 2).sum(axis=1).mean()) / spread)
