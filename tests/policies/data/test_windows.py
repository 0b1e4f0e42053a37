"""Windows of demonstrations: what is seen, the actions from then on, and which of them are examples to follow."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest_policies import random_episode, tiny_contract

from policies.data.windows import Draws, Windows


def episodes(*lengths):
    """Action t of episode e is 0.01 e + 0.001 t in every number, and frame t shows 10 e + t."""
    found = []
    for number, length in enumerate(lengths):
        one = random_episode(tiny_contract(), length)
        one.actions[:] = 0.01 * number + 0.001 * np.arange(length, dtype=np.float32)[:, None]
        one.observations["eef_pos"][:] = 10 * number + np.arange(length + 1, dtype=np.float32)[:, None]
        found.append(one)
    return found


def windows(chunk, history=1, lengths=(3, 4)):
    return Windows(replace(tiny_contract(history), chunk=chunk), episodes(*lengths))


def test_a_chunk_ends_with_its_episode():
    data = windows(chunk=3)
    batch = data.__getitems__(range(len(data)))
    assert len(data) == 7 and batch.actions.shape == (7, 3, 4)
    assert batch.valid.tolist() == [
        [True, True, True], [True, True, False], [True, False, False],
        [True, True, True], [True, True, True], [True, True, False], [True, False, False],
    ]  # fmt: skip
    steps = (batch.actions[:, :, 0] * 1000).round().int().tolist()
    # the second episode's actions are 10, 11, 12, 13; the last of each is repeated, where it does not count
    assert steps == [[0, 1, 2], [1, 2, 2], [2, 2, 2], [10, 11, 12], [11, 12, 13], [12, 13, 13], [13, 13, 13]]


def test_one_action_is_a_chunk_too():
    batch = windows(chunk=1).__getitems__([0, 4])
    assert batch.actions.shape == (2, 1, 4) and torch.equal(batch.actions[:, 0], batch.action)
    assert batch.valid.tolist() == [[True], [True]]


def test_history_begins_with_its_episode():
    batch = windows(chunk=2, history=3).__getitems__([0, 1, 2, 3, 4])
    frames = batch.obs["eef_pos"].unflatten(1, (3, 3))[:, :, 0].int().tolist()
    assert frames == [[0, 0, 0], [0, 0, 1], [0, 1, 2], [10, 10, 10], [10, 10, 11]]


def test_only_examples_are_followed():
    """A person took over in steps 1 and 2 of four: those two moments are rows, and nothing else is copied."""
    (one,) = episodes(4)
    data = Windows(replace(tiny_contract(), chunk=3), [replace(one, provenance={"interventions": [[1, 2]]})])
    batch = data.__getitems__(range(len(data)))
    assert batch.obs["eef_pos"][:, 0].tolist() == [1.0, 2.0]
    assert batch.valid.tolist() == [[True, True, False], [True, False, False]]
    assert data.all_actions()[:, 0].tolist() == pytest.approx([0.001, 0.002])
    assert data.all_proprio()[:, 0].tolist() == [1.0, 2.0]


def test_draws_are_the_same_again_and_another_process_has_others():
    first, again = (list(Draws(100, 8, seed=1, updates=3)) for _ in range(2))
    other = list(Draws(100, 8, seed=1, updates=3, rank=1))
    assert first == again and all(a != b for a, b in zip(first, other)) and first[0] != first[1]


def test_actions_of_each_observation_of_the_history():
    """Two before the moment: before an episode's beginning its first action is repeated, where it does not count."""
    data = Windows(replace(tiny_contract(3), chunk=2), episodes(3, 2), past=2)
    batch = data.__getitems__([0, 1, 2, 3])
    steps = (batch.actions[:, :, 0] * 1000).round().int().tolist()
    assert steps == [[0, 0, 0, 1], [0, 0, 1, 2], [0, 1, 2, 2], [10, 10, 10, 11]]
    assert batch.valid.tolist() == [
        [False, False, True, True], [False, True, True, True], [True, True, True, False], [False, False, True, True],
    ]  # fmt: skip
    assert torch.equal(batch.actions[:, 2], batch.action)
