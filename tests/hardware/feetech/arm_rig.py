"""What the tests of the driver share: the emulated arm's registers, and a loop that moves it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hardware.feetech import packets, servos
from hardware.feetech.arm import Arm
from hardware.feetech.emulated.bus import EmulatedBus

Connect = Callable[..., Arm]
HASTY_S = 0.05  # of time-out, where somebody does not answer
PERIOD_S = 0.02
GOAL = np.array([0.3, -0.4, 0.5, 0.2, -0.1])


def torque(emulated: EmulatedBus) -> dict[str, int]:
    return {name: servo.get(servos.TORQUE_ENABLE) for name, servo in emulated.servos.items()}


def goals(emulated: EmulatedBus) -> list[int]:
    return [servo.get(servos.GOAL_POSITION) for servo in emulated.servos.values()]


def holds(emulated: EmulatedBus, *but: str) -> bool:
    """Every servo (but some) has its torque, and with time passing nothing moves away."""
    emulated.advance()
    return all(on == 1 for name, on in torque(emulated).items() if name not in but)


def written(emulated: EmulatedBus) -> list[int]:
    """First addresses of what was written since the servos were made."""
    return [one.parameters[0] for one in emulated.heard if one.code in (packets.WRITE, packets.SYNC_WRITE)]


def arrived(arm: Arm) -> None:
    """What was written has arrived: an answer came after it."""
    arm.bus.values([1], servos.LOCK)


def go(arm: Arm, goal: np.ndarray, ticks: int, gripper: float | None = None) -> None:
    for _ in range(ticks):
        arm.read()
        arm.write(goal, gripper)
        arm.clock.sleep(PERIOD_S)
