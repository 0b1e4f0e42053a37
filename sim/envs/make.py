"""The one place where a task, its look and its options become an environment: one of sim.tasks, or DeepMind Control.

``make`` and ``make_vec`` take a name and keyword arguments, ``make_env`` a configuration, ``make_env_for`` a policy's
contract.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

from robot import profile
from robot.actions import MEASURED
from robot.contract import Contract
from robot.errors import PixelarmError, UnknownName
from robot.images import Fit
from robot.packages import resolve
from robot.profile import ArmProfile
from sim.arms import ARMS, arm_named
from sim.envs import dmc
from sim.envs.config import TaskConfig
from sim.envs.task_env import PERFECT, SUCCESS, VIEW_SIZE, TaskEnv
from sim.envs.vector import VectorEnv
from sim.physics.arm import Arm
from sim.physics.imperfections import Imperfections
from sim.tasks import TASKS, make_task
from sim.tasks.common.base import Task
from sim.tasks.kitchen import OBSERVE, PIXELS, STATES

DMC = dmc.PREFIX  # of DeepMind Control's tasks
LOOKS = ("plain", "textured")  # of sim.tasks; the first is the default
RENDER_MODE = "rgb_array"  # gymnasium's word for pictures as arrays
DRAWING = ("renderer", "view_size")  # options of ``make_env`` beside the configuration


# ----------------------------------------------------------------------------------------------------------- by a name
def make(name: str, *, render_mode: str | None = RENDER_MODE, **options: Any) -> TaskEnv | dmc.DMCEnv:
    """An environment of a task.

    Args:
        name: one of ``sim.tasks.TASKS``, or dmc/DOMAIN-TASK.
        render_mode: gymnasium's; "rgb_array" is the only one.
        options: ``image_size`` and the other fields of ``TaskConfig``; ``renderer`` and ``view_size`` of ``make_env``.

    Raises:
        UnknownName: a task, option or value that does not exist; the message lists those that do.
    """
    if render_mode not in (None, RENDER_MODE):
        raise UnknownName("render mode", render_mode, [RENDER_MODE])
    cfg, drawing = _configured(name, options)
    return make_env(cfg, **drawing)


def make_vec(
    name: str,
    num_envs: int,
    *,
    workers: int | None = None,
    copy: bool = True,
    render_mode: str | None = RENDER_MODE,
    **options: Any,
) -> VectorEnv:
    """``num_envs`` environments of a task in ``workers`` processes, see ``VectorEnv``;
    other arguments as of ``make``.
    """
    if render_mode not in (None, RENDER_MODE):
        raise UnknownName("render mode", render_mode, [RENDER_MODE])
    cfg, drawing = _configured(name, options)
    contract = contract_for(cfg)
    return VectorEnv(cfg, num_envs, workers, copy=copy, make=make_env, contract=contract, **drawing)


def _configured(name: str, options: dict[str, Any]) -> tuple[TaskConfig, dict[str, Any]]:
    """The configuration, and how to draw."""
    fields = {field.name for field in dataclasses.fields(TaskConfig)} - {"name"}
    for option in options:
        if option not in fields | set(DRAWING):
            raise UnknownName("option of an environment", option, [*fields, *DRAWING, "render_mode"])
    drawing = {option: value for option, value in options.items() if option in DRAWING}
    return TaskConfig(name, **{option: value for option, value in options.items() if option in fields}), drawing


# -------------------------------------------------------------------------------------------------- by a configuration
def make_env(
    cfg: TaskConfig, *, renderer: str = "auto", view_size: int = VIEW_SIZE, imperfections: Imperfections = PERFECT
) -> TaskEnv | dmc.DMCEnv:
    """A task's environment; its contract has one observation and one action, whatever a policy stacks and returns.

    Args:
        renderer: "auto", "opengl" or "raycast"; see ``sim.rendering.renderer.make_renderer``.
        view_size: pixels, height and width of what ``render`` returns.
        imperfections: of the arm.
    """
    check_task(cfg.name)
    if cfg.name.startswith(DMC):
        if imperfections != PERFECT:
            raise PixelarmError(f"{cfg.name} has no arm whose gravity compensation, friction or play could be wrong")
        return _deepmind_control(cfg, renderer, view_size)
    (low, high), (newest, oldest) = cfg.actuation_delay_ms, cfg.observation_delay_ms
    return TaskEnv(
        configured_task(cfg),
        actuation_delay_ms=(low, high),
        observation_delay_ms=(newest, oldest),
        view_size=view_size,
        randomise=cfg.randomise,
        renderer=renderer,
        hold_steps=cfg.hold_steps,
        time_limit=cfg.time_limit,
        fits=_fits(cfg),
        imperfections=imperfections,
        reward=cfg.reward or SUCCESS,
    )


def _fits(cfg: TaskConfig) -> dict[str, Fit]:
    """What the pictures of the configuration's cameras go through.

    Raises:
        PixelarmError: the profile's arm cannot run policies of this task, or a camera has no size there.
    """
    if not cfg.camera_profile:
        return {}
    arm = ArmProfile.load(profile.find(cfg.camera_profile, profile.shipped()))
    contract = configured_task(cfg).contract
    arm.require_contract(contract)
    without = [c.name for c in contract.cameras if arm.cameras[c.name].size is None]
    if without:
        raise PixelarmError(
            f"task.camera_profile: the cameras {', '.join(without)} of the arm profile {arm.name!r} have no size: add "
            "size: [WIDTH, HEIGHT], as the camera's driver sends them"
        )
    return {camera.name: arm.cameras[camera.name].fit for camera in contract.cameras}


def check_task(name: str) -> None:
    """Raise UnknownName unless there is such a task; DeepMind Control checks its own names when made."""
    if name not in TASKS and not name.startswith(DMC):
        raise UnknownName("task", name, [*TASKS, f"{DMC}DOMAIN-TASK"])


def configured_task(cfg: TaskConfig) -> Task:
    """One of sim.tasks with the configuration's pictures and look."""
    if cfg.action_repeat:
        raise PixelarmError(f"task.action_repeat is DeepMind Control's; {cfg.name} acts at the rate of its contract")
    arm = {} if cfg.arm == TaskConfig.arm else {"arm": _arm_for(cfg)}
    task = make_task(cfg.name, image_size=cfg.image_size, **arm, **_observing(cfg))
    if cfg.counts_from:
        action = dataclasses.replace(task.contract.action, counts_from=cfg.counts_from)
        task.contract = dataclasses.replace(task.contract, action=action)
    if _look(cfg, LOOKS) == "textured":
        terms = tuple(term for term in task.recipe.terms if term != "plain_look")
        task.recipe = dataclasses.replace(task.recipe, terms=terms)
    return task


