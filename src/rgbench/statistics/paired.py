"""The difference of each pair of networks, on the same sources.

Recognition (MPCA, accuracy) on one test set has score intervals, and losses (NLL, Brier score) have those of Hall's
transformed t; their coverage has been measured. Other metrics, and test sets that differ from seed to seed, have the
percentile bootstrap over sources, which is too narrow below some hundred sources. What the runs bring is added in
squares.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from math import hypot, isnan, sqrt

import numpy as np
from numpy.typing import NDArray

from rgbench.measures.cards import MAIN, MetricCard
from rgbench.statistics.intervals import interval
from rgbench.statistics.losses import mean_ends
from rgbench.statistics.recognition import Answers, Difference, Part, difference
from rgbench.statistics.significance import excludes_zero, holm

_HALVINGS = 40
WANTED = 0.02
"""Difference in recognition that one would like to resolve."""


@dataclass(frozen=True)
class PairedDifference:
    """How two networks differ in a metric.

    Attributes
    ----------
    first, second : str
        The networks; the first has the better mean.
    difference, low, high : float
        First minus second, with its interval, as fractions; the interval ends where no difference can be larger, and
        is NaN where these sources give none.
    p_value : float
        Two-sided, of the interval or of the bootstrap, Holm-corrected over all pairs; NaN without an interval.
    resolvable : float
        Smallest difference that this test, its sources and its runs, would most likely have shown; infinite if it would
        have shown none, NaN without an interval.
    separable : bool
        Whether the two are told apart: the corrected p-value is below 1 - confidence. Without one they are not.
    metric : str
        The metric.
    confidence : float
        Coverage of the interval.
    n_test : int
        Number of test sources.
    pairs : int
        Number of pairs that were looked at.
    wanted, needed : float
        A difference, and the number of test sources that would resolve it: infinite if these runs never would, NaN if
        it is not known.
    single : tuple of bool
        Whether the first, and the second, is a single run whose seed the interval knows nothing of.
    words : str
        The same in a sentence, without its full stop; empty until `rgbench.compare` has filled it in.
    """

    first: str
    second: str
    difference: float
    low: float
    high: float
    p_value: float
    resolvable: float
    separable: bool
    metric: str = MAIN
    confidence: float = 0.95
    n_test: int = 0
    pairs: int = 1
    wanted: float = WANTED
    needed: float = float("nan")
    single: tuple[bool, bool] = (False, False)
    words: str = ""


@dataclass(frozen=True)
class Sample:
    """A network's metric, as measured and on every resample.

    Attributes
    ----------
    network : str
        Its name.
    values : ndarray of float64, shape (runs,)
        The metric of each run.
    resamples : ndarray of float64, shape (runs, n_resamples)
        The same on every resample of the test sources.
    splits : tuple of str, runs
        The split of each run.
    shared : bool
        Whether all splits have the same test sources, as folds do.
    y : ndarray of int64, shape (n,)
        True classes; none if the metric is not a mean of losses, or the test sources differ.
    losses : ndarray of float64, shape (runs, n)
        Losses of which each value is the mean.
    """

    network: str
    values: NDArray[np.float64]
    resamples: NDArray[np.float64]
    splits: tuple[str, ...]
    shared: bool = True
    y: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    losses: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 0)))

    def by_split(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Give values (splits,) and resamples (splits, n_resamples), averaged over the seeds of each split."""
        own = self._rows()
        return (
            np.array([self.values[each].mean() for each in own]),
            np.stack([self.resamples[each].mean(axis=0) for each in own]),
        )

    def mean_losses(self) -> NDArray[np.float64]:
        """Give the losses (n,), averaged over the seeds of each split, then over splits; none where there are none."""
        if not len(self.y):
            return np.zeros(0)
        return np.asarray(np.mean([self.losses[each].mean(axis=0) for each in self._rows()], axis=0))

    def _rows(self) -> list[NDArray[np.bool_]]:
        rows = np.array(self.splits)
        return [rows == split for split in sorted(set(self.splits))]

    def part(self) -> Part | None:
        """Give what the runs bring to their mean; None for a single run."""
        if len(set(self.splits)) > 1:
            return _split_part(self.by_split()[0], self.shared)
        return _seed_part(self.values, self.resamples) if len(self.values) > 1 else None


def _split_part(values: NDArray[np.float64], folds: bool) -> Part:
    """Give the error of a mean over folds, or over random splits with test sources of their own.

    The scatter over random splits is in part that of their sources, which the resamples have already. It is not taken
    off: of a few splits the rest is known so badly that the interval would be too narrow (benchmarks/coverage_runs.py).
    """
    k = len(values)
    between = float(np.var(values, ddof=1))
    return Part(sqrt(between * (1 / k + 1 / (k - 1) if folds else 1 / k)), k - 1)


