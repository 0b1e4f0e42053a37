"""What an operator's device says: the same few numbers from a page, a terminal or a file, and how long they count.

An ``Input`` is a velocity in a frame that the operator chose, or how far a target was dragged, and whether the device
is held. A device must say that it is held at 20 Hz or more: after ``LATE_S`` of silence a motion waits for it, after
``SILENCE_S`` it has let go. Of inputs that pile up on the way the newest counts, and one that was on its way for
longer than ``SILENCE_S`` does not.
"""

from __future__ import annotations

import json
import math
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from robot.arbiter.sources import Deadman
from robot.errors import PixelarmError

SILENCE_S = 0.15
LATE_S = 0.08  # from there on a motion waits: a message of 20 Hz is 30 ms late
BASE, FACING, TOOL = "base", "facing", "tool"
FRAMES: dict[str, str] = {
    BASE: "of the arm's base: seen from behind the arm, forward is away",
    FACING: "of somebody who faces the arm: the base's, turned by half a turn about the vertical",
    TOOL: "of the hand",
}
SLOWEST, FURTHEST_M = 0.2, 1.0  # of scale and drag
NOTHING = (0.0, 0.0, 0.0)
DRIFT = 1e-3  # s per s, by which the clocks of a device and of this machine may differ


@dataclass(frozen=True)
class Input:
    """One message of a device."""

    held: bool  # the operator holds the device: without it nothing moves
    sequence: int  # counts up
    sent_ms: float  # on the device's own clock
    linear: tuple[float, float, float] = NOTHING  # shares of the greatest speed, -1 to 1
    angular: tuple[float, float, float] = NOTHING  # likewise, about the three axes
    drag: tuple[float, float, float] | None = None  # m, of a target from where the press began; then linear is 0
    gripper: float | None = None  # -1 opens, +1 closes; None: as before
    frame: str = BASE  # one of FRAMES
    scale: float = 1.0  # of the speeds, SLOWEST to 1


# --------------------------------------------------------------------------------------------------------- messages
def read(text: str) -> dict[str, Any]:
    """The JSON object of a message; raises PixelarmError for anything else, for nan, and for a key that comes twice."""

    def refuse(word: str) -> Any:
        raise PixelarmError(f"{word} is no number")

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({key for key, _ in pairs}) != len(pairs):
            raise PixelarmError("a key comes twice")
        return dict(pairs)

    try:
        found = json.loads(text, parse_constant=refuse, object_pairs_hook=once)
    except (ValueError, RecursionError) as error:
        raise PixelarmError(f"a message must be JSON: {error}") from error
    if not isinstance(found, dict):
        raise PixelarmError("a message must be a JSON object")
    return found


def parse(message: dict[str, Any]) -> Input:
    """The input of a message without its key ``type``; raises PixelarmError for what is unknown or out of range."""
    unknown = message.keys() - Input.__dataclass_fields__.keys()
    missing = {"held", "sequence", "sent_ms"} - message.keys()
    if unknown or missing:
        words = [f"an input has no {name}" for name in sorted(unknown)] + [
            f"{name} is missing" for name in sorted(missing)
        ]
        raise PixelarmError("; ".join(words))
    if not isinstance(message["held"], bool):
        raise PixelarmError("held must be true or false")
    frame = message.get("frame", BASE)
    if not isinstance(frame, str) or frame not in FRAMES:
        raise PixelarmError(f"frame must be one of {', '.join(FRAMES)}")
    if not isinstance(message["sequence"], int):
        raise PixelarmError("sequence must be a whole number")
    drag, gripper = message.get("drag"), message.get("gripper")
    made = Input(
        held=message["held"],
        sequence=int(_number("sequence", message["sequence"], 0, 2**53)),
        sent_ms=_number("sent_ms", message["sent_ms"], 0, 1e12),
        linear=_three("linear", message.get("linear", NOTHING), 1.0),
        angular=_three("angular", message.get("angular", NOTHING), 1.0),
        drag=None if drag is None else _three("drag", drag, FURTHEST_M),
        gripper=None if gripper is None else _number("gripper", gripper, -1.0, 1.0),
        frame=frame,
        scale=_number("scale", message.get("scale", 1.0), SLOWEST, 1.0),
    )
    if made.drag is not None and any(made.linear):
        raise PixelarmError("a target is dragged or driven, not both: give drag or linear")
    return made


