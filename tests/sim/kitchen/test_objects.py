"""Objects in recorded positions: as the task sees them, and how far they have come, by hand."""

import numpy as np
import pytest

from robot.dataset.episodes import read_episode
from robot.errors import DatasetError, UnknownName
from sim.kitchen.held_out import moved_in, require_held_out
from sim.tasks.kitchen import SUBTASKS, distance
from tests.sim.tasks.test_kitchen import put_at_goal


@pytest.mark.parametrize("subtask", SUBTASKS)
def test_distances_are_the_tasks(maker, subtask):
    maker.env.reset(seed=1)
    world = maker.env.world
    put_at_goal(world, subtask, 0.2)
    assert maker.objects.distance(world.data.qpos, subtask) == pytest.approx(0.2)
    for each in SUBTASKS:
        assert maker.objects.distance(world.data.qpos[None], each)[0] == pytest.approx(distance(world, each))


def test_travel_is_a_share_of_the_way(maker):
    """The microwave's door goes from 0 to -0.75: at -0.15 it has come a fifth of its way, at +0.15 as far."""
    qpos = np.zeros((4, 30))
    qpos[:, 22] = [0.0, -0.15, 0.15, -0.75]
    assert maker.objects.travel(qpos, "microwave") == pytest.approx([0.0, 0.2, 0.2, 1.0])
    assert maker.objects.travel(qpos, "slide_cabinet").tolist() == [0.0] * 4


def test_moved_names_the_object_and_the_step(maker, made):
    path = made / "pretraining" / "episode_000000.hdf5"
    episode = read_episode(path)
    assert sorted(m.subtask for m in moved_in(episode, path, maker.objects)) == sorted(episode.provenance["subtasks"])
    episode.simulation["qpos"][:, 22] = 0.0
    episode.simulation["qpos"][7:, 22] = -0.15
    (door,) = moved_in(episode, path, maker.objects, ["microwave"])
    assert (door.step, door.furthest) == (7, pytest.approx(0.2))
    episode.simulation["qpos"][7:, 22] = -0.07  # 9 % is a knock
    assert moved_in(episode, path, maker.objects, ["microwave"]) == []


def test_without_true_states_nothing_can_be_told(maker, made):
    path = made / "pretraining" / "episode_000000.hdf5"
    episode = read_episode(path)
    episode.simulation["qpos"] = episode.simulation["qpos"][:, :5]
    with pytest.raises(DatasetError, match="states of 5 numbers, not the kitchen's"):
        moved_in(episode, path, maker.objects)
    episode.simulation.clear()
    with pytest.raises(DatasetError, match="has no true states, so nobody can tell what it moves"):
        moved_in(episode, path, maker.objects)
    with pytest.raises(UnknownName, match="unknown kitchen subtask 'fridge'"):
        require_held_out(made / "pretraining", "fridge", maker.objects)
    require_held_out(made / "pretraining", "kettle", maker.objects)
