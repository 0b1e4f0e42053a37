"""Intervals and paired tests against values from the literature and by hand."""

import numpy as np
import pytest

from robot.stats import bootstrap_interval, iqm, mcnemar, mean, rate, wilson


def test_wilson_by_hand():
    # n = 50, k = 45, z = 1.96: centre (0.9 + 3.8416/100) / (1 + 3.8416/50) = 0.938416 / 1.076832 = 0.871460
    # half 1.96 / 1.076832 * sqrt(0.09/50 + 3.8416/10000) = 1.820154 * 0.046736 = 0.085067 -> [0.7864, 0.9565]
    found = wilson(45, 50)
    assert (found.low, found.high) == (pytest.approx(0.7864, abs=1e-4), pytest.approx(0.9565, abs=1e-4))


def test_the_ends_are_not_certain():
    # k = n: low = 1 / (1 + z^2/n): n = 20: 1 / (1 + 3.8415/20) = 0.8389
    assert wilson(20, 20).low == pytest.approx(0.8389, abs=1e-4) and wilson(20, 20).high == 1.0
    assert wilson(0, 20).low == 0.0 and wilson(0, 20).high == pytest.approx(0.1611, abs=1e-4)
    assert (wilson(0, 0).low, wilson(0, 0).high) == (0.0, 1.0)


def test_a_rate_never_prints_without_n_and_interval():
    assert str(rate([True] * 45 + [False] * 5)) == "0.90 [0.79, 0.96] (45 of 50)"


def test_impossible_counts_are_refused():
    with pytest.raises(ValueError):
        wilson(3, 2)


def test_mcnemar_by_hand():
    # 1 pair only the first solved, 5 only the second: two-sided p = 2 * (C(6,0) + C(6,1)) / 2^6 = 14/64
    first = [True, False, False, False, False, False, True, False]
    second = [False, True, True, True, True, True, True, False]
    assert mcnemar(first, second) == (1, 5, pytest.approx(14 / 64))
    assert mcnemar([True], [True]) == (0, 0, 1.0)
    with pytest.raises(ValueError, match="same seeds"):
        mcnemar([True], [])


def test_iqm_by_hand():
    # n = 8: two off each end, (2 + 3 + 4 + 5) / 4; n = 5: 5 // 4 = 1 off each end; n = 3: nothing to cut
    assert iqm([100, 5, 0, 3, 2, 4, 1, 6]) == 3.5
    assert iqm([-50, 1, 2, 6, 1000]) == 3.0
    assert iqm([0, 1, 5]) == 2.0
    assert iqm([[0, 2, 4, 90], [1, 1, 1, 1]]).tolist() == [3.0, 1.0]
    with pytest.raises(ValueError, match="no values"):
        iqm([])


def test_iqm_is_the_trimmed_mean_of_the_published_figures():
    scipy_stats = pytest.importorskip("scipy.stats")
    for n in range(1, 13):
        values = np.random.default_rng(n).normal(size=n)
        assert iqm(values) == pytest.approx(scipy_stats.trim_mean(values, 0.25))


def test_bootstrap_by_hand():
    # two values, 0 and 1: a resample's mean is 0, 0.5 or 1 with chances 1/4, 1/2, 1/4. 2.5 % lies within the zeros and
    # 97.5 % within the ones; 30 % and 70 % both lie within the halves
    assert bootstrap_interval([[0, 1]]) == (0.0, 1.0)
    assert bootstrap_interval([[0, 1]], level=0.4) == (0.5, 0.5)
    assert bootstrap_interval([[3, 3, 3]]) == (3.0, 3.0)


def test_bootstrap_of_a_known_spread():
    # 400 values, half of them 0 and half 2: mean 1, standard deviation 1, standard error 1 / sqrt(400) = 0.05
    low, high = bootstrap_interval([[0, 2] * 200], draws=20_000)
    assert (low, high) == (pytest.approx(1 - 1.96 * 0.05, abs=0.01), pytest.approx(1 + 1.96 * 0.05, abs=0.01))


def test_fixed_strata_keep_their_share_and_drawn_ones_do_not():
    # one value a stratum: nothing can vary while both strata are there; drawn, both may be the first or both the second
    assert bootstrap_interval([[0], [10]]) == (5.0, 5.0)
    assert bootstrap_interval([[0], [10]], resample_strata=True) == (0.0, 10.0)
    assert bootstrap_interval([[0], [10]], resample_strata=True, level=0.4) == (5.0, 5.0)
    # strata of unequal length, each constant: the mean of all four values, (0 + 6 + 6 + 6) / 4
    assert bootstrap_interval([[0], [6, 6, 6]]) == (4.5, 4.5)


def test_drawing_seeds_first_widens_the_interval_by_what_seeds_differ():
    # seeds at 0.2 and 0.8 of 50 episodes: episodes alone give a standard error of 0.4 / sqrt(100) = 0.04, so about
    # 0.5 +- 0.08; with the seeds drawn, a quarter of the resamples holds the worse one twice and stays near 0.2
    runs = [[1] * 10 + [0] * 40, [1] * 40 + [0] * 10]
    low, high = bootstrap_interval(runs)
    assert (low, high) == (pytest.approx(0.42, abs=0.02), pytest.approx(0.58, abs=0.02))
    low, high = bootstrap_interval(runs, resample_strata=True)
    assert 0.1 < low < 0.2 and 0.8 < high < 0.9


def test_bootstrap_is_seeded_and_takes_a_statistic():
    values = np.random.default_rng(1).normal(size=12)
    assert bootstrap_interval([values], iqm) == bootstrap_interval([values], iqm)
    assert bootstrap_interval([values], iqm) != bootstrap_interval([values], iqm, seed=1)
    # one value far out moves the mean's upper end, not the interquartile mean's: more than 3 of 12 draws would have to
    # hit it
    outlier = [0.0] * 11 + [120.0]
    assert bootstrap_interval([outlier], mean)[1] >= 20 and bootstrap_interval([outlier], iqm)[1] == 0.0


@pytest.mark.parametrize(
    ("strata", "options", "words"),
    [
        ([], {}, "at least one value"),
        ([[1], []], {}, "at least one value"),
        ([[1], [1, 2]], {"resample_strata": True}, "equally long"),
    ],
)
def test_a_bootstrap_of_nothing_is_refused(strata, options, words):
    with pytest.raises(ValueError, match=words):
        bootstrap_interval(strata, **options)
