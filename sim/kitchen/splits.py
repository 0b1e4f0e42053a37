"""Which subtasks the pretraining data hold, and which task they are pretraining for.

The four with a held-out object are those of FIST (Hakhamaneshi et al. 2021, arXiv 2107.08981): skills are learned from
demonstrations in which the object is never moved, then ten demonstrations of a task that needs it are given. (FIST's
code calls top burner and slide cabinet "topknob" and "slide".)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from robot.errors import UnknownName
from sim.tasks.kitchen import FOUR, SUBTASKS, Kitchen

PRETRAINING, TARGET = "pretraining", "target"  # the two folders of a split
TARGETS = 10  # target demonstrations, as in FIST
LENGTH = 4  # subtasks of a demonstration


@dataclass(frozen=True)
class Split:
    words: str
    held_out: str | None = None  # the subtask whose object never moves in the pretraining data
    target: tuple[str, ...] = ()  # the subtasks of the target demonstrations, in order; none: there are no such
    play: bool = False  # pretraining data without boundaries

    def task(self) -> Kitchen:
        """What the data are for, one of ``sim.tasks.TASKS``; they have its contract."""
        return Kitchen(self.target or FOUR)

    def order(self, rng: np.random.Generator) -> tuple[str, ...]:
        """The subtasks of one pretraining demonstration. The hinged cabinet is last: its open door is in the way of
        much else, and covers the slide's handle."""
        known = [subtask for subtask in SUBTASKS if subtask != self.held_out]
        drawn = [str(subtask) for subtask in rng.permutation(known)[:LENGTH]]
        return tuple(sorted(drawn, key=lambda subtask: subtask == "hinge_cabinet"))


SPLITS: dict[str, Split] = {
    "no-microwave": Split(
        "nobody touches the microwave",
        held_out="microwave",
        target=("microwave", "bottom_burner", "light_switch", "slide_cabinet"),
    ),
    "no-kettle": Split(
        "nobody touches the kettle",
        held_out="kettle",
        target=("microwave", "kettle", "slide_cabinet", "hinge_cabinet"),
    ),
    "no-top-burner": Split(
        "nobody touches the top burner",
        held_out="top_burner",
        target=("microwave", "kettle", "top_burner", "light_switch"),
    ),
    "no-slide": Split(
        "nobody touches the slide cabinet",
        held_out="slide_cabinet",
        target=("microwave", "kettle", "slide_cabinet", "hinge_cabinet"),
    ),
    "mixed": Split("any four of the seven subtasks: nothing is held out"),
    "play": Split("somebody plays: no boundaries, no labels, no success", play=True),
}


def split_named(name: str) -> Split:
    if name not in SPLITS:
        raise UnknownName("kitchen split", name, SPLITS)
    return SPLITS[name]
