"""The page of a diagnosis: one HTML file with every figure and film strip inside."""

from __future__ import annotations

import html
import io
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from policies.diagnose.census import CLASSES, MISSED, NEVER, SUCCESS
from policies.diagnose.examine import Examined
from policies.diagnose.findings import Finding
from policies.diagnose.noise import Dimension
from policies.diagnose.sight import PROBES, Probe
from policies.diagnose.subject import Subject
from policies.diagnose.values import BINS, TENTHS, Values
from policies.evaluation.page import BLUE, GREEN, GREY, INK, ORANGE, RED, axes_of, image, make_page, picture, section
from policies.evaluation.report import learning_curve, losses
from policies.runs.metrics import read_log
from robot.dataset.video import film_strip

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def write(subject: Subject, examined: Examined, found: list[Finding]) -> str:
    """The whole page as HTML."""
    task, cfg = subject.contract.task, subject.cfg
    title = f"{task}: {cfg.experiment}, seed {cfg.seed}"
    notes = "".join(f"<p class='warn'>{html.escape(note)}</p>" for note in examined.notes)
    head = (
        f"<h1>{html.escape(title)}</h1><p>{html.escape(str(subject.folder))}. The policy that was played is "
        f"{html.escape(examined.policy)}. Successful at {html.escape(str(examined.success))} of the test scenes, 95 % "
        f"Wilson interval.</p>{notes}"
    )
    parts = [head, section("Findings", findings_table(found)), _census(examined), _values(examined), _sight(examined)]
    parts += [_log(subject), _noise(examined.noise)]
    measured = json.dumps({k: v for k, v in examined.to_dict().items() if k != "episodes"}, indent=2)
    parts.append(section("Everything measured", f"<pre>{html.escape(measured)}</pre>"))
    return make_page(f"pixelarm diagnose: {title}", "\n".join(part for part in parts if part))


def findings_table(found: Sequence[Finding]) -> str:
    """Every finding in a row; the advice below what is not healthy."""
    rows = []
    for one in found:
        colour, mark = (GREEN, "healthy") if one.ok else (RED, "look here")
        advice = f"<br><span class='note'>{html.escape(one.advice)}.</span>" if one.advice else ""
        rows.append(
            f"<tr><td style='color:{colour}'>{mark}</td><td>{one.section}</td><td>{html.escape(one.title)}{advice}</td>"
            f"<td style='white-space:nowrap'>{html.escape(one.shown)}</td>"
            f"<td style='white-space:nowrap'>{html.escape(one.healthy)}</td></tr>"
        )
    head = "<tr><th></th><th>section</th><th>what</th><th>found</th><th>healthy</th></tr>"
    return f"<table>{head}{''.join(rows)}</table>"


# ------------------------------------------------------------------------------------------------------------- sections
def _census(examined: Examined) -> str:
    n = len(examined.classes)
    strips = []
    for name in (c for c in CLASSES if c in examined.films):
        strips.append(f"<h3>{name}</h3><p class='note'>{html.escape(CLASSES[name])}{_closest(examined, name)}</p>")
        for seed, frames in examined.films[name]:
            strips.append(f"<figure>{_strip(frames)}<figcaption>scene {seed}</figcaption></figure>")
    words = f"{n} test episodes, sorted by the simulator's true state. Below: up to two failures of each class."
    return section("Census of failures", picture(census_bars(examined.counts)) + "".join(strips), words)


def _closest(examined: Examined, wanted: str) -> str:
    """How near the hand came in the failures before a grasp, as the end of a sentence."""
    those = [near for (_, name, _), near in zip(examined.classes, examined.closest) if name == wanted]
    near = [100 * one for one in those if one is not None]
    if wanted not in (NEVER, MISSED) or not near:
        return ""
    return f"; where the hand was nearest, it was {np.median(near):.1f} cm aside (median of {len(near)})"


def _values(examined: Examined) -> str:
    if not examined.values:
        return ""
    words = (
        "Q of the executed actions of each snapshot's own policy. First: in successes, by control steps to go, against "
        "the discounted return that truly came (grey); a curve that falls to 0 at the left shows that the reward has "
        "not travelled back. Then: along failures, which ought to fall towards 0."
    )
    body = picture(values_by_steps_to_go(examined.values))
    if any(one.failing for one in examined.values):
        body += picture(values_of_failures(examined.values))
    return section("Values", body, words)


def _sight(examined: Examined) -> str:
    if not examined.probes:
        return ""
    rows = "".join(
        f"<tr><td>{html.escape(one.name)}</td><td>{one.error_cm:.1f} cm</td><td>{one.mean_cm:.1f} cm</td>"
        f"<td>{one.frames}</td><td class='note'>{html.escape(PROBES[one.name])}</td></tr>"
        for one in examined.probes
    )
    head = "<tr><th>position</th><th>error</th><th>guess</th><th>frames</th><th></th></tr>"
    words = (
        "Ridge regression from the frozen encoder's features; median error on episodes that it did not learn from, and "
        "that of always guessing the mean. A straight line reads positions in the whole workspace only coarsely; the "
        "aim within 8 cm is what decides a grasp."
    )
    return section("Sight", picture(probe_bars(examined.probes)) + f"<table>{head}{rows}</table>", words)


def _log(subject: Subject) -> str:
    trains, evals = read_log(subject.folder, "train"), read_log(subject.folder, "eval")
    body = ""
    if (
        all("train_success" in line for line in trains)
        and all("success" in line for line in evals)
        and (trains or evals)
    ):
        body += picture(learning_curve(subject.folder, None))
    if trains and all("q" in line and "critic_loss" in line for line in trains):
        body += picture(losses(subject.folder))
    acted = [(line["step"], line["prior_acted"]) for line in trains if "prior_acted" in line]
    if acted:
        body += picture(prior_curve(acted))
    return section("Learning", body) if body else ""


