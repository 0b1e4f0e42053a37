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
    # the end effector at the Panda's home and leaning as there, by 7 degrees; the fingers close along y
    home=(-0.3197, -1.5426, 2.2671, -2.4162, -1.5309, -1.8881),
    home_noise=0.02,
    gripper=ROBOTIQ_85,
    workspace=TABLE_WORKSPACE,
    out_of_reach=("robot0_base", "robot0_fixed_base_link", "robot0_shoulder_link", "robot0_upper_arm_link"),
    mesh_grids=(("gripper", 0.004),),
)
