"""What new test sources, new seeds and new folds would change of what networks recognise.

An interval here is for a mean over runs. Its half width is the root of a sum of squares (MOVER, Zou & Donner 2008) of
parts: the test sources, whose part is a score interval; and the runs, whose part is a standard error. In the interval
of a difference both are taken as many times as the distribution of the whole asks for
(`rgbench.statistics.seed_scatter`). In that of one network, which has no second one to even out what seeds do, the
runs count as many times as Student's t says. The runs:

* seeds on one split: the scatter of the seeds, less what single sources bring to it (`scatter_of_seeds`). Test sources
  alone give 95 % intervals that hold the truth in 78 % of the cases with 400 sources and in 55 % with 2,000, for three
  seeds that scatter by about 2 points; a t-test over seeds leaves out that the test set is a sample too, and has
  84 % where seeds do not scatter (``benchmarks/coverage.py``);
* folds, which share training sources: the seeds of a fold are averaged first, and then the folds (`scatter_of_splits`);
* a single run: nothing is known of other seeds, and the interval is for this run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import norm

from rgbench.statistics.resampled import scatter_of_seeds, scatter_of_splits, source_ends, widened
from rgbench.statistics.seed_scatter import Reference, Scatter, SeedScatter, reference
from rgbench.statistics.significance import Floats, Interval, score_mean_interval

POWER = 0.8
_HALVINGS = 25
_ONE = float(norm.ppf(0.975))
"""Standard errors of the interval that tells how large one is: a score interval is not quite in proportion to it."""
_QUANTILES = np.unique(np.concatenate([np.linspace(0.01, 4, 60), [_ONE], np.linspace(4.2, 8, 12), [12, 24]]))
"""Standard errors at which the ends of intervals are worked out; between them they are interpolated.

