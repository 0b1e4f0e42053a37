"""What a row is called, and that one that fails takes no other with it."""

from __future__ import annotations

import dataclasses
import json
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hardware.commands import fault_run, faults
from hardware.commands.fault_run import Outcome, run
from hardware.faults.matrix import Fault
from hardware.faults.motion import Motion
from robot.errors import PixelarmError

FAULT = Fault("camera: lost", "front sends nothing", ("stale_observation",), 0.4)
FINE = Outcome(FAULT, "stale_observation", 0.1, Motion(0.3, 0.2, 0.02), "by itself", True)


def changed(**fault: Any) -> Callable[..., Outcome]:
    return lambda **outcome: dataclasses.replace(FINE, fault=dataclasses.replace(FAULT, **fault), **outcome)


@pytest.mark.parametrize(
    ("outcome", "verdict"),
    [
        (FINE, "ok"),
        (changed()(after_s=0.41), "answered late"),
        (changed()(after_s=None), "not answered"),
        (changed()(motion=Motion(None, 0.2, 0.1)), "not at rest"),
        (changed()(resumed=False), "ok"),  # held for longer than needed
        (changed()(resumed=False, held_by="front is old"), "did not go on: front is old"),
        (changed(by_itself=False)(), "went on by itself"),
        (changed(by_itself=False)(resumed=False), "ok"),
        (changed(between=True)(motion=Motion(None, 0.2, 0.1)), "ok"),  # each hold came in time
        (changed(between=True)(motion=Motion(None, 0.2, 0.1), after_s=0.5), "answered late"),
        (changed(between=True)(after_s=None), "not answered"),
        (changed(heals=True)(motion=Motion(None, 0.2, 0.1)), "ok"),  # it went on before it rested
        (changed(heals=True)(motion=Motion(None, 0.2, 0.1), after_s=0.41), "answered late"),
        (changed(rules=())(after_s=None, motion=Motion(None, 0.2, 0.3)), "ok"),
        (changed(rules=())(after_s=None, resumed=False), "held for good"),
        (Outcome(FAULT, failure="not started: front is old"), "not started: front is old"),
    ],
)
def test_a_verdict_is_of_the_hold_the_rest_and_how_it_went_on(outcome: Outcome, verdict: str) -> None:
    assert (outcome.verdict, outcome.safe) == (verdict, verdict == "ok")
    assert (outcome.row()["verdict"], outcome.row()["safe"]) == (outcome.verdict, outcome.safe)


ROWS = [dataclasses.replace(FAULT, name=f"camera: {i}") for i in range(6)]


