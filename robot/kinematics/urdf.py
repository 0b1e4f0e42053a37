"""The chain of an arm from its URDF, with the standard library alone: links and joints, no meshes, no packages."""

from __future__ import annotations

import math
from dataclasses import dataclass
from xml.etree import ElementTree

import numpy as np

from robot import rotations
from robot.errors import PixelarmError, UnknownName
from robot.kinematics.chain import Chain, Joint

TURNING = ("revolute", "continuous")


@dataclass(frozen=True)
class UrdfJoint:
    """What of a URDF's joint matters here."""

    name: str
    type: str
    parent: str
    child: str
    position: np.ndarray  # (3,) m
    rotation: np.ndarray  # (3, 3)
    axis: tuple[float, ...]
    low: float  # rad
    high: float
    speed: float | None  # rad/s, the limit's velocity


def read_joints(text: str, where: str) -> list[UrdfJoint]:
    """All joints of a URDF. Raises PixelarmError, naming ``where``, for what is none."""
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise PixelarmError(f"{where} is no XML: {error}; a xacro has to be expanded first (xacro FILE)") from error
    if root.tag != "robot":
        raise PixelarmError(f"{where} must be a URDF, whose first element is <robot>, got <{root.tag}>")
    try:
        return [_joint(element) for element in root.findall("joint")]
    except (KeyError, ValueError, AttributeError) as error:
        raise PixelarmError(f"{where}: a joint cannot be read: {type(error).__name__}: {error}") from error


def _joint(element: ElementTree.Element) -> UrdfJoint:
    origin, limit, axis = (element.find(tag) for tag in ("origin", "limit", "axis"))
    xyz, rpy = (_numbers(origin, key) for key in ("xyz", "rpy"))
    kind = element.attrib["type"]
    ends = (-math.inf, math.inf)
    if limit is not None and kind != "continuous":
        ends = (float(limit.get("lower", 0.0)), float(limit.get("upper", 0.0)))
    speed = None if limit is None or limit.get("velocity") is None else float(limit.attrib["velocity"])
    parent, child = element.find("parent"), element.find("child")
    assert parent is not None and child is not None
    turn = (1.0, 0.0, 0.0) if axis is None else tuple(_numbers(axis, "xyz").tolist())
    return UrdfJoint(
        element.attrib["name"],
        kind,
        parent.attrib["link"],
        child.attrib["link"],
        xyz,
        _rotation(rpy),
        turn,
        *ends,
        speed,
    )


def _numbers(element: ElementTree.Element | None, key: str) -> np.ndarray:
    text = "0 0 0" if element is None else element.get(key, "0 0 0")
    return np.array([float(v) for v in text.split()])


def _rotation(rpy: np.ndarray) -> np.ndarray:
    """Of roll, pitch and yaw about fixed axes, as URDF has them."""
    roll, pitch, yaw = (rotations.from_axis_angle(angle * axis) for angle, axis in zip(rpy, np.eye(3)))
    return yaw @ pitch @ roll


def chain_between(joints: list[UrdfJoint], base: str, tip: str) -> tuple[Chain, list[UrdfJoint]]:
    """The chain from the link ``base`` to the link ``tip``, and its turning joints in order.

    Raises:
        UnknownName: a link that does not exist.
        PixelarmError: they are not connected, or a sliding joint lies between them.
    """
    above, links = {joint.child: joint for joint in joints}, {j.parent for j in joints} | {j.child for j in joints}
    for link in (base, tip):
        if link not in links:
            raise UnknownName("link of the URDF", link, links)
    path: list[UrdfJoint] = []
    link = tip
    while link != base:
        if link not in above:
            raise PixelarmError(f"the link {tip!r} does not hang from {base!r}: going up it ends at {link!r}")
        path.insert(0, above[link])
        link = above[link].parent
    return _assembled(path, base, tip)


def _assembled(path: list[UrdfJoint], base: str, tip: str) -> tuple[Chain, list[UrdfJoint]]:
    made, turning = [], []
    position, rotation = np.zeros(3), np.eye(3)  # of fixed joints since the last that turns
    for joint in path:
        position, rotation = position + rotation @ joint.position, rotation @ joint.rotation
        if joint.type == "fixed":
            continue
        if joint.type not in TURNING:
            raise PixelarmError(
                f"joint {joint.name!r} between {base!r} and {tip!r} is {joint.type}: only hinges are known"
            )
        xyzw = tuple(rotations.to_quaternion(rotation).tolist())
        made.append(Joint(joint.name, tuple(position.tolist()), xyzw, joint.axis, joint.low, joint.high))
        turning.append(joint)
        position, rotation = np.zeros(3), np.eye(3)
    if not made:
        raise PixelarmError(f"no joint turns between {base!r} and {tip!r}")
    return Chain(tuple(made), tuple(position.tolist()), tuple(rotations.to_quaternion(rotation).tolist())), turning
