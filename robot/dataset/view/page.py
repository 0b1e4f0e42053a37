"""``view``: write the page of a dataset's folder."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from robot.contract import Contract
from robot.dataset.episodes import Episode, Header, episode_files, read_episode, read_headers
from robot.dataset.log import left_over
from robot.dataset.recover import FAILURES, RECOVERED
from robot.dataset.view.drawing import acted, curves, film, picked, start_map
from robot.dataset.view.hints import hints
from robot.dataset.view.summary import Summary, shares, summarise
from robot.files import write_text

PAGE = "view.html"
MOST_FRAMES, FEWEST_FRAMES, ALL_FRAMES = 40, 8, 6000  # of a film; of all together
_TEMPLATE = Path(__file__).with_name("page.html")
# each colour of a curve, a mark and a word of the legend
_COLOURS = "".join(
    f"polyline.c{n}{{stroke:var(--c{n})}}rect.c{n}{{fill:var(--c{n})}}span.c{n}{{color:var(--c{n})}}" for n in range(7)
)


def view(folder: Path, most: int) -> Path:
    """Write ``FOLDER/view.html``, which needs no other file, and return it.

    Args:
        most: episodes shown with film and curves, evenly spread; all count in the map and the hints.

    Raises:
        DatasetError: as ``read_headers``.
        MissingDependency: there are pictures, and Pillow is not installed.
    """
    headers = read_headers(folder)
    shown = set(picked(len(headers), most).tolist()) if most < len(headers) else set(range(len(headers)))
    contract = headers[0].contract
    cameras = max(1, len(contract.cameras))
    frames = int(np.clip(ALL_FRAMES // (len(shown) * cameras), FEWEST_FRAMES, MOST_FRAMES))
    found, parts = [], []
    for number, header in enumerate(headers):
        episode = read_episode(header.path)
        summary = summarise(header.path.stem, episode)
        found.append(summary)
        if number in shown:
            parts.append(_article(summary, episode, frames))
    links = {found[number].name: found[number].name for number in shown}
    body = _head(folder, headers, found) + _hints(folder, found) + _map(found, links)
    title = f"Episodes: {len(shown)} of {len(found)}" if len(shown) < len(found) else "Episodes"
    body += f"<h2>{title}</h2>" + "".join(parts)
    page = _TEMPLATE.read_text().replace("@COLOURS@", _COLOURS)
    page = page.replace("@TITLE@", html.escape(f"{contract.task}: {folder.name}")).replace("@BODY@", body)
    write_text(folder / PAGE, page)
    return folder / PAGE


# ------------------------------------------------------------------------------------------------------- whole folder
def _head(folder: Path, headers: Sequence[Header], found: Sequence[Summary]) -> str:
    contract = headers[0].contract
    who: Counter[str] = Counter()
    for one in found:
        who.update(one.who)
    steps = [one.steps for one in found]
    devices = Counter(one.device or "not said" for one in found)
    rows = {
        "task": contract.task,
        "episodes": f"{len(found)}, {sum(one.success for one in found)} of them a success",
        "length": f"{sum(steps)} steps, {sum(one.seconds for one in found) / 60:.1f} min; {min(steps)} to {max(steps)} "
        f"steps each, at {contract.rate_hz:g} Hz",
        "cameras": ", ".join(f"{c.name} {c.width} x {c.height}" for c in contract.cameras) or "none",
        "actions": f"{contract.action.kind}: {', '.join(contract.action.names)}",
        "recorded by": ", ".join(f"{name} ({count})" for name, count in devices.items()),
        "who acted": ", ".join(f"{name} {count} steps" for name, count in who.items()) or "not said",
        "contract": contract.hash,
    }
    lines = "".join(f"<tr><th>{name}</th><td>{html.escape(words)}</td></tr>" for name, words in rows.items())
    return f"<h1>{html.escape(contract.task)}: {html.escape(folder.name)}</h1><table>{lines}</table>"


def _hints(folder: Path, found: Sequence[Summary]) -> str:
    said = hints(found)
    if logs := left_over(folder):
        said.append(f"Cut off and not yet recovered: {len(logs)}. Type: pixelarm data recover {folder}")
    lines = "".join(f"<li>{html.escape(words)}</li>" for words in said)
    body = f'<ul class="warn">{lines}</ul>' if said else "<p>Nothing that this page looks for.</p>"
    beside = [
        f"{len(files)} more in {name}" for name in (FAILURES, RECOVERED) if (files := episode_files(folder / name))
    ]
    more = f'<p class="note">Not on this page: {html.escape(", ".join(beside))}.</p>' if beside else ""
    return f"<h2>What the data lack</h2>{body}{more}"


def _map(found: Sequence[Summary], links: Mapping[str, str]) -> str:
    drawn = start_map(found, links)
    what = "the end effector and of objects" if any(one.objects for one in found) else "the end effector"
    return f"<h2>Where episodes begin</h2><p class='note'>Of {what}, seen from above.</p>{drawn}" if drawn else ""


# -------------------------------------------------------------------------------------------------------- one episode
def _article(summary: Summary, episode: Episode, frames: int) -> str:
    films, picks = "", picked(len(episode) + 1, frames)
    count, times = len(picks), ",".join(f"{t:.2f}" for t in (episode.stamps[picks] - episode.stamps[0]) * 1e-9)
    for camera in (c.name for c in episode.contract.cameras):
        uri, ratio = film(episode.observations[camera], picks)
        films += (
            f'<figure><div class="film" role="img" aria-label="film of {html.escape(camera)}" style="aspect-ratio:'
            f'{ratio:.4f};background-size:{100 * count}% 100%;background-image:url({uri})"></div>'
            f"<figcaption>{html.escape(camera)}</figcaption></figure>"
        )
    outcome = '<span class="good">success</span>' if summary.success else '<span class="bad">no success</span>'
    words = [f"{summary.steps} steps, {summary.seconds:.1f} s"]
    words += [", ".join(f"{name} {steps}" for name, steps in summary.who.items())] if summary.who else []
    words += [f"begins at {', '.join(f'{100 * v:.1f}' for v in summary.start)} cm"] if summary.start is not None else []
    words += [f"gaps: {summary.gaps}, longest {summary.longest_gap_s:.2f} s"] if summary.gaps else []
    words += ["cut off"] if summary.truncated else []
    return (
        f'<article id="{summary.name}" data-frames="{count}" data-times="{times}"><h3>{summary.name}: '
        f'{outcome}</h3><p class="note">{html.escape("; ".join(words))}</p><div class="films">{films}</div>'
        f'<div class="play"><button type="button">play</button><input type="range" min="0" max="{count - 1}" value="0" '
        f'aria-label="step of {summary.name}"><output>0.0 s</output></div>{_curves(episode)}</article>'
    )


def _curves(episode: Episode) -> str:
    contract, seen = episode.contract, episode.observations
    share, names = shares(contract, episode.actions), contract.action.names
    lines = {name: share[:, i] for i, name in enumerate(names[:-1])}
    drawn = curves("actions", lines, "of their bounds", -1.0, 1.0, len(episode))
    gripper = {f"{names[-1]} (action)": share[:, -1]}
    if "gripper_opening" in seen:
        opening = seen["gripper_opening"][:, 0]
        size = max(float(np.ptp(opening)), 1e-9)
        gripper[f"opening, {opening.min():.3g} to {opening.max():.3g} {_unit(contract, 'gripper_opening')}"] = (
            2.0 * (opening - opening.min()) / size - 1.0
        )
    drawn += curves("gripper", gripper, "of their ranges", -1.0, 1.0, len(episode))
    if "eef_pos" in seen:
        at = seen["eef_pos"] - seen["eef_pos"][0]
        drawn += curves(
            "end effector, from its start", {name: at[:, i] for i, name in enumerate("xyz")}, "m",
            float(at.min()), float(at.max()), len(episode),
        )  # fmt: skip
    return drawn + (acted(episode.source) if episode.source is not None else "")


def _unit(contract: Contract, name: str) -> str:
    return next(p.unit for p in contract.proprio if p.name == name)