def _seed_part(values: NDArray[np.float64], resamples: NDArray[np.float64]) -> Part:
    """Give the error of a mean over seeds on one split, less what single sources bring to it."""
    k = len(values)
    within = float(np.var(resamples - resamples.mean(axis=0), axis=1).mean()) * k / (k - 1)
    return Part(sqrt(max(float(np.var(values, ddof=1)) - within, 0.0) / k), k - 1)


def widened(
    value: float, ends: tuple[float, float], parts: Sequence[Part], confidence: float
) -> tuple[float, float]:
    """Add what runs bring to the interval of the test sources, in squares."""
    low, high = ends
    halves = [part.half(confidence) for part in parts]
    return value - hypot(max(value - low, 0.0), *halves), value + hypot(max(high - value, 0.0), *halves)


def recognition_differences(
    answers: list[Answers], confidence: float, metric: str = MAIN
) -> list[PairedDifference]:
    """Compare every pair of networks by what they recognise, networks best first.

    Two networks are told apart where the p-value that belongs to the interval, corrected by Holm over all pairs, is
    below 1 - confidence; the interval that is shown is of the pair alone.
    """
    pairs = list(combinations(answers, 2))
    found = [difference(first, second, confidence) for first, second in pairs]
    corrected = holm([each.p_value for each in found])
    told = [
        _told(first.network, second.network, each, p)
        for (first, second), each, p in zip(pairs, found, corrected, strict=True)
    ]
    return [replace(pair, metric=metric, pairs=len(pairs)) for pair in told]


def _told(first: str, second: str, found: Difference, p_value: float) -> PairedDifference:
    span, resolution = found.interval, found.resolution
    return PairedDifference(
        first,
        second,
        span.value,
        span.low,
        span.high,
        p_value,
        _possible(resolution.smallest(), 1.0),
        p_value < 1 - span.confidence,
        confidence=span.confidence,
        n_test=resolution.n,
        needed=resolution.needed(WANTED),
        single=found.single,
    )


def paired_differences(
    samples: list[Sample], card: MetricCard, confidence: float, n_test: int
) -> list[PairedDifference]:
    """Compare every pair of networks; samples must come from the same resampled sources.

    Parameters
    ----------
    samples : list of Sample
        Networks, best first.
    card : MetricCard
        The metric's.
    confidence : float
        Coverage of the intervals, e.g. 0.95.
    n_test : int
        Number of test sources.

    Returns
    -------
    list of PairedDifference
        Pairs in the order of the samples, p-values corrected by Holm (1979).
    """
    most = card.largest_difference
    pairs = [_compare(first, second, confidence, most) for first, second in combinations(samples, 2)]
    corrected = holm([pair.p_value for pair in pairs])
    return [
        replace(
            pair,
            p_value=p,
            separable=p < 1 - confidence,
            metric=card.name,
            confidence=confidence,
            n_test=n_test,
            pairs=len(pairs),
        )
        for pair, p in zip(pairs, corrected, strict=True)
    ]


def _compare(first: Sample, second: Sample, confidence: float, most: float) -> PairedDifference:
    (mine, my_draws), (other, their_draws) = first.by_split(), second.by_split()
    drawn, value = my_draws.mean(axis=0) - their_draws.mean(axis=0), float(mine.mean() - other.mean())
    losses = first.mean_losses() - second.mean_losses()

    def ends(at: float) -> tuple[float, float]:
        return mean_ends(first.y, losses, at) if len(losses) else interval(drawn, at)

    if len(mine) > 1:
        parts: tuple[Part | None, ...] = (_split_part(mine - other, first.shared),)
    else:
        parts = (first.part(), second.part())
    known = [part for part in parts if part is not None]
    low, high = widened(value, ends(confidence), known, confidence)
    if isnan(low) or isnan(high):
        return PairedDifference(first.network, second.network, value, *(float("nan"),) * 4, False)
    p = max(_p_value(value, ends, known), 0.0 if len(losses) else 1 / (drawn.size + 1))
    resolvable = _possible((high - low) / 2, most)
    low, high = max(low, -most), min(high, most)
    return PairedDifference(first.network, second.network, value, low, high, p, resolvable, False)


def _possible(difference: float, most: float) -> float:
    """Give a difference, infinite where it is more than there can be."""
    return difference if difference <= most else float("inf")


def _p_value(value: float, ends: Callable[[float], tuple[float, float]], parts: Sequence[Part]) -> float:
    """Search the confidence at which the interval ends at 0."""
    inside, outside = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (inside + outside) / 2
        low, high = widened(value, ends(middle), parts, middle)
        separable = 0 < middle < 1 and excludes_zero(low, high)
        inside, outside = (middle, outside) if separable else (inside, middle)
    return 1 - inside
