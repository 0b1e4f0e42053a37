"""The controller goes where it is told, holds its orientation, and is robosuite's law."""

from dataclasses import replace

import mujoco
import numpy as np
import pytest

from sim.arms import ARMS
from sim.envs.task_world import build_world, reset_world
from sim.physics.arm import ANYWHERE
from sim.scene.compile import Recipe
from sim.scene.names import named_id
from sim.scene.terms import gripper_as_described
from sim.tasks import make_task

LIFT = make_task("lift")


@pytest.fixture(scope="module")
def world():
    made = build_world(LIFT)
    yield made
    made.close()


def test_a_target_is_reached_and_held(world):
    reset_world(world, LIFT, 0)
    target = world.eef_position() + (0.05, -0.06, 0.04)
    rotation = world.data.site_xmat[world.arm.site].copy()
    world.set_target(target, -1.0)
    world.advance(round(2.0 / world.timestep))
    assert np.linalg.norm(world.eef_position() - target) < 1e-3
    assert np.abs(world.data.site_xmat[world.arm.site] - rotation).max() < 0.02


def test_silence_holds_the_last_target(world):
    reset_world(world, LIFT, 0)
    world.advance(round(1.0 / world.timestep))
    before = world.eef_position()
    world.advance(round(2.0 / world.timestep))
    assert np.linalg.norm(world.eef_position() - before) < 1e-3


def test_the_gripper_takes_half_a_second(world):
    reset_world(world, LIFT, 0)
    assert world.gripper_opening() == pytest.approx(0.08, abs=2e-3)
    world.set_target(world.eef_position() + (0, 0, 0.05), 1.0)
    world.advance(round(0.25 / world.timestep))
    assert 0.02 < world.gripper_opening() < 0.07
    world.advance(round(0.6 / world.timestep))
    assert world.gripper_opening() < 0.005


