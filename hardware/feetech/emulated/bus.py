"""An emulated bus of six servos behind a pseudo-terminal: the driver opens it like a serial port.

All of the real way is there but the adapter and the silicon: packets, time-outs, registers, motion. Faults are made on
purpose: lost, damaged and late packets, silent, doubled, stuck and overloaded servos, a power supply that goes, an
adapter that is pulled.
"""

from __future__ import annotations

import json
import os
import random
import select
import termios
import threading
import time
import tty
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fcntl import ioctl
from pathlib import Path
from types import TracebackType
from typing import Protocol

from hardware.feetech import packets, servos
from hardware.feetech.emulated.servo import EmulatedServo
from hardware.feetech.packets import Packet, Parser
from hardware.feetech.settings import Settings
from robot.errors import PixelarmError

BYTE_S = 1e-5
IDLE_S = 0.05
RANGES = {  # ticks: what a calibration of a usual arm finds
    "shoulder_pan": (797, 3299), "shoulder_lift": (910, 3186), "elbow_flex": (946, 3150), "wrist_flex": (967, 3129),
    "wrist_roll": (0, 4095), "gripper": (1934, 3185),
}  # fmt: skip
OFFSETS = {
    "shoulder_pan": 35, "shoulder_lift": -120, "elbow_flex": 210, "wrist_flex": -7, "wrist_roll": 88, "gripper": 0,
}  # fmt: skip


@dataclass
class Faults:
    """What happens to answers on their way; each is the share of packets that it strikes."""

    lost: float = 0.0
    corrupt: float = 0.0  # one byte is changed
    noise: float = 0.0  # a few random bytes come before
    late: float = 0.0
    late_s: float = 0.05  # by how much


class Body(Protocol):
    """What the servos move instead of nothing; ``hardware/simulated/so101_body.py`` puts a MuJoCo model there."""

    def advance(self, servos: Sequence[EmulatedServo], seconds: float) -> None:
        """Let time pass for all servos, base to gripper."""


class FreeBody:
    """Each servo by itself."""

    def advance(self, servos: Sequence[EmulatedServo], seconds: float) -> None:
        for servo in servos:
            servo.advance(seconds)


