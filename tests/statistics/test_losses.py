"""Intervals of losses and of macro F1 for new test sources."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import f1_score

from rgbench.measures.catalogue import metrics
from rgbench.measures.classification import macro_f1_of
from rgbench.statistics.losses import RowDraws, mean_ends, row_ends
from rgbench.statistics.paired import Sample, paired_differences

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "coverage_metrics.py"
K = 4


def moments(y: np.ndarray, losses: np.ndarray) -> tuple[float, float]:
    """Give standard error and skewness of a mean over sources drawn class by class, class by class."""
    error = skew = 0.0
    for c in np.unique(y):
        own = losses[y == c]
        error += own.var(ddof=1) * len(own)
        skew += np.sum((own - own.mean()) ** 3)
    error = np.sqrt(error) / len(y)
    return error, skew / (len(y) * error) ** 3


@given(seed=st.integers(0, 10**6), confidence=st.sampled_from([0.5, 0.9, 0.95, 0.99]), k=st.integers(1, 4))
def test_hall_s_statistic_is_at_the_quantiles_of_t_at_the_ends(seed, confidence, k):
    rng = np.random.default_rng(seed)
    y = np.repeat(np.arange(k), rng.integers(3, 30, k))
    losses = rng.gamma(0.3, 2.0, len(y))
    error, skew = moments(y, losses)
    assume(abs(skew) > 1e-4)
    quantile = stats.t.ppf((1 + confidence) / 2, len(y) - k)
    for end, wanted in zip(mean_ends(y, losses, confidence), (quantile, -quantile), strict=True):
        t = (losses.mean() - end) / error
        assert t + skew / 3 * t**2 + skew**2 / 27 * t**3 + skew / 6 == pytest.approx(wanted, rel=1e-6)


def test_without_skewness_it_is_student_s_t():
    losses = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    theirs = stats.ttest_1samp(losses, 0).confidence_interval(0.95)
    assert mean_ends(np.zeros(5, int), losses) == pytest.approx((theirs.low, theirs.high))


def test_the_long_tail_has_the_longer_arm():
    y, losses = np.zeros(50, int), np.append(np.full(48, 0.1), [3.0, 3.0]) + np.linspace(0, 0.01, 50)
    low, high = mean_ends(y, losses)
    assert high - losses.mean() > 2 * (losses.mean() - low) > 0
    mirrored = mean_ends(y, -losses)
    assert mirrored == pytest.approx((-high, -low))


def test_what_has_no_interval():
    assert np.isnan(mean_ends(np.arange(3), np.ones(3))).all(), "no class has two sources"
    assert np.isnan(mean_ends(np.zeros(3, int), np.array([1.0, np.nan, 2.0]))).all()
    assert mean_ends(np.zeros(3, int), np.full(3, 0.5)) == (0.5, 0.5)
    rng = np.random.default_rng(1)
    losses = rng.normal(size=21)
    alone = np.append(np.zeros(20, int), 1)
    assert np.diff(mean_ends(alone, losses)) > 0, "a class of one source has the variance of the others"


def test_draws_of_macro_f1_are_scikit_learn_s_with_weighted_sources():
    rng = np.random.default_rng(2)
    y = np.repeat(np.arange(K), (20, 30, 10, 5))
    predicted = np.where(rng.random(65) < 0.7, y, rng.integers(0, K, 65))
    draws = RowDraws.draw(65, K, 20, rng)
    plain = RowDraws(draws.weights, 0 * draws.low, 0 * draws.high).of(macro_f1_of, y, predicted)
    for weights, (low, high) in zip(draws.weights.astype(float), plain.T, strict=True):
        # Classes keep their sizes.
        weights *= (np.bincount(y) / np.bincount(y, weights))[y]
        wanted = f1_score(y, predicted, average="macro", sample_weight=weights)
        assert (low, high) == pytest.approx((wanted, wanted), abs=1e-6)


def test_ends_of_macro_f1_are_on_the_cautious_sides():
    y = np.repeat(np.arange(K), 12)
    draws = RowDraws.draw(48, K, 4000, np.random.default_rng(3))
    low, high = row_ends(draws.of(macro_f1_of, y, y))
    assert high == pytest.approx(1, abs=1e-9), "nothing was wrong"
    assert 0.85 < low < 0.98, "a new source may be"
    wrong = np.where(np.arange(48) % 4 == 0, (y + 1) % K, y)
    low, high = row_ends(draws.of(macro_f1_of, y, wrong))
    plain = np.quantile(
        RowDraws(draws.weights, 0 * draws.low, 0 * draws.high).of(macro_f1_of, y, wrong)[0], [0.025, 0.975]
    )
    assert low < plain[0] < 0.75 < plain[1] < high


def test_a_class_without_a_source_does_not_count():
    y = np.repeat([0, 1, 3], 10)
    draws = RowDraws.draw(30, K, 50, np.random.default_rng(4))
    low, high = draws.of(macro_f1_of, y, y)
    assert np.isfinite([low, high]).all()
    np.testing.assert_allclose(high, 1)


def test_pairs_in_a_loss_have_the_interval_of_the_difference_of_each_source():
    rng = np.random.default_rng(5)
    y, hard = np.arange(80) % K, rng.gamma(1.0, 1.0, 80)
    losses = {"a": hard + 0.1, "b": hard + rng.gamma(0.3, 2.0, 80)}
    samples = [
        Sample(name, np.array([own.mean()]), np.zeros((1, 5)), ("published",), True, y, own[None])
        for name, own in losses.items()
    ]
    (pair,) = paired_differences(samples, metrics().get("nll"), 0.95, 80).pairs
    assert (pair.low, pair.high) == pytest.approx(mean_ends(y, losses["a"] - losses["b"]))
    edge = mean_ends(y, losses["a"] - losses["b"], 1 - pair.p_value)
    assert min(abs(end) for end in edge) < 1e-3, "p is where the interval ends at 0"


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("coverage_metrics", BENCHMARK)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mix", "network"), [("balanced", "80 %"), ("natural", "95 %"), ("one rare", "95 %")]
)
def test_they_hold_the_truth_where_the_bootstrap_does_not(benchmark, mix, network):
    found = benchmark.cell(50, mix, network, 250)
    for name, coverage in found.items():
        # Four standard errors of a share of 95 % among 250.
        assert coverage["used"] >= 0.895, (name, coverage)
        if network == "95 %":
            assert coverage["percentile"] < 0.9, name
