import dataclasses

import numpy as np
import pytest
import torch
from conftest_skills import filmed_walk, walk, walking_contract

from policies.networks.normalizers import ProprioNormalizer
from policies.skills.windows import SkillWindows
from robot.contract import Camera, Proprio
from robot.errors import DatasetError, PixelarmError


def test_a_window_at_the_end_repeats_the_last_state_and_says_so():
    rows = SkillWindows(walking_contract(), [walk(5), walk(7, 1)], 3, 2)
    assert len(rows) == 12
    batch = rows.__getitems__([0, 3, 4])
    assert np.allclose(
        batch.states[..., 0], [[0, 0.01, 0.02, 0.03], [0.03, 0.04, 0.05, 0.05], [0.04, 0.05, 0.05, 0.05]]
    )
    assert batch.valid.tolist() == [[True] * 3, [True, True, False], [True, False, False]]


def test_no_window_and_no_pair_is_glued_of_two_episodes():
    """All states of a window, and the one that is ahead, have the number (y) of their episode; a short
    episode between two others is kept whole, and shifts nothing."""
    episodes = [walk(5, 0), walk(3, 1), walk(9, 2)]
    rows = SkillWindows(walking_contract(), episodes, 3, 2)
    batch = rows.__getitems__(range(len(rows)))
    assert (batch.states[..., 1] == batch.states[:, :1, 1]).all()
    assert batch.states[:, 0, 1].tolist() == [0] * 5 + [1] * 3 + [2] * 9
    ahead = rows.states[rows.ahead(3)]
    assert (ahead[:, 1] == rows.states[:, 1]).all()
    assert np.allclose(100 * ahead[:, 0], [3, 4, 5, 5, 5, 5, 3, 3, 3, 3, 3, 4, 5, 6, 7, 8, 9, 9, 9, 9])


def test_an_episode_shorter_than_a_window_is_refused_and_named():
    with pytest.raises(
        DatasetError, match="episode 1 of the demonstrations has 2 actions, and a skill has .*horizon=3"
    ):
        SkillWindows(walking_contract(), [walk(5), walk(2)], 3, 2)


def test_what_a_policy_did_before_a_person_took_over_is_no_example():
    episode = walk(6)
    episode.provenance["interventions"] = [[2, 3]]
    rows = SkillWindows(walking_contract(), [episode], 3, 2)
    assert len(rows) == 2
    assert rows.__getitems__([0, 1]).valid.tolist() == [[True, True, False], [True, False, False]]


def test_a_contract_without_proprioception_is_refused():
    contract = dataclasses.replace(walking_contract(), cameras=(Camera("agentview", 32, 32),), proprio=())
    with pytest.raises(PixelarmError, match="the contract of walk has no proprioception"):
        SkillWindows(contract, [], 3, 2)


def test_steps_are_drawn_within_the_stretch_and_follow_from_the_rows():
    rows = SkillWindows(walking_contract(), [walk(5), walk(7, 1)], 3, 4)
    one, again, other = (rows.__getitems__(drawn).drawn for drawn in ([0, 3, 4] * 9, [0, 3, 4] * 9, [1, 3, 4] * 9))
    assert torch.equal(one, again) and not torch.equal(one, other)
    assert one.shape == (27, 4) and set(one.flatten().tolist()) == {0, 1, 2}


def test_pictures_are_of_the_beginning_the_end_and_the_steps_drawn():
    """A picture's brightness is the step it was taken at, plus a hundred in the second walk; after the end the last one
    stays.
    """
    walks = [filmed_walk(5), filmed_walk(7, 1)]
    rows = SkillWindows(walks[0].contract, walks, 3, 2)
    batch = rows.__getitems__([0, 3, 6])
    seen = batch.pictures["agentview"]
    assert seen.shape == (3, 4, 3, 32, 32) and seen.dtype == torch.uint8
    assert seen[:, 0, 0, 0, 0].tolist() == [0, 3, 101] and seen[:, 1, 0, 0, 0].tolist() == [3, 5, 104]
    first, last = torch.tensor([[0], [3], [101]]), torch.tensor([[5], [5], [107]])
    assert torch.equal(seen[:, 2:, 0, 0, 0].long(), torch.minimum(first + batch.drawn, last))
    assert batch.to(torch.device("cpu")).pictures["agentview"].shape == seen.shape


def test_what_a_policy_sees_at_moments_of_demonstrations():
    walks = [filmed_walk(5), filmed_walk(7, 1)]
    rows = SkillWindows(walks[0].contract, walks, 3, 2)
    found = rows.observations(4, 8)
    assert found["agentview"][:, 0, 0, 0].tolist() == [4, 5, 100, 101]
    assert np.allclose(found["eef_pos"][:, 0], [0.04, 0.05, 0.0, 0.01]) and found["object_state"].shape == (4, 1)
    assert len(rows.observations(12, 99)["agentview"]) == len(rows.states) - 12


def test_what_stood_still_is_scaled_by_what_moves_later():
    """Stds of 1 and, at the floor, 0.1; then 2 and 3: only the second is taken."""
    normalizer = ProprioNormalizer(
        dataclasses.replace(walking_contract(), proprio=(Proprio("eef_pos", 2, "m", "base"),))
    )
    unit = torch.tensor([-1.0, 1.0]) / 2**0.5
    normalizer.fit(torch.stack([unit, 0 * unit], dim=1), 0.1)
    assert torch.allclose(normalizer.std, torch.tensor([1.0, 0.1]))
    normalizer.widen(torch.stack([2 * unit, 3 * unit], dim=1), 0.1)
    assert torch.allclose(normalizer.std, torch.tensor([1.0, 3.0]))
