"""Paired tests and intervals: against statsmodels, closed formulas, brute force and simulation."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import brentq, minimize
from scipy.stats import binomtest, norm, permutation_test
from statsmodels.stats import contingency_tables
from statsmodels.stats.proportion import proportion_confint

from rgbench.errors import SpecError
from rgbench.measures.classification import mpca
from rgbench.statistics import significance as ours

Z = float(norm.ppf(0.975))


@st.composite
def answers(draw, largest: int = 40):
    """Classes of some sources, and whether two networks are right on them."""
    n = draw(st.integers(1, largest))
    y = draw(arrays(np.int64, n, elements=st.integers(0, 3)))
    return y, draw(arrays(bool, n)), draw(arrays(bool, n))


def flags(above: int, below: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Correctness of two networks with so many discordant sources of either kind."""
    i = np.arange(n)
    return i >= below, (i < below) | (i >= above + below)


def simulated(n: int, seed: int = 0, first: float = 0.9, second: float = 0.8):
    rng = np.random.default_rng(seed)
    y = rng.choice(4, n, p=[0.2, 0.4, 0.3, 0.1])
    hard = rng.random(n) < 0.3
    return y, *((rng.random(n) < np.where(hard, skill - 0.3, skill)) for skill in (first, second))


# McNemar's test


@pytest.mark.parametrize(("above", "below"), [(0, 0), (1, 0), (5, 5), (12, 2), (3, 40), (160, 120)])
def test_mcnemar_agrees_with_statsmodels(above, below):
    test = ours.mcnemar(*flags(above, below, 400))
    theirs = contingency_tables.mcnemar([[400 - above - below, above], [below, 0]], exact=True)
    assert (test.first_only, test.second_only) == (above, below)
    assert test.p_value == pytest.approx(theirs.pvalue)


def test_mcnemar_on_worked_examples():
    """Fagerland, Lydersen & Laake 2013, table 1 (Bentur's children); Armitage & Berry 1994, p. 127."""
    test = ours.mcnemar(*flags(1, 7, 21))
    assert round(test.p_value, 4) == 0.0703
    assert round(test.mid_p, 4) == 0.0391
    assert round(ours.mcnemar(*flags(12, 2, 50)).p_value, 4) == 0.0129
    assert ours.mcnemar(*flags(12, 2, 50)).first_only == 12


def test_mid_p_of_equal_counts_takes_half_of_what_was_observed():
    """As the supplement of Fagerland et al. has it: 1 less half the chance of the observed outcome."""
    assert ours.mcnemar(*flags(2, 2, 9)).mid_p == pytest.approx(1 - 0.5 * 6 / 16)


# Permutation test


@given(answers(8))
@settings(max_examples=40, deadline=None)
def test_exact_permutations_equal_those_by_brute_force(case):
    y, first, second = case
    d = ours.class_weights(y) * (first.astype(float) - second)
    signs = np.array(list(product((1, -1), repeat=len(y))))
    p = np.mean(np.abs(signs @ d) >= abs(d.sum()) - 1e-12)
    test = ours.permutation_test(first, second, ours.class_weights(y), np.random.default_rng(0))
    assert test.exact
    assert test.p_value == pytest.approx(p)


def test_permutation_of_accuracy_is_mcnemars_test():
    _, first, second = simulated(900)
    test = ours.permutation_test(first, second, np.full(900, 1 / 900), np.random.default_rng(0))
    assert test.exact
    assert test.difference == pytest.approx(first.mean() - second.mean())
    assert test.p_value == pytest.approx(ours.mcnemar(first, second).p_value)


def test_permutation_difference_is_that_of_mpca():
    y, first, second = simulated(200)
    values = [mpca(y, 4.0 * np.eye(4)[np.where(right, y, (y + 1) % 4)]) for right in (first, second)]
    test = ours.permutation_test(first, second, ours.class_weights(y), np.random.default_rng(0))
    assert test.difference == pytest.approx(values[0] - values[1])
    assert test.exact


