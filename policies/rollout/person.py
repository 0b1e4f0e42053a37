"""A scripted person who watches a policy learn, with the deadman in hand, and takes over where it gets nowhere.

HIL-SERL (arXiv 2410.21845) lets a person correct: what the person does joins the demonstrations, and reinforcement
learning goes on with all of it. This one is the task's scripted expert. It takes over once an episode has gone on for
so long without success, drives from there to the episode's end, and so helps much at first and seldom later.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sim.envs.interface import Act
from sim.envs.task_env import TaskEnv


class Person:
    """See the module text. Ask before each step of the environment.

    Args:
        after: control steps of an episode after which it takes over.
        most: take-overs in a run; 0: without a limit.
        seed: of what the expert does.
    """

    def __init__(self, env: TaskEnv, after: int, most: int, seed: int) -> None:
        self.env, self.after, self.most, self.seed = env, after, most, seed
        self.taken = self.steps = 0  # take-overs so far, and the control steps of all of them
        self._act: Act | None = None

    def acts(self, step: int) -> np.ndarray | None:
        """The person's action in control step ``step`` of the episode, ``(A,)``; None: the policy goes on."""
        if step == 0:
            self._act = None
        if self._act is None:
            if step < self.after or (self.most and self.taken >= self.most):
                return None
            self.taken += 1
            self._take()
        assert self._act is not None
        self.steps += 1
        return self._act()

    def _take(self) -> None:
        self._act = self.env.expert(int(np.random.SeedSequence([self.seed, self.taken]).generate_state(1)[0]))

    def numbers(self) -> dict[str, float]:
        return {"take_overs": float(self.taken), "take_over_steps": float(self.steps)}

    def state_dict(self) -> dict[str, Any]:
        return {"taken": self.taken, "steps": self.steps, "acting": self._act is not None}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue. Who was driving then begins anew with what there is to see: an expert's thoughts are not kept."""
        self.taken, self.steps = int(state["taken"]), int(state["steps"])
        self._act = None
        if state["acting"]:
            self._take()
