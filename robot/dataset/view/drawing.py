"""Curves and a map as SVG that takes its colours from the page, and films as one JPEG a camera."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np

from robot.dataset.acting import CODES
from robot.dataset.view.summary import Summary
from robot.errors import MissingDependency

WIDTH, HEIGHT = 600, 90  # of curves, stretched to the page's width
MAP = 320  # pixels
QUALITY = 72  # of JPEG
LARGEST = 112  # pixels, height and width of a picture on the page


def film(frames: np.ndarray, picks: np.ndarray) -> tuple[str, float]:
    """Those of ``frames`` ``(T, H, W, C)`` uint8 with the numbers ``picks``, side by side in one JPEG.

    Returns:
        A data URI, and a picture's width over its height.

    Raises:
        MissingDependency: Pillow is not installed.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingDependency("pictures of the page need Pillow: pip install pillow") from error
    every = max(1, -(-max(frames.shape[1:3]) // LARGEST))
    row = np.concatenate([frames[t][::every, ::every] for t in picks], axis=1)
    buffer = io.BytesIO()
    Image.fromarray(row if row.shape[2] == 3 else row.repeat(3, axis=2)).save(buffer, "JPEG", quality=QUALITY)
    uri = "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
    return uri, frames.shape[2] / frames.shape[1]


def picked(length: int, count: int) -> np.ndarray:
    """At most ``count`` of ``length`` rows, evenly, the first and the last among them."""
    return np.linspace(0, length - 1, min(length, count)).round().astype(int)


def curves(title: str, lines: Mapping[str, np.ndarray], unit: str, low: float, high: float, steps: int) -> str:
    """A figure with one curve for each of ``lines``, name -> (T,), between ``low`` and ``high``, in an episode of
    ``steps`` actions: what has a value for each action ends a step before its right edge.
    """
    size = max(high - low, 1e-9)
    drawn, legend = [], []
    for number, (name, values) in enumerate(lines.items()):
        x = np.arange(len(values)) * WIDTH / steps
        y = HEIGHT - (HEIGHT - 4) * (np.clip(values, low, high) - low) / size - 2
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y))
        drawn.append(f'<polyline class="c{number % 7}" points="{points}"/>')
        legend.append(f'<span class="c{number % 7}">{html.escape(name)}</span>')
    zero = HEIGHT - (HEIGHT - 4) * (0 - low) / size - 2
    axis = f'<line class="zero" x1="0" x2="{WIDTH}" y1="{zero:.1f}" y2="{zero:.1f}"/>' if low < 0 < high else ""
    return (
        f'<figure class="curves"><figcaption><b>{html.escape(title)}</b> {" ".join(legend)}'
        f'<i>{low:.3g} to {high:.3g} {html.escape(unit)}</i></figcaption><svg viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'preserveAspectRatio="none" role="img" aria-label="{html.escape(title)}">{axis}{"".join(drawn)}'
        f'<line class="now" x1="0" x2="0" y1="0" y2="{HEIGHT}"/></svg></figure>'
    )


def acted(source: np.ndarray) -> str:
    """A bar that says who acted at each step."""
    edges = [0, *(np.flatnonzero(np.diff(source)) + 1).tolist(), len(source)]
    scale = WIDTH / len(source)
    parts = "".join(
        f'<rect class="{CODES[source[a]]}" x="{a * scale:.1f}" y="0" width="{(b - a) * scale:.1f}" height="12"/>'
        for a, b in pairwise(edges)
    )
    legend = " ".join(f'<span class="{CODES[code]}">{CODES[code]}</span>' for code in np.unique(source))
    return (
        f'<figure class="curves"><figcaption><b>who acted</b> {legend}</figcaption><svg class="bar" '
        f'viewBox="0 0 {WIDTH} 12" preserveAspectRatio="none" role="img" aria-label="who acted">{parts}'
        '<line class="now" x1="0" x2="0" y1="0" y2="12"/></svg></figure>'
    )


def start_map(found: Sequence[Summary], links: Mapping[str, str]) -> str:
    """Where episodes begin, seen from above with ahead upwards; a dot links to its episode where that is shown."""
    marks = [(one.start, one, "") for one in found if one.start is not None]
    marks += [(at, one, name) for one in found for name, at in one.objects.items()]
    if not marks:
        return ""
    places = np.array([at[:2] for at, _, _ in marks], float)
    middle = (places.min(axis=0) + places.max(axis=0)) / 2
    half = max(float(np.ptp(places, axis=0).max()) * 0.6, 0.02)
    names = sorted({name for _, _, name in marks if name})
    drawn = []
    for at, one, name in marks:
        x = MAP / 2 * (1 - (at[1] - middle[1]) / half)
        y = MAP / 2 * (1 - (at[0] - middle[0]) / half)
        drawn.append(_mark(float(x), float(y), one, name, names, links.get(one.name)))
    step = _round(half / 2)
    length = MAP * step / (2 * half)
    legend = '<span class="good">● success</span> <span class="bad">✕ no success</span> '
    legend += " ".join(f'<span class="c{n % 7}">■ {html.escape(name)}</span>' for n, name in enumerate(names))
    return (
        f'<figure class="map"><figcaption>{legend}</figcaption><svg viewBox="0 0 {MAP} {MAP}" role="img" '
        f'aria-label="where episodes begin"><rect class="field" width="{MAP}" height="{MAP}"/>'
        f'<path class="scale" d="M12 {MAP - 14}h{length:.1f}"/><text x="12" y="{MAP - 20}">{100 * step:g} cm</text>'
        f'<text x="{MAP / 2}" y="16" text-anchor="middle">ahead ↑</text>{"".join(drawn)}</svg></figure>'
    )


def _mark(x: float, y: float, one: Summary, name: str, names: Sequence[str], link: str | None) -> str:
    title = f"<title>{html.escape(f'{one.name}: {name}' if name else one.name)}</title>"
    if name:
        colour = f"c{names.index(name) % 7}"
        shape = f'<rect class="{colour}" x="{x - 3:.1f}" y="{y - 3:.1f}" width="6" height="6">{title}</rect>'
    elif one.success:
        shape = f'<circle class="good" cx="{x:.1f}" cy="{y:.1f}" r="4">{title}</circle>'
    else:
        shape = f'<path class="bad" d="M{x - 4:.1f} {y - 4:.1f}l8 8m0-8l-8 8">{title}</path>'
    return f'<a href="#{link}">{shape}</a>' if link else shape


def _round(length: float) -> float:
    """The largest of 1, 2 and 5 times a power of ten that is no longer."""
    power = 10.0 ** np.floor(np.log10(length))
    return float(max(m * power for m in (1, 2, 5) if m * power <= length * 1.0001))
