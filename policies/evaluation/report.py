"""One HTML page a run: the table, the curves, the latency and the films, all inside one file.

``pixelarm report RUN`` rebuilds it from what the demo wrote: ``summary.json``, ``learner/metrics.jsonl``, ``loop.json``
and ``films/``.
"""

from __future__ import annotations

import argparse
import base64
import html
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from policies.evaluation.page import BLUE, GREEN, GREY, INK, ORANGE, RED, axes_of, image, make_page, picture, section
from policies.runs.checkpoint import read_json, reading
from policies.runs.metrics import read_log
from robot.control.digest import COLUMNS, TOTAL
from robot.files import write_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure


# -------------------------------------------------------------------------------------------------------------- figures
def learning_curve(run: Path, cloned: float | None) -> Figure:
    """Validation success with its interval, and success of the training episodes,
    over environment steps and robot minutes.
    """
    figure, axes = axes_of()
    evals, trains = read_log(run, "eval"), read_log(run, "train")
    if trains:
        axes.plot(
            [r["step"] for r in trains],
            [r["train_success"] for r in trains],
            color=GREY,
            lw=1.2,
            label="training episodes (last 20, exploring)",
        )
    if evals:
        steps = [r["step"] for r in evals]
        axes.fill_between(steps, [r["low"] for r in evals], [r["high"] for r in evals], color=BLUE, alpha=0.15, lw=0)
        axes.plot(
            steps,
            [r["success"] for r in evals],
            "o-",
            color=BLUE,
            lw=2,
            ms=4,
            label=f"validation (n = {evals[0]['n']}, 95 % Wilson)",
        )
    if cloned is not None:
        axes.axhline(cloned, color=ORANGE, ls="--", lw=1.5, label="cloning alone (test seeds)")
    axes.set(ylim=(-0.02, 1.04), xlabel="environment steps (600 = one robot minute at 10 Hz)", ylabel="success")
    axes.legend(frameon=False, fontsize=8, loc="lower right")
    return figure


def losses(run: Path) -> Figure:
    """Mean value and critic loss: what to look at when a run does not learn."""
    figure, axes = axes_of(height=2.6)
    trains = read_log(run, "train")
    steps = [r["step"] for r in trains]
    axes.plot(steps, [r["q"] for r in trains], color=GREEN, label="mean Q")
    axes.plot(steps, [r["critic_loss"] for r in trains], color=RED, label="critic loss")
    axes.set(xlabel="environment steps")
    axes.legend(frameon=False, fontsize=8)
    return figure


def success_bars(summary: dict[str, Any]) -> Figure:
    """The three success rates with their intervals."""
    figure, axes = axes_of(height=2.6)
    recipe = summary["recipe"].partition(":")[0]
    kinds = (("cloning alone, sim", "bc", ORANGE), (f"{recipe}, sim", "sim", BLUE), (f"{recipe}, ROS 2", "ros", GREEN))
    rows = [(name, summary[key], colour) for name, key, colour in kinds if summary.get(key)]
    for i, (_, rate, colour) in enumerate(rows):
        axes.barh(i, rate["success"], color=colour, height=0.55)
        axes.plot([rate["low"], rate["high"]], [i, i], color=INK, lw=1.5)
        axes.text(1.02, i, f"{rate['success']:.2f}  (n = {rate['n']})", va="center", fontsize=9)
    axes.set(
        xlim=(0, 1),
        yticks=range(len(rows)),
        yticklabels=[r[0] for r in rows],
        xlabel="success at any step, 95 % Wilson interval",
    )
    axes.invert_yaxis()
    return figure


def latency_histogram(samples: list[float], deadline_ms: float) -> Figure:
    """Observation stamp to command published, one count a control tick."""
    figure, axes = axes_of(height=2.6)
    bins = np.arange(0, max(deadline_ms * 1.05, max(samples) * 1.05), 1.0)
    axes.hist(samples, bins=bins, color=BLUE)
    for quantile, colour in ((50, GREEN), (99, ORANGE)):
        value = float(np.percentile(samples, quantile))
        axes.axvline(value, color=colour, lw=1.5, label=f"p{quantile} {value:.1f} ms")
    axes.axvline(deadline_ms, color=RED, lw=1.5, ls="--", label=f"deadline {deadline_ms:.0f} ms")
    axes.set(xlabel="milliseconds from observation stamp to command published", ylabel="commands")
    axes.legend(frameon=False, fontsize=8)
    return figure


# ----------------------------------------------------------------------------------------------------------------- page
def write_report(run: Path) -> Path:
    """Build ``RUN/report.html`` from what is in the run folder; parts that are missing are left out."""
    summary = read_json(run / "summary.json")
    learner = run / "learner"
    parts = [_headline(summary), section("Success", picture(success_bars(summary)))]
    if read_log(learner, "train"):
        cloned = summary["bc"]["success"] if summary.get("bc") else None
        parts.append(
            section(
                "Learning",
                picture(learning_curve(learner, cloned)) + picture(losses(learner)),
                _learning_words(summary),
            )
        )
    loop = run / "loop.json"
    if loop.exists():
        parts.append(_latency_section(read_json(loop)))
    for title, folder in (("Films: simulation", run / "films" / "sim"), ("Films: over ROS 2", run / "films" / "ros")):
        films = sorted(folder.glob("*.mp4"))
        if films:
            parts.append(section(title, "".join(_film(f) for f in films)))
    strips = sorted((run / "films" / "sim").glob("*.png"))
    if strips:
        parts.append(
            section(
                "Film strips",
                "".join(
                    f"<figure>{image(s.read_bytes())}<figcaption>{html.escape(s.stem)}</figcaption></figure>"
                    for s in strips
                ),
            )
        )
    parts.append(section("Everything measured", f"<pre>{html.escape(json.dumps(summary, indent=2))}</pre>"))
    page = make_page(f"pixelarm: {summary.get('task', 'run')}, seed {summary.get('seed')}", "\n".join(parts))
    out = run / "report.html"
    write_text(out, page)
    return out


