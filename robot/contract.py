"""The contract: one description of observations, actions and timing, for the simulator, the dataset, the policy and the
arm.

A contract is stored in every dataset, checkpoint and policy bundle, and compared before anything runs. Two contracts
are interchangeable exactly when their ``hash`` is equal; ``diff`` says in words where they are not.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from robot.actions import KINDS, MEASURED, ORIGINS, PROPRIO
from robot.errors import ContractMismatch, PixelarmError

SCHEMA = 1


@dataclass(frozen=True)
class Camera:
    """One camera stream: images are ``(height, width, channels)`` uint8."""

    name: str
    height: int  # pixels
    width: int  # pixels
    channels: int = 3
    encoding: str = "rgb8"  # sensor_msgs/Image encoding
    fps: float = 10.0  # images per second the policy was trained to see
    frame_id: str = ""  # REP-103 optical frame

    def __post_init__(self) -> None:
        object.__setattr__(self, "fps", float(self.fps))

    @property
    def shape(self) -> tuple[int, int, int]:
        return (self.height, self.width, self.channels)


@dataclass(frozen=True)
class Proprio:
    """One named vector of the arm's own state: ``(size,)`` float32.
    ``robot.actions.PROPRIO`` says what arms measure.
    """

    name: str
    size: int
    unit: str  # SI: m, rad, m/s, ...
    frame: str  # frame the numbers are expressed in


@dataclass(frozen=True)
class Action:
    """The action vector ``(size,)`` float32, in physical units per control period."""

    kind: str  # one of robot.actions.KINDS
    names: tuple[str, ...]
    units: tuple[str, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    frame: str = "base"
    gripper: str = "last entry: -1 opens, +1 closes"
    counts_from: str = MEASURED  # one of robot.actions.ORIGINS: what deltas are added to

    def __post_init__(self) -> None:
        object.__setattr__(self, "low", tuple(float(v) for v in self.low))
        object.__setattr__(self, "high", tuple(float(v) for v in self.high))
        if self.kind not in KINDS:
            raise PixelarmError(f"unknown action kind {self.kind!r}; the valid kinds are: {', '.join(KINDS)}")
        if self.counts_from not in ORIGINS:
            raise PixelarmError(f"actions count from {' or '.join(ORIGINS)}, not from {self.counts_from!r}")
        if self.counts_from != MEASURED and not KINDS[self.kind].deltas:
            raise PixelarmError(f"{self.kind!r} actions are no deltas: they cannot count from {self.counts_from!r}")
        lengths = {"names": len(self.names), "units": len(self.units), "low": len(self.low), "high": len(self.high)}
        if len(set(lengths.values())) != 1:
            raise PixelarmError(f"action fields must have one length, got {lengths}")
        if not all(low < high for low, high in zip(self.low, self.high)):
            raise PixelarmError(f"action bounds must satisfy low < high, got low {self.low} and high {self.high}")

    @property
    def size(self) -> int:
        return len(self.names)


@dataclass(frozen=True)
class Contract:
    """Everything that both ends of an arrow must agree on."""

    task: str
    cameras: tuple[Camera, ...]
    proprio: tuple[Proprio, ...]
    action: Action
    rate_hz: float  # control rate
    deadline_ms: float  # observation stamp to command published
    max_age_ms: float  # an observation older than this at the tick is not used
    history: int = 1  # observations the policy sees
    chunk: int = 1  # actions the policy returns per call
    execute: int = 1  # of them, how many are carried out before it is called again
    arm: str = "panda"  # whose end effector, joints and gripper these are
    schema: int = field(default=SCHEMA)

    def __post_init__(self) -> None:
        for name in ("rate_hz", "deadline_ms", "max_age_ms"):
            object.__setattr__(self, name, float(getattr(self, name)))  # 10 and 10.0 are one contract
        names = [c.name for c in self.cameras] + [p.name for p in self.proprio]
        doubled = {n for n in names if names.count(n) > 1}
        if doubled:
            raise PixelarmError(f"observation names must be unique, got {sorted(doubled)} more than once")
        for value, what in (
            (self.rate_hz, "rate_hz"),
            (self.deadline_ms, "deadline_ms"),
            (self.max_age_ms, "max_age_ms"),
        ):
            if not value > 0:
                raise PixelarmError(f"{what} must be positive, got {value}")
        for value, what in ((self.history, "history"), (self.chunk, "chunk"), (self.execute, "execute")):
            if value < 1:
                raise PixelarmError(f"{what} must be at least 1, got {value}")
        if self.execute > self.chunk:
            raise PixelarmError(f"execute must be at most chunk, which is {self.chunk}, got {self.execute}")

    @property
    def period_s(self) -> float:
        return 1.0 / self.rate_hz

    @property
    def summary(self) -> str:
        """A policy, or the policy that an arm waits for, in a few words."""
        return f"task {self.task}, arm {self.arm}, {self.rate_hz:g} Hz, {self.action.kind}"

    def camera(self, name: str) -> Camera:
        return next(c for c in self.cameras if c.name == name)

    @property
    def joints(self) -> int | None:
        """Joints of the arm, where something has one number for each of them: the action, else the proprioception."""
        if KINDS[self.action.kind].each_joint:
            return self.action.size - 1
        return next((p.size for p in self.proprio if p.name in PROPRIO and PROPRIO[p.name].size is None), None)

    def require_arm(self) -> None:
        """Raise PixelarmError, naming each reason, unless actions
        and proprioception are what ``robot.actions`` says of arms.
        """
        words = [*_action_problems(self), *_proprio_problems(self)]
        if words:
            raise PixelarmError(f"the contract of {self.task!r} is not one for an arm: " + "; ".join(words))

    # ------------------------------------------------------------------ text
    def to_dict(self) -> dict[str, Any]:
        """As a file holds it. The arm, what deltas count from, and how many actions are carried out are left out where
        they are what all had before there was a choice."""
        data = json.loads(json.dumps(dataclasses.asdict(self)))  # tuples become lists
        if self.action.counts_from == MEASURED:
            del data["action"]["counts_from"]
        if data["arm"] == Contract.arm:
            del data["arm"]
        if self.execute == Contract.execute:
            del data["execute"]
        return data

    def to_yaml(self) -> str:
        return yaml.safe_dump(self.to_dict(), sort_keys=False)

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), sort_keys=True)

    @staticmethod
    def from_dict(data: dict[str, Any]) -> Contract:
        """Build a contract from plain data; an unknown or missing field is named."""
        if not isinstance(data, dict):
            raise PixelarmError(f"a contract is a mapping, got {type(data).__name__}")
        if data.get("schema") != SCHEMA:
            raise PixelarmError(f"contract schema {data.get('schema')!r} is not the supported {SCHEMA}")
        rest = {k: v for k, v in data.items() if k not in ("cameras", "proprio", "action")}
        try:
            return Contract(
                cameras=tuple(Camera(**c) for c in data["cameras"]),
                proprio=tuple(Proprio(**p) for p in data["proprio"]),
                action=_action(data["action"]),
                **rest,
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise PixelarmError(f"this is not a pixelarm contract: {type(error).__name__}: {error}") from error

    @staticmethod
    def from_text(text: str) -> Contract:
        """Read YAML or JSON (JSON is YAML)."""
        try:
            return Contract.from_dict(yaml.safe_load(text))
        except yaml.YAMLError as error:
            raise PixelarmError(f"this contract is neither YAML nor JSON: {error}") from error

    @staticmethod
    def load(path: str | Path) -> Contract:
        """Read a contract file. Raises PixelarmError with its name."""
        try:
            return Contract.from_text(Path(path).read_text())
        except (OSError, UnicodeDecodeError) as error:
            raise PixelarmError(f"cannot read the contract {path}: {error}") from error

    # -------------------------------------------------------------- identity
    @property
    def hash(self) -> str:
        """First 16 hex digits of SHA-256 over the canonical JSON."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:16]

    def diff(self, other: Contract) -> list[str]:
        """Each mismatch in words, ``self`` first; empty when the two are equal."""
        mine, theirs = _flatten(self.to_dict()), _flatten(other.to_dict())
        words = []
        for what in ("cameras", "proprio"):
            here, there = ([item.name for item in getattr(side, what)] for side in (self, other))
            if here != there and sorted(here) == sorted(there):
                words.append(f"order of {what}: {', '.join(here)} here, {', '.join(there)} there")
        for key in sorted(mine.keys() | theirs.keys()):
            if key not in mine:
                words.append(f"{key}: absent here, {theirs[key]!r} there")
            elif key not in theirs:
                words.append(f"{key}: {mine[key]!r} here, absent there")
            elif mine[key] != theirs[key]:
                words.append(f"{key}: {mine[key]!r} here, {theirs[key]!r} there")
        return words

    def require_equal(self, other: Contract, here: str, there: str) -> None:
        """Raise ContractMismatch naming every difference between ``here`` and ``there``."""
        words = self.diff(other)
        if words:
            lines = "\n  - ".join(words)
            raise ContractMismatch(f"the contract of {here} (here) differs from that of {there} (there):\n  - {lines}")

    # history, chunk and execute are the policy's choice; the rest is the task's and the arm's
    def for_policy(self, history: int = 1, chunk: int = 1, execute: int = 1) -> Contract:
        """The same contract as a policy reads it that sees ``history`` observations and returns ``chunk`` actions, of
        which ``execute`` are carried out before it is asked again.
        """
        return dataclasses.replace(self, history=history, chunk=chunk, execute=execute)

    def recorded(self) -> Contract:
        """What an environment, an arm or a recorded episode must agree with: one observation, one action."""
        return self.for_policy()

    # ---------------------------------------------------------------- values
    def check_observation(self, observation: dict[str, np.ndarray]) -> None:
        """Raise ContractMismatch if names, shapes or dtypes are not those of the contract."""
        for camera in self.cameras:
            _check_array(observation, camera.name, camera.shape, np.uint8)
        for entry in self.proprio:
            _check_array(observation, entry.name, (entry.size,), np.float32)

    def clip_action(self, action: np.ndarray) -> np.ndarray:
        """Clip ``(..., size)`` to the contract's bounds, float32."""
        low, high = np.asarray(self.action.low, np.float32), np.asarray(self.action.high, np.float32)
        return np.clip(np.asarray(action, np.float32), low, high)


