"""A task as a ``gymnasium.Env``: dictionary observations, physical actions, sparse reward.

It meets ``sim.envs.interface.Environment``. Beyond that:

* reward: 1 on the step that succeeds, else 0; success ends the episode (``terminated``), ``max_steps`` cuts it
  (``truncated``)
* info: ``{"success": bool}``; a success may have to last (``hold_steps``) to count
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import gymnasium
import numpy as np

from robot import actions
from robot.errors import PixelarmError
from robot.images import Fit
from robot.stats import HOLD_STEPS
from sim.envs.interface import Act
from sim.envs.spaces import action_space, checked_action, observation_space
from sim.envs.task_world import build_world, reset_world
from sim.scene.randomise import Randomiser, add_noise, make_terms
from sim.tasks.common.base import Task

ACTUATION_DELAY_MS = (0.0, 50.0)
VIEW_SIZE = 256  # pixels, height and width of what people look at


class TaskEnv(gymnasium.Env[dict[str, np.ndarray], np.ndarray]):
    """One world stepped at the contract's rate.

    A policy that runs beside a real arm acts on an observation that is already some tens of milliseconds old. Training
    sees the same: each action reaches the controller after a delay drawn uniformly from ``actuation_delay_ms``, while
    the previous target is still being followed, and counts from the pose that was observed.

    Args:
        task: what to do, and the contract.
        actuation_delay_ms: (low, high) of the delay; (0, 0) switches it off.
        randomise: names of ``sim.scene.randomise.TERMS`` to draw for each episode; what was drawn is in the reset's
            info.
        view_size: pixels, height and width of what ``render`` returns.
        renderer: "auto", "opengl" or "raycast"; see ``sim.rendering.renderer.make_renderer``.
        hold_steps: control steps in a row that a task must stay done before that is a success; 1: the first one is.
        time_limit: control steps after which an episode is cut, ``max_steps`` or fewer; 0: those.
        fits: contract camera -> what its pictures go through on the arm; see ``World``.
    """

    metric: ClassVar[str] = "success"
    action_repeat: ClassVar[int] = 1
    render_mode: ClassVar[str] = "rgb_array"
    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"], "render_fps": 10}

    def __init__(
        self,
        task: Task,
        actuation_delay_ms: tuple[float, float] = ACTUATION_DELAY_MS,
        view_size: int = VIEW_SIZE,
        randomise: Sequence[str] = (),
        renderer: str = "auto",
        hold_steps: int = HOLD_STEPS,
        time_limit: int = 0,
        fits: Mapping[str, Fit] | None = None,
    ) -> None:
        if not 1 <= hold_steps <= task.max_steps:
            raise PixelarmError(f"hold_steps must be 1 to the task's {task.max_steps} steps, got {hold_steps}")
        self.hold_steps, self.time_limit = hold_steps, min(time_limit or task.max_steps, task.max_steps)
        self.task, self.contract, self.view_size = task, task.contract, view_size
        self.world = build_world(task, renderer, fits)
        self._substeps = round(self.contract.period_s / self.world.timestep)
        self._delay_ms = [float(ms) for ms in actuation_delay_ms]
        substeps = [ms / 1000.0 / self.world.timestep for ms in actuation_delay_ms]
        if not (0 <= substeps[0] <= substeps[1] and substeps[1] < self._substeps - 0.5):  # NaN neither
            raise PixelarmError(
                "actuation_delay_ms must be 0 <= low <= high < one control period of "
                f"{1e3 * self.contract.period_s:g} ms, got {actuation_delay_ms}"
            )
        self._delay = tuple(map(round, substeps))
        self._randomiser = Randomiser(self.world.model, make_terms(randomise))
        self._steps = self._done_for = 0  # control steps so far; those in a row that the task has been done for
        self._observed = self.world.reference()
        self._commanded: actions.Target | None = None  # in this episode
        self.observation_space = observation_space(self.contract)
        self.action_space = action_space(self.contract)

    @property
    def max_steps(self) -> int:
        return self.task.max_steps

    @property
    def recording(self) -> dict[str, Any]:
        return {
            "look": "plain" if "plain_look" in self.task.recipe.terms else "textured",
            "renderer": self.world.drawn_by,
            "actuation_delay_ms": self._delay_ms,
            "randomise": sorted(term.name for term in self._randomiser.terms),
            "hold_steps": self.hold_steps,
            "cameras": {name: fit.to_dict() for name, fit in self.world.fits.items() if fit.size},
        }

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        super().reset(seed=seed)
        if self._randomiser.terms:
            self._randomiser.draw(self.np_random)
        # a given seed is the scene's own, so that a simulated arm over ROS can show the very same one
        reset_world(self.world, self.task, int(self.np_random.integers(2**31)) if seed is None else seed)
        self._steps = self._done_for = 0
        self._commanded = None
        info: dict[str, Any] = {"success": self._lasting_success()}
        if self._randomiser.terms:
            info["randomisation"] = self._randomiser.drawn
        return self._observe(), info

    def step(self, action: np.ndarray) -> tuple[dict[str, np.ndarray], float, bool, bool, dict[str, Any]]:
        action = checked_action(self.contract, action)
        delay = self._draw_delay()
        self.world.advance(delay)
        self._commanded = self.world.follow(actions.target(self.contract.action.kind, self._origin(), action))
        seen = max(
            delay, self._substeps - self._drawn_substeps("observation_delay")
        )  # substep that the observation shows
        self.world.advance(seen - delay)
        observation = self._observe()
        self.world.advance(self._substeps - seen)
        self._steps += 1
        success = self._lasting_success()
        truncated = self._steps >= self.time_limit and not success
        return observation, float(success), success, truncated, {"success": success}

    def _origin(self) -> actions.Reference:
        return actions.origin(self.contract.action.counts_from, self._observed, self._commanded)

    def _lasting_success(self) -> bool:
        self._done_for = self._done_for + 1 if self.task.success(self.world) else 0
        return self._done_for >= self.hold_steps

    def _draw_delay(self) -> int:
        """Substeps until this action reaches the controller."""
        if "actuation_delay" in self._randomiser.drawn:
            return min(self._drawn_substeps("actuation_delay"), self._substeps - 1)
        return int(self.np_random.integers(self._delay[0], self._delay[1] + 1))

    def _drawn_substeps(self, term: str) -> int:
        return round((self._randomiser.number(term, "ms") or 0.0) / 1000.0 / self.world.timestep)

    def _observe(self) -> dict[str, np.ndarray]:
        self._observed = self.world.reference()
        images = {c.name: self.world.render(c.name) for c in self.contract.cameras}
        sigma = self._randomiser.number("image_noise", "sigma")
        if sigma:
            images = {name: add_noise(image, sigma, self.np_random) for name, image in images.items()}
        return {**images, **self.world.proprio()}

    def expert(self, seed: int) -> Act:
        expert, action = self.task.expert(np.random.default_rng(seed)), self.contract.action

        def act() -> np.ndarray:  # experts count from what is measured, and may want more than an action can say
            wanted = expert.act(self.world)
            if action.counts_from != actions.MEASURED:
                wanted = actions.recount(action.kind, wanted, self._observed, self._origin())
            return self.contract.clip_action(wanted)

        return act

    def render(self) -> np.ndarray:
        return self.world.render_view(self.task.view, self.view_size, self.view_size)

    def close(self) -> None:
        self.world.close()

    # ----------------------------------------------------------------- resume
    def state_dict(self) -> dict[str, Any]:
        return {
            "world": self.world.state_dict(),
            "steps": self._steps,
            "done_for": self._done_for,
            "rng": self.np_random.bit_generator.state,
            "randomisation": self._randomiser.drawn,
            "observed": _plain(self._observed),
            "commanded": None if self._commanded is None else _plain(self._commanded),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if self._randomiser.terms:
            self._randomiser.set(state["randomisation"])
        self.world.load_state_dict(state["world"])
        self._steps = int(state["steps"])
        self._done_for = int(state.get("done_for", 0))  # a checkpoint from before hold_steps has none
        self.np_random.bit_generator.state = state["rng"]
        seen = state["observed"]
        if isinstance(seen, list):  # a checkpoint from when only the pose was kept, which is what its kinds count from
            seen = {**vars(self.world.reference()), "position": seen[0], "rotation": seen[1]}
        self._observed = actions.Reference(**{name: np.array(value) for name, value in seen.items()})
        commanded = state.get("commanded")
        self._commanded = None
        if commanded is not None:
            gripper = float(commanded["gripper"])
            parts = {name: np.array(value) for name, value in commanded.items() if name != "gripper"}
            self._commanded = actions.Target(gripper, **parts)


def _plain(of: actions.Reference | actions.Target) -> dict[str, Any]:
    """What is known of it, as plain data."""
    return {name: np.asarray(value).tolist() for name, value in vars(of).items() if value is not None}
