"""From inputs to targets, with numbers worked out by hand, and the clutch."""

from __future__ import annotations

import numpy as np
import pytest
from teleop_rig import HERE, Rig, arm

from hardware.teleop.input import Input
from hardware.teleop.mapping import Mapping, Shape
from hardware.teleop.teleop import kind_of
from robot import rotations
from robot.control.limits import LimitConfig
from robot.errors import PixelarmError

SHAPE = Shape(0.1, 0.5, 0.05, 0.3, np.array([0.0, -1.0, 0.0]), np.array([1.0, 1.0, 1.0]))
DOWN = rotations.from_quaternion(np.array([1.0, 0.0, 0.0, 0.0]))  # x ahead, y and z turned over


def stepped(given: Input, seconds: float = 0.02, measured: np.ndarray = HERE) -> Mapping:
    mapping = Mapping(SHAPE)
    mapping.press(HERE, DOWN)
    mapping.step(given, measured, DOWN, seconds)
    return mapping


def test_a_velocity_is_integrated():
    """0.1 m/s for 20 ms are 2 mm; at a scale of a half, 1 mm."""
    assert stepped(Input(True, 0, 0, (1, 0, 0))).position == pytest.approx([0.502, 0, 0.3])
    assert stepped(Input(True, 0, 0, (0, -0.5, 0), scale=0.5)).position == pytest.approx([0.5, -0.0005, 0.3])


def test_two_keys_at_once_are_no_faster_than_one():
    moved = stepped(Input(True, 0, 0, (1, 1, 0))).position - HERE
    assert np.linalg.norm(moved) == pytest.approx(0.002)


def test_frames():
    forward = Input(True, 0, 0, (1, 0, 0))
    assert stepped(Input(True, 0, 0, (1, 0.5, 1), frame="facing")).position == pytest.approx(
        HERE + 0.002 / 1.5 * np.array([-1, -0.5, 1])
    )
    assert stepped(Input(True, 0, 0, (0, 0, 1), frame="tool")).position == pytest.approx([0.5, 0, 0.298])
    assert stepped(forward).position[0] > HERE[0]


def test_a_process_that_slept_does_not_leap():
    """A step counts for 50 ms at most: 5 mm."""
    assert stepped(Input(True, 0, 0, (1, 0, 0)), 3.0).position == pytest.approx([0.505, 0, 0.3])


def test_the_leash_holds_a_target_near_the_arm():
    """60 mm behind: the target comes back to 50 mm from where the arm is."""
    mapping = stepped(Input(True, 0, 0, (1, 0, 0)), measured=HERE - [0.058, 0, 0])
    assert mapping.position == pytest.approx([0.492, 0, 0.3])
    assert mapping.counts["leash"] == 1


def test_a_target_stays_in_the_box():
    mapping = Mapping(SHAPE)
    mapping.press(np.array([0.999, 0, 0.3]), DOWN)
    mapping.step(Input(True, 0, 0, (1, 0, 0)), np.array([0.999, 0, 0.3]), DOWN, 0.02)
    assert mapping.position == pytest.approx([1.0, 0, 0.3])
    assert mapping.counts["box"] == 1


def test_a_dragged_target_is_followed_at_the_speed_and_reached():
    mapping = Mapping(SHAPE)
    mapping.press(HERE, DOWN)
    for step in range(1, 6):  # 9 mm at 2 mm a step
        mapping.step(Input(True, 0, 0, drag=(0, 0.009, 0)), HERE, DOWN, 0.02)
        assert mapping.position == pytest.approx(HERE + [0, min(0.002 * step, 0.009), 0])
    mapping.step(Input(True, 0, 0, drag=(0, 0.009, 0), frame="facing"), HERE, DOWN, 0.02)
    assert mapping.position == pytest.approx(HERE + [0, 0.007, 0])  # on the way to the other side


def test_a_turn_is_integrated_on_its_leash():
    """0.5 rad/s for 20 ms are 0.01 rad; after 40 steps the leash of 0.3 rad has held ten of them."""
    mapping = Mapping(SHAPE)
    mapping.press(HERE, DOWN)
    turn = Input(True, 0, 0, angular=(0, 0, 1))
    mapping.step(turn, HERE, DOWN, 0.02)
    assert rotations.to_axis_angle(mapping.rotation @ DOWN.T) == pytest.approx([0, 0, 0.01])
    for _ in range(39):
        mapping.step(turn, HERE, DOWN, 0.02)
    assert rotations.angle_between(DOWN, mapping.rotation) == pytest.approx(0.3)
    assert mapping.counts["leash"] == 10
    mapping.turns = False
    before = mapping.rotation
    mapping.step(turn, HERE, DOWN, 0.02)
    assert mapping.rotation is before


def test_no_option_raises_a_limit():
    limits = LimitConfig(max_speed_m_s=0.25, speed_scale=0.25, max_reach_m=0.03, max_turn_speed_rad_s=0.5)
    shape = Shape.of(limits, speed_m_s=5.0, turn_speed_rad_s=5.0)
    assert (shape.speed_m_s, shape.turn_speed_rad_s, shape.leash_m) == (0.0625, 0.125, 0.03)
    with pytest.raises(PixelarmError, match="must be positive"):
        Shape.of(limits, 0.0)


# -------------------------------------------------------------------------------------------------------------- clutch
def test_nothing_moves_before_a_press_and_the_press_begins_where_the_arm_is():
    rig = Rig()
    assert set(rig.run(0.2, False)) == {(False, None)}
    held, target = rig.run(0.02, True, linear=(1, 0, 0))[0]
    assert held and target is not None and target.position == pytest.approx(HERE)
    rig.run(0.2, True, linear=(1, 0, 0))
    assert rig.target() == pytest.approx(HERE + [0.02, 0, 0])  # 0.1 m/s


