"""A game pad and a SpaceMouse as an operator's device, read from the files that Linux makes of them.

Both need a button kept down to move anything, as a page and a keyboard do: what is bumped, drifts or is noisy without
it moves nothing. A device that is unplugged lets go at once, and the program ends.

Joystick: /dev/input/js0, the kernel's joystick interface: 8 bytes an event, ``time u32, value s16, type u8, number u8``
(kernel documentation, "Linux Joystick support"); axes and buttons as its xpad driver numbers them.

SpaceMouse: /dev/hidrawN of 3Dconnexion: reports of little-endian s16 after a byte of their kind: 1 translation, or all
six axes, 2 rotation, 3 buttons. x is right, y towards the operator, z down, at most about 350 (layout as in the sources
of libspnav's daemon and of the kernel's hid tools; not tried with a device).
"""

from __future__ import annotations

import itertools
import os
import select
import struct
import threading
import time
from pathlib import Path
from typing import Any, ClassVar, Protocol

from hardware.teleop.desk import CLEAR, COMMAND, DISCARD, FAILURE, STOP, SUCCESS, Desk
from hardware.teleop.input import SILENCE_S, Input
from robot.errors import PixelarmError

PERIOD_S = 0.02
LOST_S = 2.0  # a pad that is pushed and says nothing for so long may be out of its receiver's range
DEAD = 0.12  # of a stick's or cap's way: below that it is at rest
JOYSTICK = "/dev/input/js0"
VENDORS = ("0000256F", "0000046D")  # 3Dconnexion, and Logitech, which made the first ones
FULL, CAP = 32767.0, 350.0
Three = tuple[float, float, float]


def live(value: float) -> float:
    """A share of a way, -1 to 1, without what lies within the dead band."""
    size = min(abs(value), 1.0)
    return 0.0 if size <= DEAD else (1.0 if value > 0 else -1.0) * (size - DEAD) / (1.0 - DEAD)


class Hands(Protocol):
    """What a device's bytes mean. ``put`` what came and get the orders in it; then ask what is ``wanted``."""

    size: int  # bytes of a read
    words: str  # how it is used

    def put(self, data: bytes, now_s: float) -> list[str]: ...

    def forget(self) -> None:
        """Nothing was said of the gripper of a scene that was set up anew."""

    def wanted(self, now_s: float) -> dict[str, Any]:
        """Parts of an ``Input``."""


