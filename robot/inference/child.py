"""The process that runs a policy for another one: ``python -m robot.inference.child BUNDLE MEMORY PROVIDER``.

It reads a byte from standard input for each observation that lies in the shared memory, and answers with a byte on
standard output: ``DONE`` when the actions lie there, or ``FAILED``, the number of bytes (u32, little-endian) and the
words of the error in UTF-8. The first answer says that the policy is loaded. Nothing is pickled. It ends when its
standard input does, that is with the process that started it.
"""

from __future__ import annotations

import mmap
import os
import sys
from pathlib import Path

from robot import bundle
from robot.inference.layout import Layout

DONE, FAILED = b"\x06", b"\x15"  # ASCII's acknowledge, and its opposite


def main(argv: list[str]) -> int:
    path, memory_path, provider = argv
    answers = os.dup(1)
    os.dup2(2, 1)  # whatever a library prints is no answer
    try:
        policy = bundle.load(Path(path), provider=provider)
        with open(memory_path, "r+b") as file:
            memory = mmap.mmap(file.fileno(), 0)
        views = Layout.of(policy.contract).views(memory)
    except Exception as error:
        _fail(answers, error)
        return 1
    action = views.pop("action")
    os.write(answers, DONE)
    while os.read(0, 1):
        try:
            action[:] = policy.act(views)
        except Exception as error:
            _fail(answers, error)
        else:
            os.write(answers, DONE)
    return 0


def _fail(answers: int, error: Exception) -> None:
    words = f"{type(error).__name__}: {error}".encode()[:60_000]
    os.write(answers, FAILED + len(words).to_bytes(4, "little") + words)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
