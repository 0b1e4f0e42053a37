"""The page of the report: one HTML file with every figure and picture inside."""

from __future__ import annotations

import html
import io
import json
from collections.abc import Sequence

import numpy as np

from policies.diagnose.findings import Finding
from policies.diagnose.page import findings_table
from policies.evaluation.page import html_table, image, make_page, picture, section
from policies.reuse import figures
from policies.reuse.examine import Examined
from policies.reuse.jumps import gaps, shares
from policies.reuse.play import Played
from policies.reuse.subject import Subject
from robot.dataset.simulated import QPOS
from sim.kitchen.pictures import Drawing, Painter

PICTURES, SIZE, CAMERA = 8, 160, "frontview"  # of an episode's strip; pixels; FrankaKitchen's own view


def write(subject: Subject, found: Examined, findings: list[Finding]) -> str:
    """The whole page as HTML."""
    task, cfg = subject.policy.contract.task, subject.cfg
    title = f"{task}: {cfg.experiment}, seed {cfg.seed}"
    notes = "".join(f"<p class='warn'>{html.escape(note)}</p>" for note in found.notes)
    count = len(found.library.episodes)
    head = (
        f"<h1>{html.escape(title)}</h1><p>{html.escape(str(subject.folder))}. At every control step this policy looks "
        f"up the nearest of {len(subject.policy.left)} states of {count} demonstrations, and does the skill that led "
        f"from there to the state {found.horizon} control steps later. Below: which moments it looked up in "
        f"{len(found.played)} episodes, and which skills it chose.</p>{notes}"
    )
    painter = Painter(task, Drawing(cameras=(CAMERA,), size=SIZE))
    parts = [
        head, section("Findings", findings_table(findings)), section("Episodes", html_table(episode_rows(found))),
        section("Subtasks", html_table(subtask_rows(found)), SUBTASK_WORDS),
        section("Demonstrations", html_table(demonstration_rows(found))),
        section("Skills", picture(figures.skills(found)), _skill_words(found)),
        *(_episode(found, episode, painter) for episode in found.played),
    ]  # fmt: skip
    painter.world.close()
    measured = json.dumps({k: v for k, v in found.to_dict().items() if k != "episodes"}, indent=2)
    parts.append(section("Everything measured", f"<pre>{html.escape(measured)}</pre>"))
    return make_page(f"pixelarm reuse: {title}", "\n".join(parts))


SUBTASK_WORDS = "When each was first done, in control steps, and how many steps after the one before it: medians."


def _skill_words(found: Examined) -> str:
    apart = ", ".join(
        f"{'all' if every == 1 else f'one in {every}'} of the {name}" for name, every in found.every.items()
    )
    return (
        f"Posterior means of stretches of {found.horizon} recorded actions ({apart}), in the plane in which they "
        "differ most, coloured by the subtask that was being done. What lies together is done by similar motions."
    )


# --------------------------------------------------------------------------------------------------------------- tables
def episode_rows(found: Examined) -> list[dict[str, str]]:
    """A row for each episode, as the page has it and the terminal."""
    rows = []
    for episode in found.played:
        jumps = found.jumps(episode)
        done = [step for step in episode.completed.values() if step is not None]
        usual = f"{np.median(episode.away):.2f}" if episode.steps else ""
        rows.append(
            {
                "scene": str(episode.seed),
                "completed": f"{len(done)} of {len(episode.completed)}",
                "steps": str(episode.steps),
                "switches": str(jumps.switches),
                "back": str(jumps.backward),
                f"back > {found.horizon}": str(jumps.far_backward),
                "longest stay": str(jumps.longest_stay),
                "distance, median": usual,
            }
        )
    return rows


def subtask_rows(found: Examined) -> list[dict[str, str]]:
    """A row for each subtask of the task: how often and when, beside the demonstrations."""
    rows = []
    for subtask in found.played[0].completed:
        when = [step for one in found.played if (step := one.completed[subtask]) is not None]
        since = [steps for one in found.played if (steps := gaps(one.completed).get(subtask)) is not None]
        shown = [step for one in found.demonstrated if (step := one[subtask]) is not None]
        rows.append(
            {
                "subtask": subtask.replace("_", " "),
                "completed": f"{len(when)} of {len(found.played)}",
                "at step": _median(when),
                "steps since the one before": _median(since),
                "demonstrations: at step": _median(shown),
                "demonstrations: since": _median([found.usual_gaps[subtask]] if subtask in found.usual_gaps else []),
            }
        )
    return rows


