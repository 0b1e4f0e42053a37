"""Every task by name. Outsiders may add their own: ``TASKS["mine"] = MyTask``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from robot.errors import UnknownName
from sim.tasks.base import Task
from sim.tasks.lift import Lift

if TYPE_CHECKING:
    from sim.env import TaskEnv
    from sim.world import World

TASKS: dict[str, Callable[..., Task]] = {"lift": Lift}


def make_task(name: str, **options: Any) -> Task:
    """A task by name; an unknown name lists those that exist."""
    if name not in TASKS:
        raise UnknownName("task", name, TASKS)
    return TASKS[name](**options)


def make_world(name: str, **options: Any) -> World:
    """Physics, controller and cameras of a task, without gymnasium."""
    from sim.world import World

    return World(make_task(name, **options))


def make(name: str, *, image_size: int = 64, **options: Any) -> TaskEnv:
    """A ``gymnasium.Env`` of a task with ``image_size`` pixel cameras; other options are those of ``TaskEnv``."""
    from sim.env import TaskEnv

    return TaskEnv(make_task(name, image_size=image_size), **options)
