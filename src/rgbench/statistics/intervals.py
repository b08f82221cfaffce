"""Bootstrap over test sources: class by class, the same sources for every run that shares them.

A resample is a row of weights: how often each source was drawn. Classes keep their sizes, so the
metric of a resample is a function of weighted confusion counts, or a weighted mean of per-source
losses; both are matrix products.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from rgbench.measures.classification import (
    brier_scores,
    macro_f1_of,
    negative_log_likelihoods,
    recalls,
)

Weights = NDArray[np.float32]


def stratified_weights(y: NDArray[np.int64], n_resamples: int, generator: np.random.Generator) -> Weights:
    """Draw bootstrap weights, class by class.

    Parameters
    ----------
    y : ndarray of int64, shape (n,)
        True classes.
    n_resamples : int
        Number of resamples.
    generator : numpy.random.Generator
        Source of chance.

    Returns
    -------
    ndarray of float32, shape (n_resamples, n)
        How often each source was drawn; within a class the weights sum to its size.
    """
    weights = np.zeros((n_resamples, len(y)), dtype=np.float32)
    for c in np.unique(y):
        members = np.flatnonzero(y == c)
        share = np.full(len(members), 1 / len(members))
        weights[:, members] = generator.multinomial(len(members), share, size=n_resamples)
    return weights


def joint_weights(
    tests: Sequence[NDArray[Any]], n_resamples: int, generator: np.random.Generator
) -> list[Weights]:
    """Draw bootstrap weights for test sets that overlap: a source has one weight, wherever it stands.

    Parameters
    ----------
    tests : sequence of ndarray of str, shape (n,)
        The sources of each test set.
    n_resamples : int
        Number of resamples.
    generator : numpy.random.Generator
        Source of chance.

    Returns
    -------
    list of ndarray of float32, shape (n_resamples, n)
        One for each test set: columns of one draw over all sources, Poisson with mean 1 (the Poisson bootstrap).
    """
    names, place = np.unique(np.concatenate(tests), return_inverse=True)
    drawn = generator.poisson(1.0, size=(n_resamples, len(names))).astype(np.float32)
    ends = np.cumsum([len(test) for test in tests])[:-1]
    return [drawn[:, rows] for rows in np.split(place, ends)]


def resampled(
    name: str, y: NDArray[np.int64], logits: NDArray[np.floating], weights: Weights
) -> NDArray[np.float64] | None:
    """Give a metric of every resample, shape (n_resamples,); None if it is none of `RESAMPLED`.

    NaN throughout if a logit is not finite.
    """
    if name not in RESAMPLED:
        return None
    if not np.isfinite(logits).all():
        return np.full(len(weights), np.nan)
    return RESAMPLED[name](y, logits, weights)


def interval(values: NDArray[np.float64], confidence: float) -> tuple[float, float]:
    """Give the percentile interval of resampled values; NaN if any is NaN."""
    tail = (1 - confidence) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)


def wilson(right: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Give the Wilson (1927) interval of a proportion, e.g. of an accuracy.

    Examples
    --------
    >>> [round(float(x), 3) for x in wilson(100, 104)]
    [0.905, 0.985]
    """
    span = binomtest(right, n).proportion_ci(confidence, method="wilson")
    return float(span.low), float(span.high)


def _counts(y: NDArray[np.int64], logits: NDArray[np.floating], weights: Weights) -> NDArray[np.float64]:
    k = logits.shape[1]
    cells = np.eye(k * k, dtype=np.float32)[y * k + logits.argmax(axis=1)]
    return np.asarray((weights @ cells).astype(np.float64).reshape(len(weights), k, k))


def _mpca(y: NDArray[np.int64], logits: NDArray[np.floating], weights: Weights) -> NDArray[np.float64]:
    return np.asarray(np.nanmean(recalls(_counts(y, logits, weights)), axis=1))


def _accuracy(y: NDArray[np.int64], logits: NDArray[np.floating], weights: Weights) -> NDArray[np.float64]:
    right = (logits.argmax(axis=1) == y).astype(np.float32)
    return np.asarray((weights @ right).astype(np.float64) / weights.sum(axis=1))


def _macro_f1(y: NDArray[np.int64], logits: NDArray[np.floating], weights: Weights) -> NDArray[np.float64]:
    return macro_f1_of(_counts(y, logits, weights))


def _nll(y: NDArray[np.int64], logits: NDArray[np.floating], weights: Weights) -> NDArray[np.float64]:
    return np.asarray(weights.astype(np.float64) @ negative_log_likelihoods(y, logits) / weights.sum(axis=1))


def _brier(y: NDArray[np.int64], logits: NDArray[np.floating], weights: Weights) -> NDArray[np.float64]:
    return np.asarray(weights.astype(np.float64) @ brier_scores(y, logits) / weights.sum(axis=1))


RESAMPLED: dict[str, Callable[[NDArray[np.int64], NDArray[np.floating], Weights], NDArray[np.float64]]] = {
    "mpca": _mpca,
    "accuracy": _accuracy,
    "macro_f1": _macro_f1,
    "nll": _nll,
    "brier": _brier,
}
"""Metrics that have bootstrap intervals, as functions of all resamples at once."""
