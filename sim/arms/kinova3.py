"""Kinova's Gen3 with Robotiq's 2F-85, as robosuite assembles them."""

from __future__ import annotations

from sim.arms.table import ROBOTIQ_85, TABLE_WORKSPACE
from sim.physics.arm import Arm

KINOVA3 = Arm(
    name="kinova3",
    robosuite="Kinova3",
    prefix="robot0_",
    base="robot0_base",
    last_link="robot0_Bracelet_Link",
    site="gripper0_right_grip_site",
    hand_camera="robot0_eye_in_hand",
    joints=tuple(f"robot0_Actuator{i}" for i in range(1, 8)),
    actuators=tuple(f"robot0_torq_j{i}" for i in range(1, 8)),
    reported=tuple(f"joint_{i}" for i in range(1, 8)),  # ros2_kortex's names
    # the end effector at the Panda's home, the gripper straight down, its fingers closing along y
    home=(-0.0572, 0.5915, 0.0042, 1.7664, -0.0033, 0.7838, -1.6222),
    home_noise=0.02,
    gripper=ROBOTIQ_85,
    workspace=TABLE_WORKSPACE,
    out_of_reach=("robot0_base", "robot0_fixed_base_link", "robot0_shoulder_link", "robot0_HalfArm1_Link"),
    mesh_grids=(("gripper", 0.004),),
)
