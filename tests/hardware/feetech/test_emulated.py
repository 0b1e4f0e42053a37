"""The emulated servos answer as the real ones are described, to anybody who opens the port."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hardware.feetech import packets, servos
from hardware.feetech.arm import Clock
from hardware.feetech.bus import Bus
from hardware.feetech.emulated.bus import EmulatedBus
from hardware.feetech.emulated.servo import EmulatedServo
from hardware.feetech.port import Port
from robot.errors import PixelarmError


@pytest.fixture
def bus(emulated: EmulatedBus) -> Iterator[Bus]:
    made = Bus(Port(emulated.path), emulated.settings.names, timeout_s=0.1)
    yield made
    made.close()


def write(bus: Bus, register: servos.Register, value: int, id_: int = 1) -> None:
    """As LeRobot writes: one servo, which confirms."""
    bus.port.discard()
    bus.port.write(packets.packet(id_, packets.WRITE, bytes([register.address]) + register.encode(value)))
    assert bus.values([id_], register), "what came before this answer was the confirmation"


def test_ping_and_reads(bus: Bus) -> None:
    assert bus.listen(3) == (1, 0)
    assert bus.listen(9) == (0, 0)
    assert bus.values([1, 6], servos.MODEL_NUMBER) == {1: 777, 6: 777}
    assert bus.values([2], servos.HOMING_OFFSET) == {2: -120}


def test_eeprom_is_kept_only_while_it_is_unlocked(bus: Bus, emulated: EmulatedBus) -> None:
    write(bus, servos.MAX_POSITION, 3000)
    emulated.power(False)
    emulated.power(True)
    assert bus.values([1], servos.MAX_POSITION) == {1: 3299}
    write(bus, servos.LOCK, 0)
    write(bus, servos.MAX_POSITION, 3000)
    write(bus, servos.TORQUE_ENABLE, 1)
    emulated.power(False)
    emulated.power(True)
    assert bus.values([1], servos.MAX_POSITION) == {1: 3000}
    assert bus.values([1], servos.TORQUE_ENABLE) == {1: 0}, "power that comes back brings no torque"


def test_measurements_and_the_model_cannot_be_written(bus: Bus) -> None:
    write(bus, servos.PRESENT_POSITION, 7)
    write(bus, servos.MODEL_NUMBER, 7)
    assert bus.values([1], servos.PRESENT_POSITION) == {1: 2048}
    assert bus.values([1], servos.MODEL_NUMBER) == {1: 777}


def test_here_is_the_middle(bus: Bus) -> None:
    write(bus, servos.TORQUE_ENABLE, 128, id_=6)
    assert bus.values([6], servos.PRESENT_POSITION) == {6: 2048}
    assert bus.values([6], servos.HOMING_OFFSET) == {6: 2560 - 2048}


def test_orders_of_a_rehearsal(emulated: EmulatedBus) -> None:
    assert emulated.order("stuck elbow_flex\n") == "elbow_flex: stuck"
    assert emulated.servos["elbow_flex"].stuck
    emulated.order("well elbow_flex")
    assert not emulated.servos["elbow_flex"].stuck
    emulated.order("lose 0.25")
    assert emulated.faults.lost == 0.25
    emulated.order("power off")
    assert not emulated.powered
    for wrong in ("stuck", "stuck elbow", "dance elbow_flex", "lose 2", "lose x", ""):
        with pytest.raises(PixelarmError, match="orders are|between 0 and 1"):
            emulated.order(wrong)


# -------------------------------------------------------------------------------------------------------------- motion
def driven(goal: int, speed: int = 0, acceleration: int = 0) -> EmulatedServo:
    servo = EmulatedServo(1)
    for register, value in {
        servos.GOAL_POSITION: goal,
        servos.GOAL_SPEED: speed,
        servos.ACCELERATION: acceleration,
        servos.TORQUE_ENABLE: 1,
    }.items():
        servo.write(register.address, register.encode(value))
    return servo


def test_a_servo_keeps_its_speed(clock: Clock) -> None:
    """1000 ticks at 500 ticks/s take 2 s; after 1 s it is half-way, less the lag of 30 ms."""
    servo = driven(3048, speed=500)
    servo.advance(1.0)
    assert servo.get(servos.PRESENT_POSITION) - 2048 == pytest.approx(485, abs=15)
    assert servo.get(servos.PRESENT_SPEED) == pytest.approx(500, abs=5)
    servo.advance(1.5)
    assert servo.get(servos.PRESENT_POSITION) == 3048
    assert servo.get(servos.MOVING) == 0


def test_a_servo_keeps_its_acceleration() -> None:
    """From rest with 1000 ticks/s² it goes 0.5 * 1000 * 0.5² = 125 ticks in half a second, less the lag."""
    servo = driven(4000, acceleration=10)
    servo.advance(0.5)
    assert 100 <= servo.get(servos.PRESENT_POSITION) - 2048 <= 127


def test_goals_are_clipped_by_the_servos_own_limits() -> None:
    servo = driven(4000)
    servo.put(servos.MAX_POSITION, 2500)
    servo.advance(2.0)
    assert servo.get(servos.PRESENT_POSITION) == 2500


def test_a_stuck_servo_is_overloaded_after_its_time() -> None:
    """Register 35 at 200 is 2 s; then its 20 % of protective torque are left."""
    servo = driven(2548)
    servo.stuck = True
    servo.advance(1.0)
    assert servo.get(servos.PRESENT_LOAD) == 1000 and servo.error == 0
    servo.advance(1.9)
    assert servo.error == servos.OVERLOAD_BIT and servo.get(servos.PRESENT_LOAD) == 200
    servo.power_cycle()
    assert servo.error == 0 and servo.get(servos.TORQUE_ENABLE) == 0


def test_heat_and_voltage_raise_their_bits() -> None:
    servo = driven(2048)
    servo.temperature, servo.voltage = 75.0, 12.0
    servo.advance(0.01)
    assert servo.error == servos.HEAT_BIT | servos.VOLTAGE_BIT
    assert servo.target(0.01) is None, "an overheated servo lets go"


def test_a_hand_moves_only_a_limp_joint() -> None:
    servo = EmulatedServo(1)
    servo.by_hand(2500)
    assert servo.get(servos.PRESENT_POSITION) == 2500
    servo = driven(2048)
    servo.by_hand(2500)
    assert servo.get(servos.PRESENT_POSITION) == 2048


def test_a_joint_that_is_set_elsewhere_at_once_is_as_fast_as_can_be_said() -> None:
    """By 2,000 ticks within 1 ms, as an arm in a scene that is set up anew."""
    servo = EmulatedServo(1, 1000.0)
    servo.moved(3000.0, 0.0, 0.001)
    servo.sense(0.001)
    assert servo.get(servos.PRESENT_SPEED) == 32767


def test_a_link_leads_to_the_port_and_is_removed_at_the_end(tmp_path: Path) -> None:
    link = tmp_path / "port"
    link.symlink_to(tmp_path / "nowhere")  # left by one that was killed
    with EmulatedBus() as bus:
        bus.link(link)
        assert str(link.readlink()) == bus.path
        with pytest.raises(PixelarmError, match="port is there already"):
            bus.link(link)
    assert not link.is_symlink()


def test_what_is_somebody_elses_is_neither_replaced_nor_removed(tmp_path: Path) -> None:
    theirs, link = tmp_path / "theirs", tmp_path / "port"
    theirs.write_text("")
    link.symlink_to(theirs)
    with EmulatedBus() as bus:
        with pytest.raises(PixelarmError, match="port is there already"):
            bus.link(link)
        link.unlink()
        bus.link(link)
        link.unlink()
        link.symlink_to(theirs)  # somebody else was quicker
    assert link.readlink() == theirs


def test_an_adapter_that_is_plugged_in_again_finds_the_servos_as_they_were(bus: Bus, emulated: EmulatedBus) -> None:
    write(bus, servos.GOAL_POSITION, 2100)
    before = emulated.path
    emulated.replug()
    assert emulated.path == before, "it is plugged in"
    emulated.unplug()
    emulated.replug()
    again = Bus(Port(emulated.path), emulated.settings.names, timeout_s=0.1)
    assert again.values([1], servos.GOAL_POSITION) == {1: 2100}
    again.close()