def _noise(dimensions: Sequence[Dimension]) -> str:
    if not dimensions:
        return ""
    rows = "".join(
        f"<tr><td>{html.escape(d.name)}</td><td>{d.std:.2f}</td><td>{_physical(d)}</td>"
        f"<td>{'' if d.entropy is None else f'{d.entropy:.2f}'}</td></tr>"
        for d in dimensions
    )
    head = "<tr><th>dimension</th><th>std, of half the range</th><th>std</th><th>entropy, nats</th></tr>"
    words = (
        "Standard deviation of exploring, a mean over frames of the census; a uniform action has 0.58 and 0.69 nats."
    )
    return section("Exploration", f"<table>{head}{rows}</table>", words)


def _physical(dimension: Dimension) -> str:
    if dimension.unit == "m":
        return f"{1000 * dimension.physical:.1f} mm"
    return "" if dimension.unit == "1" else f"{dimension.physical:.3f} {html.escape(dimension.unit)}"


def _strip(frames: Sequence[np.ndarray]) -> str:
    from matplotlib.image import imsave

    buffer = io.BytesIO()
    imsave(buffer, film_strip([frame[::2, ::2] for frame in frames]), format="png")
    return image(buffer.getvalue())


# -------------------------------------------------------------------------------------------------------------- figures
def census_bars(counts: dict[str, int]) -> Figure:
    """How many episodes ended in each class."""
    figure, axes = axes_of(height=2.9)
    n = max(1, sum(counts.values()))
    for row, (name, hits) in enumerate(counts.items()):
        axes.barh(row, hits, color=GREEN if name == SUCCESS else ORANGE, height=0.6)
        axes.text(hits + 0.01 * n, row, str(hits), va="center", fontsize=9)
    axes.set(yticks=range(len(counts)), yticklabels=list(counts), xlabel=f"of {n} episodes", xlim=(0, 1.08 * n))
    axes.invert_yaxis()
    return figure


def values_by_steps_to_go(snapshots: Sequence[Values]) -> Figure:
    """Mean Q in successes of each snapshot, by control steps to go, and the true return."""
    figure, axes = axes_of()
    there = [edges for edges in BINS if any((bin.first, bin.last) == edges for one in snapshots for bin in one.bins)]
    places = {edges: len(there) - row for row, edges in enumerate(there)}  # few steps to go at the right
    truth: dict[int, list[float]] = {}
    for one, colour in zip(snapshots, _shades(len(snapshots))):
        at = [places[bin.first, bin.last] for bin in one.bins]
        for place, bin in zip(at, one.bins):
            truth.setdefault(place, []).append(bin.truth)
        label = f"step {one.step} ({one.successes} of {one.episodes} succeeded)"
        axes.plot(at, [bin.value for bin in one.bins], "o-", color=colour, ms=4, lw=1.6, label=label)
    axes.plot(sorted(truth), [np.mean(truth[at]) for at in sorted(truth)], color=GREY, lw=3, label="true return")
    axes.set_xticks(list(places.values()), [f"{a}-{b}" if b < BINS[-1][1] else f"{a}+" for a, b in places])
    axes.set(xlabel="control steps to go until success", ylabel="Q, discounted return")
    axes.legend(frameon=False, fontsize=8)
    return figure


def values_of_failures(snapshots: Sequence[Values]) -> Figure:
    """Mean Q in each tenth of failures, of each snapshot."""
    figure, axes = axes_of(height=2.6)
    for one, colour in zip(snapshots, _shades(len(snapshots))):
        if one.failing:
            label = f"step {one.step} ({one.episodes - one.successes} failures)"
            axes.plot((np.arange(TENTHS) + 0.5) / TENTHS, one.failing, "o-", color=colour, ms=4, lw=1.6, label=label)
    axes.axhline(0.0, color=INK, lw=0.8)
    axes.set(xlabel="share of a failed episode", ylabel="Q", xlim=(0, 1))
    axes.legend(frameon=False, fontsize=8)
    return figure


def _shades(count: int) -> list[tuple[float, ...]]:
    """Blues from light to dark, the latest darkest."""
    from matplotlib import colormaps

    return (
        [colormaps["Blues"](share) for share in np.linspace(0.35, 1.0, count)]
        if count > 1
        else [colormaps["Blues"](0.9)]
    )


def probe_bars(probes: Sequence[Probe]) -> Figure:
    """Error of each probe beside that of guessing the mean."""
    figure, axes = axes_of(height=0.8 + 0.45 * len(probes))
    for row, one in enumerate(probes):
        axes.barh(row, one.mean_cm, color=GREY, height=0.6, label="guessing the mean" if row == 0 else None)
        axes.barh(row, one.error_cm, color=BLUE, height=0.35, label="read from the encoder" if row == 0 else None)
        axes.text(one.error_cm, row, f" {one.error_cm:.1f}", va="center", fontsize=9, color=INK)
    axes.set(yticks=range(len(probes)), yticklabels=[one.name for one in probes], xlabel="median error, cm")
    axes.invert_yaxis()
    axes.legend(frameon=False, fontsize=8, loc="lower right")
    return figure


def prior_curve(acted: Sequence[tuple[int, float]]) -> Figure:
    """Share of actions that were the prior's over training."""
    figure, axes = axes_of(height=2.2)
    axes.plot([step for step, _ in acted], [share for _, share in acted], color=ORANGE)
    axes.set(xlabel="environment steps", ylabel="actions of the prior", ylim=(-0.02, 1.02))
    return figure
