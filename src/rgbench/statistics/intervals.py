"""Bootstrap over test sources: class by class, the same sources for every run that shares them.

A resample is a row of weights: how often each source was drawn. Classes keep their sizes, so the
metric of a resample is a function of weighted confusion counts, or a weighted mean of per-source
losses; both are matrix products.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from rgbench.errors import SpecError
from rgbench.measures.cards import MetricCard, read_only

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
        A draw that leaves a test set without a source is made anew: no metric has a value there.
    """
    names, place = np.unique(np.concatenate(tests), return_inverse=True)
    sets = np.split(place, np.cumsum([len(test) for test in tests])[:-1])
    drawn = generator.poisson(1.0, size=(n_resamples, len(names))).astype(np.float32)
    while (lacking := _lacking(drawn, sets)).any():
        drawn[lacking] = generator.poisson(1.0, size=(int(lacking.sum()), len(names)))
    return [drawn[:, rows] for rows in sets]


def _lacking(drawn: Weights, sets: Sequence[NDArray[np.intp]]) -> NDArray[np.bool_]:
    """Tell which resamples leave a test set without a source, shape (n_resamples,)."""
    held = [drawn[:, rows].any(axis=1) for rows in sets if len(rows)]
    return ~np.all(held, axis=0) if held else np.zeros(len(drawn), dtype=bool)


def resampled(
    card: MetricCard, y: NDArray[np.int64], logits: NDArray[np.floating], weights: Weights
) -> NDArray[np.float64] | None:
    """Give a metric of every resample.

    Parameters
    ----------
    card : MetricCard
        The metric's.
    y : ndarray of int64, shape (n,)
        True classes.
    logits : ndarray, shape (n, n_classes)
        Logits or log-probabilities.
    weights : ndarray of float32, shape (n_resamples, n)
        How often each source was drawn.

    Returns
    -------
    ndarray of float64, shape (n_resamples,), or None
        NaN throughout if a logit is not finite; None if the metric has no interval.
    """
    if card.interval == "none":
        return None
    given = card.given(logits)
    if given is None or not np.isfinite(given).all():
        return np.full(len(weights), np.nan)
    y, logits = read_only(y), read_only(given)
    if card.of_counts is not None:
        drawn = card.of_counts(_counts(y, logits, weights))
    elif card.per_source is not None:
        drawn = weights.astype(np.float64) @ card.per_source(y, logits) / weights.sum(axis=1)
    else:
        drawn = np.array([_of_resample(card, y, logits, own) for own in weights])
    if np.shape(drawn) != (len(weights),):
        raise SpecError(f"metric {card.name!r}: gave shape {np.shape(drawn)} for {len(weights)} resamples")
    return np.asarray(drawn, dtype=np.float64)


def _of_resample(
    card: MetricCard, y: NDArray[np.int64], logits: NDArray[np.floating], weights: Weights
) -> float:
    """Give the metric of one resample, its sources written out as often as they were drawn."""
    drawn = np.repeat(np.arange(len(y)), weights.astype(np.int64))
    return float(card.function(y[drawn], logits[drawn]))


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
