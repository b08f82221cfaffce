"""What new test sources, new seeds and new folds would change of what networks recognise.

An interval here is for a mean over runs. Its half width is the square root of a sum of squares (MOVER, Zou & Donner
2008) of parts: the test sources, whose part is a score interval; and the runs, whose part is Student's t times a
standard error. What it means depends on the runs:

* seeds on one split: the scatter of the seeds, less what single sources bring to it (`seed_error`). With three seeds
  Student's t has 2 degrees of freedom and is 4.30, not 1.96: from three seeds one does not know better. For three
  seeds that scatter by about 2 points, test sources alone give 95 % intervals that hold the truth in 78 % of the cases
  with 400 sources and in 55 % with 2,000; a t-test over seeds leaves out that the test set is a sample too, and has
  84 % where seeds do not scatter (``benchmarks/coverage.py``);
* folds, which share training sources: the seeds of a fold are averaged first, and the variance of the mean of k folds
  is (1/k + 1/(k - 1)) times that of the k values, not 1/k (Nadeau & Bengio 2003);
* a single run: nothing is known of other seeds, and the interval is for this run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import hypot, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, t

from rgbench.statistics.resampled import seed_error, source_ends_at
from rgbench.statistics.significance import Floats, Interval, score_mean_interval

POWER = 0.8
_HALVINGS = 60
_QUANTILES = np.concatenate([np.linspace(0.01, 4, 80), np.linspace(4.2, 8, 20)])
"""Normal quantiles between which p-values are interpolated."""


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
        return Answers(self.network, self.y, self.right[keep], tuple(self.splits[i] for i in keep))

    def by_fold(self) -> Floats:
        """Give the share of the seeds that are right, shape (folds, n)."""
        rows = np.array(self.splits)
        return np.stack([self.right[rows == fold].mean(axis=0) for fold in self.folds])

    def mean(self) -> Floats:
        """Give the mean over folds of the mean over seeds, shape (n,)."""
        return np.asarray(self.by_fold().mean(axis=0))


@dataclass(frozen=True)
class Part:
    """What runs bring: a standard error of a mean over them, and its degrees of freedom."""

    error: float
    degrees: int

    def half(self, confidence: float) -> float:
        """Give Student's t times the error."""
        return self.error * float(t.ppf((1 + confidence) / 2, self.degrees))


