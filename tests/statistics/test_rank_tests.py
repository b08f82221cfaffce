"""Networks across data sets: against the worked example of Demsar 2006, scipy, scikit-posthocs and baycomp."""

from __future__ import annotations

from itertools import permutations, product
from typing import Any

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import friedmanchisquare

from rgbench.comparison.shared_sources import SetSources, Shared, distinct_sets, set_names, shared_sources
from rgbench.data.catalogue import Catalogue
from rgbench.errors import SpecError
from rgbench.spec import RunSpec, Study, resolve
from rgbench.statistics import rank_tests as ours

# Ranks of C4.5, with m, with cf, with both, on 14 data sets: Demsar 2006, table 6.
DEMSAR = np.array(
    """4 3 2 1;1 2 3 4;4 1 2 3;4 1 3 2;4 2 3 1;1 2.5 4 2.5;3 2 4 1;2.5 2.5 4 1;4 3 2 1;2.5 2.5 2.5 2.5;
    4 2.5 1 2.5;3 2 4 1;4 1 2 3;3 1 4 2""".replace(";", " ").split(),
    dtype=float,
).reshape(14, 4)
tables = st.tuples(st.integers(2, 8), st.integers(3, 6)).flatmap(
    lambda shape: arrays(np.float64, shape, elements=st.integers(0, 12).map(lambda i: i / 12))
)
sets = arrays(np.float64, st.integers(1, 8), elements=st.integers(-40, 40).map(lambda i: i / 200))


def test_friedman_on_demsars_example():
    """His statistics have no correction for ties: 9.28 and 3.69."""
    test = ours.friedman(DEMSAR, higher_is_better=False)
    assert test.ranks == pytest.approx([3.143, 2.000, 2.893, 1.964], abs=5e-4)
    plain = test.statistic * np.sum((DEMSAR - 2.5) ** 2) / (14 * 5)
    assert round(plain, 2) == 9.28
    assert round(13 * plain / (14 * 3 - plain), 2) == 3.69
    assert test.statistic == pytest.approx(friedmanchisquare(*DEMSAR.T).statistic)
    assert round(test.p_value, 3) == 0.017


def test_nemenyi_on_demsars_example():
    test = ours.nemenyi(DEMSAR, higher_is_better=False)
    assert test.critical_difference == pytest.approx(1.25, abs=0.005)
    # At 0.05 "the experimental data is not sufficient to reach any conclusion": all pairs lie closer than 1.25.
    assert test.groups == ((3, 1, 2, 0),)
    test = ours.nemenyi(DEMSAR, 0.1, higher_is_better=False)
    assert test.critical_difference == pytest.approx(1.12, abs=0.005)
    assert test.groups == ((3, 1, 2), (2, 0))
    assert np.sum(test.p_values < 0.1) == 4


@pytest.mark.parametrize(
    ("alpha", "quantiles"),
    [
        (0.05, (1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164)),
        (0.10, (1.645, 2.052, 2.291, 2.459, 2.589, 2.693, 2.780, 2.855, 2.920)),
    ],
)
def test_critical_values_are_those_of_demsars_table(alpha, quantiles):
    for k, q in enumerate(quantiles, start=2):
        scores = np.tile(np.arange(k, dtype=float), (10, 1))
        own = ours.nemenyi(scores, alpha).critical_difference / np.sqrt(k * (k + 1) / 60)
        assert own == pytest.approx(q, abs=0.0015)


def test_nemenyi_agrees_with_scikit_posthocs():
    """Numbers of posthoc_nemenyi_friedman, scikit-posthocs 0.17.1."""
    scores = np.random.default_rng(0).random((9, 5)) + np.linspace(0, 0.5, 5)
    theirs = [
        [1, 0.998282393191, 0.471800388286, 0.5685283486, 0.009195811159],
        [0.998282393191, 1, 0.665069990445, 0.755716114926, 0.023982780924],
        [0.471800388286, 0.665069990445, 1, 0.999889271325, 0.471800388286],
        [0.5685283486, 0.755716114926, 0.999889271325, 1, 0.380024655893],
        [0.009195811159, 0.023982780924, 0.471800388286, 0.380024655893, 1],
    ]
    assert ours.nemenyi(scores).p_values == pytest.approx(np.array(theirs), abs=1e-6)


def test_friedman_and_nemenyi_agree_with_autorank():
    """Numbers of autorank 1.3.0 (Herbold 2020), force_mode nonparametric."""
    scores = np.random.default_rng(0).random((12, 4)) + np.linspace(0, 0.5, 4)
    test, pairs = ours.friedman(scores), ours.nemenyi(scores)
    assert sorted(test.ranks) == pytest.approx([2.0, 2.083333333, 2.75, 3.166666667])
    assert test.p_value == pytest.approx(0.08210005961379778)
    assert pairs.critical_difference == pytest.approx(1.3539901117469855, abs=1e-4)
    assert ours.friedman(DEMSAR, higher_is_better=False).p_value == pytest.approx(0.016721580328441323)
    test = ours.nemenyi(DEMSAR, higher_is_better=False)
    assert test.critical_difference == pytest.approx(1.2535512603486423, abs=1e-4)