class Pad:
    """A game pad. It only says what changes, so a wireless one that was lost looks like one that is held still: where
    it moves the arm and says nothing for ``LOST_S``, it lets go until its button is pressed anew."""

    size = 8 * 64
    words = (
        "hold LB or RB to move: left stick ahead and sideways, triggers up and down, right stick turns;\n"
        "A gripper; Start command, Back stop; X success, Y failure, B discard where episodes are recorded"
    )
    ORDERS: ClassVar = {7: COMMAND, 6: STOP, 8: CLEAR, 2: SUCCESS, 3: FAILURE, 1: DISCARD}
    HELD: ClassVar = (4, 5)  # LB, RB
    EVENT = struct.Struct("<IhBB")
    BUTTON, AXIS, INITIAL = 1, 2, 0x80

    def __init__(self, gripper: float = -1.0) -> None:
        self.gripper: float | None = None
        self._before = gripper
        self._axes: dict[int, float] = {}
        self._buttons: dict[int, bool] = {}
        self._heard_s, self._lost = 0.0, False

    def put(self, data: bytes, now_s: float) -> list[str]:
        orders = []
        self._heard_s = now_s
        for _, value, kind, number in self.EVENT.iter_unpack(data[: len(data) // 8 * 8]):
            if kind & ~self.INITIAL == self.AXIS:
                self._axes[number] = value / FULL
            elif kind & ~self.INITIAL == self.BUTTON:
                self._buttons[number] = bool(value)
                if value and not kind & self.INITIAL:
                    orders += self._pressed(number)
        return orders

    def forget(self) -> None:
        """Of a scene that was set up anew: its fingers are open, and nothing was said of them."""
        self.gripper, self._before = None, -1.0

    def _pressed(self, number: int) -> list[str]:
        if number in self.HELD:
            self._lost = False
        if number == 0:
            self.gripper = -1.0 if (self._before if self.gripper is None else self.gripper) > 0 else 1.0
        return [self.ORDERS[number]] if number in self.ORDERS else []

    def wanted(self, now_s: float) -> dict[str, Any]:
        held = any(self._buttons.get(number, False) for number in self.HELD)
        down, up = ((self._axes.get(number, -1.0) + 1.0) / 2.0 for number in (2, 5))  # triggers rest at -1
        linear = (-self._stick(1), -self._stick(0), live(up - down))
        angular = (0.0, self._stick(4), -self._stick(3))
        self._lost |= held and any((*linear, *angular)) and now_s - self._heard_s > LOST_S
        return {"held": held and not self._lost, "linear": linear, "angular": angular, "gripper": self.gripper}

    def _stick(self, number: int) -> float:
        return live(self._axes.get(number, 0.0))


class SpaceMouse:
    """A cap that is pushed and turned in all six ways; it says nothing while it rests."""

    size = 64
    words = "hold the left button to move: push and turn the cap; right button gripper"

    def __init__(self, gripper: float = -1.0) -> None:
        self.gripper: float | None = None
        self._before = gripper
        self._push: Three = (0.0, 0.0, 0.0)
        self._turn: Three = (0.0, 0.0, 0.0)
        self._buttons, self._moved_s = 0, -SILENCE_S

    def put(self, data: bytes, now_s: float) -> list[str]:
        if not data:
            return []
        kind, body = data[0], data[1:]
        if kind in (1, 2) and len(body) >= 6:
            self._moved_s = now_s
            values = [value / CAP for value in struct.unpack(f"<{len(body) // 2}h", body[: len(body) // 2 * 2])]
            if kind == 1:
                self._push = _in_base(values[:3])
            if kind == 2 or len(values) >= 6:
                self._turn = _in_base(values[-3:] if kind == 2 else values[3:6])
        elif kind == 3 and body:
            pressed, self._buttons = body[0] & ~self._buttons, body[0]
            if pressed & 2:
                self.gripper = -1.0 if (self._before if self.gripper is None else self.gripper) > 0 else 1.0
        return []

    def forget(self) -> None:
        """Of a scene that was set up anew: its fingers are open, and nothing was said of them."""
        self.gripper, self._before = None, -1.0

    def wanted(self, now_s: float) -> dict[str, Any]:
        still: Three = (0.0, 0.0, 0.0)
        fresh = now_s - self._moved_s < SILENCE_S  # a cap that is pushed says so a hundred times a second
        push, turn = (self._push, self._turn) if fresh else (still, still)
        return {"held": bool(self._buttons & 1), "linear": push, "angular": turn, "gripper": self.gripper}


def _in_base(values: list[float]) -> Three:
    """Right, towards the operator, down as ahead, left, up; shares, without the dead band."""
    x, y, z = (live(value) for value in values)
    return -y, -x, -z


def _tell(words: str) -> None:
    print(words, flush=True)


class Handheld:
    """Reads a device's file in a thread until ``stop``.

    Raises:
        PixelarmError: there is no such device, or it may not be read.
    """

    def __init__(self, desk: Desk, path: str, hands: Hands) -> None:
        self._desk, self.path, self._hands = desk, path, hands
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        except FileNotFoundError as error:
            raise PixelarmError(f"there is no {path}: is the device plugged in?") from error
        except OSError as error:
            raise PixelarmError(
                f"{path} cannot be read ({error.strerror}): join the group input, or allow it by a udev rule"
            ) from error
        self._running = True
        self._thread = threading.Thread(target=self._run, name="handheld", daemon=True)

    def start(self) -> None:
        print(self._hands.words, flush=True)
        self._desk.hearers.append(_tell)  # there is no page to look at
        self._thread.start()

    def stop(self) -> None:
        self._running = False
        self._thread.join(timeout=1.0)
        os.close(self._fd)

    def _run(self) -> None:
        numbers, scene = itertools.count(), self._desk.scene
        while self._running:
            if scene != self._desk.scene:
                scene = self._desk.scene
                self._hands.forget()
            try:
                orders = self._read()
            except OSError as error:
                self._gone(error, next(numbers))
                return
            for order in orders:
                if order in self._desk.orders:
                    self._desk.order(order)
            now_s = time.monotonic()
            self._desk.receiver.put(Input(sequence=next(numbers), sent_ms=now_s * 1e3, **self._hands.wanted(now_s)))

    def _read(self) -> list[str]:
        ready, _, _ = select.select([self._fd], [], [], PERIOD_S)
        if not ready:
            return []
        data = os.read(self._fd, self._hands.size)
        if not data:
            raise OSError("the device is gone")
        return self._hands.put(data, time.monotonic())

    def _gone(self, error: OSError, sequence: int) -> None:
        """It was unplugged: let go, say so, and end the program."""
        self._desk.receiver.put(Input(held=False, sequence=sequence, sent_ms=time.monotonic() * 1e3))
        self._desk.say(f"{self.path} is gone ({error.strerror or error}): the arm stops")
        self._desk.leave()


def find_spacemouse(devices: Path = Path("/sys/class/hidraw")) -> str:
    """The file of the first SpaceMouse. Raises PixelarmError without one."""
    for entry in sorted(devices.glob("hidraw*")):
        about = entry / "device" / "uevent"
        lines = about.read_text().splitlines() if about.exists() else []
        found = dict(line.partition("=")[::2] for line in lines)
        vendor, name = found.get("HID_ID", "::").split(":")[1].upper(), found.get("HID_NAME", "")
        if vendor == VENDORS[0] or (vendor == VENDORS[1] and "Space" in name):
            return f"/dev/{entry.name}"
    raise PixelarmError("no SpaceMouse is plugged in (no hidraw device of 3Dconnexion); --input /dev/hidrawN names one")
