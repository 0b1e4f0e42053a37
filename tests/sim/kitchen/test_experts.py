"""Experts for data: what is drawn for each episode, and that the work is done nevertheless."""

from dataclasses import replace

import numpy as np
import pytest

from sim.kitchen.experts import NEAR_OFFSET, OFFSET, SIDES, PlayExpert, VariedExpert
from sim.kitchen.recording import record
from sim.tasks.kitchen import SUBTASKS, Kitchen
from sim.tasks.kitchen_expert import WAYPOINTS, Scene
from tests.sim.tasks.test_kitchen import put_at_goal


@pytest.fixture
def world(maker):
    maker.env.task = Kitchen(tuple(SUBTASKS))
    maker.env.reset(seed=0)
    return maker.env.world


@pytest.mark.parametrize("subtask", SUBTASKS)
def test_the_varied_expert_does_each_subtask_while_it_is_disturbed(maker, subtask):
    for seed in range(2):
        rng, task = np.random.default_rng(seed), Kitchen((subtask,))
        episode = record(maker.env, task, VariedExpert(rng, task), seed, rng, limit=300)
        assert episode.success and len(episode) > 25, f"seed {seed}"


def test_it_keeps_the_order_that_it_is_given(maker):
    order = ("light_switch", "bottom_burner")
    rng, task = np.random.default_rng(0), Kitchen(order)
    episode = record(maker.env, task, VariedExpert(rng, task), 0, rng, limit=300)
    first = [int(np.argmax(episode.simulation["subtask"] == i)) for i in range(2)]
    assert episode.success and first[0] == 0 < first[1]


def test_what_is_drawn_for_an_episode(world):
    """Beside the first waypoint by one of the sides, then the table's, each about a centimetre away from there."""
    sides = set()
    for seed in range(12):
        expert = VariedExpert(np.random.default_rng(seed), Kitchen(("microwave",)))
        assert 0.018 <= expert.speed <= 0.028
        table, plan = WAYPOINTS["microwave"], expert._next_plan(world)
        assert len(plan) == len(table) + 1
        scene = Scene(world)
        beside = plan[0].at(scene) - table[0].at(scene)
        sides.add(next(name for name, side in SIDES.items() if np.allclose(beside, side)))
        offsets = [mine.at(scene) - its.at(scene) for mine, its in zip(plan[1:], table) if its.at is not None]
        assert 0 < np.abs(offsets[0]).max() <= OFFSET and 0 < np.abs(offsets[1]).max() <= NEAR_OFFSET
        assert [plan[i] is table[i - 1] for i in (3, 4, 5, 7)] == [True] * 4  # closing, the arc, opening, home
    assert sides == set(SIDES)


def test_the_same_seed_is_the_same_expert_and_another_is_not(world):
    plans = []
    for seed in (5, 5, 6):
        expert = VariedExpert(np.random.default_rng(seed), Kitchen(("kettle",)))
        plans.append([expert.speed, *expert._next_plan(world)[0].at(Scene(world))])
    assert plans[0] == plans[1] and plans[0][0] != plans[2][0]


def test_what_does_not_move_is_let_go_after_a_while(world):
    expert = VariedExpert(np.random.default_rng(0), Kitchen(("microwave",)))
    expert.subtask = "microwave"
    pull, scene = replace(WAYPOINTS["microwave"][3], steps=1000), Scene(world)
    put_at_goal(world, "microwave", 0.3)
    assert not expert._reached(pull, scene)
    put_at_goal(world, "microwave", 0.75)
    stuck, scene = [], Scene(world)  # the next waypoint: how near the last one came does not count
    for scene.steps in range(1, 30):  # the door stays where it is
        stuck.append(expert._reached(pull, scene))
    assert stuck.index(True) == expert.PATIENCE + 1
    put_at_goal(world, "microwave", 0.5)  # it moves on by 0.25 rad: there is hope again
    assert not expert._reached(pull, scene)


def test_the_hand_is_at_an_object_where_a_tremor_would_lose_it(world):
    expert = VariedExpert(np.random.default_rng(0), Kitchen(("microwave",)))
    assert not expert.holds
    held = []
    for waypoint in WAYPOINTS["microwave"]:
        expert._plan = [waypoint]
        held.append(expert.holds)
    assert held == [False, True, True, True, True, False, False]


def test_play_wanders_begins_and_leaves(maker):
    rng, task = np.random.default_rng(1), Kitchen(tuple(SUBTASKS))
    expert = PlayExpert(rng, task)
    episode = record(maker.env, task, expert, 1, rng, limit=300, endless=True)
    doing = episode.simulation["subtask"]
    changes = 1 + np.count_nonzero(np.diff(doing))
    assert len(episode) == 300 and changes >= 3
    q = episode.simulation["qpos"]
    completed = [s for s in SUBTASKS if (maker.objects.distance(q, s) < 0.3).any()]
    assert 1 <= len(completed) < 7 and len({int(i) for i in doing} - {-1}) >= 2


def test_play_does_not_reach_behind_the_open_door(world):
    """And wanders once nothing else is left."""
    for subtask in SUBTASKS:
        if subtask != "slide_cabinet":
            put_at_goal(world, subtask)
    expert = PlayExpert(np.random.default_rng(0), Kitchen(tuple(SUBTASKS)))
    expert._begin(world)
    plan = expert._next_plan(world)
    assert expert.subtask is None and len(plan) >= 2
    assert np.abs(plan[0].at(Scene(world)) - expert._middle).max() <= PlayExpert.ROOM.max()