# Friedman 1937, J. Am. Stat. Assoc. 32, 675, tables V and VI, and Siegel 1956, table N: exact tail areas.
@pytest.mark.parametrize(
    ("rows", "statistic", "p_value"),
    [
        ("123 123 123", 6.0, 0.028),
        ("123 123 213", 4.667, 0.194),
        ("123 123 123 123", 8.0, 0.0046),
        ("123 123 123 132", 6.5, 0.042),
        ("1234 1234", 6.0, 0.042),
    ],
)
def test_permutations_of_few_data_sets_have_the_exact_tail(rows, statistic, p_value):
    ranks = np.array([[float(rank) for rank in row] for row in rows.split()])
    assert ours.friedman(ranks, higher_is_better=False).statistic == pytest.approx(statistic, abs=5e-4)
    found = ours.friedman_permutation(ranks, np.random.default_rng(0), higher_is_better=False)
    assert found == pytest.approx(p_value, abs=6e-4 + 4 * np.sqrt(p_value / 20_000))


def test_permutations_with_ties_equal_those_by_brute_force():
    scores = np.array([[0.9, 0.9, 0.5], [0.7, 0.6, 0.6], [0.8, 0.3, 0.4]])
    observed = friedmanchisquare(*scores.T).statistic
    orders = product(*(permutations(row) for row in scores))
    all_of = [friedmanchisquare(*np.array(order).T).statistic for order in orders]
    exact = np.mean(np.array(all_of) >= observed - 1e-9)
    found = ours.friedman_permutation(scores, np.random.default_rng(1))
    assert found == pytest.approx(exact, abs=4 * np.sqrt(0.25 / 20_000))
    assert ours.friedman_permutation(scores, np.random.default_rng(1), draws=99) >= 1 / 100


@pytest.mark.parametrize("k", [2, 3, 5, 9])
@pytest.mark.parametrize("far", [False, True])
def test_so_many_data_sets_are_needed_and_one_fewer_is_not_enough(k, far):
    difference = k - 1 if far else 1
    n = ours.sets_needed(k, difference)
    enough = ours.nemenyi(np.tile(-np.arange(k, dtype=float), (max(n, 2), 1)))
    assert enough.critical_difference <= difference
    if n > 2:
        fewer = ours.nemenyi(np.tile(-np.arange(k, dtype=float), (n - 1, 1)))
        assert fewer.critical_difference > difference


# What data sets share


def catalogue(ra: list[float], dec: list[float]) -> Catalogue:
    n = len(ra)
    zero = np.zeros(n, np.int64)
    return Catalogue(
        np.arange(n).astype(str), np.array(ra), np.array(dec), zero, zero, zero.astype(str), zero
    )


def test_shared_sources_are_counted_by_astropy_s_separations():
    rng = np.random.default_rng(3)
    ra, dec = rng.uniform(0, 360, 40), rng.uniform(-80, 80, 40)
    moved = dec + np.where(np.arange(40) < 12, 9, 11) / 3600
    first, second = (catalogue(list(ra), list(each)) for each in (dec, moved))
    near = SkyCoord(ra, dec, unit="deg").separation(SkyCoord(ra, moved, unit="deg")).arcsec < 10
    (found,) = shared_sources(
        [
            SetSources("a", first, first.take(np.arange(10, 20))),
            SetSources("b", second, second.take(np.arange(8, 14))),
        ]
    )
    assert (found.first, found.second, found.all) == ("a", "b", near.sum())
    assert found.tested == near[10:14].sum() == 2


def test_without_positions_nothing_is_said_to_be_shared():
    known, unknown = catalogue([1.0], [2.0]), catalogue([np.nan], [np.nan])
    sets = [SetSources("a", known, known), SetSources("b", unknown, unknown)]
    sets.append(SetSources("c", None, None))
    assert [(each.tested, each.all) for each in shared_sources(sets)] == [(None, None)] * 3
    assert distinct_sets(["a", "b", "c"], shared_sources(sets)) == 3


def test_data_sets_linked_by_test_sources_count_as_one():
    links = [("a", "b", 3), ("b", "c", 1), ("d", "e", 0)]
    shared = [Shared(first, second, n, n) for first, second, n in links]
    assert distinct_sets("abcde", shared) == 3


def spec(name: str, **more: Any) -> RunSpec:
    """Give a run's spec; `more` are keys of the data, and the protocol."""
    protocol = more.pop("protocol", "modern")
    data = {"name": name, **({"split": "becker2021"} if protocol == "becker2021" else {}), **more}
    study = Study(name="s", networks=("mcrgnet",), seeds=(1,), protocol=protocol, data=data)
    return resolve(study, "0" * 64)[0]