def _action(data: dict[str, Any]) -> Action:
    """An action from plain data, lists as tuples."""
    fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}
    return Action(**fields)


def _action_problems(contract: Contract) -> Iterator[str]:
    action, kind = contract.action, KINDS[contract.action.kind]
    if kind.make is None:
        yield f"no arm takes {action.kind!r} actions ({kind.words})"
        return
    wanted = kind.units_of(action.size)
    if action.units != wanted:
        yield f"the units of {action.kind!r} actions are {', '.join(wanted)}, not {', '.join(action.units)}"
    for name in kind.needs:
        if name not in [entry.name for entry in contract.proprio]:
            yield f"{action.kind!r} actions need the proprioception {name!r} ({PROPRIO[name].words})"


def _proprio_problems(contract: Contract) -> Iterator[str]:
    for entry in contract.proprio:
        known = PROPRIO.get(entry.name)
        if known is None:
            continue  # a profile says whether its ``states`` have it
        wanted = (known.size or contract.joints or entry.size, known.unit, known.frame)
        if wanted != (entry.size, entry.unit, entry.frame):
            size, unit, frame = wanted
            is_ = f"{entry.size} numbers in {entry.unit}, frame {entry.frame!r}"
            yield f"{entry.name!r} has {size} numbers in {unit}, frame {frame!r}, not {is_}"


def _check_array(observation: dict[str, np.ndarray], name: str, shape: tuple[int, ...], dtype: type) -> None:
    if name not in observation:
        raise ContractMismatch(f"observation {name!r} is missing; present: {', '.join(sorted(observation)) or 'none'}")
    value = observation[name]
    if tuple(value.shape) != shape or value.dtype != dtype:
        raise ContractMismatch(
            f"observation {name!r} must be {shape} {np.dtype(dtype).name}, got {tuple(value.shape)} {value.dtype.name}"
        )


def _flatten(value: Any, prefix: str = "") -> dict[str, Any]:
    """Nested data as ``{dotted path: leaf}``; list items that carry a name are addressed by it."""
    items: Iterable[tuple[str, Any]]
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        items = ((str(v.get("name", i)), v) for i, v in enumerate(value))
    else:
        return {prefix: value}
    flat: dict[str, Any] = {}
    for key, inner in items:
        flat.update(_flatten(inner, f"{prefix}.{key}" if prefix else str(key)))
    return flat