def _number(name: str, value: Any, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise PixelarmError(f"{name} must be a number")
    if not (isinstance(value, int) or math.isfinite(value)) or not low <= value <= high:
        raise PixelarmError(f"{name} must be {low:g} to {high:g}")
    return float(value)


def _three(name: str, values: Any, most: float) -> tuple[float, float, float]:
    if not isinstance(values, list | tuple) or len(values) != 3:
        raise PixelarmError(f"{name} must be three numbers")
    x, y, z = (_number(name, value, -most, most) for value in values)
    return x, y, z


# ------------------------------------------------------------------------------------------------------------ receiver
class Receiver:
    """The newest input of the one device that drives, and whether it still counts. Any thread may call it.

    A device that begins, or that was silent, must be seen to be let go before it can be held: whoever reconnects with
    a key down moves nothing.
    """

    def __init__(self, steady: Callable[[], float], silence_s: float = SILENCE_S) -> None:
        self._steady, self.silence_s = steady, silence_s
        self.counts: Counter[str] = Counter()  # of inputs: accepted, late, out_of_order
        self.listeners: list[Callable[[Input], None]] = []  # hear what was accepted
        self._lock = threading.Lock()
        self.forget()

    def forget(self) -> None:
        """Another device drives from here on, or none: whatever was held is let go."""
        with self._lock:
            self._newest: Input | None = None
            self._deadman = Deadman(self.silence_s)
            self._sequence, self._heard_s = -1, -math.inf
            self._quickest_s, self._quickest_at_s = math.inf, 0.0

    def put(self, given: Input) -> bool:
        """Whether it was taken. A release is never too late."""
        with self._lock:
            now_s = self._steady()
            if given.sequence <= self._sequence:
                self.counts["out_of_order"] += 1
                return False
            self._sequence = given.sequence
            if self._late_s(given.sent_ms * 1e-3, now_s) > self.silence_s and given.held:
                self.counts["late"] += 1
                return False
            self._deadman.put(given.held, now_s)
            self._newest, self._heard_s = given, now_s
            self.counts["accepted"] += 1
        for listener in self.listeners:
            listener(given)
        return True

    def _late_s(self, sent_s: float, now_s: float) -> float:
        """By how much longer than the quickest one it was on its way; the two clocks start anywhere and may drift."""
        passed_s = now_s - sent_s
        self._quickest_s = min(self._quickest_s + DRIFT * (now_s - self._quickest_at_s), passed_s)
        self._quickest_at_s = now_s
        return passed_s - self._quickest_s

    def release(self) -> None:
        """Let the arm go, until the device says that it is let go and then that it is held."""
        with self._lock:
            self._deadman = Deadman(self.silence_s)

    def held(self) -> Input | None:
        """What the operator wants now; None while the device is let go or silent."""
        with self._lock:
            return self._newest if self._newest and self._deadman.held(self._steady()) else None

    @property
    def waits(self) -> bool:
        """Nothing came for so long that it may be the last that was heard; it is not let go yet."""
        with self._lock:
            return self._steady() - self._heard_s > min(LATE_S, self.silence_s)

    @property
    def gripper(self) -> float | None:
        """What the device said last of the gripper, held or not."""
        with self._lock:
            return None if self._newest is None else self._newest.gripper

    @property
    def words(self) -> str:
        """Why nothing is held."""
        with self._lock:
            if self._newest is None or self._steady() - self._heard_s > self.silence_s:
                return "no device speaks"
            if self._newest.held:
                return "the device was silent while it was held, or began so: let go, then press anew"
            return "the operator holds nothing"
