"""Compiled scenes on disk: loaded if they are there, written whole or not at all,
the least recently used ones removed.
"""

from __future__ import annotations

import logging
import os
import tempfile
from contextlib import suppress
from pathlib import Path

import mujoco

CACHE_BYTES = 2_000_000_000  # of compiled models on disk: about thirty


def cache_folder() -> Path:
    """``$PIXELARM_CACHE``, else ``pixelarm`` in the user's cache folder."""
    if "PIXELARM_CACHE" in os.environ:
        return Path(os.environ["PIXELARM_CACHE"])
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "pixelarm"


def load(name: str) -> mujoco.MjModel | None:
    """The model that was saved under a name; None if there is none, or its file is damaged."""
    path = cache_folder() / f"{name}.mjb"
    if not path.is_file():
        return None
    try:
        model = mujoco.MjModel.from_binary_path(str(path))
    except ValueError:
        path.unlink(missing_ok=True)
        return None
    with suppress(OSError):  # a folder that is only read, or another process has just removed it
        os.utime(path)  # it was used now
    return model


def save(name: str, model: mujoco.MjModel) -> None:
    """Keep a model; a cache that cannot be written is only slower."""
    path = cache_folder() / f"{name}.mjb"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, partial = tempfile.mkstemp(dir=path.parent, suffix=".mjb")
        os.close(handle)
        mujoco.mj_saveModel(model, partial, None)
        os.replace(partial, path)
    except OSError as error:
        logging.getLogger(__name__).warning("the compiled scene could not be cached in %s: %s", path.parent, error)
    _forget_oldest(path)


def _forget_oldest(newest: Path) -> None:
    """Remove the models that were not used for longest, until the rest is within ``CACHE_BYTES``; ``newest`` stays."""
    used = []
    for path in newest.parent.glob("*.mjb"):
        with suppress(OSError):  # another process may have removed it
            used.append((path.stat().st_mtime, path.stat().st_size, path))
    total = sum(size for _, size, _ in used)
    for _, size, path in sorted(used):
        if total <= CACHE_BYTES:
            break
        if path != newest:
            with suppress(OSError):
                path.unlink()
            total -= size
