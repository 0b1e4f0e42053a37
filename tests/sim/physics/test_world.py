"""A world measures and follows what robot.actions says."""

import numpy as np
import pytest

from robot import actions, rotations
from robot.actions import PROPRIO, Target
from robot.errors import PixelarmError
from sim.envs.task_world import build_world, reset_world
from sim.physics.world import MEASURE
from sim.tasks import TASKS, make_task


@pytest.fixture(scope="module")
def stack():
    task = make_task("stack")
    made = build_world(task)
    reset_world(made, task, 0)
    yield made
    made.close()


@pytest.mark.parametrize("name", sorted(TASKS))
def test_every_tasks_contract_is_one_for_an_arm(name):
    make_task(name).contract.require_arm()


def test_every_field_of_proprioception_is_measured_with_its_size(stack):
    assert set(MEASURE) - set(PROPRIO) == {"finger_pos", "object_state"}  # of a simulation alone
    for name, field in PROPRIO.items():
        assert np.shape(MEASURE[name](stack)) == (field.size or 7,)


def test_the_reference_is_the_state_at_one_instant(stack):
    seen = stack.reference()
    kept = {name: value.copy() for name, value in vars(seen).items()}
    np.testing.assert_allclose(rotations.from_quaternion(MEASURE["eef_quat"](stack)), seen.rotation, atol=1e-14)
    stack.follow(actions.target("eef_delta_position_yaw", seen, np.array([0.04, 0, 0.04, 0.3, 1.0])))
    stack.advance(20)
    assert all(np.array_equal(kept[name], value) for name, value in vars(seen).items())
    assert np.linalg.norm(stack.eef_position() - seen.position) > 0.005


def test_a_target_of_another_kind_than_the_contracts_is_refused(stack):
    with pytest.raises(PixelarmError, match="actions are an end-effector pose, got a velocity for each arm joint"):
        stack.follow(Target(0.0, joint_velocities=np.zeros(7)))


def test_the_gripper_may_go_by_itself(stack):
    stack.set_gripper(1.0)
    stack.advance(round(0.8 / stack.timestep))
    assert stack.gripper_opening() < 0.005


def test_a_jaw_may_be_led_to_a_place_in_between():
    """A servo's goal: half open is half of the width, and a half more is that."""
    from sim.envs.config import TaskConfig
    from sim.envs.make import configured_task

    task = configured_task(TaskConfig("reach", 16, arm="so101"))
    world = build_world(task)
    reset_world(world, task, 0)
    for gripper, share in ((0.0, 0.5), (-0.5, 0.75), (-3.0, 1.0)):
        world.lead_gripper(gripper)
        world.advance(round(1.0 / world.timestep))
        assert world.gripper_opening() == pytest.approx(share * world.arm.description.gripper.width, abs=0.003)
    world.close()


def test_the_effort_of_an_arm_with_position_servos_is_a_torque():
    """Not the angle that a servo is told."""
    from sim.envs.config import TaskConfig
    from sim.envs.make import configured_task

    task = configured_task(TaskConfig("reach", 16, arm="so101"))
    world = build_world(task)
    reset_world(world, task, 0)
    world.advance(round(1.0 / world.timestep))
    effort = world.joint_state()[3][: len(world.arm.actuators)]
    top = world.model.actuator_forcerange[world.arm.actuators, 1]
    np.testing.assert_array_equal(effort, world.data.actuator_force[world.arm.actuators])
    assert not np.allclose(effort, world.data.ctrl[world.arm.actuators])
    assert (np.abs(effort) <= top).all()
    world.close()


def test_the_effort_of_motors_is_the_torque_that_they_are_told(stack):
    stack.advance(20)
    motors = stack.arm.actuators
    assert np.abs(stack.data.ctrl[motors]).max() > 1.0  # N m
    np.testing.assert_allclose(stack.joint_state()[3][: len(motors)], stack.data.ctrl[motors], atol=1e-12)
