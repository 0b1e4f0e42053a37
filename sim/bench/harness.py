"""How ``pixelarm bench`` measures, so that anyone can repeat it: as ratios from one run.

A ratio of two speeds measured at different times mostly shows what else the machine was doing. So both sides live in
processes of their own, pinned to the same core, and are measured in turn (A B A B ...), several rounds of it: each
round gives one ratio, and the table shows their median with the smallest and the largest. Speed is counted per second
of *processor* time of that one core, all threads together, which other programs on the machine disturb less than the
clock on the wall.
"""

from __future__ import annotations

import multiprocessing
import os
import platform
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import Any

from robot.errors import PixelarmError
from robot.files import write_json, write_results
from robot.provenance import git_commit, hardware, versions

ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
PACKAGES = ("pixelarm", "mujoco", "robosuite", "gymnasium", "gymnasium-robotics", "numpy", "numba")
BUSY = 1.2  # wall time over processor time from which the table says that the machine was busy

Unit = Callable[[], object]  # does one of what is counted
Make = Callable[..., Unit]


# ------------------------------------------------------------------------------------------------- one side, in its
# process
@dataclass(frozen=True)
class Sample:
    """One turn of one side."""

    count: int
    cpu_s: float
    wall_s: float

    @property
    def rate(self) -> float:
        """Per second of processor time."""
        return self.count / self.cpu_s


class Subject:
    """What is measured: ``make(**arguments)`` returns a function that does one unit;
    it runs pinned, in a process of its own.
    """

    def __init__(self, make: Make, core: int | None, **arguments: Any) -> None:
        context = multiprocessing.get_context(
            "spawn"
        )  # two OpenGL clients, or a fork of one, do not share a process well
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, core, make, arguments), daemon=True)
        self._process.start()
        theirs.close()
        self._ready = False

    def measure(self, seconds: float, at_least: int = 1) -> Sample:
        """Units for ``seconds`` of wall time, but not fewer than ``at_least``."""
        if not self._ready:
            self._receive()
            self._ready = True
        self._pipe.send((seconds, at_least))
        return Sample(*self._receive())

    def _receive(self) -> Any:
        try:
            word, value = self._pipe.recv()
        except (EOFError, ConnectionResetError) as error:
            self._process.join(5)
            raise PixelarmError(f"a measured process died, exit status {self._process.exitcode}") from error
        if word == "failed":
            raise PixelarmError(f"a measured process failed:\n{value}")
        return value

    def __enter__(self) -> Subject:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pipe.close()
        self._process.join(10)
        self._process.kill()


def _serve(pipe: Connection, core: int | None, make: Make, arguments: dict[str, Any]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        if core is not None and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {core})  # before the first thread of Mesa, which inherits it
        unit = make(**arguments)
        for _ in range(3):
            unit()
        pipe.send(("ready", None))
        while True:
            seconds, at_least = pipe.recv()
            count, wall, cpu = 0, time.perf_counter(), time.process_time()
            while count < at_least or time.perf_counter() - wall < seconds:
                unit()
                count += 1
            pipe.send(("sample", (count, time.process_time() - cpu, time.perf_counter() - wall)))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass
    except Exception:
        pipe.send(("failed", traceback.format_exc()))


