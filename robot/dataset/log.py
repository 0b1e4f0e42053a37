"""An episode's log: what is being recorded, on disk within a second, so that a power cut loses no more than that.

``FOLDER/.recording/NAME.log`` is written while an episode goes on, and removed when the episode is a file of its own or
was discarded. What a recorder that was killed left there becomes an episode by ``recover``.

A log is ``MAGIC`` and then records: kind (u8), length of the payload (u32), CRC-32 of kind and payload (u32),
little-endian, and the payload, which is deflated: JSON of ``HEADER`` (contract, provenance) and of ``END`` (outcome,
what else is known then); of ``FIRST`` and ``LATER`` an observation, of ``STEP`` an action and what it led to: action
(f32), stamp (i64), cameras (u8) and proprioception (f32) as the contract orders them. ``LATER`` is in place of the last
observation. Reading ends at the first record that is torn or damaged.
"""

from __future__ import annotations

import json
import os
import queue
import struct
import threading
import time
import uuid
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from robot.contract import Contract
from robot.errors import DatasetError

PLACE = ".recording"
MAGIC = b"pixelarm log 1\n"
HEADER, FIRST, STEP, LATER, END = range(1, 6)
RECORD = struct.Struct("<BII")
STAMP = struct.Struct("<q")
SYNC_S = 1.0
MOST_WAITING = 200  # records; more means that the disk does not keep up
LARGEST = 1 << 28  # bytes of one payload: beyond that the length is damaged

Observation = dict[str, np.ndarray]


class EpisodeLog:
    """Writes one episode's log from a thread of its own: no call waits for the disk, but ``end``.

    Args:
        folder: of the dataset.
    """

    def __init__(self, folder: Path, contract: Contract, provenance: dict[str, Any]) -> None:
        self.contract, self.failure = contract, ""
        self.name = f"{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:8]}"
        place = folder / PLACE
        place.mkdir(parents=True, exist_ok=True)
        self.path = place / f"{self.name}.log"
        self._file = open(self.path, "xb", buffering=0)
        self._waiting: queue.Queue[bytes | None] = queue.Queue(MOST_WAITING)
        self._thread = threading.Thread(target=self._write, name="episode log", daemon=True)
        self._thread.start()
        about = {"contract": contract.to_json(), "provenance": {**provenance, "log": self.name}}
        self._put(HEADER, json.dumps(about).encode())

    def first(self, observation: Observation, stamp_ns: int) -> None:
        self._put(FIRST, self._pack(observation, stamp_ns))

    def later(self, observation: Observation, stamp_ns: int) -> None:
        """In place of the last observation: the arm rested since."""
        self._put(LATER, self._pack(observation, stamp_ns))

    def step(self, action: np.ndarray, observation: Observation, stamp_ns: int) -> None:
        self._put(STEP, np.asarray(action, "<f4").tobytes() + self._pack(observation, stamp_ns))

    def end(self, outcome: str, more: dict[str, Any]) -> None:
        """The episode's outcome; returns when it is on disk."""
        self._put(END, json.dumps({"outcome": outcome, "provenance": more}).encode(), wait=True)
        self.close()

    def close(self) -> None:
        """Everything is on disk; the log stays."""
        if self._thread.is_alive():
            self._waiting.put(None)
            self._thread.join(timeout=10.0)
        self._file.close()

    def remove(self) -> None:
        """The episode is a file of its own, or is not wanted."""
        self.close()
        self.path.unlink(missing_ok=True)

    def _pack(self, observation: Observation, stamp_ns: int) -> bytes:
        images = [np.ascontiguousarray(observation[c.name], np.uint8).tobytes() for c in self.contract.cameras]
        vectors = [np.asarray(observation[p.name], "<f4").tobytes() for p in self.contract.proprio]
        return b"".join([STAMP.pack(stamp_ns), *images, *vectors])

    def _put(self, kind: int, payload: bytes, wait: bool = False) -> None:
        if self.failure:
            return
        try:
            self._waiting.put(bytes([kind]) + payload, block=wait, timeout=10.0 if wait else None)
        except queue.Full:
            self.failure = "the disk does not keep up with the log of this episode: a power cut would lose the rest"

    def _write(self) -> None:
        synced_s = 0.0
        try:
            self._file.write(MAGIC)
            while (item := self._waiting.get()) is not None:
                self._file.write(record(item[0], item[1:]))
                if item[0] == END or time.monotonic() - synced_s > SYNC_S:
                    os.fdatasync(self._file.fileno())
                    synced_s = time.monotonic()
            os.fdatasync(self._file.fileno())
        except OSError as error:
            self.failure = f"the log of this episode cannot be written ({error.strerror}): a power cut would lose it"


def record(kind: int, payload: bytes) -> bytes:
    packed = zlib.compress(payload, 1)
    return RECORD.pack(kind, len(packed), zlib.crc32(bytes([kind]) + packed)) + packed


# -------------------------------------------------------------------------------------------------------------- reading
@dataclass
class Logged:
    """What a log holds: N actions between N + 1 observations, as far as it is whole."""

    contract: Contract
    provenance: dict[str, Any]
    observations: list[Observation] = field(default_factory=list)
    actions: list[np.ndarray] = field(default_factory=list)
    stamps: list[int] = field(default_factory=list)
    outcome: str = ""  # empty: the recorder was killed before it had one
    damaged: int = 0  # bytes at the end that are torn or damaged


def left_over(folder: Path) -> list[Path]:
    """Logs in a dataset's folder."""
    return sorted((folder / PLACE).glob("*.log"))


def read_log(path: Path) -> Logged:
    """Raises DatasetError if not even the header can be read."""
    data = path.read_bytes()
    found: Logged | None = None
    at = len(MAGIC) if data.startswith(MAGIC) else len(data)
    while (item := _record(data, at)) is not None:
        kind, payload, following = item
        try:
            found = _take(found, kind, payload)
        except (ValueError, KeyError, struct.error):
            break
        at = following
    if found is None:
        raise DatasetError(f"{path} is no episode's log, or was torn before its first step")
    found.damaged = len(data) - at
    return found


def _record(data: bytes, at: int) -> tuple[int, bytes, int] | None:
    """Kind, payload, and where the next one begins; None where it is torn or damaged."""
    if at + RECORD.size > len(data):
        return None
    kind, length, crc = RECORD.unpack_from(data, at)
    packed = data[at + RECORD.size : at + RECORD.size + length]
    if length > LARGEST or len(packed) < length or zlib.crc32(bytes([kind]) + packed) != crc:
        return None
    return kind, zlib.decompress(packed), at + RECORD.size + length


def _take(found: Logged | None, kind: int, payload: bytes) -> Logged:
    if kind == HEADER:
        about = json.loads(payload)
        return Logged(Contract.from_text(about["contract"]), about["provenance"])
    if found is None:
        raise ValueError("no header")
    if kind == END:
        end = json.loads(payload)
        found.outcome = end["outcome"]
        found.provenance.update(end["provenance"])
        return found
    size = 4 * found.contract.action.size if kind == STEP else 0
    observation, stamp = _unpack(found.contract, payload[size:])
    if kind == LATER:
        found.observations[-1], found.stamps[-1] = observation, stamp
        return found
    if kind == STEP:
        found.actions.append(np.frombuffer(payload[:size], "<f4").astype(np.float32))
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
