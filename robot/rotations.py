"""Rotations in numpy: matrices ``(3, 3)`` float64, quaternions ``(4,)`` in the order x, y, z, w, as ROS messages have
them.

Two quaternions, ``q`` and ``-q``, stand for every rotation. ``canonical`` chooses one of them, by MuJoCo's rule.
"""

from __future__ import annotations

import math

import numpy as np


def from_axis_angle(vector: np.ndarray) -> np.ndarray:
    """Rotation matrix of an axis times angle ``(3,)`` in radians."""
    angle = float(np.linalg.norm(vector))
    axis = np.asarray(vector, np.float64) / angle if angle > 0 else np.array([1.0, 0.0, 0.0])
    # math and not numpy: numpy's vectorised sine may differ from the C library's, and so from MuJoCo's, in the last bit
    x, y, z = (float(v) * math.sin(0.5 * angle) for v in axis)
    return _matrix(x, y, z, math.cos(0.5 * angle))


def to_axis_angle(rotation: np.ndarray) -> np.ndarray:
    """Axis times angle ``(3,)`` of a rotation matrix, the angle in [0, pi] rad."""
    quaternion = to_quaternion(rotation)
    if quaternion[3] < 0.0:
        quaternion = -quaternion
    length = float(np.linalg.norm(quaternion[:3]))
    if length == 0.0:
        return np.zeros(3)
    return quaternion[:3] * (2.0 * math.atan2(length, float(quaternion[3])) / length)


def about_vertical(yaw: float) -> np.ndarray:
    """Rotation matrix of a turn about z by ``yaw`` rad."""
    return from_axis_angle(np.array([0.0, 0.0, yaw]))


def from_quaternion(xyzw: np.ndarray) -> np.ndarray:
    """Rotation matrix of a quaternion of any length; a length of zero gives nan."""
    values = np.asarray(xyzw, np.float64)
    length = float(np.linalg.norm(values))
    if not length > 0.0:
        return np.full((3, 3), np.nan)
    x, y, z, w = (values / length).tolist()
    return _matrix(x, y, z, w)


def to_quaternion(rotation: np.ndarray) -> np.ndarray:
    """The canonical unit quaternion of a rotation matrix; nan if that is not finite."""
    r = np.asarray(rotation, np.float64)
    if not np.isfinite(r).all():
        return np.full(4, np.nan)
    # 4 q q^T for q in x, y, z, w; the column with the largest diagonal entry loses the fewest digits
    (a, b, c), (d, e, f), (g, h, i) = r.tolist()
    products = np.array(
        [
            [1.0 + a - e - i, b + d, c + g, h - f],
            [b + d, 1.0 - a + e - i, f + h, c - g],
            [c + g, f + h, 1.0 - a - e + i, d - b],
            [h - f, c - g, d - b, 1.0 + a + e + i],
        ]
    )
    column = products[:, int(np.argmax(np.diag(products)))]
    return canonical(column / np.linalg.norm(column))


def canonical(xyzw: np.ndarray) -> np.ndarray:
    """The one of ``q`` and ``-q`` whose w is positive if it is above 0.5 in size, else whose largest of x, y,
    z is positive.
    """
    leading = xyzw[3] if abs(xyzw[3]) > 0.5 else xyzw[int(np.argmax(np.abs(xyzw[:3])))]
    return -xyzw if leading < 0.0 else xyzw


def angle_between(first: np.ndarray, second: np.ndarray) -> float:
    """Angle in [0, pi] rad of the turn from one rotation matrix to another."""
    return float(np.linalg.norm(to_axis_angle(second @ first.T)))


def part_of_turn(start: np.ndarray, goal: np.ndarray, part: float) -> np.ndarray:
    """The rotation that is ``part`` (0 to 1) of the shortest turn from ``start`` to ``goal``."""
    return from_axis_angle(part * to_axis_angle(goal @ start.T)) @ start


def _matrix(x: float, y: float, z: float, w: float) -> np.ndarray:
    return np.array(
        [
            [w * w + x * x - y * y - z * z, 2.0 * (x * y - w * z), 2.0 * (x * z + w * y)],
            [2.0 * (x * y + w * z), w * w - x * x + y * y - z * z, 2.0 * (y * z - w * x)],
            [2.0 * (x * z - w * y), 2.0 * (y * z + w * x), w * w - x * x - y * y + z * z],
        ]
    )
