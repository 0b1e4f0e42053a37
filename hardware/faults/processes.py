"""The nodes of a running policy as processes, whose lines are read while they run, and a load beside them."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from robot.commands.latency import BUSY

HELD = re.compile(r"\[(policy|arbiter)\]: (?:holding \((\w+)\)|(\w+)):")


class NodeProcess:
    """A module run as ``python -m``, which ends when this process is gone.

    ``heard`` is told each rule that its log names, with the time of its line.
    """

    def __init__(self, name: str, arguments: list[str], heard: Callable[[str, str, float], None]) -> None:
        self.name, self.lines = name, list[str]()
        self.naps: list[float] = []  # when each sleep of ``stutter`` began, s of time.monotonic
        self._heard = heard
        self.process = subprocess.Popen(
            [sys.executable, "-m", *arguments, "--end-with-parent"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        self._busy = threading.Event()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            now = time.monotonic()
            self.lines.append(line.rstrip())
            if found := HELD.search(line):
                self._heard(found[1], found[2] or found[3], now)

    def freeze(self, on: bool) -> None:
        with suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGSTOP if on else signal.SIGCONT)

    def stutter(self, on: bool, asleep_s: float = 0.3, awake_s: float = 0.1) -> None:
        """Sleep most of the time, as on a machine that swaps."""
        if not on:
            self._busy.clear()
            self.freeze(False)
            return
        self._busy.set()

        def run() -> None:
            while self._busy.is_set():
                self.naps.append(time.monotonic())
                self.freeze(True)
                time.sleep(asleep_s)
                self.freeze(False)
                time.sleep(awake_s)

        threading.Thread(target=run, daemon=True).start()

    def order(self, words: str) -> None:
        """A line for its standard input."""
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):
            self.process.stdin.write(words + "\n")
            self.process.stdin.flush()

    def children(self, module: str) -> list[int]:
        """Ids of the processes that it started with ``python -m MODULE``."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):  # it has ended
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                if parent == self.process.pid and module in (entry / "cmdline").read_text().split("\0"):
                    found.append(int(entry.name))
        return found

    def kill(self) -> None:
        self.process.kill()

    def end(self) -> None:
        self._busy.clear()
        self.freeze(False)
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=5.0)
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Load:
    """Processes that keep a core busy each, until ``run(0)`` or until this process is gone."""

    def __init__(self) -> None:
        self._loops: list[subprocess.Popen[bytes]] = []

    def run(self, loops: int) -> None:
        """So many of them from now on."""
        for process in self._loops:
            process.kill()
            process.wait()
        self._loops = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(loops)]


@contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """SIGTERM raises SystemExit in the main thread, so that what was started is ended first; a second one changes
    nothing."""

    def end(*_: Any) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise SystemExit(128 + signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
