"""Unlikeness: the distance against a computation of its own, and the share of validation sources below it."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

from rgbench.errors import DataError
from rgbench.measures.unlike import COMPONENTS, NEIGHBOURS, fit_unlikeness


@pytest.mark.parametrize("d", [3, COMPONENTS + 20])
def test_distances_are_those_of_scikit_learn(d):
    rng = np.random.default_rng(1)
    training, validation, new = (rng.normal(size=(n, d)) * np.arange(1, d + 1) for n in (150, 40, 30))
    fit = fit_unlikeness(training, validation)
    pca = PCA(min(d, COMPONENTS)).fit(training)

    def places(x):
        along = pca.transform(x)
        rest = np.linalg.norm(x - pca.inverse_transform(along), axis=1)
        return np.column_stack((along, rest))

    near = NearestNeighbors(n_neighbors=NEIGHBOURS).fit(places(training))
    expected = near.kneighbors(places(new))[0][:, -1]
    np.testing.assert_allclose(fit.distances(new), expected, rtol=1e-6)
    below = (fit.distances(validation)[None] < fit.distances(new)[:, None]).mean(axis=1)
    np.testing.assert_allclose(fit.shares(new), below)


def test_what_lies_outside_of_the_components_counts():
    rng = np.random.default_rng(2)
    training = np.zeros((100, 50))
    training[:, :4] = rng.normal(size=(100, 4))
    fit = fit_unlikeness(training, training[:30])
    odd = np.zeros((1, 50))
    odd[0, 49] = 30.0
    assert fit.shares(odd)[0] == 1.0


def test_too_few_sources_or_numbers_that_are_not_finite_are_refused():
    good = np.ones((5, 3))
    for training, validation in ((good[:1], good), (good, good[:0]), (good * np.nan, good)):
        with pytest.raises(DataError, match="unlikeness needs"):
            fit_unlikeness(training, validation)
