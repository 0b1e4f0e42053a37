"""What a worker process of ``sim.envs.vector`` does, and the shared memory it does it in.

Numbers travel through one block of memory that both sides see; the pipe carries only words ("step", "done") and the small
dictionaries of ``info``. The block has no name: the standard library makes it in ``/dev/shm``, removes the name at once and hands
the open file to the children, so nothing can stay behind there, not even when every process is killed at the same instant
(a named block needs somebody who lives on to remove it).
"""

from __future__ import annotations

import os
import signal
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, Protocol

import numpy as np

from robot.contract import Contract
from robot.errors import PixelarmError
from sim.tasks.base import Task

ALIGNMENT = 64  # bytes; a cache line, so that two workers never write to the same one
PARENT_CHECK_S = 5.0  # how often an idle worker looks whether its parent still lives, beside the pipe's own end


class Named(Protocol):
    """What stands for a task where something else than ``TaskEnv`` makes its environments."""

    name: str


@dataclass(frozen=True)
class Layout:
    """Where each array lies in the shared block: name -> (offset in bytes, shape, dtype). Rows are environments."""

    arrays: dict[str, tuple[int, tuple[int, ...], str]]
    size: int  # bytes

    @staticmethod
    def of(contract: Contract, envs: int, workers: int) -> Layout:
        """Observations and final observations ``(envs, ...)``, actions, rewards, flags, and each worker's place of work."""
        wanted: list[tuple[str, tuple[int, ...], str]] = []
        for group in ("obs", "final"):
            wanted += [(f"{group}/{c.name}", (envs, *c.shape), "uint8") for c in contract.cameras]
            wanted += [(f"{group}/{p.name}", (envs, p.size), "float32") for p in contract.proprio]
        wanted += [("action", (envs, contract.action.size), "float32"), ("reward", (envs,), "float32")]
        wanted += [("terminated", (envs,), "bool"), ("truncated", (envs,), "bool"), ("next_seed", (envs,), "int64")]
        return Layout.pack([*wanted, ("at", (workers,), "int64")])

    @staticmethod
    def pack(wanted: list[tuple[str, tuple[int, ...], str]]) -> Layout:
        """Arrays of these names, shapes and dtypes, one after the other."""
        arrays, end = {}, 0
        for name, shape, dtype in wanted:
            arrays[name] = (end, shape, dtype)
            end += -(-int(np.prod(shape)) * np.dtype(dtype).itemsize // ALIGNMENT) * ALIGNMENT
        return Layout(arrays, end)

    def views(self, memory: Any) -> dict[str, np.ndarray]:
        """The arrays, by name, as views of ``memory`` (a ctypes array of bytes)."""
        raw = np.frombuffer(memory, np.uint8)
        return {
            name: raw[start : start + int(np.prod(shape)) * np.dtype(dtype).itemsize].view(dtype).reshape(shape)
            for name, (start, shape, dtype) in self.arrays.items()
        }


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
        pipe.send(("done", {}))
        while True:
            while not pipe.poll(PARENT_CHECK_S):
                if os.getppid() != parent:  # somebody else may hold a copy of the pipe's other end
                    return
            verb, arguments = pipe.recv()
            reply = {}
            for index in indices:
                if verb != "step" and index not in arguments:
                    continue
                at[worker] = index  # read by the parent should this process die
                reply[index] = _VERBS[verb](envs[index], index, views, arguments)
            at[worker] = -1
            pipe.send(("done", reply))
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


def _write(views: dict[str, np.ndarray], group: str, index: int, observation: dict[str, np.ndarray]) -> None:
    for name, value in observation.items():
        views[f"{group}/{name}"][index] = value


_VERBS = {"step": _step, "reset": _reset, "state": _state, "load": _load}
