"""How far other seeds would move a network, and how sure one can be of that from a few of them.

The scores of S seeds on one split have a variance s^2. A part w of it is the luck of single sources, which the interval
for new test sources holds already; the rest, tau^2, is how far seeds move the network as such:
s^2 (S - 1) / (tau^2 + w) has a chi-squared distribution of S - 1 degrees of freedom. Three seeds tell tau badly, and
Student's t of two degrees of freedom says so with a factor of 4.30, as if a network that scatters by 2 points could as
well scatter by 40. Nobody has seen that; so tau has a prior, the half-Cauchy distribution of Gelman (2006) with a
scale of `SCALE`, whose long tail lets a network scatter by more where its seeds say so.

A difference of two networks, less its true value and divided by its standard error as it is found, then has a
distribution that is a mixture of normal ones: tau from its posterior, and the standard error from the chi-squared
distribution that belongs to this tau (`Reference`). It decides how many standard errors the interval has on either
side. The interval of the mean of one network keeps Student's t (`rgbench.statistics.recognition`).

``benchmarks/coverage_runs.py`` measures what this holds and what else was tried; docs/comparison-record.md has its
tables.

References
----------
Gelman 2006, Bayesian Analysis 1, 515 (the prior); Box 1980, J. R. Stat. Soc. A 143, 383 (reference distributions that
are drawn from what is known).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace
from functools import cache
from math import sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import ndtr
from scipy.stats import chi2, qmc

Floats = NDArray[np.float64]

SCALE = 0.04
"""Scale of the prior of tau, a fraction: half of all networks scatter by less than 4 points."""
_WIDEST = 0.5
"""Scale of the prior of that scale, where networks of a study tell it: nearly flat where they are."""
_SCALES = tuple(np.geomspace(1e-3, 0.4, 25).tolist())
_TAUS = np.concatenate([[0.0], np.geomspace(1e-4, 1.0, 100)])
_LEAST = 1e-9
"""Variance below which there is none: a thousandth of a point, squared."""
_POWER_OF_TWO = 10
_FARTHEST = 1e4


@dataclass(frozen=True)
class SeedScatter:
    """How the scores of a network's seeds scatter.

    Attributes
    ----------
    variance : float
        Of the scores of single seeds, s^2.
    single : float
        Part of it that single sources bring, w.
    seeds : int
        Number of seeds, 2 or more.
    scales : tuple of float
        Chances of the values `_SCALES` of the scale of the prior, as other networks tell them (`borrow`); left out, it
        is `SCALE`.
    """

    variance: float
    single: float
    seeds: int
    scales: tuple[float, ...] = ()

    @property
    def error(self) -> float:
        """Standard error of the mean over the seeds that seeds as such bring."""
        return sqrt(max(self.variance - self.single, 0.0) / self.seeds)

    @property
    def degrees(self) -> int:
        """Degrees of freedom."""
        return self.seeds - 1

    def more(self, seeds: int) -> SeedScatter:
        """Give what is expected of so many seeds more."""
        return replace(self, seeds=self.seeds + seeds)

    def likelihood(self) -> Floats:
        """Give how likely the values `_TAUS` of tau make the variance that is seen; the largest is 1."""
        total, degrees = np.maximum(_TAUS**2 + self.single, _LEAST), self.seeds - 1
        logs = -degrees / 2 * (np.log(total) + self.variance / total)
        return np.asarray(np.exp(logs - logs.max()))

    def posterior(self) -> Floats:
        """Give the chances of the values `_TAUS` of tau; they sum to 1."""
        prior = np.array(self.scales) @ _priors(_SCALES) if self.scales else _priors((SCALE,))[0]
        chances = self.likelihood() * prior
        return np.asarray(chances / chances.sum())

    def taus(self, chances: Floats) -> Floats:
        """Give quantiles of tau."""
        return np.asarray(np.interp(chances, np.concatenate([[0.0], np.cumsum(self.posterior())]), _edges()))


@dataclass(frozen=True)
class SplitScatter:
    """What splits, folds or random ones, bring to a mean over them.

    Attributes
    ----------
    error : float
        Standard error of the mean.
    splits : int
        Number of splits, 2 or more.
    """

    error: float
    splits: int

    @property
    def degrees(self) -> int:
        """Degrees of freedom."""
        return self.splits - 1


Scatter = SeedScatter | SplitScatter
"""What the runs of a network bring to their mean: `error`, its standard error, of so many `degrees` of freedom."""


@dataclass(frozen=True)
class Reference:
    """What a value, less its true value and divided by its standard error, is distributed like.

    Attributes
    ----------
    error : float
        The standard error: the root of the sum of the squares of what sources and runs bring.
    ratios : ndarray of float64, shape (draws,)
        Standard deviations of normal distributions, equally likely, of which it is a mixture.
    deviations : ndarray of float64, shape (draws,)
        Standard deviations of the value around the true one.
    """

    error: float
    ratios: Floats
    deviations: Floats

    def tail(self, z: float | Floats) -> Floats:
        """Give the chance to be at least z standard errors off, either way; of each z."""
        return np.asarray(2 * ndtr(-np.divide.outer(z, self.ratios)).mean(axis=-1))

    def critical(self, confidence: float) -> float:
        """Give the number of standard errors within which the share `confidence` lies."""
        return float(brentq(lambda z: float(self.tail(z)) - (1 - confidence), 0.0, _FARTHEST, xtol=1e-9))

    def above_zero(self, value: float) -> float:
        """Give the chance that the true value is above 0, where a value was found and nothing else is known of it."""
        return float(ndtr(np.divide(value, self.deviations)).mean())


def borrow(scatters: Sequence[SeedScatter]) -> list[SeedScatter]:
    """Let each network of a study know by how much the others scatter: the scale of its prior is that of the study.

    Examples
    --------
    Among networks that scatter by 0.5 points, one more that does needs a smaller factor than alone:

    >>> alone = SeedScatter(0.005**2, 0, 3)
    >>> [round(reference(0.005, [one]).critical(0.95), 2) for one in (alone, borrow([alone] * 10)[0])]
    [2.33, 2.14]
    """
    if not scatters:
        return []
    told = np.array([np.log(_priors(_SCALES) @ each.likelihood()) for each in scatters])
    logs = np.log(_prior_of_scales()) + told.sum(axis=0, keepdims=True) - told
    chances = np.exp(logs - logs.max(axis=1, keepdims=True))
    chances /= chances.sum(axis=1, keepdims=True)
    return [replace(each, scales=tuple(own)) for each, own in zip(scatters, chances.tolist(), strict=True)]


def reference(source_error: float, scatters: Sequence[Scatter]) -> Reference:
    """Give the reference distribution of a value.

    Parameters
    ----------
    source_error : float
        Standard error that the test sources bring.
    scatters : sequence of SeedScatter or SplitScatter
        What the runs of one network, or of each of two, bring; none of single runs: the value is of these runs then,
        and its distribution is normal.

    Examples
    --------
    Seeds that scatter by 2 points beside a source error of 2 points; many seeds, and known sources alone:

    >>> three, many = SeedScatter(0.02**2, 0, 3), SeedScatter(0.02**2, 0, 100)
    >>> [round(reference(0.02, found).critical(0.95), 2) for found in ([three, three], [many, many], [])]
    [2.25, 1.96, 1.96]
    """
    least = max(source_error**2, _LEAST)
    true, seen = np.full(1, least), np.full(1, least)
    # In one order, so that a difference turned around has the same distribution.
    for i, scatter in enumerate(sorted(scatters, key=astuple)):
        one, other = _points()[:, 2 * i], _points()[:, 2 * i + 1]
        if isinstance(scatter, SeedScatter):
            tau, k = scatter.taus(one), scatter.seeds
            variance = (tau**2 + scatter.single) * _chi_squared(k - 1, 2 * i + 1) / (k - 1)
            true = true + tau**2 / k
            seen = seen + np.maximum(variance - scatter.single, 0.0) / k
        else:
            true = true + scatter.error**2 * scatter.degrees / chi2.ppf(other, scatter.degrees)
            seen = seen + scatter.error**2
    error = sqrt(least + sum(scatter.error**2 for scatter in scatters))
    return Reference(error, np.sqrt(true / seen), np.sqrt(true))


@cache
def _edges() -> Floats:
    """Give the ends of the ranges for which the `_TAUS` stand."""
    return np.concatenate([_TAUS[:1], (_TAUS[1:] + _TAUS[:-1]) / 2, _TAUS[-1:]])


@cache
def _priors(scales: tuple[float, ...]) -> Floats:
    """Give the prior chances of `_TAUS` for each scale, (scales, taus)."""
    chances = np.diff(np.arctan(_edges() / np.array(scales)[:, None]), axis=1)
    return np.asarray(chances / chances.sum(axis=1, keepdims=True))


@cache
def _prior_of_scales() -> Floats:
    """Give the prior chances of `_SCALES`, which stand closer where they are smaller."""
    scales = np.array(_SCALES)
    chances = scales / (1 + (scales / _WIDEST) ** 2)
    return np.asarray(chances / chances.sum())


@cache
def _points() -> Floats:
    """Give points that fill a cube of four dimensions evenly: the same ones always, so that a result is no chance."""
    return np.asarray(qmc.Sobol(4, rng=np.random.default_rng(0)).random_base2(_POWER_OF_TWO))


@cache
def _chi_squared(degrees: int, column: int) -> Floats:
    return np.asarray(chi2.ppf(_points()[:, column], degrees))
