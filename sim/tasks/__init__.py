"""Every task by name, for ``sim.envs.make`` and ``pixelarm train task=NAME``. Outsiders may add: ``TASKS["mine"] =
MyTask``.

A task is its class, or "module:Class" of it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from robot.errors import UnknownName
from robot.packages import resolve
from sim.rendering import gl  # noqa: F401  (first: before MuJoCo is imported it says whether the package `sim` is ours)
from sim.tasks.common.base import Task
from sim.tasks.door import Door
from sim.tasks.drawer import Drawer
from sim.tasks.kitchen import Kitchen
from sim.tasks.lift import Lift
from sim.tasks.move import Move
from sim.tasks.nut_assembly_square import NutAssemblySquare
from sim.tasks.pick_place_can import PickPlaceCan
from sim.tasks.pull import Pull
from sim.tasks.reach import Reach
from sim.tasks.stack import Stack
from sim.tasks.switch import Switch

# names are written out: `import pixelarm` reads them here without importing MuJoCo
TASKS: dict[str, Callable[..., Task] | str] = {
    "door": Door,
    "drawer": Drawer,
    "kitchen": Kitchen,
    "kitchen_bottom_burner": partial(Kitchen, ("bottom_burner",)),
    "kitchen_hinge_cabinet": partial(Kitchen, ("hinge_cabinet",)),
    "kitchen_kettle": partial(Kitchen, ("kettle",)),
    "kitchen_light_switch": partial(Kitchen, ("light_switch",)),
    "kitchen_microwave": partial(Kitchen, ("microwave",)),
    "kitchen_microwave_bottom_burner_light_switch_slide_cabinet": partial(
        Kitchen, ("microwave", "bottom_burner", "light_switch", "slide_cabinet")
    ),
    "kitchen_microwave_kettle_slide_cabinet_hinge_cabinet": partial(
        Kitchen, ("microwave", "kettle", "slide_cabinet", "hinge_cabinet")
    ),
    "kitchen_microwave_kettle_top_burner_light_switch": partial(
        Kitchen, ("microwave", "kettle", "top_burner", "light_switch")
    ),
    "kitchen_slide_cabinet": partial(Kitchen, ("slide_cabinet",)),
    "kitchen_top_burner": partial(Kitchen, ("top_burner",)),
    "lift": Lift,
    "move": Move,
    "nut_assembly_square": NutAssemblySquare,
    "pick_place_can": PickPlaceCan,
    "pull": Pull,
    "reach": Reach,
    "stack": Stack,
    "switch": Switch,
}


def make_task(name: str, **options: Any) -> Task:
    """A task by name; an unknown name lists those that exist."""
    if name not in TASKS:
        raise UnknownName("task", name, TASKS)
    return resolve(TASKS[name])(**options)
