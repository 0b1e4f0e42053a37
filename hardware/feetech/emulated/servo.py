"""One emulated STS3215: its registers, and a simple model of how it moves.

The goal passes a trapezoid of the servo's own speed and acceleration; the output shaft follows that with a first-order
lag, sags by a fixed amount, and can be stuck. Load is proportional to how far the shaft is behind, current to load.
Too much load for too long is an overload: the servo keeps its protective torque only, until its power is switched off.
Constants without a source are guesses of the right size; nothing here was measured on a servo.
"""

from __future__ import annotations

import math

from hardware.feetech import servos
from hardware.feetech.servos import TICKS, Register

FACTORY = {  # EEPROM as LeRobot's setup leaves it
    servos.FIRMWARE: 3 + 10 * 256,
    servos.MODEL_NUMBER: servos.MODEL,
    servos.RETURN_DELAY: 0,
    servos.RESPONSE_LEVEL: 1,
    servos.MIN_POSITION: 0,
    servos.MAX_POSITION: TICKS - 1,
    servos.MAX_TEMPERATURE: 70,
    servos.MAX_VOLTAGE: 80,
    servos.MIN_VOLTAGE: 40,
    servos.MAX_TORQUE: 1000,
    servos.PROTECTIVE_TORQUE: 20,
    servos.PROTECTION_TIME: 200,
    servos.OVERLOAD_TORQUE: 80,
}
TOP_SPEED = servos.SERVO_SPEED / servos.RAD_PER_TICK  # ticks/s
TOP_ACCELERATION = 25_400.0  # ticks/s²: register 41 at 254
LAG_S = 0.03
FASTEST = 2**15 - 1  # ticks/s that its register can hold
STALL_TICKS = 130.0  # behind by so much (11 degrees), it pushes with all it has
STALL_A = 2.5
ROOM_C, HEAT_C_PER_A2S, COOL_PER_S = 25.0, 0.5, 0.01
STEP_S, LONGEST_S = 0.004, 2.0  # of the integration; of one catching up


