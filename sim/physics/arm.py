"""What a world needs to know of an arm: the names of its parts in a MuJoCo model, and where it starts."""

from __future__ import annotations

from dataclasses import dataclass
from math import pi


@dataclass(frozen=True)
class Arm:
    """Names and home of one arm with seven joints and a gripper of two sliding fingers.

    The arm's frame has its origin at the ``base`` body and the world's axes.
    """

    joints: tuple[str, ...]  # seven, from the base on
    actuators: tuple[str, ...]  # seven: motors (N m), or position servos (rad)
    fingers: tuple[str, str]  # sliding joints
    finger_actuators: tuple[str, str]  # position servos (m)
    site: str  # the end effector
    base: str  # the body that positions count from
    home: tuple[float, ...]  # rad
    home_noise: float  # rad, standard deviation of each joint at reset
    open_fingers: tuple[float, float]  # m; zero is closed, and the signs say which way each finger opens


PANDA = Arm(  # as robosuite assembles it, with its home and its default noise
    joints=tuple(f"robot0_joint{i}" for i in range(1, 8)),
    actuators=tuple(f"robot0_torq_j{i}" for i in range(1, 8)),
    fingers=("gripper0_right_finger_joint1", "gripper0_right_finger_joint2"),
    finger_actuators=("gripper0_right_gripper_finger_joint1", "gripper0_right_gripper_finger_joint2"),
    site="gripper0_right_grip_site",
    base="robot0_base",
    home=(0.0, pi / 16, 0.0, -5 * pi / 6, 0.0, pi - 0.2, pi / 4),
    home_noise=0.02,
    open_fingers=(0.04, -0.04),
)
