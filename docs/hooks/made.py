"""A hook of MkDocs that fills pages from the code, so that they cannot disagree with it.

A line ``<!-- made: KIND WORDS -->`` of a page is replaced by what the function ``KIND`` below makes of the words. What
needs pixelarm itself (``--help``, the parameters of parts) comes from one child process of the project's own Python,
``$PIXELARM_PYTHON`` or else ``.venv/bin/python``, because the site's tools live in another environment.
"""

from __future__ import annotations

import ast
import functools
import json
import os
import re
import subprocess
import sys
import tokenize
from collections.abc import Callable
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
MARK = re.compile(r"^<!-- made: (\w+) ?(.*?) -->$", re.MULTILINE)
# where the options' dataclasses are
CONFIGS = (
    "policies/config.py",
    "policies/rl/config.py",
    "policies/imitation/config.py",
    "policies/skills/config.py",
    "sim/envs/config.py",
    "robot/control/limits/config.py",
    "robot/profile/grippers.py",
    "robot/profile/topics.py",
    "robot/profile/arbitration.py",
    "robot/profile/driver.py",
    "robot/kinematics/inverse.py",
)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """MkDocs calls this for each page; a kind that does not exist ends the build."""
    return MARK.sub(lambda found: KINDS[found[1]](*found[2].split()), markdown)


FETCHED = re.compile(r"<(?:script|link|img|iframe|source)\b[^>]*\b(?:src|href)=[\"']?(?:https?:)?//[^\"'\s>]+")


def on_post_page(output: str, page: Any, **_: Any) -> str:
    """MkDocs calls this for each page's HTML; one that would fetch something from elsewhere ends the build."""
    found = FETCHED.findall(output)
    if found:
        raise RuntimeError(f"{page.file.src_uri} fetches from elsewhere: {found}")
    return output


# --------------------------------------------------------------------------------------------- from the source alone
@dataclass(frozen=True)
class Option:
    """A field of an options' dataclass, as its file says it."""

    name: str
    type: str
    default: str
    meaning: str  # the comment beside the field, or above it


