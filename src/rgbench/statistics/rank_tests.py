"""Networks across several data sets: ranks, and what may be said of them.

Symbols: N data sets, k networks; scores (N, k), one number for each network on each data set, e.g. its mean
over seeds. Data sets must not share sources, or they count twice (`rgbench.data.leakage`).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2, f, rankdata, studentized_range

from rgbench.errors import SpecError
from rgbench.statistics.resampled import Posterior

Floats = NDArray[np.float64]
_BLOCK = 10_000


@dataclass(frozen=True)
class Friedman:
    """Friedman's test of whether networks differ at all, with Iman & Davenport's better version.

    Attributes
    ----------
    ranks : ndarray of float64, shape (k,)
        Mean rank of each network over the data sets; 1 is best.
    statistic, p_value : float
        Friedman's chi-squared, k - 1 degrees of freedom, corrected for ties.
    f_statistic, f_p_value : float
        Iman & Davenport's F, less conservative; infinite, with p = 0, if all data sets have one order.
    n_sets : int
        Number of data sets.
    """

    ranks: Floats
    statistic: float
    p_value: float
    f_statistic: float
    f_p_value: float
    n_sets: int


@dataclass(frozen=True)
class Nemenyi:
    """Nemenyi's test of all pairs of networks, by their mean ranks.

    Attributes
    ----------
    ranks : ndarray of float64, shape (k,)
        Mean ranks; 1 is best.
    critical_difference : float
        Smallest difference of two mean ranks that is significant.
    p_values : ndarray of float64, shape (k, k)
        Adjusted for all pairs; 1 on the diagonal.
    alpha : float
        Level of the test.
    """

    ranks: Floats
    critical_difference: float
    p_values: Floats
    alpha: float

    @property
    def groups(self) -> tuple[tuple[int, ...], ...]:
        """Largest groups of networks that cannot be told apart, best first: the bars of Demsar's diagram."""
        order = np.argsort(self.ranks, kind="stable")
        ordered, found, last = self.ranks[order], [], 0
        for begin in range(len(order)):
            end = int(np.sum(ordered < ordered[begin] + self.critical_difference))
            if end - begin > 1 and end > last:
                found.append(tuple(int(i) for i in order[begin:end]))
                last = end
        return tuple(found)


def friedman(scores: Floats, higher_is_better: bool = True) -> Friedman:
    """Test by Friedman's test whether networks differ across data sets.

    Parameters
    ----------
    scores : ndarray of float64, shape (N, k)
        Rows are data sets, 2 or more; columns networks, 3 or more.
    higher_is_better : bool
        Which way is better.

    Raises
    ------
    SpecError
        If the table is too small or a score is not finite: give a network that failed the worst score.

    References
    ----------
    Friedman 1940, Ann. Math. Stat. 11, 86; Iman & Davenport 1980; Demsar 2006, JMLR 7, 1.

    Examples
    --------
    >>> test = friedman(np.array([[0.8, 0.7, 0.6], [0.9, 0.8, 0.7], [0.7, 0.75, 0.5], [0.6, 0.5, 0.4]]))
    >>> test.ranks.tolist(), test.statistic
    ([1.25, 1.75, 3.0], 6.5)
    """
    _check(scores, 3)
    ranks, (n, k) = _ranks(scores, higher_is_better), scores.shape
    mean = ranks.mean(axis=0)
    # Without ties the spread of the ranks of a data set is k (k^2 - 1) / 12.
    spread = float(np.sum((ranks - (k + 1) / 2) ** 2)) / (n * (k - 1))
    statistic = n * float(np.sum((mean - (k + 1) / 2) ** 2)) / spread if spread > 0 else 0.0
    rest = n * (k - 1) - statistic
    f_statistic = (n - 1) * statistic / rest if rest > 1e-9 else float("inf")
    return Friedman(
        mean,
        statistic,
        float(chi2.sf(statistic, k - 1)),
        f_statistic,
        float(f.sf(f_statistic, k - 1, (k - 1) * (n - 1))),
        n,
    )


