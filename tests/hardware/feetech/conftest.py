"""An emulated SO-101 whose servos move by a clock of the test's, so that seconds of motion take no time."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hardware.feetech.arm import Arm, Clock
from hardware.feetech.emulated.bus import EmulatedBus

sys.path.insert(0, str(Path(__file__).parent))  # arm_rig

PATIENT_S = 0.5  # of time-out where everybody answers: other processes run beside these tests
HASTY_S = 0.05  # where somebody does not


class FakeTime(Clock):
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        seconds = [0.0]

        def sleep(duration: float) -> None:
            seconds[0] += duration

        super().__init__(lambda: seconds[0], sleep)


@pytest.fixture
def clock() -> Clock:
    return FakeTime()


@pytest.fixture
def emulated(clock: Clock) -> Iterator[EmulatedBus]:
    with EmulatedBus(now=clock.now) as bus:
        yield bus


@pytest.fixture
def calibration(emulated: EmulatedBus, tmp_path: Path) -> Path:
    return emulated.write_calibration(tmp_path / "so101.json")


@pytest.fixture
def connect(emulated: EmulatedBus, clock: Clock) -> Iterator[Callable[..., Arm]]:
    """Connect the driver to the emulated arm; closed at the end."""
    made: list[Arm] = []

    def make(calibration: Path | None = None, dry_run: bool = False, hasty: bool = False) -> Arm:
        timeout_s = HASTY_S if hasty else PATIENT_S
        made.append(Arm.connect(emulated.path, calibration, dry_run=dry_run, clock=clock, timeout_s=timeout_s))
        made[-1].bus.timeout_s = PATIENT_S
        return made[-1]

    yield make
    for arm in made:
        arm.bus.close()
