"""Worker processes that leave with their parent, and say how they ended."""

from __future__ import annotations

import os
import signal
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

GOODBYE_S = 5.0  # how long a worker may take to leave before it is made to


def start_worker(process: BaseProcess) -> None:
    """Start a process that leaves Ctrl-C to its parent: a terminal sends it to the whole group,
    and this one inherits a mask.
    """
    resource_tracker.ensure_running()  # before the mask, which starting it would undo
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def how_it_ended(process: BaseProcess) -> str:
    """In words, of a process that has ended or is about to."""
    process.join(GOODBYE_S)
    code = process.exitcode
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        return f"was killed by {name}" + (" (did the memory run out?)" if name == "SIGKILL" else "")
    return f"ended with exit status {code}"


def shut_down(owner: int, pipes: list[Connection], processes: list[BaseProcess]) -> None:
    """End every worker of process ``owner``: closing the pipe asks, SIGTERM insists, SIGKILL makes sure."""
    if os.getpid() != owner:
        return  # a forked child of ours ends: the workers are not its own
    for pipe in pipes:
        pipe.close()
    for process in processes:
        process.join(GOODBYE_S)
        for insist in (process.terminate, process.kill):
            if process.is_alive():
                insist()
                process.join(GOODBYE_S)
        process.close()
