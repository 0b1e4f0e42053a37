"""What arms on robosuite's table share: where their bases stand, and what holds Robotiq's gripper."""

from __future__ import annotations

from sim.physics.arm import Gripper, Workspace

# m, base frame, lowest and highest target: the box of hardware/arms/sim_panda.yaml. Above the table by 12 mm, the
# finger tips by 2 mm: tips pressed on it by a target below cannot close. All arms of robosuite have their base at one
# place, 0.56 m before the table's centre and 0.112 m above its top.
TABLE_WORKSPACE: Workspace = ((0.2, -0.4, -0.10), (0.8, 0.4, 0.6))

ROBOTIQ_85 = Gripper(  # robosuite's model, whose finger tips meet at 0.51 rad of the outer knuckles
    joints=("gripper0_right_finger_joint", "gripper0_right_right_outer_knuckle_joint"),
    actuators=("gripper0_right_finger_1", "gripper0_right_finger_2"),
    open=(0.0, 0.0),
    closed=(0.51, 0.51),
    width=0.085,
    commands=((0.0, 0.8), (0.0, 0.8)),
    armature=0.005,
    damping=0.3,
    pads=("gripper0_right_left_inner_finger", "gripper0_right_right_inner_finger"),
    reported=("robotiq_85_left_knuckle_joint", "robotiq_85_right_knuckle_joint"),
    finger=0.0525,
)
