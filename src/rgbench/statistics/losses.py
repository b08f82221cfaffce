"""What new test sources would change of means of losses (NLL, Brier score), and of macro F1.

Percentiles of bootstrap resamples are too narrow for these on small test sets: a few wrong answers carry most of a
loss, and a resample never holds an error that the test set lacks. Coverage of what is used instead:
benchmarks/coverage_metrics.py.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t

from rgbench.measures.cards import OfCounts
from rgbench.statistics.intervals import Weights, interval

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]

_WRONG, _RIGHT = 0.2, 0.5


def mean_ends(y: Labels, losses: Floats, confidence: float = 0.95) -> tuple[float, float]:
    """Give the interval of a mean over sources that were drawn class by class, by Hall's (1992) transformed t.

    Student's t statistic of the mean is transformed by a cubic that takes its skewness away (Hall, J. R. Stat. Soc. B
    54, 221, eq. 2.2); the interval is the transformation's inverse at the quantiles of t.

    Parameters
    ----------
    y : ndarray of int64, shape (n,)
        True classes. A class of one source is given the common variance.
    losses : ndarray of float64, shape (n,)
        The loss of each source, or the difference of two losses.
    confidence : float
        Coverage.

    Returns
    -------
    (float, float)
        NaN if a loss is, or if no class has two sources.

    Examples
    --------
    >>> losses = np.array([0.1, 0.2, 0.1, 0.1, 0.3, 0.2, 0.1, 2.0])  # mean 0.39
    >>> [round(x, 2) for x in mean_ends(np.zeros(8, int), losses)]  # Student's t: -0.16 to 0.94
    [0.01, 2.38]
    """
    classes, place = np.unique(y, return_inverse=True)
    n, sizes, degrees = len(y), np.bincount(place), len(y) - len(classes)
    if degrees < 1:
        return float("nan"), float("nan")
    away = losses - (np.bincount(place, losses) / sizes)[place]
    squares = np.bincount(place, away**2)
    variances = np.where(sizes > 1, squares / np.maximum(sizes - 1, 1), squares.sum() / degrees)
    value, error = float(losses.mean()), float(np.sqrt(sizes @ variances)) / n
    if not error > 0:
        return value, value
    skew, quantile = float(np.sum((away / (n * error)) ** 3)), float(t.ppf((1 + confidence) / 2, degrees))
    return value - error * _back(quantile, skew), value - error * _back(-quantile, skew)


def _back(transformed: float, skew: float) -> float:
    """Invert t + skew/3 t^2 + skew^2/27 t^3 + skew/6."""
    if abs(skew) < 1e-6:
        return transformed
    return 3 / skew * (float(np.cbrt(1 + skew * (transformed - skew / 6))) - 1)


@dataclass(frozen=True)
class RowDraws:
    """Weights for the rows of confusion matrices, the same for all runs on a test set.

    Attributes
    ----------
    weights : ndarray of float32, shape (n_draws, n)
        Of the sources: exponential, as in the Bayesian bootstrap (Rubin 1981).
    low, high : ndarray of float64, shape (n_draws, k, k)
        Of sources that are added for the lower and for the upper end.
    """

    weights: Weights
    low: Floats
    high: Floats

    @classmethod
    def draw(cls, n: int, k: int, n_draws: int, generator: np.random.Generator) -> RowDraws:
        """Draw for n sources in k classes.

        For the lower end a fifth of a wrong source is added to each class, for the upper end half of a right one: as
        with the beta distributions of Clopper & Pearson (1934), each end is on its cautious side.
        """
        weights = generator.standard_exponential((n_draws, n), dtype=np.float32)
        off, on = 1 - np.eye(k), np.eye(k)
        low = generator.standard_gamma(_WRONG / max(k - 1, 1), size=(n_draws, k, k)) * off
        return cls(weights, low, generator.standard_gamma(_RIGHT, size=(n_draws, k, k)) * on)

    def of(self, metric: OfCounts, y: Labels, predicted: Labels) -> Floats:
        """Give a metric of counts on every draw for the lower and the upper end, shape (2, n_draws)."""
        k = self.low.shape[1]
        cells = np.eye(k * k, dtype=np.float32)[y * k + predicted]
        drawn = (self.weights @ cells).astype(np.float64).reshape(-1, k, k)
        sizes = np.bincount(y, minlength=k)[:, None]
        found = []
        for added in (self.low, self.high):
            counts = (drawn + added) * (sizes > 0)
            totals = counts.sum(axis=2, keepdims=True)
            found.append(metric(sizes * counts / np.where(totals > 0, totals, 1)))
        return np.stack(found)


def row_ends(draws: Floats, confidence: float = 0.95) -> tuple[float, float]:
    """Give the interval of a metric, or of its mean over runs, from draws of shape (2, n_draws)."""
    return interval(draws[0], confidence)[0], interval(draws[1], confidence)[1]
