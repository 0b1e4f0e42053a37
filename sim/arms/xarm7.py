"""UFACTORY's xArm7 with its own gripper, as robosuite assembles them."""

from __future__ import annotations

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
    # the end effector at the Panda's home, the fingers closing along y. The hand leans by 14 degrees, twice as much as
    # the Panda's, its fingers away from the base: straight down it gets only 0.71 m far, where the elbow is straight
    # and folds over. Its wrist is turned so that the wrist camera looks past the hand at what is in front of it
    home=(0.0, 0.1414, 0.0, 0.6625, 0.0, 0.2767, 3.1416),
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
        finger=0.0465,
    ),
    workspace=((0.2, -0.4, -0.092), (0.74, 0.4, 0.6)),  # the finger tips are 14 mm below the end effector
    out_of_reach=("robot0_base", "robot0_link1", "robot0_link2"),
    mesh_grids=(("gripper", 0.004),),
)
