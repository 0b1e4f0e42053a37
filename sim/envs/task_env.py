"""A task as a ``gymnasium.Env``: dictionary observations, physical actions, sparse reward.

It meets ``sim.envs.interface.Environment``. Beyond that:

* reward: 1 on the step that succeeds, else 0; success ends the episode (``terminated``), ``max_steps`` cuts it
  (``truncated``). With ``reward="subtasks"``: 1 for each subtask that is done for the first time in the episode
* info: ``{"success": bool}``; a success may have to last (``hold_steps``) to count
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import gymnasium
import numpy as np

from robot import actions
from robot.errors import PixelarmError, UnknownName
from robot.images import Fit
from robot.stats import HOLD_STEPS
from sim.envs.interface import Act
from sim.envs.spaces import action_space, checked_action, observation_space
from sim.envs.task_world import build_world, reset_world
from sim.physics.imperfections import Imperfections
from sim.scene.randomise import Randomiser, add_noise, make_terms
from sim.tasks.common.base import Task

ACTUATION_DELAY_MS, OBSERVATION_DELAY_MS = (0.0, 50.0), (0.0, 0.0)
LONGEST_OBSERVATION_DELAY_MS = 1000.0
PERFECT = Imperfections()
SUCCESS, SUBTASKS = REWARDS = ("success", "subtasks")
VIEW_SIZE = 256  # pixels, height and width of what people look at

Seen = tuple[dict[str, np.ndarray], actions.Reference]  # an observation, and what actions count from that answer it


class TaskEnv(gymnasium.Env[dict[str, np.ndarray], np.ndarray]):
    """One world stepped at the contract's rate.

    A policy that runs beside a real arm acts on an observation that is already some tens of milliseconds old. Training
    sees the same: each action reaches the controller after a delay drawn uniformly from ``actuation_delay_ms``, while
    the previous target is still being followed, and counts from the pose that was observed. What is observed is itself
    as old as ``observation_delay_ms`` says, which may be several control periods; what it showed at the start of an
    episode is shown until something newer is old enough.

    Args:
        task: what to do, and the contract.
        actuation_delay_ms: (low, high) of the delay, drawn for each action; (0, 0) switches it off.
        observation_delay_ms: (low, high) of the age of observations, drawn for each episode; (0, 0) switches it off.
        randomise: names of ``sim.scene.randomise.TERMS`` to draw for each episode; what was drawn is in the reset's
            info.
        view_size: pixels, height and width of what ``render`` returns.
        renderer: "auto", "opengl" or "raycast"; see ``sim.rendering.renderer.make_renderer``.
        hold_steps: control steps in a row that a task must stay done before that is a success; 1: the first one is.
        time_limit: control steps after which an episode is cut, ``max_steps`` or fewer; 0: those.
        fits: contract camera -> what its pictures go through on the arm; see ``World``.
        imperfections: of the arm.
        reward: "success", or "subtasks" of tasks that have them; episodes are then judged by "completed", their sum.
    """

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
        observation_delay_ms: tuple[float, float] = OBSERVATION_DELAY_MS,
        imperfections: Imperfections = PERFECT,
        reward: str = SUCCESS,
    ) -> None:
        require_reward(task, reward)
        self.reward, self.metric = reward, "completed" if reward == SUBTASKS else "success"
        if not 1 <= hold_steps <= task.max_steps:
            raise PixelarmError(f"hold_steps must be 1 to the task's {task.max_steps} steps, got {hold_steps}")
        self.hold_steps, self.time_limit = hold_steps, min(time_limit or task.max_steps, task.max_steps)
        self.task, self.contract, self.view_size = task, task.contract, view_size
        self.world = build_world(task, renderer, fits)
        imperfections.apply(self.world)
        self._substeps = round(self.contract.period_s / self.world.timestep)
        self._delay_ms = [float(ms) for ms in actuation_delay_ms]
        substeps = [ms / 1000.0 / self.world.timestep for ms in actuation_delay_ms]
        if not (0 <= substeps[0] <= substeps[1] and substeps[1] < self._substeps - 0.5):  # NaN neither
            raise PixelarmError(
                "actuation_delay_ms must be 0 <= low <= high < one control period of "
                f"{1e3 * self.contract.period_s:g} ms, got {actuation_delay_ms}"
            )
        self._delay = tuple(map(round, substeps))
        newest, oldest = self._age_ms = [float(ms) for ms in observation_delay_ms]
        if not 0 <= newest <= oldest <= LONGEST_OBSERVATION_DELAY_MS:
            raise PixelarmError(
                f"observation_delay_ms must be 0 <= low <= high <= {LONGEST_OBSERVATION_DELAY_MS:g}, "
                f"got {observation_delay_ms}"
            )
        self._age = 0  # substeps, of observations in this episode
        self._seen: deque[Seen] = deque()  # the newest last, the first is what was observed last
        self._randomiser = Randomiser(self.world.model, make_terms(randomise))
        self._steps = self._done_for = 0  # control steps so far; those in a row that the task has been done for
        self._completed: set[str] = set()  # subtasks that were done in this episode, where they pay
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
            "observation_delay_ms": self._age_ms,
            "randomise": sorted(term.name for term in self._randomiser.terms),
            "hold_steps": self.hold_steps,
            **({} if self.reward == SUCCESS else {"reward": self.reward}),
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
        self._completed = set()
        self._newly_completed()
        self._age = 0
        if self._age_ms[1]:
            self._age = round(float(self.np_random.uniform(*self._age_ms)) / 1000.0 / self.world.timestep)
        self._seen.clear()
        info: dict[str, Any] = {"success": self._lasting_success()}
        if self._randomiser.terms:
            info["randomisation"] = self._randomiser.drawn
        self._look()
        return self._observe(0), info

    def step(self, action: np.ndarray) -> tuple[dict[str, np.ndarray], float, bool, bool, dict[str, Any]]:
        action = checked_action(self.contract, action)
        target = actions.target(self.contract.action.kind, self._origin(), action)
        delay, (periods, rest) = self._draw_delay(), divmod(self._observation_age(), self._substeps)
        done, look = 0, self._substeps - rest  # substeps so far, and that an observation shows
        for substep, acts in sorted([(delay, True), (look, False)], key=lambda event: event[0]):
            self.world.advance(substep - done)
            done = substep
            if acts:
                self._commanded = self.world.follow(target)
            else:
                self._look()
        self.world.advance(self._substeps - done)
        observation = self._observe(periods)
        self._steps += 1
        success = self._lasting_success()
        truncated = self._steps >= self.time_limit and not success
        reward = self._newly_completed() if self.reward == SUBTASKS else float(success)
        return observation, reward, success, truncated, {"success": success}

    def _origin(self) -> actions.Reference:
        return actions.origin(self.contract.action.counts_from, self._observed, self._commanded)

    def _lasting_success(self) -> bool:
        self._done_for = self._done_for + 1 if self.task.success(self.world) else 0
        return self._done_for >= self.hold_steps

    def _newly_completed(self) -> float:
        """How many subtasks are done now that were not before in this episode; 0 where they do not pay."""
        if self.reward != SUBTASKS:
            return 0.0
        new = set(self.task.completed(self.world)) - self._completed  # type: ignore[attr-defined]
        self._completed |= new
        return float(len(new))

    def _draw_delay(self) -> int:
        """Substeps until this action reaches the controller."""
        if "actuation_delay" in self._randomiser.drawn:
            return min(self._drawn_substeps("actuation_delay"), self._substeps - 1)
        return int(self.np_random.integers(self._delay[0], self._delay[1] + 1))

    def _observation_age(self) -> int:
        """Substeps between what an observation shows and the end of the step that returns it."""
        return self._drawn_substeps("observation_delay") if "observation_delay" in self._randomiser.drawn else self._age

    def _drawn_substeps(self, term: str) -> int:
        return round((self._randomiser.number(term, "ms") or 0.0) / 1000.0 / self.world.timestep)

    def _observe(self, periods: int) -> dict[str, np.ndarray]:
        """What was seen so many control periods ago, or first; actions count from it until the next."""
        while len(self._seen) > periods + 1:
            self._seen.popleft()
        observation, self._observed = self._seen[0]
        return observation

    def _look(self) -> None:
        """See what there is now."""
        images = {c.name: self.world.render(c.name) for c in self.contract.cameras}
        sigma = self._randomiser.number("image_noise", "sigma")
        if sigma:
            images = {name: add_noise(image, sigma, self.np_random) for name, image in images.items()}
        self._seen.append(({**images, **self.world.proprio()}, self.world.reference()))

    def expert(self, seed: int) -> Act:
        expert, action = self.task.expert(np.random.default_rng(seed)), self.contract.action

        def act() -> np.ndarray:  # experts count from where the arm is, and may want more than an action can say
            wanted = expert.act(self.world)
            elsewhere = action.counts_from != actions.MEASURED or self._observation_age()
            if elsewhere and actions.KINDS[action.kind].deltas:
                wanted = actions.recount(action.kind, wanted, self.world.reference(), self._origin())
            return self.contract.clip_action(wanted)

        return act

    def render(self) -> np.ndarray:
        return self.world.render_view(self.task.view, self.view_size, self.view_size)

    def close(self) -> None:
        self.world.close()

    # ----------------------------------------------------------------- resume
    def state_dict(self) -> dict[str, Any]:
        seen = list(self._seen) if self._observation_age() >= self._substeps else []  # else the next step shows its own
        pictures = {f"seen/{i}/{name}": array for i, (images, _) in enumerate(seen) for name, array in images.items()}
        return {
            "world": {**self.world.state_dict(), **pictures},
            "age": self._age,
            "seen": [_plain(reference) for _, reference in seen],
            "steps": self._steps,
            "done_for": self._done_for,
            "completed": sorted(self._completed),
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
        self._completed = set(state.get("completed", []))
        self.np_random.bit_generator.state = state["rng"]
        self._age, self._seen = int(state.get("age", 0)), deque()  # checkpoints from before observation_delay_ms
        for i, reference in enumerate(state.get("seen", [])):
            names = (*(camera.name for camera in self.contract.cameras), *(p.name for p in self.contract.proprio))
            images = {name: np.array(state["world"][f"seen/{i}/{name}"]) for name in names}
            self._seen.append((images, _reference(reference)))
        seen = state["observed"]
        if isinstance(seen, list):  # a checkpoint from when only the pose was kept, which is what its kinds count from
            seen = {**vars(self.world.reference()), "position": seen[0], "rotation": seen[1]}
        self._observed = _reference(seen)
        commanded = state.get("commanded")
        self._commanded = None
        if commanded is not None:
            gripper = float(commanded["gripper"])
            parts = {name: np.array(value) for name, value in commanded.items() if name != "gripper"}
            self._commanded = actions.Target(gripper, **parts)


def require_reward(task: Task, reward: str) -> None:
    """Raise UnknownName of a reward that does not exist, PixelarmError of one that the task does not have."""
    if reward not in REWARDS:
        raise UnknownName("reward (task.reward)", reward, REWARDS)
    if reward == SUBTASKS and not hasattr(task, "completed"):
        raise PixelarmError(f"{task.name} has no subtasks that could pay: leave task.reward={reward} out")


def _reference(plain: dict[str, Any]) -> actions.Reference:
    return actions.Reference(**{name: np.array(value) for name, value in plain.items()})


def _plain(of: actions.Reference | actions.Target) -> dict[str, Any]:
    """What is known of it, as plain data."""
    return {name: np.asarray(value).tolist() for name, value in vars(of).items() if value is not None}
