"""What is printed about a run that ended."""

from __future__ import annotations

from loop_rig import running

from robot.control.digest import digest, stage_table


def test_a_run_is_told_stage_by_stage_with_what_acted() -> None:
    rig = running(ticks=3)
    rig.loop.hold(True)
    rig.run(1)
    text = digest({**rig.loop.stats(), "gripper": {"sent": 2, "aborted": 0}})
    stats = rig.loop.stats()
    assert f"{stats['commands']} commands in {stats['ticks']} ticks, held in {stats['holds']}" in text
    assert f"observation to command: p50 {stats['latency_ms']['p50']} ms" in text
    assert [line.split()[0] for line in text.splitlines()[3:8]] == ["wait", "assemble", "infer", "limits", "publish"]
    assert "rules that acted: operator_hold 1\n" in text and "gripper: sent 2" in text


def test_the_table_has_a_row_for_each_stage_and_one_for_the_whole_way() -> None:
    times = {"n": 120, "p50": 1.5, "p95": 2.25, "p99": 3.0, "max": 10.125}
    none = {"n": 0, "p50": None, "p95": None, "p99": None, "max": None}
    assert [line.split() for line in stage_table({"infer": times}, none).splitlines()] == [
        ["ms", "n", "p50", "p95", "p99", "max"],
        ["infer", "120", "1.500", "2.250", "3.000", "10.125"],
        ["observation", "to", "command", "0", "-", "-", "-", "-"],
    ]
