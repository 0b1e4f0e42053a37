"""Files that are either old or new, never half written, and folders with one writer."""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
import weakref
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
    finally:
        partial.unlink(missing_ok=True)


class Claim:
    """Sole ownership of a folder, until it is released or its process ends, however it ends.

    On a file system that cannot lock, nobody is kept out.

    Raises:
        PixelarmError: somebody else owns the folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self._held = folder, True
        handle = os.open(folder, os.O_RDONLY)
        self.release = weakref.finalize(self, os.close, handle)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.release()
            raise PixelarmError(
                f"another process is writing into {folder}: wait until it has ended, or choose another folder"
            ) from None
        except OSError:
            self.release()
            self._held = False

    def clear_partials(self) -> str:
        """Remove what a killed ``write_bytes`` left here, and say so; where nobody is kept out, name it instead."""
        left = sorted(path for path in self.folder.glob(f"{PARTIAL}*") if path.is_file())
        names = ", ".join(path.name for path in left)
        if left and not self._held:
            return f"{self.folder} holds unfinished files; if nobody is writing there, remove them: {names}"
        for path in left:
            path.unlink(missing_ok=True)
        return f"removed from {self.folder} what an interrupted process had not finished: {names}" if left else ""
