"""What is observed is as old as ``observation_delay_ms`` says, in control periods of 100 ms and parts of them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from robot.errors import PixelarmError
from sim.envs.make import make

RIGHT = np.array([0.0, 0.04, 0.0, -1.0], np.float32)


def delayed(low_ms, high_ms=None, **options):
    high_ms = low_ms if high_ms is None else high_ms
    options = {"actuation_delay_ms": (0.0, 0.0), "image_size": 32, **options}
    return make("lift", observation_delay_ms=(low_ms, high_ms), **options)


def moved(env, steps=8):
    """Positions (steps + 1, 3) that were observed, and that the arm had at the same time."""
    seen, true = [env.reset(seed=1)[0]["eef_pos"]], [env.world.eef_position()]
    for _ in range(steps):
        seen.append(env.step(RIGHT)[0]["eef_pos"])
        true.append(env.world.eef_position())
    return np.array(seen), np.float32(true)


@pytest.mark.parametrize("periods", [0, 1, 3])
def test_whole_periods_show_earlier_steps_and_first_the_start(periods):
    env = delayed(100.0 * periods)
    seen, true = moved(env)
    env.close()
    wanted = [true[max(step - periods, 0)] for step in range(len(true))]
    np.testing.assert_array_equal(seen, wanted)
    assert true[-1][1] - true[0][1] > 0.05  # it moved


def test_parts_of_a_period_lie_between_the_steps():
    env = delayed(250.0)
    seen, true = moved(env)
    env.close()
    for step in range(4, len(seen)):
        assert true[step - 3][1] < seen[step][1] < true[step - 2][1]


@pytest.mark.parametrize("delay_ms", [20.0, 80.0])
def test_an_action_that_arrives_after_the_picture_is_not_in_it(delay_ms):
    """The action arrives 50 ms into the step, and what is observed is 20 or 80 ms older than its end."""
    env = delayed(delay_ms, actuation_delay_ms=(50.0, 50.0))
    env.reset(seed=1)
    before = env.world.eef_position()
    seen = env.step(RIGHT)[0]["eef_pos"]
    env.close()
    assert (np.linalg.norm(seen - before) > 1e-3) == (delay_ms == 20.0)


def test_actions_count_from_what_was_observed():
    env = delayed(200.0)
    env.reset(seed=1)
    for _ in range(5):
        observation, *_ = env.step(RIGHT)
    env.step(RIGHT)
    np.testing.assert_allclose(env._commanded.position, observation["eef_pos"] + RIGHT[:3], atol=1e-6)
    assert np.linalg.norm(env.world.eef_position() - observation["eef_pos"]) > 0.02
    env.close()


def test_a_range_is_drawn_for_each_episode_and_a_seed_draws_it_again():
    env = delayed(0.0, 300.0)
    ages = []
    for seed in (1, 2, 3, 1):
        env.reset(seed=seed)
        ages.append(env._age * env.world.timestep)
    env.close()
    assert ages[0] == ages[3] and len(set(ages)) == 3 and 0.0 <= min(ages) <= max(ages) <= 0.3


@pytest.mark.parametrize("before", [1, 5])
def test_a_state_holds_what_was_seen_and_not_yet_shown(before):
    env = delayed(250.0)
    env.reset(seed=1)
    for _ in range(before):
        env.step(RIGHT)
    state = env.state_dict()
    world = {name: array.copy() for name, array in state["world"].items()}
    plain = json.loads(json.dumps({name: value for name, value in state.items() if name != "world"}))
    straight = [env.step(RIGHT)[0] for _ in range(5)]
    env.reset(seed=99)
    env.load_state_dict({"world": world, **plain})
    for wanted in straight:
        resumed = env.step(RIGHT)[0]
        assert all(np.array_equal(wanted[name], resumed[name]) for name in wanted)
    env.close()


def test_experts_succeed_although_what_is_recorded_is_old():
    """Their actions lead from what was observed to where they want to go, as those of a policy have to."""
    env, solved = delayed(100.0), 0
    for seed in range(4):
        env.reset(seed=seed)
        expert, done = env.expert(seed), False
        while not done:
            _, _, terminated, truncated, _ = env.step(expert())
            done = terminated or truncated
        solved += terminated
    env.close()
    assert solved == 4


@pytest.mark.parametrize("delay", [(-1.0, 5.0), (5.0, 1.0), (0.0, 1001.0), (0.0, float("nan"))])
def test_senseless_delays_are_refused(delay):
    with pytest.raises(PixelarmError, match=r"observation_delay_ms must be 0 <= low <= high <= 1000"):
        delayed(*delay)


def test_benchmarks_without_an_arm_refuse_it():
    with pytest.raises(PixelarmError, match="observation_delay_ms is of tasks with an arm"):
        make("dmc/walker-walk", observation_delay_ms=(0.0, 20.0))
