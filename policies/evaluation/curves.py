"""Learning curves of several runs: the interquartile mean over training seeds with its interval, and one figure.

A point is what a run logged when it looked at its validation scenes (records of kind "eval": ``step``, and the value
under the record's ``metric``, "success" unless it says otherwise). The interval is the stratified bootstrap over seeds
of Agarwal et al. 2021 (arXiv 2108.13264). Runs that end at different steps are treated so:

* stopped early, as training does once validation is perfect: held at its last value as far as the others of its group
  went;
* still going, or stopped by hand: counts as far as it went; where a group has fewer seeds than it will have, its line
  is dashed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from policies.runs.checkpoint import read_json
from policies.runs.find import Group, Source
from policies.runs.metrics import read_log
from robot.stats import AFTER_STEPS, bootstrap_interval, iqm

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Colours of Okabe and Ito (2008) without their yellow, which is faint on white; a marker each keeps groups apart
# without colour, and from the eighth group on colours come back with another marker.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
INSIDE = 3  # a legend of more groups than these stands below its panel


@dataclass(frozen=True)
class RunCurve:
    """What one run logged."""

    run: str
    metric: str
    steps: list[int]  # environment steps: the run's own steps times the action repeat
    values: list[float]
    n: int | None  # episodes a point
    low: float | None  # 95 % Wilson interval of the last point, where the run logged one
    high: float | None
    ended: bool  # the run finished, if early: its last value may be held

    def at(self, step: int) -> float | None:
        """The value at ``step``; None where the run has none."""
        if step in self.steps:
            return self.values[self.steps.index(step)]
        return self.values[-1] if self.ended and step > self.steps[-1] else None


@dataclass(frozen=True)
class GroupCurve:
    """The seeds of a group together; ``low`` and ``high`` are None with one seed, which says nothing about others."""

    label: str
    task: str
    metric: str
    steps_hz: float | None  # environment steps in a second of the robot's time; None when unknown
    steps: list[int]
    seeds: list[int]  # runs with a value at each step
    iqm: list[float]
    low: list[float | None]
    high: list[float | None]
    runs: list[RunCurve]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


# -------------------------------------------------------------------------------------------------------------- reading
def read_curve(source: Source) -> tuple[RunCurve | None, str]:
    """The curve of a run and a remark for people, either of which may be absent."""
    if source.config.get("recipe", {}).get("fit_updates"):
        return None, f"{source.path} was fitted to demonstrations: it takes no environment steps, and has no curve"
    log = source.record["log"] if source.record else read_log(source.path, "eval")
    records = [r for r in log if r.get("metric", "success") in r]
    if not records:
        return None, f"{source.path} has logged no evaluation: it has no curve"
    metrics = sorted({r.get("metric", "success") for r in records})
    if len(metrics) > 1:
        return None, f"{source.path} logged {' and '.join(metrics)} in one run: it has no curve"
    at = {int(r["step"]) * source.repeat: float(r[metrics[0]]) for r in records}  # of a step logged twice, the later
    steps, last = sorted(at), records[-1]
    recipe = source.config.get("recipe", {})
    planned = recipe.get("frames") or recipe.get("steps", 0) * source.repeat
    ended = source.record["ended"] if source.record else finished(source.path, last["step"])
    remark = ""
    if not ended:
        so_far = f"last evaluation at step {steps[-1]}" + (f" of {planned}" if planned else "")
        remark = f"{source.path} has not finished ({so_far}): neither its curve nor its policy is the whole run's"
    curve = RunCurve(
        str(source.path),
        metrics[0],
        steps,
        [at[s] for s in steps],
        last.get("n"),
        last.get("low"),
        last.get("high"),
        ended,
    )
    return curve, remark


def finished(run: Path, last_step: int) -> bool:
    """Whether training ended by itself: it then saves its last policy, with the step."""
    about = run / "last" / "policy.json"
    return about.exists() and read_json(about).get("step", -1) >= last_step


def make_curves(groups: Sequence[Group]) -> tuple[list[GroupCurve], list[str]]:
    """One curve for each group (and metric) that logged anything, and remarks about the rest."""
    curves, notes = [], []
    for group in groups:
        by_metric: dict[str, list[RunCurve]] = {}
        runs_only = [s for s in group.sources if s.kind == "run"]
        if len(runs_only) < len(group.sources):
            notes.append(f"{group.task}: {group.label} has policies without a training log, which have no curve")
        for source in runs_only:
            curve, remark = read_curve(source)
            notes += [remark] if remark else []
            if curve:
                by_metric.setdefault(curve.metric, []).append(curve)
        rates = {s.steps_hz for s in runs_only if s.steps_hz}
        rate = rates.pop() if len(rates) == 1 else None
        for metric, runs in by_metric.items():
            # only where frames are control steps of an arm do they say how long it worked
            curves.append(group_curve(group.label, group.task, metric, runs, rate if metric == "success" else None))
            furthest = curves[-1].steps[-1]
            notes += [
                f"{r.run} stopped early at step {r.steps[-1]}: held at its last value up to step {furthest}"
                for r in runs
                if r.ended and r.steps[-1] < furthest
            ]
    return curves, notes


def group_curve(label: str, task: str, metric: str, runs: list[RunCurve], steps_hz: float | None = None) -> GroupCurve:
    """IQM and interval over ``runs`` at every step that any of them has."""
    steps = sorted({step for run in runs for step in run.steps})
    seeds, middle, low, high = [], [], [], []
    for step in steps:
        values = [v for v in (run.at(step) for run in runs) if v is not None]
        interval = bootstrap_interval([values], iqm) if len(values) > 1 else (None, None)
        seeds.append(len(values))
        middle.append(float(iqm(values)))
        low.append(interval[0])
        high.append(interval[1])
    return GroupCurve(label, task, metric, steps_hz, steps, seeds, middle, low, high, runs)


def step_name(metric: str) -> str:
    """What a curve counts: tasks judged by their return are DeepMind Control's, where literature counts frames."""
    return "frames (decisions x action repeat)" if metric == "return" else "environment steps"