def friedman_permutation(
    scores: Floats, generator: np.random.Generator, draws: int = 20_000, higher_is_better: bool = True
) -> float:
    """Give the p-value of Friedman's test by permutations, for as few data sets as there are.

    Parameters
    ----------
    scores : ndarray
        As in `friedman`.
    generator : numpy.random.Generator
        Source of chance.
    draws : int
        Number of permutations of the ranks within every data set.
    higher_is_better : bool
        As in `friedman`.

    Returns
    -------
    float
        Share of the permutations, the observed order among them, whose statistic is as large or larger.

    Raises
    ------
    SpecError
        As `friedman`.

    Notes
    -----
    Chi-squared and F are limits for many data sets. With three networks on three data sets that agree,
    they give 0.0498 and 0, where 1 of 36 orders, 0.028, is as extreme.

    References
    ----------
    Friedman 1937, J. Am. Stat. Assoc. 32, 675, section IV.

    Examples
    --------
    >>> p = friedman_permutation(np.tile([0.9, 0.8, 0.7], (3, 1)), np.random.default_rng(0))
    >>> abs(p - 1 / 36) < 0.005
    True
    """
    _check(scores, 3)
    ranks = _ranks(scores, higher_is_better)
    # With the ranks of every data set given, the statistic grows with the squares of the rank sums alone.
    observed, reached = float(np.sum(ranks.sum(axis=0) ** 2)), 0
    for begin in range(0, draws, _BLOCK):
        size = min(_BLOCK, draws - begin)
        drawn = generator.permuted(np.broadcast_to(ranks, (size, *ranks.shape)), axis=2)
        reached += int(np.sum(np.sum(drawn.sum(axis=1) ** 2, axis=1) >= observed - 1e-9))
    return (1 + reached) / (1 + draws)


def sets_needed(networks: int, difference: float, alpha: float = 0.05) -> int:
    """Give the number of data sets from which Nemenyi's test tells two mean ranks apart.

    Parameters
    ----------
    networks : int
        Number of networks, 2 or more.
    difference : float
        Difference of the mean ranks, above 0: 1 between neighbours that never change places, the number of
        networks less 1 between the first and the last of an order that is always the same.
    alpha : float
        Level, in (0, 1).

    Raises
    ------
    SpecError
        If a number is out of range.

    Examples
    --------
    >>> sets_needed(3, 2), sets_needed(3, 1)
    (3, 11)
    """
    if networks < 2 or not difference > 0 or not 0 < alpha < 1:
        raise SpecError(
            f"networks, difference and alpha: found {networks}, {difference} and {alpha}; legal are 2 and more, "
            "above 0, and above 0 and below 1"
        )
    quantile = float(studentized_range.ppf(1 - alpha, networks, np.inf))
    return ceil(quantile**2 * networks * (networks + 1) / (12 * difference**2))


def nemenyi(scores: Floats, alpha: float = 0.05, higher_is_better: bool = True) -> Nemenyi:
    """Compare all pairs of networks across data sets by Nemenyi's test.

    Parameters
    ----------
    scores : ndarray of float64, shape (N, k)
        Rows are data sets, 2 or more; columns networks, 2 or more.
    alpha : float
        Level, in (0, 1).
    higher_is_better : bool
        Which way is better.

    Raises
    ------
    SpecError
        If the table is too small, a score is not finite, or the level is out of range.

    Notes
    -----
    The critical difference is q sqrt(k (k + 1) / (6 N)), q from the Studentised range, divided by sqrt(2).

    References
    ----------
    Nemenyi 1963; Demsar 2006, JMLR 7, 1.

    Examples
    --------
    >>> scores = np.tile([0.8, 0.7, 0.6, 0.5], (14, 1))
    >>> round(nemenyi(scores).critical_difference, 2), nemenyi(scores).groups
    (1.25, ((0, 1), (1, 2), (2, 3)))
    """
    _check(scores, 2)
    if not 0 < alpha < 1:
        raise SpecError(f"alpha: found {alpha}; legal are numbers above 0 and below 1")
    (n, k), mean = scores.shape, _ranks(scores, higher_is_better).mean(axis=0)
    unit = float(np.sqrt(k * (k + 1) / (12 * n)))
    differences = np.abs(mean[:, None] - mean) / unit
    p_values = np.clip(np.asarray(studentized_range.sf(differences, k, np.inf)), 0, 1)
    np.fill_diagonal(p_values, 1)
    return Nemenyi(mean, float(studentized_range.ppf(1 - alpha, k, np.inf)) * unit, p_values, alpha)


