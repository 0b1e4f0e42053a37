"""``pixelarm so101`` and ``pixelarm sim-bus`` as a user types them."""

from __future__ import annotations

import ast
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from hardware.commands import sim_bus, so101, so101_follow, so101_look
from hardware.feetech import packets, servos
from hardware.feetech.emulated.bus import EmulatedBus
from hardware.feetech.errors import CalibrationMismatch, ServoFault
from hardware.feetech.settings import Settings
from robot import cli
from robot.errors import PixelarmError

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def bus() -> Iterator[EmulatedBus]:
    """An arm in real time, near its rest pose so that folding is short."""
    with EmulatedBus() as made:
        for name, ticks in {"shoulder_lift": 960, "elbow_flex": 3110, "wrist_flex": 2520}.items():
            made.servos[name].by_hand(ticks)
        yield made


def silent(bus: EmulatedBus) -> bool:
    """Nobody wrote anything to its servos."""
    return not [one for one in bus.heard if one.code in (packets.WRITE, packets.SYNC_WRITE)]


def test_check_shows_the_servos_and_writes_nothing(
    bus: EmulatedBus, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    calibration, found = bus.write_calibration(tmp_path / "arm.json"), tmp_path / "found.json"
    argv = ["so101", "check", "--port", bus.path, "--calibration", str(calibration), "--json", str(found)]
    assert cli.main([*argv, "--reads", "20", "--timeout-ms", "500"]) == 0
    text = capsys.readouterr().out
    assert "elbow_flex      3    777      3.10     off   7.4  25   3110   946..3150     210  none" in text
    assert "20 reads of all six servos" in text and "highest rate:" in text
    assert "is what the servos hold" in text and "fit to be moved" in text
    data = json.loads(found.read_text())
    assert data["servos"]["gripper"]["state"]["ticks"] == 2560 and data["bus"]["read_ms"]["n"] == 20
    assert silent(bus)


def test_the_highest_rate_by_hand() -> None:
    """Read 4 ms, write 0.26 ms, margin 1 ms (a fifth of 4 is less): 5.26 ms; read 10 ms: 10 + 0.26 + 2."""
    assert so101_look.highest_rate(4.0) == pytest.approx(190.1)
    assert so101_look.highest_rate(10.0) == pytest.approx(81.6)


def test_check_shows_the_table_and_then_what_is_wrong(
    bus: EmulatedBus, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    calibration = bus.write_calibration(tmp_path / "arm.json")
    bus.servos["gripper"].forced_error = servos.OVERLOAD_BIT
    argv = ["check", "--port", bus.path, "--reads", "10", "--timeout-ms", "500"]
    with pytest.raises(ServoFault, match="gripper"):
        so101.main(argv)
    assert "overloaded" in capsys.readouterr().out
    bus.servos["gripper"].forced_error = 0
    bus.servos["gripper"].put(servos.MIN_POSITION, 1900)
    with pytest.raises(CalibrationMismatch, match="range_min is 1934 in the file and 1900 in servo 6"):
        so101.main([*argv, "--calibration", str(calibration)])


def test_check_advises_on_slow_answers(bus: EmulatedBus, capsys: pytest.CaptureFixture[str]) -> None:
    for servo in bus.servos.values():
        servo.put(servos.RETURN_DELAY, 250)
    assert so101.main(["check", "--port", bus.path, "--reads", "10", "--timeout-ms", "500"]) == 0
    assert "6 servos wait 500 us before they answer (register 7), 3.0 ms" in capsys.readouterr().out


def test_read_prints_joints_and_faults(bus: EmulatedBus, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["read", "--port", bus.path, "--seconds", "0.1", "--timeout-ms", "500"]
    assert so101.main(argv) == 0
    text = capsys.readouterr().out
    assert text.count("\n") == 1 and "shoulder_lift -1.669" in text and "gripper 50 %" in text
    assert silent(bus)


def test_fold_without_yes_shows_the_way_and_writes_nothing(
    bus: EmulatedBus, capsys: pytest.CaptureFixture[str]
) -> None:
    assert so101.main(["fold", "--port", bus.path, "--timeout-ms", "500"]) == 0
    text = capsys.readouterr().out
    assert "shoulder_lift   -1.67 ->  -1.70 rad" in text and "dry run" in text and "--yes" in text
    assert silent(bus)


def test_fold_with_yes_folds(bus: EmulatedBus, capsys: pytest.CaptureFixture[str]) -> None:
    assert so101.main(["fold", "--port", bus.path, "--yes", "--timeout-ms", "500"]) == 0
    assert "folded; the torque is off" in capsys.readouterr().out
    assert {servo.get(servos.TORQUE_ENABLE) for servo in bus.servos.values()} == {0}
    assert servos.TORQUE_ENABLE.address in {one.parameters[0] for one in bus.heard if one.code == packets.SYNC_WRITE}


def test_a_way_into_the_table_is_refused() -> None:
    """At rest the lowest is the first joint, 62 mm above the base's plane; the other pose leads the tip below it."""
    settings = Settings.load()
    start, end = settings.rest, np.array([0.0, 1.2, -1.2, 1.6, 0.0])
    assert so101_follow.lowest_m(start, start) == pytest.approx(0.0624, abs=1e-4)
    assert so101_follow.lowest_m(start, end) < -0.01
    with pytest.raises(PixelarmError, match="push into the table"):
        so101_follow._require_clear(start, end)
    so101_follow._require_clear(end, end)  # it is there already


def test_follow_measures_the_delay(bus: EmulatedBus, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = tmp_path / "found.json"
    with EmulatedBus() as hand:
        argv = ["follow", "--leader", hand.path, "--follower", bus.path, "--seconds", "0.3", "--rate", "50"]
        assert so101.main([*argv, "--json", str(found), "--timeout-ms", "500"]) == 0
        assert "dry run: nothing was moved" in capsys.readouterr().out and silent(bus) and silent(hand)
        assert so101.main([*argv, "--yes", "--json", str(found), "--timeout-ms", "500"]) == 0
    stats = json.loads(found.read_text())
    assert stats["ticks"] > 3 and stats["delay_ms"]["n"] == stats["ticks"] and stats["delay_ms"]["p50"] > 0
    assert {servo.get(servos.TORQUE_ENABLE) for servo in bus.servos.values()} == {1}, "the follower goes on holding"


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["check", "--port", "x", "--reads", "3"], "--reads must lie between 10"),
        (["read", "--port", "x", "--rate", "500"], "--rate must lie between"),
        (["fold", "--port", "x", "--timeout-ms", "0"], "--timeout-ms must lie between"),
        (["check", "--port", "x", "--settings", "none.yaml"], "settings of the arm none.yaml"),
        (["check", "--port", "x"], "cannot open the port x"),
    ],
)
def test_what_makes_no_sense_is_refused(argv: list[str], words: str) -> None:
    with pytest.raises(PixelarmError, match=words):
        so101.main(argv)


def test_the_driver_needs_no_more_than_the_robot_side() -> None:
    """It runs on a robot's computer that has neither ROS nor a simulator nor pyserial."""
    found = set()
    for path in (ROOT / "hardware" / "feetech").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            found |= {*names, str(node.module)} if isinstance(node, ast.ImportFrom) else set(names)
    others = {name for name in found if name.partition(".")[0] not in sys.stdlib_module_names}
    assert {name for name in others if not name.startswith(("hardware.feetech", "robot."))} == {"numpy"}


# ------------------------------------------------------------------------------------------------------------- sim-bus
def test_sim_bus_says_its_port_takes_orders_and_ends_cleanly(tmp_path: Path) -> None:
    link, calibration = tmp_path / "port", tmp_path / "arm.json"
    child = subprocess.Popen(
        [sys.executable, "-m", "robot.cli", "sim-bus", "--link", str(link), "--calibration", str(calibration)],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert child.stdin is not None and child.stdout is not None
    try:
        assert child.stdout.readline().startswith("port: /dev/pts/")
        assert str(link) in child.stdout.readline()
        argv = ["check", "--port", str(link), "--calibration", str(calibration), "--reads", "10", "--timeout-ms", "200"]
        assert so101.main(argv) == 0
        child.stdin.write("stuck gripper\nsilent wrist_roll\n")
        child.stdin.flush()
        assert child.stdout.readline() == "gripper: stuck\n"
        assert child.stdout.readline() == "wrist_roll: silent\n"
        with pytest.raises(PixelarmError, match=r"no answer came from servo 5 \(wrist_roll\)"):
            so101.main(argv)
        child.stdin.write("dance\n")
        child.send_signal(signal.SIGTERM)
        _, errors = child.communicate(timeout=30)
        assert child.returncode == 130 and not link.is_symlink(), errors
    finally:
        child.kill()
        child.wait()


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--lose", "2"], "--lose must lie between 0 and 1"),
        (["--model", "--hand"], "do not go together"),
        (["--link", "."], "is there already"),
    ],
)
def test_sim_bus_refuses_what_makes_no_sense(argv: list[str], words: str) -> None:
    with pytest.raises(PixelarmError, match=words):
        sim_bus.main(argv)
