"""Probabilities for another survey: the formula against numbers worked out by hand, and what is not legal."""

from __future__ import annotations

import numpy as np
import pytest

from rgbench.errors import SpecError
from rgbench.measures.prior import complete_shares, parse_shares, with_prior

CLASSES = ("Compact", "FRI", "FRII", "Bent")
EQUAL = np.full(4, 0.25)


def test_the_worked_example_of_the_documents():
    """0.30 x 0.95 = 0.285, and 0.40, 0.20, 0.10 times 0.05 / 3: the sum is 0.29667."""
    shares = complete_shares({"compact": 0.95}, CLASSES, EQUAL)
    np.testing.assert_allclose(shares, [0.95, 0.05 / 3, 0.05 / 3, 0.05 / 3])
    p = np.exp(with_prior(np.log([[0.30, 0.40, 0.20, 0.10]]), shares, EQUAL))[0]
    np.testing.assert_allclose(p.round(3), [0.961, 0.022, 0.011, 0.006])


def test_the_shares_of_training_change_nothing_and_a_prior_can_be_taken_back():
    rng = np.random.default_rng(3)
    p, trained = rng.dirichlet(np.ones(4), 50), np.array([0.1, 0.2, 0.3, 0.4])
    np.testing.assert_allclose(np.exp(with_prior(np.log(p), trained, trained)), p)
    there = with_prior(np.log(p), EQUAL, trained)
    np.testing.assert_allclose(np.exp(with_prior(there, trained, EQUAL)), p)


def test_it_is_what_bayes_says_where_likelihoods_are_known():
    rng = np.random.default_rng(5)
    likelihood, trained, survey = (
        rng.random((20, 4)),
        np.array([0.4, 0.3, 0.2, 0.1]),
        np.array([0.9, 0.1, 0, 0]),
    )

    def posterior(shares):
        joint = likelihood * shares
        return joint / joint.sum(axis=1, keepdims=True)

    found = np.exp(with_prior(np.log(posterior(trained)), survey, trained))
    np.testing.assert_allclose(found, posterior(survey), atol=1e-12)


def test_classes_that_are_not_named_divide_the_rest_as_in_training():
    trained = np.array([0.1, 0.2, 0.3, 0.4])
    shares = complete_shares({"FRI": 0.5, "bent": 0.1}, CLASSES, trained)
    np.testing.assert_allclose(shares, [0.1, 0.5, 0.3, 0.1])
    np.testing.assert_allclose(complete_shares({"compact": 1.0}, CLASSES, trained), [1, 0, 0, 0])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("compact", r"--prior: found 'compact'; CLASS=SHARE is legal, as in compact=0.95"),
        ("compact=much", "found 'compact=much'"),
        ("compact=nan", "found 'compact=nan'"),
        ("", "found ''"),
        ("fri=0.1,FRI=0.2", "FRI stands there twice"),
        ("star=0.1", "there is no class 'star'; legal are Compact, FRI, FRII, Bent"),
        ("fri=-0.1", "fri is -0.1; a share from 0 to 1 is legal"),
        ("fri=0.8,frii=0.3", "the shares sum to 1.1; at most 1 is legal"),
        ("compact=0.1,fri=0.1,frii=0.1,bent=0.1", "sum to 0.4, and no class is left"),
    ],
)
def test_what_is_not_legal_is_named(text, message):
    with pytest.raises(SpecError, match=message):
        complete_shares(parse_shares(text), CLASSES, EQUAL)


def test_one_class_in_two_spellings_is_refused_by_name():
    with pytest.raises(SpecError, match="--prior: 'frii' and 'FRII' are one class; name it once"):
        complete_shares({"frii": 0.1, "FRII": 0.2}, CLASSES, EQUAL)
