"""What calibrated probabilities say of a survey: how many sources a class has, how pure and how complete it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

DRAWS = 4_000
"""Surveys that are drawn for the interval of the completeness."""
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A number and the ends of its interval; NaN where there is none."""

    value: float
    low: float
    high: float


NOTHING = Estimate(np.nan, np.nan, np.nan)


@dataclass(frozen=True)
class Expected:
    """What is expected of a class.

    Attributes
    ----------
    name : str
        The class.
    rows : int
        Rows that are called so.
    number : Estimate
        Sources of the class among all rows that have one.
    purity, completeness : Estimate
        Share of the rows called so that are; share of the sources of the class that are called so.
    """

    name: str
    rows: int
    number: Estimate
    purity: Estimate
    completeness: Estimate


@dataclass(frozen=True, eq=False)
class Sums:
    """What is added up over rows, with which all expectations can be told.

    Attributes
    ----------
    rows : ndarray of int64, shape (k,)
        Rows that are called each class.
    chances, squares : ndarray of float64, shape (k, k)
        Sums of the probabilities of class j, and of their squares, over the rows that are called class i.
    """

    rows: NDArray[np.int64]
    chances: NDArray[np.float64]
    squares: NDArray[np.float64]


def expectations(classes: tuple[str, ...], sums: Sums, seed: int = 0) -> list[Expected]:
    r"""Tell what is expected of each class; it holds as far as the probabilities are calibrated.

    With :math:`p_{ic}` the probability of class c of row i, and :math:`S_c` the rows that are called c,

    .. math:: \mathrm{purity}_c = \frac{1}{|S_c|} \sum_{i \in S_c} p_{ic}, \qquad
              \mathrm{completeness}_c = \sum_{i \in S_c} p_{ic} \Big/ \sum_i p_{ic}.

    Which rows are of class c is a matter of chance: their number is the sum of independent trials, each with a chance
    of its own (Poisson-binomial). It is taken for the binomial distribution of equal mean and variance (Ehm 1991,
    Statistics & Probability Letters 11, 7). Intervals are of 95 %; that of the completeness is of 4000 draws.

    Parameters
    ----------
    classes : tuple of str
        Their names.
    sums : Sums
        What was added up.
    seed : int
        Of the draws.

    Examples
    --------
    >>> sums = Sums(np.array([2, 1]), np.array([[1.8, 0.2], [0.4, 0.6]]), np.array([[1.62, 0.02], [0.16, 0.36]]))
    >>> [(round(e.purity.value, 2), round(e.completeness.value, 2)) for e in expectations(("a", "b"), sums)]
    [(0.9, 0.82), (0.6, 0.75)]
    """
    generator = np.random.default_rng(seed)
    return [
        Expected(
            name,
            int(sums.rows[c]),
            _number(float(sums.chances[:, c].sum()), float(sums.squares[:, c].sum())),
            _purity(int(sums.rows[c]), float(sums.chances[c, c]), float(sums.squares[c, c])),
            _completeness(sums, c, generator),
        )
        for c, name in enumerate(classes)
    ]


def _trials(mean: float, squares: float) -> tuple[int, float]:
    """Give number and chance of the trials of the binomial distribution that has the mean and the variance."""
    if not mean > 0:
        return 0, 0.0
    trials = max(round(mean * mean / squares), int(np.ceil(mean - 1e-9)), 1)
    return trials, min(1.0, mean / trials)


def _number(mean: float, squares: float) -> Estimate:
    tails = ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2)
    low, high = binom.ppf(tails, *_trials(mean, squares)) if mean > 0 else (0.0, 0.0)
    return Estimate(mean, float(low), float(high))


def _purity(rows: int, mean: float, squares: float) -> Estimate:
    if not rows:
        return NOTHING
    number = _number(mean, squares)
    return Estimate(mean / rows, min(number.low / rows, 1.0), min(number.high / rows, 1.0))


def _completeness(sums: Sums, c: int, generator: np.random.Generator) -> Estimate:
    chances, squares = sums.chances[:, c], sums.squares[:, c]
    if not chances.sum() > 0:
        return NOTHING
    others = np.arange(len(chances)) != c
    called = generator.binomial(*_trials(float(chances[c]), float(squares[c])), DRAWS)
    missed = generator.binomial(*_trials(float(chances[others].sum()), float(squares[others].sum())), DRAWS)
    drawn = called / np.maximum(called + missed, 1)
    drawn = drawn[called + missed > 0]
    if not len(drawn):
        return NOTHING
    low, high = np.quantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Estimate(float(chances[c] / chances.sum()), float(low), float(high))
