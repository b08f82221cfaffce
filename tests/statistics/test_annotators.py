"""Annotators: crowd-kit's numbers, a loop written from the paper, sources drawn from known annotators."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rgbench.errors import DataError, SpecError
from rgbench.statistics.annotators import Annotator, Belief, class_posterior, fit_annotators

SAID = (
    "2122.2.0000220.00201.010...101.112.2211.10202.101.01212.2221",
    "2002.02100..201.02022...0021111.2220.11122.02120..0111222.11",
    "212212110200.0120112..10102211..111.2.121.10221..0012.22220.",
    "2012022122022.1.00.02.1220221111.2222.1221202102.00221222.11",
)
"""What four annotators say of 60 sources in three classes; "." where they did not look."""
CROWD_KIT = {
    "posterior": [
        [0.0, 0.002561, 0.997439],
        [1.0, 0.0, 0.0],
        [0.0, 0.0, 1.0],
        [0.0, 0.002561, 0.997439],
        [0.459464, 0.492008, 0.048527],
        [0.0, 0.0, 1.0],
        [0.0, 0.242069, 0.757931],
        [0.0, 1.0, 0.0],
    ],
    "prior": [0.256768, 0.387535, 0.355696],
    "confusion": [
        [0.658622, 0.223578, 0.117799],
        [0.05236, 0.703968, 0.243672],
        [0.066162, 0.255605, 0.678234],
    ],
}
"""By crowd-kit 1.4.2, DawidSkene(n_iter=3000, tol=-10): the first sources, class shares, and the third annotator."""
NO_BELIEF = Belief(votes=0, sources=0)
FOUR = [Annotator(name, ("a", "b", "c"), (0, 1, 2)) for name in "wxyz"]


def table(line: str, k: int = 3):
    return np.array([[float(word == str(s)) for s in range(k)] for word in line])


def test_as_crowd_kit():
    fit = fit_annotators([table(x) for x in SAID], FOUR, 3, NO_BELIEF, tolerance=1e-12, most_steps=20000)
    np.testing.assert_allclose(fit.posterior[:8], CROWD_KIT["posterior"], atol=1e-4)
    np.testing.assert_allclose(fit.prior, CROWD_KIT["prior"], atol=1e-4)
    np.testing.assert_allclose(fit.confusion(2), CROWD_KIT["confusion"], atol=1e-4)


def test_as_a_loop_written_from_the_paper():
    """With a prior, with words that are not the classes, with votes that count half: one step after another."""
    rng = np.random.default_rng(3)
    annotators = [
        Annotator("sure", ("a", "b"), (0, 1)),
        Annotator("doubts", ("a", "a?", "b", "odd"), (0, 0, 1, -1)),
    ]
    votes = [rng.dirichlet(np.ones(2), 30), np.eye(4)[rng.integers(0, 4, 30)] * (rng.random((30, 1)) < 0.8)]
    weights = rng.integers(0, 3, 30).astype(float)
    belief = Belief(votes=3.0, right=0.8, sources=2.0)
    fit = fit_annotators(votes, annotators, 2, belief, weights, tolerance=1e-13, most_steps=20000)
    imagined = [
        [[2.4, 0.6], [0.6, 2.4]],
        [[1.2, 1.2, 0.3, 0.3], [0.2, 0.2, 2.4, 0.2]],
    ]
    p = fit.posterior
    for _ in range(5):
        shares = [2.0 + sum(weights[i] * p[i][c] for i in range(30)) for c in range(2)]
        prior = [x / sum(shares) for x in shares]
        chance = []
        for a, seen in enumerate(votes):
            rows = []
            for c in range(2):
                row = [
                    imagined[a][c][s] + sum(weights[i] * p[i][c] * seen[i][s] for i in range(30))
                    for s in range(seen.shape[1])
                ]
                rows.append([x / sum(row) for x in row])
            chance.append(rows)
        new = []
        for i in range(30):
            joint = [
                prior[c]
                * math.prod(
                    chance[a][c][s] ** votes[a][i][s] for a in range(2) for s in range(votes[a].shape[1])
                )
                for c in range(2)
            ]
            new.append([x / sum(joint) for x in joint])
        p = np.array(new)
    np.testing.assert_allclose(fit.posterior, p, atol=1e-5), "the loop stays where the fit ended"
    np.testing.assert_allclose(fit.prior, prior, atol=1e-5)
    np.testing.assert_allclose(fit.emission[1], chance[1], atol=1e-5)
    np.testing.assert_allclose(
        fit.confusion(1)[0], [chance[1][0][0] + chance[1][0][1], chance[1][0][2]], atol=1e-5
    )


def test_known_annotators_are_found_again():
    rng = np.random.default_rng(11)
    shares = np.array([0.5, 0.3, 0.2])
    truth = rng.choice(3, 4000, p=shares)
    chances = [
        np.array([[0.9, 0.05, 0.05], [0.1, 0.8, 0.1], [0.3, 0.1, 0.6]]),
        np.array([[0.7, 0.2, 0.1], [0.05, 0.9, 0.05], [0.05, 0.05, 0.9]]),
        np.array([[0.95, 0.05], [0.1, 0.9], [0.6, 0.4]]),
    ]
    annotators = [
        Annotator("x", ("a", "b", "c"), (0, 1, 2)),
        Annotator("y", ("a", "b", "c"), (0, 1, 2)),
        Annotator("two words", ("a", "b"), (0, 1)),
    ]
    votes = []
    for chance in chances:
        words = [rng.choice(chance.shape[1], p=chance[c]) for c in truth]
        votes.append(np.eye(chance.shape[1])[words] * (rng.random((4000, 1)) < 0.9))
    fit = fit_annotators(votes, annotators, 3)
    np.testing.assert_allclose(fit.prior, shares, atol=0.05)
    for found, chance in zip(fit.emission, chances, strict=True):
        np.testing.assert_allclose(found, chance, atol=0.08)
    right = fit.posterior.argmax(axis=1) == truth
    sure = fit.posterior.max(axis=1)
    assert right.mean() == pytest.approx(sure.mean(), abs=0.02), "probabilities are as right as they say"
    assert right[sure > 0.95].mean() > 0.95


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-1, 1), st.integers(-1, 1), st.integers(-1, 1)), min_size=3, max_size=30)
)
def test_probabilities_are_probabilities_and_the_order_of_sources_is_nothing(rows):
    votes = [np.array([[float(v == 0), float(v == 1)] for v in column]) for column in zip(*rows, strict=True)]
    who = [Annotator(name, ("a", "b"), (0, 1)) for name in "xyz"]
    fit = fit_annotators(votes, who, 2)
    np.testing.assert_allclose(fit.posterior.sum(axis=1), 1)
    for emission in fit.emission:
        np.testing.assert_allclose(emission.sum(axis=1), 1)
    again = fit_annotators([v[::-1] for v in votes], who, 2)
    np.testing.assert_allclose(again.posterior[::-1], fit.posterior, atol=1e-8)
    np.testing.assert_allclose(class_posterior(votes, fit.prior, fit.emission), fit.posterior, atol=1e-12)


def test_weights_are_copies():
    votes = [table(x) for x in SAID]
    twice = np.arange(60) % 2 + 1.0
    rows = np.repeat(np.arange(60), twice.astype(int))
    weighted = fit_annotators(votes, FOUR, 3, weights=twice, tolerance=1e-12, most_steps=20000)
    copied = fit_annotators([v[rows] for v in votes], FOUR, 3, tolerance=1e-12, most_steps=20000)
    np.testing.assert_allclose(weighted.posterior[rows], copied.posterior, atol=1e-6)


def test_no_vote_leaves_the_class_shares():
    votes = [np.vstack((table(x), np.zeros((1, 3)))) for x in SAID]
    fit = fit_annotators(votes, FOUR, 3)
    np.testing.assert_allclose(fit.posterior[-1], fit.prior, atol=1e-4)


def test_what_is_not_legal_is_said():
    good = [table(x) for x in SAID]
    with pytest.raises(DataError, match=r"annotator x: votes have shape \(60, 2\); \(60, 3\) is needed"):
        fit_annotators([good[0], good[1][:, :2], *good[2:]], FOUR, 3)
    bad = good[2].copy()
    bad[5, 0] = -1
    with pytest.raises(DataError, match="annotator y: row 5: found .*legal are 0 or more"):
        fit_annotators([*good[:2], bad, good[3]], FOUR, 3)
    with pytest.raises(DataError, match="votes of 3 annotators; 4 are named"):
        fit_annotators(good[:3], FOUR, 3)
    with pytest.raises(SpecError, match="means class 2; legal are -1 to 1"):
        fit_annotators(good, FOUR, 2)
    with pytest.raises(SpecError, match="found 1 classes"):
        fit_annotators(good, FOUR, 1)
    with pytest.raises(DataError, match="has not ended after 1 steps"):
        fit_annotators(good, FOUR, 3, most_steps=1)
    with pytest.raises(DataError, match="60 numbers of 0 or more"):
        fit_annotators(good, FOUR, 3, weights=np.ones(3))
    with pytest.raises(SpecError, match="found 1 words and 2 meanings"):
        Annotator("w", ("a",), (0, 1))
    with pytest.raises(SpecError, match="between 0 and 1"):
        Belief(right=1.0)
