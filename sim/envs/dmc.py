"""DeepMind Control with pixels, as a ``sim.envs.interface.Environment``; needs the extra ``[dmc]``.

CURL, RAD, ATC, FLARE, DrQ and DrQ-v2 published on this suite (arXiv 1801.00690). What they share is kept, so that
numbers can be compared: dm_control's own picture, its first camera, actions scaled to [-1, 1], an action held for
``action_repeat`` control steps whose rewards are added, episodes of 1000 control steps. Budgets are published in
control steps ("100k steps", "frames"), that is decisions times ``action_repeat``; ``max_steps`` and a training run's
steps count decisions.

dm_control 1.0.39 is the newest that works with MuJoCo 3.9.0: 1.0.40 and 1.0.41 ask it for a field it lacks, later ones
refuse it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import gymnasium
import mujoco
import numpy as np

from robot.contract import Action, Camera, Contract
from robot.errors import MissingDependency, PixelarmError, UnknownName
from sim.envs.interface import Act
from sim.envs.spaces import action_space, checked_action, observation_space
from sim.rendering.renderer import OpenGLRenderer, close_first_at_exit

PREFIX = "dmc/"  # of the tasks' names in contracts and configurations
EPISODE = 1000  # control steps; the time limit of every task in dm_control 1.0.39 but LQR's, which have none
CAMERA = "camera"
# control steps an action lasts where none is asked for: as ikostrikov/rlpd and astooke/rlpyt list them for the tasks
# that PlaNet chose, and CURL and RAD after it; a domain's other tasks follow. DrQ-v2 uses 2 everywhere
PUBLISHED_REPEAT = {"cartpole": 8, "finger": 2, "walker": 2}
OTHER_REPEAT = 4
# which of the model's cameras looks on, where not the first: as in facebookresearch/drqv2
SCENE_CAMERA = {"quadruped": 2}

# What a look leaves out. "published" is dm_control's default: MuJoCo's default flags (shadows, reflections, sky box,
# haze) and the models' 4 samples a pixel; the pixels equal those of its ``physics.render``. Drawn by software, a frame
# of 84 or 100 pixels takes 12 to 40 ms of one core, mostly for the shadows and the samples. "fast" takes 0.6 to 3 ms
# there, but its pictures are others (other light on the ground, no shadows, hard edges), and so are scores from them:
# they compare with nothing published.
LOOKS: dict[str, Sequence[mujoco.mjtRndFlag]] = {
    "published": (),
    "fast": (mujoco.mjtRndFlag.mjRND_SHADOW, mujoco.mjtRndFlag.mjRND_REFLECTION),
}


class SuiteRenderer(OpenGLRenderer):
    """Off-screen pictures as dm_control draws them, or with less; see ``LOOKS``."""

    OFF = ()

    def __init__(self, model: mujoco.MjModel, height: int, width: int, look: str) -> None:
        if look == "fast":
            model.vis.quality.offsamples = 0
        super().__init__(model, height, width)
        self._option = mujoco.MjvOption()  # everything the suite shows: its geoms and targets are in groups 0 to 2
        for flag in LOOKS[look]:
            self._scene.flags[flag] = 0

    def reload_terrain(self) -> None:
        """Fetch the model's height fields anew; some tasks raise another terrain for each episode."""
        self._gl.make_current()
        for number in range(self._model.nhfield):
            mujoco.mjr_uploadHField(self._model, self._context, number)


