"""Means and differences over runs: what intervals state they hold, p-values fit them, and power is what is said."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit
from scipy.stats import norm, t

from rgbench.statistics.paired import recognition_differences
from rgbench.statistics.recognition import Answers, Resolution, difference, mean_interval
from rgbench.statistics.seed_scatter import SeedScatter, SplitScatter, reference
from rgbench.statistics.significance import class_weights, mpca_difference_interval


def sky(n, rng, k=4):
    """Give classes and how hard each source is, alike for all networks."""
    return np.arange(n) % k, rng.normal(0, 1.2, n)


def network(name, y, hard, rng, seeds=3, folds=1, skill=1.6, scatter=0.0, fold_scatter=0.0, stable=0.0):
    """Draw runs of a network: sources have their difficulty, seeds and folds shift all, or one class, of them."""
    taste = rng.normal(0, 1.0, len(y))
    right, splits = [], []
    for fold in range(folds):
        moved = rng.normal(0, fold_scatter) if fold_scatter else 0.0
        for _ in range(seeds):
            shift = rng.normal(0, scatter) + rng.normal(0, 2 * scatter, y.max() + 1)[y] if scatter else 0.0
            chance = expit(skill + moved + shift - hard + taste)
            right.append(chance > (0.5 if stable else rng.random(len(y))))
            splits.append(f"fold-{fold}" if folds > 1 else "published")
    return Answers(name, y, np.array(right), tuple(splits))


def test_one_run_each_has_the_score_interval_of_a_pair():
    rng = np.random.default_rng(0)
    y, hard = sky(200, rng)
    a, b = (network(name, y, hard, rng, seeds=1) for name in "ab")
    found = difference(a, b)
    alone = mpca_difference_interval(y, a.right[0], b.right[0])
    assert (found.interval.low, found.interval.high) == pytest.approx((alone.low, alone.high), abs=1e-9)
    assert found.single == (True, True)


def runs(n: int, seeds: int, scatter: float, seed: int, skills=(1.2, 1.0)) -> tuple[np.ndarray, ...]:
    """Classes, and two networks' correctness; right where skill, luck of the seed, source and noise exceed 0."""
    rng, y = np.random.default_rng(seed), np.arange(n) % 4
    shared = rng.normal(0, 1, n)
    made = [
        skill + shared + scatter * rng.normal(size=(seeds, 1)) + rng.normal(0, 0.5, (seeds, n)) > 0
        for skill in skills
    ]
    return y, made[0], made[1]


def of_seeds(y, first, second):
    """Compare two networks by their seeds on one split."""
    return difference(*(Answers("", y, right, ("published",) * len(right)) for right in (first, second)))


def seed_noise(found):
    """Give the standard error that seeds bring to a difference."""
    return float(np.hypot(*(scatter.error for scatter in found.resolution.scatters)))


def test_seeds_that_agree_leave_the_interval_of_the_test_set():
    y, first, second = runs(300, 1, 0, 0)
    many = of_seeds(y, np.repeat(first, 3, axis=0), np.repeat(second, 3, axis=0))
    alone = mpca_difference_interval(y, first[0], second[0])
    assert seed_noise(many) == pytest.approx(0, abs=1e-9)
    assert (many.interval.low, many.interval.high) == pytest.approx((alone.low, alone.high), abs=1e-4)


def test_seed_scatter_widens_the_interval_by_what_its_distribution_asks_for():
    """Every seed is right on all or nothing, so that all of the scatter is that of seeds as such."""
    y = np.arange(4000) % 4
    first = np.arange(4000) % 10 > np.array([[0], [1], [2]])
    second = np.arange(4000) % 10 > np.array([[1], [1], [1]])
    found = of_seeds(y, first, second)
    between = np.std(first @ class_weights(y), ddof=1) / np.sqrt(3)
    assert seed_noise(found) == pytest.approx(between, rel=0.01)
    error = np.hypot(between, found.resolution.source_error)
    half = (found.interval.high - found.interval.low) / 2
    assert norm.ppf(0.975) * error < half < t.ppf(0.975, 2) * error
    spread = reference(found.resolution.source_error, found.resolution.scatters)
    assert half == pytest.approx(spread.critical(0.95) * error, rel=0.02)


