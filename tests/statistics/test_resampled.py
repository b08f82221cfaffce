"""Folds: against baycomp, formulas written anew, and simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import norm, t, ttest_1samp

from rgbench.errors import SpecError
from rgbench.statistics import resampled as ours
from rgbench.statistics.significance import mpca_difference_interval

DIFFERENCES = np.array([0.02, 0.03, -0.01, 0.04, 0.05, 0.01, 0.0, 0.03, 0.02, 0.04])
differences = arrays(np.float64, st.integers(2, 12), elements=st.floats(-1, 1).map(lambda x: round(x, 6)))


# Folds


def test_corrected_t_by_the_formula():
    test = ours.corrected_t(DIFFERENCES, test_share=0.1)
    variance = (1 / 10 + 1 / 9) * np.var(DIFFERENCES, ddof=1)
    assert test.statistic == pytest.approx(DIFFERENCES.mean() / np.sqrt(variance))
    assert test.p_value == pytest.approx(2 * t.sf(abs(test.statistic), 9))
    assert test.degrees == 9


def test_without_shared_training_sources_the_corrected_t_is_students():
    test = ours.corrected_t(DIFFERENCES, test_share=1e-12)
    theirs = ttest_1samp(DIFFERENCES, 0)
    assert test.statistic == pytest.approx(theirs.statistic)
    assert test.p_value == pytest.approx(theirs.pvalue)
    assert (test.interval.low, test.interval.high) == pytest.approx(tuple(theirs.confidence_interval(0.95)))


def test_corrected_t_keeps_its_level_where_students_does_not():
    """Differences of folds that share a part, with correlation 0.2, as five folds have by the assumption."""
    rng, rho, cases = np.random.default_rng(0), 0.2, 3000
    d = np.sqrt(rho) * rng.normal(size=(cases, 1)) + np.sqrt(1 - rho) * rng.normal(size=(cases, 10))
    ours_rejects = np.mean([ours.corrected_t(own, rho).p_value < 0.05 for own in d])
    theirs = np.mean(ttest_1samp(d, 0, axis=1).pvalue < 0.05)
    assert ours_rejects == pytest.approx(0.05, abs=4 * np.sqrt(0.05 * 0.95 / cases))
    assert theirs > 0.15


def test_seeds_of_a_fold_are_averaged_not_counted():
    seeds = np.stack([DIFFERENCES - 0.01, DIFFERENCES + 0.01])
    assert ours.corrected_t(seeds, 0.1).statistic == pytest.approx(
        ours.corrected_t(DIFFERENCES, 0.1).statistic
    )
    assert ours.correlated_t(seeds, 0.1).right == pytest.approx(ours.correlated_t(DIFFERENCES, 0.1).right)


@pytest.mark.parametrize(
    ("rope", "repeats", "theirs"),
    [
        (0.005, 1, (0.005187903385891019, 0.028753096741922057, 0.9660589998721869)),
        (0.005, 2, (0.016763196246761813, 0.05405180658801001, 0.9291849971652282)),
        (0.01, 1, (0.002098969012139471, 0.08206133109542191, 0.9158396998924386)),
        (0.01, 2, (0.008063429121188138, 0.12920283687633505, 0.8627337340024768)),
        (0.1, 1, (9.21089465660297e-08, 0.9999951162809363, 4.791610117127476e-06)),
    ],
)
def test_correlated_t_agrees_with_baycomp(rope, repeats, theirs):
    """Numbers of baycomp 1.0.3, two_on_single of ten folds' differences, in one or two repeats."""
    found = ours.correlated_t(DIFFERENCES, repeats / len(DIFFERENCES), rope)
    assert (found.left, found.rope, found.right) == pytest.approx(theirs)


@pytest.mark.parametrize(("repeats", "left"), [(1, 0.013225505180762931), (2, 0.034821411628462196)])
def test_corrected_t_agrees_with_baycomp(repeats, left):
    """Without a region baycomp 1.0.3 gives the tail of the same Student's t: half the two-sided p-value."""
    test = ours.corrected_t(DIFFERENCES, repeats / len(DIFFERENCES))
    assert test.p_value == pytest.approx(2 * left)


