"""Servos led by inverse kinematics: the tip goes where it is told, sags a little, and goes on where it was saved."""

import numpy as np
import pytest

from sim.envs.make import make


@pytest.fixture
def env():
    made = make("lift", arm="so101", image_size=32, renderer="raycast", actuation_delay_ms=(0.0, 0.0))
    made.reset(seed=3)
    yield made
    made.close()


def test_the_tip_goes_where_it_is_told_and_hangs_a_little_low(env):
    world = env.world
    wanted = np.array([0.26, 0.05, 0.10])
    world.set_target(wanted, -1.0)
    world.advance(round(3.0 / world.timestep))
    off = world.eef_position() - wanted
    assert np.abs(off[:2]).max() < 0.008
    assert -0.02 < off[2] < -0.002  # servos are springs: the arm's weight bends them


def test_joint_targets_arrive_within_one_control_period(env):
    world, period = env.world, env.contract.period_s
    start = world.controller.command(world.data).copy()
    world.set_target(world.eef_position() + (0.03, 0.0, 0.0), -1.0)
    world.advance(round(0.5 * period / world.timestep))
    half = world.controller.command(world.data).copy()
    world.advance(round(0.6 * period / world.timestep))
    end = world.controller.command(world.data).copy()
    assert np.abs(end - start).max() > 0.05
    np.testing.assert_allclose(half - start, 0.5 * (end - start), atol=1e-9)


def test_an_episode_goes_on_where_it_was_saved(env):
    actions = np.random.default_rng(0).uniform(-0.04, 0.04, (8, 4)).astype(np.float32)
    for action in actions[:4]:
        env.step(action)
    saved = env.world.state_dict()
    ends = []
    for _ in range(2):
        env.world.load_state_dict(saved)
        world = env.world
        for action in actions[4:]:
            world.set_target(world.eef_position() + action[:3], float(action[3]))
            world.advance(17)
        ends.append(world.data.qpos.copy())
    np.testing.assert_array_equal(*ends)


def test_its_deltas_count_from_the_last_target(env):
    """Else an arm that hangs low would sink with every action of zeros."""
    assert env.contract.action.counts_from == "commanded"
    for _ in range(10):
        env.step(np.zeros(4, np.float32))
    before = env.world.eef_position()
    for _ in range(30):
        env.step(np.zeros(4, np.float32))
    assert np.abs(env.world.eef_position() - before).max() < 0.002