@pytest.mark.slow
def test_errors_are_those_of_a_simulation():
    """Standard errors, squared and averaged over test sets and seeds, add up to the scatter of the mean."""
    found = [of_seeds(*runs(200, 4, 0.2, seed)) for seed in range(200)]
    expected = np.mean([f.resolution.source_error**2 + seed_noise(f) ** 2 for f in found])
    scatter = np.var([f.interval.value for f in found], ddof=1)
    # A variance from 200 cases has a relative standard error of sqrt(2 / 199), 10 %.
    assert expected == pytest.approx(scatter, rel=0.3)


@pytest.mark.slow
def test_noise_of_single_sources_is_no_noise_of_seeds():
    """Runs of ten seeds without luck scatter, by their sources; after that is taken off little is left."""
    left, scatter = [], []
    for seed in range(40):
        y, first, second = runs(400, 10, 0.0, seed)
        left.append(seed_noise(of_seeds(y, first, second)) ** 2)
        scatter.append(sum(np.var(own @ class_weights(y), ddof=1) for own in (first, second)) / 10)
    # The positive part of what is left is a fifth of the scatter, for a chi-squared of 9 degrees.
    assert 0.05 < np.mean(left) / np.mean(scatter) < 0.4


@pytest.mark.slow
@pytest.mark.parametrize(("seeds", "scatter"), [(3, 0.0), (3, 0.2), (10, 0.2)])
def test_seed_intervals_hold_the_truth_where_the_test_set_alone_does_not(seeds, scatter):
    spread, cases = np.sqrt(1.25 + scatter**2), 250
    truth = float(norm.cdf(1.2 / spread) - norm.cdf(1.0 / spread))
    found = [of_seeds(*runs(400, seeds, scatter, seed)) for seed in range(cases)]
    inside = np.mean([f.interval.low <= truth <= f.interval.high for f in found])
    alone = np.mean([abs(f.interval.value - truth) <= 1.96 * f.resolution.source_error for f in found])
    assert inside >= 0.93 - 3 * np.sqrt(0.95 * 0.05 / cases)
    if scatter:
        assert alone < 0.8


@pytest.mark.slow
@given(st.integers(2, 4), st.integers(2, 4), st.integers(4, 30), st.integers(0, 2**31))
@settings(max_examples=40, deadline=None)
def test_swapping_networks_turns_seed_intervals(seeds, others, n, seed):
    rng = np.random.default_rng(seed)
    y, first, second = rng.integers(0, 3, n), rng.random((seeds, n)) < 0.8, rng.random((others, n)) < 0.6
    found, turned = of_seeds(y, first, second), of_seeds(y, second, first)
    assert (-turned.interval.high, -turned.interval.low) == pytest.approx(
        (found.interval.low, found.interval.high), abs=1e-7
    )
    order, rows = rng.permutation(n), rng.permutation(seeds)
    other = of_seeds(y[order], first[rows][:, order], second[:, order])
    assert (other.interval.low, other.interval.high) == pytest.approx(
        (found.interval.low, found.interval.high), abs=1e-7
    )
    assert -1 <= found.interval.low <= found.interval.value <= found.interval.high <= 1


