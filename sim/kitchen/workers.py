"""The same work on many jobs, in this process or in several."""

from __future__ import annotations

import multiprocessing
import os
import traceback
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

from robot.errors import PixelarmError
from sim.envs.processes import how_it_ended, shut_down, start_worker

Job = TypeVar("Job")
Result = TypeVar("Result")


def work(make: Callable[[], Callable[[Job], Result]], jobs: Iterable[Job], workers: int) -> Iterator[Result]:
    """The results of ``make()(job)`` for all jobs, in the order in which they are ready.

    Args:
        make: called once in each process; it must be importable there.
        workers: processes; with 1, the work is done in this one.

    Raises:
        PixelarmError: what a job raised, or that a process has ended.
    """
    waiting = list(jobs)
    if workers == 1 or len(waiting) <= 1:
        if waiting:
            yield from map(make(), waiting)
        return
    pipes: list[Connection] = []
    processes: list[BaseProcess] = []
    try:
        for _ in range(min(workers, len(waiting))):
            _start(make, pipes, processes)
        yield from _hand_out(waiting, pipes, processes)
    finally:
        shut_down(os.getpid(), pipes, processes)


def _start(make: Callable[[], Any], pipes: list[Connection], processes: list[BaseProcess]) -> None:
    """Spawned, as ``sim.envs.vector`` explains; a worker that loses its pipe leaves."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, make), daemon=True)
    start_worker(process)
    theirs.close()
    pipes.append(ours)
    processes.append(process)


def _hand_out(waiting: list[Any], pipes: list[Connection], processes: list[BaseProcess]) -> Iterator[Any]:
    open_jobs = 0
    queue = iter(waiting)
    for pipe, job in zip(pipes, queue):
        pipe.send(job)
        open_jobs += 1
    while open_jobs:
        for ready in wait(pipes):
            pipe = next(each for each in pipes if each is ready)
            try:
                good, result = pipe.recv()
            except (EOFError, ConnectionError):
                ended = how_it_ended(processes[pipes.index(pipe)])
                raise PixelarmError(f"a worker process {ended}; what was finished is kept, repeat to go on") from None
            if not good:
                raise PixelarmError(result)
            open_jobs -= 1
            following = next(queue, None)
            if following is not None:
                pipe.send(following)
                open_jobs += 1
            yield result


def _serve(pipe: Connection, make: Callable[[], Callable[[Any], Any]]) -> None:
    """A worker: one job after the other until nobody is left to ask."""
    try:
        do = make()
        while True:
            pipe.send((True, do(pipe.recv())))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return
    except PixelarmError as error:
        pipe.send((False, str(error)))
    except Exception:
        pipe.send((False, f"a worker process failed; this is a bug:\n{traceback.format_exc()}"))
