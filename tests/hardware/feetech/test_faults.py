"""Each fault has its own error, and the arm holds."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from arm_rig import GOAL, HASTY_S, Connect, arrived, go, goals, holds, torque, written

from hardware.feetech import packets, servos
from hardware.feetech.emulated.bus import EmulatedBus
from hardware.feetech.errors import (
    CalibrationMismatch,
    DuplicateId,
    Garbled,
    Implausible,
    PowerLost,
    ServoFault,
    ServoLost,
    TorqueLost,
    Unplugged,
    WrongServo,
)
from hardware.feetech.port import Port
from hardware.feetech.servos import ServoState
from robot.errors import PixelarmError


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


def test_a_jump_is_read_again_before_it_is_believed(
    connect: Connect, emulated: EmulatedBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    arm = connect()
    truth, told = arm._measure, list[float]()

    def wrong_once() -> tuple[list[ServoState], list[int], float]:
        measured, bits, stamp = truth()
        if not told:
            told.append(stamp)
            measured[2] = replace(measured[2], ticks=700)
        return measured, bits, stamp

    monkeypatch.setattr(arm, "_measure", wrong_once)
    assert arm.read().position[2] == pytest.approx(0.0, abs=1e-3) and told


def test_a_joint_that_did_jump_ends_it(connect: Connect, emulated: EmulatedBus) -> None:
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
def test_torque_comes_only_when_every_servo_holds_its_goal(
    connect: Connect, emulated: EmulatedBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody confirms a sync write. The first one with goals is lost here, and the goal from before is far away."""
    elbow, write, lost = emulated.servos["elbow_flex"], Port.write, list[bytes]()
    elbow.write(servos.GOAL_POSITION.address, servos.GOAL_POSITION.encode(1000))

    def unheard_once(port: Port, data: bytes) -> None:
        if data[4:6] == bytes([packets.SYNC_WRITE, servos.GOAL_POSITION.address]) and not lost:
            lost.append(data)
        else:
            write(port, data)

    monkeypatch.setattr(Port, "write", unheard_once)
    arm = connect()
    arm.clock.sleep(1.0)
    arm.read()
    assert lost and holds(emulated) and elbow.get(servos.PRESENT_POSITION) == 2048


def test_a_servo_that_takes_nothing_gets_no_torque(
    connect: Connect, emulated: EmulatedBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(emulated.servos["elbow_flex"], "write", lambda address, data: None)
    with pytest.raises(Garbled, match=r"servo 3 \(elbow_flex\) must take what is written to register 46"):
        connect()
    assert set(torque(emulated).values()) == {0}


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
