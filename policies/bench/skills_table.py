"""What `pixelarm bench skills` measured, as tables and a figure: learners beside each other, and what reuse saves."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from policies.evaluation.curves import COLOURS, MARKERS
from robot.stats import bootstrap_interval
from sim.kitchen.protocol import LIMITS, Score

ENOUGH = 3.0  # completed subtasks, of four: what "needed" is about


@dataclass(frozen=True)
class Cell:
    """What learners get of a new task."""

    targets: int  # demonstrations
    alone_updates: int  # of learners without skills
    adapt_updates: int  # of fine-tuning skills

    @property
    def words(self) -> str:
        of = "demonstration" if self.targets == 1 else "demonstrations"
        return (
            f"{self.targets} {of}, {self.adapt_updates} updates of fine-tuning or {self.alone_updates} without skills"
        )

    def updates(self, alone: bool) -> int:
        """Of a learner with skills, or without (``alone``)."""
        return self.alone_updates if alone else self.adapt_updates


Results = dict[Cell, dict[str, list[Score]]]  # by learner, a score for each training seed


def completed(scores: Sequence[Score], limit: int) -> np.ndarray:
    """``(training seeds, scenes)`` completed subtasks at some step up to a limit, by FrankaKitchen's threshold."""
    return np.stack([found.completed(limit, "ever", "loose").sum(axis=1) for found in scores]).astype(float)


def mean_and_interval(values: np.ndarray) -> tuple[float, float, float]:
    """Of ``(training seeds, scenes)``: mean, and its 95 % bootstrap interval over scenes, and over seeds if there are
    several.
    """
    return float(values.mean()), *bootstrap_interval(list(values), resample_strata=len(values) > 1)


def _words(values: np.ndarray) -> str:
    return "{:.2f} [{:.2f}, {:.2f}]".format(*mean_and_interval(values))


def compared(scores: dict[str, list[Score]], words: dict[str, str]) -> str:
    """All learners beside each other as Markdown; differences are of the same training seed and scene, in pairs.

    Args:
        scores: by learner, in the table's order; each is compared with the first.
        words: what to call each learner.
    """
    first = next(iter(scores))
    one = scores[first][0]
    subtasks = " | ".join(one.subtasks)
    lines = [
        f"completed of {len(one.subtasks)}, ever, within 0.3 of the goal; {len(scores[first])} training seeds, "
        f"{len(one.seeds)} scenes each, 95 % bootstrap intervals; subtasks at {LIMITS[-1]} steps",
        "",
        f"| learner | at {LIMITS[0]} | at {LIMITS[1]} | minus {words[first]}, paired | {subtasks} |",
        "|---|---|---|---|" + "---|" * len(one.subtasks),
    ]
    for name, found in scores.items():
        cells = [_words(completed(found, limit)) for limit in LIMITS]
        cells.append(
            "" if name == first else _words(completed(found, LIMITS[-1]) - completed(scores[first], LIMITS[-1]))
        )
        rates = np.mean([s.completed(LIMITS[-1], "ever", "loose").mean(axis=0) for s in found], axis=0)
        lines.append(f"| {words[name]} | {' | '.join([*cells, *(f'{rate:.2f}' for rate in rates)])} |")
    return "\n".join(lines)


def needed(found: Results, words: dict[str, str], alone: Collection[str]) -> str:
    """The fewest demonstrations and updates with which each learner completes three subtasks on average, of what was
    measured, as Markdown.

    Args:
        alone: the learners without skills, whose updates are those of ``alone_updates``.
    """
    numbers = {cell: {name: completed(of, LIMITS[-1]).mean() for name, of in by.items()} for cell, by in found.items()}
    targets, longest = _most(found)
    updates_words = longest.words.partition(", ")[2]
    lines = [
        f"least of what was measured with which {ENOUGH:g} subtasks are completed at {LIMITS[-1]} steps, on average "
        "over seeds and scenes",
        "",
        f"| learner | demonstrations, with {updates_words} | updates, with {targets} demonstrations |",
        "|---|---|---|",
    ]
    for name in words:
        done = [cell for cell in found if numbers[cell][name] >= ENOUGH]
        demos = [cell.targets for cell in done if cell.adapt_updates == longest.adapt_updates]
        updates = [cell.updates(name in alone) for cell in done if cell.targets == targets]
        cells = [str(min(values)) if values else "never" for values in (demos, updates)]
        lines.append(f"| {words[name]} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _most(found: Results) -> tuple[int, Cell]:
    """The largest number of demonstrations, and a cell of the longest fine-tuning."""
    return max(cell.targets for cell in found), max(found, key=lambda cell: cell.adapt_updates)


def draw(found: Results, words: dict[str, str], alone: Collection[str], path: Path) -> None:
    """A figure of completed subtasks against demonstrations, and against updates: a panel for what was varied.

    Args:
        alone: as ``needed`` has it.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    targets, longest = _most(found)
    panels = [
        ("demonstrations of the new task", [c for c in found if c.adapt_updates == longest.adapt_updates]),
        (f"updates with {targets} demonstrations", [c for c in found if c.targets == targets]),
    ]
    panels = [(label, cells) for label, cells in panels if len(cells) > 1]
    figure = Figure(figsize=(5.4 * len(panels), 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (label, cells) in zip(np.atleast_1d(figure.subplots(1, len(panels), sharey=True)), panels):
        for i, name in enumerate(words):
            x = [c.updates(name in alone) if label.startswith("updates") else c.targets for c in cells]
            y = np.array([mean_and_interval(completed(found[cell][name], LIMITS[-1])) for cell in cells])
            order = np.argsort(x)
            style = {"color": COLOURS[i % len(COLOURS)], "marker": MARKERS[i % len(MARKERS)]}
            axes.plot(np.array(x)[order], y[order, 0], label=words[name], **style)
            axes.fill_between(
                np.array(x)[order], y[order, 1], y[order, 2], color=style["color"], alpha=0.15, linewidth=0
            )
        axes.axhline(ENOUGH, color="0.6", linewidth=0.8, linestyle=":")
        axes.set_xscale("log")
        ticks = sorted({c.adapt_updates if label.startswith("updates") else c.targets for c in cells})
        axes.set_xticks(ticks, [f"{at:,}" for at in ticks])
        axes.minorticks_off()
        axes.set_xlabel(label)
        axes.set_ylim(-0.05, 4.05)
    axes = figure.axes[0]
    axes.set_ylabel(f"completed subtasks of four at {LIMITS[-1]} steps")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False, fontsize=9)
    figure.savefig(path, dpi=130)
