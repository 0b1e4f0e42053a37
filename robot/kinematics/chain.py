"""A serial chain of hinge joints: where its tip and its joints are, and how they move, with numpy alone.

Everything is in the frame of the arm's base: origin at the base body, the world's axes. The rows of a chain come from
a simulation model (``pixelarm kinematics``), so that a robot's computer needs neither MuJoCo nor a URDF reader.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from robot import rotations
from robot.errors import PixelarmError, UnknownName

UNIT = 1e-6  # how far the length of a quaternion may be from 1
JOINT_KEYS = ("name", "position", "xyzw", "axis", "low", "high")
TIP_KEYS = ("position", "xyzw")
CHAIN_KEYS = ("joints", "tip")


@dataclass(frozen=True)
class Joint:
    """One hinge joint and its fixed place on the link before it; of the first joint, in the frame of the base."""

    name: str
    position: tuple[float, ...]  # (3,) m, from the frame of the joint before, which turns with that joint
    xyzw: tuple[float, ...]  # (4,) unit quaternion: the joint's frame at a joint position of zero
    axis: tuple[float, ...]  # (3,) what the joint turns about, in its own frame; of any length but zero
    low: float  # rad, -inf for none
    high: float  # rad, inf for none

    def __post_init__(self) -> None:
        where = f"joint {self.name!r}"
        _require_transform(self.position, self.xyzw, where)
        _require_numbers(self.axis, 3, f"{where}: axis")
        if not any(self.axis):
            raise PixelarmError(f"{where}: axis must not be zero, got {list(self.axis)}")
        if not self.low < self.high:  # also for nan
            raise PixelarmError(f"{where}: low must be below high (rad), got {self.low} and {self.high}")


@dataclass(frozen=True)
class Chain:
    """A serial chain of n hinge joints from the base to the tip, the point between the finger tips.

    Joint positions are ``(n,)`` in rad, in the order of ``joints``; limits are stated, not enforced.
    """

    joints: tuple[Joint, ...]
    tip_position: tuple[float, ...]  # (3,) m, in the last joint's frame, which turns with that joint
    tip_xyzw: tuple[float, ...]  # (4,) unit quaternion, likewise

    def __post_init__(self) -> None:
        if not self.joints:
            raise PixelarmError("a chain must have at least one joint, got none")
        names = [joint.name for joint in self.joints]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise PixelarmError(f"each joint of a chain must have a name of its own, got {sorted(twice)} twice")
        _require_transform(self.tip_position, self.tip_xyzw, "tip")

    # ------------------------------------------------------------------------------------------------ what it is
    @property
    def names(self) -> tuple[str, ...]:
        return tuple(joint.name for joint in self.joints)

    @cached_property
    def low(self) -> np.ndarray:
        """``(n,)`` rad, -inf for a joint without a limit."""
        return _constant([joint.low for joint in self.joints])

    @cached_property
    def high(self) -> np.ndarray:
        """``(n,)`` rad, inf for a joint without a limit."""
        return _constant([joint.high for joint in self.joints])

    @cached_property
    def length(self) -> float:
        """m, from the first joint over all others to the tip: the sum of the links' lengths, never zero."""
        offsets = [*(joint.position for joint in self.joints[1:]), self.tip_position]
        return float(sum(np.linalg.norm(offset) for offset in offsets)) or 1.0

    # ------------------------------------------------------------------------------------------------ where it is
    def forward(self, joints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Position ``(3,)`` m and rotation matrix ``(3, 3)`` of the tip in the base's frame."""
        tip = self.frames(joints)[-1]
        return tip[:3, 3].copy(), tip[:3, :3].copy()

    def origins(self, joints: np.ndarray) -> np.ndarray:
        """Position ``(n, 3)`` m of each joint's frame in the base's frame: elbow, wrist and the others."""
        return self.frames(joints)[:-1, :3, 3].copy()

    def jacobian(self, joints: np.ndarray) -> np.ndarray:
        """Geometric Jacobian ``(6, n)`` of the tip in the base's frame: the linear velocity in m/s (rows 0 to 2) and
        the angular velocity in rad/s (rows 3 to 5) for 1 rad/s of each joint."""
        return self.jacobian_of(self.frames(joints))

    def frames(self, joints: np.ndarray) -> np.ndarray:
        """Homogeneous transforms ``(n + 1, 4, 4)`` of each joint's frame, and of the tip as the last, in the base's
        frame.

        A link's transform is linear in 1, the sine and the cosine of its joint (Rodrigues' formula), so that all n
        come out of one product.
        """
        joints = np.asarray(joints, np.float64)
        n = len(self.joints)
        if joints.shape != (n,):
            raise ValueError(f"joint positions must have the shape ({n},), got {joints.shape}")
        factors = np.zeros((n + 1, 1, 3))
        factors[:, 0, 0] = 1.0
        np.sin(joints, out=factors[:n, 0, 1])
        np.cos(joints, out=factors[:n, 0, 2])
        frames = np.matmul(factors, self._links).reshape(n + 1, 4, 4)
        before = frames[0]
        for link in frames[1:]:
            link[:] = before.dot(link)
            before = link
        return frames

    def jacobian_of(self, frames: np.ndarray) -> np.ndarray:
        """As ``jacobian``, of the ``(n + 1, 4, 4)`` that ``frames`` returned."""
        x, y, z = np.matmul(frames[:-1], self._axes)[:, :3, 0].T  # each (n,), the axes in the base's frame
        dx, dy, dz = (frames[-1, :3, 3] - frames[:-1, :3, 3]).T  # from the joints to the tip
        jacobian = np.empty((6, len(self.joints)))
        jacobian[0] = y * dz - z * dy
        jacobian[1] = z * dx - x * dz
        jacobian[2] = x * dy - y * dx
        jacobian[3], jacobian[4], jacobian[5] = x, y, z
        return jacobian

    @cached_property
    def _links(self) -> np.ndarray:
        """``(n + 1, 3, 16)``: what stands before 1, the sine and the cosine in the transform of each link, tip last."""
        links = np.zeros((len(self.joints) + 1, 3, 4, 4))
        for joint, (constant, sine, cosine) in zip(self.joints, links):
            fixed = _transform(joint.position, joint.xyzw)
            x, y, z = axis = _unit(joint.axis)
            along = np.outer(axis, axis)
            constant[:3, :3], constant[3, 3] = along, 1.0
            sine[:3, :3] = [[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]]
            cosine[:3, :3] = np.eye(3) - along
            for part in (constant, sine, cosine):
                part[:] = fixed @ part
        links[-1, 0] = _transform(self.tip_position, self.tip_xyzw)
        return links.reshape(-1, 3, 16)

    @cached_property
    def _axes(self) -> np.ndarray:
        """``(n, 4, 1)`` unit axes in the joints' own frames, as homogeneous directions."""
        return np.array([[*_unit(joint.axis), 0.0] for joint in self.joints])[:, :, None]

    # ------------------------------------------------------------------------------------------------ as plain data
    def to_rows(self) -> dict[str, Any]:
        """Plain data for YAML, from which ``from_rows`` makes this very chain."""
        joints = [{key: _plain(getattr(joint, key)) for key in JOINT_KEYS} for joint in self.joints]
        return {"joints": joints, "tip": {"position": _plain(self.tip_position), "xyzw": _plain(self.tip_xyzw)}}

    @staticmethod
    def from_rows(rows: Any, where: str = "kinematics") -> Chain:
        """A chain of what ``to_rows`` returned, or YAML holds.

        Raises:
            PixelarmError: naming the entry that is wrong, and ``where`` it stands.
        """
        _require_keys(rows, CHAIN_KEYS, where)
        if not isinstance(rows["joints"], list):
            raise PixelarmError(f"{where}: joints must be a list, got {rows['joints']!r}")
        joints = [_joint(row, f"{where}: joints[{i}]") for i, row in enumerate(rows["joints"])]
        _require_keys(rows["tip"], TIP_KEYS, f"{where}: tip")
        position, xyzw = (_floats(rows["tip"][key], f"{where}: tip: {key}") for key in TIP_KEYS)
        try:
            return Chain(tuple(joints), position, xyzw)
        except PixelarmError as error:
            raise PixelarmError(f"{where}: {error}") from error


# ---------------------------------------------------------------------------------------------------- checks
def _joint(row: Any, where: str) -> Joint:
    _require_keys(row, JOINT_KEYS, where)
    name = row["name"]
    if not isinstance(name, str) or not name:
        raise PixelarmError(f"{where}: name must be a text, got {name!r}")
    position, xyzw, axis = (_floats(row[key], f"{where}: {key}") for key in ("position", "xyzw", "axis"))
    low, high = (_float(row[key], f"{where}: {key}") for key in ("low", "high"))
    try:
        return Joint(name, position, xyzw, axis, low, high)
    except PixelarmError as error:
        raise PixelarmError(f"{where}: {error}") from error


def _require_keys(row: Any, keys: Sequence[str], where: str) -> None:
    if not isinstance(row, Mapping):
        raise PixelarmError(f"{where} must be a mapping with {', '.join(keys)}, got {row!r}")
    for key in row:
        if key not in keys:
            raise UnknownName(f"key in {where}:", str(key), keys)
    missing = [key for key in keys if key not in row]
    if missing:
        raise PixelarmError(f"{where} lacks: {', '.join(missing)}")


def _plain(value: str | float | Sequence[float]) -> str | float | list[float]:
    """For YAML, which knows no numpy numbers."""
    if isinstance(value, str):
        return value
    return float(value) if isinstance(value, int | float) else [float(number) for number in value]


def _floats(value: Any, where: str) -> tuple[float, ...]:
    if not isinstance(value, list | tuple):
        raise PixelarmError(f"{where} must be a list of numbers, got {value!r}")
    return tuple(_float(number, where) for number in value)


def _float(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise PixelarmError(f"{where}: a number is expected, got {value!r}")
    return float(value)


def _require_numbers(values: Sequence[float], length: int, where: str) -> None:
    if len(values) != length or not all(map(math.isfinite, values)):
        raise PixelarmError(f"{where} must be {length} finite numbers, got {list(values)}")


def _require_transform(position: Sequence[float], xyzw: Sequence[float], where: str) -> None:
    _require_numbers(position, 3, f"{where}: position (m)")
    _require_numbers(xyzw, 4, f"{where}: xyzw")
    length = math.hypot(*xyzw)
    if abs(length - 1.0) > UNIT:
        raise PixelarmError(f"{where}: xyzw must be a quaternion of length 1, got {list(xyzw)} of length {length:.6g}")


# ---------------------------------------------------------------------------------------------------- arrays
def _constant(values: Sequence[float]) -> np.ndarray:
    made = np.array(values, np.float64)
    made.setflags(write=False)  # handed out and shared
    return made


def _unit(axis: Sequence[float]) -> np.ndarray:
    return np.asarray(axis, np.float64) / np.linalg.norm(axis)


def _transform(position: Sequence[float], xyzw: Sequence[float]) -> np.ndarray:
    made = np.eye(4)
    made[:3, :3], made[:3, 3] = rotations.from_quaternion(np.array(xyzw)), position
    return made
