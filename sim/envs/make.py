"""The environment that a configuration, or a policy's contract, asks for: one of sim.tasks, or DeepMind Control."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

from robot.contract import Contract
from robot.errors import PixelarmError, UnknownName
from sim.envs.config import TaskConfig
from sim.envs.task_env import TaskEnv
from sim.tasks import TASKS, make_task
from sim.tasks.base import Task

DMC = "dmc/"  # prefix of DeepMind Control's tasks
LOOKS = ("plain", "textured")  # of sim.tasks; the first is the default


def check_task(name: str) -> None:
    """Raise UnknownName unless there is such a task; DeepMind Control checks its own names when made."""
    if name not in TASKS and not name.startswith(DMC):
        raise UnknownName("task", name, [*TASKS, f"{DMC}DOMAIN-TASK"])


def make_env(cfg: TaskConfig) -> TaskEnv:
    """A task's environment; its contract holds one observation and one action, whatever a policy stacks and returns."""
    check_task(cfg.name)
    if cfg.name.startswith(DMC):
        return _deepmind_control(cfg)
    low, high = cfg.actuation_delay_ms
    return TaskEnv(
        configured_task(cfg), actuation_delay_ms=(low, high), randomise=cfg.randomise, hold_steps=cfg.hold_steps
    )


def configured_task(cfg: TaskConfig) -> Task:
    """One of sim.tasks with the configuration's pictures and look."""
    if cfg.action_repeat:
        raise PixelarmError(f"task.action_repeat is DeepMind Control's; {cfg.name} acts at the rate of its contract")
    task = make_task(cfg.name, image_size=cfg.image_size)
    if _look(cfg, LOOKS) == "textured":
        terms = tuple(term for term in task.recipe.terms if term != "plain_look")
        task.recipe = dataclasses.replace(task.recipe, terms=terms)
    return task


def _deepmind_control(cfg: TaskConfig) -> TaskEnv:
    from sim.envs import dmc

    if cfg.randomise:
        raise PixelarmError(f"task.randomise draws what sim.tasks have; {cfg.name} has none of it")
    if cfg.hold_steps != 1:
        raise PixelarmError(f"task.hold_steps is of tasks with a success; {cfg.name} has returns alone")
    return dmc.make(
        cfg.name.removeprefix(DMC),
        image_size=cfg.image_size,
        action_repeat=cfg.action_repeat,
        look=_look(cfg, dmc.LOOKS),
    )


def _look(cfg: TaskConfig, known: Iterable[str]) -> str:
    looks = list(known)
    if cfg.look and cfg.look not in looks:
        raise UnknownName(f"look of {cfg.name}", cfg.look, looks)
    return cfg.look or looks[0]


def make_env_for(contract: Contract, config: dict[str, Any]) -> TaskEnv:
    """What a policy is judged in: its own task without randomisation, where the first success counts.

    Raises:
        ContractMismatch: this version's contract is another than the policy's.
    """
    known = {field.name for field in dataclasses.fields(TaskConfig)} - {"randomise", "hold_steps"}
    task = {k: v for k, v in config.get("task", {}).items() if k in known}
    task |= {"name": contract.task, "image_size": contract.cameras[0].height}
    env = make_env(TaskConfig(**task))
    env.contract.require_equal(contract.recorded(), here=f"task {contract.task}", there="the policy")
    return env