def read_options(source: str) -> dict[str, tuple[list[str], list[Option]]]:
    """``{class: (names of its bases, its options)}`` of every class in a file that is made of annotated fields."""
    comments = {
        token.start[0]: (token.string.lstrip("# "), token.line.lstrip().startswith("#"))
        for token in tokenize.generate_tokens(StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    found = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef):
            bases = [base.id for base in node.bases if isinstance(base, ast.Name)]
            fields = [field for field in node.body if isinstance(field, ast.AnnAssign)]
            found[node.name] = (bases, [_option(field, comments) for field in fields])
    return found


def _option(field: ast.AnnAssign, comments: dict[int, tuple[str, bool]]) -> Option:
    lines = range(field.lineno, (field.end_lineno or field.lineno) + 1)
    beside = [comments[line][0] for line in lines if line in comments]
    above: list[str] = []
    line = field.lineno - 1
    while not beside and line in comments and comments[line][1]:
        above.insert(0, comments[line][0])
        line -= 1
    default = "" if field.value is None else ast.unparse(_factory(field.value))
    return Option(ast.unparse(field.target), ast.unparse(field.annotation), default, " ".join(beside or above))


def _factory(value: ast.expr) -> ast.expr:
    """Of ``field(default_factory=list)`` an empty list, of ``field(default_factory=X)`` the call ``X()``."""
    if not (isinstance(value, ast.Call) and ast.unparse(value.func) == "field"):
        return value
    factory = next(k.value for k in value.keywords if k.arg == "default_factory")
    if ast.unparse(factory) == "list":
        return ast.List(elts=[])
    return ast.Call(func=factory, args=[], keywords=[])


@functools.cache
def all_options() -> dict[str, list[Option]]:
    """The options of every dataclass in ``CONFIGS``, those of its bases first;
    a field said again keeps what it means.
    """
    classes: dict[str, tuple[list[str], list[Option]]] = {}
    for name in CONFIGS:
        classes.update(read_options((ROOT / name).read_text()))

    def of(name: str) -> list[Option]:
        bases, own = classes[name]
        merged = {option.name: option for base in bases if base in classes for option in of(base)}
        for option in own:
            inherited = merged[option.name].meaning if option.name in merged else ""
            merged[option.name] = replace(option, meaning=option.meaning or inherited)
        return list(merged.values())

    return {name: of(name) for name in classes}


def options(name: str, prefix: str = "") -> str:
    """A table of a dataclass's options, those of the dataclasses inside it too, each under its full name."""
    rows = ["| option | default | meaning |", "|---|---|---|"]
    rows += [f"| `{full}` | {_value(o.default)} | {_cell(o.meaning)} |" for full, o in flat_options(name, prefix)]
    return "\n".join(rows)


def flat_options(name: str, prefix: str = "") -> list[tuple[str, Option]]:
    """``(full name, option)`` of a dataclass; an option that is a dataclass itself is left out for its own."""
    found = []
    for option in all_options()[name]:
        full = f"{prefix}.{option.name}" if prefix else option.name
        if option.type not in all_options():
            found.append((full, option))
        elif prefix:  # the parts of a whole run have tables of their own
            found += flat_options(option.type, full)
    return found


def entries(file: str, name: str) -> str:
    """A table of a plain dict of texts in a file, such as the control loop's rules."""
    for node in ast.parse((ROOT / file).read_text()).body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        if name in map(ast.unparse, targets):
            found = ast.literal_eval(node.value)  # type: ignore[attr-defined]
            rows = [f"| `{key}` | {_cell(value)} |" for key, value in found.items()]
            return "\n".join(["| name | meaning |", "|---|---|", *rows])
    raise KeyError(f"{file} has no {name}")


def code(name: str, language: str = "python") -> str:
    """A file of the repository as a code block."""
    return f"```{language}\n{(ROOT / name).read_text().rstrip()}\n```"


def file(name: str, language: str = "yaml") -> str:
    """A file of the repository as a code block that can be folded out."""
    inner = "\n".join(f"    {line}" if line else "" for line in code(name, language).splitlines())
    return f'??? abstract "`{name}`"\n\n{inner}\n'


# --------------------------------------------------------------------------------------------- from the running code
@functools.cache
def described() -> dict[str, Any]:
    """What ``describe.py`` prints, run by the Python that has pixelarm installed."""
    own = ROOT / ".venv" / "bin" / "python"
    python = os.environ.get("PIXELARM_PYTHON") or (str(own) if own.exists() else sys.executable)
    script = Path(__file__).with_name("describe.py")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "100"}
    done = subprocess.run([python, str(script)], cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(
            f"{python} could not describe pixelarm: `make docs` sets it up, PIXELARM_PYTHON names "
            f"another\n{done.stderr}"
        )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def commands() -> str:
    """Every command's own help text, under a heading each."""
    return "\n".join(
        f"## pixelarm {name}\n\n```text\n{text.rstrip()}\n```\n" for name, text in described()["commands"].items()
    )


def overview() -> str:
    """What ``pixelarm --help`` prints."""
    return f"```text\n{described()['overview'].rstrip()}\n```"


def parts(group: str) -> str:
    """The parts that may be chosen for an option, each with its own options."""
    rows = ["| part | options and defaults | what it is |", "|---|---|---|"]
    for part in described()["parts"][group]:
        values = ", ".join(f"`{name}` {value}" for name, value in part["options"].items())
        rows.append(f"| `{part['name']}` | {_cell(values) or '-'} | {_cell(part['summary'])} |")
    return "\n".join(rows)


def kinds() -> str:
    """The kinds of action."""
    rows = ["| kind | what its numbers are | target | counts from |", "|---|---|---|---|"]
    for k in described()["kinds"]:
        rows.append(f"| `{k['name']}` | {_cell(k['words'])} | {k['target']} | {k['needs'] or '-'} |")
    return "\n".join(rows)


def proprioception() -> str:
    """What an arm measures of itself."""
    rows = ["| field | numbers | unit | frame | meaning |", "|---|---|---|---|---|"]
    for f in described()["proprioception"]:
        rows.append(f"| `{f['name']}` | {f['size']} | {f['unit']} | {f['frame']} | {_cell(f['words'])} |")
    return "\n".join(rows)


def tasks() -> str:
    """The registered tasks."""
    rows = ["| task | instruction | steps at most |", "|---|---|---|"]
    rows += [f"| `{t['name']}` | {_cell(t['language'])} | {t['max_steps']} |" for t in described()["tasks"]]
    return "\n".join(rows)


def _cell(text: str) -> str:
    """Text as the cell of a table; a name in double backquotes, as docstrings write it, in single ones."""
    return re.sub(r"``([^`]+)``", r"`\1`", text).replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")


def _value(source: str) -> str:
    """A default, which its file writes in Python, as one writes it on the command line."""
    if not source:
        return "required"
    try:
        value = ast.literal_eval(source)
    except ValueError:
        return f"`{source}`"
    if value in ("", None):
        return "none"
    text = json.dumps(list(value)) if isinstance(value, (tuple, list)) else str(value)
    return f"`{text.lower() if isinstance(value, bool) else text}`".replace("|", "\\|")


KINDS: dict[str, Callable[..., str]] = {
    "options": options,
    "entries": entries,
    "code": code,
    "file": file,
    "commands": commands,
    "overview": overview,
    "parts": parts,
    "kinds": kinds,
    "proprioception": proprioception,
    "tasks": tasks,
}
