"""Universal Robots' UR5e with Robotiq's 2F-85, as robosuite assembles them."""

from __future__ import annotations

from sim.arms.table import ROBOTIQ_85, TABLE_WORKSPACE
from sim.physics.arm import Arm

JOINTS = ("shoulder_pan_joint", "shoulder_lift_joint", "elbow_joint", "wrist_1_joint", "wrist_2_joint", "wrist_3_joint")

UR5E = Arm(
    name="ur5e",
    robosuite="UR5e",
    prefix="robot0_",
    base="robot0_base",
    last_link="robot0_wrist_3_link",
    site="gripper0_right_grip_site",
    hand_camera="robot0_eye_in_hand",
    joints=tuple(f"robot0_{joint}" for joint in JOINTS),
    actuators=tuple(f"robot0_torq_j{i}" for i in range(1, 7)),
    reported=JOINTS,  # the driver's names
    # the end effector at the Panda's home, the gripper straight down, its fingers closing along y
    home=(-0.2974, -1.4978, 2.1723, -2.2454, -1.5708, -1.8682),
    home_noise=0.02,
    gripper=ROBOTIQ_85,
    workspace=TABLE_WORKSPACE,
    out_of_reach=("robot0_base", "robot0_fixed_base_link", "robot0_shoulder_link", "robot0_upper_arm_link"),
    mesh_grids=(("gripper", 0.004),),
)