# -------------------------------------------------------------------------------------------------------------- drawing
def draw(curves: Sequence[GroupCurve], results: Sequence[dict[str, Any]]) -> Figure:
    """One row a task and metric: the curves, and beside them the results on the test seeds.

    ``results`` are those of ``policies.evaluation.compare.compare``, one a group. A panel without content is left out.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    tasks = list(dict.fromkeys([(c.task, c.metric) for c in curves] + [(r["task"], r["metric"]) for r in results]))
    labels = list(dict.fromkeys([r["label"] for r in results] + [c.label for c in curves]))
    styles = {
        label: (COLOURS[i % len(COLOURS)], MARKERS[(i + i // len(COLOURS)) % len(MARKERS)])
        for i, label in enumerate(labels)
    }
    columns = (["curves"] if curves else []) + (["results"] if results else [])
    figure, grid = plt.subplots(
        len(tasks), len(columns), squeeze=False, layout="constrained",
        figsize=(6.8 * len(columns), (3.8 + 0.15 * max(0, len(labels) - INSIDE)) * len(tasks)),
    )  # fmt: skip
    for row, (task, metric) in zip(grid, tasks):
        for axes, column in zip(row, columns):
            axes.spines[["top", "right"]].set_visible(False)
            axes.set_axisbelow(True)
            if column == "curves":
                _draw_curves(axes, [c for c in curves if (c.task, c.metric) == (task, metric)], styles)
            else:
                _draw_results(axes, [r for r in results if (r["task"], r["metric"]) == (task, metric)], styles)
        row[0].set_title(task, loc="left", fontweight="bold")
    return figure


def _draw_curves(axes: Any, curves: list[GroupCurve], styles: dict[str, tuple[str, str]]) -> None:
    if not curves:
        axes.set_axis_off()
        return
    for curve in curves:
        colour, marker = styles[curve.label]
        line = {"color": colour, "marker": marker, "ms": 4, "lw": 1.8}
        count = len(curve.runs)
        name = f"{curve.label} ({count} seeds)" if count > 1 else f"{curve.label} (1 seed, no band)"
        whole = [value if n == count else np.nan for value, n in zip(curve.iqm, curve.seeds)]
        if min(curve.seeds) < count:
            name += ", dashed: fewer"
            axes.plot(curve.steps, curve.iqm, ls="--", **line)
        axes.plot(curve.steps, whole, label=name, **line)
        if count > 1:
            band = [np.array(side, float) for side in (curve.low, curve.high)]  # None becomes a gap
            axes.fill_between(curve.steps, *band, color=colour, alpha=0.18, lw=0)
    metric = curves[0].metric
    if metric == "success":
        axes.set_ylim(-0.03, 1.04)
    elif metric == "completed":
        axes.set_ylim(bottom=-0.05)
    axes.grid(axis="y", color="#e2e8f0", linewidth=0.8)
    axes.set(xlabel=step_name(metric), ylabel=f"validation {metric}, IQM over seeds")
    axes.set_xlim(left=0)
    rates = {c.steps_hz for c in curves}
    rate = rates.pop() if len(rates) == 1 else None
    if rate:
        minutes = axes.secondary_xaxis("top", functions=(lambda s: s / rate / 60, lambda m: m * rate * 60))
        minutes.set_xlabel("robot minutes")
    below = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.16), "ncols": 2}
    axes.legend(frameon=False, fontsize=8, **(below if len(curves) > INSIDE else {"loc": "best"}))


def _draw_results(axes: Any, results: list[dict[str, Any]], styles: dict[str, tuple[str, str]]) -> None:
    if not results:
        axes.set_axis_off()
        return
    for i, result in enumerate(results):
        colour, marker = styles[result["label"]]
        shifts = (0.14, -0.14) if len(result["measures"]) > 1 else (0.0,)
        for found, shift, face in zip(result["measures"].values(), shifts, (colour, "white")):
            y = len(results) - 1 - i + shift
            axes.plot([found["low"], found["high"]], [y, y], color=colour, lw=1.6, zorder=1)
            axes.plot(found["runs"], [y] * len(found["runs"]), "|", color=colour, ms=9, alpha=0.7, zorder=2)
            axes.plot(found["value"], y, marker, color=colour, mfc=face, ms=7, zorder=3)
    axes.set_yticks(range(len(results)), [r["label"] for r in reversed(results)], fontsize=8)
    axes.set_ylim(-0.6, len(results) - 0.4)
    axes.grid(axis="x", color="#e2e8f0", linewidth=0.8)
    metric, episodes = results[0]["metric"], results[0]["episodes"]
    label = f"{metric} on {episodes} test seeds a run, 95 % intervals\nstrokes: single runs"
    if metric == "success":
        axes.set_xlim(-0.02, 1.02)
        label += f"; filled: at any step, hollow: at the end ({AFTER_STEPS} steps later)"
    axes.set_xlabel(label)
