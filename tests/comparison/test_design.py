"""How recognition goes with the design of networks: against scipy, and what a few networks can never show."""

from __future__ import annotations

from itertools import permutations
from math import factorial, isnan

import numpy as np
import pytest
from scipy.stats import kendalltau

from rgbench.comparison.design import relation


@pytest.mark.parametrize("n", [3, 4, 5, 6, 7])
def test_tau_and_its_exact_chance_are_scipy_s(n):
    x, y = np.random.default_rng(n).random((2, n))
    found, theirs = relation(x, y), kendalltau(x, y, method="exact")
    assert found.n == n
    assert found.tau == pytest.approx(theirs.statistic)
    assert found.p_value == pytest.approx(theirs.pvalue)
    assert found.least == pytest.approx(min(1.0, 2 / factorial(n)))


def test_many_networks_are_tested_by_orders_drawn_at_random():
    x = np.arange(10.0)
    y = x + np.random.default_rng(1).normal(0, 4, 10)
    found, theirs = relation(x, y), kendalltau(x, y, method="exact")
    assert found.p_value == pytest.approx(theirs.pvalue, abs=0.01)
    assert found.low < found.tau < found.high


def test_three_networks_in_order_show_nothing():
    found = relation([9, 63, 333], [0.7, 0.8, 0.9])
    assert found.tau == pytest.approx(1)
    assert found.p_value == found.least == pytest.approx(1 / 3)
    assert isnan(found.low)


@pytest.mark.parametrize("values", [[1.0, 2.0], [3.0, 3.0, 3.0], []])
def test_too_few_networks_or_equal_ones_have_no_relation(values):
    found = relation(values, np.arange(len(values)))
    assert isnan(found.tau)
    assert isnan(found.p_value)


TIED = {
    "three with two fields": ([1, 1, 2], [0.1, 0.2, 0.3]),
    "a field alone": ([9, 9, 9, 63], [0.7, 0.8, 0.75, 0.9]),
    "two and two": ([1, 1, 2, 2], [0.1, 0.2, 0.3, 0.4]),
    "scores alike too": ([1, 1, 2, 2, 3], [0.1, 0.1, 0.1, 0.3, 0.3]),
    "further against than with": ([1, 1, 2], [0.1, 0.2, 0.2]),
    "seven": ([8, 8, 16, 16, 32, 32, 32], [0.5, 0.5, 0.5, 0.6, 0.7, 0.7, 0.8]),
    "eight": ([8, 8, 8, 8, 8, 16, 16, 32], [0.5, 0.5, 0.6, 0.6, 0.7, 0.7, 0.7, 0.8]),
}


def least(x, y):
    """The smallest share of all orders that are as far from none, counted one by one."""
    found = []
    for order in permutations(y):
        pairs = [(i, j) for j in range(len(x)) for i in range(j)]
        found.append(abs(sum(np.sign(x[i] - x[j]) * np.sign(order[i] - order[j]) for i, j in pairs)))
    return found.count(max(found)) / len(found)


@pytest.mark.parametrize("name", TIED)
def test_networks_that_are_alike_have_fewer_orders(name):
    x, y = TIED[name]
    assert relation(x, y).least == pytest.approx(least(x, y))


def test_six_networks_with_one_larger_field_can_never_show_anything():
    found = relation([9, 9, 9, 9, 9, 63], [0.7, 0.71, 0.72, 0.73, 0.74, 0.9])
    assert found.p_value == found.least == pytest.approx(1 / 3)


@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_the_interval_holds_the_truth_about_as_often_as_it_says(confidence, monkeypatch):
    """Of pairs from a normal distribution with correlation r, tau is 2 / pi times arcsin r."""
    monkeypatch.setattr("rgbench.comparison.design._DRAWS", 10)  # for p-values, which nobody asks for here
    rng, r = np.random.default_rng(3), 0.6
    truth, drawn = 2 / np.pi * np.arcsin(r), rng.multivariate_normal([0, 0], [[1, r], [r, 1]], (1000, 14))
    found = [relation(*study.T, confidence) for study in drawn]
    assert np.mean([each.low < truth < each.high for each in found]) == pytest.approx(confidence, abs=0.03)
