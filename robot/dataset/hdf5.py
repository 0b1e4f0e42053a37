"""HDF5 files that are written whole or not at all, and errors of reading that say which file and why."""

from __future__ import annotations

import errno
import io
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import h5py

from robot.errors import DatasetError, PixelarmError
from robot.files import write_bytes

Read = TypeVar("Read")


def write_atomically(path: Path, fill: Callable[[h5py.File], None]) -> None:
    """HDF5 is made in memory: closing its file on a full disk ends the process with a segmentation fault."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        fill(file)
    try:
        write_bytes(path, buffer.getvalue())
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        words = f"the disk is full: {path.name} was not written; what was written before is whole"
        raise DatasetError(words) from error


def read_file(path: Path, parse: Callable[[h5py.File], Read]) -> Read:
    """What ``parse`` makes of the open file. Raises DatasetError saying what is wrong with it."""
    try:
        with h5py.File(path, "r") as file:
            return parse(file)
    except FileNotFoundError as error:
        raise DatasetError(f"{path} does not exist") from error
    except OSError as error:  # h5py's error for truncated and foreign files alike
        raise DatasetError(f"{path} is not a readable HDF5 file (truncated, or something else): {error}") from error
    except (KeyError, ValueError, TypeError, PixelarmError) as error:
        raise DatasetError(f"{path} is not a pixelarm episode: {error}") from error
