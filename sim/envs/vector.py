"""Many environments of one task at once, in worker processes that write into memory shared with this one.

    with make_vec("lift", 8, workers=2) as envs:  # sim.envs.make
        observations, _ = envs.reset(seed=0)
        observations, rewards, terminated, truncated, infos = envs.step(actions)  # actions (8, size)

It meets ``sim.envs.interface.VectorEnvironment``, and is a ``gymnasium.vector.VectorEnv`` in gymnasium's same-step
mode: an environment that ends an episode is reset within the same ``step``; the observation returned is the new
episode's first, the old one's last is in ``infos["final_obs"]``.

What environment ``i`` sees depends on ``(seed, i)`` and its actions alone, not on how many workers share the work. Each
episode has a seed of its own (``episode_seeds``), so any one of them can be played again alone:
``TaskEnv.reset(seed=...)`` and the same actions.

Workers are *spawned*, fresh interpreters, never forked: a forked child would inherit Mesa's and torch's threads as dead
memory and an OpenGL context that belongs to another process. A script that makes a ``VectorEnv`` therefore needs the
usual ``if __name__ == "__main__":``.
"""

from __future__ import annotations

import multiprocessing
import os
import weakref
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from time import monotonic
from types import TracebackType
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space

from robot.contract import Contract
from robot.errors import PixelarmError
from sim.envs.processes import how_it_ended, shut_down, start_worker
from sim.envs.shared_memory import Layout
from sim.envs.spaces import action_space, observation_space
from sim.envs.vector_worker import Named, run
from sim.tasks.common.base import Task

Observations = dict[str, np.ndarray]  # name -> (N, ...), images uint8, proprioception float32


class WorkerFailed(PixelarmError):
    """A worker process died, raised, or stopped answering; every worker has been closed."""


def env_seed(seed: int, index: int) -> int:
    """The seed of environment ``index``: unlike ``seed + index``, runs of neighbouring seeds share no environment."""
    return int(np.random.SeedSequence((seed, index)).generate_state(1)[0])


def episode_seed(env_seed: int, episode: int) -> int:
    """The seed of one environment's ``episode``-th episode; the first (0) has the environment's own."""
    return env_seed if episode == 0 else int(np.random.SeedSequence((env_seed, episode)).generate_state(1)[0])


