"""What an expert does past success keeps it: demonstrations go on for so long, and policies learn to stay there."""

from __future__ import annotations

import numpy as np
import pytest

from robot.stats import AFTER_STEPS
from sim.envs.config import TaskConfig
from sim.envs.make import make_env, takes_arms
from sim.tasks import TASKS


@pytest.mark.parametrize("name", [name for name in sorted(TASKS) if takes_arms(name)])
def test_experts_stay_where_they_have_succeeded(name, blind):
    env = make_env(TaskConfig(name), renderer=blind)
    env.reset(seed=0)
    expert, left = env.task.expert(np.random.default_rng(0)), None
    for _ in range(env.max_steps):
        done = env.step(expert.act(env.world))[2]
        left = AFTER_STEPS if left is None and done else left
        if left == 0:
            break
        left = None if left is None else left - 1
    assert left == 0 and env.task.success(env.world)
    env.close()