class EmulatedBus:
    """Six servos on a pseudo-terminal, answered for by a thread. ``path`` is what to open.

    Args:
        seed: of the faults' dice.
        latency_s: before each answer, as an adapter and its driver take.
        now: the time that servos move by; bytes always travel in real time.
        body: what the servos move.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        seed: int = 0,
        latency_s: float = 0.0,
        now: Callable[[], float] = time.monotonic,
        body: Body | None = None,
    ) -> None:
        self.settings = settings or Settings.load()
        self.servos = {name: self._make(name, id_) for name, id_ in self.settings.ids.items()}
        self.twins: list[EmulatedServo] = []  # further servos, with ids that are taken
        self.faults, self.powered, self.latency_s = Faults(), True, latency_s
        self.body: Body = body or FreeBody()
        self.heard: list[Packet] = []  # the last instructions, for tests
        self.lock = threading.RLock()  # hold it while you change servos
        self._dice, self._now, self._last = random.Random(seed), now, now()
        self._links: list[Path] = []
        self._open()

    def _open(self) -> None:
        self._master, self._slave = os.openpty()
        tty.setraw(self._master)
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self.path = os.ttyname(self._slave)
        self._running, (self._stop, self._stopping) = True, os.pipe()
        self._thread = threading.Thread(target=self._serve, name="emulated bus", daemon=True)
        self._thread.start()

    def _make(self, name: str, id_: int) -> EmulatedServo:
        low, high = RANGES[name]
        servo = EmulatedServo(id_, (low + high) / 2 + OFFSETS[name])
        servo.put(servos.MIN_POSITION, low)
        servo.put(servos.MAX_POSITION, high)
        servo.put(servos.HOMING_OFFSET, OFFSETS[name])
        servo.power_cycle()
        return servo

    def write_calibration(self, path: Path) -> Path:
        """The file that LeRobot would have written for this arm."""
        entries = {
            name: {"id": self.settings.ids[name], "drive_mode": 0, "homing_offset": OFFSETS[name],
                   "range_min": RANGES[name][0], "range_max": RANGES[name][1]}
            for name in RANGES
        }  # fmt: skip
        path.write_text(json.dumps(entries, indent=4))
        return path

    def link(self, path: Path) -> None:
        """Make a link to the port, which ``close`` removes.

        Raises:
            PixelarmError: something is there already that is no dead link.
        """
        require_free(path)
        path.symlink_to(self.path)
        self._links.append(path)

    # ---------------------------------------------------------------------------------------------------------- faults
    def power(self, on: bool) -> None:
        """Switch the servos' supply."""
        with self.lock:
            self.advance()
            for servo in [*self.servos.values(), *self.twins]:
                if on and not servo.powered:
                    servo.power_cycle()
                servo.powered = on
            self.powered = on

    def unplug(self) -> None:
        """Pull the adapter: the port goes away under whoever has it open."""
        if self._running:
            self._running = False
            os.write(self._stopping, b"x")
            self._thread.join()
            for end in (self._master, self._slave, self._stop, self._stopping):
                os.close(end)

    def replug(self) -> None:
        """Plug a pulled adapter in again, as another port: ``path``. The servos are as they were."""
        if not self._running:
            self._open()

    def add_twin(self, name: str) -> EmulatedServo:
        """Connect a second servo with the id of ``name``, which stands elsewhere and answers at the same time."""
        twin = EmulatedServo(self.settings.ids[name], 1000.0, voltage=7.2)
        with self.lock:
            self.twins.append(twin)
        return twin

    def advance(self) -> None:
        """Let the servos' time catch up with the clock."""
        with self.lock:
            now = self._now()
            passed, self._last = now - self._last, now
            self.body.advance(list(self.servos.values()), passed)

    # --------------------------------------------------------------------------------------------------------- answers
    def _serve(self) -> None:
        parser, poll = Parser(), select.poll()
        poll.register(self._master, select.POLLIN)
        poll.register(self._stop, select.POLLIN)
        while self._running:
            if not poll.poll(IDLE_S * 1e3):
                # a driver that was killed leaves its exclusive claim on the terminal, which lives on here
                ioctl(self._slave, termios.TIOCNXCL)
                continue
            try:
                data = os.read(self._master, 4096)
            except BlockingIOError:
                continue
            for instruction in parser.feed(data):
                with self.lock:
                    self.advance()
                    self.heard = [*self.heard[-99:], instruction]
                    answers = self._answers(instruction) if self.powered else []
                self._say(answers)

    def _answers(self, instruction: Packet) -> list[bytes]:
        there = [servo for servo in [*self.servos.values(), *self.twins] if not servo.lost]
        parameters = instruction.parameters
        if instruction.code == packets.SYNC_READ and len(parameters) > 2:
            address, size = parameters[:2]
            return [self._together([s for s in there if s.id == id_], _memory(address, size)) for id_ in parameters[2:]]
        if instruction.code == packets.SYNC_WRITE and len(parameters) > 2:
            address, size = parameters[:2]
            for at in range(2, len(parameters) - size, size + 1):
                for servo in there:
                    if servo.id == parameters[at]:
                        servo.write(address, parameters[at + 1 : at + 1 + size])
            return []
        mine = [servo for servo in there if servo.id == instruction.id]
        if instruction.code == packets.PING:
            return [self._together(mine, lambda servo: b"")]
        if instruction.code == packets.READ and len(parameters) == 2:
            return [self._together(mine, _memory(*parameters))]
        if instruction.code == packets.WRITE and parameters:
            for servo in mine:
                servo.write(parameters[0], parameters[1:])
            return [self._together([s for s in mine if s.get(servos.RESPONSE_LEVEL)], lambda servo: b"")]
        return []

    def _together(self, speakers: list[EmulatedServo], content: Callable[[EmulatedServo], bytes]) -> bytes:
        """What is heard when these servos answer at the same time: where they differ, one pulls the line down."""
        said = [packets.packet(servo.id, servo.error, content(servo)) for servo in speakers]
        if not said:
            return b""
        heard = said[0]
        for other in said[1:]:
            heard = bytes(a & b for a, b in zip(heard, other))
        return heard

    def _say(self, answers: list[bytes]) -> None:
        faults, dice = self.faults, self._dice
        wait = self.latency_s + BYTE_S * sum(map(len, answers))
        said = []
        for answer in filter(None, answers):
            if dice.random() < faults.lost:
                continue
            if dice.random() < faults.corrupt:
                at = dice.randrange(len(answer))
                answer = answer[:at] + bytes([answer[at] ^ dice.randrange(1, 256)]) + answer[at + 1 :]
            if dice.random() < faults.noise:
                answer = dice.randbytes(dice.randrange(1, 8)) + answer
            wait += faults.late_s if dice.random() < faults.late else 0.0
            said.append(answer)
        if wait > 0 and said:
            time.sleep(wait)
        with suppress(BlockingIOError):
            os.write(self._master, b"".join(said))

    # ------------------------------------------------------------------------------------------------------- rehearsal
    def order(self, words: str) -> str:
        """One line of a rehearsal, such as ``stuck elbow_flex``; returns what was done.

        Raises:
            PixelarmError: nothing is known by these words.
        """
        what, _, name = words.strip().partition(" ")
        if what == "power" and name in ("on", "off"):
            self.power(name == "on")
            return f"power {name}"
        if what == "unplug" and not name:
            self.unplug()
            return "unplugged; end with Ctrl-C"
        if what in ("lose", "corrupt") and name:
            share = _share(name)
            setattr(self.faults, "lost" if what == "lose" else what, share)
            return f"{what}: {share:g} of all answers"
        if what not in SERVO_ORDERS or name not in self.servos:
            raise PixelarmError(f"orders are {ORDERS}; NAME is one of {', '.join(self.servos)}; got {words.strip()!r}")
        with self.lock:
            SERVO_ORDERS[what](self, self.servos[name])
        return f"{name}: {what}"

    def close(self) -> None:
        self.unplug()
        for link in self._links:
            if link.is_symlink() and os.readlink(link) == self.path:  # else it is somebody else's by now
                link.unlink()
        self._links.clear()

    def __enter__(self) -> EmulatedBus:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def require_free(path: Path) -> None:
    """Make room for a link to a port: one that leads nowhere, left by a process that was killed, is removed.

    Raises:
        PixelarmError: anything else is there.
    """
    if path.is_symlink() and not path.exists():
        path.unlink()
    if path.exists() or path.is_symlink():
        raise PixelarmError(f"{path} is there already: remove it, or give another path for the link to the port")