def headline_rows(summary: dict[str, Any]) -> list[tuple[str, str]]:
    """The table that the report shows and the demo prints."""

    def success(key: str) -> str:
        rate = summary[key]
        words = f"{_bracketed(rate)}, n = {rate['n']}"
        if "at_end" in rate:  # an older summary does not say when its end was
            when = f"{rate['after_steps']} steps later" if "after_steps" in rate else "at the end"
            words += f"; {when} {_bracketed(rate['at_end'])}"
        return words

    rows = [
        (name, success(key))
        for name, key in (
            ("success, simulation", "sim"),
            ("success, cloning alone", "bc"),
            ("success, over ROS 2", "ros"),
        )
        if summary.get(key)
    ]
    if summary.get("latency_ms"):
        ms = summary["latency_ms"]
        rows.append(
            (
                "latency p50 / p99 / max",
                f"{ms['p50']:.1f} / {ms['p99']:.1f} / {ms['max']:.1f} ms, n = {ms.get('n', '?')}",
            )
        )
        rows.append(("deadline", f"{summary['deadline_ms']:.0f} ms, missed {summary['deadline_misses']} times"))
    rows.append(
        ("experience", f"{summary['env_steps']} environment steps = {summary['robot_minutes']:.1f} robot minutes")
    )
    rows.append(("updates", f"{summary['updates_per_second']:.1f} a second"))
    stages = ", ".join(f"{stage} {minutes:.1f}" for stage, minutes in summary["minutes"].items())
    rows.append(("minutes", f"{sum(summary['minutes'].values()):.1f} ({stages})"))
    rows.append(("recipe", summary.get("recipe", "")))
    rows.append(("contract", summary["contract_hash"]))
    return rows


def _bracketed(rate: dict[str, Any]) -> str:
    return f"{rate['success']:.2f} [{rate['low']:.2f}, {rate['high']:.2f}]"


def _headline(summary: dict[str, Any]) -> str:
    rows = "".join(
        f"<tr><th>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>" for name, value in headline_rows(summary)
    )
    hardware = summary.get("hardware", {})
    machine = f"{hardware.get('cpu', '')}, {hardware.get('cores', '?')} cores, GPU: {hardware.get('gpu', 'none')}"
    note = f"{machine}; commit {summary.get('git', 'unknown')}"
    warning = (
        '<p class="warn">Smoke budget: almost no training. The numbers show that the path works, not what it can '
        "do.</p>"
        if summary.get("budget") == "smoke"
        else ""
    )
    title = html.escape(f"{summary.get('task', 'run')}, seed {summary.get('seed')}")
    return f"<h1>{title}</h1>{warning}<table>{rows}</table><p class='note'>{html.escape(note)}</p>"


def _learning_words(summary: dict[str, Any]) -> str:
    return (
        "Validation seeds are not the test seeds; the policy that was best on them (the later one of equals) is "
        "exported. "
        f"Training used {summary['env_steps']} environment steps; looking at the validation seeds used others, "
        "which are not counted as experience."
    )


def _latency_section(loop: dict[str, Any]) -> str:
    samples = loop.get("latency_samples_ms", [])
    gripper = {f"gripper {name}": count for name, count in loop.get("gripper", {}).items()}
    fired = {name: count for name, count in {**loop["rules"], **loop["limits"], **gripper}.items() if count}
    rows = (
        "".join(f"<tr><th>{html.escape(n)}</th><td>{c}</td></tr>" for n, c in fired.items()) or "<tr><td>none</td></tr>"
    )
    stages = "".join(
        f"<tr><th>{html.escape(name)}</th>" + "".join(f"<td>{times[c]:.2f}</td>" for c in COLUMNS) + "</tr>"
        for name, times in {**loop["stages"], TOTAL: loop["latency_ms"]}.items()
        if times.get("n")
    )
    heads = "".join(f"<th>{column} ms</th>" for column in COLUMNS)
    histogram = picture(latency_histogram(samples, loop["deadline_ms"])) if samples else ""
    return section(
        "The control loop",
        f"{histogram}<h3>Stages</h3><table><tr><th>stage</th>{heads}</tr>{stages}</table>"
        f"<h3>Rules and limits that fired, and the gripper</h3><table>{rows}</table>",
        f"{loop['ticks']} ticks, {loop['commands']} commands, {loop['holds']} holds.",
    )


def _film(path: Path) -> str:
    data = base64.b64encode(path.read_bytes()).decode()
    return (
        f'<figure class="film"><video controls muted loop preload="metadata" '
        f'src="data:video/mp4;base64,{data}"></video>'
        f"<figcaption>{html.escape(path.stem.replace('_', ' '))}</figcaption></figure>"
    )


def main(argv: list[str]) -> int:
    """``pixelarm report``."""
    parser = argparse.ArgumentParser(
        allow_abbrev=False, prog="pixelarm report", description="Rebuild the HTML report of a demo run from its files."
    )
    parser.add_argument("run", type=Path, help="run folder, such as runs/demo")
    args = parser.parse_args(argv)
    with reading(args.run, "a report needs the files of a whole `pixelarm demo`"):
        page = write_report(args.run)
    print(f"wrote {page}")
    return 0
