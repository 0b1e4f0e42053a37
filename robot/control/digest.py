"""What a run of the control loop was like, as a few lines: where its milliseconds went, and what acted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

TOTAL = "observation to command"
COLUMNS = ("p50", "p95", "p99", "max")


def stage_table(stages: Mapping[str, Mapping[str, Any]], latency: Mapping[str, Any]) -> str:
    """Milliseconds of each stage, and of the whole way from an observation's stamp to the published command.

    Args:
        stages: name -> what ``robot.control.timing.Samples.summary`` returns.
        latency: the same of the whole way.
    """
    rows = {**stages, TOTAL: latency}
    width = max(map(len, rows))
    lines = [f"{'ms':<{width}} {'n':>7}" + "".join(f"{column:>10}" for column in COLUMNS)]
    for name, row in rows.items():
        cells = "".join(f"{'-':>10}" if row[c] is None else f"{row[c]:>10.3f}" for c in COLUMNS)
        lines.append(f"{name:<{width}} {row['n']:>7}{cells}")
    return "\n".join(lines)


def digest(stats: Mapping[str, Any]) -> str:
    """A run that ended, from ``ControlLoop.stats``; with a key ``gripper``, what became of its commands."""
    latency = stats["latency_ms"]
    lines = [f"{stats['commands']} commands in {stats['ticks']} ticks, held in {stats['holds']}"]
    if latency["n"]:
        lines.append(
            f"{TOTAL}: p50 {latency['p50']} ms, p99 {latency['p99']} ms, max {latency['max']} ms; "
            f"deadline {stats['deadline_ms']:g} ms, missed {stats['deadline_misses']}"
        )
    if stats["stages"]:
        lines.append(stage_table(stats["stages"], latency))
    for what in ("rules", "limits"):
        lines.append(f"{what} that acted: {_counts(stats[what])}")
    if "gripper" in stats:
        lines.append(f"gripper: {_counts(stats['gripper'])}")
    return "\n".join(lines)


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {n}" for name, n in counts.items() if n) or "none"
