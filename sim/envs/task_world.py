"""A task set up in a world: built, and reset. What the environment and the simulated arm have in common."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from robot.images import Fit
from sim.physics.world import World
from sim.scene.compile import compile_scene
from sim.tasks.common.base import Task


def build_world(task: Task, renderer: str = "auto", fits: Mapping[str, Fit] | None = None) -> World:
    """The world of a task's scene; ``renderer`` as of ``sim.rendering.renderer.make_renderer``, ``fits`` as of
    ``World``.
    """
    model = compile_scene(task.recipe, task.arm, getattr(task, "build", None))
    return World(model, task.contract, task.arm, task.workspace, task.camera_in_scene, renderer, fits)


def reset_world(world: World, task: Task, seed: int) -> None:
    """A new scene: the arm near home, the objects where the task's reset distribution puts them for this seed."""
    rng = np.random.default_rng(seed)
    world.start(rng)
    task.place_objects(world, rng)
    world.settle()
