"""Kitchen experts for data: no two episodes are alike.

Where ``KitchenExpert`` shows that a task can be done, these show it in many ways: they keep the order of subtasks that
they are given, come from another side each time, at another speed, through waypoints about a centimetre away from where
the table has them. Their actions are clean: whoever records them may execute them with noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from sim.tasks.kitchen import distance
from sim.tasks.kitchen_expert import CLOSED, OPEN, WAYPOINTS, KitchenExpert, Place, Scene, Waypoint, still

if TYPE_CHECKING:
    from sim.physics.world import World
    from sim.tasks.kitchen import Kitchen

# m from the first waypoint of a subtask: where the hand passes on its way there
SIDES: dict[str, tuple[float, float, float]] = {
    "left": (-0.07, -0.03, 0.0),
    "right": (0.07, -0.03, 0.0),
    "above": (0.0, -0.03, 0.07),
}
OFFSET = 0.01  # m each way, of a waypoint in free space
NEAR_OFFSET = 0.004  # m each way, of one at an object: knobs and lever leave a centimetre in all
NEAR = 0.02  # m of tolerance: a waypoint with less, or with a speed of its own, is at an object


class VariedExpert(KitchenExpert):
    """The subtasks of a task in the order in which the task names them.

    An object that slips from the fingers, or is stuck, is let go after a moment and tried again.
    """

    SPEED = (0.018, 0.028)
    TREMOR = 0.0
    PATIENCE, ADVANCE = 14, 0.01  # steps without this much (rad, m) of the object's way: it does not move any more

    def __init__(self, rng: np.random.Generator, task: Kitchen) -> None:
        super().__init__(rng, task)
        self._order = list(task.subtasks)
        self._watched: Scene | None = None  # of the waypoint during which these two were seen:
        self._nearest, self._advanced = np.inf, 0  # the least distance from the goal, and the step that reached it

    @property
    def speed(self) -> float:
        """m per step in free motion"""
        return self._speed

    @property
    def holds(self) -> bool:
        """Whether the hand is at an object, which a tremor would make it lose."""
        return bool(self._plan) and (self._plan[0].until is not None or _near(self._plan[0]))

    def _reached(self, waypoint: Waypoint, scene: Scene) -> bool:
        return super()._reached(waypoint, scene) or (waypoint.until is not None and self._stuck(scene))

    def _stuck(self, scene: Scene) -> bool:
        if self.subtask is None:
            return False
        away = distance(scene.world, self.subtask)
        if scene is not self._watched or away < self._nearest - self.ADVANCE:
            self._watched, self._nearest, self._advanced = scene, away, scene.steps
        return scene.steps - self._advanced > self.PATIENCE

    def _next_plan(self, world: World) -> list[Waypoint]:
        return self._vary(super()._next_plan(world))

    def _vary(self, plan: Sequence[Waypoint]) -> list[Waypoint]:
        """The same way, begun from a side that is drawn, through waypoints that are displaced."""
        if not plan:
            return []
        side = SIDES[str(self._rng.choice(list(SIDES)))]
        return [_beside(plan[0], side), *(self._displace(waypoint) for waypoint in plan)]

    def _displace(self, waypoint: Waypoint) -> Waypoint:
        """A waypoint that is only passed through or arrived at; what moves an object is left as it is."""
        if waypoint.at is None or waypoint.until is not None:
            return waypoint
        reach = NEAR_OFFSET if _near(waypoint) else OFFSET
        return replace(waypoint, at=_moved(waypoint.at, self._rng.uniform(-reach, reach, 3)))


def _near(waypoint: Waypoint) -> bool:
    return waypoint.tolerance <= NEAR or waypoint.speed is not None


def _beside(waypoint: Waypoint, side: tuple[float, float, float]) -> Waypoint:
    assert waypoint.at is not None
    return replace(waypoint, at=_moved(waypoint.at, np.array(side)), tolerance=0.06)


def _moved(place: Place, offset: np.ndarray) -> Place:
    return lambda scene: place(scene) + offset


class PlayExpert(VariedExpert):
    """Somebody who plays: whatever comes to mind next, things begun and left, and wandering in between.

    It stops for nothing and never ends: when all is done, the hand wanders.
    """

    WANDERS = 0.5  # probability of wandering before a subtask
    LEAVES = 0.2  # probability that a subtask is left on the way to its object
    ROOM = np.array([0.18, 0.05, 0.20])  # m each way, around where the hand starts: nothing is in reach there
    LONGEST_REST = 12  # steps

    def _begin(self, world: World) -> None:
        super()._begin(world)
        self._middle = Scene(world).hand + (0.0, 0.05, 0.10)

    def _next_plan(self, world: World) -> list[Waypoint]:
        done = self._task.completed(world)
        # behind the open hinged cabinet the slide's handle is out of reach
        open_door = "hinge_cabinet" in done
        possible = [s for s in self._order if s not in done and not (s == "slide_cabinet" and open_door)]
        self.subtask = None
        if not possible:
            return self._wander()
        before = self._wander() if self._rng.random() < self.WANDERS else []
        self.subtask = str(self._rng.choice(possible))
        plan = self._vary(WAYPOINTS[self.subtask])
        if self._rng.random() < self.LEAVES:
            plan = plan[:2]  # beside and before the object, which is not touched
        return [*before, *plan]

    def _wander(self) -> list[Waypoint]:
        """One to three places in the free room, and a rest at the last one."""
        fingers = OPEN if self._rng.random() < 0.5 else CLOSED
        places = self._middle + self._rng.uniform(-self.ROOM, self.ROOM, (self._rng.integers(1, 4), 3))
        rest = still(fingers, int(self._rng.integers(1, self.LONGEST_REST + 1)))
        return [*(_through(place, fingers) for place in places), rest]


def _through(place: np.ndarray, fingers: float) -> Waypoint:
    return Waypoint(lambda scene: place, fingers, tolerance=0.06)