def test_steady_speed_of_the_largest_delta_is_a_quarter_metre_a_second(world):
    """Critically damped with gain kp, a target kept d ahead is followed at kp d / (2 sqrt(kp)) = sqrt(150) * 0.04 / 2 =
    0.245 m/s.
    """
    reset_world(world, LIFT, 0)
    for _ in range(12):
        start = world.eef_position()
        world.set_target(start + (0, 0, 0.04), -1.0)
        world.advance(1)
        for _ in range(19):  # the target stays the same distance ahead
            world.set_target(world.eef_position() + (0, 0, 0.04), -1.0)
            world.advance(1)
    speed = np.linalg.norm(world.eef_position() - start) / (20 * world.timestep)
    assert speed == pytest.approx(0.245, rel=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("name", [arm.name for arm in ARMS.values() if arm.robosuite])
def test_parity_with_robosuite(name):
    """Same state, same 60 random actions at 20 Hz, exact physics: end effectors stay within 1e-5 m."""
    import robosuite

    arm = replace(ARMS[name], workspace=ANYWHERE)  # robosuite's knows no bounds
    env = robosuite.make(
        "Lift",
        robots=arm.robosuite,
        has_renderer=False,
        has_offscreen_renderer=False,
        use_camera_obs=False,
        control_freq=20,
        seed=0,
    )
    env.reset()
    world = build_world(make_task("lift", recipe=Recipe(terms=("gripper_as_described",)), arm=arm))
    model, data = env.sim.model._model, env.sim.data._data
    # what robosuite's controller counts and damps from; of xArm7 it is on the first link and turns with it
    model.site_bodyid[named_id(model, "site", "robot0_right_center")] = named_id(model, "body", arm.base)
    gripper_as_described(model, arm)  # without armature Robotiq's linkage turns rounding into millimetres
    assert (world.model.nq, world.model.nv) == (model.nq, model.nv)
    cube = model.jnt_qposadr[named_id(model, "joint", "cube_joint0")]
    data.qpos[cube : cube + 2] = (0.25, -0.3)  # out of the way: robosuite draws its size too
    mujoco.mj_resetData(world.model, world.data)
    world.data.qpos[:], world.data.qvel[:] = data.qpos, data.qvel
    mujoco.mj_forward(world.model, world.data)
    controller = env.robots[0].composite_controller.part_controllers["right"]
    world.controller.posture[:] = controller.initial_joint
    start = world.data.site_xpos[world.arm.site].copy()
    rng, worst, furthest = np.random.default_rng(0), 0.0, 0.0
    for _ in range(60):
        delta = rng.uniform(-1, 1, 3)
        env.step(np.concatenate([delta, [0.0, 0.0, 0.0], [0.0]]))  # the fingers stay half open
        world.set_target(world.eef_position() + 0.05 * delta, -1.0)
        # robosuite's orientation goal with a zero delta is the orientation at the start of the step
        world.controller.goal_rotation[:] = world.data.site_xmat[world.arm.site].reshape(3, 3)
        _follow_robosuites_gripper(world, data)
        world.advance(25)
        hand = world.data.site_xpos[world.arm.site]
        worst = max(worst, float(np.linalg.norm(hand - data.site_xpos[world.arm.site])))
        furthest = max(furthest, float(np.linalg.norm(hand - start)))
    env.close()
    world.close()
    assert worst < 1e-5 and furthest > 0.05


def _follow_robosuites_gripper(world, data):
    """Fingers move differently here (a ramp instead of steps);
    the arm is what is compared, so give their servos the same commands.
    """
    world.arm.finger_middle[:], world.arm.finger_half[:] = data.ctrl[world.arm.finger_actuators], 0.0


def test_the_compiled_law_is_the_torch_reference(world):
    """Forty states of a moving arm, goals anywhere near: the two agree to rounding."""
    import torch

    from sim.physics.control import _osc
    from sim.physics.control_torch import osc_torque

    rng, inputs = np.random.default_rng(0), []
    arm, controller = world.arm, world.controller
    mass, jacobian = np.zeros((world.model.nv,) * 2), np.zeros((6, world.model.nv))
    reset_world(world, LIFT, 0)
    for _ in range(40):
        world.set_target(world.eef_position() + rng.uniform(-0.05, 0.05, 3), 1.0)
        world.advance(7)
        mujoco.mj_forward(world.model, world.data)
        mujoco.mj_fullM(world.model, mass, world.data.qM)
        mujoco.mj_jacSite(world.model, world.data, jacobian[:3], jacobian[3:], arm.site)
        inputs.append(
            [
                mass[np.ix_(arm.dof, arm.dof)],
                jacobian[:, arm.dof].copy(),
                world.data.site_xpos[arm.site].copy(),
                world.data.site_xmat[arm.site].reshape(3, 3).copy(),
                controller.goal_position.copy(),
                controller.goal_rotation.copy(),
                world.data.qpos[arm.qpos],
                world.data.qvel[arm.dof],
                controller.posture.copy(),
                world.data.qfrc_bias[arm.dof],
            ]
        )
    ours = np.stack([_osc(*one) for one in inputs])
    reference = osc_torque(*(torch.from_numpy(np.stack(column)) for column in zip(*inputs))).numpy()
    assert np.abs(ours - reference).max() < 1e-9 and np.abs(ours).max() > 1


def joint_task(kind):
    """Lift with joint actions in its contract."""
    import dataclasses

    from robot.contract import Action

    task = make_task("lift")
    names = (*(f"joint{i}" for i in range(1, 8)), "gripper")
    action = Action(kind, names, ("rad",) * 7 + ("1",), (-3.2,) * 7 + (-1.0,), (4.0,) * 7 + (1.0,))
    task.contract = dataclasses.replace(task.contract, action=action)
    return task


def test_joint_positions_are_reached():
    world = build_world(joint_task("joint_position"))
    reset_world(world, LIFT, 0)
    goal = world.data.qpos[world.arm.qpos] + np.array([0.2, -0.1, 0.1, 0.2, -0.2, 0.1, 0.3])
    world.set_joint_goal(goal, -1.0)
    world.advance(round(1.5 / world.timestep))
    assert np.abs(world.data.qpos[world.arm.qpos] - goal).max() < 5e-3


def test_joint_velocities_are_followed():
    world = build_world(joint_task("joint_velocity"))
    reset_world(world, LIFT, 0)
    goal = np.array([0.3, 0.0, 0.0, 0.1, 0.0, 0.0, -0.2])
    world.set_joint_goal(goal, -1.0)
    world.advance(round(0.5 / world.timestep))  # 0.5 s * 25 / s: within exp(-12.5) of the goal, but for friction
    assert np.abs(world.data.qvel[world.arm.dof] - goal).max() < 0.03


def test_an_environment_with_joint_actions_steps_and_resumes():
    from sim.envs.task_env import TaskEnv

    env = TaskEnv(joint_task("joint_velocity"))
    env.reset(seed=0)
    action = np.array([0.2, 0, 0, 0, 0, 0, 0, -1], np.float32)
    env.step(action)
    state = env.state_dict()
    straight = env.step(action)[0]
    env.reset(seed=1)
    env.load_state_dict(state)
    assert np.array_equal(straight["eef_pos"], env.step(action)[0]["eef_pos"])
    env.close()
