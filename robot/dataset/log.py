"""An episode's log: what is being recorded, on disk within a second, so that a power cut loses no more than that.

``FOLDER/.recording/NAME.log`` is written while an episode goes on, and removed when the episode is a file of its own or
was discarded. It is the only place where the steps are until then: nothing of an episode has to stay in memory. What a
recorder that was killed left there becomes an episode by ``robot.dataset.recover``.

A log is ``MAGIC`` and then records: kind (u8), length of the payload (u32), CRC-32 of kind and payload (u32),
little-endian, and the payload, which is deflated: JSON of ``HEADER`` (contract, provenance, wall clock) and of ``END``
(outcome, what else is known then); of ``FIRST`` and ``LATER`` an observation, of ``STEP`` an action, reward (f32),
terminated (u8) and source (u8, ``robot.dataset.acting``), and what they led to; a ``PROPOSED`` is a ``STEP`` with what
was proposed (f32) after its source. An observation is its stamp (i64), cameras (u8) and proprioception (f32) as the
contract orders them. ``LATER`` is in place of the last observation. Reading ends at the first record that is torn or
damaged.
"""

from __future__ import annotations

import errno
import json
import os
import queue
import struct
import threading
import time
import uuid
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from robot.contract import Contract
from robot.dataset.acting import PERSON
from robot.errors import DatasetError
from robot.files import sync_folder

PLACE = ".recording"
MAGIC = b"pixelarm log 2\n"
HEADER, FIRST, STEP, LATER, END, PROPOSED = range(1, 7)
RECORD = struct.Struct("<BII")
STAMP = struct.Struct("<q")
CAME = struct.Struct("<fBB")  # reward, terminated, source
SYNC_S = 1.0
MOST_WAITING = 200  # records; more means that the disk does not keep up
MOST_WAITING_BYTES = 64 << 20
LARGEST = 1 << 28  # bytes of one payload: beyond that the length is damaged
PATIENCE_S = 10.0  # of whoever ends a log, for a disk that hangs

Observation = dict[str, np.ndarray]


