"""The driver against the emulated arm: what it reads and writes, and that only fold lets go."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from arm_rig import GOAL, PERIOD_S, Connect, arrived, go, goals, holds, torque, written

from hardware.feetech import servos
from hardware.feetech.arm import Arm, Clock
from hardware.feetech.emulated.bus import EmulatedBus
from hardware.feetech.errors import NotFolded, PortError, PowerLost, ServoFault
from robot.errors import PixelarmError


# --------------------------------------------------------------------------------------------------- reading and moving
def test_a_dry_run_reads_and_writes_nothing(connect: Connect, emulated: EmulatedBus, calibration: Path) -> None:
    arm = connect(calibration, dry_run=True)
    emulated.servos["shoulder_pan"].by_hand(2048 + 1024)
    arm.clock.sleep(1.0)
    state = arm.read()
    assert state.position == pytest.approx([np.pi / 2, 0.0, 0.0, 0.0, 0.00077], abs=1e-4)
    assert state.gripper == pytest.approx(0.5, abs=1e-3)
    assert state.voltage == pytest.approx([7.4] * 6)
    go(arm, GOAL, 3)
    arm.hold()
    arm.close()
    assert written(emulated) == [] and set(torque(emulated).values()) == {0}


def test_connecting_lets_the_arm_hold_without_a_jump(connect: Connect, emulated: EmulatedBus) -> None:
    """A goal from before, far away, must not be gone to when the torque comes."""
    elbow = emulated.servos["elbow_flex"]
    elbow.write(servos.GOAL_POSITION.address, servos.GOAL_POSITION.encode(1000))
    elbow.by_hand(2300)
    arm = connect()
    arm.clock.sleep(1.0)
    arm.read()
    assert elbow.get(servos.PRESENT_POSITION) == 2300
    assert holds(emulated)
    order = written(emulated)
    assert order.index(servos.GOAL_POSITION.address) < order.index(servos.TORQUE_ENABLE.address)
    assert emulated.servos["gripper"].get(servos.TORQUE_LIMIT) == 500
    assert elbow.get(servos.GOAL_SPEED) == 978  # 1.5 rad/s * 4096 / 2 pi, rounded up


def test_an_arm_that_holds_keeps_its_goals_when_a_driver_connects_again(
    connect: Connect, emulated: EmulatedBus
) -> None:
    """A sagging arm would sink a little with each new start if its measured position became its goal."""
    first = connect()
    go(first, GOAL, 60)
    arrived(first)
    before = goals(emulated)
    first.close()
    emulated.servos["shoulder_lift"].sag = 20.0
    first.clock.sleep(1.0)
    connect().read()
    assert goals(emulated) == before


def test_the_arm_goes_where_it_is_told(connect: Connect, emulated: EmulatedBus) -> None:
    arm = connect()
    go(arm, GOAL, 60, gripper=0.2)
    state = arm.read()
    np.testing.assert_allclose(state.position, GOAL, atol=0.002)
    assert state.gripper == pytest.approx(0.2, abs=0.002)
    eeprom = [address for address in written(emulated) if address < servos.TORQUE_ENABLE.address]
    assert not eeprom, "the driver writes no EEPROM"


def test_no_goal_runs_away_from_the_step_limit(connect: Connect, emulated: EmulatedBus) -> None:
    """1.5 rad/s for 20 ms are 0.03 rad, and 0.05 rad after a pause of any length."""
    arm = connect()
    arm.read()
    arm.clock.sleep(0.02)
    arm.read()
    joints, _ = arm.write(np.full(5, 1.0))
    np.testing.assert_allclose(joints[:4], 0.03, atol=1e-9)
    arm.clock.sleep(5.0)
    arm.read()
    joints, _ = arm.write(np.full(5, 1.0))
    np.testing.assert_allclose(joints[:4], 0.08, atol=1e-9)


def test_speed_and_position_have_the_models_sign(connect: Connect) -> None:
    arm = connect()
    go(arm, np.array([0.5, -0.5, 0.0, 0.0, 0.0]), 10)
    velocity = arm.read().velocity
    assert velocity[0] > 0.5 and velocity[1] < -0.5 and abs(velocity[2]) < 0.05


@pytest.mark.parametrize("goal", [np.full(5, np.nan), np.zeros(4), np.array([0, 0, np.inf, 0, 0])])
def test_a_senseless_goal_is_refused_and_the_arm_holds(
    goal: np.ndarray, connect: Connect, emulated: EmulatedBus
) -> None:
    arm = connect()
    before = goals(emulated)
    arm.read()
    with pytest.raises(PixelarmError, match="5 finite numbers"):
        arm.write(goal)
    assert goals(emulated) == before and holds(emulated)


def test_a_write_needs_a_fresh_read(connect: Connect) -> None:
    arm = connect()
    arm.read()
    arm.clock.sleep(0.6)
    with pytest.raises(PixelarmError, match="at most 0.5 s before"):
        arm.write(GOAL)


def test_closing_and_an_exception_leave_the_torque_on(connect: Connect, emulated: EmulatedBus) -> None:
    with pytest.raises(ZeroDivisionError), connect() as arm:
        go(arm, GOAL, 5)
        raise ZeroDivisionError
    assert holds(emulated)


def test_the_jaw_closes_on_something_with_a_bounded_current(connect: Connect, emulated: EmulatedBus) -> None:
    arm = connect()
    emulated.servos["gripper"].stuck = True  # it holds something that does not give
    currents = []
    for _ in range(100):
        currents.append(abs(arm.read().current[-1]))
        arm.write(np.zeros(5), 0.0)
        arm.clock.sleep(PERIOD_S)
    assert max(currents) < 1.26, "half of the 2.5 A of a stalled servo, by the torque limit of the settings"
    assert 0.35 < min(currents[50:]) and max(currents[50:]) < 0.55, "it goes on pressing, with 0.5 A at most"
    assert emulated.servos["gripper"].error == 0


# -------------------------------------------------------------------------------------------------------------- folding
def test_fold_goes_slowly_and_then_lets_go(connect: Connect, emulated: EmulatedBus) -> None:
    arm = connect()
    start, left = arm.clock.now(), []
    arm.fold(left.append)
    assert arm.clock.now() - start == pytest.approx(1.70 / 0.5, abs=0.5)  # at 0.5 rad/s
    assert left[0] == pytest.approx(1.70, abs=0.01) and left[-1] < 0.12
    assert set(torque(emulated).values()) == {0}
    np.testing.assert_allclose(arm.read().position, arm.settings.rest, atol=0.12)


def test_an_arm_that_does_not_come_to_rest_holds(connect: Connect, emulated: EmulatedBus) -> None:
    for name, ticks in {"shoulder_lift": 960, "elbow_flex": 3110, "wrist_flex": 2500}.items():
        emulated.servos[name].by_hand(ticks)
    arm = connect()
    emulated.servos["wrist_flex"].sag = 90.0  # 0.14 rad: it does not come near enough,
    emulated.servos["wrist_flex"].put(servos.TORQUE_LIMIT, 400)  # and does not push hard
    with pytest.raises(NotFolded, match="wrist_flex must come within 0.12 rad"):
        arm.fold()
    assert holds(emulated)


def test_a_blocked_arm_does_not_fold_and_holds(connect: Connect, emulated: EmulatedBus) -> None:
    arm = connect()
    emulated.servos["elbow_flex"].stuck = True
    with pytest.raises(ServoFault, match=r"servo 3 \(elbow_flex\) must draw at most 1.5 A"):
        arm.fold()
    assert holds(emulated)


def test_a_dry_run_does_not_fold(connect: Connect, emulated: EmulatedBus) -> None:
    with pytest.raises(PixelarmError, match="dry_run=False"):
        connect(dry_run=True).fold()
    assert written(emulated) == []


# ------------------------------------------------------------------------------------------------------------ the port
def test_two_drivers_do_not_share_a_port(connect: Connect) -> None:
    connect()
    with pytest.raises(PortError, match="another process has"):
        connect()


def test_a_port_is_free_again_after_a_refusal(connect: Connect, emulated: EmulatedBus) -> None:
    emulated.power(False)
    with pytest.raises(PowerLost):
        connect(hasty=True)
    emulated.power(True)
    connect().read()


def test_ports_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(PortError, match="no such file"):
        Arm.connect(str(tmp_path / "ttyACM0"))
    (tmp_path / "file").write_text("")
    with pytest.raises(PortError, match="no serial port"):
        Arm.connect(str(tmp_path / "file"))


def test_a_closed_arm_says_so(connect: Connect, clock: Clock) -> None:
    arm = connect()
    arm.close()
    with pytest.raises(PortError, match="is closed"):
        arm.read()
