"""The registers of an STS3215: addresses, sizes, signs and units.

Signed values are sign and magnitude: one bit is the sign, the bits below it the amount. Registers below 40 are kept
without power (EEPROM); pixelarm reads them and writes none of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

TICKS = 4096  # of one turn of the output shaft
RAD_PER_TICK = 2.0 * math.pi / TICKS
MODEL = 777
SERVO_SPEED = 4.8  # rad/s: 46 rpm, measured by owners without a load


@dataclass(frozen=True)
class Register:
    """One register: ``size`` bytes from ``address`` on; ``sign`` is the number of the sign bit, -1 for none."""

    address: int
    size: int = 1
    sign: int = -1
    unit: float = 1.0  # of one count, in the unit that the comment beside the register says

    def encode(self, value: int) -> bytes:
        """Counts as little-endian bytes.

        Raises:
            ValueError: the register cannot hold the value.
        """
        limit = 1 << (self.sign if self.sign >= 0 else 8 * self.size)
        if not (-limit < value < limit) or (value < 0 and self.sign < 0):
            raise ValueError(f"register {self.address} of {self.size} bytes cannot hold {value}")
        word = abs(value) | (1 << self.sign if value < 0 else 0)
        return word.to_bytes(self.size, "little")

    def decode(self, data: bytes) -> int:
        """Counts from bytes; minus zero is zero."""
        word = int.from_bytes(data[: self.size], "little")
        if self.sign < 0:
            return word
        amount = word & ((1 << self.sign) - 1)
        return -amount if word >> self.sign & 1 else amount

    def within(self, block: bytes, start: int) -> int:
        """Counts from a block of registers that begins at address ``start``."""
        return self.decode(block[self.address - start :])


FIRMWARE = Register(0, 2)  # major in the lower byte, minor in the upper
MODEL_NUMBER = Register(3, 2)
ID = Register(5)
BAUD = Register(6)  # 0 is 1 Mbaud
RETURN_DELAY = Register(7, unit=2e-6)  # s
RESPONSE_LEVEL = Register(8)
MIN_POSITION = Register(9, 2)  # ticks
MAX_POSITION = Register(11, 2)  # ticks
MAX_TEMPERATURE = Register(13)  # °C
MAX_VOLTAGE = Register(14, unit=0.1)  # V
MIN_VOLTAGE = Register(15, unit=0.1)  # V
MAX_TORQUE = Register(16, 2, unit=0.001)  # share of the stall torque; copied to TORQUE_LIMIT when power comes
HOMING_OFFSET = Register(31, 2, sign=11)  # ticks; present position = encoder - offset
MODE = Register(33)  # 0 is position control
PROTECTIVE_TORQUE = Register(34, unit=0.01)  # share, what is left after an overload
PROTECTION_TIME = Register(35, unit=0.01)  # s of overload until the servo protects itself
OVERLOAD_TORQUE = Register(36, unit=0.01)  # share from which it counts as overload
TORQUE_ENABLE = Register(40)
ACCELERATION = Register(41, unit=100.0)  # ticks/s², 0 for none
GOAL_POSITION = Register(42, 2, sign=15)  # ticks
GOAL_SPEED = Register(46, 2, sign=15)  # ticks/s, 0 for the highest
TORQUE_LIMIT = Register(48, 2, unit=0.001)  # share of the stall torque
LOCK = Register(55)
PRESENT_POSITION = Register(56, 2, sign=15)  # ticks
PRESENT_SPEED = Register(58, 2, sign=15)  # ticks/s
PRESENT_LOAD = Register(60, 2, sign=10, unit=0.001)  # share of the stall torque
PRESENT_VOLTAGE = Register(62, unit=0.1)  # V
PRESENT_TEMPERATURE = Register(63)  # °C
STATUS = Register(65)  # the bits of ERRORS
MOVING = Register(66)
PRESENT_CURRENT = Register(69, 2, sign=15, unit=0.0065)  # A

STATE_START = PRESENT_POSITION.address
STATE_SIZE = PRESENT_CURRENT.address + PRESENT_CURRENT.size - STATE_START  # 15 bytes, what a driver reads each time
MEMORY_SIZE = TORQUE_ENABLE.address  # bytes of the EEPROM, from address 0 on

VOLTAGE_BIT, ANGLE_BIT, HEAT_BIT, CURRENT_BIT, OVERLOAD_BIT = 1, 2, 4, 8, 32
ERRORS = {
    VOLTAGE_BIT: "supply voltage out of range",
    ANGLE_BIT: "encoder fault",
    HEAT_BIT: "overheated",
    CURRENT_BIT: "too much current",
    OVERLOAD_BIT: "overloaded",
}
ADVICE = {
    VOLTAGE_BIT: "check the power supply and its plug",
    ANGLE_BIT: "switch the power off and on; if it comes back, the servo is broken",
    HEAT_BIT: "let it cool before you go on",
    CURRENT_BIT: "free the joint, then switch the power off and on (support the arm: it drops)",
    OVERLOAD_BIT: "free the joint, then switch the power off and on (support the arm: it drops)",
}


def error_words(bits: int) -> str:
    """Error bits in words; a bit without a known meaning by its number."""
    known = [words for bit, words in ERRORS.items() if bits & bit]
    unknown = [f"unknown bit {n}" for n in range(8) if bits >> n & 1 and (1 << n) not in ERRORS]
    return ", ".join([*known, *unknown])


def error_advice(bits: int) -> str:
    """What to do about error bits, each piece of advice once."""
    return (
        "; ".join(dict.fromkeys(words for bit, words in ADVICE.items() if bits & bit)) or "switch the power off and on"
    )


@dataclass(frozen=True)
class ServoState:
    """What one servo measured; counts turned into units, the position left in ticks."""

    ticks: int  # after the homing offset
    speed: int  # ticks/s
    load: float  # share of the stall torque, signed
    voltage: float  # V
    temperature: float  # °C
    status: int  # bits of ERRORS
    moving: bool
    current: float  # A

    @classmethod
    def from_block(cls, block: bytes) -> ServoState:
        """From the ``STATE_SIZE`` bytes that begin at ``STATE_START``."""

        def counts(register: Register) -> int:
            return register.within(block, STATE_START)

        return cls(
            ticks=counts(PRESENT_POSITION),
            speed=counts(PRESENT_SPEED),
            load=counts(PRESENT_LOAD) * PRESENT_LOAD.unit,
            voltage=counts(PRESENT_VOLTAGE) * PRESENT_VOLTAGE.unit,
            temperature=float(counts(PRESENT_TEMPERATURE)),
            status=counts(STATUS),
            moving=bool(counts(MOVING)),
            current=counts(PRESENT_CURRENT) * PRESENT_CURRENT.unit,
        )
