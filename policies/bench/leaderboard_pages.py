"""The pages of ``pixelarm leaderboard``, made from runs that have ended: a table of all tasks and a page for each.

Pages are Markdown with their figure and film beside them, so that they read in a terminal, in a repository and in these
docs alike; ``leaderboard.html`` holds the same in one file.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from policies.evaluation import page, tables
from policies.evaluation.compare import compare, outcomes_of
from policies.runs.checkpoint import read_json
from policies.runs.find import Source, read_record, read_source
from robot.files import write_json, write_text

FORMAT = "pixelarm-leaderboard/1"
SHOWN = 3  # solved scenes in a film; one that failed stands beside them


def finished_runs(runs: Path, order: Sequence[str], records: Path | None = None) -> dict[str, list[Source]]:
    """Every run in a folder that has learned to its end, by task, those of the recipes in ``order`` first. What is
    in a folder of records stands for runs that are not there.
    """
    there = [read_source(last.parent.parent) for last in sorted(runs.glob("*/last/policy.json"))]
    sources = [source for source in there if source is not None and source.digest]
    here = {_cell(source) for source in sources}
    sources += [source for source in recorded(records) if _cell(source) not in here]
    found: dict[str, list[Source]] = {}
    for source in sources:
        found.setdefault(source.task, []).append(source)

    def place(source: Source) -> tuple[int, str, int]:
        known = source.experiment in order
        return (order.index(source.experiment) if known else len(order), source.experiment, source.seed or 0)

    return {task: sorted(sources, key=place) for task, sources in found.items()}


def recorded(folder: Path | None) -> list[Source]:
    """The records in a folder of runs that had ended."""
    files = sorted(folder.glob("*.json")) if folder else []
    sources = [source for file in files if (source := read_record(file)) and source.kind == "run"]
    return [source for source in sources if source.record and source.record["ended"]]


def _cell(source: Source) -> tuple[str, str, int | None]:
    return source.task, source.experiment, source.seed


def write_pages(
    out: Path,
    tasks: Mapping[str, float],
    order: Sequence[str],
    episodes: int,
    fresh: Iterable[str] = (),
    records: Path | None = None,
) -> str:
    """Play what was not played yet, and write all pages into ``out``; returns the table, empty if no run has ended.

    Args:
        tasks: robot minutes of each task, in the order of the table.
        order: recipes, in the order of the columns. Differences are taken against the first that is there.
        fresh: tasks whose pages are written anew; the others only where they have none. Empty: all.
        records: a folder of records that are shown where the run is not there, and to which those of all runs are
            added.
    """
    found = finished_runs(out / "runs", order, records)
    fresh = set(fresh) or set(tasks)
    reports: dict[str, dict[str, Any]] = {}
    for task in (task for task in tasks if task in found):
        sources, file = found[task], out / task / "compare.json"
        if task in fresh or not file.exists():
            reports[task] = compare([source.path for source in sources], out / task, episodes, keep=records)
            _write_task(out, task, tasks[task], reports[task], sources[0], episodes)
        else:
            reports[task] = read_json(file)
    if not reports:
        return ""
    text = to_markdown(reports, tasks, episodes)
    write_json(out / "leaderboard.json", {"format": FORMAT, "tasks": reports})
    write_text(out / "leaderboard.md", text)
    write_text(out / "leaderboard.html", _to_html(out, reports, tasks, episodes))
    return text


# ------------------------------------------------------------------------------------------------------------ the table
def table_rows(reports: Mapping[str, dict[str, Any]], tasks: Mapping[str, float]) -> list[dict[str, str]]:
    """One line a task, one column a recipe: success once over seeds, of the worst seed, and at the end."""
    rows = []
    for task, report in reports.items():
        row = {"task": f"[{task}]({task}/README.md)", "robot minutes": f"{tasks.get(task, 0):g}"}
        for result in report["results"]:
            once, end = result["measures"]["success"], result["measures"].get("at_end", {})
            words = f"{once['value']:.2f} / {min(once['runs']):.2f}" + (f", {end['value']:.2f}" if end else "")
            row[result["label"]] = f"{words} ({len(once['runs'])})"
        rows.append(row)
    return rows


def to_markdown(reports: Mapping[str, dict[str, Any]], tasks: Mapping[str, float], episodes: int) -> str:
    return f"# Leaderboard\n\n{_words(episodes)}\n\n{tables.table(table_rows(reports, tasks))}\n"


def _words(episodes: int) -> str:
    return (
        f"Success on {episodes} test scenes a seed: mean over seeds / worst seed, mean at the end (seeds). Each recipe "
        "learns from the same demonstrations for the same robot minutes; cloning does without them. Intervals, pairs, "
        "curves and a film are on each task's page."
    )


# ------------------------------------------------------------------------------------------------------- a task's page
def _write_task(out: Path, task: str, minutes: float, report: dict[str, Any], first: Source, episodes: int) -> None:
    seen = "" if first.record else _film(out / task, first, episodes)
    bundle = None if first.record else _bundle(out, first)
    parts = [f"# {task}", _commands(out, task, minutes, report, bundle)]
    if seen:
        parts.append(f'<video src="film.mp4" controls muted loop></video>\n\n{seen}')
    parts.append("![Success over robot minutes, and on the test scenes](compare.png)")
    for words, rows in tables.tables_of(report, task):
        parts.append(f"{words}\n\n{tables.table(_shortened(rows, out))}".strip())
    if report["notes"]:
        parts.append("Remarks:\n\n" + "\n".join(f"* {_short(note, out)}" for note in report["notes"]))
    write_text(out / task / "README.md", "\n\n".join(parts) + "\n")


def _commands(out: Path, task: str, minutes: float, report: dict[str, Any], bundle: Path | None) -> str:
    labels = list(dict.fromkeys(r["label"].partition(",")[0] for r in report["results"]))
    seeds = sorted({seed for r in report["results"] for seed in r["seeds"] if seed is not None})
    words = (
        f"{minutes:g} robot minutes from ten demonstrations. Record, train, play and draw this page:\n\n"
        f"    pixelarm leaderboard --tasks {task} --recipes {' '.join(labels)} --seeds {' '.join(map(str, seeds))}"
    )
    if bundle is None:
        return f"{words}\n\nThe first recipe's policies are not here, but the record of what they did."
    return (
        f"{words}\n\nThe first recipe's first policy is exported beside it, to compare yours with, or to run:\n\n"
        f"    pixelarm eval {_relative(bundle, out)} --episodes 100\n"
        f"    pixelarm deploy {_relative(bundle, out)} --arm sim_panda"
    )


def _relative(path: Path, out: Path) -> str:
    """As it stands below ``runs/leaderboard``, whatever folder this one is."""
    return str(Path("runs/leaderboard") / path.relative_to(out))


def _short(words: str, out: Path) -> str:
    return words.replace(f"{out}/", "")


def _shortened(rows: Sequence[tables.Row], out: Path) -> list[tables.Row]:
    return [{heading: _short(cell, out) for heading, cell in row.items()} for row in rows]


def _bundle(out: Path, source: Source) -> Path:
    """The policy of a run as a bundle; exported again when the run has another."""
    from policies.export.onnx import export

    folder = out / "bundles" / source.path.name
    mark = folder / "of.txt"
    if not mark.exists() or mark.read_text() != source.digest:
        export(source.path, folder)
        write_text(mark, source.digest)
    return folder


def _film(folder: Path, source: Source, episodes: int) -> str:
    """Write ``film.mp4`` of the first scenes that a policy solved and the first that it did not, side by side, unless
    it is there; returns what it shows, in words.
    """
    from policies.evaluation.evaluate import EVAL_SEED, load_actor, make_env_for, rollout
    from robot.dataset.video import write_video

    record = outcomes_of(source, range(EVAL_SEED, EVAL_SEED + episodes), folder)
    if record is None:
        return ""
    solved = [o["seed"] for o in record["outcomes"] if o["success_once"]][:SHOWN]
    failed = [o["seed"] for o in record["outcomes"] if not o["success_once"]][:1]
    words = f"{source.experiment}, seed {source.seed}, on test scenes {', '.join(map(str, solved)) or 'none'} (solved)"
    words += f" and {failed[0]} (not solved)." if failed else "."
    mark = folder / "film.txt"
    if (folder / "film.mp4").exists() and mark.exists() and mark.read_text() == f"{source.digest} {words}":
        return words
    act, contract, config = load_actor(source.path)
    env = make_env_for(contract, config)
    films: list[list[np.ndarray]] = []
    for seed in [*solved, *failed]:
        films.append([])
        rollout(env, act, seed, film=films[-1])
    env.close()
    write_video(folder / "film.mp4", side_by_side(films), fps=contract.rate_hz)
    write_text(mark, f"{source.digest} {words}")
    return words


def side_by_side(films: Sequence[Sequence[np.ndarray]]) -> list[np.ndarray]:
    """Films of ``(H, W, 3)`` frames as one, the shorter ones held at their last frame."""
    length = max(map(len, films))
    return [np.concatenate([film[min(i, len(film) - 1)] for film in films], axis=1) for i in range(length)]


# ----------------------------------------------------------------------------------------------------------- all in one
def _to_html(out: Path, reports: Mapping[str, dict[str, Any]], tasks: Mapping[str, float], episodes: int) -> str:
    rows = [{**row, "task": task} for row, task in zip(table_rows(reports, tasks), reports)]
    parts = ["<h1>Leaderboard</h1>", f"<p>{html.escape(_words(episodes))}</p>", page.html_table(rows)]
    for task in reports:
        folder = out / task
        body = ""
        if (folder / "film.mp4").exists():
            film = base64.b64encode((folder / "film.mp4").read_bytes()).decode()
            body += f'<video style="width:100%" controls muted loop src="data:video/mp4;base64,{film}"></video>'
        body += page.image((folder / "compare.png").read_bytes())
        for words, rows in tables.tables_of(reports[task], task):
            body += f"<p class=note>{html.escape(words)}</p>{page.html_table(_shortened(rows, out))}"
        parts.append(page.section(task, body))
    return page.make_page("pixelarm leaderboard", "\n".join(parts))
