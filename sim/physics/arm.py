"""Descriptions of arms: what a scene, a world and a task need to know of one.

An arm is one ``Arm``: the names of its parts in a MuJoCo model, where it starts, its workspace and its gripper. To add
an arm, write a file like ``sim/arms/ur5e.py`` and its line in ``sim/arms/__init__.py``; nothing else in ``sim`` knows a
joint, a body or a number of one arm.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from math import inf
from typing import Any

import mujoco

from robot.actions import MEASURED

Workspace = tuple[
    Sequence[float], Sequence[float]
]  # lowest and highest position (3,) of the end effector, m, base frame
ANYWHERE: Workspace = ((-inf, -inf, -inf), (inf, inf, inf))


@dataclass(frozen=True)
class Gripper:
    """A gripper of two fingers that slide, or swing on a linkage.

    Sliding fingers have a joint and a position servo each, and their joints add up to the distance between them. Of a
    linkage, ``joints`` are those that say how far it is open, ``width`` and ``closed`` what they mean, and ``commands``
    what the actuators are told.
    """

    joints: tuple[str, ...]  # m, or rad of a linkage
    actuators: tuple[str, ...]  # position servos
    open: tuple[float, ...]  # of each joint; of sliding fingers zero is closed, and the sign says which way one opens
    pads: tuple[str, ...]  # bodies that touch what is held
    reported: tuple[str, ...]  # the joints' names as the arm's driver reports them
    finger: float  # m from the end effector to the middle of either open finger
    closed: tuple[float, ...] = ()  # of each joint; empty: zero
    meets: tuple[float, float, float] = (0.0, 0.0, 0.0)  # m, where closed fingers are, in the end effector's frame
    width: float = 0.0  # m between the open fingers, in proportion to the joints on their way; 0: the joints' sum
    commands: tuple[tuple[float, float], ...] = ()  # each actuator's when open and closed; empty: its range's ends
    # kg m^2 and N m s/rad of every joint of a linkage that the model leaves without: massless and undamped it is
    # unstable at steps of 5 ms
    armature: float = 0.0
    damping: float = 0.0

    @property
    def stroke(self) -> float:
        """Metres between the open fingers."""
        return self.width or float(sum(map(abs, self.open)))


@dataclass(frozen=True)
class OwnModel:
    """An arm that robosuite does not have: it stands in robosuite's scenes in the place of the arm that they have."""

    package: str  # on the package index, with the model inside
    file: str  # the MJCF, from the package's folder
    mount: tuple[float, float, float]  # m, world frame: where the model's origin stands
    prepare: Callable[[mujoco.MjSpec], None]  # adds what the description names and the file lacks


@dataclass(frozen=True)
class Arm:
    """One arm with n joints. Its frame has its origin at the ``base`` body and the world's axes."""

    name: str
    robosuite: (
        str  # its name in robosuite; empty for an arm with a ``model``, and for one that the scene's own file brings
    )
    prefix: str  # what the names of its bodies begin with
    base: str  # the body that positions count from
    last_link: str  # the body that the gripper is fixed to
    site: str  # the end effector
    hand_camera: str  # the camera beside the gripper
    joints: tuple[str, ...]  # n, from the base on
    actuators: tuple[str, ...]  # n: motors (N m), or position servos (rad)
    reported: tuple[str, ...]  # the joints' names as the arm's driver reports them
    home: tuple[float, ...]  # rad
    home_noise: float  # rad, standard deviation of each joint at reset
    gripper: Gripper
    juts_from: float = inf  # m from the end effector back along the hand to where the wrist juts out in front of it
    workspace: Workspace = ANYWHERE  # of table tasks, as the limits of the arm's profile have it
    servo_ranges: tuple[tuple[float, float], ...] = ()  # rad, lowest and highest target of each joint's position servo
    out_of_reach: tuple[
        str, ...
    ] = ()  # bodies that touch nothing while the end effector is in a table task's workspace
    # m, the grid that the meshes of a body are simplified to, by the beginning of its name: finer where a camera looks
    # closely
    mesh_grids: tuple[tuple[str, float], ...] = ()
    follows_poses: bool = False  # its position servos are led by inverse kinematics where an action is a pose
    counts_from: str = MEASURED  # one of robot.actions.ORIGINS: what deltas count from, unless a task says otherwise
    model: OwnModel | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain data that changes with the description; the functions in it count by their modules."""
        plain = asdict(self)
        if self.model is not None:
            plain["model"]["prepare"] = self.model.prepare.__qualname__
        return plain