class Nodes:
    """Stands for the nodes of one row after another: ``begins`` and ``tries`` raise or return what is given by row."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, begins: dict[str, list[Any]], tries: dict[str, Any]) -> None:
        self.made: list[int] = []
        self.closed: list[int] = []
        self.begun: list[int] = []
        self._begins, self._tries = begins, tries
        monkeypatch.setattr(fault_run, "_begin", self._begin)
        monkeypatch.setattr(fault_run, "_try", self._try)

    def make(self) -> Any:
        self.made.append(len(self.made))
        number = self.made[-1]
        return Namespace(number=number, close=lambda: self.closed.append(number))

    def run(self, rows: list[Fault]) -> list[str]:
        self.rows, self.row, self.heard = rows, 0, []  # type: ignore[var-annotated]

        def done(outcome: Outcome) -> None:
            self.heard.append(outcome.verdict)
            self.row += 1

        found = run(self.make, rows, done)
        assert [outcome.verdict for outcome in found] == self.heard
        return self.heard

    def _begin(self, scene: Any, fault: Fault) -> None:
        self.begun.append(scene.number)
        queue = self._begins.get(self.rows[self.row].name, [])
        if queue and (error := queue.pop(0)) is not None:
            raise error

    def _try(self, scene: Any, fault: Fault) -> Outcome:
        found = self._tries.get(fault.name, FINE)
        if isinstance(found, BaseException):
            raise found
        return dataclasses.replace(found, fault=fault)


def test_rows_share_their_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = Nodes(monkeypatch, {}, {})
    assert nodes.run(ROWS[:3]) == ["ok"] * 3
    assert (nodes.made, nodes.closed) == ([0], [0])


def test_an_error_is_the_result_of_its_row_and_the_next_has_fresh_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    lost = dataclasses.replace(FINE, resumed=False, held_by="x")
    nodes = Nodes(monkeypatch, {}, {"camera: 0": KeyError("rule"), "camera: 2": lost})
    assert nodes.run(ROWS[:4]) == ["error: KeyError: 'rule'", "ok", "did not go on: x", "ok"]
    assert nodes.begun == [0, 1, 1, 2]
    assert nodes.closed == [0, 1, 2]


def test_a_row_that_cannot_begin_is_tried_on_fresh_nodes_then_said(monkeypatch: pytest.MonkeyPatch) -> None:
    old = PixelarmError("front is old")
    nodes = Nodes(monkeypatch, {"camera: 1": [old], "camera: 2": [old, old]}, {})
    assert nodes.run(ROWS[:4]) == ["ok", "ok", "not started: front is old", "ok"]
    assert nodes.begun == [0, 0, 1, 1, 2, 3]
    assert nodes.closed == [0, 1, 2, 3]


def test_what_never_begins_does_not_take_all_day(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = Nodes(monkeypatch, {fault.name: [PixelarmError("it does not move")] * 2 for fault in ROWS}, {})
    verdicts = nodes.run(ROWS)
    assert verdicts[:3] == ["not started: it does not move"] * 3
    assert verdicts[3:] == ["not started: nor were the 3 rows before"] * 3
    assert nodes.begun == [0, 1, 2]  # nor on fresh ones


def test_ended_in_a_row_it_ends_its_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = Nodes(monkeypatch, {}, {"camera: 1": SystemExit(143)})
    with pytest.raises(SystemExit):
        nodes.run(ROWS[:3])
    assert (nodes.heard, nodes.closed) == (["ok"], [0])


class Scene:
    """Nodes whose streams are fresh after so many looks."""

    def __init__(self, looks: int, refusals: int = 0) -> None:
        self.status = {"state_age_s": 0.01, "mode": "policy", "rule": ""}
        self.called: list[str] = []
        self._looks, self._refusals = looks, refusals

    def until(self, what: Callable[[], bool], timeout_s: float) -> bool:
        return any(what() for _ in range(round(10 * timeout_s)))  # ten looks a second

    def call(self, service: str) -> tuple[bool, str]:
        self.called.append(service)
        if service == "arbiter/policy" and self._refusals:
            self._refusals -= 1
            return False, "front is old"
        return True, ""

    def trouble(self) -> str:
        self._looks -= 1
        return "front is old" if self._looks >= 0 else ""

    def press(self) -> None:
        self.called.append("press")

    def tail(self) -> str:
        return "a last line"


def test_a_row_begins_when_its_streams_are_fresh() -> None:
    scene: Any = Scene(looks=150, refusals=20)  # after 15 s, and again refused for 2 s
    fault_run._prepare(scene)
    assert scene.called[:4] == ["arbiter/stop", "sim_arm/reset", "press", "arbiter/clear"]
    assert scene.called[4:] == ["arbiter/policy"] * 21


class Stopped(Scene):
    """Nodes that go on only after one of ``cures`` was called."""

    def __init__(self, *cures: str) -> None:
        super().__init__(looks=0)
        self._cures = cures
        self.status["rule"] = "source_holds"

    def clear_policy(self) -> None:
        self.call("policy/hold")

    def call(self, service: str) -> tuple[bool, str]:
        if service in self._cures:
            self.status["rule"] = ""
        return super().call(service)

    def press(self) -> None:
        self.call("press")

    def trouble(self) -> str:
        return "latched (too_slow): clear its hold" if "policy/hold" in self._cures and self.status["rule"] else ""


@pytest.mark.parametrize(
    ("cure", "words", "resumed"),
    [
        ("", "by itself", True),
        ("press", "press the button anew", False),
        ("policy/hold", "clear the policy's hold", False),
        ("arbiter/policy", "clear, give command", False),
    ],
)
def test_the_least_that_it_takes_to_go_on_is_found(cure: str, words: str, resumed: bool) -> None:
    scene: Any = Stopped(cure)
    if not cure:
        scene.status["rule"] = ""
    assert fault_run._recover(scene, FAULT) == (words, resumed, "")


def test_streams_that_stay_old_are_said_and_command_is_not_given() -> None:
    scene: Any = Scene(looks=1000)
    with pytest.raises(PixelarmError, match="after 20 s still: front is old; a last line"):
        fault_run._prepare(scene)
    assert "arbiter/policy" not in scene.called


def test_the_table_is_written_after_each_row(tmp_path: Path) -> None:
    table = faults.Table(Namespace(out=tmp_path, arm="sim_panda", bundle=Path("b")), "lift", 2)
    table.add(FINE.row())
    found = json.loads((tmp_path / "faults.json").read_text())
    assert (found["planned"], [row["verdict"] for row in found["rows"]]) == (2, ["ok"])
    assert "1 of 2 rows: not finished." in (tmp_path / "faults.md").read_text()
    table.add(Outcome(ROWS[1], failure="not started: a | b\nc").row())
    text = (tmp_path / "faults.md").read_text()
    assert "| camera: 1 | front sends nothing | - | - | - | - | - | - | not started: a / b c |" in text
    assert "not finished" not in text
    assert faults.line(table.rows[1]).startswith("camera: 1          not started: a | b")
    assert "camera: lost       ok: stale_observation after 100 ms, at rest after 300 ms" in faults.line(table.rows[0])