def test_folds_count_as_nadeau_and_bengio_say():
    """With one hard answer per source and class the source part is 0: what is left is their t-test."""
    y = np.repeat([0, 1], 50)
    right = np.ones((5, 100), bool)
    for fold, wrong in enumerate((1, 2, 3, 4, 5)):
        right[fold, :wrong] = right[fold, 50 : 50 + wrong] = False
    folds = tuple(f"fold-{k}" for k in range(5))
    found = difference(Answers("a", y, np.ones((5, 100), bool), folds), Answers("b", y, right, folds))
    gaps = np.array([1, 2, 3, 4, 5]) / 50
    part = t.ppf(0.975, 4) * gaps.std(ddof=1) * np.sqrt(1 / 5 + 1 / 4)
    assert found.resolution.scatters == (SplitScatter(pytest.approx(gaps.std(ddof=1) * np.sqrt(0.45)), 5),)
    assert found.interval.value == pytest.approx(gaps.mean())
    # A score interval has a width where every source is alike, so that a little is added.
    assert found.interval.high - found.interval.value >= 0.98 * part


def test_seeds_of_a_fold_are_averaged_and_only_common_folds_are_compared():
    rng = np.random.default_rng(2)
    y, hard = sky(200, rng)
    a, b = (network(name, y, hard, rng, seeds=2, folds=4) for name in "ab")
    less = Answers("b", y, b.right[:6], b.splits[:6])
    assert difference(a, less).interval == difference(a.on(less.folds), less).interval
    assert difference(a, less).resolution.scatters[0].splits == 3


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 3), st.integers(1, 3))
def test_swapping_turns_the_difference_and_p_fits_the_interval(seed, seeds, others):
    rng = np.random.default_rng(seed)
    y, hard = sky(60, rng)
    a = network("a", y, hard, rng, seeds=seeds, skill=rng.uniform(0.5, 3))
    b = network("b", y, hard, rng, seeds=others)
    one, other = difference(a, b), difference(b, a)
    assert one.interval.value == pytest.approx(-other.interval.value, abs=1e-12)
    assert one.interval.low == pytest.approx(-other.interval.high, abs=1e-6)
    assert one.p_value == pytest.approx(other.p_value, rel=1e-3, abs=1e-6)
    assert (one.p_value < 0.05) == one.interval.separable or abs(one.p_value - 0.05) < 5e-4
    at_p = difference(a, b, confidence=1 - min(one.p_value, 0.999)).interval
    nearer = at_p.low if at_p.value > 0 else -at_p.high
    # p-values are interpolated between quantiles: a tenth of a point, where one source is 1.7.
    assert one.p_value > 0.99 or nearer == pytest.approx(0, abs=2e-3)


def test_what_would_be_needed_inverts_what_is_resolved():
    sharp = Resolution(200, 0.02, (), 0.95)
    assert sharp.smallest() == pytest.approx((1.959964 + 0.841621) * 0.02)
    n = sharp.needed(0.02)
    assert sharp.smallest(n) == pytest.approx(0.02, rel=1e-4)
    assert n == pytest.approx(200 * (2.801585) ** 2, rel=1e-3)
    seeds = SeedScatter(3 * 0.01**2, 0.0, 3)
    noisy = Resolution(200, 0.02, (seeds, seeds), 0.95)
    assert noisy.needed(0.02) == float("inf")
    assert noisy.smallest(1e12) > (1.959964 + 0.841621) * np.sqrt(2) * 0.01
    more = noisy.more_seeds(7)
    assert more.scatters[0].seeds == 10
    assert sharp.smallest() < more.smallest() < noisy.smallest()
    assert sharp.more_seeds(2) == sharp


@pytest.mark.slow
def test_p_is_corrected_for_all_pairs_and_decides_the_words():
    rng = np.random.default_rng(11)
    y, hard = sky(200, rng)
    networks = [network(str(i), y, hard, rng, seeds=1) for i in range(8)]
    networks.sort(key=lambda each: -each.mean().mean())
    found = recognition_differences(networks, 0.95)
    pairs = found.pairs
    assert len(pairs) == 28
    for pair in pairs:
        assert pair.separable == (pair.p_value < 0.05)
        assert ("beats" in pair.words) == pair.separable
    assert networks[0].network in found.maybe_best