@dataclass(frozen=True)
class Resolution:
    """What a test could have shown.

    Attributes
    ----------
    n : int
        Number of test sources.
    source_error : float
        Standard error that they bring to the difference.
    parts : tuple of Part
        What the runs bring.
    confidence : float
        Of the interval that decides.
    """

    n: int
    source_error: float
    parts: tuple[Part, ...]
    confidence: float

    def smallest(self, n: float | None = None) -> float:
        """Give the difference that is found in `POWER` of the cases, with n test sources or those there are."""
        error = self.source_error * sqrt(self.n / n) if n else self.source_error
        z, power = (float(norm.ppf(p)) for p in ((1 + self.confidence) / 2, POWER))
        half = hypot(z * error, *(part.half(self.confidence) for part in self.parts))
        return half + power * hypot(error, *(part.error for part in self.parts))

    def needed(self, difference: float) -> float:
        """Give the number of test sources that resolve a difference; infinite if these runs never would."""
        if self.smallest(float("inf")) >= difference:
            return float("inf")
        low, high = 0.0, 60.0  # natural logarithm of n
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            low, high = (middle, high) if self.smallest(float(np.exp(middle))) > difference else (low, middle)
        return float(np.exp(high))


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
    """

    interval: Interval
    p_value: float
    resolution: Resolution
    single: tuple[bool, bool]


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
        for i, value, low, high in zip(own, (right / n).mean(axis=1), *ends, strict=True):
            part = run_part(many[i])
            halves = [] if part is None else [part.half(confidence)]
            found[i] = _widened(float(value), (float(low), float(high)), halves, confidence, (0.0, 1.0))
    return [found[i] for i in range(len(many))]


def _counted(answers: Answers) -> tuple[Floats, float]:
    """Give what is right and sizes of the classes (2, k), and how much less a mean over runs scatters than one run."""
    mean = answers.mean()
    classes = [mean[answers.y == c] for c in np.unique(answers.y)]
    right, n = np.array([own.sum() for own in classes]), np.array([float(len(own)) for own in classes])
    most = float(np.sum(right / n * (1 - right / n) / n))
    own = float(np.sum([np.var(each) / len(each) for each in classes]))
    return np.stack([right, n]), sqrt(min(1.0, own / most) if most > 0 else 1.0)


def run_part(answers: Answers) -> Part | None:
    """Give what the runs of one network bring; None for a single run."""
    if len(answers.folds) > 1:
        return _fold_part(_scores(answers.y, answers.by_fold()))
    seeds = len(answers.right)
    return Part(seed_error(answers.y, answers.right), seeds - 1) if seeds > 1 else None


def difference(first: Answers, second: Answers, confidence: float = 0.95) -> Difference:
    """Compare two networks on the same test sources; where both have folds, on the folds that both have.

    Examples
    --------
    >>> y, i, s = np.arange(400) % 4, np.arange(400), np.arange(3)[:, None]
    >>> one, other = ((i + s) % 10 > 0), ((i + 7 * s) % 5 > 0)
    >>> found = difference(*(Answers(name, y, right, ("published",) * 3) for name, right in (("a", one), ("b", other))))
    >>> [round(x, 3) for x in (found.interval.value, found.interval.low, found.interval.high)], found.p_value < 0.001
    ([0.1, 0.08, 0.121], True)
    """
    first, second = _on_common_folds(first, second)
    gaps, parts = first.mean() - second.mean(), _pair_parts(first, second)
    z = np.concatenate([[norm.ppf((1 + confidence) / 2)], _QUANTILES])
    low, high, value = source_ends_at(first.y, gaps, z)
    squares = sum((part.error * t.isf(norm.sf(z), part.degrees)) ** 2 for part in parts) + np.zeros(len(z))
    below, above = (
        value - np.sqrt((value - low) ** 2 + squares),
        value + np.sqrt((high - value) ** 2 + squares),
    )
    span = Interval(value, max(float(below[0]), -1.0), min(float(above[0]), 1.0), confidence)
    resolution = Resolution(len(first.y), float(high[0] - low[0]) / 2 / float(z[0]), parts, confidence)
    single = (len(first.right) == 1, len(second.right) == 1)
    return Difference(span, _p_value(below[1:] if value > 0 else -above[1:]), resolution, single)


def _p_value(ends: Floats) -> float:
    """Give the p-value at which the nearer end of the interval, at `_QUANTILES`, is 0; NaN without an interval."""
    if np.isnan(ends).any():
        return float("nan")
    if ends[0] <= 0:
        return 1.0
    last = int(np.flatnonzero(ends > 0)[-1]) if ends[-1] <= 0 else len(ends) - 1
    if last == len(ends) - 1:
        return float(2 * norm.sf(_QUANTILES[-1]))
    share = ends[last] / (ends[last] - ends[last + 1])
    return float(2 * norm.sf(_QUANTILES[last] + share * (_QUANTILES[last + 1] - _QUANTILES[last])))


def _pair_parts(first: Answers, second: Answers) -> tuple[Part, ...]:
    if len(first.folds) > 1:
        scores = _scores(first.y, first.by_fold() - second.by_fold())
        return (_fold_part(scores),)
    found = (run_part(first), run_part(second))
    return tuple(part for part in found if part is not None)


def _fold_part(scores: Floats) -> Part:
    k = len(scores)
    return Part(float(np.std(scores, ddof=1)) * sqrt(1 / k + 1 / (k - 1)), k - 1)


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


def _widened(
    value: float,
    ends: tuple[float, float],
    halves: Sequence[float],
    confidence: float,
    legal: tuple[float, float],
) -> Interval:
    low, high = value - hypot(value - ends[0], *halves), value + hypot(ends[1] - value, *halves)
    return Interval(value, max(legal[0], low), min(legal[1], high), confidence)