def test_drawn_permutations_agree_with_scipy_on_losses():
    rng = np.random.default_rng(3)
    first, second = rng.gamma(1.0, 1.0, (2, 60))
    second += 0.25
    test = ours.permutation_test(first, second, np.full(60, 1 / 60), np.random.default_rng(0), 20_000)
    theirs = permutation_test(
        (first, second),
        lambda a, b, axis: np.mean(a - b, axis=axis),
        permutation_type="samples",
        n_resamples=20_000,
        random_state=np.random.default_rng(1),  # `rng` since SciPy 1.15
    )
    assert not test.exact
    assert test.permutations == 20_000
    # Two Monte Carlo p-values: four standard errors of their difference.
    assert test.p_value == pytest.approx(theirs.pvalue, abs=4 * np.sqrt(2 * 0.25 / 20_000))


def test_drawn_p_value_is_never_zero():
    first = np.linspace(1, 2, 200)
    test = ours.permutation_test(
        first, np.zeros(200), np.full(200, 1 / 200), np.random.default_rng(0), permutations=99
    )
    assert test.p_value == 1 / 100


def test_permutation_p_values_are_uniform_where_networks_are_alike():
    """At level 0.1 a test of networks that are alike rejects in a tenth of the cases, or fewer."""
    rng, found = np.random.default_rng(5), []
    for _ in range(400):
        y, first, second = simulated(150, seed=int(rng.integers(2**32)), first=0.85, second=0.85)
        found.append(ours.permutation_test(first, second, ours.class_weights(y), rng).p_value)
    share = np.mean(np.array(found) <= 0.1)
    assert binomtest(round(share * 400), 400, 0.1).pvalue > 0.001


@given(answers())
@settings(max_examples=60, deadline=None)
def test_swapping_networks_turns_signs_and_permuting_sources_changes_nothing(case):
    y, first, second = case
    weights, order = ours.class_weights(y), np.random.default_rng(1).permutation(len(y))
    tests = [
        ours.permutation_test(a, b, w, np.random.default_rng(0))
        for a, b, w in (
            (first, second, weights),
            (second, first, weights),
            (first[order], second[order], weights[order]),
        )
    ]
    assert tests[1].difference == pytest.approx(-tests[0].difference, abs=1e-12)
    assert tests[2].difference == pytest.approx(tests[0].difference, abs=1e-12)
    for test in tests:
        assert test.p_value == pytest.approx(tests[0].p_value)
        assert 0 < test.p_value <= 1
    exact, turned = ours.mcnemar(first, second), ours.mcnemar(second[order], first[order])
    assert (exact.p_value, exact.mid_p) == (turned.p_value, turned.mid_p)
    assert 0 <= exact.mid_p <= exact.p_value <= 1


# Intervals


@pytest.mark.parametrize(("right", "n"), [(0, 7), (7, 7), (1, 50), (48, 50), (100, 104), (2500, 5000)])
def test_of_one_class_the_score_interval_is_wilsons(right, n):
    span = ours.mpca_interval(np.zeros(n, dtype=int), np.arange(n) < right, 0.9)
    assert (span.low, span.high) == pytest.approx(
        proportion_confint(right, n, 0.1, method="wilson"), abs=1e-9
    )
    assert span.value == right / n


def tango(above: int, below: int, n: int) -> tuple[float, float]:
    """Tango's interval of one class by his formula of the restricted estimate."""

    def score(d: float) -> float:
        a, b, c = 2 * n, -above - below + (2 * n - above + below) * d, -below * d * (1 - d)
        restricted = (np.sqrt(b * b - 4 * a * c) - b) / (2 * a)
        return (above - below - n * d) / np.sqrt(n * (2 * restricted + d * (1 - d)))

    d = (above - below) / n
    low = brentq(lambda x: score(x) - Z, -1 + 1e-12, d - 1e-12)
    return low, brentq(lambda x: score(x) + Z, d + 1e-12, 1 - 1e-12)