With a third as many, p-values change by up to 0.002 with 200 test sources and by 0.02 with 8: the ends bend sharply
where few sources tell two networks apart.
"""
_AT_ONE = int(np.searchsorted(_QUANTILES, _ONE))


@dataclass(frozen=True)
class Answers:
    """What a network's runs recognise of one test set.

    Attributes
    ----------
    network : str
        Its name.
    y : ndarray of int64, shape (n,)
        True classes; one class for all where accuracy is asked for.
    right : ndarray of bool or float64, shape (runs, n)
        Whether each run is right; or how much of each source, from -1 to 1, is to be averaged.
    splits : tuple of str, runs
        The split of each run, e.g. its fold.
    """

    network: str
    y: NDArray[np.int64]
    right: NDArray[np.bool_] | Floats
    splits: tuple[str, ...]

    @property
    def folds(self) -> tuple[str, ...]:
        """The different splits, in the order of their names."""
        return tuple(sorted(set(self.splits)))

    def on(self, folds: Sequence[str]) -> Answers:
        """Give the runs on some of the splits."""
        keep = [i for i, split in enumerate(self.splits) if split in folds]
        return replace(self, right=self.right[keep], splits=tuple(self.splits[i] for i in keep))

    def by_fold(self) -> Floats:
        """Give the share of the seeds that are right, shape (folds, n)."""
        rows = np.array(self.splits)
        return np.stack([self.right[rows == fold].mean(axis=0) for fold in self.folds])

    def mean(self) -> Floats:
        """Give the mean over folds of the mean over seeds, shape (n,)."""
        return np.asarray(self.by_fold().mean(axis=0))


@dataclass(frozen=True)
class Resolution:
    """What a test could have shown.

    Attributes
    ----------
    n : int
        Number of test sources.
    source_error : float
        Standard error that they bring to the difference.
    scatters : tuple of SeedScatter or SplitScatter
        What the runs bring.
    confidence : float
        Of the interval that decides.
    """

    n: int
    source_error: float
    scatters: tuple[Scatter, ...]
    confidence: float

    def smallest(self, n: float | None = None) -> float:
        """Give the difference that is found in `POWER` of the cases, with n test sources or those there are."""
        spread = reference(self.source_error * sqrt(self.n / n) if n else self.source_error, self.scatters)
        # Of other studies like this one, as the seeds of this one may scatter less than they mostly would.
        error, deviation = np.median(spread.deviations / spread.ratios), np.median(spread.deviations)
        return float(spread.critical(self.confidence) * error + float(ndtri(POWER)) * deviation)

    def needed(self, difference: float) -> float:
        """Give the number of test sources that resolve a difference; infinite if these runs never would."""
        if self.smallest(float("inf")) >= difference:
            return float("inf")
        low, high = 0.0, 60.0  # natural logarithm of n
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            low, high = (middle, high) if self.smallest(float(np.exp(middle))) > difference else (low, middle)
        return float(np.exp(high))

    def more_seeds(self, seeds: int) -> Resolution:
        """Give what is expected of so many seeds more of each network; itself where no seeds are behind it."""
        more = (each.more(seeds) if isinstance(each, SeedScatter) else each for each in self.scatters)
        return replace(self, scatters=tuple(more))


@dataclass(frozen=True)
class Difference:
    """The difference of two networks, with what is behind its interval.

    Attributes
    ----------
    interval : Interval
        First minus second.
    p_value : float
        Two-sided: 1 less the largest confidence at which the interval excludes 0.
    resolution : Resolution
        What this test could have shown.
    single : tuple of bool
        Whether the first, and the second, is a single run.
    better : float
        Chance that the first is the better one, where nothing but these runs and sources is known.
    """

    interval: Interval
    p_value: float
    resolution: Resolution
    single: tuple[bool, bool]
    better: float


def mean_interval(answers: Answers, confidence: float = 0.95) -> Interval:
    """Give the interval of a network's mean over its runs, for new test sources and new seeds or folds.

    Examples
    --------
    >>> y, i, s = np.arange(400) % 4, np.arange(400), np.arange(3)[:, None]
    >>> span = mean_interval(Answers("a", y, (i + s) % 10 > 0, ("published",) * 3))
    >>> [round(x, 3) for x in (span.value, span.low, span.high)]
    [0.9, 0.884, 0.914]
    """
    return mean_intervals([answers], confidence)[0]


def mean_intervals(many: Sequence[Answers], confidence: float = 0.95) -> list[Interval]:
    """Give `mean_interval` of several at once, which is faster than one by one."""
    z, counted = float(norm.ppf((1 + confidence) / 2)), [_counted(answers) for answers in many]
    found: dict[int, Interval] = {}
    for k in {each[0].shape[1] for each in counted}:
        own = [i for i, each in enumerate(counted) if each[0].shape[1] == k]
        right, n = np.stack([counted[i][0] for i in own], axis=1)
        ends = score_mean_interval(right, n, z * np.array([counted[i][1] for i in own]))
        for i, mean, below, above in zip(own, (right / n).mean(axis=1), *ends, strict=True):
            value, scatters = float(mean), run_scatters(many[i])
            low, high = widened(value, (float(below), float(above)), scatters, confidence)
            found[i] = Interval(value, max(0.0, low), min(1.0, high), confidence)
    return [found[i] for i in range(len(many))]


def _counted(answers: Answers) -> tuple[Floats, float]:
    """Give what is right and sizes of the classes (2, k), and how much less a mean over runs scatters than one run."""
    mean = answers.mean()
    classes = [mean[answers.y == c] for c in np.unique(answers.y)]
    right, n = np.array([own.sum() for own in classes]), np.array([float(len(own)) for own in classes])
    most = float(np.sum(right / n * (1 - right / n) / n))
    own = float(np.sum([np.var(each) / len(each) for each in classes]))
    return np.stack([right, n]), sqrt(min(1.0, own / most) if most > 0 else 1.0)


def change_intervals(
    cases: Sequence[tuple[NDArray[np.int64], Floats]], confidence: float = 0.95
) -> list[Interval]:
    """Give the intervals of means over runs of what changes, run by run, for new test sources and new seeds.

    Parameters
    ----------
    cases : sequence of (y, change)
        True classes (n,), and what each run gains or loses of each source (runs, n), from -1 to 1; runs are seeds.
    confidence : float
        Coverage of the intervals.
    """
    means = [(y, change.mean(axis=0)) for y, change in cases]
    ends = source_ends(means, np.array([norm.ppf((1 + confidence) / 2)]))
    found = []
    for (y, change), (below, above, value) in zip(cases, ends, strict=True):
        scatters = [scatter_of_seeds(y, change)] if len(change) > 1 else []
        low, high = widened(value, (float(below[0]), float(above[0])), scatters, confidence)
        found.append(Interval(value, max(-1.0, low), min(1.0, high), confidence))
    return found


def run_scatters(answers: Answers) -> tuple[Scatter, ...]:
    """Give what the runs of one network bring; nothing for a single run."""
    if len(answers.folds) > 1:
        return (scatter_of_splits(_scores(answers.y, answers.by_fold()), folds=True),)
    if len(answers.right) < 2:
        return ()
    return (scatter_of_seeds(answers.y, answers.right),)


def difference(first: Answers, second: Answers, confidence: float = 0.95) -> Difference:
    """Compare two networks on the same test sources; where both have folds, on the folds that both have.

    Examples
    --------
    >>> y, i, s = np.arange(400) % 4, np.arange(400), np.arange(3)[:, None]
    >>> one, other = ((i + s) % 10 > 0), ((i + 7 * s) % 5 > 0)
    >>> found = difference(*(Answers(name, y, right, ("published",) * 3) for name, right in (("a", one), ("b", other))))
    >>> [round(x, 3) for x in (found.interval.value, found.interval.low, found.interval.high)], found.p_value < 0.001
    ([0.1, 0.075, 0.126], True)
    """
    return differences([(first, second)], confidence)[0]


def differences(pairs: Sequence[tuple[Answers, Answers]], confidence: float = 0.95) -> list[Difference]:
    """Give `difference` of several pairs at once, which is faster than one by one."""
    pairs = [_on_common_folds(first, second) for first, second in pairs]
    ends = source_ends([(first.y, first.mean() - second.mean()) for first, second in pairs], _QUANTILES)
    return [
        _difference(first, second, low, high, value, confidence)
        for (first, second), (low, high, value) in zip(pairs, ends, strict=True)
    ]


def _difference(
    first: Answers, second: Answers, low: Floats, high: Floats, value: float, confidence: float
) -> Difference:
    """Compare two networks, given the ends at `_QUANTILES` of the interval that test sources alone set."""
    scatters = _pair_scatters(first, second)
    source_error = float(high[_AT_ONE] - low[_AT_ONE]) / 2 / _ONE
    spread = reference(source_error, scatters)
    squares = sum(scatter.error**2 for scatter in scatters) * _QUANTILES**2
    below, above = (
        value - np.sqrt((value - low) ** 2 + squares),
        value + np.sqrt((high - value) ** 2 + squares),
    )
    z = spread.critical(confidence)
    span = Interval(value, max(_at(z, below), -1.0), min(_at(z, above), 1.0), confidence)
    return Difference(
        span,
        _p_value(below if value > 0 else -above, spread),
        Resolution(len(first.y), source_error, scatters, confidence),
        (len(first.right) == 1, len(second.right) == 1),
        spread.above_zero(value),
    )


def _at(z: float, ends: Floats) -> float:
    """Interpolate ends at `_QUANTILES`, or go on beyond the last in a straight line."""
    beyond = max(z - _QUANTILES[-1], 0.0) * (ends[-1] - ends[-2]) / (_QUANTILES[-1] - _QUANTILES[-2])
    return float(np.interp(z, _QUANTILES, ends) + beyond)


def _p_value(ends: Floats, spread: Reference) -> float:
    """Give the p-value at which the nearer end of the interval, at `_QUANTILES`, is 0; NaN without an interval."""
    if np.isnan(ends).any():
        return float("nan")
    if ends[0] <= 0:
        return 1.0
    last = int(np.flatnonzero(ends > 0)[-1]) if ends[-1] <= 0 else len(ends) - 1
    if last == len(ends) - 1:
        return float(spread.tail(_QUANTILES[-1]))
    share = ends[last] / (ends[last] - ends[last + 1])
    return float(spread.tail(_QUANTILES[last] + share * (_QUANTILES[last + 1] - _QUANTILES[last])))


def _pair_scatters(first: Answers, second: Answers) -> tuple[Scatter, ...]:
    if len(first.folds) > 1:
        return (scatter_of_splits(_scores(first.y, first.by_fold() - second.by_fold()), folds=True),)
    return (*run_scatters(first), *run_scatters(second))


def gap(first: Answers, second: Answers) -> float:
    """Give the value of `difference` alone, which needs no interval to be found.

    Examples
    --------
    >>> y, all_right = np.array([0, 0, 1]), np.ones((1, 3), dtype=bool)
    >>> gap(Answers("a", y, all_right, ("",)), Answers("b", y, all_right & (y == 0), ("",)))
    0.5
    """
    first, second = _on_common_folds(first, second)
    return float(_scores(first.y, (first.mean() - second.mean())[None])[0])


def _on_common_folds(first: Answers, second: Answers) -> tuple[Answers, Answers]:
    """Keep the runs on folds that both have; all runs, where they have none in common."""
    common = [fold for fold in first.folds if fold in second.folds]
    return (first.on(common), second.on(common)) if common else (first, second)


def _scores(y: NDArray[np.int64], values: Floats) -> Floats:
    """Give the mean over classes of the means of values (rows, n)."""
    return np.asarray(np.mean([values[:, y == c].mean(axis=1) for c in np.unique(y)], axis=0))