@given(differences, st.floats(0.05, 0.5), st.floats(0, 0.2))
@settings(max_examples=80, deadline=None)
def test_swapping_networks_turns_the_tests_over_folds(d, share, rope):
    test, turned = ours.corrected_t(d, share), ours.corrected_t(-d, share)
    assert turned.statistic == pytest.approx(-test.statistic)
    assert turned.p_value == pytest.approx(test.p_value)
    assert 0 <= test.p_value <= 1
    assert (-turned.interval.high, -turned.interval.low) == pytest.approx(
        (test.interval.low, test.interval.high)
    )
    chances, mirrored = ours.correlated_t(d, share, rope), ours.correlated_t(-d, share, rope)
    assert (mirrored.right, mirrored.rope, mirrored.left) == pytest.approx(
        (chances.left, chances.rope, chances.right), abs=1e-9
    )
    assert chances.left + chances.rope + chances.right == pytest.approx(1)
    # A tail area of the posterior is half the p-value of the test: the two share their Student's t.
    if test.statistic > 0 and np.isfinite(test.statistic):
        assert ours.correlated_t(d, share, 0).left == pytest.approx(test.p_value / 2)


def test_equal_differences_leave_no_doubt():
    test = ours.corrected_t(np.full(5, 0.1), 0.2)
    assert (test.statistic, test.p_value) == (np.inf, 0)
    assert ours.corrected_t(np.zeros(5), 0.2).p_value == 1
    assert ours.correlated_t(np.full(5, 0.1), 0.2, 0.01).right == 1
    assert ours.correlated_t(np.full(5, 0.1), 0.2, 0.2).rope == 1


def test_what_rounding_leaves_is_no_difference():
    """Means of equal scores in another order differ in their last digit."""
    noise = (0.7 + 0.8 + 0.9) / 3 - (0.9 + 0.8 + 0.7) / 3
    assert noise != 0
    test = ours.corrected_t(np.full(5, noise), 0.2)
    assert (test.statistic, test.p_value) == (0, 1)
    test = ours.corrected_t(np.array([1 / 3 + noise, -1 / 3]), 0.2)
    assert (test.interval.value, test.statistic, test.p_value) == (0, 0, 1)
    assert ours.corrected_t(np.array([0.1, 0.1 + noise]), 0.2).statistic == np.inf


def test_the_interval_ends_where_no_difference_can_be_larger():
    """Two splits leave one degree of freedom, and t is 12.7."""
    d = np.array([0.1, -0.2])
    free, ended = ours.corrected_t(d, 0.2), ours.corrected_t(d, 0.2, most=1.0)
    half = 12.706 * np.sqrt(0.045) * np.sqrt(1 / 2 + 0.2 / 0.8)
    assert (free.interval.low, free.interval.high) == pytest.approx((-0.05 - half, -0.05 + half), rel=1e-4)
    assert (ended.interval.low, ended.interval.high) == (-1, 1)
    assert (ended.statistic, ended.p_value) == (free.statistic, free.p_value)


# Refusals


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(SpecError, match="2 or more splits"):
        ours.corrected_t(np.array([0.1]), 0.2)
    with pytest.raises(SpecError, match="2 or more splits"):
        ours.corrected_t(np.array([0.1, np.nan]), 0.2)
    with pytest.raises(SpecError, match="test_share: found 1"):
        ours.correlated_t(DIFFERENCES, 1)
    with pytest.raises(SpecError, match="rope: found -0.1"):
        ours.correlated_t(DIFFERENCES, 0.2, -0.1)
    with pytest.raises(SpecError, match="confidence: found 95"):
        ours.corrected_t(DIFFERENCES, 0.2, 95)


def test_many_intervals_at_once_are_those_one_by_one():
    rng = np.random.default_rng(3)
    cases = []
    for k, n in ((4, 200), (1, 50), (4, 90), (3, 60), (1, 50)):
        y = np.arange(n) % k
        cases.append((y, rng.integers(-3, 4, n) / 3 * (rng.random(n) < 0.4)))
    z = norm.ppf([0.84, 0.95])
    for case, (low, high, mean) in zip(cases, ours.source_ends(cases, z), strict=True):
        for level, quantile in enumerate(z):
            [(own_low, own_high, own_mean)] = ours.source_ends([case], np.array([quantile]))
            alone = (own_low[0], own_high[0], own_mean)
            assert (low[level], high[level], mean) == pytest.approx(alone, abs=1e-12)
    assert ours.source_ends([], z) == []


def test_ends_of_a_single_run_are_those_of_the_score_interval():
    rng, y = np.random.default_rng(5), np.arange(120) % 3
    first, second = rng.random(120) < 0.9, rng.random(120) < 0.7
    span = mpca_difference_interval(y, first, second, 0.9)
    [(low, high, mean)] = ours.source_ends([(y, first - 1.0 * second)], np.array([norm.ppf(0.95)]))
    assert (low[0], high[0], mean) == pytest.approx((span.low, span.high, span.value), abs=1e-12)
