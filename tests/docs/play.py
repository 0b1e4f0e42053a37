"""Plays the blocks of a tutorial in the current folder, in one process: ``python play.py STEPS.json``. Not a test.

Each step is ``["write", file, text]``, ``["run", program, arguments]`` or ``["code", text]``. Programs
are ``pixelarm`` and ``python``. What each step printed is written to ``printed.json``; the first that fails ends the play.
"""

from __future__ import annotations

import contextlib
import io
import json
import runpy
import sys
from pathlib import Path


class Tee(io.StringIO):
    """Text that is kept and printed, so that a failing page shows what came before."""

    def write(self, text: str) -> int:
        sys.__stdout__.write(text)
        return super().write(text)


def run(program: str, arguments: list[str]) -> None:
    """A command of a page, in this process: torch and MuJoCo are imported once a page."""
    sys.argv = [program, *arguments]
    try:
        if program == "pixelarm":
            from robot import cli

            sys.exit(cli.main(arguments))
        assert program == "python", f"a tutorial's command is pixelarm or python, not {program}"
        sys.argv = arguments
        runpy.run_path(arguments[0], run_name="__main__")
    except SystemExit as ended:
        assert not ended.code, f"{program} {' '.join(arguments)} ended with {ended.code}"


def code(text: str, number: int) -> None:
    """A block of Python, after the ones before it: each page's blocks are one script."""
    path = Path(f"block_{number}.py")
    path.write_text(text)
    NAMES.update(runpy.run_path(str(path), init_globals=NAMES))


NAMES: dict[str, object] = {}  # of the page's blocks of Python so far


def main(steps: list[list]) -> None:
    printed = []
    for number, (kind, *words) in enumerate(steps):
        with contextlib.redirect_stdout(Tee()) as out:
            if kind == "write":
                path = Path(words[0])
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(words[1])
            elif kind == "run":
                run(words[0], words[1])
            else:
                code(words[0], number)
        printed.append(out.getvalue())
    Path("printed.json").write_text(json.dumps(printed))


if __name__ == "__main__":
    sys.path.insert(0, "")  # as for a script that a reader starts in this folder
    main(json.loads(Path(sys.argv[1]).read_text()))
