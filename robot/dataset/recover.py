"""Episodes out of their logs: of one that ended, and of what a killed recorder left; see ``robot.dataset.log``."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import numpy as np

from robot.dataset import acting
from robot.dataset.episodes import Episode, Header, episode_files, read_headers, write_episode, write_index
from robot.dataset.log import Logged, left_over, read_log
from robot.errors import DatasetError, PixelarmError
from robot.files import Claim

RECOVERED, FAILURES = "recovered", "failures"  # folders beside the demonstrations: nobody learns from them by accident
SUCCESS, FAILURE = "success", "failure"
DAMAGED = ".damaged"  # what a log is called whose rest could not be read
ALIVE_S = 30.0  # on a disk that cannot lock: a log that was written to since then may be somebody's


def recover(folder: Path) -> list[str]:
    """Make episodes of all logs in a dataset's folder, and say in words what was kept and what was lost.

    An episode whose outcome had been said goes where it belongs. One that was going on goes to ``recovered/``, with
    ``truncated: true`` in its provenance, and counts as no success. A log is removed once its episode is written; one
    that is damaged is kept under another name.

    Raises:
        PixelarmError: a recorder writes there.
    """
    logs = left_over(folder)
    if not logs:
        return []  # and no lock is made in a folder where there is nothing to do
    with Claim(folder, "recovering") as claim:
        return [_recover(folder, path, claim.alone) for path in logs]


def _recover(folder: Path, path: Path, alone: bool) -> str:
    changed = path.stat().st_mtime
    since = f"{path.name}, last written {time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(changed))}"
    if not alone and time.time() - changed < ALIVE_S:
        return f"{since}: left alone, somebody may be writing it; repeat the command in {ALIVE_S:.0f} s"
    if not path.stat().st_size:
        path.unlink(missing_ok=True)
        return f"{since}: nothing had been written into it"
    try:
        found = read_log(path)
    except DatasetError:
        return f"{since}: nothing in it could be read{_put_away(path, path.stat().st_size)}"
    lost = _put_away(path, found.damaged)
    if not found.actions:
        path.unlink(missing_ok=True)
        return f"{since}: no step was in it{lost}"
    since = f"{path.name}, begun {found.began}"
    to = folder / {SUCCESS: ".", FAILURE: FAILURES}.get(found.outcome, RECOVERED)
    try:
        if any(header.provenance.get("log") == found.provenance.get("log") for header in _headers(to)):
            path.unlink(missing_ok=True)
            return f"{since}: its episode is in {to} already{lost}"
        file = _write(to, episode_of(found))
    except PixelarmError as error:
        return f"{since}: not written, its log stays: {error}"
    path.unlink(missing_ok=True)
    what = f"{found.outcome} of its operator" if found.outcome else "it was cut off, so it counts as no success"
    return f"{since}: {len(found.actions)} steps, {seconds(found):.1f} s, {what}, is {file}{lost}"


def seconds(found: Logged) -> float:
    return (found.stamps[-1] - found.stamps[0]) * 1e-9


def _put_away(path: Path, damaged: int) -> str:
    """Say that a log's end is lost. A copy of it stays: more than we can read may be in it."""
    if not damaged:
        return ""
    copy = path.with_name(path.name + DAMAGED)
    if not copy.exists():
        try:
            os.link(path, copy)
        except OSError:  # a file system without links
            shutil.copy2(path, copy)
    if damaged == path.stat().st_size:
        path.unlink()
    return f"; lost: its last {damaged} bytes, which are torn or damaged ({copy} keeps them)"


def _headers(folder: Path) -> list[Header]:
    return read_headers(folder) if episode_files(folder) else []


def episode_of(found: Logged) -> Episode:
    """An episode of at least one step: a success only if its operator said so, and then ended with its last step."""
    terminated = np.array([terminated for _, terminated, _ in found.came], bool)
    rewards = np.array([reward for reward, _, _ in found.came], np.float32)
    if found.outcome == SUCCESS and not terminated.any():
        terminated[-1], rewards[-1] = True, 1.0
    names = list(found.observations[0])
    return Episode(
        contract=found.contract,
        observations={name: np.stack([o[name] for o in found.observations]) for name in names},
        actions=np.stack(found.actions),
        rewards=rewards,
        terminated=terminated,
        stamps=np.array(found.stamps, np.int64),
        success=found.outcome == SUCCESS,
        source=np.array([source for _, _, source in found.came], np.uint8),
        proposed=acting.together(found.proposed, np.float32),
        provenance={**found.provenance, **({} if found.outcome else {"truncated": True})},
    )


def _write(folder: Path, episode: Episode) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    numbers = [int(path.stem.rpartition("_")[2]) for path in episode_files(folder)]
    file = folder / f"episode_{max(numbers, default=-1) + 1:06d}.hdf5"
    write_episode(file, episode)
    write_index(folder)
    return file
