"""How an error falls with the number of training sources: a power law, and what it says of more of them.

The law is error = a + b n^-c with a, b >= 0 and c between 0.05 and 2; a is the error that no number of
training sources takes away. For a given c it is linear in a and b, so the fit is a search over c alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from scipy.optimize import minimize_scalar

from rgbench.errors import DataError
from rgbench.seeds import numpy_generator

Floats = NDArray[np.float64]
LEAST_SIZES = 4
"""Fewest training-set sizes that a law of three numbers is fitted to."""
LEAST_FREEDOM = 2
"""Fewest seeds beyond the first of each size, over all sizes, that give an interval."""
EXPONENTS = (0.05, 2.0)
"""Range of c."""
_GRID = np.geomspace(*EXPONENTS, 90)


@dataclass(frozen=True)
class Law:
    """The law error = a + b n^-c."""

    a: float
    b: float
    c: float

    def __call__(self, n: ArrayLike) -> Floats:
        """Give the error for n training sources."""
        return np.asarray(self.a + self.b * np.asarray(n, dtype=np.float64) ** -self.c)


@dataclass(frozen=True)
class Extrapolation:
    """The error expected of n training sources, with its interval."""

    n: float
    error: float
    low: float
    high: float


@dataclass(frozen=True)
class Needed:
    """How many training sources an error needs, with its interval; infinite if no number is enough."""

    error: float
    n: float
    low: float
    high: float


@dataclass(frozen=True)
class LearningCurve:
    """A learning curve: what was measured, the law, and laws fitted to resampled seeds.

    Attributes
    ----------
    sizes : ndarray of float64, shape (s,)
        Numbers of training sources, rising.
    mean, spread : ndarray of float64, shape (s,)
        Mean and sample standard deviation of the error over seeds; the spread of one seed is NaN.
    n_seeds : ndarray of int64, shape (s,)
        Number of seeds of each size.
    law : Law
        The fitted law.
    residual : float
        Root mean square of the means about the law.
    draws : ndarray of float64, shape (resamples, 3)
        a, b and c of laws fitted to resampled seeds; empty if there are fewer than `LEAST_FREEDOM` seeds
        beyond the first of each size.
    confidence : float
        Coverage of the intervals. They are those of the seeds: initialisation, order and choice of training
        sources. That the test set is a sample is not in them, and moves all sizes alike.
    """

    sizes: Floats
    mean: Floats
    spread: Floats
    n_seeds: NDArray[np.int64]
    law: Law
    residual: float
    draws: Floats
    confidence: float

    def band(self, n: ArrayLike) -> tuple[Floats, Floats]:
        """Give the interval of the law at numbers of training sources; NaN if there are no draws."""
        at = np.atleast_1d(np.asarray(n, dtype=np.float64))
        if not len(self.draws):
            return np.full(at.shape, np.nan), np.full(at.shape, np.nan)
        a, b, c = self.draws.T[:, :, None]
        tail = (1 - self.confidence) / 2
        low, high = np.quantile(a + b * at**-c, [tail, 1 - tail], axis=0)
        return low, high

    def at(self, n: float) -> Extrapolation:
        """Extrapolate to n training sources."""
        if not n > 0:
            raise DataError(f"the number of training sources is {n}; a positive one is needed")
        (low,), (high,) = self.band(n)
        error = float(self.law(n))
        return Extrapolation(n, error, float(low), float(high))

    def needed(self, error: float) -> Needed:
        """Find how many training sources an error needs."""
        n = _inverse(np.array([[self.law.a, self.law.b, self.law.c]]), error)[0]
        low = high = float("nan")
        if len(self.draws):
            tail = (1 - self.confidence) / 2
            numbers = np.sort(_inverse(self.draws, error))
            last = len(numbers) - 1
            low, high = numbers[int(tail * last)], numbers[int(np.ceil((1 - tail) * last))]
        return Needed(error, float(n), float(low), float(high))


def fit_learning_curve(
    n_train: ArrayLike,
    error: ArrayLike,
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> LearningCurve:
    """Fit the law to the errors of runs with training sets of several sizes.

    Parameters
    ----------
    n_train, error : array_like, shape (runs,)
        Number of training sources and error (a fraction, e.g. 1 - accuracy) of each run; runs of equal
        n_train are seeds of one size. Each size counts the same, however many seeds it has.
    confidence : float
        Coverage of the intervals.
    resamples, seed : int
        Number and seed of the bootstrap over the seeds. Seeds are taken to scatter alike at all sizes: their
        deviations from the means of their sizes are pooled and drawn from. With m seeds of a size they are too
        small by sqrt((m - 1) / m), which is mended, and the draws are widened from a normal distribution to
        Student's, since the scatter of few seeds is itself uncertain.

    Raises
    ------
    DataError
        If there are fewer than four sizes (the message says so in words), or a number is not legal.

    References
    ----------
    Cortes et al. 1993; Hestness et al. 2017, arXiv 1712.00409.

    Examples
    --------
    >>> n = np.array([50, 100, 200, 400, 800])
    >>> curve = fit_learning_curve(n, 0.1 + 2 / np.sqrt(n))
    >>> round(curve.law.a, 3), round(curve.law.b, 3), round(curve.law.c, 3)
    (0.1, 2.0, 0.5)
    >>> round(curve.needed(0.12).n)
    10000
    """
    sizes, groups = _grouped(n_train, error)
    mean = np.array([group.mean() for group in groups])
    law = _fit(sizes, mean)
    n_seeds = np.array([len(group) for group in groups])
    spread = [float(np.std(group, ddof=1)) if len(group) > 1 else np.nan for group in groups]
    draws = np.empty((0, 3))
    if (n_seeds - 1).sum() >= LEAST_FREEDOM:
        generator = numpy_generator(seed, "bootstrap", curve="learning")
        draws = _fit_many(sizes, _resampled_means(groups, resamples, generator))
    residual = float(np.sqrt(np.mean((mean - law(sizes)) ** 2)))
    return LearningCurve(sizes, mean, np.array(spread), n_seeds, law, residual, draws, confidence)


def _grouped(n_train: ArrayLike, error: ArrayLike) -> tuple[Floats, list[Floats]]:
    n, e = np.asarray(n_train, dtype=np.float64), np.asarray(error, dtype=np.float64)
    if n.ndim != 1 or n.shape != e.shape:
        raise DataError(
            f"numbers of sources have shape {n.shape}, errors {e.shape}; a pair for each run is needed"
        )
    for name, values, bad in (("n_train", n, ~(n > 0)), ("error", e, ~(e >= 0))):
        wrong = np.flatnonzero(bad | ~np.isfinite(values))
        if len(wrong):
            raise DataError(
                f"{name} of run {wrong[0] + 1} is {values[wrong[0]]:g}; a finite number is needed"
            )
    sizes = np.unique(n)
    if len(sizes) < LEAST_SIZES:
        found = ", ".join(f"{size:,.0f}" for size in sizes) or "none"
        raise DataError(
            f"a learning curve needs training sets of at least {LEAST_SIZES} sizes, found {len(sizes)} ({found}): "
            "a law of three numbers goes through any three points and foretells nothing"
        )
    return sizes, [e[n == size] for size in sizes]


def _fit(sizes: Floats, mean: Floats) -> Law:
    """Fit by least squares over the sizes, c refined between the neighbours of the best of the grid."""
    a, b, c = _fit_many(sizes, mean[None])[0]
    i = int(np.argmin(np.abs(_GRID - c)))
    span = _GRID[max(i - 1, 0)], _GRID[min(i + 1, len(_GRID) - 1)]

    def loss(exponent: float) -> float:
        return float(_linear(sizes, mean[None], exponent)[2][0])

    found = minimize_scalar(loss, bounds=span, method="bounded", options={"xatol": 1e-10})
    if found.fun <= loss(c):
        c = float(found.x)
        a, b = (part[0] for part in _linear(sizes, mean[None], c)[:2])
    return Law(float(a), float(b), float(c))


def _fit_many(sizes: Floats, means: Floats) -> Floats:
    """Fit laws to rows of errors, shape (r, s), over the grid of c; gives a, b, c, shape (r, 3)."""
    fits = [_linear(sizes, means, float(c)) for c in _GRID]
    best = np.argmin([loss for _, _, loss in fits], axis=0)
    rows = np.arange(len(means))
    a, b = (np.array([fit[part] for fit in fits])[best, rows] for part in (0, 1))
    return np.column_stack([a, b, _GRID[best]])


def _linear(sizes: Floats, means: Floats, c: float) -> tuple[Floats, Floats, Floats]:
    """Give the a >= 0 and b >= 0 of least squares for one c, and their sum of squares; each of shape (r,)."""
    x = sizes**-c
    dx, level = x - x.mean(), means.mean(axis=1)
    b = np.maximum(means @ dx / (dx @ dx), 0.0)
    a = level - b * x.mean()
    b = np.where(a < 0, means @ x / (x @ x), b)
    a = np.maximum(a, 0.0)
    loss = ((means - a[:, None] - b[:, None] * x) ** 2).sum(axis=1)
    return a, b, np.asarray(loss)


def _resampled_means(groups: list[Floats], resamples: int, generator: np.random.Generator) -> Floats:
    """Draw errors of the sizes, shape (resamples, s), from the deviations of all seeds from their size's mean."""
    many = [group for group in groups if len(group) > 1]
    deviations = np.concatenate([_widened(group) for group in many])
    freedom = sum(len(group) - 1 for group in many)
    factor = float(stats.t.ppf(0.975, freedom) / stats.norm.ppf(0.975))
    means = [
        group.mean() + factor * generator.choice(deviations, (resamples, len(group))).mean(axis=1)
        for group in groups
    ]
    return np.asarray(np.maximum(np.stack(means, axis=1), 0.0))


def _widened(group: Floats) -> Floats:
    m = len(group)
    return np.asarray((group - group.mean()) * np.sqrt(m / (m - 1)))


def _inverse(laws: Floats, error: float) -> Floats:
    """Give the n at which laws (r, 3) reach an error; infinite where they never do."""
    a, b, c = laws.T
    above = error - a
    with np.errstate(divide="ignore", over="ignore"):
        n = np.where(above > 0, (b / np.where(above > 0, above, 1.0)) ** (1 / c), np.inf)
    return np.asarray(n)
