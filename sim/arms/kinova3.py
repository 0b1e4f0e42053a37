"""Kinova's Gen3 with Robotiq's 2F-85, as robosuite assembles them."""

from __future__ import annotations

from sim.arms.table import ROBOTIQ_85
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
    # the end effector at the Panda's home, the fingers closing along y. The hand leans by 14 degrees, twice as much as
    # the Panda's, its fingers away from the base: straight down it gets only 0.73 m far, where the elbow is straight
    # and folds over
    home=(-0.076, 0.4861, 0.0147, 2.0296, 0.023, 0.3823, -1.655),
    home_noise=0.02,
    gripper=ROBOTIQ_85,
    juts_from=0.142,  # the camera on its bracelet
    workspace=((0.2, -0.4, -0.092), (0.74, 0.4, 0.6)),  # lower, the knuckles tip over what is between the fingers
    out_of_reach=("robot0_base", "robot0_fixed_base_link", "robot0_shoulder_link", "robot0_HalfArm1_Link"),
    mesh_grids=(("gripper", 0.004),),
)