class VectorEnv(gymnasium.vector.VectorEnv):
    """``num_envs`` environments of a task in ``workers`` processes.

    Args:
        task: what each environment is made of; it must be picklable.
        num_envs: how many environments, N.
        workers: how many processes; by default one a core, at most N.
        copy: return fresh arrays; False returns views of the shared memory, overwritten by the next step.
        timeout_s: a worker that is silent for longer counts as hung. Compiling a scene for the first time takes some 30
            s.
        make: what makes an environment in a worker, ``make(task, **env_options)``; by default ``TaskEnv``. It must be
            picklable.
        contract: of those environments, where ``task`` is something that has a name and none.
        env_options: keyword arguments of ``make``.
    """

    def __init__(
        self,
        task: Task | Named,
        num_envs: int,
        workers: int | None = None,
        *,
        copy: bool = True,
        timeout_s: float = 300.0,
        make: Callable[..., Any] | None = None,
        contract: Contract | None = None,
        **env_options: Any,
    ) -> None:
        self.task = task
        self.contract = contract = contract or task.contract  # type: ignore[union-attr]
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        if num_envs < 1 or (workers is not None and workers < 1):
            raise PixelarmError(f"a vector has at least 1 environment and 1 worker, got {num_envs} and {workers}")
        self.num_envs, self.workers = num_envs, min(workers or cores, num_envs)
        self.metadata = {"autoreset_mode": AutoresetMode.SAME_STEP, "render_fps": contract.rate_hz}
        self.single_observation_space, self.single_action_space = observation_space(contract), action_space(contract)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)

        self._copy, self._timeout_s = copy, timeout_s
        self._share = [[int(i) for i in part] for part in np.array_split(np.arange(num_envs), self.workers)]
        self._seeds: list[int] = []  # of each environment's first episode; empty before the first reset
        self._episodes, self._steps = np.zeros(num_envs, int), np.zeros(num_envs, int)
        self._last_action: list[np.ndarray | None] = [None] * num_envs
        self._pending = ""  # the verb that workers are busy with
        self._pipes: list[Connection] = []
        self._processes: list[BaseProcess] = []
        self._finalizer = weakref.finalize(self, shut_down, os.getpid(), self._pipes, self._processes)
        try:
            self._start_workers(make, env_options)
            self._pending = "start"
            about = self._collect()[0]
        except BaseException:
            self.close()
            raise
        self.metric, self.action_repeat, self.max_steps, self.render_mode = about

    def _start_workers(self, make: Callable[..., Any] | None, env_options: dict[str, Any]) -> None:
        context = multiprocessing.get_context("spawn")
        layout = Layout.of(self.contract, self.num_envs, self.workers)
        memory = context.RawArray("B", layout.size)
        self._views = layout.views(memory)
        self._views["at"][:] = -1
        for worker, indices in enumerate(self._share):
            ours, theirs = context.Pipe()
            self._pipes.append(ours)
            process = context.Process(
                target=run,
                args=(theirs, memory, layout, worker, indices, self.task, make, env_options, os.getpid()),
                name=f"pixelarm-worker-{worker}",
                daemon=True,
            )
            try:
                start_worker(process)
            finally:
                theirs.close()  # or this process would keep a dead worker's end open and never see it end
            self._processes.append(process)

    @property
    def recording(self) -> dict[str, Any]:
        return self._call("recording", [None] * self.num_envs)[0]

    # ----------------------------------------------------------------- episodes
    def reset(
        self, *, seed: int | Sequence[int] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observations, dict[str, Any]]:
        """New episodes everywhere.

        Args:
            seed: of the whole vector (environment ``i`` gets ``env_seed(seed, i)``), or one for each environment; None
                goes on with the next episodes of the streams there are, and draws fresh ones the first time.
            options: handed to every environment's ``reset``.
        """
        self._require_idle("reset")
        if seed is None and self._seeds:
            self._episodes += 1
        else:
            if seed is None:
                seed = int(np.random.SeedSequence().generate_state(1)[0])
            if isinstance(seed, (int, np.integer)):
                seed = [env_seed(int(seed), i) for i in range(self.num_envs)]
            if len(seed) != self.num_envs:
                raise PixelarmError(f"{self.num_envs} environments need as many seeds, got {len(seed)}")
            self._seeds = [int(one) for one in seed]
            self._episodes[:] = 0
        self._steps[:] = 0
        self._last_action = [None] * self.num_envs
        self._announce_seeds()
        infos = self._call("reset", [(one, options) for one in self.episode_seeds])
        return self._observations("obs"), self._merged(infos)

    @property
    def episode_seeds(self) -> list[int]:
        """The seed of the episode that each environment is in."""
        return [episode_seed(one, int(k)) for one, k in zip(self._seeds, self._episodes)]

    def _announce_seeds(self) -> None:
        """Tell the workers which seeds the next automatic resets have."""
        for i, one in enumerate(self._seeds):
            self._views["next_seed"][i] = episode_seed(one, int(self._episodes[i]) + 1)

    def step(self, actions: np.ndarray) -> tuple[Observations, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """One control step of every environment with ``actions`` ``(N, size)``, float32 in the contract's units.

        Returns observations, rewards ``(N,)`` float32, terminated and truncated ``(N,)`` bool, and infos.
        """
        self.step_async(actions)
        return self.step_wait()

    def step_async(self, actions: np.ndarray) -> None:
        """Start a step; the caller may do something else until ``step_wait``."""
        actions = np.asarray(actions, np.float32)
        expected = self._views["action"].shape
        if actions.shape != expected or not np.all(np.isfinite(actions)):
            raise ValueError(
                f"actions are {expected} finite numbers {self.contract.action.names}, got {actions.shape}"
                + (
                    ""
                    if actions.shape != expected
                    else f" with {np.argwhere(~np.isfinite(actions)).tolist()} not finite"
                )
            )
        if not self._seeds:
            raise PixelarmError("reset the environments before the first step")
        self._require_idle("step")
        self._views["action"][:] = actions
        self._steps += 1
        self._last_action = list(actions.copy())
        self._send("step", None)

    def step_wait(self) -> tuple[Observations, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """The results of the step that ``step_async`` started."""
        if self._pending != "step":
            raise PixelarmError("step_wait without step_async")
        infos = self._collect()
        rewards, terminated, truncated = (self._views[name].copy() for name in ("reward", "terminated", "truncated"))
        ended = terminated | truncated
        self._episodes[ended] += 1
        self._steps[ended] = 0
        if ended.any():
            self._announce_seeds()
        for i in np.flatnonzero(ended):
            infos[i]["final_obs"] = {name: view[i].copy() for name, view in self._group("final").items()}
        return self._observations("obs"), rewards, terminated, truncated, self._merged(infos)

    def render(self) -> tuple[np.ndarray, ...]:
        frames = self._call("render", [None] * self.num_envs)
        return tuple(frames[i] for i in range(self.num_envs))

    # ------------------------------------------------------------------- resume
    def state_dict(self) -> dict[str, Any]:
        """Everything that decides the future of every environment; the number of workers is not part of it."""
        states = self._call("state", [None] * self.num_envs)
        return {
            "envs": [states[i] for i in range(self.num_envs)],
            "seeds": list(self._seeds),
            "episodes": self._episodes.tolist(),
            "steps": self._steps.tolist(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where ``state_dict`` was taken."""
        if len(state["envs"]) != self.num_envs:
            raise PixelarmError(f"a state of {len(state['envs'])} environments does not fit {self.num_envs}")
        self._call("load", list(state["envs"]))
        self._seeds = list(state["seeds"])
        self._episodes[:], self._steps[:] = state["episodes"], state["steps"]
        self._announce_seeds()

    # ------------------------------------------------------------------ workers
    def _call(self, verb: str, arguments: list[Any]) -> dict[int, Any]:
        self._require_idle(verb)
        self._send(verb, arguments)
        return self._collect()

    def _require_idle(self, verb: str) -> None:
        if not self._finalizer.alive:
            raise PixelarmError(f"{verb}: these environments are closed")
        if self._pending:
            raise PixelarmError(f"{verb}: the workers are still busy with {self._pending!r}; finish that first")

    def _send(self, verb: str, arguments: list[Any] | None) -> None:
        self._pending = verb
        for pipe, indices in zip(self._pipes, self._share):
            try:
                pipe.send((verb, None if arguments is None else {i: arguments[i] for i in indices}))
            except (BrokenPipeError, ConnectionResetError):
                pass  # dead: _collect will say so

    def _collect(self) -> dict[int, Any]:
        """One reply of each worker, merged: environment -> what it said."""
        replies: dict[int, Any] = {}
        waiting = {pipe: worker for worker, pipe in enumerate(self._pipes)}
        until = monotonic() + self._timeout_s
        while waiting:
            ready = wait(list(waiting), timeout=max(0.0, until - monotonic()))
            if not ready:
                self._fail(next(iter(waiting.values())), f"gave no answer for {self._timeout_s:g} s")
            for pipe in ready:
                assert isinstance(pipe, Connection)
                worker = waiting.pop(pipe)
                try:
                    word, *rest = pipe.recv()
                except (EOFError, ConnectionResetError):
                    self._fail(worker, how_it_ended(self._processes[worker]))
                if word == "failed":
                    self._fail(worker, f"raised {rest[0]}", rest[1])
                replies.update(rest[0])
        self._pending = ""
        return replies

    def _fail(self, worker: int, how: str, trace: str = "") -> None:
        """Close everything and say which environment it was, and how to see it again."""
        index, verb = int(self._views["at"][worker]), self._pending
        share = self._share[worker]
        if index < 0:
            index, where = share[0], f"between environments {share[0]} to {share[-1]}"
        else:
            where = f"in environment {index}"
        action, seeds = self._last_action[index], self.episode_seeds
        self.close()
        raise WorkerFailed(
            f"worker {worker} of {self.workers} {how} during {verb!r} {where} of task {self.task.name!r}: "
            f"seed {seeds[index] if seeds else 'not drawn yet'}, step {self._steps[index]} of the episode, "
            f"last action {'none' if action is None else action.tolist()}; all workers have been closed"
            + (f"\n{trace}" if trace else "")
        )

    # ------------------------------------------------------------------ results
    def _group(self, group: str) -> Observations:
        return {name: self._views[f"{group}/{name}"] for name in self.single_observation_space.spaces}

    def _observations(self, group: str) -> Observations:
        return {name: view.copy() if self._copy else view for name, view in self._group(group).items()}

    def _merged(self, infos: dict[int, dict[str, Any]]) -> dict[str, Any]:
        """gymnasium's form: each key an ``(N,)`` array, and ``_key`` the mask of those that have it."""
        merged: dict[str, Any] = {}
        for i in range(self.num_envs):
            merged = self._add_info(merged, infos[i], i)
        return merged

    # -------------------------------------------------------------------- close
    def close_extras(self, **kwargs: Any) -> None:
        self._finalizer()

    def __enter__(self) -> VectorEnv:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