@pytest.mark.parametrize(
    ("above", "below", "n"), [(6, 2, 50), (3, 0, 30), (0, 1, 50), (43, 0, 44), (20, 10, 1000)]
)
def test_of_one_class_the_paired_interval_is_tangos(above, below, n):
    span = ours.mpca_difference_interval(np.zeros(n, dtype=int), *flags(above, below, n))
    assert (span.low, span.high) == pytest.approx(tango(above, below, n), abs=1e-8)


# SciPy before 1.13 warns of what it mends by itself.
@pytest.mark.filterwarnings("ignore:Values in x were outside bounds")
def test_the_paired_interval_of_two_classes_has_the_score_at_its_ends():
    """The restricted estimate at either end, by a general optimiser, puts the score at the quantile."""
    above, below, n = np.array([6.0, 1.0]), np.array([2.0, 3.0]), np.array([40.0, 15.0])
    estimate = float(np.mean((above - below) / n))

    def negative(p: np.ndarray) -> float:
        p = p.reshape(2, 2)
        rest = 1 - p.sum(axis=1)
        return -float(
            np.sum(above * np.log(p[:, 0]) + below * np.log(p[:, 1]) + (n - above - below) * np.log(rest))
        )

    for end in ours.score_difference_interval(above, below, n, Z):
        found = minimize(
            negative,
            np.full(4, 0.1),
            bounds=[(1e-9, 0.45)] * 4,
            constraints={"type": "eq", "fun": lambda p, end=end: (p[0] - p[1] + p[2] - p[3]) / 2 - end},
            method="SLSQP",
            options={"ftol": 1e-14, "maxiter": 500},
        )
        p = found.x.reshape(2, 2)
        d = p[:, 0] - p[:, 1]
        variance = float(np.sum((p.sum(axis=1) - d**2) / n)) / 4
        assert abs(estimate - float(end)) / np.sqrt(variance) == pytest.approx(Z, rel=1e-3)


@pytest.mark.slow
@given(answers(), st.floats(0.5, 0.99))
@example((np.array([2, 0, 1, 1]), np.array([False, False, True, True]), np.zeros(4, dtype=bool)), 0.5)
@settings(max_examples=60, deadline=None)
def test_intervals_hold_their_value_and_turn_with_the_networks(case, confidence):
    y, first, second = case
    for span in (ours.mpca_interval(y, first, confidence), ours.mpca_interval(y, ~first, confidence)):
        assert -1e-9 <= span.low <= span.value + 1e-9
        assert span.value - 1e-9 <= span.high <= 1 + 1e-9
        assert span.high > span.low
    turned = ours.mpca_interval(y, ~first, confidence)
    span = ours.mpca_interval(y, first, confidence)
    assert (1 - turned.high, 1 - turned.low) == pytest.approx((span.low, span.high), abs=1e-7)
    span = ours.mpca_difference_interval(y, first, second, confidence)
    turned = ours.mpca_difference_interval(y, second, first, confidence)
    assert (-turned.high, -turned.low) == pytest.approx((span.low, span.high), abs=1e-7)
    assert -1 - 1e-9 <= span.low < span.high <= 1 + 1e-9
    order = np.random.default_rng(0).permutation(len(y))
    other = ours.mpca_difference_interval(3 - y[order], first[order], second[order], confidence)
    assert (other.low, other.high) == pytest.approx((span.low, span.high), abs=1e-7)


@pytest.mark.slow
@given(answers())
@settings(max_examples=40, deadline=None)
def test_more_confidence_is_wider(case):
    y, first, second = case
    narrow, wide = (ours.mpca_difference_interval(y, first, second, c) for c in (0.8, 0.95))
    assert wide.low <= narrow.low + 1e-9
    assert narrow.high <= wide.high + 1e-9