def _memory(address: int, size: int) -> Callable[[EmulatedServo], bytes]:
    """What a servo answers to a read."""
    return lambda servo: servo.read(address, size)


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0.0 <= share <= 1.0:
        raise PixelarmError(f"a share must lie between 0 and 1, got {text!r}")
    return share


def _stick(bus: EmulatedBus, servo: EmulatedServo) -> None:
    servo.stuck = True


def _lose(bus: EmulatedBus, servo: EmulatedServo) -> None:
    servo.lost = True


def _overload(bus: EmulatedBus, servo: EmulatedServo) -> None:
    servo.forced_error = servos.OVERLOAD_BIT


def _heat(bus: EmulatedBus, servo: EmulatedServo) -> None:
    servo.temperature = 75.0


def _well(bus: EmulatedBus, servo: EmulatedServo) -> None:
    servo.stuck = servo.lost = False
    servo.forced_error, servo.temperature = 0, 25.0


SERVO_ORDERS: dict[str, Callable[[EmulatedBus, EmulatedServo], None]] = {
    "stuck": _stick, "silent": _lose, "overload": _overload, "hot": _heat, "well": _well,
}  # fmt: skip
ORDERS = "power off, power on, unplug, lose SHARE, corrupt SHARE, " + ", ".join(f"{word} NAME" for word in SERVO_ORDERS)
