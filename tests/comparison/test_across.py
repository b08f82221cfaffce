"""Networks across data sets: against the worked example of Demsar 2006, scipy, scikit-posthocs and baycomp."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import friedmanchisquare

from rgbench.comparison import across as ours
from rgbench.errors import SpecError

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
    assert test.words.startswith("4 networks on 14 data sets: Friedman's test, p = 0.017 (Iman")


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
    posthocs = pytest.importorskip("scikit_posthocs", reason="scikit-posthocs is not installed")
    scores = np.random.default_rng(0).random((9, 5)) + np.linspace(0, 0.5, 5)
    theirs = posthocs.posthoc_nemenyi_friedman(scores).to_numpy()
    assert ours.nemenyi(scores).p_values == pytest.approx(theirs, abs=1e-6)


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


@pytest.mark.parametrize("rope", [0.01, 0.05])
def test_signed_rank_agrees_with_baycomp(rope):
    baycomp = pytest.importorskip("baycomp", reason="baycomp is not installed")
    d = np.array([0.02, 0.05, -0.03, 0.06, 0.01, 0.08, -0.01, 0.03])
    found = ours.signed_rank(d, np.random.default_rng(0), rope, draws=20_000)
    theirs = baycomp.SignedRankTest.probs(np.zeros(8), d, rope, nsamples=5000, random_state=1)
    assert (found.left, found.rope, found.right) == pytest.approx(theirs, abs=4 * np.sqrt(0.25 / 5000))


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
    with pytest.raises(SpecError, match="finite"):
        ours.nemenyi(np.array([[1.0, np.nan], [1.0, 2.0]]))
    with pytest.raises(SpecError, match="alpha: found 5"):
        ours.nemenyi(DEMSAR, 5)
    with pytest.raises(SpecError, match=r"found shape \(0,\)"):
        ours.signed_rank(np.zeros(0), np.random.default_rng(0))
    with pytest.raises(SpecError, match="found -1 and 0.5"):
        ours.signed_rank(np.zeros(3), np.random.default_rng(0), rope=-1)
