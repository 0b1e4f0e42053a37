"""Files that are either old or new, never half written; folders with one writer;
places that can be written to at all.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import sys
import tempfile
import time
import weakref
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from robot.errors import PixelarmError


def write_text(path: Path, text: str) -> None:
    """Write under another name in the same folder (made if need be), then rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        partial.write_text(text)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def write_json(path: Path, data: Any) -> None:
    write_text(path, json.dumps(data, indent=2) + "\n")


PARTIAL = ".partial-"  # how the name of a file begins that ``write_bytes`` has not finished


def sync_folder(folder: Path) -> None:
    """A new name is on disk only when its folder is."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with suppress(OSError):  # some file systems cannot
            os.fsync(handle)
    finally:
        os.close(handle)


def write_bytes(path: Path, data: bytes) -> None:
    """Write under another name in the same folder, flush to disk, rename. A killed process leaves the other name."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=PARTIAL, suffix=path.suffix)
    partial = Path(name)
    try:
        with open(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.chmod(0o644)
        os.replace(partial, path)
        sync_folder(path.parent)
    finally:
        partial.unlink(missing_ok=True)


# -------------------------------------------------------------------------------------------------- places to write to
def require_folder(folder: Path) -> None:
    """Make a folder if need be and write into it on trial, before a long task ends where nothing can be written.

    Raises:
        PixelarmError: the system's reason, and the folder.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder, buffering=0) as trial:
            trial.write(bytes(4096))  # a full disk still makes empty files
    except OSError as error:
        raise PixelarmError(
            f"nothing can be written into {folder}: {error.strerror or error}; choose another place"
        ) from error


def require_file(path: Path) -> None:
    """As ``require_folder``, for a file that is to be written or replaced."""
    if path.is_dir():
        raise PixelarmError(f"{path} is a folder, and a file is to be written there: add a name, {path / 'NAME'}")
    require_folder(path.parent)


def write_results(writes: Mapping[Path, Callable[[], object]]) -> None:
    """Write what a long task has found, each file whatever becomes of the others. Print the findings first.

    Raises:
        PixelarmError: naming each that the system refused, and why.
    """
    problems = []
    for path, write in writes.items():
        try:
            write()
        except OSError as error:
            problems.append(f"{path} could not be written: {error.strerror or error}")
    if problems:
        raise PixelarmError("; ".join(problems))


# ---------------------------------------------------------------------------------------------- folders with one writer
LOCK = ".lock"  # the file that carries the lock, and in words who holds it
_claims: weakref.WeakSet[Claim] = weakref.WeakSet()


class Claim:
    """Sole ownership of a folder, until it is released or its process ends, however it ends.

    The kernel drops the lock together with the process, so none is ever left behind; the file stays and means nothing
    then. Children do not inherit it. On a file system that cannot lock, nobody is kept out, and a line on stderr says
    so.

    Args:
        folder: made if need be.
        doing: what the owner does there, for the message: "training", say.

    Raises:
        PixelarmError: somebody else owns the folder; who, where and since when.
        OSError: nothing can be written there.
    """

    def __init__(self, folder: Path, doing: str = "writing") -> None:
        self.folder, self.alone = folder, True
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        self.release = weakref.finalize(self, os.close, handle)
        _claims.add(self)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(handle, 1000, 0).decode(errors="replace") or "another process"
            self.release()
            raise PixelarmError(
                f"{folder} is in use by {owner}: wait until it has ended, stop it, or choose another folder"
            ) from None
        except OSError as error:
            self.alone = False
            print(
                f"{folder} cannot be locked ({error.strerror}): see to it that nobody else writes there",
                file=sys.stderr,
            )
        now = time.strftime("%Y-%m-%d %H:%M:%S")
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"process {os.getpid()} on {socket.gethostname()}, {doing} since {now}".encode(), 0)

    def clear_partials(self) -> str:
        """Remove what a killed ``write_bytes`` left here, and say so; where nobody is kept out, name it instead."""
        left = sorted(path for path in self.folder.glob(f"{PARTIAL}*") if path.is_file())
        names = ", ".join(path.name for path in left)
        if left and not self.alone:
            return f"{self.folder} holds unfinished files; if nobody is writing there, remove them: {names}"
        for path in left:
            path.unlink(missing_ok=True)
        return f"removed from {self.folder} what an interrupted process had not finished: {names}" if left else ""

    def __enter__(self) -> Claim:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and self.alone and [path.name for path in self.folder.iterdir()] == [LOCK]:
            with suppress(OSError):  # nothing was done here: no trace of it stays
                (self.folder / LOCK).unlink()
                self.folder.rmdir()
        self.release()


def _let_go() -> None:
    """In a forked child: a worker that outlives its parent must not hold the parent's folder."""
    for claim in list(_claims):
        claim.release()


os.register_at_fork(after_in_child=_let_go)
