"""The power law: exact curves, SciPy's curve_fit, stated intervals by simulation, and refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import curve_fit

from rgbench.comparison.words import curves as words
from rgbench.errors import DataError
from rgbench.numbers import PLAIN
from rgbench.statistics.learning_curve import EXPONENTS, Law, fit_learning_curve

SIZES = np.array([50, 100, 200, 400, 800, 1600])


def measured(truth: Law, seeds: int = 5, scatter: float = 0.01, seed: int = 0, sizes: np.ndarray = SIZES):
    n = np.repeat(sizes, seeds)
    return n, np.maximum(truth(n) + np.random.default_rng(seed).normal(0, scatter, len(n)), 0)


@settings(deadline=None, max_examples=60)
@given(st.floats(0, 0.3), st.floats(0.5, 4), st.floats(0.2, 1.5))
def test_an_exact_law_is_found_again(a, b, c):
    law = fit_learning_curve(SIZES, Law(a, b, c)(SIZES)).law
    np.testing.assert_allclose(law(SIZES), Law(a, b, c)(SIZES), atol=1e-6)
    assert law.c == pytest.approx(c, abs=0.01)
    assert law.a == pytest.approx(a, abs=2e-3)


def scipy_s(sizes: np.ndarray, mean: np.ndarray) -> Law:
    found, _ = curve_fit(
        lambda n, a, b, c: a + b * n**-c,
        sizes,
        mean,
        p0=[0.1, 1, 0.5],
        bounds=([0, 0, EXPONENTS[0]], [1, np.inf, EXPONENTS[1]]),
        max_nfev=20_000,
        xtol=1e-14,
        ftol=1e-14,
    )
    return Law(*found)


def test_where_the_best_line_would_go_below_zero_the_fit_is_as_good_as_scipy_s():
    error = [0.5, 0.45, 0.38, 0.28, 0.15, 0.02]
    curve = fit_learning_curve(SIZES, error)
    assert curve.law.a == 0
    theirs = scipy_s(curve.sizes, np.array(error))
    assert curve.residual == pytest.approx(np.sqrt(np.mean((theirs(SIZES) - error) ** 2)), rel=1e-5)


@pytest.mark.parametrize("seed", range(6))
def test_the_fit_is_as_good_as_scipy_s(seed):
    n, error = measured(Law(0.12, 1.8, 0.55), seed=seed, scatter=0.02)
    curve = fit_learning_curve(n, error)
    theirs = scipy_s(curve.sizes, curve.mean)
    loss = np.sum((theirs(curve.sizes) - curve.mean) ** 2)
    assert np.sum((curve.law(curve.sizes) - curve.mean) ** 2) <= loss * (1 + 1e-6)
    assert curve.residual == pytest.approx(np.sqrt(loss / 6), rel=1e-3)
    np.testing.assert_allclose(curve.law(SIZES), theirs(SIZES), atol=1e-3)
    np.testing.assert_allclose(curve.mean, error.reshape(6, 5).mean(axis=1))
    np.testing.assert_allclose(curve.spread, error.reshape(6, 5).std(axis=1, ddof=1))


@settings(deadline=None, max_examples=40)
@given(st.lists(st.floats(0, 1), min_size=4, max_size=7), st.randoms(use_true_random=False))
def test_any_errors_give_a_legal_law_whatever_the_order_of_runs(errors, random):
    n = SIZES[0] * 2 ** np.arange(len(errors))
    curve = fit_learning_curve(n, errors)
    assert min(curve.law.a, curve.law.b) >= 0
    assert EXPONENTS[0] <= curve.law.c <= EXPONENTS[1]
    assert curve.residual <= np.std(errors) + 1e-9  # a constant is one of the laws
    order = random.sample(range(len(errors)), len(errors))
    again = fit_learning_curve(n[order], np.array(errors)[order])
    assert again.law == curve.law


@pytest.mark.slow
@pytest.mark.parametrize(("seeds", "least"), [(3, 0.86), (8, 0.90)])
def test_stated_intervals_contain_the_truth_as_often_as_they_say(seeds, least):
    truth, trials, at = Law(0.1, 1.5, 0.5), 150, [400, 3200, 6400]
    inside, needed = np.zeros(3), 0
    for trial in range(trials):
        curve = fit_learning_curve(*measured(truth, seeds, seed=trial), resamples=200)
        low, high = curve.band(at)
        inside += (low <= truth(at)) & (truth(at) <= high)
        found = curve.needed(0.15)
        needed += found.low <= 900 <= found.high
    assert (inside / trials >= least).all()
    assert needed / trials >= least
    assert (inside / trials).mean() <= 0.99


def test_more_sources_are_needed_for_less_error_and_the_law_says_how_many():
    curve = fit_learning_curve(*measured(Law(0.1, 1.5, 0.5), scatter=0.004))
    for error in (0.16, 0.14, 0.13):
        found = curve.needed(error)
        assert float(curve.law(found.n)) == pytest.approx(error)
        assert found.low <= found.n <= found.high
    assert curve.needed(0.13).n > curve.needed(0.14).n > curve.needed(0.16).n
    assert curve.at(3200).low < curve.at(3200).error < curve.at(3200).high
    assert curve.at(3200).error == pytest.approx(float(curve.law(3200)))


def test_what_cannot_be_reached_needs_infinitely_many_sources():
    curve = fit_learning_curve(*measured(Law(0.1, 1.5, 0.5), scatter=0.003))
    never = curve.needed(0.02)
    assert np.isinf([never.n, never.high]).all()
    said = words.learning_curve(curve)
    assert said.startswith("from 50 to 1,600 training sources the error went from 31.")
    assert said.endswith(" points for twice as many")
    assert " %" not in words.learning_curve(curve, PLAIN)
    flat = fit_learning_curve(SIZES, [0.2, 0.21, 0.2, 0.22, 0.21, 0.22])
    assert flat.law.b == 0
    assert flat.law.a == pytest.approx(0.21)
    assert np.isinf(flat.needed(0.2).n)
    assert "takes off 0.0 points" in words.learning_curve(flat)


def test_without_seeds_there_is_no_interval():
    single = fit_learning_curve(SIZES, Law(0.1, 1.5, 0.5)(SIZES))
    assert np.isnan(single.at(3200).low)
    assert np.isnan(single.needed(0.12).high)
    assert np.isnan(single.spread).all()
    n, error = measured(Law(0.1, 1.5, 0.5), 3)
    some = fit_learning_curve(n[:-2], error[:-2])
    assert some.n_seeds.tolist() == [3, 3, 3, 3, 3, 1]
    assert some.at(3200).low < some.at(3200).high
    assert fit_learning_curve(n, error).at(3200) == fit_learning_curve(n, error).at(3200)
    assert fit_learning_curve(n, error, seed=1).at(3200) != fit_learning_curve(n, error).at(3200)


def test_too_few_sizes_and_wrong_numbers_are_refused_in_words():
    with pytest.raises(DataError, match=r"at least 4 sizes, found 3 \(50, 100, 200\).*foretells nothing"):
        fit_learning_curve([50, 50, 100, 200], [0.3, 0.31, 0.2, 0.1])
    with pytest.raises(DataError, match=r"found 0 \(none\)"):
        fit_learning_curve([], [])
    with pytest.raises(DataError, match="error of run 2 is nan"):
        fit_learning_curve(SIZES, [0.3, np.nan, 0.2, 0.2, 0.2, 0.2])
    with pytest.raises(DataError, match="n_train of run 1 is 0"):
        fit_learning_curve([0, 1, 2, 3], [0.1] * 4)
    with pytest.raises(DataError, match="a pair for each run"):
        fit_learning_curve(SIZES, [0.1])
    with pytest.raises(DataError, match="a positive one is needed"):
        fit_learning_curve(SIZES, Law(0.1, 1, 0.5)(SIZES)).at(0)
