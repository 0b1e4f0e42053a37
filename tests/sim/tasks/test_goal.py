"""What tasks say for `pixelarm diagnose`: the body that they move, and where it belongs."""

import numpy as np
import pytest

from sim.envs.make import make
from sim.scene.names import body_id
from sim.tasks import TASKS

WITH_GOAL = ("door", "drawer", "move", "nut_assembly_square", "pick_place_can", "pull", "reach", "stack")
# m between the goal and the manipuland when the expert has just succeeded: the task's own tolerance, what is asked of
# two directions alone (a can may lie anywhere in its compartment, a nut is let go above the peg's foot), and how far
# past "just far enough" a pull goes within one step
NEAR = {
    "move": 0.03,
    "stack": 0.01,
    "nut_assembly_square": 0.06,
    "pick_place_can": 0.12,
    "door": 0.04,
    "drawer": 0.05,
    "pull": 0.07,
    "reach": 0.025,
}


def away(env, body):
    """Metres between the goal and what belongs there: the hand, if the task names no body."""
    at = env.world.object_position(body) if body else env.world.eef_position()
    return np.linalg.norm(env.task.goal(env.world) - at)


@pytest.mark.parametrize("name", [name for name in TASKS if not name.startswith("kitchen_")])
def test_an_expert_brings_the_manipuland_to_its_goal(name, blind):
    env = make(name, renderer=blind, actuation_delay_ms=(0.0, 0.0))
    env.reset(seed=3)
    task = env.task
    body = getattr(task, "manipuland", None)
    if body is not None:
        body_id(env.world.model, body)  # it exists
    if name not in WITH_GOAL:
        assert not hasattr(task, "goal") or task.goal(env.world) is None
        return env.close()
    before = away(env, body)
    expert, info = env.expert(3), {"success": False}
    for _ in range(task.max_steps):
        if info["success"]:
            break
        info = env.step(expert())[-1]
    after = away(env, body)
    assert info["success"] and before > 0.05 and after < NEAR[name], (before, after)
    env.close()
