"""Seeds and folds: against baycomp, formulas written anew, and simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import norm, t, ttest_1samp

from rgbench.errors import SpecError
from rgbench.statistics import resampled as ours
from rgbench.statistics.significance import class_weights, mpca_difference_interval

DIFFERENCES = np.array([0.02, 0.03, -0.01, 0.04, 0.05, 0.01, 0.0, 0.03, 0.02, 0.04])
differences = arrays(np.float64, st.integers(2, 12), elements=st.floats(-1, 1).map(lambda x: round(x, 6)))


def runs(n: int, seeds: int, scatter: float, seed: int, skills=(1.2, 1.0)) -> tuple[np.ndarray, ...]:
    """Classes, and two networks' correctness; right where skill, luck of the seed, source and noise exceed 0."""
    rng, y = np.random.default_rng(seed), np.arange(n) % 4
    shared = rng.normal(0, 1, n)
    made = [
        skill + shared + scatter * rng.normal(size=(seeds, 1)) + rng.normal(0, 0.5, (seeds, n)) > 0
        for skill in skills
    ]
    return y, made[0], made[1]


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


# Seeds


def test_seeds_that_agree_leave_the_interval_of_the_test_set():
    y, first, second = runs(300, 1, 0, 0)
    many = ours.seed_interval(y, np.repeat(first, 3, axis=0), np.repeat(second, 3, axis=0))
    alone = mpca_difference_interval(y, first[0], second[0])
    assert many.seed_error == pytest.approx(0, abs=1e-9)
    assert (many.interval.low, many.interval.high) == pytest.approx((alone.low, alone.high), abs=1e-9)


def test_seed_scatter_widens_the_interval_by_students_t():
    """Every seed is right on all or nothing: then only seeds matter, with 2 degrees of freedom each."""
    y = np.arange(4000) % 4
    first = np.arange(4000) % 10 > np.array([[0], [1], [2]])
    second = np.arange(4000) % 10 > np.array([[1], [1], [1]])
    found = ours.seed_interval(y, first, second)
    between = np.std(first @ class_weights(y), ddof=1) / np.sqrt(3)
    assert found.seed_error == pytest.approx(between, rel=0.01)
    half = (found.interval.high - found.interval.low) / 2
    assert half == pytest.approx(
        np.hypot(t.ppf(0.975, 2) * between, norm.ppf(0.975) * found.source_error), rel=0.02
    )


@pytest.mark.slow
def test_errors_are_those_of_a_simulation():
    """Standard errors, squared and averaged over test sets and seeds, add up to the scatter of the mean."""
    found = [ours.seed_interval(*runs(200, 4, 0.2, seed)) for seed in range(200)]
    expected = np.mean([f.source_error**2 + f.seed_error**2 for f in found])
    scatter = np.var([f.interval.value for f in found], ddof=1)
    # A variance from 200 cases has a relative standard error of sqrt(2 / 199), 10 %.
    assert expected == pytest.approx(scatter, rel=0.3)


def test_noise_of_single_sources_is_no_noise_of_seeds():
    """Runs of ten seeds without luck scatter, by their sources; after that is taken off little is left."""
    left, scatter = [], []
    for seed in range(40):
        y, first, second = runs(400, 10, 0.0, seed)
        left.append(ours.seed_interval(y, first, second).seed_error ** 2)
        scatter.append(sum(np.var(own @ class_weights(y), ddof=1) for own in (first, second)) / 10)
    # The positive part of what is left is a fifth of the scatter, for a chi-squared of 9 degrees.
    assert 0.05 < np.mean(left) / np.mean(scatter) < 0.4


@pytest.mark.slow
@pytest.mark.parametrize(("seeds", "scatter"), [(3, 0.0), (3, 0.2), (10, 0.2)])
def test_seed_intervals_hold_the_truth_where_the_test_set_alone_does_not(seeds, scatter):
    spread, cases = np.sqrt(1.25 + scatter**2), 250
    truth = float(norm.cdf(1.2 / spread) - norm.cdf(1.0 / spread))
    found = [ours.seed_interval(*runs(400, seeds, scatter, seed)) for seed in range(cases)]
    inside = np.mean([f.interval.low <= truth <= f.interval.high for f in found])
    alone = np.mean([abs(f.interval.value - truth) <= 1.96 * f.source_error for f in found])
    assert inside >= 0.93 - 3 * np.sqrt(0.95 * 0.05 / cases)
    if scatter:
        assert alone < 0.8


@pytest.mark.slow
@given(st.integers(2, 4), st.integers(2, 4), st.integers(4, 30), st.integers(0, 2**31))
@settings(max_examples=40, deadline=None)
def test_swapping_networks_turns_seed_intervals(seeds, others, n, seed):
    rng = np.random.default_rng(seed)
    y, first, second = rng.integers(0, 3, n), rng.random((seeds, n)) < 0.8, rng.random((others, n)) < 0.6
    found, turned = ours.seed_interval(y, first, second), ours.seed_interval(y, second, first)
    assert (-turned.interval.high, -turned.interval.low) == pytest.approx(
        (found.interval.low, found.interval.high), abs=1e-7
    )
    assert turned.seeds == (others, seeds)
    order, rows = rng.permutation(n), rng.permutation(seeds)
    other = ours.seed_interval(y[order], first[rows][:, order], second[:, order])
    assert (other.interval.low, other.interval.high) == pytest.approx(
        (found.interval.low, found.interval.high), abs=1e-7
    )
    assert -1 <= found.interval.low <= found.interval.value <= found.interval.high <= 1


# Refusals


def test_what_cannot_be_compared_is_refused():
    y, right = np.zeros(4, dtype=int), np.ones((3, 4), dtype=bool)
    with pytest.raises(SpecError, match="2 or more seeds"):
        ours.seed_interval(y, right[:1], right)
    with pytest.raises(SpecError, match=r"found \(4,\), \(3, 4\), \(3, 3\)"):
        ours.seed_interval(y, right, right[:, :3])
    with pytest.raises(SpecError, match="2 or more splits"):
        ours.corrected_t(np.array([0.1]), 0.2)
    with pytest.raises(SpecError, match="2 or more splits"):
        ours.corrected_t(np.array([0.1, np.nan]), 0.2)
    with pytest.raises(SpecError, match="test_share: found 1"):
        ours.correlated_t(DIFFERENCES, 1)
    with pytest.raises(SpecError, match="rope: found -0.1"):
        ours.correlated_t(DIFFERENCES, 0.2, -0.1)
    with pytest.raises(SpecError, match="confidence: found 95"):
        ours.seed_interval(y, right, right, 95)


def test_many_intervals_at_once_are_those_one_by_one():
    rng = np.random.default_rng(3)
    cases = []
    for k, n in ((4, 200), (1, 50), (4, 90), (3, 60), (1, 50)):
        y = np.arange(n) % k
        cases.append((y, rng.integers(-3, 4, n) / 3 * (rng.random(n) < 0.4)))
    one_by_one = [ours.source_ends(y, d, 0.9) for y, d in cases]
    np.testing.assert_allclose(ours.source_ends_of(cases, 0.9), one_by_one, atol=1e-12)
    assert ours.source_ends_of([], 0.9) == []