def test_each_press_begins_anew_and_never_at_an_old_target():
    rig = Rig()
    rig.run(0.1, False)
    rig.run(0.4, True, linear=(1, 0, 0))
    assert rig.target()[0] == pytest.approx(0.538)  # the first tick latches
    assert rig.run(0.1, False)[-1] == (False, None)
    rig.position = np.array([0.45, 0.1, 0.25])  # the arm went elsewhere meanwhile
    target = rig.run(0.02, True, linear=(1, 0, 0))[0][1]
    assert target is not None and target.position == pytest.approx([0.45, 0.1, 0.25])


def test_a_press_begins_where_the_arm_was_told_to_be_if_it_is_there():
    """The arm hangs 4 mm below its target: a press that began at what is measured would let it sink."""
    rig = Rig()
    rig.status = {**rig.status, "target": {"position": [0.5, 0, 0.304], "xyzw": [1.0, 0, 0, 0]}}
    rig.run(0.1, False)
    assert rig.run(0.02, True)[0][1].position == pytest.approx([0.5, 0, 0.304])
    rig.run(0.1, False)
    rig.status = {**rig.status, "target": {"position": [0.5, 0, 0.4], "xyzw": [1.0, 0, 0, 0]}}  # 10 cm away: not there
    assert rig.run(0.02, True)[0][1].position == pytest.approx(HERE)


def test_the_gripper_stays_as_it_is_until_the_operator_says_otherwise():
    rig = Rig()
    rig.status = {**rig.status, "gripper": 1.0}
    rig.run(0.1, False)
    assert rig.run(0.1, True)[-1][1].gripper == 1.0
    assert rig.run(0.1, True, gripper=-1.0)[-1][1].gripper == -1.0
    assert rig.run(0.1, True)[-1][1].gripper == -1.0


def test_who_takes_over_keeps_the_gripper_as_it_is_until_the_operator_says_otherwise():
    """The operator opened it, gave command to the policy, which closed it, and takes over again: nothing is dropped."""
    rig = Rig()
    rig.run(0.1, False)
    assert rig.run(0.1, True, gripper=-1.0)[-1][1].gripper == -1.0
    rig.status = {**rig.status, "mode": "policy", "gripper": 1.0}
    rig.run(0.1, False, gripper=-1.0)
    assert rig.run(0.1, True, gripper=-1.0)[-1][1].gripper == 1.0  # pressed, and not yet in command
    rig.status = {**rig.status, "mode": "intervene"}
    assert rig.run(0.5, True, gripper=-1.0)[-1][1].gripper == 1.0
    assert rig.run(0.1, True, gripper=0.5)[-1][1].gripper == 0.5
    assert rig.run(0.1, True, gripper=-1.0)[-1][1].gripper == -1.0  # and now every word counts


def test_a_new_scene_begins_with_open_fingers_whatever_was_wanted_of_the_old_ones():
    """The device says closed from before until it notices; then it may close them again."""
    rig = Rig()
    rig.run(0.1, False)
    rig.run(0.3, True, gripper=1.0)
    assert rig.teleop.gripper == 1.0
    rig.teleop.begin_anew()
    rig.run(0.1, False, gripper=1.0)
    rig.run(0.1, True, gripper=1.0)
    assert rig.teleop.gripper == -1.0
    rig.run(0.1, True, gripper=None)
    rig.run(0.1, True, gripper=1.0)
    assert rig.teleop.gripper == 1.0


def test_the_gripper_may_be_meant_while_the_arbiter_hands_over():
    rig = Rig()
    rig.status = {**rig.status, "mode": "policy", "gripper": 1.0}
    rig.run(0.1, False, gripper=1.0)
    assert rig.run(0.1, True, gripper=1.0)[-1][1].gripper == 1.0
    assert rig.run(0.1, True, gripper=-1.0)[-1][1].gripper == 1.0  # the policy still has it
    rig.status = {**rig.status, "mode": "intervene"}
    assert rig.run(0.1, True, gripper=-1.0)[-1][1].gripper == -1.0


# --------------------------------------------------------------------------------------------------- what it commands
def test_an_arm_that_takes_joints_gets_joints_that_lead_to_the_pose():
    rig = Rig("sim_so101_joints", speed=0.05)
    chain = rig.arm.read_chain()
    assert chain is not None
    rig.joints = np.array([0.1, -0.6, 0.6, 1.0, 0.0])
    rig.position, rotation = chain.forward(rig.joints)
    rig.xyzw = rotations.to_quaternion(rotation)
    rig.run(0.1, False)
    targets = [target for _, target in rig.run(0.5, True, linear=(0, 0, 1))]
    assert targets[0].joint_positions == pytest.approx(rig.joints)
    assert all(target.position is None for target in targets)
    reached = chain.forward(targets[-1].joint_positions)[0]
    assert reached == pytest.approx(rig.target(), abs=1e-9)
    assert reached - rig.position == pytest.approx([0, 0, 0.024], abs=3e-3)  # 0.05 m/s for 0.48 s


@pytest.mark.parametrize("name", ["sim_panda", "sim_ur5e", "sim_so101", "franka_crisp"])
def test_arms_that_take_poses(name: str):
    assert kind_of(arm(name)) == "pose"


def test_an_arm_that_takes_neither_is_refused_in_words():
    assert kind_of(arm("sim_so101_joints")) == "joint_position"
    with pytest.raises(PixelarmError, match="cannot be teleoperated"):
        kind_of(arm("sim_kitchen"))
