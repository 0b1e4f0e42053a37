"""Episodes with the simulator's true state beside what the policy saw: the raw material of a diagnosis."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from policies.policy import Observation
from policies.rollout.acting import to_batch
from robot.history import History
from sim.envs.task_env import TaskEnv
from sim.scene.names import body_id
from sim.tasks.common.grasping import held

Act = Callable[[Observation], np.ndarray]
"""From a batch of one observation to an action ``(A,)`` in the contract's units."""


@dataclass(frozen=True)
class Trace:
    """What truly happened in one episode of T control steps. State 0 is the reset's, state t that after t steps.

    Attributes:
        seed: of the scene.
        success: the task was done for as many steps in a row as the run's ``task.hold_steps`` asks.
        grasps: the task's, see ``sim.tasks.common.base``.
        hand: ``(T + 1, 3)`` m, base frame.
        opening: ``(T + 1,)`` m between the fingers.
        closing: ``(T,)`` bool, whether the gripper was told to close.
        touches: ``(T + 1,)`` bool, whether any body of the robot touches the manipuland (of a task that names none:
            anything that can be moved); None where there is nothing to touch.
        held: ``(T + 1,)`` bool, whether all finger pads touch the manipuland.
        manipuland, goal: ``(T + 1, 3)`` m, base frame; None of tasks that name none.
        done: ``(T + 1,)`` bool, the task's success test in each state.
    """

    seed: int
    success: bool
    grasps: bool
    hand: np.ndarray
    opening: np.ndarray
    closing: np.ndarray
    touches: np.ndarray | None
    held: np.ndarray
    manipuland: np.ndarray | None
    goal: np.ndarray | None
    done: np.ndarray

    @property
    def steps(self) -> int:
        return len(self.closing)


@dataclass(frozen=True)
class Played:
    """One episode: what happened, what was done ``(T, A)``, and what was seen before each of it (empty if not kept)."""

    trace: Trace
    actions: np.ndarray
    seen: list[Observation]


class Watch:
    """Reads the true state of an environment of sim.tasks."""

    def __init__(self, env: TaskEnv) -> None:
        self.env, self.task, self.world = env, env.task, env.world
        self.manipuland: str | None = getattr(self.task, "manipuland", None)
        self.grasps = bool(getattr(self.task, "grasps", False)) and self.manipuland is not None
        self._goal = getattr(self.task, "goal", lambda world: None)
        model = self.world.model
        self._robot = model.body_rootid == model.body_rootid[body_id(model, self.task.arm.last_link)]
        if self.manipuland is not None:
            self._target = np.arange(model.nbody) == body_id(model, self.manipuland)
        else:
            self._target = (model.body_weldid != 0) & ~self._robot

    def state(self) -> dict[str, np.ndarray | float | bool | None]:
        """One row of each of a ``Trace``'s states."""
        world, name = self.world, self.manipuland
        goal = self._goal(world)
        return {
            "hand": world.eef_position(),
            "opening": world.gripper_opening(),
            "touches": self._touches() if self._target.any() else None,
            "held": held(world, name) if name is not None and self.grasps else False,
            "manipuland": world.object_position(name) if name is not None else None,
            "goal": None if goal is None else np.asarray(goal, float),
            "done": bool(self.task.success(world)),
        }

    def _touches(self) -> bool:
        contacts = self.world.data.contact
        bodies = self.world.model.geom_bodyid[contacts.geom[contacts.dist <= 0.0]]
        first, second = bodies.reshape(-1, 2).T
        between = (self._robot[first] & self._target[second]) | (self._target[first] & self._robot[second])
        return bool(between.any())

    def play(self, act: Act, seed: int, history: int = 1, keep: bool = False) -> Played:
        """Play one episode, until the task has been done for as long as the environment asks or its time is up.

        Args:
            act: the policy, without a memory, or made for this episode.
            history: observations that it sees.
            keep: whether to keep them.
        """
        env, remembered = self.env, History[dict[str, np.ndarray]](history)
        observation, info = env.reset(seed=seed)
        states, actions, seen, over = [self.state()], [], [], bool(info["success"])
        while not over:
            batch = to_batch(remembered.add(observation))
            actions.append(np.asarray(act(batch)))
            if keep:
                seen.append(batch)
            observation, _, terminated, truncated, info = env.step(actions[-1])
            states.append(self.state())
            over = terminated or truncated
        made = np.array(actions, np.float32).reshape(len(actions), env.contract.action.size)
        return Played(self._trace(seed, bool(info["success"]), states, made), made, seen)

    def _trace(self, seed: int, success: bool, states: list[dict], actions: np.ndarray) -> Trace:
        names = self.env.contract.action.names
        closing = actions[:, names.index("gripper")] > 0 if "gripper" in names else np.zeros(len(actions), bool)
        columns = {
            name: None if states[0][name] is None else np.array([state[name] for state in states]) for name in states[0]
        }
        return Trace(seed=seed, success=success, grasps=self.grasps, closing=closing, **columns)  # type: ignore[arg-type]

    def filmed(self, played: Played, frames: int = 8) -> list[np.ndarray]:
        """An episode played again, action by action: ``frames`` pictures evenly spread over it."""
        wanted = set(np.linspace(0, len(played.actions), frames).round().astype(int).tolist())
        self.env.reset(seed=played.trace.seed)
        pictures = [self.env.render()]
        for step, action in enumerate(played.actions, 1):
            self.env.step(action)
            if step in wanted:
                pictures.append(self.env.render())
        return pictures
