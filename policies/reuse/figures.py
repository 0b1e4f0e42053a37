"""Figures of the report: look-ups over an episode, and skills in a plane."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from policies.evaluation.page import GREY, INK, RED, axes_of, panels_of
from policies.reuse.examine import Examined
from policies.reuse.latent import NOTHING
from policies.reuse.play import Played
from sim.tasks.kitchen import SUBTASKS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# of subtasks, and then of demonstrations: Paul Tol's "muted", which people with any colour vision tell apart
COLOURS = ("#332288", "#88ccee", "#44aa99", "#117733", "#999933", "#cc6677", "#882255", "#ddaa33", "#aa4499", "#6699cc")
LEGEND = 10  # demonstrations that a legend names


def colour_of(number: int) -> str:
    """Of a demonstration."""
    return COLOURS[number % len(COLOURS)]


def colour_of_subtask(subtask: str) -> str:
    names = list(SUBTASKS)
    return COLOURS[names.index(subtask)] if subtask in names else "#cbd5e0"


def percent(share: float) -> str:
    """A share in words, which are "0%" of nothing alone."""
    return "<1%" if 0 < share < 0.005 else f"{share:.0%}"


def look_ups(found: Examined, episode: Played) -> Figure:
    """Above, over an episode's control steps, the moment that was looked up, in its demonstration's colour, with the
    skill's horizon ahead of it; below, its distance.
    """
    figure, panels = panels_of(9.2, 5.2, rows=2, sharex=True, height_ratios=[3, 1])
    top, below = panels[:, 0]
    steps, demonstration, moment = np.arange(episode.steps), found.demonstration(episode), found.moment(episode)
    goal = moment + np.minimum(found.horizon, found.to_go(episode))
    used = [int(number) for number in np.argsort(-np.bincount(demonstration), kind="stable") if number in demonstration]
    for number in sorted(used):
        mine = demonstration == number
        label = f"{number} ({percent(mine.mean())})" if number in used[:LEGEND] else None
        top.vlines(steps[mine], moment[mine], goal[mine], color=colour_of(number), alpha=0.4, lw=1.2)
        top.scatter(steps[mine], moment[mine], s=9, color=colour_of(number), label=label, zorder=3)
    back = 1 + np.flatnonzero((demonstration[1:] == demonstration[:-1]) & (np.diff(moment) < -found.horizon))
    if len(back):
        top.scatter(steps[back], moment[back], s=70, facecolors="none", edgecolors=RED, lw=1.4, label="looks back")
    top.legend(
        title="demonstration", frameon=False, fontsize=8, title_fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0)
    )
    top.set_ylabel("control step there")
    below.plot(steps, episode.away, color=INK, lw=1.0)
    if found.far is not None:
        below.axhline(found.far, color=GREY, ls="--", lw=1.2)
    below.set(ylabel="distance", xlabel=f"control step of the episode ({found.rate_hz:g} in a second)", ylim=(0, None))
    _completions(top, below, episode)
    return figure


def _completions(top: Any, below: Any, episode: Played) -> None:
    """A line at each completed subtask, named above the plot; names of neighbours stand on two levels."""
    done = sorted((step, subtask) for subtask, step in episode.completed.items() if step is not None)
    top.margins(y=0.05)
    for i, (step, subtask) in enumerate(done):
        for each in (top, below):
            each.axvline(step, color=INK, lw=0.9, ls=":")
        top.annotate(
            subtask.replace("_", " "), (step, 1.0), (0, 2 + 11 * (i % 2)), xycoords=("data", "axes fraction"),
            textcoords="offset points", ha="center", va="bottom", fontsize=8, color=INK,
        )  # fmt: skip


def skills(found: Examined) -> Figure:
    """Stretches of the data that the skills are from, and of the demonstrations, by subtask."""
    sources = [("skills' data", found.data), ("demonstrations", found.shown)]
    there = [(name, of) for name, of in sources if len(of.z)]
    figure, grid = panels_of(4.2 * len(there) + 1.6, 4.2, columns=len(there), sharex=True, sharey=True)
    panels = list(grid[0])
    named: dict[str, Any] = {}
    for panel, (name, of) in zip(panels, there):
        named |= _by_subtask(panel, found.plane.project(of.z), of.labels, 5.0)
        panel.set_title(f"{name}, n = {len(of.z)}", fontsize=10)
    _name_axes(panels, found)
    order = [subtask for subtask in (*SUBTASKS, NOTHING) if subtask in named]
    panels[-1].legend(
        [named[subtask] for subtask in order], [subtask.replace("_", " ") for subtask in order], frameon=False,
        fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0), markerscale=2.5,
    )  # fmt: skip
    return figure


def chosen(found: Examined, episode: Played) -> Figure:
    """The skills that an episode's steps chose, by the subtask of the moment that was looked up, over all of the
    demonstrations in grey.
    """
    figure, axes = axes_of(9.2, 4.4)
    behind = found.plane.project(found.shown.z)
    axes.scatter(behind[:, 0], behind[:, 1], s=4, color="#e2e8f0", lw=0)
    named = _by_subtask(axes, found.plane.project(episode.chosen), found.subtasks(episode), 16.0)
    _name_axes([axes], found)
    order = [subtask for subtask in (*SUBTASKS, NOTHING) if subtask in named]
    axes.legend(
        [named[subtask] for subtask in order], [subtask.replace("_", " ") for subtask in order], frameon=False,
        fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0),
    )  # fmt: skip
    return figure


def _by_subtask(axes: Any, points: np.ndarray, labels: Sequence[str], size: float) -> dict[str, Any]:
    """Points ``(n, 2)`` in their subtasks' colours; of each subtask, what a legend shows."""
    at = np.array(labels)
    named = {}
    for subtask in (NOTHING, *SUBTASKS):
        mine = points[at == subtask]
        if len(mine):
            named[subtask] = axes.scatter(mine[:, 0], mine[:, 1], s=size, color=colour_of_subtask(subtask), lw=0)
    return named


def _name_axes(panels: Sequence[Any], found: Examined) -> None:
    for panel in panels:
        panel.grid(axis="x", color="#e2e8f0", linewidth=0.8)
        panel.set_xlabel(f"first axis ({found.plane.explained[0]:.0%} of the variance)")
    panels[0].set_ylabel(f"second axis ({found.plane.explained[1]:.0%})")
