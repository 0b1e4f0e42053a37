"""Franka's Panda: on robosuite's table, and as FrankaKitchen's own file has it."""

from __future__ import annotations

from math import pi

from sim.arms.table import TABLE_WORKSPACE
from sim.physics.arm import Arm, Gripper

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
        finger=0.048,
    ),
    workspace=TABLE_WORKSPACE,
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
        finger=0.048,
    ),
    # what FrankaKitchen keeps each joint's target within, as far as the joint's servo can follow
    servo_ranges=((-2.9, 2.9), (-1.8, 1.8), (-2.9, 2.9), (-3.1, 0.0), (-2.9, 2.9), (0.0, 2.1817), (-2.9, 2.9)),
    mesh_grids=(("panda0_leftfinger", 0.004), ("panda0_rightfinger", 0.004), ("panda0_link7", 0.008)),
)
