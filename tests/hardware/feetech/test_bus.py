"""Questions and answers: repeats, answers that come too late, and ports."""

from __future__ import annotations

import os
import time
import tty

import pytest

from hardware.feetech import packets, servos
from hardware.feetech.bus import Bus, question_s
from hardware.feetech.emulated.bus import EmulatedBus
from hardware.feetech.errors import PortError, Unplugged
from hardware.feetech.port import Port

NAMES = {1: "shoulder_pan", 2: "shoulder_lift"}


class ScriptedPort:
    """Each question of a script gets an answer after its own delay; ``None``: none at all."""

    path = "scripted"

    def __init__(self, *script: tuple[float, bytes] | None) -> None:
        self.script, self.coming, self.asked = list(script), list[tuple[float, bytes]](), list[bytes]()

    def write(self, data: bytes) -> None:
        self.asked.append(data)
        step = self.script.pop(0) if self.script else None
        if step:
            self.coming.append((time.monotonic() + step[0], step[1]))

    def read(self, until: float) -> bytes:
        while time.monotonic() < until:
            for due, data in self.coming:
                if due <= time.monotonic():
                    self.coming.remove((due, data))
                    return data
            time.sleep(0.001)
        return b""

    def discard(self) -> None:
        self.coming = [(due, data) for due, data in self.coming if due > time.monotonic()]

    def close(self) -> None: ...


def position(ticks: int, id_: int = 1) -> bytes:
    return packets.packet(id_, 0, servos.PRESENT_POSITION.encode(ticks))


def bus_of(*script: tuple[float, bytes] | None, timeout_s: float = 0.04) -> Bus:
    return Bus(ScriptedPort(*script), NAMES, timeout_s=timeout_s)  # type: ignore[arg-type]


def test_a_late_answer_is_not_taken_for_the_next_one() -> None:
    """The first answer comes after 150 ms, while the question is being repeated (at about 104); the answer to the
    repetition comes at 184, when the next question might be waiting for its own."""
    bus = bus_of((0.15, position(100)), (0.08, position(101)), (0.06, position(200)), timeout_s=0.1)
    assert bus.values([1], servos.PRESENT_POSITION) == {1: 100}
    assert bus.values([1], servos.PRESENT_POSITION) == {1: 200}
    assert (bus.stats.questions, bus.stats.repeated, bus.stats.failed) == (2, 1, 0)


def test_only_those_without_an_answer_are_asked_again() -> None:
    bus = bus_of((0.0, position(100)), (0.0, position(300, 2)))
    assert bus.values([1, 2], servos.PRESENT_POSITION) == {1: 100, 2: 300}
    port = bus.port
    assert port.asked == [packets.sync_read([1, 2], 56, 2), packets.sync_read([2], 56, 2)]  # type: ignore[attr-defined]


def test_answers_of_another_length_or_servo_are_none() -> None:
    foreign = packets.packet(1, 0, bytes(4)) + packets.packet(3, 0, bytes(2))
    bus = bus_of((0.0, foreign + position(100)))
    assert bus.values([1], servos.PRESENT_POSITION) == {1: 100}


def test_a_question_of_its_own_gets_its_answers_back_in_order() -> None:
    bus = bus_of((0.0, position(300, 2) + position(100)))
    assert list(bus.values([1, 2], servos.PRESENT_POSITION)) == [1, 2]


def test_two_answers_to_a_ping_are_counted() -> None:
    answer = packets.packet(1, 0)
    assert bus_of((0.0, answer + answer)).listen(1) == (2, 0)
    assert bus_of((0.0, answer[:3])).listen(1) == (0, 1)
    assert bus_of((0.0, b"\xfe" + answer[1:])).listen(1) == (0, 1), "a damaged header is something, too"
    assert bus_of().listen(1) == (0, 0)


def test_a_late_answer_to_a_ping_is_no_second_servo() -> None:
    answer = packets.packet(1, 0)
    assert bus_of((0.06, answer), (0.03, answer)).listen_twice(1) == (1, 0)
    assert bus_of((0.0, answer + answer), (0.0, answer)).listen_twice(1) == (1, 0)
    assert bus_of((0.0, answer + answer), (0.0, answer + answer)).listen_twice(1) == (2, 0)
    assert bus_of(None, None).listen_twice(1) == (0, 0)


# --------------------------------------------------------------------------------------------------------------- ports
def test_a_port_that_goes_away_while_it_waits() -> None:
    master, slave = os.openpty()
    tty.setraw(slave)
    port = Port(os.ttyname(slave))
    os.close(slave)
    os.close(master)
    with pytest.raises(Unplugged):
        port.read(time.monotonic() + 1.0)
    with pytest.raises(Unplugged):
        port.write(b"x")
    port.close()


def test_a_port_that_takes_nothing_is_said() -> None:
    master, slave = os.openpty()
    tty.setraw(slave)
    port = Port(os.ttyname(slave))
    with pytest.raises(PortError, match="takes no bytes"):
        for _ in range(100):
            port.write(bytes(4096))
    port.close()
    os.close(master)
    os.close(slave)


def test_an_unknown_speed_is_refused(emulated: EmulatedBus) -> None:
    with pytest.raises(PortError, match="baud must be one of 1000000"):
        Port(emulated.path, baud=123)
    Port(emulated.path).close()  # and the port is free again


def test_how_long_a_question_takes_to_fail() -> None:
    """0.04 s in which late answers may come, 3 * (0.02 + 6 * 0.00051 + 0.05) for the tries, 2 * 6 * 0.02 for pings."""
    assert question_s(0.02, 6) == pytest.approx(0.04 + 0.21918 + 0.24)
