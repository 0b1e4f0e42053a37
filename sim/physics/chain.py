"""The kinematic chain of an arm in a compiled model, for the robot's computer: ``robot.kinematics.chain``."""

from __future__ import annotations

from collections.abc import Sequence

import mujoco
import numpy as np

from robot.errors import PixelarmError
from robot.kinematics.chain import Chain, Joint
from sim.scene.names import body_id, named_id

HINGE = int(mujoco.mjtJoint.mjJNT_HINGE)
Pose = tuple[np.ndarray, np.ndarray]  # position (3,) m, quaternion (4,) w, x, y, z as MuJoCo has it


def chain_of(model: mujoco.MjModel, base: str, joints: Sequence[str], site: str) -> Chain:
    """The chain from a body ``base`` over ``joints`` (from the base on) to a ``site``, the end effector.

    Its frame has its origin at the base body and the world's axes. A joint's frame has its origin at the joint's
    anchor and the axes of the joint's body. Bodies without a joint are part of the link that they are fixed to.

    Raises:
        UnknownName: a name that is not in the model.
        PixelarmError: a joint on the way is no hinge or is not listed, a listed one is not on the way or out of
            order, the base itself moves, or the site is not fixed to a body below the base.
    """
    first, end = body_id(model, base), named_id(model, "site", site)
    for joint in joints:
        named_id(model, "joint", joint)
    bodies = _way(model, first, int(model.site_bodyid[end]), base, site)
    _require_fixed(model, first, base)
    _require_joints(model, bodies, joints, base, site)
    here: Pose = (np.zeros(3), _world_quaternion(model, first))
    rows = []
    for body in bodies:
        here = _times(here, (model.body_pos[body], model.body_quat[body]))
        for j in _joints(model, body):
            anchor = _identity(model.jnt_pos[j])
            rows.append(_row(model, j, _times(here, anchor)))
            here = _identity(-model.jnt_pos[j])  # from the joint's frame back to the body's
    tip = _times(here, (model.site_pos[end], model.site_quat[end]))
    return Chain(tuple(rows), _floats(tip[0]), _xyzw(tip[1]))


def _row(model: mujoco.MjModel, j: int, place: Pose) -> Joint:
    # MuJoCo turns by the joint position less its reference (qpos0): the turn back belongs to the fixed part
    back = np.empty(4)
    mujoco.mju_axisAngle2Quat(back, model.jnt_axis[j], -float(model.qpos0[model.jnt_qposadr[j]]))
    position, quaternion = _times(place, (np.zeros(3), back))
    low, high = model.jnt_range[j] if model.jnt_limited[j] else (-np.inf, np.inf)
    return Joint(
        name=model.joint(j).name,
        position=_floats(position),
        xyzw=_xyzw(quaternion),
        axis=_floats(model.jnt_axis[j]),
        low=float(low),
        high=float(high),
    )


# ---------------------------------------------------------------------------------------------------- the way
def _way(model: mujoco.MjModel, base: int, last: int, base_name: str, site: str) -> list[int]:
    """The bodies after ``base`` down to ``last``."""
    way: list[int] = []
    while last != base:
        if last == 0:
            raise PixelarmError(f"the site {site!r} is not fixed to a body below the base {base_name!r}")
        way.append(last)
        last = int(model.body_parentid[last])
    return way[::-1]


def _joints(model: mujoco.MjModel, body: int) -> range:
    start = int(model.body_jntadr[body])
    return range(start, start + int(model.body_jntnum[body]))


def _require_fixed(model: mujoco.MjModel, base: int, name: str) -> None:
    """A frame with the world's axes needs a base that never moves."""
    while base != 0:
        for j in _joints(model, base):
            raise PixelarmError(f"the base {name!r} moves: the joint {model.joint(j).name!r} is above it, not below")
        base = int(model.body_parentid[base])


def _require_joints(model: mujoco.MjModel, bodies: list[int], joints: Sequence[str], base: str, site: str) -> None:
    found = [j for body in bodies for j in _joints(model, body)]
    names = [model.joint(j).name for j in found]
    way = f"between the base {base!r} and the site {site!r}"
    for j, name in zip(found, names):
        if int(model.jnt_type[j]) != HINGE:
            kind = mujoco.mjtJoint(model.jnt_type[j]).name.removeprefix("mjJNT_").lower()
            raise PixelarmError(f"the joint {name!r} {way} is a {kind} joint; a chain has hinges only")
        if name not in joints:
            raise PixelarmError(f"the joint {name!r} {way} is not among those listed: {', '.join(joints)}")
    absent = [name for name in joints if name not in names]
    if absent:
        raise PixelarmError(f"{way} there is no joint {', '.join(map(repr, absent))}, only {', '.join(names)}")
    if list(joints) != names:
        raise PixelarmError(
            f"joints must be in the order from the base on, {', '.join(names)}; got {', '.join(joints)}"
        )


# ---------------------------------------------------------------------------------------------------- poses
def _identity(position: np.ndarray) -> Pose:
    return np.array(position, np.float64), np.array([1.0, 0.0, 0.0, 0.0])


def _times(first: Pose, second: Pose) -> Pose:
    position, quaternion = np.empty(3), np.empty(4)
    mujoco.mju_mulPose(position, quaternion, first[0], first[1], second[0], second[1])
    return position, quaternion


def _world_quaternion(model: mujoco.MjModel, body: int) -> np.ndarray:
    """Orientation (4,) w, x, y, z of a body that no joint moves."""
    here = _identity(np.zeros(3))
    way = []
    while body != 0:
        way.append(body)
        body = int(model.body_parentid[body])
    for part in reversed(way):
        here = _times(here, (model.body_pos[part], model.body_quat[part]))
    return here[1]


def _floats(values: np.ndarray) -> tuple[float, ...]:
    return tuple(map(float, values))


def _xyzw(wxyz: np.ndarray) -> tuple[float, ...]:
    return _floats(np.roll(wxyz / np.linalg.norm(wxyz), -1))
