"""k-means and residual quantisation, on numbers that can be followed by hand."""

import numpy as np
import pytest
import torch

from policies.networks.vq import ResidualQuantiser, kmeans, nearest, perplexity
from robot.errors import PixelarmError


def test_kmeans_of_two_pairs():
    """0, 1 and 10, 11: whichever two points it begins with, it ends at 0.5 and 10.5."""
    points = np.array([[0.0], [1.0], [10.0], [11.0]])
    for seed in range(8):
        assert sorted(kmeans(points, 2, seed)[:, 0]) == [0.5, 10.5]


def test_kmeans_begins_with_distant_points():
    """A thousand points at 0 and one each at 50 and 100: drawn uniformly, the three would hardly ever be a start."""
    points = np.concatenate([np.zeros(1000), [50.0, 100.0]])[:, None]
    assert all(sorted(kmeans(points, 3, seed)[:, 0]) == [0.0, 50.0, 100.0] for seed in range(5))


def test_kmeans_is_the_same_again():
    points = np.random.default_rng(0).normal(size=(500, 3))
    assert np.array_equal(kmeans(points, 16), kmeans(points.copy(), 16))
    assert not np.array_equal(kmeans(points, 16), kmeans(points, 16, seed=1))


def test_kmeans_lessens_the_distance_as_far_as_it_goes():
    """At the end each centre is the mean of the points that are nearest to it."""
    points = np.random.default_rng(1).normal(size=(60, 2))
    centres = kmeans(points, 4)
    own = ((points[:, None] - centres) ** 2).sum(axis=2).argmin(axis=1)
    assert np.allclose(centres, [points[own == k].mean(axis=0) for k in range(4)])


def test_more_centres_than_different_points_are_refused():
    with pytest.raises(PixelarmError, match="3 centres of 4 points, of which 2 are different"):
        kmeans(np.array([[0.0], [0.0], [1.0], [1.0]]), 3)


def test_the_nearest_in_whatever_precision_the_network_has():
    """1.001 and 1.003 are one number in bfloat16."""
    centres, points = torch.tensor([[1.0], [1.004]]), torch.tensor([[1.001], [1.003]])
    with torch.autocast("cpu", torch.bfloat16):
        assert nearest(points, centres).tolist() == [0, 1]


def quantiser(decay: float = 0.5) -> ResidualQuantiser:
    """Books {(0, 0), (4, 0)} and {(0, 1), (1, 0)}, every code used as much as the other."""
    made = ResidualQuantiser(2, 2, 2, decay)
    made.codes.copy_(torch.tensor([[[0.0, 0.0], [4.0, 0.0]], [[0.0, 1.0], [1.0, 0.0]]]))
    made.counts.fill_(0.5)
    made.sums.copy_(0.5 * made.codes)
    return made


def test_the_second_code_says_what_the_first_leaves():
    """(4.9, 0.2) is near (4, 0), which leaves (0.9, 0.2), near (1, 0): (5, 0) in all."""
    made = quantiser()
    chosen = made(torch.tensor([[4.9, 0.2], [0.5, 1.5]]))
    assert chosen.tolist() == [[1, 1], [0, 0]]
    assert made.vectors(chosen).tolist() == [[5.0, 0.0], [0.0, 1.0]]
    assert made.vectors(chosen[None]).shape == (1, 2, 2)


def test_codes_follow_what_they_stand_for():
    """decay 1/2: (4, 0) stood for itself and stands for (4.8, 0) and (5.2, 0), half of the batch: it goes to (4.5, 0);
    (0, 0) for twice (0, 1): to (0, 0.5). What is left is (0.3, 0) and (0.7, 0), and twice (0, 0.5).
    """
    made = quantiser()
    made.learn(torch.tensor([[4.8, 0.0], [5.2, 0.0], [0.0, 1.0], [0.0, 1.0]]))
    assert torch.allclose(made.codes[0], torch.tensor([[0.0, 0.5], [4.5, 0.0]]))
    # (0.3, 0) is 0.49 away from (1, 0) and 1.09 from (0, 1), squared
    assert torch.allclose(made.codes[1], torch.tensor([[0.0, 0.75], [0.75, 0.0]]))
    assert torch.allclose(made.counts, torch.full((2, 2), 0.5))


def test_a_dead_code_is_put_where_a_vector_is():
    made = quantiser(decay=0.99)
    made.counts[0] = torch.tensor([0.5, 0.02])  # less than a twentieth of a half
    torch.manual_seed(0)
    made.learn(torch.tensor([[0.0, 3.0]]))
    assert torch.allclose(made.codes[0, 1], torch.tensor([0.0, 3.0]))
    assert made.codes[0, 0].tolist() == [0.0, 0.0]  # one that is alive stays


def test_codes_begin_where_vectors_are():
    torch.manual_seed(0)
    made, vectors = ResidualQuantiser(1, 3, 1, 0.9), torch.tensor([[5.0], [7.0]])
    made.learn(vectors)
    assert all(5.0 - 1e-5 <= float(code) <= 7.0 + 1e-5 for code in made.codes[0, :, 0])


def test_how_many_codes_are_used():
    assert float(perplexity(torch.tensor([0, 1, 2, 3]), 8)) == pytest.approx(4.0)
    assert float(perplexity(torch.tensor([2, 2, 2]), 8)) == pytest.approx(1.0)