def _observing(cfg: TaskConfig) -> dict[str, str]:
    """The option of a task that observes something else than pixels.

    Raises:
        UnknownName: there is no such kind of observation.
        PixelarmError: this task has pixels alone, or an option says how pictures are that nobody draws.
    """
    if cfg.observe in ("", PIXELS):
        return {}
    if cfg.observe not in OBSERVE:
        raise UnknownName("kind of observation (task.observe)", cfg.observe, OBSERVE)
    if not observes_states(cfg.name):
        raise PixelarmError(
            f"{cfg.name} is observed by its cameras: leave task.observe={cfg.observe} out, which the kitchen's tasks "
            "have"
        )
    drawn = [
        name for name in ("image_size", "look", "camera_profile") if getattr(cfg, name) != getattr(TaskConfig, name)
    ]
    if drawn:
        options = ", ".join(f"task.{name}" for name in drawn)
        raise PixelarmError(f"task.observe={cfg.observe} draws no pictures: {options} would do nothing, leave it out")
    return {"observe": cfg.observe}


def observes_states(name: str) -> bool:
    """Whether a task of ``TASKS`` can also be observed by the true states of its objects."""
    return name.startswith("kitchen")


def takes_arms(name: str) -> bool:
    """Whether a task of ``TASKS`` is done by any arm on the table; the kitchen brings its own."""
    return not name.startswith("kitchen")


