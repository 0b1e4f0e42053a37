"""Intervals and paired tests against values from the literature and by hand."""

import pytest

from robot.stats import mcnemar, rate, wilson


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