def test_for_many_sources_intervals_are_the_normal_ones():
    y, first, second = simulated(200_000)
    weights = ours.class_weights(y)
    d = first.astype(float) - second
    variance = sum(d[y == c].var() / (y == c).sum() for c in range(4)) / 16
    span = ours.mpca_difference_interval(y, first, second)
    assert span.value == pytest.approx(weights @ d)
    assert (span.high - span.low) / 2 == pytest.approx(Z * np.sqrt(variance), rel=1e-3)


def test_the_score_of_no_difference_is_mcnemars():
    """Without continuity correction, 15 against 5 has z = 10 / sqrt(20): its interval ends at 0 there."""
    y, z = np.zeros(100, dtype=int), 10 / np.sqrt(20)
    span = ours.mpca_difference_interval(y, *flags(15, 5, 100), confidence=float(2 * norm.cdf(z) - 1))
    assert span.low == pytest.approx(0, abs=1e-8)


def test_a_perfect_network_has_an_interval_with_width():
    y = np.arange(50) % 4
    span = ours.mpca_interval(y, np.ones(50, dtype=bool))
    assert span.high == 1
    assert 0.9 < span.low < 0.95


@pytest.mark.parametrize(("n", "accuracy"), [(50, 0.5), (50, 0.9), (104, 0.97), (1000, 0.9)])
def test_mpca_intervals_hold_the_truth_as_often_as_stated(n, accuracy):
    """Between 93 and 97 %, with three standard errors of the simulation."""
    draws, rng = 4000, np.random.default_rng(n)
    sizes = np.broadcast_to(np.array([n - 3 * (n // 4), *[n // 4] * 3], dtype=float), (draws, 4))
    p = 1 - (1 - accuracy) * np.array([1.0, 0.7, 0.4, 1.9])
    right = rng.binomial(sizes.astype(int), p).astype(float)
    low, high = ours.score_mean_interval(right, sizes, Z)
    covered = np.mean((low <= p.mean()) & (p.mean() <= high))
    error = 3 * np.sqrt(0.95 * 0.05 / draws)
    assert 0.93 - error <= covered <= 0.97 + error


@pytest.mark.slow
@pytest.mark.parametrize("n", [50, 104, 400, 5000])
@pytest.mark.parametrize(("above", "below"), [(0.2, 0.2), (0.12, 0.07), (0.1, 0.1)])
def test_difference_intervals_hold_the_truth_as_often_as_stated(n, above, below):
    """At least 93 %, and up to 97 % with ten discordant sources or more; three standard errors of the simulation."""
    draws, rng = 2000, np.random.default_rng([n, int(100 * above)])
    shares = np.array([0.25, 0.25, 0.25, 0.25])
    sizes = np.floor(n * shares)
    b = rng.binomial(sizes.astype(int), above, (draws, 4))
    c = rng.binomial(sizes.astype(int) - b, below / (1 - above)).astype(float)
    low, high = ours.score_difference_interval(b.astype(float), c, np.broadcast_to(sizes, b.shape), Z)
    covered = np.mean((low <= above - below) & (above - below <= high))
    error = 3 * np.sqrt(0.95 * 0.05 / draws)
    assert 0.93 - error <= covered
    if n * (above + below) >= 10:
        assert covered <= 0.97 + error


# Refusals


def test_what_cannot_be_compared_is_refused():
    y, right = np.zeros(4, dtype=int), np.ones(4, dtype=bool)
    with pytest.raises(SpecError, match=r"correct_first \(4,\), correct_second \(3,\)"):
        ours.mcnemar(right, right[:3])
    with pytest.raises(SpecError, match="no source"):
        ours.mpca_interval(y[:0], right[:0])
    with pytest.raises(SpecError, match="found shapes"):
        ours.mpca_difference_interval(y, right[None], right)
    with pytest.raises(SpecError, match="found 95"):
        ours.mpca_interval(y, right, 95)