def _arm_for(cfg: TaskConfig) -> Arm:
    """The arm that a configuration names.

    Raises:
        UnknownName: there is none of that name.
        PixelarmError: the task's scene brings its own arm, or the gripper opens less than the object is wide.
    """
    arm = arm_named(cfg.arm)
    if not takes_arms(cfg.name):
        raise PixelarmError(f"{cfg.name} has an arm of its own, a Panda: leave arm={cfg.arm} out")
    wide = getattr(resolve(TASKS[cfg.name]), "widest", 0.0)
    if wide > arm.gripper.stroke:
        raise PixelarmError(
            f"the gripper of {arm.name} opens {1e3 * arm.gripper.stroke:.0f} mm, and the object of {cfg.name} is up to "
            f"{1e3 * wide:.0f} mm wide: choose another arm ({', '.join(_that_open(wide))}) or another task"
        )
    return arm


def _that_open(wide: float) -> list[str]:
    return [arm.name for arm in ARMS.values() if arm.gripper.stroke >= wide]


def _deepmind_control(cfg: TaskConfig, renderer: str, view_size: int) -> dmc.DMCEnv:
    if cfg.arm != TaskConfig.arm:
        raise PixelarmError(f"{cfg.name} has no arm to choose: leave arm={cfg.arm} out")
    if cfg.counts_from not in ("", MEASURED):
        raise PixelarmError(f"{cfg.name} has no deltas: leave task.counts_from={cfg.counts_from} out")
    if cfg.camera_profile:
        raise PixelarmError(f"{cfg.name} runs on no arm: leave task.camera_profile={cfg.camera_profile} out")
    if cfg.observe not in ("", PIXELS):
        raise PixelarmError(f"{cfg.name} is observed by its camera: leave task.observe={cfg.observe} out")
    if cfg.randomise:
        raise PixelarmError(f"task.randomise draws what sim.tasks have; {cfg.name} has none of it")
    if cfg.hold_steps != TaskConfig.hold_steps:
        raise PixelarmError(f"task.hold_steps is of tasks with a success; {cfg.name} has returns alone")
    if any(cfg.observation_delay_ms):
        raise PixelarmError(
            f"task.observation_delay_ms is of tasks with an arm; {cfg.name} shows what it draws at once"
        )
    if cfg.reward:
        raise PixelarmError(f"{cfg.name} pays as it was published: leave task.reward={cfg.reward} out")
    if cfg.time_limit:
        raise PixelarmError(
            f"task.time_limit cuts training episodes of other tasks; {cfg.name} has its published length"
        )
    if renderer not in ("auto", "opengl"):
        raise UnknownName(f"renderer of {cfg.name}", renderer, ["auto", "opengl"])
    return dmc.DMCEnv(
        cfg.name.removeprefix(DMC),
        image_size=cfg.image_size,
        action_repeat=cfg.action_repeat,
        look=_look(cfg, dmc.LOOKS),
        view_size=view_size,
    )


def _look(cfg: TaskConfig, known: Iterable[str]) -> str:
    looks = list(known)
    if cfg.look and cfg.look not in looks:
        raise UnknownName(f"look of {cfg.name}", cfg.look, looks)
    return cfg.look or looks[0]


# -------------------------------------------------------------------------------------------------------- by a contract
def make_env_for(
    contract: Contract, config: dict[str, Any], imperfections: Imperfections = PERFECT
) -> TaskEnv | dmc.DMCEnv:
    """What a policy is judged in: its own task without randomisation, where a success pays and has to last as is usual.

    Raises:
        ContractMismatch: this version's contract is another than the policy's.
    """
    of_training = {"randomise", "hold_steps", "time_limit", "reward"}
    known = {field.name for field in dataclasses.fields(TaskConfig)} - of_training
    task = {k: v for k, v in config.get("task", {}).items() if k in known}
    task |= {"name": contract.task, "arm": contract.arm}
    task |= {"image_size": contract.cameras[0].height} if contract.cameras else {"observe": STATES}
    task |= {"counts_from": contract.action.counts_from}
    env = make_env(TaskConfig(**task), imperfections=imperfections)
    env.contract.require_equal(contract.recorded(), here=f"task {contract.task}", there="the policy")
    return env


def contract_for(cfg: TaskConfig) -> Contract:
    """The contract of the environment that a configuration asks for, without its scene where that can be."""
    check_task(cfg.name)
    if not cfg.name.startswith(DMC):
        return configured_task(cfg).contract
    env = make_env(cfg)
    env.close()
    return env.contract