def _median(values: Sequence[float]) -> str:
    return f"{np.median(values):.0f}" if len(values) else "never"


def demonstration_rows(found: Examined) -> list[dict[str, str]]:
    """Of each demonstration, the share of each episode's steps at which it was looked up."""
    count = len(found.library.episodes)
    of = {episode.seed: shares(found.demonstration(episode), count) for episode in found.played}
    return [
        {
            "demonstration": str(number),
            "steps": str(len(found.library.episodes[number])),
            **{f"scene {seed}": figures.percent(each[number]) for seed, each in of.items()},
        }
        for number in range(count)
    ]


# ------------------------------------------------------------------------------------------------------------- episodes
def _episode(found: Examined, episode: Played, painter: Painter) -> str:
    """Its look-ups, its pictures, and its skills."""
    if not episode.steps:
        return section(f"Scene {episode.seed}", "", "Everything was done at its start.")
    rows = [
        {
            "subtask": subtask.replace("_", " "),
            "completed at step": "never" if step is None else str(step),
            "after": "" if step is None else f"{step / found.rate_hz:.1f} s",
            "steps since the one before": str(gaps(episode.completed).get(subtask, "")),
        }
        for subtask, step in episode.completed.items()
    ]
    far = "" if found.far is None else (
        f" Dashed: {found.far:.2f}, which 95 % of the demonstrated states keep within from another demonstration."
    )  # fmt: skip
    words = (
        "Each dot is a control step: the moment that was looked up, in its demonstration's colour (in brackets: its "
        f"share of the steps). The line above a dot leads to the state {found.horizon} steps later, which is where the "
        f"policy goes. Dotted lines: a subtask is completed. Below: how far the looked-up state is away.{far} "
        f"{_stay(found, episode)}"
    )
    strip = (
        "<h3>Pictures</h3><p class='note'>Top: the scene. Middle: the looked-up state, with its demonstration and "
        f"control step. Bottom: where that led, {found.horizon} steps later.</p>{film(found, episode, painter)}"
    )
    skills = (
        "<h3>Chosen skills</h3><p class='note'>Coloured by the subtask that was done at the looked-up moment; grey: "
        f"stretches of the demonstrations.</p>{picture(figures.chosen(found, episode))}"
    )
    body = f"{html_table(rows)}{picture(figures.look_ups(found, episode))}{strip}{skills}"
    return section(f"Scene {episode.seed}", body, words)


def _stay(found: Examined, episode: Played) -> str:
    """The longest stay at one moment, as a sentence."""
    jumps = found.jumps(episode)
    number, moment = found.demonstration(episode)[jumps.stay_from], found.moment(episode)[jumps.stay_from]
    return (
        f"Longest at one moment: {jumps.longest_stay} steps from step {jumps.stay_from} on, at step {moment} of "
        f"demonstration {number}."
    )


def film(found: Examined, episode: Played, painter: Painter) -> str:
    """Pictures of an episode, below each the looked-up state, and below that the one where it led."""
    steps = np.linspace(0, episode.steps - 1, PICTURES).round().astype(int)
    lines: list[list[str]] = [[], [], []]
    for step in steps:
        row = int(episode.rows[step])
        number, moment = int(found.library.demonstration[row]), int(found.library.moment[row])
        goal = min(moment + found.horizon, found.library.last(number))
        stored = found.library.episodes[number].simulation[QPOS]
        lines[0].append(_cell(painter, episode.qpos[step], f"step {step}", ""))
        lines[1].append(_cell(painter, stored[moment], f"{number}, step {moment}", figures.colour_of(number)))
        lines[2].append(_cell(painter, stored[goal], f"{number}, step {goal}", ""))
    body = "".join(f"<tr>{''.join(line)}</tr>" for line in lines)
    return f"<table style='width:100%;table-layout:fixed'>{body}</table>"


def _cell(painter: Painter, qpos: np.ndarray, words: str, colour: str) -> str:
    """A picture of a state over a caption, with a bar of a colour between them."""
    from matplotlib.image import imsave

    buffer = io.BytesIO()
    imsave(buffer, painter.picture(qpos, CAMERA), format="png")
    bar = f"border-bottom:4px solid {colour}" if colour else "border-bottom:4px solid transparent"
    return (
        f"<td style='padding:2px;border:0'><div style='{bar};line-height:0'>{image(buffer.getvalue())}</div>"
        f"<span class='note'>{html.escape(words)}</span></td>"
    )
