"""Inputs of an operator as a file, one JSON object a line, and a device that plays them again.

Each line holds ``at_s``, seconds from the first, and the fields of ``hardware.teleop.input.Input`` but its sequence and
time, or an ``order`` of ``hardware.teleop.desk``. Played inputs go the way of every device's: through the receiver, the
mapping and the arbiter. They are velocities, so the arm follows them from wherever it stands.
"""

from __future__ import annotations

import dataclasses
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from hardware.teleop.desk import ORDERS, OUTCOMES, POLICY_ORDER, Desk
from hardware.teleop.input import SILENCE_S, Input, parse, read
from robot.arbiter.modes import COMMANDED_BY, TELEOP
from robot.errors import PixelarmError

KNOWN = (*ORDERS, *POLICY_ORDER, *OUTCOMES)
PATIENCE_S = 60.0  # of a replay, for the arm and the arbiter


class Log:
    """Writes each accepted input and each order, as they come; ``close`` it."""

    def __init__(self, path: Path, steady: Callable[[], float] = time.monotonic) -> None:
        self._file: IO[str] = path.open("w")
        self._steady, self._first_s, self._lock = steady, -1.0, threading.Lock()

    def put(self, given: Input) -> None:
        parts = dataclasses.asdict(given)
        del parts["sequence"], parts["sent_ms"]
        self._write(parts)

    def put_order(self, name: str) -> None:
        self._write({"order": name})

    def _write(self, parts: dict[str, Any]) -> None:
        with self._lock:  # inputs and orders may come from two threads
            now_s = self._steady()
            self._first_s = now_s if self._first_s < 0 else self._first_s
            self._file.write(json.dumps({"at_s": round(now_s - self._first_s, 4), **parts}) + "\n")

    def close(self) -> None:
        self._file.close()


def read_log(path: Path) -> list[tuple[float, dict[str, Any]]]:
    """``(at_s, parts of an input, or an order)`` of each line; raises PixelarmError naming the line that is none."""
    try:
        lines = path.read_text().splitlines()
    except OSError as error:
        raise PixelarmError(f"the inputs of {path} cannot be read: {error.strerror}") from error
    found: list[tuple[float, dict[str, Any]]] = []
    for number, text in enumerate(lines, 1):
        try:
            message = read(text)
            at_s = message.pop("at_s", None)
            if not isinstance(at_s, int | float) or isinstance(at_s, bool) or at_s < (found[-1][0] if found else 0):
                raise PixelarmError("at_s must be seconds, and not before those of the line above")
            if "order" not in message:
                parse({**message, "sequence": number, "sent_ms": 0})
            elif set(message) != {"order"} or message["order"] not in KNOWN:
                raise PixelarmError(f"the orders are {', '.join(KNOWN)}, and one has a line of its own")
        except PixelarmError as error:
            raise PixelarmError(f"{path}, line {number}: {error}") from error
        found.append((float(at_s), message))
    if not found:
        raise PixelarmError(f"{path} holds no inputs")
    return found


class Replay:
    """Plays inputs in a thread once the operator has command, then calls ``ended``; ``stop`` ends it sooner."""

    def __init__(self, desk: Desk, inputs: list[tuple[float, dict[str, Any]]], ended: Callable[[], None]) -> None:
        self._desk, self._inputs, self._ended, self._sequence = desk, inputs, ended, 0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="replay", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        if self._thread is not threading.current_thread():
            self._thread.join(timeout=1.0)

    def _run(self) -> None:
        if self._ready():
            start_s = time.monotonic()
            for at_s, parts in self._inputs:
                if self._stopped.wait(max(0.0, start_s + at_s - time.monotonic())):
                    break
                self._play(parts)
        self._put({"held": False})
        self._stopped.wait(2 * SILENCE_S)  # the release reaches the arbiter before this ends
        self._ended()

    def _ready(self) -> bool:
        """Wait until a press would move the arm."""
        end = time.monotonic() + PATIENCE_S
        while not self._stopped.wait(0.05):
            self._put({"held": False})
            report = self._desk.report()
            mode = (report["arbiter"] or {}).get("mode", "")
            if report["measured"] is not None and COMMANDED_BY.get(mode) == TELEOP:
                return True
            if time.monotonic() > end:
                self._desk.say(f"the operator did not get command in {PATIENCE_S:g} s: {report['words']}")
                return False
        return False

    def _play(self, parts: dict[str, Any]) -> None:
        name = parts.get("order")
        if name is None:
            self._put(parts)
        elif name in self._desk.orders:
            self._desk.order(name)
        else:
            self._desk.say(f"{name}: there is no such order without --record, or --policy-too")

    def _put(self, parts: dict[str, Any]) -> None:
        self._sequence += 1
        self._desk.receiver.put(parse({**parts, "sequence": self._sequence, "sent_ms": time.monotonic() * 1e3}))
