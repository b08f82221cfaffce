"""Rankings: places, fronts, intervals and letters, against brute force."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kendalltau

from rgbench.comparison.ranking import (
    default_weights,
    first_shares,
    kendall_distance,
    measures,
    pareto_front,
    parse_weights,
    rank_intervals,
    rank_networks,
    tie_groups,
)
from rgbench.errors import SpecError


def test_the_default_is_the_four_measures_of_2021_in_equal_parts():
    assert set(default_weights()) == {"mpca", "inference_images_per_second", "parameters", "macs"}
    measured = {
        "good": {"mpca": 0.9, "inference_images_per_second": 10, "parameters": 9e6, "macs": 9e9},
        "lean": {"mpca": 0.8, "inference_images_per_second": 99, "parameters": 1e4, "macs": 1e6},
        "poor": {"mpca": 0.7, "inference_images_per_second": 50, "parameters": 1e5, "macs": 1e7},
        "failed": {"parameters": 1e5, "macs": 1e7},
    }
    places = rank_networks(measured)
    assert [place.network for place in places] == ["lean", "poor", "good", "failed"]
    assert [place.score for place in places[:3]] == [1.25, 2.25, 2.5]
    assert places[0].ranks == {"mpca": 2, "inference_images_per_second": 1, "parameters": 1, "macs": 1}
    assert np.isnan(places[-1].score)
    assert [p.network for p in rank_networks(measured, {"mpca": 1.0})] == ["good", "lean", "poor", "failed"]
    with pytest.raises(SpecError, match="weights of the ranking"):
        rank_networks(measured, {"mpca": -1.0})
    with pytest.raises(SpecError, match="found the measure 'stride'; legal are mpca, accuracy"):
        rank_networks(measured, {"mpca": 1.0, "stride": 1.0})


def test_weights_are_read_as_they_are_written():
    assert parse_weights(" mpca=3,inference_images_per_second = 1 ") == {
        "mpca": 3,
        "inference_images_per_second": 1,
    }
    assert parse_weights(",".join(f"{name}=1" for name in measures())) == dict.fromkeys(measures(), 1)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("mcpa=3", "the measure 'mcpa'; legal are mpca, accuracy.*peak_memory_mb"),
        ("mpca", "found 'mpca'; legal is measure=weight"),
        ("", "found ''; legal is measure=weight"),
        ("mpca=1,mpca=2", "'mpca' twice"),
        ("mpca=much", "mpca: found 'much'; legal is a number"),
        ("mpca=0,macs=0", "nor all be 0"),
        ("mpca=nan", "none may be below 0"),
        ("mpca=-1,macs=3", "none may be below 0"),
    ],
)
def test_weights_that_are_none_are_refused(text, words):
    with pytest.raises(SpecError, match=words):
        parse_weights(text)


@pytest.mark.parametrize("name", [name for name in measures() if name != "macs"])
def test_every_measure_has_its_better_side(name):
    better = {"mpca", "accuracy", "macro_f1", "macro_f1_2021", "mcc"}
    better |= {"inference_images_per_second", "training_images_per_second"}
    places = rank_networks({"low": {name: 1.0}, "high": {name: 2.0}}, {name: 1.0})
    assert places[0].network == ("high" if name in better else "low")


def test_the_share_of_weightings_by_hand():
    """Ranks (1, 3), (2, 1) and (3, 2): the first leads where its weight w has 3 - 2 w < 1 + w, w > 2/3."""
    measured = {
        "good": {"mpca": 0.9, "macs": 9.0},
        "lean": {"mpca": 0.8, "macs": 1.0},
        "poor": {"mpca": 0.7, "macs": 2.0},
        "failed": {"macs": 1.0},
    }
    found = first_shares(measured, ["mpca", "macs"], np.random.default_rng(0), 20_000)
    assert found["good"] == pytest.approx(1 / 3, abs=4 * np.sqrt(0.25 / 20_000))
    assert found["lean"] == pytest.approx(2 / 3, abs=4 * np.sqrt(0.25 / 20_000))
    assert (found["poor"], found["failed"]) == (0, 0)


@given(st.permutations("abcdefg"))
def test_kendalls_distance_is_that_of_scipys_tau(order):
    tau = kendalltau(range(7), ["abcdefg".index(name) for name in order]).statistic
    assert kendall_distance("abcdefg", order) == pytest.approx(21 * (1 - tau) / 2)


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=12))
def test_the_front_is_that_of_brute_force(points):
    gains, costs = np.array(points, dtype=float).T
    expected = [
        not any(g2 >= g and c2 <= c and (g2 > g or c2 < c) for j, (g2, c2) in enumerate(points) if j != i)
        for i, (g, c) in enumerate(points)
    ]
    assert pareto_front(gains, costs).tolist() == expected


def test_a_network_without_a_value_is_not_on_the_front():
    assert pareto_front(np.array([0.9, np.nan, 0.8]), np.array([5.0, 1.0, np.nan])).tolist() == [
        True,
        False,
        False,
    ]


@given(st.integers(1, 6), st.sets(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=15))
def test_names_share_a_letter_exactly_if_they_are_not_told_apart(n, pairs):
    names = [f"n{i}" for i in range(n)]
    separable = {(f"n{min(p)}", f"n{max(p)}") for p in pairs if p[0] != p[1] and max(p) < n}
    letters = tie_groups(names, sorted(separable))
    for pair in combinations(names, 2):
        shared = set(letters[pair[0]]) & set(letters[pair[1]])
        assert bool(shared) == (pair not in separable)
    assert "a" in letters["n0"]


def test_rank_intervals_and_the_chance_to_be_best():
    generator = np.random.default_rng(1)
    common = generator.normal(0, 0.05, 4000)
    resamples = {
        "a": 0.80 + common,
        "b": 0.79 + common + generator.normal(0, 0.01, 4000),
        "c": 0.60 + common,
    }
    found = rank_intervals({"a": 0.80, "b": 0.79, "c": 0.60}, resamples, [("a", "c"), ("b", "c")])
    assert [(each.network, each.low, each.high) for each in found] == [("a", 1, 2), ("b", 1, 2), ("c", 3, 3)]
    assert found[0].best == pytest.approx(0.841, abs=0.02), "P(normal < 1)"
    assert sum(each.best for each in found) == pytest.approx(1)
    assert [each.group for each in found] == ["a", "a", "b"]


def test_equal_networks_share_the_chance():
    same = np.random.default_rng(2).normal(size=100)
    found = rank_intervals({"a": 0.5, "b": 0.5}, {"a": same, "b": same})
    assert [each.best for each in found] == [0.5, 0.5]
    assert [each.rank for each in found] == [1.5, 1.5]


def test_ranks_have_no_interval_where_a_resample_has_no_value():
    draws = {"a": np.array([0.9, np.nan, 0.8]), "b": np.array([0.1, 0.2, 0.3])}
    found = rank_intervals({"a": 0.9, "b": 0.2}, draws)
    assert [(each.rank, each.group) for each in found] == [(1, "a"), (2, "a")]
    assert all(np.isnan([each.low, each.high, each.best]).all() for each in found)
