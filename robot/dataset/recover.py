"""Episodes out of the logs that a killed recorder left; see ``robot.dataset.log``."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from robot.dataset.episodes import Episode, episode_files, read_headers, write_episode, write_index
from robot.dataset.log import Logged, left_over, read_log
from robot.errors import DatasetError
from robot.files import Claim

RECOVERED, FAILURES = "recovered", "failures"  # folders beside the demonstrations: nobody learns from them by accident
SUCCESS, FAILURE = "success", "failure"


def recover(folder: Path) -> list[str]:
    """Make episodes of all logs in a dataset's folder, and say in words what was kept and what was lost.

    An episode whose outcome had been said goes where it belongs. One that was going on goes to ``recovered/``, with
    ``truncated: true`` in its provenance, and counts as no success. A log is removed once its episode is written.

    Raises:
        PixelarmError: a recorder writes there.
    """
    claim = Claim(folder, "recovering")
    try:
        return [_recover(folder, path) for path in left_over(folder)]
    finally:
        claim.release()


def _recover(folder: Path, path: Path) -> str:
    try:
        found = read_log(path)
    except DatasetError as error:
        path.unlink()
        return f"{path.name}: nothing in it could be kept ({error})"
    torn = f"; the last {found.damaged} bytes were torn or damaged" if found.damaged else ""
    if not found.actions:
        path.unlink()
        return f"{path.name}: no step was in it{torn}"
    to, kept = _place(folder, found), f"{len(found.actions)} steps{torn}"
    if any(header.provenance.get("log") == found.provenance.get("log") for header in _headers(to)):
        path.unlink()
        return f"{path.name}: its episode is in {to} already"
    file = _write(to, found)
    path.unlink()
    what = f"{found.outcome} of its operator" if found.outcome else "it was cut off, so it counts as no success"
    return f"{path.name}: {kept}, {what}, is {file}"


def _place(folder: Path, found: Logged) -> Path:
    return folder / {SUCCESS: ".", FAILURE: FAILURES}.get(found.outcome, RECOVERED)


def _headers(folder: Path) -> list:
    return read_headers(folder) if episode_files(folder) else []


def _write(folder: Path, found: Logged) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    n, success = len(found.actions), found.outcome == SUCCESS
    ended = np.zeros(n, bool)
    ended[-1] = success
    episode = Episode(
        contract=found.contract,
        observations={name: np.stack([o[name] for o in found.observations]) for name in found.observations[0]},
        actions=np.stack(found.actions),
        rewards=ended.astype(np.float32),
        terminated=ended,
        stamps=np.array(found.stamps, np.int64),
        success=success,
        provenance={**found.provenance, **({} if found.outcome else {"truncated": True})},
    )
    numbers = [int(path.stem.rpartition("_")[2]) for path in episode_files(folder)]
    file = folder / f"episode_{max(numbers, default=-1) + 1:06d}.hdf5"
    write_episode(file, episode)
    write_index(folder)
    return file
