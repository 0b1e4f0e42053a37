"""What a worker process of ``sim.envs.vector`` does.

Numbers travel through one block of memory that both sides see (``sim.envs.shared_memory``); the pipe carries only words
("step", "done"), the small dictionaries of ``info``, and what is asked for seldom: states, and pictures for people.
"""

from __future__ import annotations

import os
import signal
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, Protocol

import numpy as np

from robot.errors import PixelarmError
from sim.envs.shared_memory import Layout
from sim.tasks.common.base import Task

PARENT_CHECK_S = 5.0  # how often an idle worker looks whether its parent still lives, beside the pipe's own end


class Named(Protocol):
    """What stands for a task where something else than ``TaskEnv`` makes its environments."""

    name: str


def run(
    pipe: Connection,
    memory: Any,
    layout: Layout,
    worker: int,
    indices: list[int],
    task: Task | Named,
    make: Callable[..., Any] | None,
    options: dict[str, Any],
    parent: int,
) -> None:
    """Make the environments ``indices`` of one worker and serve requests until the parent closes the pipe or dies.

    Every request gets exactly one reply: ``("done", {index: something small})`` or ``("failed", reason, traceback)``.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then closes us
    views = layout.views(memory)
    at = views["at"]
    envs: dict[int, Any] = {}
    try:
        from sim.envs.task_env import TaskEnv

        build: Callable[..., Any] = make or TaskEnv
        for index in indices:
            at[worker] = index
            envs[index] = build(task, **options)
        at[worker] = -1
        pipe.send(("done", {index: _about(env) for index, env in envs.items()}))
        _serve(pipe, views, worker, envs, parent)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # the parent is gone or has closed us
    except Exception as error:
        text = "" if isinstance(error, PixelarmError) else traceback.format_exc()
        try:
            pipe.send(("failed", f"{type(error).__name__}: {error}", text))
        except OSError:
            pass
    finally:
        for env in envs.values():
            env.close()


def _serve(pipe: Connection, views: dict[str, np.ndarray], worker: int, envs: dict[int, Any], parent: int) -> None:
    """Answer requests until the parent is gone; a pipe that it has closed raises."""
    while True:
        while not pipe.poll(PARENT_CHECK_S):
            if os.getppid() != parent:  # somebody else may hold a copy of the pipe's other end
                return
        verb, arguments = pipe.recv()
        reply = {}
        for index, env in envs.items():
            if verb != "step" and index not in arguments:
                continue
            views["at"][worker] = index  # read by the parent should this process die
            reply[index] = _VERBS[verb](env, index, views, arguments)
        views["at"][worker] = -1
        pipe.send(("done", reply))


def _about(env: Any) -> tuple[str, int, int, str]:
    """What an environment says of itself."""
    return env.metric, env.action_repeat, env.max_steps, env.render_mode


def _step(env: Any, index: int, views: dict[str, np.ndarray], arguments: Any) -> dict[str, Any]:
    observation, reward, terminated, truncated, info = env.step(views["action"][index].copy())
    views["reward"][index], views["terminated"][index], views["truncated"][index] = reward, terminated, truncated
    if terminated or truncated:
        _write(views, "final", index, observation)
        final = info
        observation, info = env.reset(seed=int(views["next_seed"][index]))
        info = {**info, "final_info": final}
    _write(views, "obs", index, observation)
    return info


def _reset(env: Any, index: int, views: dict[str, np.ndarray], arguments: Any) -> dict[str, Any]:
    seed, options = arguments[index]
    observation, info = env.reset(seed=seed, options=options)
    _write(views, "obs", index, observation)
    return info


def _state(env: Any, index: int, views: dict[str, np.ndarray], arguments: Any) -> dict[str, Any]:
    return env.state_dict()


def _load(env: Any, index: int, views: dict[str, np.ndarray], arguments: Any) -> None:
    env.load_state_dict(arguments[index])


def _recording(env: Any, index: int, views: dict[str, np.ndarray], arguments: Any) -> dict[str, Any]:
    return env.recording


def _render(env: Any, index: int, views: dict[str, np.ndarray], arguments: Any) -> np.ndarray:
    return env.render()


def _write(views: dict[str, np.ndarray], group: str, index: int, observation: dict[str, np.ndarray]) -> None:
    for name, value in observation.items():
        views[f"{group}/{name}"][index] = value


_VERBS = {
    "step": _step, "reset": _reset, "state": _state, "load": _load, "recording": _recording, "render": _render,
}  # fmt: skip
