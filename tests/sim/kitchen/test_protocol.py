"""The kitchen's score, by hand: which limits, ever or still, loose or strict."""

import dataclasses

import numpy as np
import pytest

from robot.errors import PixelarmError
from sim.bench.kitchen import Expert
from sim.envs.task_env import TaskEnv
from sim.kitchen.protocol import Score, counts_subtasks, score, table
from sim.tasks.kitchen import Kitchen
from sim.tasks.reach import Reach


def a_score(seeds=(10, 11), shift=0.0):
    """Two subtasks in two episodes: one is done at 100 and undone at 200, one is nearly done at 281 and done at 300."""
    distances = np.full((2, 451, 2), 1.0)
    distances[0, 100:200, 0] = 0.1 + shift
    distances[:, 281:, 1] = 0.2 + shift
    distances[:, 300:, 1] = 0.14 + shift
    return Score(("kettle", "microwave"), tuple(seeds), distances)


@pytest.mark.parametrize(
    ("limit", "when", "threshold", "done"),
    [
        (280, "ever", "loose", [[True, False], [False, False]]),
        (280, "still", "loose", [[False, False], [False, False]]),
        (280, "ever", "strict", [[True, False], [False, False]]),
        (450, "ever", "loose", [[True, True], [False, True]]),
        (450, "still", "loose", [[False, True], [False, True]]),
        (450, "still", "strict", [[False, True], [False, True]]),
    ],
)
def test_completed_by_hand(limit, when, threshold, done):
    assert a_score().completed(limit, when, threshold).tolist() == done


def test_the_loose_and_the_strict_threshold_differ():
    """0.2 from the goal is FrankaKitchen's success and not ours."""
    found = a_score(shift=0.1)
    assert found.completed(450, "ever", "loose").sum() == 3 and found.completed(450, "ever", "strict").sum() == 0
    exactly = Score(("kettle",), (0,), np.full((1, 451, 1), 0.3))
    assert not exactly.completed(450, "ever", "loose").any()  # as FrankaKitchen: below, not at


def test_the_table_says_all_that_a_score_needs():
    lines = table([a_score()]).splitlines()
    assert lines[0] == "n = 2 episodes of 450 executed steps, seeds 10 to 11"
    assert lines[2] == "| completed of 2 | ever, loose | still, loose | ever, strict | still, strict |"
    assert (
        lines[4] == "| at 280 steps | 0.50 [0.00, 1.00] | 0.00 [0.00, 0.00] | 0.50 [0.00, 1.00] | 0.00 [0.00, 0.00] |"
    )
    assert lines[5].startswith("| at 450 steps | 1.50 [1.00, 2.00] | 1.00 [1.00, 1.00] |")
    assert lines[9].startswith("| kettle, 280 | 0.50 [0.09, 0.91] | 0.00 [0.00, 0.66] |")  # Wilson, 1 of 2 and 0 of 2
    assert lines[12].startswith("| microwave, 450 | 1.00 [0.34, 1.00] |")
    assert lines[-1] == "loose: within 0.3 (rad, m) of the goal, as FrankaKitchen counts; strict: within 0.15"


def test_several_training_seeds_share_a_table():
    lines = table([a_score(), a_score(), a_score(shift=0.2)]).splitlines()
    assert lines[0].startswith("3 training seeds, n = 2 episodes")
    assert lines[5].startswith("| at 450 steps | 1.00 [")  # 1.5, 1.5 and 0 completed: at 0.34 from the goal none is
    assert lines[12].startswith("| microwave, 450 | 0.67 [0.30, 0.90] |")  # 4 of 6
    with pytest.raises(PixelarmError, match="same subtasks and scenes"):
        table([a_score(), a_score(seeds=(10, 12))])


def test_a_score_as_json():
    found = a_score().to_dict()
    assert found["executed_steps"] == 450 and found["seeds"] == (10, 11)
    assert found["ever_450_loose"]["completed"] == [2, 1] and found["ever_450_loose"]["mean_completed"] == 1.5
    assert found["still_450_loose"]["kettle"]["success"] == 0.0 and found["still_450_loose"]["kettle"]["n"] == 2


def blind(task):
    task.contract = dataclasses.replace(task.contract, cameras=())
    return TaskEnv(task)


def test_every_episode_is_played_for_450_steps_whatever_happens():
    """The expert needs some 80 steps for both; it is begun anew for each episode."""
    env = blind(Kitchen(("light_switch", "microwave")))
    expert = Expert(env)
    found = score(env, expert, (3, 4), quiet=True)
    assert found.distances.shape == (2, 451, 2) and found.executed == 450 and expert.episodes == 2
    assert found.distances[:, 0] == pytest.approx(np.array([[0.69, 0.75]] * 2), abs=0.01)
    assert found.completed(280, "ever", "loose").all() and found.completed(450, "still", "strict").all()
    still = score(env, lambda _: np.zeros(8, np.float32), (3,), quiet=True)
    assert not still.completed(450, "ever", "loose").any()
    with pytest.raises(PixelarmError, match="at least one seed"):
        score(env, expert, ())


def test_it_is_for_kitchens_with_several_subtasks():
    kitchen, kettle, reach = blind(Kitchen()), blind(Kitchen(("kettle",))), blind(Reach())
    assert [counts_subtasks(env) for env in (kitchen, kettle, reach, object())] == [True, False, False, False]
    with pytest.raises(PixelarmError, match="reach has none"):
        score(reach, lambda _: np.zeros(4, np.float32), (0,))
