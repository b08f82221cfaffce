"""Two networks trained several times: with several seeds on one split, or on several folds.

Runs that share sources are not independent. Seeds on one test set share its luck, however many they are; folds
share most of their training sources. So neither a t-test over seeds nor one over folds is right, and there
are two ways out: the noise of seeds (`scatter_of_seeds`) or folds (`scatter_of_splits`) is added to that of the test
set (`source_ends`), by `widened` for one network and by `rgbench.statistics.recognition.difference` for two;
`corrected_t` and `correlated_t` widen a t-test over folds for what their training sets share.

Values and differences are fractions, first minus second; words say points, i.e. percent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import hypot, sqrt

import numpy as np
from scipy.stats import t

from rgbench.errors import SpecError
from rgbench.statistics.seed_scatter import Scatter, SeedScatter, SplitScatter
from rgbench.statistics.significance import (
    Flags,
    Floats,
    Interval,
    Labels,
    class_weights,
    score_difference_interval,
)

_ROUNDING = 1e-12
"""A difference of scores that is smaller is what rounding leaves of none."""


@dataclass(frozen=True)
class CorrectedT:
    """The corrected resampled t-test.

    Attributes
    ----------
    interval : Interval
        Mean difference over the splits, with its interval.
    statistic : float
        Student's t; infinite if all splits agree on a difference that is not 0.
    degrees : int
        Degrees of freedom.
    p_value : float
        Two-sided.
    """

    interval: Interval
    statistic: float
    degrees: int
    p_value: float


@dataclass(frozen=True)
class Posterior:
    """Chances of the three answers, given a region of practical equivalence (ROPE).

    Attributes
    ----------
    left : float
        Chance that the second is better, by more than the region.
    rope : float
        Chance that they are as good as equal.
    right : float
        Chance that the first is better, by more than the region.
    region : float
        Half width of the region, a fraction.
    """

    left: float
    rope: float
    right: float
    region: float


def corrected_t(
    differences: Floats, test_share: float, confidence: float = 0.95, most: float = float("inf")
) -> CorrectedT:
    """Test differences over resampled splits by the t-test of Nadeau & Bengio.

    Parameters
    ----------
    differences : ndarray of float64, shape (splits,) or (seeds, splits)
        Differences of the two networks on each split, folds of several repeats one after another; seeds on
        one split are averaged, for they are no new splits.
    test_share : float
        Share of the sources of a split that it tests on: n_test / (n_test + n_train), 1/k for k folds.
    confidence : float
        Coverage of the interval, in (0, 1).
    most : float
        Largest size that a difference can have, 1 for shares: the interval ends there, and holds the true difference as
        often as without an end.

    Raises
    ------
    SpecError
        If there are fewer than two splits, a difference is not finite, or a share is out of range.

    Notes
    -----
    The variance of the mean is (1 / splits + n_test / n_train) times that of the differences, where
    independent splits would have 1 / splits: more repeats never make it vanish.

    References
    ----------
    Nadeau & Bengio 2003, Machine Learning 52, 239.

    Examples
    --------
    >>> test = corrected_t(np.array([0.02, 0.03, 0.01, 0.04, 0.05]), test_share=0.2)
    >>> round(test.statistic, 3), round(test.p_value, 3)
    (2.828, 0.047)
    """
    mean, scale, degrees = _correlated(differences, test_share)
    _check_share("confidence", confidence)
    half = float(t.ppf((1 + confidence) / 2, degrees)) * scale
    statistic = mean / scale if scale > 0 else float(np.sign(mean) * np.inf) if mean else 0.0
    return CorrectedT(
        Interval(mean, max(mean - half, -most), min(mean + half, most), confidence),
        statistic,
        degrees,
        float(2 * t.sf(abs(statistic), degrees)),
    )


def correlated_t(differences: Floats, test_share: float, rope: float = 0.01) -> Posterior:
    """Give the chances of better, equal and worse, over resampled splits, by the Bayesian correlated t-test.

    Parameters
    ----------
    differences, test_share : ndarray, float
        As in `corrected_t`. The correlation of two splits is taken to be the test share.
    rope : float
        Half width of the region of practical equivalence, 0 or more; 0.01 is one point.

    Raises
    ------
    SpecError
        As `corrected_t`, and if the region is negative.

    References
    ----------
    Corani & Benavoli 2015, Machine Learning 100, 285; Benavoli, Corani, Demsar & Zaffalon 2017, JMLR 18 (77).

    Examples
    --------
    >>> posterior = correlated_t(np.array([0.02, 0.03, 0.01, 0.04, 0.05]), test_share=0.2)
    >>> round(posterior.right, 2), round(posterior.rope, 2), round(posterior.left, 2)
    (0.93, 0.06, 0.01)
    """
    if not rope >= 0:
        raise SpecError(f"rope: found {rope}; legal are 0 and more")
    mean, scale, degrees = _correlated(differences, test_share)
    if scale == 0:
        left, right = float(mean < -rope), float(mean > rope)
    else:
        left = float(t.cdf((-rope - mean) / scale, degrees))
        right = float(t.sf((rope - mean) / scale, degrees))
    return Posterior(left, max(0.0, 1 - left - right), right, rope)


def _correlated(differences: Floats, test_share: float) -> tuple[float, float, int]:
    """Give mean, its standard error for correlated splits, and degrees of freedom."""
    d = differences.mean(axis=0) if differences.ndim == 2 else differences
    if d.ndim != 1 or len(d) < 2 or not np.isfinite(d).all():
        raise SpecError(
            "differences: finite ones of 2 or more splits are needed, (splits,) or (seeds, splits), "
            f"found shape {differences.shape}"
        )
    _check_share("test_share", test_share)
    # What rounding leaves of equal scores is no difference, and of equal differences no spread.
    mean = float(d.mean()) if abs(d.mean()) > _ROUNDING else 0.0
    spread = float(np.std(d, ddof=1)) if np.ptp(d) > _ROUNDING else 0.0
    return mean, spread * float(np.sqrt(1 / len(d) + test_share / (1 - test_share))), len(d) - 1


def source_ends(cases: Sequence[tuple[Labels, Floats]], z: Floats) -> list[tuple[Floats, Floats, float]]:
    """Give the ends of the intervals that test sources alone set to means over seeds, and the means.

    Many cases at once are faster than one by one.

    Parameters
    ----------
    cases : sequence of (y, d)
        True classes (n,), and of each source what is averaged over the seeds, from -1 to 1, shape (n,): a difference of
        two networks, for one.
    z : ndarray of float64, shape (levels,)
        Normal quantiles at which the ends are asked for, e.g. 1.96.

    Returns
    -------
    list of (low, high, mean)
        Of each case the ends, (levels,) each, and the mean over its classes of the means of d.

    Examples
    --------
    >>> y, d = np.arange(200) % 4, (np.arange(200) < 20) / 2
    >>> (low, high, mean), = source_ends([(y, d)], np.array([1.96]))
    >>> round(mean, 3), low.round(3).tolist(), high.round(3).tolist()
    (0.05, [0.033], [0.075])
    """
    counted = [_counted(y, d) for y, d in cases]
    found: dict[int, tuple[Floats, Floats, float]] = {}
    # Cases of as many classes go together.
    for k in {each[0].shape[1] for each in counted}:
        own = [i for i, each in enumerate(counted) if each[0].shape[1] == k]
        above, below, n = np.stack([counted[i][0] for i in own], axis=1)[:, :, None]
        narrower = np.array([counted[i][1] for i in own])[:, None]
        shape = (len(own), len(z), k)
        above, below, n = (np.broadcast_to(each, shape) for each in (above, below, n))
        low, high = score_difference_interval(above, below, n, z * narrower)
        found |= {i: (low[row], high[row], counted[i][2]) for row, i in enumerate(own)}
    return [found[i] for i in range(len(cases))]


def _counted(y: Labels, d: Floats) -> tuple[Floats, float, float]:
    """Give sums above 0, below 0, and sizes of the classes (3, k); how much less d scatters than signs; the mean."""
    classes = [d[y == c] for c in np.unique(y)]
    n = np.array([len(own) for own in classes], dtype=np.float64)
    above = np.array([np.maximum(own, 0).sum() for own in classes])
    below = np.array([np.maximum(-own, 0).sum() for own in classes])
    mean = (above - below) / n
    # Variance if every source said -1, 0 or 1; means over seeds lie between, and scatter less.
    most = float(np.sum(((above + below) / n - mean**2) / n))
    own = float(np.sum((np.array([np.mean(values**2) for values in classes]) - mean**2) / n))
    dispersion = own / most if most > 0 else 1.0
    return np.stack([above, below, n]), float(np.sqrt(np.clip(dispersion, 0, 1))), float(mean.mean())


def scatter_of_seeds(y: Labels, flags: Flags | Floats) -> SeedScatter:
    """Give how the scores of seeds scatter, and how much of it single sources bring.

    Parameters
    ----------
    y : ndarray of int64, shape (n,)
        True classes.
    flags : ndarray of bool or float64, shape (seeds, n)
        Whether each run is right, or what each source loses, of 2 seeds or more.
    """
    weights, scores = class_weights(y), flags.astype(np.float64)
    seeds = len(scores)
    within = 0.0
    for c in np.unique(y):
        own = scores[:, y == c]
        n = own.shape[1]
        rest = own - own.mean(axis=0) - own.mean(axis=1, keepdims=True) + own.mean()
        weight = weights[y == c][0]
        within += float(np.sum(rest**2)) / (max(n - 1, 1) * (seeds - 1)) * n * weight**2
    return SeedScatter(float(np.var(scores @ weights, ddof=1)), within, seeds)


def scatter_of_splits(values: Floats, folds: bool) -> SplitScatter:
    """Give what splits bring to a mean over them.

    Parameters
    ----------
    values : ndarray of float64, shape (splits,)
        The value on each split, a mean over its seeds.
    folds : bool
        Whether the splits are folds, which share training sources: the variance of the mean of k folds is
        (1/k + 1/(k - 1)) times that of the k values, not 1/k (Nadeau & Bengio 2003). The scatter over random splits
        with test sources of their own is in part that of these sources, which is counted already. It is not taken
        off: of a few splits the rest is known so badly that the interval would be too narrow
        (``benchmarks/coverage_runs.py``).

    Examples
    --------
    >>> values = np.array([0.8, 0.82, 0.84])
    >>> round(scatter_of_splits(values, folds=False).error, 4), round(scatter_of_splits(values, folds=True).error, 4)
    (0.0115, 0.0183)
    """
    k = len(values)
    shares = 1 / k + 1 / (k - 1) if folds else 1 / k
    return SplitScatter(float(np.std(values, ddof=1)) * sqrt(shares), k)


def widened(
    value: float, ends: tuple[float, float], scatters: Sequence[Scatter], confidence: float
) -> tuple[float, float]:
    """Add what runs bring to the ends of the interval that test sources set, in squares.

    Student's t says how many times the standard error of the runs counts.

    Examples
    --------
    >>> widened(0.8, (0.77, 0.82), [], 0.95)
    (0.77, 0.82)
    >>> [round(end, 3) for end in widened(0.8, (0.77, 0.82), [SplitScatter(0.01, 3)], 0.95)]
    [0.748, 0.847]
    """
    low, high = ends
    halves = [each.error * float(t.ppf((1 + confidence) / 2, each.degrees)) for each in scatters]
    return value - hypot(max(value - low, 0.0), *halves), value + hypot(max(high - value, 0.0), *halves)


def _check_share(key: str, value: float) -> None:
    if not 0 < value < 1:
        raise SpecError(f"{key}: found {value}; legal are numbers above 0 and below 1")