def test_settings_are_named_by_what_tells_them_apart():
    assert set_names([spec("mirabest-f"), spec("lrg")]) == ["mirabest-f", "lrg"]
    crossed = [spec("lrg"), spec("lrg", test="mirabest-f"), spec("lrg", protocol="becker2021")]
    assert set_names(crossed) == ["lrg, modern", "lrg, tested on mirabest-f", "lrg, becker2021"]
    splits = [spec("lrg", split="fold-0"), spec("lrg", split="published"), spec("lrg", split="published")]
    names = set_names(splits)
    assert names == ["lrg, folds", "lrg, published split", "lrg, published split, no. 2"]


@given(tables)
@settings(max_examples=60, deadline=None)
def test_friedman_agrees_with_scipy_and_ignores_order(scores):
    test = ours.friedman(scores)
    if all(len(set(row)) == 1 for row in scores):
        assert (test.statistic, test.p_value) == (0, 1)
        return
    theirs = friedmanchisquare(*scores.T)
    assert test.statistic == pytest.approx(theirs.statistic, abs=1e-9)
    assert test.p_value == pytest.approx(theirs.pvalue)
    assert 0 <= test.f_p_value <= 1
    rng = np.random.default_rng(0)
    rows, columns = rng.permutation(len(scores)), rng.permutation(scores.shape[1])
    other = ours.friedman(scores[rows][:, columns])
    assert other.ranks == pytest.approx(test.ranks[columns])
    assert other.f_p_value == pytest.approx(test.f_p_value, abs=1e-12)
    assert ours.friedman(-scores, higher_is_better=False).statistic == pytest.approx(test.statistic)


def test_one_order_on_all_sets_leaves_no_doubt():
    test = ours.friedman(np.tile([0.9, 0.8, 0.7], (5, 1)))
    assert (test.statistic, test.f_statistic, test.f_p_value) == (10, np.inf, 0)


def test_f_test_keeps_its_level():
    rng, cases = np.random.default_rng(2), 2000
    rejected = np.mean([ours.friedman(rng.random((8, 5))).f_p_value < 0.05 for _ in range(cases)])
    assert rejected == pytest.approx(0.05, abs=0.02)


@pytest.mark.parametrize(
    ("rope", "theirs"), [(0.01, (0.00786, 0.04058, 0.95156)), (0.05, (0.0, 0.978775, 0.021225))]
)
def test_signed_rank_agrees_with_baycomp(rope, theirs):
    """Numbers of baycomp 1.0.3, SignedRankTest.probs with 400,000 draws."""
    d = np.array([0.02, 0.05, -0.03, 0.06, 0.01, 0.08, -0.01, 0.03])
    found = ours.signed_rank(d, np.random.default_rng(0), rope, draws=20_000)
    assert (found.left, found.rope, found.right) == pytest.approx(theirs, abs=4 * np.sqrt(0.05 / 20_000))


@pytest.mark.parametrize("prior", [0.5, 2.0])
def test_signed_rank_of_one_data_set_by_hand(prior):
    """The region has the square of the prior's share w, Beta(prior, 1): most where w exceeds sqrt(1/2)."""
    found = ours.signed_rank(np.array([0.1]), np.random.default_rng(0), 0.01, prior, draws=20_000)
    assert found.rope == pytest.approx(1 - 0.5 ** (prior / 2), abs=4 * np.sqrt(0.25 / 20_000))
    assert found.left == 0


@given(sets, st.sampled_from([0.0, 0.005, 0.02]))
@settings(max_examples=40, deadline=None)
def test_swapping_networks_turns_the_chances(d, rope):
    found = ours.signed_rank(d, np.random.default_rng(0), rope, draws=500)
    turned = ours.signed_rank(-d, np.random.default_rng(0), rope, draws=500)
    assert (turned.right, turned.rope, turned.left) == pytest.approx((found.left, found.rope, found.right))
    assert found.left + found.rope + found.right == pytest.approx(1)
    assert min(found.left, found.rope, found.right) >= 0


def test_signed_rank_is_drawn_from_the_generator_that_is_given():
    d = np.array([0.02, -0.01, 0.03])
    found = [ours.signed_rank(d, np.random.default_rng(seed), draws=2000) for seed in (0, 0, 1)]
    assert found[0] == found[1]
    assert found[0] != found[2]


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(SpecError, match=r"3 or more networks.*\(5, 2\)"):
        ours.friedman(np.ones((5, 2)))
    with pytest.raises(SpecError, match="found 3, 0 and 0.05"):
        ours.sets_needed(3, 0)
    with pytest.raises(SpecError, match=r"3 or more networks.*\(5, 2\)"):
        ours.friedman_permutation(np.ones((5, 2)), np.random.default_rng(0))
    with pytest.raises(SpecError, match="finite"):
        ours.nemenyi(np.array([[1.0, np.nan], [1.0, 2.0]]))
    with pytest.raises(SpecError, match="alpha: found 5"):
        ours.nemenyi(DEMSAR, 5)
    with pytest.raises(SpecError, match=r"found shape \(0,\)"):
        ours.signed_rank(np.zeros(0), np.random.default_rng(0))
    with pytest.raises(SpecError, match="found -1 and 0.5"):
        ours.signed_rank(np.zeros(3), np.random.default_rng(0), rope=-1)
