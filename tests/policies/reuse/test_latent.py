"""Skills in a plane: axes and signs by hand, stretches of a tiny policy."""

import dataclasses

import numpy as np
import pytest
import torch
from conftest_skills import walk, walker

from policies.reuse.latent import (
    NOTHING,
    error_of_choice,
    every_for,
    posterior_means,
    principal_plane,
    stretches,
    subtasks_of,
)


def test_the_axes_of_a_cross_by_hand():
    """Points at +-3 on z, +-1 on x, about (1, 1, 1): variances 18 and 2 of 20; each axis points to where it is
    positive."""
    cross = np.array([[0, 0, 3], [0, 0, -3], [1, 0, 0], [-1, 0, 0]]) + 1.0
    plane = principal_plane(cross)
    assert np.allclose(plane.centre, 1.0) and np.allclose(plane.axes, [[0, 0, 1], [1, 0, 0]])
    assert plane.explained == pytest.approx((0.9, 0.1))
    assert np.allclose(plane.project(np.array([[2.0, 5.0, 3.0]])), [[2.0, 1.0]])


def test_the_signs_do_not_depend_on_the_order_of_the_points():
    points = np.random.default_rng(0).normal(size=(40, 5)) * [3, 2, 1, 1, 1]
    one, other = principal_plane(points), principal_plane(points[::-1].copy())
    assert np.allclose(one.axes, other.axes) and all(axis[np.abs(axis).argmax()] > 0 for axis in one.axes)


def test_one_direction_has_one_axis():
    plane = principal_plane(np.array([[1.0], [3.0]]))
    assert plane.axes.tolist() == [[1.0], [0.0]] and plane.explained == (1.0, 0.0)
    assert plane.project(np.array([[3.0]])).tolist() == [[1.0, 0.0]]


def test_a_stretch_begins_at_every_step_that_a_whole_one_follows():
    """Of 5 actions and H = 3, at steps 0, 1, 2; as the policy's own rows have them."""
    policy, episode = walker(), walk(5)
    found = posterior_means(policy, episode)
    batch = policy.rows([episode]).__getitems__([0, 1, 2])
    assert found.shape == (3, 2)
    with torch.no_grad():
        assert np.allclose(found, policy.done_in(batch.states[:, :-1], batch.actions).mean.numpy(), atol=1e-6)
    assert np.array_equal(posterior_means(policy, episode, 2), found[::2])
    assert len(posterior_means(policy, walk(2))) == 0  # shorter than a skill


def labelled(steps, numbers):
    episode = walk(steps)
    provenance = {**episode.provenance, "subtasks": ["kettle", "microwave"]}
    return dataclasses.replace(episode, provenance=provenance, simulation={"subtask": np.array(numbers, np.int8)})


def test_a_stretch_is_of_the_subtask_that_was_done_at_its_start():
    """Labels 0 and 1 are the episode's own first and second; -1 and no labels are none."""
    episode = labelled(5, [0, 0, -1, 1, 1])
    assert subtasks_of(episode) == ["kettle", "kettle", NOTHING, "microwave", "microwave"]
    assert subtasks_of(walk(2)) == [NOTHING] * 2
    found = stretches(walker(), [episode, walk(4)], every=2)
    assert found.labels == ("kettle", NOTHING, NOTHING) and len(found.z) == 3


def test_no_more_stretches_are_shown_than_there_is_room_for():
    assert [every_for(steps, 4000) for steps in (0, 4000, 4001, 73_000)] == [1, 1, 2, 19]


def test_a_choice_is_judged_by_how_far_two_skills_at_random_are_apart():
    """Skills at +-1 on an axis have variance 1, so two at random a mean square of 2. Chosen 1 beside the done: 1 over
    sqrt 2. Just that: 0. Of points that are all the same nothing can be said."""
    among = np.array([[1.0, 0.0], [-1.0, 0.0]])
    done = np.array([[1.0, 0.0], [0.0, 0.0]])
    assert error_of_choice(done + [[0.0, 1.0]], done, among) == pytest.approx(1.0 / np.sqrt(2.0))
    assert error_of_choice(done, done, among) == 0.0
    assert error_of_choice(done, done, among[:1]) is None and error_of_choice(done[:0], done[:0], among) is None
