"""The keyboard of a terminal as an operator's device: works over SSH, and hears nothing but its own terminal.

A terminal says which key was typed and never that it was let go. So a key counts for ``HELD_S``, and one that is kept
down repeats: the first touch moves for that long, then, after the pause of the keyboard's own repeat, the motion goes
on until the key is let go.
"""

from __future__ import annotations

import itertools
import math
import os
import select
import sys
import termios
import threading
import time
import tty
from typing import Any

from hardware.teleop.desk import CLEAR, COMMAND, DISCARD, FAILURE, RESET, STOP, SUCCESS, Desk
from hardware.teleop.input import SLOWEST, Input
from robot.arbiter.modes import POLICY
from robot.errors import PixelarmError

HELD_S = 0.15
PERIOD_S = 0.02
AGAIN_S = 0.7  # of the gripper's key, which a keyboard repeats sooner
ESCAPE_S = 0.03  # in which the rest of an arrow's code follows
MOTIONS: dict[str, tuple[tuple[float, float, float], tuple[float, float, float]]] = {  # key -> linear, angular
    "w": ((1, 0, 0), (0, 0, 0)), "s": ((-1, 0, 0), (0, 0, 0)),
    "a": ((0, 1, 0), (0, 0, 0)), "d": ((0, -1, 0), (0, 0, 0)),
    "e": ((0, 0, 1), (0, 0, 0)), "q": ((0, 0, -1), (0, 0, 0)),
    "\x1b[D": ((0, 0, 0), (0, 0, 1)), "\x1b[C": ((0, 0, 0), (0, 0, -1)),
    "\x1b[A": ((0, 0, 0), (0, -1, 0)), "\x1b[B": ((0, 0, 0), (0, 1, 0)),
    "z": ((0, 0, 0), (-1, 0, 0)), "x": ((0, 0, 0), (1, 0, 0)),
}  # fmt: skip
ORDER_KEYS = {
    "c": COMMAND, "f": CLEAR, "r": RESET, "\x1b": STOP, ".": STOP, "1": SUCCESS, "2": FAILURE, "3": DISCARD,
    "p": POLICY,
}  # fmt: skip
HELP = (
    "keep a key down to move: w s a d e q (ahead, back, left, right, up, down), arrows and z x (turn)\n"
    "space gripper, + - speed; c command, f clear a fault, r reset, Esc stop; Ctrl-C ends\n"
    "where episodes are recorded: 1 success, 2 failure, 3 discard; with --policy-too: p gives command to the policy"
)


class Keys:
    """What was typed, as an input. ``put`` what came, then ask what is ``wanted``; times in s."""

    def __init__(self, gripper: float = -1.0) -> None:
        self.gripper: float | None = None
        self._before, self._space_s = gripper, -math.inf
        self.scale = 0.6
        self._key, self._typed_s = "", -math.inf

    def put(self, typed: str, now_s: float) -> list[str]:
        """The orders that were typed."""
        orders = []
        for key in _split(typed):
            key = key.lower() if len(key) == 1 else key
            if key in ORDER_KEYS:
                self._key = ""
                orders.append(ORDER_KEYS[key])
            elif key in ("+", "-"):
                self.scale = round(min(1.0, max(SLOWEST, self.scale + (0.1 if key == "+" else -0.1))), 1)
            elif key == " " or key in MOTIONS:
                if key == " ":
                    self._on_space(now_s)
                self._key, self._typed_s = key, now_s
        return orders

    def forget(self) -> None:
        """Of a scene that was set up anew: its fingers are open, and nothing was said of them."""
        self.gripper, self._before = None, -1.0

    def _on_space(self, now_s: float) -> None:
        if now_s - self._space_s > AGAIN_S:
            self.gripper = -1.0 if (self._before if self.gripper is None else self.gripper) > 0 else 1.0
        self._space_s = now_s

    def wanted(self, now_s: float) -> dict[str, Any]:
        """Parts of an ``Input``."""
        held = bool(self._key) and now_s - self._typed_s < HELD_S
        linear, angular = MOTIONS.get(self._key if held else "", ((0, 0, 0), (0, 0, 0)))
        return {"held": held, "linear": linear, "angular": angular, "gripper": self.gripper, "scale": self.scale}


def _split(typed: str) -> list[str]:
    """Keys of what a terminal sent: an arrow is three characters."""
    keys = []
    while typed:
        length = 3 if typed.startswith("\x1b[") and len(typed) >= 3 else 1
        keys.append(typed[:length])
        typed = typed[length:]
    return keys


class Keyboard:
    """Reads the terminal in a thread until ``stop``."""

    def __init__(self, desk: Desk, descriptor: int | None = None) -> None:
        self._desk, self._fd = desk, sys.stdin.fileno() if descriptor is None else descriptor
        if not os.isatty(self._fd):
            raise PixelarmError("the device keyboard needs a terminal: run the command in one, or use --device web")
        self._before = termios.tcgetattr(self._fd)
        self._running = True
        self._thread = threading.Thread(target=self._run, name="keyboard", daemon=True)

    def start(self) -> None:
        tty.setcbreak(self._fd)
        print(HELP, flush=True)
        self._thread.start()

    def stop(self) -> None:
        self._running = False
        self._thread.join(timeout=1.0)
        termios.tcsetattr(self._fd, termios.TCSADRAIN, self._before)
        print(flush=True)

    def _run(self) -> None:
        keys, numbers, shown_s = Keys(self._desk.teleop.gripper), itertools.count(), 0.0
        scene = self._desk.scene
        while self._running:
            typed = self._read(PERIOD_S)
            if typed == "\x1b":
                typed += self._read(ESCAPE_S)
            now_s = time.monotonic()
            if scene != self._desk.scene:
                scene = self._desk.scene
                keys.forget()
            for order in keys.put(typed, now_s):
                if order in self._desk.orders:
                    self._desk.order(order)
            self._desk.receiver.put(Input(sequence=next(numbers), sent_ms=now_s * 1e3, **keys.wanted(now_s)))
            if now_s - shown_s > 0.2:
                shown_s = now_s
                print(f"\r\x1b[K{line(self._desk.report())}", end="", flush=True)

    def _read(self, seconds: float) -> str:
        ready, _, _ = select.select([self._fd], [], [], seconds)
        return os.read(self._fd, 256).decode("ascii", "ignore") if ready else ""


def line(report: dict[str, Any]) -> str:
    """A report in one line of a terminal."""
    arbiter, measured = report["arbiter"], report["measured"]
    where = "somewhere" if measured is None else ", ".join(f"{v:.3f}" for v in measured)
    hand = "holding" if report["pressed"] else report["words"]
    troubles = (report.get("recording") or {}).get("troubles", [])
    said = f" | LOOK: {troubles[0]}" if troubles else f" | {report['said'][-1]}" if report["said"] else ""
    return f"{arbiter['mode'] if arbiter else 'no arbiter'} | {where} m | {hand}{said}"[:150]
