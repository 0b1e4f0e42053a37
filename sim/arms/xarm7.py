"""UFACTORY's xArm7 with its own gripper, as robosuite assembles them."""

from __future__ import annotations

from sim.arms.table import TABLE_WORKSPACE
from sim.physics.arm import Arm, Gripper

XARM7 = Arm(
    name="xarm7",
    robosuite="XArm7",
    prefix="robot0_",
    base="robot0_base",
    last_link="robot0_link7",
    site="gripper0_right_grip_site",
    hand_camera="robot0_eye_in_hand",
    joints=tuple(f"robot0_joint{i}" for i in range(1, 8)),
    actuators=tuple(f"robot0_torq_j{i}" for i in range(1, 8)),
    reported=tuple(f"joint{i}" for i in range(1, 8)),  # xarm_ros2's names
    # the end effector at the Panda's home, the gripper straight down, its fingers closing along y
    home=(0.0, 0.2114, 0.0, 0.859, 0.0, 0.6475, 0.0),
    home_noise=0.02,
    gripper=Gripper(
        joints=("gripper0_right_left_driver_joint", "gripper0_right_right_driver_joint"),
        actuators=("gripper0_right_fingers_actuator",),
        open=(0.0, 0.0),
        closed=(0.85, 0.85),
        width=0.085,
        commands=((0.0, 255.0),),
        pads=("gripper0_right_left_finger", "gripper0_right_right_finger"),
        reported=("drive_joint", "right_outer_knuckle_joint"),
    ),
    workspace=TABLE_WORKSPACE,
    out_of_reach=("robot0_base", "robot0_link1", "robot0_link2"),
    mesh_grids=(("gripper", 0.004),),
)
