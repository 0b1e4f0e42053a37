"""Episodes on disk: robomimic's HDF5 layout, one file an episode, each written whole or not at all.

A dataset is a folder::

    demos/
      episode_000000.hdf5     one demonstration, itself a valid robomimic file with one demo
      episode_000001.hdf5
      dataset.hdf5            all of them as data/demo_0, data/demo_1, ... (external links): what robomimic opens

An episode file is written under another name, flushed to disk and renamed, so a recorder that is killed, or a disk that fills,
loses at most the episode in progress. ``dataset.hdf5`` is an index that can always be rebuilt from the episode files.

Inside ``data/demo_0``, with N actions and N + 1 observations:

* ``actions`` (N, A) float32 in the contract's units; ``rewards`` (N,) float32; ``dones`` (N,) uint8 (robomimic's end flag);
  ``terminated`` (N,) uint8 (the task ended, rather than the clock)
* ``obs/NAME`` the first N observations; ``final_obs/NAME`` the last one, so that no frame is stored twice
* ``stamps`` (N + 1,) int64, nanoseconds since the epoch
* attributes: ``success``, ``num_samples``, ``provenance`` (JSON: device, operator, task, seed, git commit, library versions)

The file's ``data`` group holds ``contract`` (JSON), ``contract_hash``, ``total`` and robomimic's ``env_args``.
"""

from __future__ import annotations

import errno
import json
import os
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from robot.contract import Contract
from robot.errors import ContractMismatch, DatasetError, PixelarmError

INDEX = "dataset.hdf5"
_FILE = re.compile(r"episode_(\d{6})\.hdf5$")
LAYOUT = "pixelarm-episode/1"


@dataclass
class Episode:
    """One episode in memory: N actions between N + 1 observations."""

    contract: Contract
    observations: dict[str, np.ndarray]  # name -> (N + 1, ...)
    actions: np.ndarray  # (N, A) float32
    rewards: np.ndarray  # (N,) float32
    terminated: np.ndarray  # (N,) bool
    stamps: np.ndarray  # (N + 1,) int64 ns
    success: bool
    provenance: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.actions)

    def observation(self, t: int) -> dict[str, np.ndarray]:
        """Observation ``t`` of 0..N as name -> array."""
        return {name: values[t] for name, values in self.observations.items()}

    def check(self) -> None:
        """Raise DatasetError unless shapes, dtypes, lengths and values are what the contract says."""
        n = len(self.actions)
        if n == 0:
            raise DatasetError("an episode without a single action")
        expected: dict[str, tuple[np.ndarray, tuple[int, ...], Any]] = {
            "actions": (self.actions, (n, self.contract.action.size), np.float32),
            "rewards": (self.rewards, (n,), np.float32),
            "terminated": (self.terminated, (n,), np.bool_),
            "stamps": (self.stamps, (n + 1,), np.int64),
        }
        names: dict[str, tuple[tuple[int, ...], Any]] = {c.name: (c.shape, np.uint8) for c in self.contract.cameras}
        names.update({p.name: ((p.size,), np.float32) for p in self.contract.proprio})
        if set(self.observations) != set(names):
            raise DatasetError(f"observations {sorted(self.observations)} are not the contract's {sorted(names)}")
        for name, (shape, dtype) in names.items():
            expected[f"obs/{name}"] = (self.observations[name], (n + 1, *shape), dtype)
        for name, (value, shape, dtype) in expected.items():
            if tuple(value.shape) != tuple(shape) or value.dtype != dtype:
                raise DatasetError(
                    f"{name} must be {shape} {np.dtype(dtype).name}, got {value.shape} {value.dtype.name}"
                )
            if value.dtype == np.float32 and not np.all(np.isfinite(value)):
                raise DatasetError(f"{name} holds numbers that are not finite")
        if np.any(np.diff(self.stamps) <= 0):
            raise DatasetError("stamps do not increase")


