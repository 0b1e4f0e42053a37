"""Plays tutorials in one process, so that torch and MuJoCo are imported once: ``python play.py``. Not a test.

Each line of standard input is the JSON of ``[folder, steps]``. The steps are done in that folder, and ``played.json``
there says what each of them printed and, if one failed, why; then a line ``PLAYED`` is printed. A step is ``["write",
file, text]``, ``["run", program, arguments]`` (``pixelarm`` or ``python``), or ``["code", text]``, the next block of
one script.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import runpy
import sys
import traceback
from pathlib import Path

PLAYED = "PLAYED"


def run(program: str, arguments: list[str]) -> None:
    """A command of a page."""
    try:
        if program == "pixelarm":
            from robot import cli

            sys.argv = [program, *arguments]
            sys.exit(cli.main(arguments))
        assert program == "python", f"a tutorial's command is pixelarm or python, not {program}"
        sys.argv = arguments
        # whole, because a worker process that imports the script anew looks from the folder that this process started
        # in
        runpy.run_path(str(Path(arguments[0]).resolve()), run_name="__main__")
    except SystemExit as ended:
        assert not ended.code, f"{program} {' '.join(arguments)} ended with {ended.code}"


def do(step: list, number: int, names: dict[str, object]) -> None:
    """One step; ``names`` are those of the page's script so far."""
    kind, *words = step
    if kind == "write":
        path = Path(words[0])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(words[1])
    elif kind == "run":
        run(words[0], words[1])
    else:
        block = Path(f"block_{number}.py")
        block.write_text(words[0])
        names.update(runpy.run_path(str(block), init_globals=names))


def play(steps: list[list]) -> dict[str, object]:
    """What each step printed, and the traceback of the one that failed."""
    printed: list[str] = []
    names: dict[str, object] = {}
    for number, step in enumerate(steps):
        out = io.StringIO()
        try:
            with contextlib.redirect_stdout(out):
                do(step, number, names)
        except BaseException:
            return {"printed": [*printed, out.getvalue()], "failed": f"{step}\n{traceback.format_exc()}"}
        printed.append(out.getvalue())
    return {"printed": printed, "failed": ""}


if __name__ == "__main__":
    sys.path.insert(0, "")  # as for a script that a reader starts in this folder
    for line in sys.stdin:
        folder, todo = json.loads(line)
        os.chdir(folder)
        Path("played.json").write_text(json.dumps(play(todo)))
        print(f"\n{PLAYED}", flush=True)
