"""The controller goes where it is told, holds its orientation, and is robosuite's law."""

import mujoco
import numpy as np
import pytest

from sim.scene import Recipe
from sim.tasks import make_task, make_world
from sim.world import World


@pytest.fixture(scope="module")
def world():
    made = make_world("lift")
    yield made
    made.close()


def test_a_target_is_reached_and_held(world):
    world.reset(0)
    target = world.eef_position() + (0.05, -0.06, 0.04)
    rotation = world.data.site_xmat[world.arm.site].copy()
    world.set_target(target, -1.0)
    world.advance(round(2.0 / world.timestep))
    assert np.linalg.norm(world.eef_position() - target) < 1e-3
    assert np.abs(world.data.site_xmat[world.arm.site] - rotation).max() < 0.02


def test_silence_holds_the_last_target(world):
    world.reset(0)
    world.advance(round(1.0 / world.timestep))
    before = world.eef_position()
    world.advance(round(2.0 / world.timestep))
    assert np.linalg.norm(world.eef_position() - before) < 1e-3


def test_the_gripper_takes_half_a_second(world):
    world.reset(0)
    assert world.gripper_opening() == pytest.approx(0.08, abs=2e-3)
    world.set_target(world.eef_position() + (0, 0, 0.05), 1.0)
    world.advance(round(0.25 / world.timestep))
    assert 0.02 < world.gripper_opening() < 0.07
    world.advance(round(0.6 / world.timestep))
    assert world.gripper_opening() < 0.005


def test_steady_speed_of_the_largest_delta_is_a_quarter_metre_a_second(world):
    """Critically damped with gain kp, a target kept d ahead is followed at kp d / (2 sqrt(kp)) = sqrt(150) * 0.04 / 2 = 0.245 m/s."""
    world.reset(0)
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
def test_parity_with_robosuite():
    """Same state, same 60 random actions at 20 Hz, exact physics: end effectors stay within 1e-5 m."""
    import robosuite

    env = robosuite.make(
        "Lift",
        robots="Panda",
        has_renderer=False,
        has_offscreen_renderer=False,
        use_camera_obs=False,
        control_freq=20,
        seed=0,
    )
    env.reset()
    world = World(make_task("lift", recipe=Recipe(terms=())))
    model, data = env.sim.model._model, env.sim.data._data
    assert (world.model.nq, world.model.nv) == (model.nq, model.nv)
    mujoco.mj_resetData(world.model, world.data)
    world.data.qpos[:], world.data.qvel[:] = data.qpos, data.qvel
    mujoco.mj_forward(world.model, world.data)
    controller = env.robots[0].composite_controller.part_controllers["right"]
    world.controller.posture[:] = controller.initial_joint
    world.controller.goal_rotation[:] = data.site_xmat[world.arm.site].reshape(3, 3)
    rng, worst = np.random.default_rng(0), 0.0
    for _ in range(60):
        delta = rng.uniform(-1, 1, 3)
        env.step(np.concatenate([delta, [0.0, 0.0, 0.0], [-1.0]]))
        world.set_target(world.eef_position() + 0.05 * delta, -1.0)
        # robosuite's orientation goal with a zero delta is the orientation at the start of the step
        world.controller.goal_rotation[:] = world.data.site_xmat[world.arm.site].reshape(3, 3)
        _follow_robosuites_gripper(world, env)
        world.advance(25)
        worst = max(worst, float(np.linalg.norm(world.data.site_xpos[world.arm.site] - data.site_xpos[world.arm.site])))
    env.close()
    assert worst < 1e-5


def _follow_robosuites_gripper(world, env):
    """Fingers move differently here (a ramp instead of steps); the arm is what is compared, so give them the same command."""
    world._gripper = world._gripper_goal = float(env.robots[0].gripper["right"].current_action[0] * -1.0)