class Recorder:
    """Collects one episode after another and writes each as it ends. Scripted experts and teleoperation use the same one.

    ``start(observation, stamp_ns)``, then ``add(action, reward, terminated, observation, stamp_ns)`` for each step, then
    ``end(success)`` to write it, or ``discard()``. Use it as a context manager: leaving with an episode open says what was lost.
    """

    def __init__(
        self, folder: str | Path, contract: Contract, provenance: dict[str, Any], append: bool = False
    ) -> None:
        self.folder, self.contract, self.provenance = Path(folder), contract, provenance
        existing = episode_files(self.folder)
        if existing and not append:
            raise DatasetError(
                f"{self.folder} holds {len(existing)} episodes already; choose another folder, or append to it"
            )
        if existing:
            contract.require_equal(read_episode(existing[0]).contract, here="this recorder", there=str(self.folder))
        self.folder.mkdir(parents=True, exist_ok=True)
        self._next = int(_FILE.search(existing[-1].name)[1]) + 1 if existing else 0  # type: ignore[index]
        self._open = False
        self.episodes = len(existing)

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if self._open:
            print(
                f"\nthe episode in progress ({len(self._actions)} steps) is not kept; {self.episodes} episodes are safe in {self.folder}"
            )
            self.discard()

    def start(
        self, observation: dict[str, np.ndarray], stamp_ns: int, provenance: dict[str, Any] | None = None
    ) -> None:
        self.contract.check_observation(observation)
        self._observations = [observation]
        self._actions: list[np.ndarray] = []
        self._rewards: list[float] = []
        self._terminated: list[bool] = []
        self._stamps = [stamp_ns]
        self._extra = provenance or {}
        self._open = True

    def add(
        self, action: np.ndarray, reward: float, terminated: bool, observation: dict[str, np.ndarray], stamp_ns: int
    ) -> None:
        if not self._open:
            raise DatasetError("no episode is open: call start() first")
        self.contract.check_observation(observation)
        self._actions.append(np.asarray(action, np.float32))
        self._rewards.append(float(reward))
        self._terminated.append(bool(terminated))
        self._observations.append(observation)
        self._stamps.append(stamp_ns)

    def discard(self) -> None:
        self._open = False

    def end(self, success: bool) -> Path:
        """Check and write the open episode; returns its file."""
        if not self._open:
            raise DatasetError("no episode is open: call start() first")
        episode = Episode(
            contract=self.contract,
            observations={name: np.stack([o[name] for o in self._observations]) for name in self._observations[0]},
            actions=np.array(self._actions, np.float32).reshape(-1, self.contract.action.size),
            rewards=np.array(self._rewards, np.float32),
            terminated=np.array(self._terminated, bool),
            stamps=np.array(self._stamps, np.int64),
            success=bool(success),
            provenance={**self.provenance, **self._extra},
        )
        path = self.folder / f"episode_{self._next:06d}.hdf5"
        write_episode(path, episode)
        self._open = False
        self._next += 1
        self.episodes += 1
        write_index(self.folder)
        return path


# -------------------------------------------------------------------------------------------------------------- writing
def write_episode(path: Path, episode: Episode) -> None:
    """Write one episode whole or not at all; refuses to replace a file."""
    episode.check()
    if path.exists():
        raise DatasetError(f"{path} exists already")

    def fill(file: h5py.File) -> None:
        data = file.create_group("data")
        data.attrs["layout"] = LAYOUT
        data.attrs["contract"] = episode.contract.to_json()
        data.attrs["contract_hash"] = episode.contract.hash
        data.attrs["total"] = len(episode)
        data.attrs["env_args"] = json.dumps({"env_name": episode.contract.task, "type": 2, "env_kwargs": {}})
        demo = data.create_group("demo_0")
        demo.attrs["num_samples"] = len(episode)
        demo.attrs["success"] = episode.success
        demo.attrs["provenance"] = json.dumps(episode.provenance, sort_keys=True)
        demo["actions"], demo["rewards"] = episode.actions, episode.rewards
        demo["terminated"] = episode.terminated.astype(np.uint8)
        dones = episode.terminated.astype(np.uint8)
        dones[-1] = 1
        demo["dones"] = dones
        demo["stamps"] = episode.stamps
        for name, values in episode.observations.items():
            options = {"compression": "gzip", "compression_opts": 1} if values.dtype == np.uint8 else {}
            demo.create_dataset(f"obs/{name}", data=values[:-1], **options)
            demo[f"final_obs/{name}"] = values[-1]

    _write_atomically(path, fill)


