"""An arm with errors does what such an arm does: it sags, stops short, and has play. One without is unchanged."""

from __future__ import annotations

import numpy as np
import pytest

from robot.errors import PixelarmError
from sim.envs.config import TaskConfig
from sim.envs.make import make_env
from sim.envs.task_env import TaskEnv
from sim.physics.imperfections import Imperfections

AHEAD, BACK, STAY = (np.float32([x, 0.0, 0.0, -1.0]) for x in (0.04, -0.01, 0.0))


def env_with(**errors: float) -> TaskEnv:
    cfg = TaskConfig("reach", counts_from="commanded", actuation_delay_ms=(0.0, 0.0), hold_steps=30)
    env = make_env(cfg, renderer="raycast", imperfections=Imperfections(**errors))
    env.reset(seed=0)
    return env


def way(env: TaskEnv, *acts: np.ndarray) -> list[float]:
    """m ahead after each action, from where the first one began."""
    start, found = env.world.eef_position()[0], []
    for act in acts:
        env.step(act)
        found.append(float(env.world.eef_position()[0] - start))
    env.close()
    return found


def test_dry_friction_stops_an_arm_short():
    ways = [way(env_with(joint_friction=friction), AHEAD, *[STAY] * 9)[-1] for friction in (0.0, 0.05)]
    assert ways[0] == pytest.approx(0.04, abs=0.002) and 0.0 < ways[1] < 0.035


def test_play_is_gone_through_before_the_hand_turns_back():
    """4 cm ahead through half of 2 cm of play, then a centimetre back: nothing moves; a second one: a centimetre."""
    found = way(env_with(backlash_m=0.02), AHEAD, *[STAY] * 9, BACK, *[STAY] * 9, BACK, BACK, *[STAY] * 9)
    assert found[9] == pytest.approx(0.03, abs=0.002)
    assert found[19] == pytest.approx(0.03, abs=0.002)
    assert found[-1] == pytest.approx(0.02, abs=0.002)


def test_what_is_sent_is_not_changed_by_play():
    env = env_with(backlash_m=0.02)
    env.step(AHEAD)
    assert env.world.controller.goal_position[0] - env.world.controller.followed[0] == pytest.approx(0.01)
    env.close()


def test_a_scene_that_is_set_back_goes_on_as_before():
    env = env_with(backlash_m=0.02, gravity_error=0.1)
    env.step(AHEAD)
    state = env.world.state_dict()
    after = []
    for _ in range(2):
        env.world.load_state_dict(state)
        env.step(BACK)
        after.append(env.world.eef_position())
    assert np.array_equal(*after)
    env.close()


@pytest.mark.parametrize("name", ["gravity_error", "joint_friction", "backlash_m"])
def test_senseless_errors_are_refused(name):
    for value in (-0.1, 0.9, float("nan")):
        with pytest.raises(PixelarmError, match=f"{name} must lie between 0 and"):
            Imperfections(**{name: value})


def test_arms_without_motors_are_refused():
    with pytest.raises(PixelarmError, match="so101 is moved by servos"):
        make_env(TaskConfig("reach", arm="so101"), renderer="raycast", imperfections=Imperfections(0.05))
    with pytest.raises(PixelarmError, match="has no arm whose gravity compensation"):
        make_env(TaskConfig("dmc/cartpole-swingup"), imperfections=Imperfections(0.05))
