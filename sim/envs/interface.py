"""What an environment is, for everything that learns, evaluates or records.

* an observation: a dict of the contract's names, one ``(height, width, channels)`` uint8 image a camera and one
  ``(size,)`` float32 vector a proprioception field
* an action: ``(action size,)`` float32 in the contract's units; beyond its bounds it is clipped
* N environments side by side: the same arrays with a leading axis of N

``sim.envs.make`` makes them. They are gymnasium's environments too (``gymnasium.Env``, ``gymnasium.vector.VectorEnv``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from robot.contract import Contract

Observation = dict[str, np.ndarray]
Act = Callable[[], np.ndarray]  # the next action, (action size,) float32


class Common(Protocol):
    """What one environment and a vector of them have in common."""

    contract: Contract  # what is observed and what is done: names, sizes, units, rate
    metric: str  # what episodes are judged by: "success", of info, or the rewards' sum: "return", "completed" subtasks
    observation_space: Any  # gymnasium.spaces.Dict
    action_space: Any  # gymnasium.spaces.Box

    @property
    def action_repeat(self) -> int:
        """Control steps of the physics that one action lasts; budgets of published results count these."""

    @property
    def max_steps(self) -> int:
        """Actions until an episode is cut."""

    @property
    def recording(self) -> dict[str, Any]:
        """What episodes depend on beside the contract (look, delays, randomisation), plain data;
        see ``robot.dataset.recording``.
        """

    def state_dict(self) -> dict[str, Any]:
        """Everything that decides the future of a running episode and of the ones after it."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on exactly where ``state_dict`` was taken."""

    def close(self) -> None:
        """Release pictures and processes; a second call does nothing."""


class Environment(Common, Protocol):
    """One environment; in its ``state_dict``, ``world`` is a dict of arrays and the rest plain data."""

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """The first observation of a new episode, and info with ``success``.
        A seed decides all of the scene; None draws on.
        """

    def step(self, action: np.ndarray) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Observation, reward, terminated (the task ended the episode), truncated (the clock did), and info with
        ``success``.

        Raises:
            ValueError: an action of another size, or that is not finite.
        """

    def expert(self, seed: int) -> Act:
        """The task's scripted expert for the episode that has just begun: call it before each step.

        Raises:
            PixelarmError: this task has none.
        """

    def render(self) -> np.ndarray:
        """The scene as people like to see it, ``(view, view, 3)`` uint8."""


class VectorEnvironment(Common, Protocol):
    """N environments of one task. One that ends its episode starts the next within the same ``step``: what is returned
    is the new episode's first observation; the old one's last is in ``infos["final_obs"][i]``, its info in
    ``infos["final_info"]``."""

    num_envs: int  # N

    def reset(
        self, *, seed: int | Sequence[int] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """First observations ``(N, ...)`` of new episodes; a seed for all, or one for each."""

    def step(self, actions: np.ndarray) -> tuple[Observation, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Observations, rewards ``(N,)`` float32, terminated and truncated ``(N,)`` bool, and infos,
        after actions ``(N, size)``.
        """

    def render(self) -> tuple[np.ndarray, ...]:
        """A picture of each."""