class DMCEnv(gymnasium.Env[dict[str, np.ndarray], np.ndarray]):
    """One task of DeepMind Control.

    * observation: ``{"camera": (image_size, image_size, 3) uint8}``, no proprioception
    * action: in [-1, 1], scaled to each actuator's range
    * reward: the sum over the control steps of the action, each in [0, 1]
    * the episode is cut (``truncated``) after ``EPISODE`` control steps; no task of the suite ends earlier
      (``terminated``)
    * info: ``{"success": False}``, since the suite has no success; its measure is the return

    Args:
        name: DOMAIN-TASK, one of ``names()``.
        image_size: pixels, height and width of the camera.
        action_repeat: control steps an action lasts; 0 takes the published number of the domain.
        look: one of ``LOOKS``.
        view_size: pixels, height and width of what ``render`` returns.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"], "render_fps": 10}
    metric: ClassVar[str] = "return"
    render_mode: ClassVar[str] = "rgb_array"

    def __init__(
        self,
        name: str,
        image_size: int = 84,
        action_repeat: int = 0,
        look: str = "published",
        view_size: int = 256,
    ) -> None:
        if look not in LOOKS:
            raise UnknownName("look", look, LOOKS)
        if action_repeat < 0:
            raise PixelarmError(f"action_repeat must be at least 1, or 0 for the published number, got {action_repeat}")
        domain, _, task = _known(name).partition("-")
        # the fixed seed settles nothing that a reset does not draw again; no time limit: the count here is the only one
        self._suite = _import_suite().load(domain, task, {"random": 0, "time_limit": float("inf")})
        self._random: np.random.RandomState = self._suite.task.random
        self._model, self._data = self._suite.physics.model.ptr, self._suite.physics.data.ptr
        bounds = self._suite.action_spec()
        self._low, self._range = bounds.minimum, bounds.maximum - bounds.minimum
        self.action_repeat = action_repeat or PUBLISHED_REPEAT.get(domain, OTHER_REPEAT)
        self.max_steps = -(-EPISODE // self.action_repeat)
        self.contract = self._contract(PREFIX + name, image_size)
        self.look, self.view_size = look, view_size
        self._camera = self._model.camera(SCENE_CAMERA.get(domain, 0)).name
        self._renderers: dict[int, SuiteRenderer] = {}
        self._seed = self._steps = 0  # of the episode; control steps so far
        self._over = True
        self.observation_space = observation_space(self.contract)
        self.action_space = action_space(self.contract)

    def _contract(self, task: str, image_size: int) -> Contract:
        period = self._suite.control_timestep() * self.action_repeat
        names = tuple(self._model.actuator(number).name for number in range(self._model.nu))
        return Contract(
            task=task,
            cameras=(Camera(CAMERA, image_size, image_size, fps=round(1.0 / period, 6)),),
            proprio=(),
            action=Action(
                "normalized", names, ("1",) * len(names), (-1.0,) * len(names), (1.0,) * len(names), "", gripper=""
            ),
            rate_hz=round(1.0 / period, 6),
            deadline_ms=round(800.0 * period, 6),  # as in the other tasks, four fifths of the period and all of it
            max_age_ms=round(1000.0 * period, 6),
        )

    @property
    def recording(self) -> dict[str, Any]:
        return {"look": self.look, "renderer": "opengl"}

    # ----------------------------------------------------------------- episodes
    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        super().reset(seed=seed)
        self._begin(int(self.np_random.integers(2**31)) if seed is None else seed)
        return self._observe(), {"success": False}

    def _begin(self, seed: int) -> None:
        """A fresh episode, the same for the same seed."""
        self._random.seed(seed)
        self._suite.reset()
        self._seed, self._steps, self._over = seed, 0, False
        for renderer in self._renderers.values():
            renderer.reload_terrain()

    def step(self, action: np.ndarray) -> tuple[dict[str, np.ndarray], float, bool, bool, dict[str, Any]]:
        action = checked_action(self.contract, action)
        if self._over:
            raise PixelarmError(f"this episode of {self.contract.task} is over: call reset() before the next step()")
        command = self._low + 0.5 * (action.astype(float) + 1.0) * self._range
        reward, terminated = 0.0, False
        for _ in range(min(self.action_repeat, EPISODE - self._steps)):
            moment = self._suite.step(command)
            reward += float(moment.reward)
            self._steps += 1
            terminated = bool(moment.last())
            if terminated:
                break
        truncated = self._steps >= EPISODE and not terminated
        self._over = terminated or truncated
        return self._observe(), reward, terminated, truncated, {"success": False}

    def expert(self, seed: int) -> Act:
        raise PixelarmError(f"{self.contract.task} has no scripted expert; the tasks of sim.tasks have one")

    # ------------------------------------------------------------------- images
    def _observe(self) -> dict[str, np.ndarray]:
        return {CAMERA: self._draw(self.contract.cameras[0].height)}

    def render(self) -> np.ndarray:
        return self._draw(self.view_size)

    def _draw(self, size: int) -> np.ndarray:
        if size not in self._renderers:
            self._renderers[size] = SuiteRenderer(self._model, size, size, self.look)
        return self._renderers[size].render(self._data, self._camera)

    def close(self) -> None:
        for renderer in self._renderers.values():
            renderer.close()
        self._renderers.clear()

    # ------------------------------------------------------------------- resume
    def state_dict(self) -> dict[str, Any]:
        kind = mujoco.mjtState.mjSTATE_INTEGRATION
        physics = np.empty(mujoco.mj_stateSize(self._model, kind))
        mujoco.mj_getState(self._model, self._data, physics, kind)
        drawn = self._random.get_state(legacy=False)
        return {
            "world": {"physics": physics, "random": drawn["state"]["key"].astype(np.int64)},
            "random": [int(drawn["state"]["pos"]), int(drawn["has_gauss"]), float(drawn["gauss"])],
            "seed": self._seed,
            "steps": self._steps,
            "over": self._over,
            "rng": self.np_random.bit_generator.state,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        # the start of an episode writes targets, gains and terrain into the model, which the physics' state does not
        # hold
        self._begin(int(state["seed"]))
        position, has_gauss, gauss = state["random"]
        key = np.asarray(state["world"]["random"]).astype(np.uint32)
        self._random.set_state(("MT19937", key, position, has_gauss, gauss))
        physics = np.asarray(state["world"]["physics"], float)
        mujoco.mj_setState(self._model, self._data, physics, mujoco.mjtState.mjSTATE_INTEGRATION)
        mujoco.mj_step1(self._model, self._data)  # dm_control's steps end with it, and begin with what comes after it
        self._steps, self._over = int(state["steps"]), bool(state["over"])
        self.np_random.bit_generator.state = state["rng"]


def names() -> list[str]:
    """Every task as DOMAIN-TASK, but for LQR: its motors have no range to scale actions to, and its episodes no end."""
    return [f"{domain}-{task}" for domain, task in _import_suite().ALL_TASKS if domain != "lqr"]


def make(name: str, **options: Any) -> DMCEnv:
    """An environment of DeepMind Control; ``name`` with or without ``dmc/``, options as of ``DMCEnv``."""
    return DMCEnv(name.removeprefix(PREFIX), **options)


def _known(name: str) -> str:
    if name not in names():
        raise UnknownName("DeepMind Control task", name, names())
    return name


def _import_suite() -> Any:
    try:
        from dm_control import suite  # which ends the display that all draw on when the interpreter ends
    except ModuleNotFoundError as error:
        raise MissingDependency(
            f"DeepMind Control needs the extra [dmc] ({error}): pip install 'pixelarm[dmc]'"
        ) from error
    close_first_at_exit()
    return suite