class EmulatedServo:
    """A servo whose encoder stands at ``encoder`` ticks; time passes only in ``advance``."""

    def __init__(self, id_: int, encoder: float = TICKS / 2, voltage: float = 7.4, sag: float = 0.0) -> None:
        self.encoder, self.voltage, self.sag = encoder, voltage, sag
        self.powered, self.stuck = True, False
        self.lost = False  # its cable is out: it hears and says nothing
        self.temperature = ROOM_C
        self._saved = bytearray(servos.MEMORY_SIZE)  # EEPROM
        for register, value in {**FACTORY, servos.ID: id_}.items():
            self._saved[register.address : register.address + register.size] = register.encode(value)
        self.power_cycle()

    def power_cycle(self) -> None:
        """What is left after the power was off: the EEPROM. Torque is off."""
        self.memory = bytearray(256)
        self.memory[: len(self._saved)] = self._saved
        self.put(servos.LOCK, 1)
        self.put(servos.TORQUE_LIMIT, self.get(servos.MAX_TORQUE))
        self.forced_error = 0  # error bits for a test or a rehearsal
        self._overloaded, self._overload_s = False, 0.0
        self._setpoint, self._speed, self._rate, self._load = self.encoder, 0.0, 0.0, 0.0
        self.sense(0.0)

    def rest(self) -> None:
        """Somebody lets it cool, and switches its power off and on if it has protected itself."""
        self.temperature = ROOM_C
        if self._overloaded:
            self.power_cycle()

    # ------------------------------------------------------------------------------------------------------- registers
    @property
    def id(self) -> int:
        return self.get(servos.ID)

    @property
    def error(self) -> int:
        """Error bits of its answers."""
        return self.get(servos.STATUS)

    def get(self, register: Register) -> int:
        return register.within(bytes(self.memory), 0)

    def put(self, register: Register, value: int) -> None:
        """Change a register from inside; of the EEPROM, for good."""
        data = register.encode(value)
        self.memory[register.address : register.address + register.size] = data
        if register.address < len(self._saved):
            self._saved[register.address : register.address + register.size] = data

    def read(self, address: int, size: int) -> bytes:
        return bytes(self.memory[address : address + size]).ljust(size, b"\0")

    def write(self, address: int, data: bytes) -> None:
        """As the bus writes it: measurements cannot be written, EEPROM is kept only while LOCK is 0."""
        for at, value in enumerate(data, address):
            if at <= servos.MODEL_NUMBER.address + 1 or at >= servos.PRESENT_POSITION.address:
                continue
            self.memory[at] = value
            if at < len(self._saved) and not self.get(servos.LOCK):
                self._saved[at] = value
        if address <= servos.TORQUE_ENABLE.address < address + len(data):
            self._switched()

    def _switched(self) -> None:
        if self.memory[servos.TORQUE_ENABLE.address] == 128:  # "here is the middle"
            self.put(servos.HOMING_OFFSET, round(self.encoder) - TICKS // 2)
            self.put(servos.TORQUE_ENABLE, 0)
        self._setpoint, self._speed = self.encoder, 0.0

    # ---------------------------------------------------------------------------------------------------------- motion
    def advance(self, seconds: float) -> None:
        """Let time pass for a servo that moves nothing."""
        seconds = min(seconds, LONGEST_S)
        steps = math.ceil(seconds / STEP_S)
        for _ in range(steps):
            dt = seconds / steps
            target, encoder = self.target(dt), self.encoder
            if target is not None and not self.stuck:
                encoder += (target - self.sag - encoder) * (1.0 - math.exp(-dt / LAG_S))
            self.moved(encoder, 0.0 if target is None else (target - encoder) / STALL_TICKS, dt)
        self.sense(seconds)

    def target(self, dt: float) -> float | None:
        """Where it pulls its shaft to in the next ``dt`` s, in ticks of the encoder; None while it is limp."""
        if not self._drives:
            self._setpoint, self._speed = self.encoder, 0.0
            return None
        self._plan(dt)
        return self._setpoint

    @property
    def strength(self) -> float:
        """Share of the stall torque that it may use now."""
        share = self.get(servos.TORQUE_LIMIT) * servos.TORQUE_LIMIT.unit
        return min(share, self.get(servos.PROTECTIVE_TORQUE) * 0.01) if self._overloaded else share

    def moved(self, encoder: float, load: float, dt: float) -> None:
        """Its shaft was taken to ``encoder`` ticks within ``dt`` s, with a share ``load`` of the stall torque."""
        self._rate, self.encoder = (encoder - self.encoder) / dt, encoder
        self._load = max(-self.strength, min(self.strength, load))
        threshold = self.get(servos.OVERLOAD_TORQUE) * servos.OVERLOAD_TORQUE.unit
        self._overload_s = self._overload_s + dt if abs(self._load) >= threshold else 0.0
        if self._overload_s > self.get(servos.PROTECTION_TIME) * servos.PROTECTION_TIME.unit:
            self._overloaded = True

    def by_hand(self, ticks: float) -> None:
        """Somebody moves the limp joint to a present position; a joint with torque resists."""
        if not self._drives:
            self.encoder = self._setpoint = ticks + self.get(servos.HOMING_OFFSET)
            self.sense(0.0)

    @property
    def _drives(self) -> bool:
        return self.powered and self.get(servos.TORQUE_ENABLE) == 1 and not self.error & servos.HEAT_BIT

    def _plan(self, dt: float) -> None:
        """One step of the trapezoid that leads the setpoint to the goal."""
        low, high = self.get(servos.MIN_POSITION), self.get(servos.MAX_POSITION)
        goal = min(high, max(low, self.get(servos.GOAL_POSITION))) + self.get(servos.HOMING_OFFSET)
        top = min(abs(self.get(servos.GOAL_SPEED)) or TOP_SPEED, TOP_SPEED)
        rate = self.get(servos.ACCELERATION) * servos.ACCELERATION.unit or TOP_ACCELERATION
        left = goal - self._setpoint
        wanted = math.copysign(min(top, math.sqrt(2.0 * rate * abs(left)), abs(left) / dt), left)
        self._speed += max(-rate * dt, min(rate * dt, wanted - self._speed))
        self._setpoint += self._speed * dt

    def sense(self, seconds: float) -> None:
        """Put what is measured after another ``seconds`` into the registers."""
        current = abs(self._load) * STALL_A
        cooled = (self.temperature - ROOM_C) * math.exp(-COOL_PER_S * seconds)
        self.temperature = ROOM_C + cooled + HEAT_C_PER_A2S * current**2 * seconds
        counts = {
            servos.PRESENT_POSITION: (round(self.encoder) - self.get(servos.HOMING_OFFSET)),
            servos.PRESENT_SPEED: round(max(-FASTEST, min(FASTEST, self._rate))),  # an arm may be set elsewhere at once
            servos.PRESENT_LOAD: round(self._load / servos.PRESENT_LOAD.unit),
            servos.PRESENT_VOLTAGE: round(self.voltage / servos.PRESENT_VOLTAGE.unit),
            servos.PRESENT_TEMPERATURE: min(255, round(self.temperature)),
            servos.STATUS: self._status(),
            servos.MOVING: int(abs(self._rate) > 10.0),
            servos.PRESENT_CURRENT: round(math.copysign(current, self._load) / servos.PRESENT_CURRENT.unit),
        }
        for register, value in counts.items():
            self.put(register, value)

    def _status(self) -> int:
        low, high = self.get(servos.MIN_VOLTAGE) * 0.1, self.get(servos.MAX_VOLTAGE) * 0.1
        bits = self.forced_error | (0 if low <= self.voltage <= high else servos.VOLTAGE_BIT)
        bits |= servos.HEAT_BIT if self.temperature > self.get(servos.MAX_TEMPERATURE) else 0
        return bits | (servos.OVERLOAD_BIT if self._overloaded else 0)
