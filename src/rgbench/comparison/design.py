"""Whether recognition goes with how networks are made: with receptive field, stride and coverage.

The unit is the network, and a comparison has few of them. What few can show is said with the answer: the correlation of
ranks, the chance of one as large if there were no relation at all, and the smallest such chance that these networks
could give, in whatever order their scores were.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from math import factorial, isnan, nan, prod, sqrt, tanh

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau, norm

from rgbench.seeds import numpy_generator

Floats = NDArray[np.float64]
FEWEST = 3
"""Networks from which on ranks are correlated."""
_EXACT = 7
"""Networks up to which all orders are gone through."""
_DRAWS = 20_000
_INTERVAL_FROM = 6
"""Networks from which on the correlation has an interval."""


@dataclass(frozen=True)
class Relation:
    """How the score of networks goes with one number of theirs.

    Attributes
    ----------
    n : int
        Number of networks.
    tau : float
        Kendall's rank correlation (tau-b), from -1 to 1; NaN for fewer than three networks, or if all are alike.
    low, high : float
        Its 95 % interval for other networks like these; NaN for fewer than six.
    p_value : float
        Chance of a correlation as far from 0 if all orders of the networks were equally likely.
    least : float
        The smallest p-value that these networks could give, in whatever order their scores were: few networks, or many
        that are alike, have few orders. NaN where tau is.
    """

    n: int
    tau: float
    low: float
    high: float
    p_value: float
    least: float


def relation(values: Sequence[float], scores: Sequence[float], confidence: float = 0.95) -> Relation:
    """Correlate the ranks of networks in a number of theirs and in their score.

    Parameters
    ----------
    values : sequence of float
        The number, e.g. the receptive field in pixels, of each network.
    scores : sequence of float
        The score of each; higher is better.
    confidence : float
        Coverage of the interval.

    Notes
    -----
    The p-value is that of the permutation test: exact up to seven networks, else from 20,000 orders drawn at random.
    The interval is that of Fieller, Hartley & Pearson (1957): on the scale of the inverse hyperbolic tangent the
    standard error of tau is the square root of 0.437 / (n - 4).

    Examples
    --------
    >>> found = relation([9.0, 25.0, 63.0, 111.0], [0.70, 0.74, 0.77, 0.81])
    >>> found.n, round(found.tau, 2), round(found.p_value, 3), round(found.least, 3)
    (4, 1.0, 0.083, 0.083)
    """
    x, y = np.asarray(values, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    tau = _tau(x, y) if len(x) >= FEWEST else nan
    if isnan(tau):
        return Relation(len(x), nan, nan, nan, nan, nan)
    drawn = np.abs(_concordance(x, y, _orders(len(x))))
    beyond = drawn >= abs(_concordance(x, y, np.arange(len(x))[None])[0])
    extra = 0 if len(x) <= _EXACT else 1
    p_value = float((beyond.sum() + extra) / (len(drawn) + extra))
    low, high = _ends(tau, len(x), confidence)
    return Relation(len(x), tau, low, high, p_value, _least(x, y))


def _tau(x: Floats, y: Floats) -> float:
    if len(np.unique(x)) < 2 or len(np.unique(y)) < 2:
        return nan
    return float(kendalltau(x, y).statistic)


def _orders(n: int) -> NDArray[np.int64]:
    """Give all orders of a few networks, or many of them drawn at random, shape (orders, n)."""
    if n <= _EXACT:
        return np.array(list(permutations(range(n))))
    return numpy_generator(0, "bootstrap", of="orders").permuted(np.tile(np.arange(n), (_DRAWS, 1)), axis=1)


def _concordance(x: Floats, y: Floats, orders: NDArray[np.int64]) -> NDArray[np.int64]:
    """Count pairs in the same order less those in the other one, with y in each order: tau but for a constant."""
    i, j = np.triu_indices(len(x), 1)
    own = np.sign(x[i] - x[j]).astype(np.int64)
    return np.asarray(np.sign(y[orders[:, i]] - y[orders[:, j]]).astype(np.int64) @ own)


def _least(x: Floats, y: Floats) -> float:
    """Give the share of all orders of y in which it goes with x, or against it, as far as their ties let it.

    These are the orders without a pair that contradicts: each other one gains where such a pair changes places.
    """
    x, same = np.sort(x), np.arange(len(x))[None]
    ways = (np.sort(y), np.sort(y)[::-1])
    far = [abs(int(_concordance(x, way, same)[0])) for way in ways]
    reached = sum(_alike(x, way) for way, one in zip(ways, far, strict=True) if one == max(far))
    return reached / factorial(len(x))


def _alike(x: Floats, y: Floats) -> int:
    """Count the orders of y that give the same pairs of values with x: ties of either change places among themselves.

    Where those alike in both do, it is one order and not two.
    """
    of_x, of_y, of_both = (
        prod(factorial(int(t)) for t in np.unique(values, axis=-1, return_counts=True)[1])
        for values in (x, y, np.stack([x, y]))
    )
    return of_x * of_y // of_both


def _ends(tau: float, n: int, confidence: float) -> tuple[float, float]:
    if n < _INTERVAL_FROM:
        return nan, nan
    half = float(norm.ppf((1 + confidence) / 2)) * sqrt(0.437 / (n - 4))
    middle = float(np.arctanh(np.clip(tau, -0.999, 0.999)))
    return tanh(middle - half), tanh(middle + half)
