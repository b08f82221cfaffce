"""Calibration against scikit-learn, by hand, and on labels drawn from known probabilities."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import log_softmax, softmax
from sklearn.calibration import calibration_curve
from statsmodels.stats.proportion import proportion_confint

from rgbench.errors import DataError
from rgbench.measures import calibration as ours
from rgbench.measures.catalogue import metrics
from rgbench.measures.classification import brier, ece, nll
from rgbench.statistics.intervals import wilson

NEW = ("ece_equal_mass", "ece_classwise", "ece_adaptive")


def honest(n: int, seed: int = 0, k: int = 4, sharpness: float = 1.5) -> tuple[np.ndarray, np.ndarray]:
    """Labels drawn from the stated probabilities: perfectly calibrated."""
    rng = np.random.default_rng(seed)
    logits = sharpness * rng.normal(size=(n, k))
    y = np.array([rng.choice(k, p=row) for row in softmax(logits, axis=1)])
    return y, logits


labelled = st.integers(1, 40).flatmap(
    lambda n: st.tuples(
        arrays(np.int64, n, elements=st.integers(0, 3)),
        arrays(np.float64, (n, 4), elements=st.floats(-20, 20)),
    )
)


@pytest.mark.parametrize(("bins", "strategy"), [("equal-width", "uniform"), ("equal-mass", "quantile")])
@pytest.mark.parametrize("seed", range(3))
def test_curves_equal_scikit_learn_s(bins, strategy, seed):
    y, logits = honest(200, seed)
    for c in range(4):
        curve = ours.reliability_curve(y, logits, of_class=c, bins=bins, n_bins=10)
        share, stated = calibration_curve(y == c, softmax(logits, axis=1)[:, c], n_bins=10, strategy=strategy)
        np.testing.assert_allclose(curve.observed, share)
        np.testing.assert_allclose(curve.stated, stated)
        assert curve.count.sum() == 200


def test_the_curve_of_confidence_has_the_registered_ece_and_statsmodels_intervals():
    y, logits = honest(300, 3)
    curve = ours.reliability_curve(y, logits)
    assert curve.error == pytest.approx(ece(y, logits), rel=1e-12)
    hits = np.rint(curve.observed * curve.count)
    low, high = proportion_confint(hits, curve.count, method="wilson")
    np.testing.assert_allclose(curve.low, low, atol=1e-12)
    np.testing.assert_allclose(curve.high, high, atol=1e-12)
    mass = ours.reliability_curve(y, logits, bins="equal-mass")
    assert mass.error == pytest.approx(ours.ece_equal_mass(y, logits), rel=1e-12)
    assert set(mass.count) == {20}


def test_wilson_intervals_equal_scipy_s_one_by_one():
    right, count = np.array([0, 3, 7, 7, 100, 0]), np.array([7, 7, 7, 9, 104, 0])
    low, high = ours.wilson_intervals(right, count, 0.9)
    theirs = [wilson(int(r), int(n), 0.9) for r, n in zip(right[:-1], count[:-1], strict=True)]
    np.testing.assert_allclose(np.column_stack([low, high])[:-1], theirs, rtol=1e-12)
    assert np.isnan([low[-1], high[-1]]).all()
    assert (low[0], high[2]) == (0, 1)


def test_errors_by_hand():
    # Thirty sources in 15 bins of two: the classwise errors see each class, that of confidence the top only.
    p = np.array([[0.9, 0.1], [0.6, 0.4]] * 15)
    y = np.array([0, 1] * 15)
    assert ours.ece_equal_mass(y, np.log(p)) == pytest.approx(0.5 * 0.1 + 0.5 * 0.6)
    assert ours.ece_classwise(y, np.log(p)) == pytest.approx(0.5 * 0.1 + 0.5 * 0.6)
    three = np.array([[0.5, 0.3, 0.2]] * 10)
    labels = np.array([0] * 5 + [1] * 5)
    assert ours.ece_equal_mass(labels, np.log(three)) == pytest.approx(0)
    assert ours.ece_classwise(labels, np.log(three)) == pytest.approx((0 + 0.2 + 0.2) / 3)
    assert ours.ece_adaptive(labels, np.log(three)) == pytest.approx((0 + 0.2 + 0.2) / 3)


def test_equal_mass_without_ties_is_an_even_deal():
    values = np.random.default_rng(0).permutation(np.linspace(0.3, 0.9, 47))
    found = ours.bin_numbers(values, "equal-mass", 15)
    counts = np.bincount(found, minlength=15)
    assert counts.min() >= 3
    assert counts.max() <= 4
    assert (np.diff(found[np.argsort(values)]) >= 0).all()
    assert ours.bin_numbers(np.array([0.1, 0.2, 0.3]), "equal-mass", 2).tolist() == [0, 0, 1]


def test_a_value_on_a_border_is_in_the_bin_below():
    assert ours.bin_numbers(np.array([0, 0.2, 0.4, 0.41, 1]), "equal-width", 5).tolist() == [0, 0, 1, 2, 4]


@pytest.mark.parametrize(("name", "bins"), [("ece_classwise", "equal-width"), ("ece_adaptive", "equal-mass")])
def test_classwise_errors_are_the_mean_of_the_classes_curves(name, bins):
    y, logits = honest(300, 3)
    curves = [ours.reliability_curve(y, logits, of_class=c, bins=bins) for c in range(4)]
    value = metrics().get(name).function(y, logits)
    assert value == pytest.approx(np.mean([curve.error for curve in curves]), rel=1e-12)
    assert value != pytest.approx(ours.ece_equal_mass(y, logits), rel=1e-3)


@settings(deadline=None)
@given(labelled, st.randoms(use_true_random=False))
def test_order_of_sources_and_a_shift_of_logits_change_nothing(drawn, random):
    y, logits = drawn
    order = np.array(random.sample(range(len(y)), len(y)))
    for name in NEW:
        function = metrics().get(name).function
        value = function(y, logits)
        assert function(y[order], logits[order]) == pytest.approx(value, abs=1e-9)
        assert 0 <= value <= 1 + 1e-12


@settings(deadline=None)
@given(labelled, st.sampled_from(["equal-width", "equal-mass"]), st.integers(1, 20))
def test_the_parts_of_the_brier_score_add_up(drawn, bins, n_bins):
    y, logits = drawn
    parts = ours.brier_decomposition(y, logits, bins, n_bins)
    assert parts.score == pytest.approx(brier(y, logits), abs=1e-12)
    total = parts.reliability - parts.resolution + parts.uncertainty
    total += parts.within_variance - parts.within_covariance
    assert total == pytest.approx(parts.score, abs=1e-12)
    assert min(parts.reliability, parts.resolution, parts.uncertainty, parts.within_variance) >= 0


def test_murphy_s_parts_by_hand():
    # Ten forecasts of 0.8 of which 6 come true, ten of 0.2 of which 2 do; two classes count twice.
    p = np.repeat([0.8, 0.2], 10)
    truth = np.array([1] * 6 + [0] * 4 + [1] * 2 + [0] * 8)
    parts = ours.brier_decomposition(1 - truth, np.log(np.column_stack([p, 1 - p])), n_bins=10)
    assert parts.reliability == pytest.approx(2 * 0.5 * (0.8 - 0.6) ** 2)
    assert parts.resolution == pytest.approx(2 * 0.2**2)
    assert parts.uncertainty == pytest.approx(2 * 0.4 * 0.6)
    assert parts.within_variance == pytest.approx(0, abs=1e-15)
    assert parts.within_covariance == pytest.approx(0, abs=1e-15)


@pytest.mark.parametrize("truth", [0.4, 1.0, 3.0])
def test_a_known_temperature_is_found(truth):
    y, logits = honest(4000, 5)
    fit = ours.fit_temperature(y, logits * truth)
    assert fit.value == pytest.approx(truth, rel=0.08)
    assert fit.nll_after <= fit.nll_before
    assert fit.note == ""


@pytest.mark.parametrize("seed", range(4))
def test_no_temperature_of_a_grid_is_better_and_the_classes_stay(seed):
    y, logits = honest(150, seed)
    logits = (2.5 * logits).astype(np.float32)
    fit = ours.fit_temperature(y, logits)
    grid = np.exp(np.linspace(*np.log(ours.TEMPERATURES), 1001))
    losses = [-log_softmax(logits.astype(float) / t, axis=1)[np.arange(150), y].mean() for t in grid]
    assert fit.nll_after <= min(losses) + 1e-9
    assert grid[np.argmin(losses)] == pytest.approx(fit.value, rel=0.01)
    scaled = ours.apply_temperature(logits, fit.value)
    assert fit.nll_after == pytest.approx(nll(y, scaled), rel=1e-12)
    np.testing.assert_array_equal(scaled.argmax(axis=1), logits.argmax(axis=1))


@settings(deadline=None, max_examples=40)
@given(labelled)
def test_a_temperature_never_harms_its_own_sources_and_log_probabilities_serve(drawn):
    y, logits = drawn
    fit = ours.fit_temperature(y, logits)
    assert fit.nll_after <= fit.nll_before + 1e-9
    again = ours.fit_temperature(y, log_softmax(logits, axis=1))
    assert again.nll_after == pytest.approx(fit.nll_after, abs=1e-5)


def test_where_there_is_no_temperature_the_logits_stay_and_a_note_says_why():
    y = np.arange(8) % 4
    perfect = ours.fit_temperature(y, 3.0 * np.eye(4)[y])
    assert (perfect.value, perfect.note) == (1, "the temperature stays 1: every validation source is right")
    flat = ours.fit_temperature(y, np.zeros((8, 4)))
    assert flat.value == 1
    assert "no minimum" in flat.note
    wrong = ours.fit_temperature(y, 3.0 * np.eye(4)[(y + 1) % 4])
    assert wrong.value == 1
    assert "no minimum" in wrong.note
    for bad in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match="a positive number is needed"):
            ours.apply_temperature(np.zeros((1, 2)), bad)


def test_a_calibrated_network_passes_and_an_overconfident_one_does_not():
    p_values = [
        ours.calibration_test(*honest(200, s), np.random.default_rng(s), resamples=99).p_value
        for s in range(60)
    ]
    assert np.mean(np.array(p_values) <= 0.05) < 0.15
    assert 0.35 < np.mean(p_values) < 0.65
    y, logits = honest(200, 1)
    found = ours.calibration_test(y, 3 * logits, np.random.default_rng(0), resamples=99)
    assert found.value > found.high > found.expected > 0
    assert found.p_value == pytest.approx(0.01)
    assert found.value == pytest.approx(ours.ece_equal_mass(y, 3 * logits), rel=1e-12)
    wide = ours.calibration_test(y, 3 * logits, np.random.default_rng(0), "equal-width", resamples=9)
    assert wide.value == pytest.approx(ece(y, 3 * logits), rel=1e-12)


def test_what_a_calibrated_network_shows_is_what_drawn_labels_show():
    y, logits = honest(200, 2)
    rng = np.random.default_rng(0)
    p = softmax(logits, axis=1)
    drawn = [np.array([rng.choice(4, p=row) for row in p]) for _ in range(60)]
    errors = [ours.ece_equal_mass(labels, logits) for labels in drawn]
    found = ours.calibration_test(y, logits, np.random.default_rng(0))
    assert found.expected == pytest.approx(np.mean(errors), abs=4 * np.std(errors) / np.sqrt(60))
    assert found.high > found.expected > 0.03  # far from 0, though nothing is wrong


def test_what_cannot_be_judged_is_nan_as_a_metric_and_an_error_as_a_curve():
    y, logits = honest(20)
    logits[3, 1] = np.nan
    for name in NEW:
        assert np.isnan(metrics().get(name).function(y, logits))
    for function in (ours.reliability_curve, ours.brier_decomposition, ours.fit_temperature):
        with pytest.raises(DataError, match="logits of 1 of 20 sources are not finite"):
            function(y, logits)
        with pytest.raises(DataError, match="there is no source"):
            function(y[:0], logits[:0])
    with pytest.raises(ValueError, match="legal are 'equal-width' and 'equal-mass'"):
        ours.bin_numbers(np.array([0.5]), "quantile", 5)
    with pytest.raises(ValueError, match="at least 1 is needed"):
        ours.bin_numbers(np.array([0.5]), "equal-mass", 0)