# ---------------------------------------------------------------------------------------------------------- both sides
@dataclass
class Row:
    """One line of the table: ours, and perhaps what it is held against, turn by turn."""

    key: str
    what: str
    unit: str  # what is counted: "step", "reset"
    target: float | None = None  # the ratio to reach
    ours: list[Sample] = field(default_factory=list)
    stock: list[Sample] = field(default_factory=list)

    def run(
        self, ours: Subject, stock: Subject | None, rounds: int, seconds: float, tick: Callable[[], object]
    ) -> None:
        """Measure ``rounds`` times in turn, ``seconds`` each; ``tick`` is called after each round."""
        for _ in range(rounds):
            if stock is not None:
                self.stock.append(stock.measure(seconds / rounds))
            self.ours.append(ours.measure(seconds / rounds))
            tick()

    @property
    def ratios(self) -> list[float]:
        return [ours.rate / stock.rate for ours, stock in zip(self.ours, self.stock)]

    @property
    def busy(self) -> float:
        """Wall time over processor time: 1 on a quiet machine."""
        samples = self.ours + self.stock
        return sum(s.wall_s for s in samples) / max(sum(s.cpu_s for s in samples), 1e-9)

    def to_dict(self) -> dict[str, Any]:
        def side(samples: list[Sample]) -> dict[str, Any]:
            return {
                "median_per_cpu_s": median(s.rate for s in samples),
                "per_cpu_s": [s.rate for s in samples],
                "per_wall_s": [s.count / s.wall_s for s in samples],
                "n": sum(s.count for s in samples),
            }

        found: dict[str, Any] = {"key": self.key, "what": self.what, "unit": self.unit, "ours": side(self.ours)}
        if self.stock:
            low, middle, high = min(self.ratios), median(self.ratios), max(self.ratios)
            found["stock"] = side(self.stock)
            found["ratio"] = {"median": middle, "min": low, "max": high, "rounds": self.ratios}
            if self.target is not None:
                found["target"], found["reached"] = self.target, middle >= self.target
        found["wall_over_cpu"] = self.busy
        return found


def table(rows: Sequence[Row], absent: dict[str, str]) -> str:
    """Rows for a terminal: speeds are medians over rounds, the ratio is the median of the rounds' ratios (min..max)."""
    lines = [f"{'':<52}{'stock':>9}{'ours':>9}{'ratio':>8}  {'min..max':<15}{'target':>7}  n stock, ours"]
    for row in rows:
        rate = median(s.rate for s in row.ours)
        stock, ratio, spread, target = "-", "-", "", ""
        counts = f"{sum(s.count for s in row.ours)}"
        if row.stock:
            stock = f"{median(s.rate for s in row.stock):.4g}"
            ratio, spread = f"{median(row.ratios):.3g}x", f"{min(row.ratios):.3g}..{max(row.ratios):.3g}"
            target = "" if row.target is None else f"{row.target:g}x"
            counts = f"{sum(s.count for s in row.stock)}, {counts}"
        lines.append(
            f"{row.what + f', {row.unit}s/s':<52}{stock:>9}{rate:>9.4g}{ratio:>8}  {spread:<15}{target:>7}  {counts}"
        )
    lines += [f"{what:<52}not available: {why}" for what, why in absent.items()]
    busy = [row.what for row in rows if row.busy > BUSY]
    if busy:
        lines.append(f"the machine was busy with something else during: {', '.join(busy)}; trust the ratios less")
    return "\n".join(lines)


# ------------------------------------------------------------------------------------------------------------ around it
def cores() -> list[int]:
    """The cores this process may use."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))


def one_thread() -> None:
    """Numerical libraries of the processes started from now on use one thread each."""
    for name in ONE_THREAD:
        os.environ[name] = "1"


def provenance(command: str) -> dict[str, Any]:
    """Where and with what the numbers were made."""
    return {
        "command": command,
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "git": git_commit(),
        "hardware": {**hardware(), "system": platform.platform()},
        "versions": versions(PACKAGES),
    }


def keep(folder: Path, result: dict[str, Any], picture: str = "", plot: Callable[[], object] = lambda: None) -> None:
    """Write ``bench.json``, and with ``plot`` the file called ``picture``, and say so; the table has been printed by
    then.

    Raises:
        PixelarmError: what could not be written.
    """
    file, drawn = folder / "bench.json", folder / picture
    write_results({file: lambda: write_json(file, result)} | ({drawn: plot} if picture else {}))
    say(f"wrote {file}" + (f" and {drawn}" if picture and drawn.exists() else ""))


def say(message: str) -> None:
    """To stderr, which leaves stdout to the result."""
    print(message, file=sys.stderr, flush=True)