def signed_rank(
    differences: Floats,
    generator: np.random.Generator,
    rope: float = 0.01,
    prior: float = 0.5,
    draws: int = 50_000,
) -> Posterior:
    """Give the chances of better, equal and worse across data sets, by the Bayesian signed-rank test.

    Parameters
    ----------
    differences : ndarray of float64, shape (N,)
        Difference of the two networks on each data set, first minus second.
    generator : numpy.random.Generator
        Source of chance.
    rope : float
        Half width of the region of practical equivalence, 0 or more.
    prior : float
        Weight of the one data set with no difference that the prior adds, above 0.
    draws : int
        Number of draws from the posterior, a Dirichlet process.

    Returns
    -------
    Posterior
        Each chance is the share of the draws in which that answer is the most probable.

    Raises
    ------
    SpecError
        If there is no finite difference, or the region or the prior is out of range.

    References
    ----------
    Benavoli, Mangili, Corani, Zaffalon & Ruggeri 2014, ICML; Benavoli et al. 2017, JMLR 18 (77).

    Examples
    --------
    >>> posterior = signed_rank(np.full(8, 0.05), np.random.default_rng(0))
    >>> posterior.right > 0.99
    True
    """
    if differences.ndim != 1 or not len(differences) or not np.isfinite(differences).all():
        raise SpecError(f"differences: finite ones are needed, (N,), found shape {differences.shape}")
    if not (rope >= 0 and prior > 0):
        raise SpecError(f"rope and prior: found {rope} and {prior}; legal are 0 and more, and above 0")
    z = np.append(0.0, differences)
    sums, alpha = z[:, None] + z, np.append(prior, np.ones(len(differences)))
    above, below = _beyond(sums, 2 * rope), _beyond(-sums, 2 * rope)
    won = np.zeros(3)
    for begin in range(0, draws, _BLOCK):
        w = generator.dirichlet(alpha, size=min(_BLOCK, draws - begin))
        left, right = ((w @ side * w).sum(axis=1) for side in (below, above))
        chances = np.stack([left, 1 - left - right, right], axis=1)
        best = chances >= chances.max(axis=1, keepdims=True) - 1e-12
        won += (best / best.sum(axis=1, keepdims=True)).sum(axis=0)
    left, equal, right = (float(share) for share in won / draws)
    return Posterior(left, equal, right, rope)


def _beyond(sums: Floats, limit: float) -> Floats:
    """Tell which pairs lie beyond the limit; one on the limit counts half."""
    return np.asarray((sums > limit) + 0.5 * (sums == limit), dtype=np.float64)


def _ranks(scores: Floats, higher_is_better: bool) -> Floats:
    return np.asarray(rankdata(-scores if higher_is_better else scores, axis=1), dtype=np.float64)


def _check(scores: Floats, networks: int) -> None:
    fits = scores.ndim == 2 and scores.shape[0] >= 2 and scores.shape[1] >= networks
    if not fits or not np.isfinite(scores).all():
        raise SpecError(
            f"scores: finite ones of 2 or more data sets (rows) and {networks} or more networks (columns) "
            f"are needed, found shape {scores.shape}"
        )
