"""What is looked up, and what is counted of it: numbers by hand, and a tiny policy that has seen two walks."""

import numpy as np
import pytest
import torch
from conftest_skills import walk, walker

from policies.reuse.jumps import Jumps, count_jumps, first_within, gaps, longest_run, shares
from policies.reuse.play import apart, looked_up
from policies.reuse.subject import library_of, require_same
from policies.rollout.acting import to_batch
from robot.errors import PixelarmError


def test_jumps_are_counted_by_hand():
    """Demonstration 0 at 0, 1, 1, 1, back to 0 (a step), on to 9, back to 2 (seven steps, more than H = 5); then 1."""
    demonstration = np.array([0, 0, 0, 0, 0, 0, 0, 1, 0])
    moment = np.array([0, 1, 1, 1, 0, 9, 2, 4, 2])
    found = count_jumps(demonstration, moment, 5)
    assert found == Jumps(switches=2, backward=2, far_backward=1, longest_stay=3, stay_from=1)


def test_the_same_moment_of_another_demonstration_is_no_stay():
    assert count_jumps(np.array([0, 1, 0]), np.array([3, 3, 3]), 5) == Jumps(2, 0, 0, 1, 0)
    assert count_jumps(np.zeros(0, int), np.zeros(0, int), 5).longest_stay == 0


def test_the_longest_run_is_the_first_of_equals():
    assert longest_run(np.array([1, 0, 1, 1, 0, 1, 1], bool)) == (2, 2)
    assert longest_run(np.zeros(3, bool)) == (0, 0)


def test_shares_are_of_all_demonstrations_used_or_not():
    assert shares(np.array([2, 2, 0, 2]), 4) == [0.25, 0.0, 0.75, 0.0]


def test_a_subtask_takes_from_the_one_before_it():
    """Kettle at 40, microwave at 100, in the other order than they are named; the light switch never."""
    completed = {"microwave": 100, "kettle": 40, "light_switch": None}
    assert gaps(completed) == {"kettle": 40, "microwave": 60}
    assert first_within(np.array([0.5, 0.31, 0.29, 0.4]), 0.3) == 2
    assert first_within(np.array([0.5, 0.3]), 0.3) is None


# ------------------------------------------------------------------------------------------------- of a tiny policy
def seen(x: float, y: float) -> dict[str, np.ndarray]:
    return {"eef_pos": np.array([x, y, 0.0], np.float32), "object_state": np.zeros(1, np.float32)}


def test_each_row_knows_its_demonstration_and_its_moment():
    library = library_of([walk(5), walk(7, 1)])
    assert library.demonstration.tolist() == [0] * 6 + [1] * 8
    assert library.moment.tolist() == [0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 5, 6, 7]
    assert library.last(0) == 5 and library.last(1) == 7


@pytest.mark.parametrize("distance", ["euclidean", "learned"])
def test_a_state_that_was_demonstrated_is_looked_up_at_no_distance(distance):
    policy = walker(distance=distance)
    row, away, z = looked_up(policy, seen(0.02, 1.0))
    assert row == 6 + 2 and away == pytest.approx(0.0, abs=1e-3) and z.shape == (2,)


def test_the_distance_is_of_scaled_states():
    """5 mm beside walk 0 at 3 cm, in standard deviations of y."""
    policy = walker()
    row, away, _ = looked_up(policy, seen(0.03, 0.005))
    assert row == 3 and away == pytest.approx(0.005 / policy.eyes.normalizer.std[1].item(), rel=1e-3)


def test_what_is_shown_is_what_acts():
    """The decoder's answer to the chosen skill is the policy's action."""
    policy, observation = walker(), to_batch([seen(0.021, 0.3)])
    _, _, z = looked_up(policy, seen(0.021, 0.3))
    with torch.no_grad():
        state = policy.eyes(observation)
        action = policy.actions.to_physical(policy.skill.decode(state, torch.from_numpy(z)[None]))
    assert np.array_equal(action.numpy()[:, None], policy.act(observation, sample=False))


def test_demonstrations_are_as_far_apart_as_their_nearest_states():
    """Walks 1 m apart in y; the longer one also goes 1 and 2 cm further in x than the other."""
    policy = walker()
    found = apart(policy, library_of([walk(5), walk(7, 1)]))
    std = policy.eyes.normalizer.std
    across, along = 1.0 / std[1].item(), 0.01 / std[0].item()
    further = [np.hypot(across, along), np.hypot(across, 2 * along)]
    assert found == pytest.approx([across] * 6 + [across] * 6 + further, rel=1e-3)


def test_one_demonstration_is_apart_from_none():
    policy = walker()
    policy.look_up(policy.rows([walk(5)]))
    assert len(apart(policy, library_of([walk(5)]))) == 0


def test_demonstrations_that_are_not_the_policys_are_refused(tmp_path):
    policy = walker()
    require_same(policy, [walk(5), walk(7, 1)], tmp_path)
    with pytest.raises(PixelarmError, match=r"the first 1 demonstrations of .* \(6 states\) are not the 14 states"):
        require_same(policy, [walk(5)], tmp_path)
    with pytest.raises(PixelarmError, match="name the folder that it was fitted to with --demos"):
        require_same(policy, [walk(5), walk(7, 2)], tmp_path)  # as long, and elsewhere
