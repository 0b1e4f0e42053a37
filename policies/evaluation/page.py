"""What the HTML pages of runs share: figures in one style, pictures inside the file, sections, and the page around
them.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, BLUE, ORANGE, GREEN, RED, GREY = "#222", "#2b6cb0", "#c05621", "#2f855a", "#c53030", "#a0aec0"


def axes_of(width: float = 6.4, height: float = 3.2) -> tuple[Figure, Any]:
    """A figure of one plot, in inches, and the plot."""
    figure, panels = panels_of(width, height)
    return figure, panels[0, 0]


def panels_of(width: float, height: float, rows: int = 1, columns: int = 1, **shape: Any) -> tuple[Figure, Any]:
    """A figure of several plots, in inches, and the plots ``(rows, columns)``; ``shape`` as of ``plt.subplots``."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(rows, columns, figsize=(width, height), layout="constrained", squeeze=False, **shape)
    for axes in panels.flat:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", color="#e2e8f0", linewidth=0.8)
        axes.set_axisbelow(True)
    return figure, panels


def section(title: str, body: str, words: str = "") -> str:
    """A heading, a paragraph of plain text if there is one, and ``body``, which is HTML."""
    return f"<section><h2>{html.escape(title)}</h2>{f'<p>{html.escape(words)}</p>' if words else ''}{body}</section>"


def html_table(rows: Sequence[Mapping[str, str]]) -> str:
    """Rows of ``{heading: cell}``, plain text, as a table."""
    headings = list(dict.fromkeys(heading for row in rows for heading in row))
    lines = [[row.get(heading, "") for heading in headings] for row in rows]
    head = "".join(f"<th>{html.escape(heading)}</th>" for heading in headings)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in line) + "</tr>" for line in lines)
    return f"<table><tr>{head}</tr>{body}</table>"


def picture(figure: Figure) -> str:
    """A figure, drawn and closed, as an element of a page."""
    import matplotlib.pyplot as plt

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=140)
    plt.close(figure)
    return image(buffer.getvalue())


def image(png: bytes) -> str:
    """A PNG file's bytes as an element of a page."""
    return f'<img src="data:image/png;base64,{base64.b64encode(png).decode()}" alt="">'


def make_page(title: str, body: str) -> str:
    """A whole HTML file that needs no other; ``body`` is HTML, ``title`` plain text."""
    return _PAGE.replace("@TITLE@", html.escape(title)).replace("@BODY@", body)


_PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>@TITLE@</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><style>
body{font:15px/1.5 system-ui,sans-serif;color:#222;max-width:960px;margin:2rem auto;padding:0 1rem}
h1{font-size:1.6rem;margin:0 0 1rem}h2{font-size:1.15rem;margin:2rem 0 .5rem}h3{font-size:1rem;margin:1rem 0 .3rem}
table{border-collapse:collapse}
th{text-align:left;white-space:nowrap;font-weight:600;padding:.2rem 1.2rem .2rem 0;vertical-align:top}
td{padding:.2rem 1rem .2rem 0;font-variant-numeric:tabular-nums}
tr+tr>*{border-top:1px solid #e2e8f0}img{max-width:100%}.note{color:#666;font-size:.9rem}
.warn{background:#fffaf0;border-left:4px solid #c05621;padding:.5rem 1rem}
figure{margin:.5rem 0}figure.film{display:inline-block;margin:.3rem}video{width:220px;display:block;background:#eee}
figcaption{font-size:.8rem;color:#666}
pre{background:#f7fafc;padding:1rem;overflow:auto;font-size:.8rem;max-height:30rem}</style></head><body>
@BODY@
</body></html>"""
