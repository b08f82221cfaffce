"""Conformal sets: by hand, and the promise kept in simulations."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import softmax

from rgbench.errors import DataError
from rgbench.measures import conformal as ours

labelled = st.integers(1, 30).flatmap(
    lambda n: st.tuples(
        arrays(np.int64, n, elements=st.integers(0, 2)),
        arrays(np.float64, (n, 3), elements=st.floats(-8, 8)),
    )
)


def draw(n: int, seed: int, k: int = 4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, k, n)
    return y, rng.normal(size=(n, k)) + 1.5 * np.eye(k)[y]


def test_lac_by_hand():
    # Scores of the true classes: 0.1, 0.2, ... 0.9. Of nine, the ceil(10 x 0.8) = 8th smallest is 0.8.
    p = np.arange(1, 10) / 10
    logits = np.log(np.column_stack([1 - p, p]))
    y = np.zeros(9, int)
    rule = ours.ConformalRule(alpha=0.2)
    threshold = ours.conformal_threshold(y, logits, rule)
    np.testing.assert_allclose(threshold, [0.8, 0.8])
    test = np.log([[0.95, 0.05], [0.5, 0.5], [0.19, 0.81]])
    assert ours.conformal_sets(test, threshold, rule).tolist() == [[True, False], [True, True], [False, True]]
    too_few = ours.conformal_threshold(y, logits, ours.ConformalRule(alpha=0.09))
    assert np.isinf(too_few).all()
    assert ours.conformal_sets(test, too_few, rule).all()


def test_aps_holds_the_classes_down_to_the_threshold_and_is_never_empty():
    logits = np.log([[0.6, 0.3, 0.1], [0.98, 0.01, 0.01], [0.34, 0.33, 0.33]])
    np.testing.assert_allclose(
        ours.conformal_scores(logits, "aps"), [[0, 0.6, 0.9], [0, 0.98, 0.99], [0, 0.34, 0.67]], atol=1e-12
    )
    sets = ours.conformal_sets(logits, np.full(3, 0.65), ours.ConformalRule(score="aps"))
    assert sets.tolist() == [[True, True, False], [True, False, False], [True, True, False]]
    drawn = ours.conformal_scores(logits, "aps", np.random.default_rng(0))
    plain, p = ours.conformal_scores(logits, "aps"), softmax(logits, axis=1)
    assert ((drawn >= plain) & (drawn <= plain + p)).all()


@pytest.mark.parametrize("score", ["lac", "aps", "aps drawn"])
@pytest.mark.parametrize("n", [25, 100])
def test_coverage_on_exchangeable_sources_is_what_was_promised(score, n):
    alpha, coverage = 0.1, []
    rule = ours.ConformalRule(alpha, score.split()[0])
    for seed in range(400):
        y, logits = draw(n + 100, seed)
        chance = np.random.default_rng(seed) if "drawn" in score else None
        found = ours.conformal((y[:n], 2 * logits[:n]), (y[n:], 2 * logits[n:]), rule, chance)
        coverage.append(found.test.coverage)
    mean, error = np.mean(coverage), np.std(coverage) / 20
    assert mean >= 1 - alpha - 3 * error
    if score != "aps":  # its scores have ties, which only add to the coverage
        assert mean <= 1 - alpha + 1 / (n + 1) + 3 * error


def test_thresholds_by_class_keep_the_promise_for_every_class():
    hard = np.array([3.0, 3.0, 3.0, 0.3])
    coverage: dict[bool, list] = {True: [], False: []}
    for seed in range(150):
        rng = np.random.default_rng(seed)
        y = rng.integers(0, 4, 400)
        logits = rng.normal(size=(400, 4)) + hard[y][:, None] * np.eye(4)[y]
        for per_class, found in coverage.items():
            rule = ours.ConformalRule(0.1, "lac", per_class)
            made = ours.conformal((y[:200], logits[:200]), (y[200:], logits[200:]), rule)
            found.append(made.test.class_coverage)
    means = {per_class: np.mean(found, axis=0) for per_class, found in coverage.items()}
    assert means[False][3] < 0.8
    assert (means[True] > 0.89).all()
    assert (means[True] < 0.94).all()


@settings(deadline=None, max_examples=60)
@given(labelled, st.floats(0.05, 0.95), st.sampled_from(["lac", "aps"]))
def test_sets_grow_with_the_promise_and_cover_their_own_sources(drawn, alpha, score):
    y, logits = drawn
    rule = ours.ConformalRule(alpha, score)
    found = ours.conformal((y, logits), (y, logits), rule)
    assert found.test.coverage >= 1 - alpha - 1e-9
    larger = ours.conformal((y, logits), (y, logits), ours.ConformalRule(alpha / 2, score))
    assert (larger.sets >= found.sets).all()
    assert found.test.sizes.sum() == len(y) == found.n_validation
    assert found.test.mean_size == pytest.approx(found.sets.sum(axis=1).mean())
    assert found.test.low <= found.test.coverage <= found.test.high
    if score == "aps":
        assert found.test.sizes[0] == 0


@pytest.mark.slow
@pytest.mark.parametrize(("n", "m"), [(198, 200), (40, 100)])
def test_the_expected_range_holds_what_exchangeable_sources_show(n, m):
    rule = ours.ConformalRule(0.1)
    low, high = ours.expected_coverage(n, m, rule)
    found = []
    for seed in range(3000):
        y, logits = draw(n + m, seed)
        found.append(ours.conformal((y[:n], logits[:n]), (y[n:], logits[n:]), rule).test.coverage)
    inside = np.mean((np.array(found) >= low - 1e-9) & (np.array(found) <= high + 1e-9))
    assert 0.94 <= inside <= 0.975
    np.testing.assert_allclose([low, high], np.quantile(found, [0.025, 0.975]), atol=0.016)


def test_a_shift_of_class_shares_breaks_the_promise_and_shows():
    """Validation sources of the easy classes only; test sources of the hard one too."""
    rng, rule = np.random.default_rng(0), ours.ConformalRule(0.1)
    ease = np.array([4.0, 4.0, 4.0, 0.2])

    def side(n, classes):
        y = rng.integers(0, classes, n)
        return y, rng.normal(size=(n, 4)) + ease[y][:, None] * np.eye(4)[y]

    found = ours.conformal(side(200, 3), side(400, 4), rule).test
    assert found.high < ours.expected_coverage(200, 400, rule)[0]


def test_wrong_rules_and_diverged_runs_are_refused():
    with pytest.raises(ValueError, match="alpha: found 1.5; legal are numbers between 0 and 1"):
        ours.ConformalRule(1.5)
    with pytest.raises(ValueError, match="legal are 'lac' and 'aps'"):
        ours.ConformalRule(0.1, "raps")
    y, logits = draw(10, 0)
    with pytest.raises(DataError, match="10 of 10 sources are not finite"):
        ours.conformal((y, logits), (y, np.full_like(logits, np.nan)))
