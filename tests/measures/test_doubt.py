"""Rejection, conformal sets and doubt among members: by hand, by brute force, and by simulation."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import softmax
from scipy.stats import entropy
from sklearn.metrics import balanced_accuracy_score

from rgbench.errors import DataError
from rgbench.measures import doubt as ours
from rgbench.tables import Predictions

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


def area(right: np.ndarray) -> float:
    """The area of sources in a known order."""
    return float(np.mean([np.mean(~right[:i]) for i in range(1, len(right) + 1)]))


@pytest.mark.parametrize("by", ["probability", "entropy"])
def test_the_curve_equals_that_of_every_threshold_by_itself(by):
    y, logits = draw(120, 1)
    curve = ours.rejection_curve(y, logits, by)
    p = softmax(logits, axis=1)
    sure = p.max(axis=1) if by == "probability" else -entropy(p, axis=1)
    assert len(curve.rejected) == 120
    for i in (0, 1, 30, 77, 110):
        kept = sure >= curve.threshold[i] - 1e-12
        predicted = logits.argmax(axis=1)
        assert curve.kept[i] == kept.sum()
        assert curve.rejected[i] == pytest.approx(1 - kept.mean())
        assert curve.accuracy[i] == pytest.approx(np.mean(predicted[kept] == y[kept]))
        assert curve.kept_of_class[i] == pytest.approx([np.mean(kept[y == c]) for c in range(4)])
        assert curve.low[i] < curve.accuracy[i] <= curve.high[i]
        if len(np.unique(y[kept])) == len(np.unique([*y[kept], *predicted[kept]])):
            assert curve.mpca[i] == pytest.approx(balanced_accuracy_score(y[kept], predicted[kept]))
    order = np.argsort(-sure)
    right = logits.argmax(axis=1) == y
    assert curve.aurc == pytest.approx(area(right[order]))
    assert curve.best_aurc == pytest.approx(area(np.sort(right)[::-1]))
    assert curve.at(0.0) == 0
    assert curve.rejected[curve.at(0.2)] == pytest.approx(0.2)
    assert curve.rejected[curve.at(0.204)] == pytest.approx(0.2)


def test_equal_certainties_count_as_the_mean_over_their_orders():
    p = np.array([0.9, 0.7, 0.7, 0.7, 0.6])
    y = np.array([0, 1, 0, 0, 1])
    curve = ours.rejection_curve(y, np.log(np.column_stack([p, 1 - p])))
    orders = [[0, *middle, 4] for middle in permutations([1, 2, 3])]
    assert curve.aurc == pytest.approx(np.mean([area((y == 0)[order]) for order in orders]))
    assert curve.kept.tolist() == [5, 4, 1]


def test_a_certainty_that_tells_nothing_has_the_error_rate_as_its_area():
    y = np.arange(40) % 4
    curve = ours.rejection_curve(y, np.tile(np.log([0.7, 0.1, 0.1, 0.1]), (40, 1)))
    assert curve.aurc == pytest.approx(0.75)
    assert curve.rejected.tolist() == [0]


@settings(deadline=None, max_examples=60)
@given(labelled, st.randoms(use_true_random=False))
def test_the_order_of_sources_does_not_move_the_curve(drawn, random):
    y, logits = drawn
    order = np.array(random.sample(range(len(y)), len(y)))
    one, other = ours.rejection_curve(y, logits), ours.rejection_curve(y[order], logits[order])
    for name in ("rejected", "accuracy", "mpca", "aurc", "best_aurc", "kept_of_class"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), atol=1e-12, err_msg=name)
    assert one.excess_aurc >= -1e-12
    assert one.rejected[0] == 0
    assert (np.diff(one.rejected) > 0).all()


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


def test_doubt_of_members_equals_scipy_s_entropies():
    logits = np.random.default_rng(0).normal(size=(5, 7, 4))
    found = ours.member_doubt(logits)
    p = softmax(logits, axis=2)
    np.testing.assert_allclose(found.entropy, entropy(p.mean(axis=0), axis=1))
    np.testing.assert_allclose(found.expected_entropy, entropy(p, axis=2).mean(axis=0))
    mean_divergence = np.mean([entropy(member, p.mean(axis=0), axis=1) for member in p], axis=0)
    np.testing.assert_allclose(found.mutual_information, mean_divergence)


def table(members=(0, 1, 2), sources=("b", "a", "c")) -> Predictions:
    n = len(members) * len(sources)
    rng = np.random.default_rng(0)
    return Predictions(
        "run1",
        ("FRI", "FRII"),
        "softmax",
        "1",
        np.array(sources * len(members)),
        np.full(n, "test"),
        np.full(n, "best"),
        np.full(n, "clean"),
        np.repeat(members, len(sources)),
        np.tile(np.arange(len(sources)) % 2, len(members)),
        rng.normal(size=(n, 2)).astype(np.float32),
    )


def test_members_are_stacked_source_by_source():
    rows = table()
    shuffled = rows.take(np.random.default_rng(3).permutation(len(rows)))
    sources, y, scores = ours.stack_members(shuffled)
    assert sources.tolist() == ["a", "b", "c"]
    assert y.tolist() == [1, 0, 0]
    assert scores.shape == (2, 3, 2)
    expected = rows.take((rows.member == 2) & (rows.source_id == "a")).log_probabilities()[0]
    np.testing.assert_array_equal(scores[1, 0], expected)
    sigmoid = ours.stack_members(replace(rows, activation="sigmoid"))[2]
    assert not np.allclose(sigmoid, scores)


def test_members_that_do_not_fit_are_refused():
    with pytest.raises(DataError, match="no member but 0"):
        ours.stack_members(table(members=(0,)))
    rows = table()
    with pytest.raises(DataError, match="2 members and 3 sources need a row each, found 5"):
        ours.stack_members(rows.take(np.arange(len(rows)) != 4))
    with pytest.raises(ValueError, match=r"\(members, n, k\) is needed"):
        ours.member_doubt(np.zeros((3, 2)))


def test_wrong_rules_and_diverged_runs_are_refused():
    with pytest.raises(ValueError, match="alpha: found 1.5; legal are numbers between 0 and 1"):
        ours.ConformalRule(1.5)
    with pytest.raises(ValueError, match="legal are 'lac' and 'aps'"):
        ours.ConformalRule(0.1, "raps")
    y, logits = draw(10, 0)
    with pytest.raises(ValueError, match="legal are 'probability' and 'entropy'"):
        ours.rejection_curve(y, logits, "margin")
    bad = np.full_like(logits, np.nan)
    with pytest.raises(DataError, match="10 of 10 sources are not finite"):
        ours.rejection_curve(y, bad)
    with pytest.raises(DataError, match="10 of 10 sources are not finite"):
        ours.conformal((y, logits), (y, bad))
