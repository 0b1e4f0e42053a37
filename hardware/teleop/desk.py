"""What an operator has before them: the arm, its pictures, and the orders that can be given."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hardware.teleop.teleop import Teleop
from robot.arbiter.modes import POLICY

COMMAND, STOP, CLEAR, RESET = "command", "stop", "clear", "reset"
ORDERS: dict[str, str] = {
    COMMAND: "give command to the operator",
    STOP: "take command from whoever has it: the arm comes to rest and holds",
    CLEAR: "end a fault whose cause is gone",
    RESET: "a new scene of the simulated arm; a real one goes to the start of its profile",
}
POLICY_ORDER = {POLICY: "give command to the policy"}  # where episodes hold what it does

SUCCESS, FAILURE, DISCARD = "success", "failure", "discard"
OUTCOMES: dict[str, str] = {
    SUCCESS: "end the episode and keep it as a demonstration",
    FAILURE: "end the episode and keep it apart, in the folder failures",
    DISCARD: "end the episode and forget it",
}


@dataclass(frozen=True)
class Frame:
    """One picture of a camera."""

    number: int  # of this camera, from 1 on
    jpeg: bytes
    heard_s: float  # steady clock


class Frames:
    """The newest picture of each camera."""

    def __init__(self, names: list[str], steady: Callable[[], float] = time.monotonic) -> None:
        self.names, self._steady = names, steady
        self.newest: dict[str, Frame] = {}
        self.watchers: set[Callable[[], None]] = set()  # of whoever looks: called when a picture came

    def put(self, camera: str, jpeg: bytes) -> None:
        before = self.newest.get(camera)
        self.newest = {**self.newest, camera: Frame(1 + (before.number if before else 0), jpeg, self._steady())}
        for watcher in tuple(self.watchers):
            watcher()

    def ages_ms(self) -> dict[str, float]:
        now_s = self._steady()
        return {name: round((now_s - frame.heard_s) * 1e3, 1) for name, frame in self.newest.items()}


class Desk:
    """One place for devices to look at and to speak to. Any thread may use it.

    Args:
        orders: what can be ordered, name -> what is done, which says nothing: its answer comes later through ``say``.
        setting: plain values that do not change, for whoever shows the desk.
    """

    def __init__(
        self, teleop: Teleop, frames: Frames, orders: Mapping[str, Callable[[], None]], setting: dict[str, Any]
    ) -> None:
        self.teleop, self.frames, self.orders, self.setting = teleop, frames, orders, setting
        self.receiver = teleop.receiver
        self.recording: Callable[[], dict[str, Any] | None] = lambda: None
        self.leave: Callable[[], None] = lambda: None  # ends the program
        self.loop_hz = 0.0
        self.scene = 0  # how often a simulated scene was set up anew: devices forget what they wanted of its gripper
        self.listeners: list[Callable[[str], None]] = []  # hear the orders of an operator
        self.hearers: list[Callable[[str], None]] = []  # hear what an operator is told, each sentence once
        self._said: deque[str] = deque(maxlen=4)
        self._lock = threading.Lock()

    def order(self, name: str) -> None:
        """Carry out one of ``orders``."""
        for listener in self.listeners:
            listener(name)
        if name != COMMAND:
            self.receiver.release()
        self.orders[name]()

    def new_scene(self) -> None:
        """A simulated scene was set up anew."""
        self.scene += 1
        self.teleop.begin_anew()

    def say(self, words: str) -> None:
        """What the operator should know."""
        with self._lock:
            self._said.append(words)
        for hearer in self.hearers:
            hearer(words)

    def report(self) -> dict[str, Any]:
        """Plain values, for a page or a terminal."""
        with self._lock:
            said = list(self._said)
        return {
            **self.teleop.report(),
            "said": said,
            "scene": self.scene,
            "recording": self.recording(),
            "loop_hz": round(self.loop_hz, 1),
            "camera_age_ms": self.frames.ages_ms(),
        }
