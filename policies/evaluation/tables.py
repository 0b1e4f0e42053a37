"""The tables of a comparison as Markdown: for a terminal, a README or a paper.
``compare.py`` beside this makes the report.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from policies.evaluation.curves import step_name
from robot.stats import AFTER_STEPS, wilson

Row = dict[str, str]  # {heading: cell}
HEADINGS = {"success": "success once", "at_end": "success at the end"}


def to_markdown(report: dict[str, Any]) -> str:
    """A heading and up to four tables for each task, then what to know about them."""
    parts = []
    for task in report["tasks"]:
        parts.append(f"## {task}")
        parts += [f"{words}\n\n{table(rows)}".strip() for words, rows in tables_of(report, task)]
    if report["notes"]:
        parts.append("Remarks:\n\n" + "\n".join(f"* {note}" for note in report["notes"]))
    return "\n\n".join(parts) + "\n"


def tables_of(report: dict[str, Any], task: str) -> list[tuple[str, list[Row]]]:
    """What a comparison found about a task, as tables with their words: success, pairs, single runs, curves."""
    return [found for found in (section(report, task) for section in (_results, _pairs, _runs, _curves)) if found[1]]


def table(rows: Sequence[Row]) -> str:
    """Rows of ``{heading: cell}`` as an aligned Markdown table; a column that is empty everywhere is left out."""
    headings = [h for h in dict.fromkeys(h for row in rows for h in row) if any(row.get(h) for row in rows)]
    lines = [headings, *([row.get(h, "") for h in headings] for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(headings))]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join("| " + " | ".join(cell.ljust(w) for cell, w in zip(line, widths)) + " |" for line in lines)


def _results(report: dict[str, Any], task: str) -> tuple[str, list[Row]]:
    results = [r for r in report["results"] if r["task"] == task]
    if not results:
        return "", []
    rows = []
    for result in results:
        row = {"experiment": result["label"], "training seeds": ", ".join(map(_seed, result["seeds"]))}
        for name, found in result["measures"].items():
            heading = HEADINGS.get(name, name)
            row[heading] = _score(found)
            row[f"{heading}, over seeds"] = _interval(found["value"], found["over_seeds"], name) or "one seed"
        rows.append(row)
    first, last = report["test_seeds"]
    words = (
        f"Test seeds {first} to {last}, the same for every policy. Brackets are 95 % intervals: of all episodes "
        f"(Wilson for success), "
        "and over training seeds (bootstrap: seeds drawn, then their episodes; nothing to draw from where all are "
        "alike)."
    )
    if any("at_end" in result["measures"] for result in results):
        words += f" At the end: still done {AFTER_STEPS} control steps after the first success."
    return words, rows


def _pairs(report: dict[str, Any], task: str) -> tuple[str, list[Row]]:
    pairs = [p for p in report["pairs"] if p["task"] == task]
    rows = []
    for pair in pairs:
        metric, several = pair["metric"], len(pair["pairs"]) > 1
        whole = _interval(pair["difference"], pair["interval"], metric, "+")
        if several:
            rows.append({"experiment": pair["second"], "training seed": "all", f"difference in {metric}": whole})
        for found in pair["pairs"]:
            a, b = map(_seed, found["seeds"])
            row = {"experiment": pair["second"], "training seed": a if a == b else f"{a}, {b}"}
            row[f"difference in {metric}"] = f"{found['difference']:+.{_digits(metric)}f}" if several else whole
            for name, test in found["tests"].items():
                counts = f"{test['only_first']} / {test['only_second']}"
                row[f"{HEADINGS[name]}: only first / only it"] = f"{counts} (p = {test['p']:.3g})"
            rows.append(row)
    if not rows:
        return "", []
    words = f"Against {pairs[0]['first']} on the same scenes: the difference, and its 95 % interval "
    words += "(bootstrap over pairs and scenes)."
    if any(found["tests"] for pair in pairs for found in pair["pairs"]):
        words += (
            f" Scenes that only {pairs[0]['first']} (first) or only the experiment (it) solved, with the exact McNemar "
            f"p, "
            "not corrected for the number of tests."
        )
    return words, rows


def _runs(report: dict[str, Any], task: str) -> tuple[str, list[Row]]:
    rows = []
    for run in report["runs"]:
        if run["task"] == task and run["measures"]:
            row = {"run": run["path"], "experiment": run["label"], "seed": _seed(run["seed"])}
            rows.append(row | {HEADINGS.get(name, name): _score(found) for name, found in run["measures"].items()})
    return "", rows


def _curves(report: dict[str, Any], task: str) -> tuple[str, list[Row]]:
    rows = []
    for curve in (c for c in report["curves"] if c["task"] == task):
        step, count, now, run = curve["steps"][-1], len(curve["runs"]), curve["seeds"][-1], curve["runs"][0]
        value, low, high = (curve[key][-1] for key in ("iqm", "low", "high"))
        if count == 1:
            low, high = run["low"], run["high"]  # Wilson of the last point's episodes
        minutes = f" ({step / curve['steps_hz'] / 60:.1f} robot minutes)" if curve["steps_hz"] else ""
        rows.append(
            {
                "experiment": curve["label"],
                "training seeds": str(count) if now == count else f"{now} of {count}",
                step_name(curve["metric"]): f"{step}{minutes}",
                f"validation {curve['metric']}": _interval(value, None if low is None else (low, high), curve["metric"])
                or f"{value:.{_digits(curve['metric'])}f}, one seed",
                "episodes a point": str(run["n"] or "not logged"),
            }
        )
    if not rows:
        return "", []
    words = (
        "Learning curves at their last point, on validation scenes that also chose the policy: interquartile mean over "
        "training seeds, "
        "95 % stratified bootstrap interval (one seed: Wilson, of its episodes). With three seeds or fewer the "
        "interquartile mean is "
        "the mean, and the bootstrap too narrow."
    )
    return words, rows


# ---------------------------------------------------------------------------------------------------------------- cells
def _seed(seed: int | None) -> str:
    return "?" if seed is None else str(seed)


def _digits(measure: str) -> int:
    return 2 if measure in HEADINGS else 1


def _score(found: dict[str, Any]) -> str:
    if "successes" in found:
        return str(wilson(found["successes"], found["n"]))
    low, high = found["episodes"]
    return f"{found['value']:.1f} [{low:.1f}, {high:.1f}] (n = {found['n']})"


def _interval(value: float, interval: Sequence[float] | None, measure: str, sign: str = "") -> str:
    """``value [low, high]``; without an interval nothing.
    One without width means that a bootstrap had nothing to vary.
    """
    if interval is None:
        return ""
    value_text, low, high = (f"{x:{sign}.{_digits(measure)}f}" for x in (value, *interval))
    if interval[0] == interval[1]:
        return f"{value_text} [all alike]"
    return f"{value_text} [{low}, {high}]"
