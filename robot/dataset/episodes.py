"""Episodes on disk: robomimic's HDF5 layout, one file an episode, each written whole or not at all.

A dataset is a folder::

    demos/
      episode_000000.hdf5     one demonstration, itself a valid robomimic file with one demo
      episode_000001.hdf5
      dataset.hdf5            all of them as data/demo_0, data/demo_1, ... (external links): what robomimic opens

An episode file is made in memory, written under another name, flushed to disk and renamed, so a recorder that is
killed, or a disk that fills, loses at most the episode in progress. ``dataset.hdf5`` is an index that can always be
rebuilt from the episode files. All episodes of a dataset have one contract.

Inside ``data/demo_0``, with N actions and N + 1 observations:

* ``actions`` (N, A) float32 in the contract's units; ``rewards`` (N,) float32; ``dones`` (N,) uint8 (robomimic's end
  flag); ``terminated`` (N,) uint8 (the task ended, rather than the clock; a demonstration may go on past success, and
  is then ``terminated`` on each step on which the task is still done)
* ``obs/NAME`` the first N observations; ``final_obs/NAME`` the last one, so that no frame is stored twice
* ``stamps`` (N + 1,) int64, nanoseconds since the epoch; ``simulation/NAME``: see ``robot.dataset.simulated``
* ``source`` (N,) uint8 and ``proposed`` (N, A) float32, where they are known: see ``robot.dataset.acting``
* attributes: ``success``, ``num_samples``, ``provenance`` (JSON: device, operator, task, seed, git commit, library
  versions, and how it was recorded, see ``robot.dataset.recording``)

The file's ``data`` group holds ``contract`` (JSON), ``contract_hash``, ``total`` and robomimic's ``env_args``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import h5py
import numpy as np

from robot.contract import Contract
from robot.dataset import acting, recording, simulated
from robot.dataset.hdf5 import read_file, write_atomically
from robot.dataset.strays import common_contract, cure, misfit
from robot.errors import ContractMismatch, DatasetError, StrayEpisodes
from robot.files import Claim

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
    simulation: dict[str, np.ndarray] = field(default_factory=dict)  # see robot.dataset.simulated
    source: np.ndarray | None = None  # (N,) uint8, who acted: see robot.dataset.acting
    proposed: np.ndarray | None = None  # (N, A) float32, before limits

    def __len__(self) -> int:
        return len(self.actions)

    @property
    def steps_to_end(self) -> int:
        """Control steps until it was first ``terminated``; all, if it never was. A demonstration may go on past it."""
        ends = np.flatnonzero(self.terminated)
        return int(ends[0]) + 1 if len(ends) else len(self)

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
        simulated.check(self.simulation, n)
        acting.check(self.source, self.proposed, self.actions)


@dataclass(frozen=True)
class Header:
    """What an episode file says of itself, without its arrays."""

    path: Path
    contract: Contract
    steps: int
    provenance: dict[str, Any]


Described = TypeVar("Described", Episode, Header)


class Recorder:
    """Collects one episode after another and writes each as it ends, for scripted experts and teleoperation alike.

    ``start(observation, stamp_ns)``, then ``add(action, reward, terminated, observation, stamp_ns)`` for each step,
    then ``end(success)`` to write it, or ``discard()``. Use it as a context manager: leaving with an episode open says
    what was lost. It owns its folder: a second recorder is refused, and what a killed one left unfinished is removed.
    What is in the folder is checked before anything is recorded.

    Args:
        provenance: of every episode; with how it is recorded under ``recording``, see ``robot.dataset.recording``.
        append: go on in a folder that holds episodes (``existing``) of the same contract, recorded in the same way.
    """

    def __init__(
        self, folder: str | Path, contract: Contract, provenance: dict[str, Any], append: bool = False
    ) -> None:
        self.folder, self.contract, self.provenance = Path(folder), contract, provenance
        files = episode_files(self.folder)
        if files and not append:
            raise DatasetError(
                f"{self.folder} holds {len(files)} episodes already; choose another folder, or append to it"
            )
        self.existing = read_headers(self.folder, contract) if files else []
        for header in self.existing:
            recording.require_same(recording.of(provenance), recording.of(header.provenance), str(header.path))
        self.folder.mkdir(parents=True, exist_ok=True)
        self._claim = Claim(self.folder, "recording")
        if cleared := self._claim.clear_partials():
            print(cleared)
        self._next = int(_FILE.search(files[-1].name)[1]) + 1 if files else 0  # type: ignore[index]
        self._open = False
        self.episodes = len(files)

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if self._open:
            print(
                f"\nthe episode in progress ({len(self._actions)} steps) is not kept; "
                f"{self.episodes} episodes are safe in {self.folder}"
            )
            self.discard()
        self._claim.release()

    def start(
        self, observation: dict[str, np.ndarray], stamp_ns: int, provenance: dict[str, Any] | None = None
    ) -> None:
        self.contract.check_observation(observation)
        self._observations = [observation]
        self._actions: list[np.ndarray] = []
        self._rewards: list[float] = []
        self._terminated: list[bool] = []
        self._stamps = [stamp_ns]
        self._sources: list[int | None] = []
        self._proposed: list[np.ndarray | None] = []
        self._extra = provenance or {}
        self._open = True

    def add(
        self,
        action: np.ndarray,
        reward: float,
        terminated: bool,
        observation: dict[str, np.ndarray],
        stamp_ns: int,
        source: int | None = None,
        proposed: np.ndarray | None = None,
    ) -> None:
        """``source``, ``proposed``: see ``robot.dataset.acting``; the episode has them if each of its steps does."""
        if not self._open:
            raise DatasetError("no episode is open: call start() first")
        self.contract.check_observation(observation)
        self._actions.append(np.asarray(action, np.float32))
        self._rewards.append(float(reward))
        self._terminated.append(bool(terminated))
        self._observations.append(observation)
        self._stamps.append(stamp_ns)
        self._sources.append(source)
        self._proposed.append(proposed)

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
            source=acting.together(self._sources, np.uint8),
            proposed=acting.together(self._proposed, np.float32),
        )
        path = self.keep(episode)
        self._open = False
        return path

    def keep(self, episode: Episode) -> Path:
        """Check and write an episode that was put together elsewhere; returns its file."""
        path = self.folder / f"episode_{self._next:06d}.hdf5"
        write_episode(path, episode)
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
        _describe(data, episode.contract, len(episode))
        demo = data.create_group("demo_0")
        demo.attrs["num_samples"] = len(episode)
        demo.attrs["success"] = episode.success
        demo.attrs["provenance"] = json.dumps(episode.provenance, sort_keys=True)
        demo["actions"], demo["rewards"] = episode.actions, episode.rewards
        demo["terminated"] = episode.terminated.astype(np.uint8)
        demo["dones"] = np.append(episode.terminated[:-1], True).astype(np.uint8)
        demo["stamps"] = episode.stamps
        for name, values in episode.observations.items():
            options = {"compression": "gzip", "compression_opts": 1} if values.dtype == np.uint8 else {}
            demo.create_dataset(f"obs/{name}", data=values[:-1], **options)
            demo[f"final_obs/{name}"] = values[-1]
        simulated.write(demo, episode.simulation)
        acting.write(demo, episode.source, episode.proposed)

    write_atomically(path, fill)


def write_index(folder: Path) -> Path:
    """(Re)build ``dataset.hdf5`` from the episode files. Raises what ``read_headers`` raises."""
    headers = read_headers(folder)
    path = folder / INDEX

    def fill(index: h5py.File) -> None:
        data = index.create_group("data")
        _describe(data, headers[0].contract, sum(header.steps for header in headers))
        for i, header in enumerate(headers):
            data[f"demo_{i}"] = h5py.ExternalLink(header.path.name, "/data/demo_0")

    write_atomically(path, fill)
    return path


def _describe(data: h5py.Group, contract: Contract, steps: int) -> None:
    """The attributes of a ``data`` group."""
    data.attrs["layout"] = LAYOUT
    data.attrs["contract"] = contract.to_json()
    data.attrs["contract_hash"] = contract.hash
    data.attrs["total"] = steps
    data.attrs["env_args"] = json.dumps({"env_name": contract.task, "type": 2, "env_kwargs": {}})


# -------------------------------------------------------------------------------------------------------------- reading
def episode_files(folder: str | Path) -> list[Path]:
    """The episode files of a dataset folder, in order."""
    return sorted(p for p in Path(folder).glob("episode_*.hdf5") if _FILE.search(p.name))


def read_episode(path: str | Path) -> Episode:
    """Read and check one episode file. Raises DatasetError saying what is wrong with it."""
    episode = read_file(Path(path), _parse)
    try:
        episode.check()
    except DatasetError as error:
        raise DatasetError(f"{path}: {error}") from error
    return episode


def read_header(path: str | Path) -> Header:
    """Read what an episode file says of itself. Raises DatasetError as ``read_episode`` does."""
    return read_file(Path(path), _parse_header)


def _parse_header(file: h5py.File) -> Header:
    data = file["data"]
    if data.attrs.get("layout") != LAYOUT:
        raise ValueError(f"its layout is {data.attrs.get('layout')!r}, expected {LAYOUT!r}")
    contract = _contract(str(data.attrs["contract"]), str(data.attrs["contract_hash"]))
    provenance = json.loads(data["demo_0"].attrs["provenance"])
    return Header(Path(file.filename), contract, int(data.attrs["total"]), provenance)


@lru_cache(maxsize=8)  # a dataset has one, in every file, and reading YAML takes milliseconds
def _contract(text: str, expected_hash: str) -> Contract:
    contract = Contract.from_text(text)
    if contract.hash != expected_hash:
        raise ValueError("its contract was altered: the hash does not match")
    return contract


def _parse(file: h5py.File) -> Episode:
    header, demo = _parse_header(file), file["data/demo_0"]
    observations = {
        name: np.concatenate([demo[f"obs/{name}"][()], demo[f"final_obs/{name}"][()][None]]) for name in demo["obs"]
    }
    return Episode(
        contract=header.contract,
        observations=observations,
        actions=demo["actions"][()],
        rewards=demo["rewards"][()],
        terminated=demo["terminated"][()].astype(bool),
        stamps=demo["stamps"][()],
        success=bool(demo.attrs["success"]),
        provenance=header.provenance,
        simulation=simulated.read(demo),
        **acting.read(demo),
    )


def read_dataset(folder: str | Path, expect: Contract | None = None) -> list[Episode]:
    """All episodes of a dataset folder, checked against one contract.

    Raises:
        DatasetError: no folder, no episodes, or none that can be read.
        ContractMismatch: all were recorded under another contract than ``expect``; each difference is named.
        StrayEpisodes: some cannot be read or have another contract; ``expect`` None: than most of them.
    """
    return _read_all(Path(folder), read_episode, expect)


def read_headers(folder: str | Path, expect: Contract | None = None) -> list[Header]:
    """What the episodes of a folder say of themselves; checks and raises as ``read_dataset``, but reads no arrays."""
    return _read_all(Path(folder), read_header, expect)


def _read_all(folder: Path, read: Callable[[Path], Described], expect: Contract | None) -> list[Described]:
    files = episode_files(folder)
    if not files:
        found = "no such folder" if not folder.is_dir() else "no episode_*.hdf5 in it"
        raise DatasetError(f"{folder} is not a dataset ({found}); `pixelarm collect` records one")
    items: dict[Path, Described] = {}
    wrong: dict[Path, str] = {}
    for path in files:
        try:
            items[path] = read(path)
        except DatasetError as error:
            wrong[path] = str(error)
    contract = expect or common_contract(items.values())
    misfits = {path: item.contract for path, item in items.items() if item.contract != contract}
    if misfits and len(misfits) == len(files) and contract:
        words = "\n  - ".join(contract.diff(misfits[files[0]]))
        raise ContractMismatch(f"{folder} was recorded under another contract than the one here:\n  - {words}")
    wrong |= {path: misfit(path, contract, other) for path, other in misfits.items() if contract}
    if len(wrong) == len(files):
        raise DatasetError(f"no episode of {folder} can be used:\n  - " + "\n  - ".join(wrong.values()))
    if wrong:
        raise StrayEpisodes("\n  - ".join([f"not all of {folder} can be used:", *wrong.values()]) + f"\n{cure(wrong)}")
    return list(items.values())
