"""The matrix of the SO-101's own bus: each row is done and undone, and some of them on the emulated arm."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hardware.commands import fault_run, faults
from hardware.faults.bus_matrix import ACTS, bus_matrix
from hardware.faults.matrix import Fault
from robot import bundle, profile
from robot.errors import PixelarmError
from robot.profile import ArmProfile

TIMEOUT_S = 0.02


@pytest.fixture
def arm() -> ArmProfile:
    return ArmProfile.load(profile.find("sim_so101_bus", profile.shipped()))


@pytest.fixture
def rows(so101_bundle: Path, arm: ArmProfile) -> dict[str, Fault]:
    return {fault.name: fault for fault in bus_matrix(arm, bundle.read(so101_bundle)[1], TIMEOUT_S)}


class Scene:
    """Writes down what is done to it."""

    def __init__(self) -> None:
        self.done: list[tuple[Any, ...]] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *values, **named: self.done.append((name, *values, *sorted(named.items())))


def test_each_row_is_done_and_undone(rows: dict[str, Fault]) -> None:
    acts = {}
    for name, fault in rows.items():
        scene: Any = Scene()
        fault.begin(scene)
        begun = list(scene.done)
        fault.end(scene)
        acts[name] = (begun, scene.done[len(begun) :])
        assert begun, name
        assert acts[name][1] or name in ("servo: restarts", "cable: unplugged"), name
    assert set(ACTS) == {name for name in rows if not name.startswith("camera")}
    assert acts["bus: lost"] == ([("answers", ("lost", 1.0))], [("answers", ("lost", 0.0))])
    assert acts["servo: silent"] == (
        [("servo", "wrist_flex", ("lost", True))],
        [("servo", "wrist_flex", ("lost", False))],
    )
    assert acts["power: off"] == ([("power", False)], [("power", True)])
    assert acts["camera: black"][0] == [("misbehave", ("camera", "agentview"), ("how", "black"))]


def test_who_lost_torque_or_command_must_not_go_on_by_itself(rows: dict[str, Fault]) -> None:
    never = {"button: silent", "servo: overload", "servo: voltage", "servo: hot", "servo: restarts", "power: off",
             "cable: unplugged"}  # fmt: skip
    assert {name for name, fault in rows.items() if not fault.by_itself} == never
    # a question that fails: 0.04 of late answers, 3 * (0.02 + 6 * 0.00051 + 0.05), 2 * 6 * 0.02 of pings: 0.499 s;
    # beside it 0.3 s without a state, and two periods of 0.1 s
    assert rows["bus: lost"].within_s == pytest.approx(0.999, abs=0.001)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--timeout-ms", "20"], "--timeout-ms is of --arm sim_so101_bus alone"),
        (["--arm", "sim_so101_bus", "--timeout-ms", "0.1"], r"lies in \[1, 1000\]"),
        (["--arm", "sim_so101_bus", "--task", "lift"], "plays the bundle's own scene, reach"),
    ],
)
def test_options_that_do_nothing_are_refused(
    options: list[str], words: str, lift_bundle: Path, so101_bundle: Path
) -> None:
    path = so101_bundle if "--arm" in options else lift_bundle
    with pytest.raises(PixelarmError, match=words):
        faults.main([str(path), *options, "--list"])


def test_its_rows_are_listed(so101_bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert faults.main([str(so101_bundle), "--arm", "sim_so101_bus", "--only", "servo", "--list"]) == 0
    assert [line.split("  ")[0] for line in capsys.readouterr().out.splitlines()] == [
        "servo: silent", "servo: overload", "servo: voltage", "servo: hot", "servo: restarts"
    ]  # fmt: skip


@pytest.mark.serial
@pytest.mark.gl
@pytest.mark.slow
def test_an_arm_on_the_bus_is_held_and_goes_on_as_its_row_says(
    so101_bundle: Path, arm: ArmProfile, rows: dict[str, Fault]
) -> None:
    """Rules and ways to go on; how fast, the command measures."""
    from hardware.faults.bus_scene import BusScene

    names = ("bus: lost", "servo: overload", "cable: unplugged")
    found = fault_run.run(
        lambda: BusScene(so101_bundle, arm, 0.06), [rows[name] for name in names], lambda outcome: None
    )
    lost, overload, unplugged = found
    assert lost.rule in ("stale_state", "stale_observation") and lost.recovered, lost
    assert overload.rule == "driver" and not overload.resumed and overload.recovered, overload
    assert "clear" in overload.recovery
    assert unplugged.rule == "unplugged" and unplugged.recovered and "start it again" in unplugged.recovery, unplugged
