"""Rejection and doubt among members: by hand, by brute force, and by simulation."""

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
from rgbench.measures import uncertainty as ours
from rgbench.store.tables import Predictions

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


def test_a_given_certainty_orders_the_sources_and_those_of_logits_are_as_if_given():
    y, logits = draw(120, 1)
    p = softmax(logits, axis=1)
    own, given_ = ours.rejection_curve(y, logits), ours.rejection_curve(y, logits, p.max(axis=1))
    assert (own.by, given_.by) == ("probability", "given")
    np.testing.assert_array_equal(own.accuracy, given_.accuracy)
    right = logits.argmax(axis=1) == y
    oracle = ours.rejection_curve(y, logits, right.astype(float))
    assert oracle.accuracy.tolist() == [right.mean(), 1.0]
    random = np.random.default_rng(0).random(120)
    curve = ours.rejection_curve(y, logits, random)
    assert curve.aurc == pytest.approx(area(right[np.argsort(-random)]))


def test_areas_of_resamples_are_those_of_the_sources_written_out():
    y, logits = draw(60, 4)
    right, sure = logits.argmax(axis=1) == y, ours.certainty(logits)
    weights = np.random.default_rng(1).multinomial(60, np.full(60, 1 / 60), size=5)
    found = ours.areas(right, sure, np.vstack([np.ones(60), weights]))
    assert found[0] == pytest.approx(ours.rejection_curve(y, logits).aurc)
    for value, drawn in zip(found[1:], weights, strict=True):
        index = np.repeat(np.arange(60), drawn)
        # Copies of a source stand together, and count with the error rate that holds after the last of them.
        kept = index[np.argsort(-sure[index], kind="stable")]
        rates = np.array([np.mean(~right[kept[: i + 1]]) for i in range(60)])
        last = [np.flatnonzero(kept == source)[-1] for source in kept]
        assert value == pytest.approx(rates[last].mean())


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
    assert one.aurc >= one.best_aurc - 1e-12
    assert one.rejected[0] == 0
    assert (np.diff(one.rejected) > 0).all()


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


def test_wrong_orders_and_diverged_runs_are_refused():
    y, logits = draw(10, 0)
    with pytest.raises(ValueError, match="legal are 'probability' and 'entropy'"):
        ours.rejection_curve(y, logits, "margin")
    bad = np.full_like(logits, np.nan)
    with pytest.raises(DataError, match="10 of 10 sources are not finite"):
        ours.rejection_curve(y, bad)
    with pytest.raises(DataError, match="shape \\(9,\\), 0 of them not finite; 10 finite numbers are needed"):
        ours.rejection_curve(y, logits, np.zeros(9))
    with pytest.raises(DataError, match="1 of them not finite"):
        ours.rejection_curve(y, logits, np.append(np.zeros(9), np.nan))