class EpisodeLog:
    """Writes one episode's log from a thread of its own: no call waits for the disk, but ``end``, ``close`` and
    ``remove``. ``failure`` says in words that the log takes no further steps and why; those before stay in it.

    Args:
        folder: of the dataset.
    """

    def __init__(self, folder: Path, contract: Contract, provenance: dict[str, Any]) -> None:
        self.contract, self.failure = contract, ""
        self.name = f"{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:8]}"
        self.path = folder / PLACE / f"{self.name}.log"
        size = sum(int(np.prod(c.shape)) for c in contract.cameras) or 1
        self._waiting: queue.Queue[bytes | None] = queue.Queue(max(4, min(MOST_WAITING, MOST_WAITING_BYTES // size)))
        self._thread = threading.Thread(target=self._write, name="episode log", daemon=True)
        self._thread.start()
        about = {
            "contract": contract.to_json(), "provenance": {**provenance, "log": self.name},
            "began": time.strftime("%Y-%m-%d %H:%M:%S"),
        }  # fmt: skip
        self._put(HEADER, json.dumps(about).encode())

    def first(self, observation: Observation, stamp_ns: int) -> None:
        self._put(FIRST, self._pack(observation, stamp_ns))

    def later(self, observation: Observation, stamp_ns: int) -> None:
        """In place of the last observation: the arm rested since."""
        self._put(LATER, self._pack(observation, stamp_ns))

    def step(
        self,
        action: np.ndarray,
        observation: Observation,
        stamp_ns: int,
        reward: float = 0.0,
        terminated: bool = False,
        source: int = PERSON,
        proposed: np.ndarray | None = None,
    ) -> bool:
        """Whether it was taken; False: see ``failure``."""
        came = np.asarray(action, "<f4").tobytes() + CAME.pack(reward, terminated, source)
        if proposed is None:
            return self._put(STEP, came + self._pack(observation, stamp_ns))
        return self._put(PROPOSED, came + np.asarray(proposed, "<f4").tobytes() + self._pack(observation, stamp_ns))

    def end(self, outcome: str, more: dict[str, Any]) -> None:
        """The episode's outcome; returns when it is on disk, or cannot be written there."""
        item = bytes([END]) + json.dumps({"outcome": outcome, "provenance": more}).encode()
        try:
            self._waiting.put(item, timeout=PATIENCE_S)
        except queue.Full:
            self.failure = self.failure or "the disk does not answer"
        self.close()

    def close(self) -> None:
        """Everything is on disk; the log stays."""
        try:
            self._waiting.put(None, timeout=PATIENCE_S)
        except queue.Full:
            return  # the disk hangs: the thread ends with the process
        self._thread.join(timeout=PATIENCE_S)

    def remove(self) -> None:
        """The episode is a file of its own, or is not wanted."""
        self.close()
        self.path.unlink(missing_ok=True)

    def _pack(self, observation: Observation, stamp_ns: int) -> bytes:
        images = [np.ascontiguousarray(observation[c.name], np.uint8).tobytes() for c in self.contract.cameras]
        vectors = [np.asarray(observation[p.name], "<f4").tobytes() for p in self.contract.proprio]
        return b"".join([STAMP.pack(stamp_ns), *images, *vectors])

    def _put(self, kind: int, payload: bytes) -> bool:
        if self.failure:
            return False
        try:
            self._waiting.put_nowait(bytes([kind]) + payload)
        except queue.Full:
            self.failure = "the disk does not keep up with what is recorded"
        return not self.failure

    # ---------------------------------------------------------------------------------------------- the writer's thread
    def _write(self) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with open(self.path, "xb", buffering=0) as file:
                sync_folder(self.path.parent)
                _write_whole(file, MAGIC)
                self._take_all(file)
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            self.failure = "the disk is full" if full else f"nothing can be written to the disk ({error.strerror})"
            while self._waiting.get() is not None:
                pass  # nobody who puts waits for a thread that has ended

    def _take_all(self, file: BinaryIO) -> None:
        synced_s, pending = time.monotonic(), False
        while True:
            try:
                item = self._waiting.get(timeout=max(0.0, synced_s + SYNC_S - time.monotonic()) if pending else None)
            except queue.Empty:
                item = b""
            if item:
                _write_whole(file, record(item[0], item[1:]))
                pending = True
            if item is None or (pending and time.monotonic() - synced_s >= SYNC_S):
                os.fdatasync(file.fileno())
                synced_s, pending = time.monotonic(), False
            if item is None:
                return


def _write_whole(file: BinaryIO, data: bytes) -> None:
    """All of it: a disk that is nearly full takes a part and says so only by the count."""
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


def record(kind: int, payload: bytes) -> bytes:
    packed = zlib.compress(payload, 1)
    return RECORD.pack(kind, len(packed), zlib.crc32(bytes([kind]) + packed)) + packed


# -------------------------------------------------------------------------------------------------------------- reading
@dataclass
class Logged:
    """What a log holds: N actions between N + 1 observations, as far as it is whole."""

    contract: Contract
    provenance: dict[str, Any]
    began: str = ""  # wall clock, local
    observations: list[Observation] = field(default_factory=list)
    actions: list[np.ndarray] = field(default_factory=list)
    came: list[tuple[float, bool, int]] = field(default_factory=list)  # reward, terminated, source of each action
    proposed: list[np.ndarray | None] = field(default_factory=list)  # for each action
    stamps: list[int] = field(default_factory=list)
    outcome: str = ""  # empty: the recorder was killed before it had one
    damaged: int = 0  # bytes at the end that are torn or damaged


def left_over(folder: Path) -> list[Path]:
    """Logs in a dataset's folder."""
    return sorted((folder / PLACE).glob("*.log"))


def read_log(path: Path) -> Logged:
    """Raises DatasetError if not even the header can be read."""
    found: Logged | None = None
    size = path.stat().st_size
    with open(path, "rb") as file:
        at = len(MAGIC) if file.read(len(MAGIC)) == MAGIC else size
        for kind, payload, following in _records(file) if at < size else ():
            try:
                found = _take(found, kind, payload)
            except (ValueError, KeyError, IndexError, struct.error):
                break
            at = following
    if found is None:
        raise DatasetError(f"{path} is no episode's log, or its beginning is torn or damaged")
    found.damaged = size - at
    return found


def _records(file: BinaryIO) -> Iterator[tuple[int, bytes, int]]:
    """Kind, payload, and where the next one begins, up to the first that is torn or damaged."""
    while len(head := file.read(RECORD.size)) == RECORD.size:
        kind, length, crc = RECORD.unpack(head)
        packed = file.read(length) if length <= LARGEST else b""
        if len(packed) < length or zlib.crc32(bytes([kind]) + packed) != crc:
            return
        yield kind, zlib.decompress(packed), file.tell()


def _take(found: Logged | None, kind: int, payload: bytes) -> Logged:
    if kind == HEADER:
        about = json.loads(payload)
        return Logged(Contract.from_text(about["contract"]), about["provenance"], about["began"])
    if found is None:
        raise ValueError("no header")
    if kind == END:
        end = json.loads(payload)
        found.outcome = end["outcome"]
        found.provenance.update(end["provenance"])
        return found
    size = 4 * found.contract.action.size
    came = size + CAME.size
    begins = {STEP: came, PROPOSED: came + size}.get(kind, 0)
    observation, stamp = _unpack(found.contract, payload[begins:])
    if kind == LATER:
        found.observations[-1], found.stamps[-1] = observation, stamp
        return found
    if kind in (STEP, PROPOSED):
        found.actions.append(np.frombuffer(payload[:size], "<f4").astype(np.float32))
        reward, terminated, source = CAME.unpack_from(payload, size)
        found.came.append((reward, bool(terminated), source))
        said = np.frombuffer(payload[came:begins], "<f4").astype(np.float32)
        found.proposed.append(said if kind == PROPOSED else None)
    found.observations.append(observation)
    found.stamps.append(stamp)
    return found


def _unpack(contract: Contract, payload: bytes) -> tuple[Observation, int]:
    (stamp,), at = STAMP.unpack_from(payload), STAMP.size
    observation: Observation = {}
    for camera in contract.cameras:
        count = int(np.prod(camera.shape))
        observation[camera.name] = np.frombuffer(payload, np.uint8, count, at).reshape(camera.shape)
        at += count
    for vector in contract.proprio:
        observation[vector.name] = np.frombuffer(payload, "<f4", vector.size, at).astype(np.float32)
        at += 4 * vector.size
    if at != len(payload):
        raise ValueError("another size than the contract's")
    return observation, stamp
