"""Registers: signs, units and words, by hand."""

from __future__ import annotations

import pytest

from hardware.feetech import servos
from hardware.feetech.servos import Register, ServoState


@pytest.mark.parametrize(
    ("register", "value", "data"),
    [
        (servos.GOAL_POSITION, 2048, "0008"),
        (servos.HOMING_OFFSET, 120, "7800"),
        (servos.HOMING_OFFSET, -120, "7808"),  # 120 + 2^11
        (servos.HOMING_OFFSET, -2047, "ff0f"),
        (servos.PRESENT_SPEED, -1000, "e883"),  # 1000 + 2^15
        (servos.PRESENT_LOAD, -500, "f405"),  # 500 + 2^10
        (servos.TORQUE_ENABLE, 128, "80"),
    ],
)
def test_signs_are_a_bit_and_an_amount(register: Register, value: int, data: str) -> None:
    assert register.encode(value) == bytes.fromhex(data)
    assert register.decode(bytes.fromhex(data)) == value


def test_minus_zero_is_zero() -> None:
    assert servos.HOMING_OFFSET.decode(bytes.fromhex("0008")) == 0


@pytest.mark.parametrize(
    ("register", "value"),
    [(servos.HOMING_OFFSET, 2048), (servos.HOMING_OFFSET, -2048), (servos.TORQUE_ENABLE, 256), (servos.LOCK, -1)],
)
def test_what_a_register_cannot_hold_is_refused(register: Register, value: int) -> None:
    with pytest.raises(ValueError, match=f"register {register.address} .* cannot hold {value}"):
        register.encode(value)


def test_a_state_is_read_from_its_block() -> None:
    """Address: 56 57 | 58 59 | 60 61 | 62 | 63 | 64 | 65 | 66 | 67 68 | 69 70."""
    block = bytes.fromhex("0008 e883 f405 4a 23 00 20 01 0000 c800")
    assert len(block) == servos.STATE_SIZE == 15
    state = ServoState.from_block(block)
    assert (state.ticks, state.speed, state.status, state.moving) == (2048, -1000, servos.OVERLOAD_BIT, True)
    assert state.load == pytest.approx(-0.5)
    assert state.voltage == pytest.approx(7.4)
    assert state.temperature == 35.0
    assert state.current == pytest.approx(1.3)  # 200 * 6.5 mA


def test_error_bits_in_words() -> None:
    assert servos.error_words(0) == ""
    assert servos.error_words(4 | 32) == "overheated, overloaded"
    assert servos.error_words(64) == "unknown bit 6"
    assert "cool" in servos.error_advice(4) and "free the joint" not in servos.error_advice(4)
