"""The nodes of a running policy as processes, whose lines are read while they run."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress

HELD = re.compile(r"\[(policy|arbiter)\]: (?:holding \((\w+)\)|(\w+)):")


class NodeProcess:
    """A module run as ``python -m``; ``heard`` is told each rule that its log names, with the time of its line."""

    def __init__(self, name: str, arguments: list[str], heard: Callable[[str, str, float], None]) -> None:
        self.name, self.lines = name, list[str]()
        self._heard = heard
        self.process = subprocess.Popen(
            [sys.executable, "-m", *arguments],
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
                self.freeze(True)
                time.sleep(asleep_s)
                self.freeze(False)
                time.sleep(awake_s)

        threading.Thread(target=run, daemon=True).start()

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