# --- simulation ------------------------------------------------------------------------------------------------

CASES = 150


def coverage(make, truth, cases=CASES):
    """Count how often an interval holds the truth."""
    inside = [(found := make(seed)).low <= truth <= found.high for seed in range(cases)]
    return float(np.mean(inside))


def expected(skill, scatter, fold_scatter=0.0):
    """Integrate the accuracy over difficulty, taste and what seeds do."""
    rng = np.random.default_rng(0)
    sd = np.sqrt(1.2**2 + 1.0 + scatter**2 + 4 * scatter**2 + fold_scatter**2)
    return float(expit(skill + sd * rng.normal(size=2_000_000)).mean())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n", "seeds", "scatter"), [(200, 3, 0.0), (200, 3, 0.2), (1000, 3, 0.2), (2000, 10, 0.2)]
)
def test_means_hold_the_truth_for_new_sources_and_new_seeds(n, seeds, scatter):
    truth = expected(1.6, scatter)

    def make(seed):
        rng = np.random.default_rng([seed, n, seeds])
        y, hard = sky(n, rng)
        return mean_interval(network("a", y, hard, rng, seeds, scatter=scatter))

    assert coverage(make, truth) >= 0.91


@pytest.mark.slow
@pytest.mark.parametrize(("seeds", "others"), [(3, 1), (2, 1), (10, 1), (3, 3)])
def test_several_runs_against_one_are_no_majority_vote(seeds, others):
    def make(seed):
        rng = np.random.default_rng([seed, seeds, others])
        y, hard = sky(1000, rng)
        a, b = network("a", y, hard, rng, seeds), network("b", y, hard, rng, others)
        return difference(a, b).interval

    assert coverage(make, 0.0) >= 0.92


@pytest.mark.slow
@pytest.mark.parametrize("fold_scatter", [0.0, 0.1])
def test_folds_with_seeds_in_them_are_not_as_many_seeds(fold_scatter):
    def make(seed):
        rng = np.random.default_rng([seed, 5])
        y, hard = sky(400, rng)
        a, b = (network(n, y, hard, rng, 3, folds=5, fold_scatter=fold_scatter) for n in "ab")
        return difference(a, b).interval

    assert coverage(make, 0.0) >= 0.92


@pytest.mark.slow
def test_among_six_equal_networks_few_reports_say_that_one_beats_another():
    said = 0
    for seed in range(60):
        rng = np.random.default_rng([seed, 6])
        y, hard = sky(200, rng)
        networks = [network(str(i), y, hard, rng, 3, scatter=0.15) for i in range(6)]
        said += any(pair.separable for pair in recognition_differences(networks, 0.95).pairs)
    assert said <= 6


@pytest.mark.slow
@pytest.mark.parametrize(("n", "seeds", "scatter"), [(200, 1, 0.0), (200, 3, 0.0), (1000, 10, 0.1)])
def test_the_difference_that_is_named_is_found_as_often_as_said(n, seeds, scatter):
    """Power at the median of the differences that reports name is near 80 %."""
    rng = np.random.default_rng(8)
    named = []
    for _ in range(30):
        y, hard = sky(n, rng)
        a, b = (network(name, y, hard, rng, seeds, scatter=scatter) for name in "ab")
        named.append(difference(a, b).resolution.smallest())
    base, gap = expected(1.6, scatter), float(np.median(named))
    lifted = 1.6
    while expected(lifted, scatter) < base + gap:
        lifted += 0.02
    found = 0
    for _ in range(CASES):
        y, hard = sky(n, rng)
        a = network("a", y, hard, rng, seeds, skill=lifted, scatter=scatter)
        b = network("b", y, hard, rng, seeds, scatter=scatter)
        found += difference(a, b).interval.low > 0
    assert 0.65 <= found / CASES <= 0.95
    assert logit(base) < 1.6
