"""What a task is: scene, contract, reset distribution, sparse success test, language line and scripted expert.

A task is one file in this folder and one line in ``TASKS`` (``sim/tasks/__init__.py``). To add one, imitate
``reach.py``; ``move.py`` has something to grasp besides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Protocol

import numpy as np

from robot.contract import Contract
from sim.physics.arm import Arm, Workspace
from sim.scene.compile import Recipe

if TYPE_CHECKING:
    from sim.physics.world import World


class Expert(Protocol):
    """A scripted policy that may look at the simulator's state. One instance plays one episode."""

    def act(self, world: World) -> np.ndarray:
        """The next action, ``(action size,)`` float32 in the contract's units."""


class Task(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def language(self) -> str:
        """The instruction in one line."""

    @property
    def max_steps(self) -> int:
        """Control steps until the episode is cut."""

    @property
    def arm(self) -> Arm: ...

    @property
    def workspace(self) -> Workspace:
        """Lowest and highest target (m, base frame), as the limits of a real arm's profile would hold it."""

    recipe: Recipe
    contract: Contract
    camera_in_scene: dict[str, str]  # contract camera -> camera of the MuJoCo model
    view: ClassVar[str]  # scene camera for videos

    # optional, when the scene is more than robosuite's: ``def build(self, spec: mujoco.MjSpec) -> None``
    # optional, for `pixelarm diagnose` to say where a policy fails:
    # ``manipuland: ClassVar[str | None]``, the body that the task moves; None or absent when there is no such one
    # ``grasps: ClassVar[bool]``, whether it has to be held for that
    # ``widest: ClassVar[float]``, m that the gripper must open for it
    # ``def goal(self, world: World) -> np.ndarray | None``, where its origin belongs (the hand, if
    # there is no manipuland), ``(3,)`` m in the base frame; None where that is nowhere in particular

    def place_objects(self, world: World, rng: np.random.Generator) -> None:
        """Draw the initial positions of the objects into ``world.data``."""

    def success(self, world: World) -> bool:
        """The sparse test: is the task done in this state?"""

    def expert(self, rng: np.random.Generator) -> Expert:
        """A fresh scripted expert for one episode."""
