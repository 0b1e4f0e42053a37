"""Rethink's Sawyer with its electric gripper, as robosuite assembles them."""

from __future__ import annotations

from sim.physics.arm import Arm, Gripper

SAWYER = Arm(
    name="sawyer",
    robosuite="Sawyer",
    prefix="robot0_",
    base="robot0_base",
    last_link="robot0_right_l6",
    site="gripper0_right_grip_site",
    hand_camera="robot0_eye_in_hand",
    joints=tuple(f"robot0_right_j{i}" for i in range(7)),
    actuators=tuple(f"robot0_torq_right_j{i}" for i in range(7)),
    reported=tuple(f"right_j{i}" for i in range(7)),  # intera's names
    # the end effector at the Panda's home and leaning as there, by 7 degrees; the fingers close along y. The elbow
    # stands to the left of the forearm, whose motor would otherwise touch what is at the arm's right
    home=(-0.1097, -1.1468, -0.2759, 2.3898, 0.6228, 0.2705, -2.3476),
    home_noise=0.02,
    gripper=Gripper(
        joints=("gripper0_right_l_finger_joint", "gripper0_right_r_finger_joint"),
        actuators=("gripper0_right_gripper_l_finger_joint", "gripper0_right_gripper_r_finger_joint"),
        open=(0.020833, -0.020833),
        closed=(-0.0115, 0.0115),
        width=0.0646,
        commands=((0.020833, -0.0115), (-0.020833, 0.0115)),  # robosuite gives each servo the other finger's range
        pads=("gripper0_right_l_finger_tip", "gripper0_right_r_finger_tip"),
        reported=("right_gripper_l_finger_joint", "right_gripper_r_finger_joint"),
        finger=0.0435,
    ),
    juts_from=0.117,  # the camera on its wrist
    workspace=((0.2, -0.4, -0.094), (0.8, 0.4, 0.6)),  # the finger tips are 14 mm below the end effector
    out_of_reach=("robot0_base", "robot0_right_arm_base_link", "robot0_right_l0", "robot0_right_l1", "robot0_head"),
    # the palm fills a third of the wrist camera's picture: coarser, the renderers differ by more than 3 of 255 there
    mesh_grids=(("gripper0_right_gripper_base", 0.0015), ("gripper", 0.004)),
)