def write_index(folder: Path) -> Path:
    """(Re)build ``dataset.hdf5`` from the episode files."""
    files = episode_files(folder)
    path = folder / INDEX

    def fill(index: h5py.File) -> None:
        data = index.create_group("data")
        total = 0
        for i, file in enumerate(files):
            with h5py.File(file, "r") as source:
                if i == 0:
                    for key, value in source["data"].attrs.items():
                        data.attrs[key] = value
                total += int(source["data"].attrs["total"])
            data[f"demo_{i}"] = h5py.ExternalLink(file.name, "/data/demo_0")
        data.attrs["total"] = total

    _write_atomically(path, fill, replace=True)
    return path


def _write_atomically(path: Path, fill: Any, replace: bool = False) -> None:
    handle, partial = tempfile.mkstemp(dir=path.parent, prefix=".partial-", suffix=".hdf5")
    os.close(handle)
    try:
        with h5py.File(partial, "w") as file:
            fill(file)
            file.flush()
        with open(partial, "rb") as done:
            os.fsync(done.fileno())
        os.chmod(partial, 0o644)
        if path.exists() and not replace:
            raise DatasetError(f"{path} exists already")
        os.replace(partial, path)
    except OSError as error:
        if error.errno == errno.ENOSPC or "No space left" in str(error):
            raise DatasetError(
                f"the disk is full: {path.name} was not written; what was written before is whole"
            ) from error
        raise
    finally:
        if os.path.exists(partial):
            os.unlink(partial)


# -------------------------------------------------------------------------------------------------------------- reading
def episode_files(folder: str | Path) -> list[Path]:
    """The episode files of a dataset folder, in order."""
    return sorted(p for p in Path(folder).glob("episode_*.hdf5") if _FILE.search(p.name))


def read_episode(path: str | Path) -> Episode:
    """Read and check one episode file. Raises DatasetError saying what is wrong with it."""
    path = Path(path)
    try:
        with h5py.File(path, "r") as file:
            episode = _parse(file)
    except FileNotFoundError as error:
        raise DatasetError(f"{path} does not exist") from error
    except OSError as error:  # h5py's error for truncated and foreign files alike
        raise DatasetError(f"{path} is not a readable HDF5 file (truncated, or something else): {error}") from error
    except (KeyError, ValueError, TypeError, PixelarmError) as error:
        raise DatasetError(f"{path} is not a pixelarm episode: {error}") from error
    try:
        episode.check()
    except DatasetError as error:
        raise DatasetError(f"{path}: {error}") from error
    return episode


def _parse(file: h5py.File) -> Episode:
    data = file["data"]
    if data.attrs.get("layout") != LAYOUT:
        raise ValueError(f"its layout is {data.attrs.get('layout')!r}, expected {LAYOUT!r}")
    contract = Contract.from_text(str(data.attrs["contract"]))
    if contract.hash != data.attrs["contract_hash"]:
        raise ValueError("its contract was altered: the hash does not match")
    demo = data["demo_0"]
    observations = {
        name: np.concatenate([demo[f"obs/{name}"][()], demo[f"final_obs/{name}"][()][None]]) for name in demo["obs"]
    }
    return Episode(
        contract=contract,
        observations=observations,
        actions=demo["actions"][()],
        rewards=demo["rewards"][()],
        terminated=demo["terminated"][()].astype(bool),
        stamps=demo["stamps"][()],
        success=bool(demo.attrs["success"]),
        provenance=json.loads(demo.attrs["provenance"]),
    )


def read_dataset(folder: str | Path, expect: Contract | None = None) -> list[Episode]:
    """All episodes of a dataset folder, checked against one contract.

    Raises:
        DatasetError: no folder, no episodes, or a bad file.
        ContractMismatch: recorded under another contract than ``expect``, or under two; each difference is named.
    """
    folder = Path(folder)
    files = episode_files(folder)
    if not files:
        found = "no such folder" if not folder.is_dir() else "no episode_*.hdf5 in it"
        raise DatasetError(f"{folder} is not a dataset ({found}); `pixelarm collect` records one")
    return list(_checked(files, expect))


def _checked(files: list[Path], expect: Contract | None) -> Iterator[Episode]:
    for path in files:
        episode = read_episode(path)
        if expect is None:
            expect = episode.contract
        if episode.contract != expect:
            words = "\n  - ".join(expect.diff(episode.contract))
            raise ContractMismatch(f"{path} was recorded under another contract than the one here:\n  - {words}")
        yield episode
