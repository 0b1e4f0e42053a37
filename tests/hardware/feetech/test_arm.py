"""The driver against the emulated arm: what it reads, what it writes, and that it holds whatever happens."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hardware.feetech import packets, servos
from hardware.feetech.arm import Arm, Clock
from hardware.feetech.emulator import EmulatedBus
from hardware.feetech.errors import (
    CalibrationMismatch,
    DuplicateId,
    Garbled,
    Implausible,
    NotFolded,
    PortError,
    PowerLost,
    ServoFault,
    ServoLost,
    TorqueLost,
    Unplugged,
    WrongServo,
)
from robot.errors import PixelarmError

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


# ----------------------------------------------------------------------------------------------- faults while it moves
def lose_one(emulated: EmulatedBus) -> None:
    emulated.servos["wrist_flex"].lost = True


def lose_the_end(emulated: EmulatedBus) -> None:
    emulated.servos["wrist_roll"].lost = emulated.servos["gripper"].lost = True


def corrupt_all(emulated: EmulatedBus) -> None:
    emulated.faults.corrupt = 1.0


def overload(emulated: EmulatedBus) -> None:
    emulated.servos["gripper"].forced_error = servos.OVERLOAD_BIT


def heat(emulated: EmulatedBus) -> None:
    emulated.servos["shoulder_lift"].temperature = 65.0  # below the servo's own limit


def undervoltage(emulated: EmulatedBus) -> None:
    emulated.servos["shoulder_pan"].voltage = 3.5


FAULTS = {
    "one lost": (lose_one, ServoLost, ["servo 4 (wrist_flex)", "Support the arm"]),
    "the end lost": (lose_the_end, ServoLost, ["servo 5 (wrist_roll), servo 6", "between servo 4 and servo 5"]),
    "power": (lambda emulated: emulated.power(False), PowerLost, ["none of the 6 servos", "limp", "power supply"]),
    "corrupt": (corrupt_all, Garbled, ["3 questions", "Check the cables"]),
    "overload": (overload, ServoFault, ["servo 6 (gripper) reports: overloaded", "power off and on"]),
    "heat": (heat, ServoFault, ["servo 2 (shoulder_lift) must stay below 60 °C", "let it cool"]),
    "voltage": (undervoltage, ServoFault, ["servo 1 (shoulder_pan) reports: supply voltage", "power supply"]),
    "unplugged": (lambda emulated: emulated.unplug(), Unplugged, ["went away", "keep their last goal"]),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_has_its_name_and_the_arm_holds(name: str, connect: Connect, emulated: EmulatedBus) -> None:
    strike, error, words = FAULTS[name]
    arm = connect()
    go(arm, GOAL, 10)
    arrived(arm)
    before = goals(emulated)
    arm.bus.timeout_s = HASTY_S
    strike(emulated)
    with pytest.raises(error) as caught:
        arm.read()
    for text in words:
        assert text in str(caught.value)
    assert holds(emulated) or name == "power"
    tolerance = 200 if name in ("overload",) else 0  # its jaw's goal may go back to where it is
    assert max(abs(a - b) for a, b in zip(goals(emulated), before)) <= tolerance
    arm.close()
    assert holds(emulated) or name == "power"


def test_single_bad_packets_end_nothing(connect: Connect, emulated: EmulatedBus) -> None:
    arm = connect()
    arm.bus.timeout_s, arm.bus.retries = HASTY_S, 9
    emulated.faults.lost, emulated.faults.corrupt, emulated.faults.noise = 0.01, 0.01, 0.05
    go(arm, GOAL / 2, 30)
    np.testing.assert_allclose(arm.read().position, GOAL / 2, atol=0.002)
    stats = arm.bus.stats
    assert stats.repeated > 0 and stats.failed == 0 and stats.corrupt > 0 and stats.garbage > 0


def test_a_stuck_joint_stops_pushing(connect: Connect, emulated: EmulatedBus) -> None:
    arm = connect()
    elbow = emulated.servos["elbow_flex"]
    elbow.stuck = True
    with pytest.raises(ServoFault, match="something blocks it"):
        go(arm, GOAL, 100)
    arrived(arm)
    arm.clock.sleep(0.5)
    emulated.advance()
    assert abs(elbow.get(servos.PRESENT_LOAD)) < 50, "its goal is where it is"
    assert holds(emulated)
    arm.read()
    with pytest.raises(PixelarmError, match=r"call recover\(\) first"):
        arm.write(GOAL)
    elbow.stuck = False
    arm.recover()
    go(arm, GOAL, 60)
    np.testing.assert_allclose(arm.read().position, GOAL, atol=0.002)


def test_a_fault_that_lasts_is_not_recovered_from(connect: Connect, emulated: EmulatedBus) -> None:
    arm = connect()
    go(arm, GOAL, 5)
    overload(emulated)
    for ask in (arm.read, arm.recover):
        with pytest.raises(ServoFault, match="overloaded"):
            ask()
    with pytest.raises(PixelarmError, match="recover"):
        arm.write(GOAL)
    assert holds(emulated)


def test_power_that_comes_back_is_no_torque(connect: Connect, emulated: EmulatedBus) -> None:
    """After the outage the servos answer as if nothing had been, and the arm is limp: that must be said."""
    arm = connect()
    go(arm, GOAL, 10)
    emulated.power(False)
    arm.bus.timeout_s = HASTY_S
    with pytest.raises(PowerLost):
        arm.read()
    arm.bus.timeout_s = 0.5
    emulated.power(True)
    with pytest.raises(TorqueLost, match="servo 1 .* servo 6 .*must have torque and has none"):
        arm.read()
    with pytest.raises(PixelarmError, match="recover"):
        arm.write(GOAL)
    arm.recover()
    assert holds(emulated)


def test_a_servo_that_restarts_unseen_is_found_within_a_second(connect: Connect, emulated: EmulatedBus) -> None:
    arm = connect()
    go(arm, GOAL, 5)
    with emulated.lock:
        emulated.servos["elbow_flex"].power_cycle()
    with pytest.raises(TorqueLost, match=r"servo 3 \(elbow_flex\) must have torque"):
        go(arm, GOAL, 60)
    assert holds(emulated, "elbow_flex")


def test_a_jump_is_read_again_before_it_is_believed(connect: Connect, emulated: EmulatedBus) -> None:
    arm = connect()
    elbow = emulated.servos["elbow_flex"]
    arm.read()
    elbow.encoder += 700
    elbow._setpoint += 700
    elbow.sense(0.0)
    with pytest.raises(Implausible, match="elbow_flex must move by less than"):
        arm.read()
    assert holds(emulated)


# ------------------------------------------------------------------------------------------------- faults at the start
def set_firmware(emulated: EmulatedBus) -> None:
    emulated.servos["wrist_roll"].put(servos.FIRMWARE, 3 + 9 * 256)


def set_model(emulated: EmulatedBus) -> None:
    emulated.servos["wrist_roll"].put(servos.MODEL_NUMBER, 2825)


def set_mode(emulated: EmulatedBus) -> None:
    emulated.servos["wrist_roll"].put(servos.MODE, 1)


def set_supply(emulated: EmulatedBus) -> None:
    for servo in emulated.servos.values():
        servo.voltage = 12.0


def out_of_range(emulated: EmulatedBus) -> None:
    emulated.servos["elbow_flex"].by_hand(3400)


REFUSED = {
    "firmware": (set_firmware, WrongServo, ["one firmware", "wrist_roll 3.9", "elbow_flex 3.10"]),
    "model": (set_model, WrongServo, ["model 777", "got model 2825"]),
    "mode": (set_mode, WrongServo, ["mode 0 (position), got mode 1"]),
    "supply": (set_supply, WrongServo, ["4.0 to 8.0 V, got 12.0 V"]),
    "overload": (overload, ServoFault, ["reports: overloaded"]),
    "range": (out_of_range, ServoFault, ["946 to 3150 ticks, got 3400"]),
    "lost": (lose_one, ServoLost, ["servo 4 (wrist_flex)"]),
    "power": (lambda emulated: emulated.power(False), PowerLost, ["none of the 6 servos"]),
    "twin": (lambda emulated: emulated.add_twin("elbow_flex"), DuplicateId, ["servo 3 (elbow_flex)", "one id"]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_arm_that_does_not_fit_is_refused_before_anything_is_written(
    name: str, connect: Connect, emulated: EmulatedBus
) -> None:
    change, error, words = REFUSED[name]
    change(emulated)
    with pytest.raises(error) as caught:
        connect(hasty=True)
    for text in words:
        assert text in str(caught.value)
    assert written(emulated) == []


def test_a_servo_with_the_id_of_another_leaves_its_own_silent(connect: Connect, emulated: EmulatedBus) -> None:
    emulated.servos["wrist_roll"].put(servos.ID, 4)
    with pytest.raises(DuplicateId, match=r"servo 4 \(wrist_flex\).*no answer came from servo 5 \(wrist_roll\)"):
        connect(hasty=True)


def test_a_calibration_of_another_arm_is_refused(connect: Connect, emulated: EmulatedBus, calibration: Path) -> None:
    data = json.loads(calibration.read_text())
    data["elbow_flex"]["homing_offset"] = 211
    calibration.write_text(json.dumps(data))
    with pytest.raises(CalibrationMismatch, match="elbow_flex: homing_offset is 211 in the file and 210 in servo 3"):
        connect(calibration)
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
