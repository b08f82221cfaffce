"""How unlike the training sources is a source? Its distance to them, in what a network makes of sources."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rgbench.errors import DataError
from rgbench.measures.calibration import Floats

COMPONENTS = 32
"""Principal components of the embeddings that distances are measured in, at most."""
NEIGHBOURS = 10
"""The distance is that to the training source of this rank."""
_PART = 1024
"""Embeddings whose distances to all training sources are held at once."""


@dataclass(frozen=True, eq=False)
class Unlikeness:
    """Distances to training sources, and those of validation sources to compare with.

    Attributes
    ----------
    mean : ndarray of float64, shape (d,)
        Mean embedding of the training sources.
    components : ndarray of float64, shape (d, c)
        Their principal components, as unit columns; c is at most `COMPONENTS`.
    training : ndarray of float64, shape (n, c + 1)
        Places of the training sources: along the components, and last the length of what lies outside of them.
    validation : ndarray of float64, shape (m,)
        Distances of the validation sources, in rising order.

    References
    ----------
    Distance to the k-th neighbour: Sun, Ming, Zhu & Li 2022, ICML, arXiv:2204.06507. What lies outside of the
    principal components: Wang, Li, Feng & Zhang 2022, CVPR, arXiv:2203.10807.
    """

    mean: Floats
    components: Floats
    training: Floats
    validation: Floats

    def distances(self, embeddings: NDArray[np.floating[Any]]) -> Floats:
        """Give the distance of embeddings (n, d) to the training source of rank `NEIGHBOURS`, shape (n,)."""
        rank = min(NEIGHBOURS, len(self.training)) - 1
        places, theirs = _places(embeddings, self.mean, self.components), (self.training**2).sum(axis=1)
        found = np.empty(len(places))
        for start in range(0, len(places), _PART):
            part = places[start : start + _PART]
            square = (part**2).sum(axis=1)[:, None] + theirs - 2 * part @ self.training.T
            found[start : start + _PART] = np.partition(square, rank, axis=1)[:, rank]
        return np.sqrt(np.maximum(found, 0.0))

    def shares(self, embeddings: NDArray[np.floating[Any]]) -> Floats:
        """Give the share of the validation sources that are less unlike than each embedding, shape (n,), 0 to 1."""
        place = np.searchsorted(self.validation, self.distances(embeddings), side="left")
        return np.asarray(place / len(self.validation), dtype=np.float64)


def fit_unlikeness(training: NDArray[np.floating[Any]], validation: NDArray[np.floating[Any]]) -> Unlikeness:
    """Learn what training sources look like, from embeddings of shapes (n, d) and (m, d).

    Validation sources give the scale: the network has not learnt them by heart.

    Raises
    ------
    DataError
        If there are fewer than two training sources, no validation source, or a number is not finite.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> fit = fit_unlikeness(rng.normal(size=(200, 5)), rng.normal(size=(99, 5)))
    >>> fit.shares(np.array([[0.0] * 5, [9.0] * 5])).round(2).tolist()
    [0.0, 1.0]
    """
    sizes = f"{len(training)} training and {len(validation)} validation sources"
    if len(training) < 2 or not len(validation):
        raise DataError(f"unlikeness needs two training sources and a validation source; found {sizes}")
    if not (np.isfinite(training).all() and np.isfinite(validation).all()):
        raise DataError(f"unlikeness needs finite embeddings; those of {sizes} are not")
    mean = training.mean(axis=0, dtype=np.float64)
    axes = np.linalg.svd(training.astype(np.float64) - mean, full_matrices=False)[2][:COMPONENTS].T
    fit = Unlikeness(mean, axes, _places(training, mean, axes), np.zeros(0))
    return Unlikeness(mean, axes, fit.training, np.sort(fit.distances(validation)))


def _places(embeddings: NDArray[np.floating[Any]], mean: Floats, components: Floats) -> Floats:
    centred = embeddings.astype(np.float64) - mean
    along = centred @ components
    rest = (centred**2).sum(axis=1) - (along**2).sum(axis=1)
    return np.column_stack((along, np.sqrt(np.maximum(rest, 0.0))))
