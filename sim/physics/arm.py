"""Descriptions of arms: what a scene, a world and a task need to know of one.

An arm is one ``Arm``: the names of its parts in a MuJoCo model, where it starts, and its gripper. To add an arm, write
another one like ``PANDA`` and give it to a task, ``make_task("lift", arm=MY_ARM)``; nothing else in ``sim`` knows a
joint, a body or a number of one arm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, pi

Workspace = tuple[
    Sequence[float], Sequence[float]
]  # lowest and highest position (3,) of the end effector, m, base frame
ANYWHERE: Workspace = ((-inf, -inf, -inf), (inf, inf, inf))


@dataclass(frozen=True)
class Gripper:
    """A gripper whose fingers slide together, each with a joint and a position servo of its own."""

    joints: tuple[str, ...]  # sliding joints
    actuators: tuple[str, ...]  # position servos (m), one a joint
    open: tuple[float, ...]  # m, of each joint; zero is closed, and the sign says which way a finger opens
    pads: tuple[str, ...]  # bodies that touch what is held
    reported: tuple[str, ...]  # the joints' names as the arm's driver reports them


@dataclass(frozen=True)
class Arm:
    """One arm with n joints. Its frame has its origin at the ``base`` body and the world's axes."""

    name: str
    robosuite: str  # its name in robosuite; empty for an arm that the scene's own file brings
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
    servo_ranges: tuple[tuple[float, float], ...] = ()  # rad, lowest and highest target of each joint's position servo
    out_of_reach: tuple[
        str, ...
    ] = ()  # bodies that touch nothing while the end effector is in a table task's workspace
    # m, the grid that the meshes of a body are simplified to, by the beginning of its name: finer where a camera looks
    # closely
    mesh_grids: tuple[tuple[str, float], ...] = ()


PANDA = Arm(  # as robosuite assembles it, with its home and its default noise
    name="panda",
    robosuite="Panda",
    prefix="robot0_",
    base="robot0_base",
    last_link="robot0_link7",
    site="gripper0_right_grip_site",
    hand_camera="robot0_eye_in_hand",
    joints=tuple(f"robot0_joint{i}" for i in range(1, 8)),
    actuators=tuple(f"robot0_torq_j{i}" for i in range(1, 8)),
    reported=tuple(f"panda_joint{i}" for i in range(1, 8)),  # franka_ros2's names
    home=(0.0, pi / 16, 0.0, -5 * pi / 6, 0.0, pi - 0.2, pi / 4),
    home_noise=0.02,
    gripper=Gripper(
        joints=("gripper0_right_finger_joint1", "gripper0_right_finger_joint2"),
        actuators=("gripper0_right_gripper_finger_joint1", "gripper0_right_gripper_finger_joint2"),
        open=(0.04, -0.04),
        pads=("gripper0_right_finger_joint1_tip", "gripper0_right_finger_joint2_tip"),
        reported=("panda_finger_joint1", "panda_finger_joint2"),
    ),
    out_of_reach=tuple(f"robot0_link{i}" for i in range(5)),
    mesh_grids=(("gripper", 0.004),),
)

KITCHEN_PANDA = Arm(  # as FrankaKitchen's own file has it, with its start, joint 2 within its limit
    name="kitchen_panda",
    robosuite="",
    prefix="panda0_",
    base="panda0_link0",
    last_link="panda0_link7",
    site="end_effector",
    hand_camera="eye_in_hand",
    joints=tuple(f"robot:panda0_joint{i}" for i in range(1, 8)),
    actuators=tuple(f"panda0_joint{i}" for i in range(1, 8)),
    reported=tuple(f"panda_joint{i}" for i in range(1, 8)),
    home=(0.148, -1.762, 1.844, -2.477, 0.260, 0.713, 1.595),
    home_noise=0.0,  # the kitchen's tasks draw the start themselves
    gripper=Gripper(
        joints=("robot:panda0_finger_joint1", "robot:panda0_finger_joint2"),
        actuators=("r_gripper_finger_joint", "l_gripper_finger_joint"),
        open=(0.04, 0.04),
        pads=("panda0_leftfinger", "panda0_rightfinger"),
        reported=("panda_finger_joint1", "panda_finger_joint2"),
    ),
    # what FrankaKitchen keeps each joint's target within, as far as the joint's servo can follow
    servo_ranges=((-2.9, 2.9), (-1.8, 1.8), (-2.9, 2.9), (-3.1, 0.0), (-2.9, 2.9), (0.0, 2.1817), (-2.9, 2.9)),
    mesh_grids=(("panda0_leftfinger", 0.004), ("panda0_rightfinger", 0.004), ("panda0_link7", 0.008)),
)
