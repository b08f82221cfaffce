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
from math import hypot, isnan

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from rgbench.measures.cards import MAIN, MetricCard
from rgbench.statistics.all_pairs import all_pairs, unbeaten
from rgbench.statistics.intervals import interval
from rgbench.statistics.losses import mean_ends
from rgbench.statistics.recognition import POWER, Answers, Difference, differences
from rgbench.statistics.resampled import scatter_of_splits, widened
from rgbench.statistics.seed_scatter import Scatter, SeedScatter
from rgbench.statistics.significance import excludes_zero, holm

_HALVINGS = 40
_ONE_ERROR = float(2 * ndtr(1) - 1)
"""Confidence of an interval that is a standard error to either side."""
MORE_SEEDS = 2
"""Seeds of each network that one would add next."""
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
        Two-sided, of the interval or of the bootstrap, corrected over all pairs; NaN without an interval.
    resolvable : float
        Smallest difference that this test, its sources and its runs, would most likely have shown among so many pairs;
        infinite if it would have shown none, NaN without an interval.
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
    better : float
        Chance that the first is the better one, where nothing but these runs and sources is known; NaN if that was not
        worked out.
    with_more_seeds : float
        What would be `resolvable` with `MORE_SEEDS` seeds more of each network that has several; infinite if that was
        not worked out.
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
    better: float = float("nan")
    with_more_seeds: float = float("inf")
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

    def scatters(self) -> tuple[Scatter, ...]:
        """Give what the runs bring to their mean; nothing for a single run."""
        if len(set(self.splits)) > 1:
            return (scatter_of_splits(self.by_split()[0], folds=self.shared),)
        return (_scatter_on_resamples(self.values, self.resamples),) if len(self.values) > 1 else ()


def _scatter_on_resamples(values: NDArray[np.float64], resamples: NDArray[np.float64]) -> SeedScatter:
    """Give how seeds on one split scatter; what single sources bring to it is how differently resamples move them."""
    k = len(values)
    within = float(np.var(resamples - resamples.mean(axis=0), axis=1).mean()) * k / (k - 1)
    return SeedScatter(float(np.var(values, ddof=1)), within, k)


@dataclass(frozen=True)
class Pairs:
    """All pairs of networks, and which of these may be the best.

    Attributes
    ----------
    pairs : tuple of PairedDifference
        In the order of the networks.
    maybe_best : tuple of str
        Networks of which no other is told to be better.
    """

    pairs: tuple[PairedDifference, ...] = ()
    maybe_best: tuple[str, ...] = ()


def recognition_differences(
    answers: Sequence[Answers], confidence: float, metric: str = MAIN, looks: int = 1
) -> Pairs:
    """Compare every pair of networks by what they recognise, networks best first.

    Two networks are told apart where the p-value that belongs to the interval, corrected over all pairs
    (`rgbench.statistics.all_pairs`), is below 1 - confidence; the interval that is shown is of the pair alone.
    Where seeds were added until pairs were decided, `looks` is how often this was to be asked at most, and p-values are
    so many times as large (Bonferroni): equal networks are then told apart at any of the looks as seldom as at one.
    """
    pairs = list(combinations(answers, 2))
    found = differences(pairs, confidence)
    joint = all_pairs(answers, found, 1 - (1 - confidence) / looks)
    told = [
        replace(
            _told(first.network, second.network, each, min(p * looks, 1.0), joint.confidence),
            metric=metric,
            pairs=len(pairs),
        )
        for (first, second), each, p in zip(pairs, found, joint.p_values, strict=True)
    ]
    return Pairs(tuple(told), tuple(answers[i].network for i in joint.maybe_best))


def _told(first: str, second: str, found: Difference, p_value: float, decides: float) -> PairedDifference:
    span, resolution = found.interval, replace(found.resolution, confidence=decides)
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
        better=found.better,
        with_more_seeds=_possible(resolution.more_seeds(MORE_SEEDS).smallest(), 1.0),
    )


def paired_differences(
    samples: list[Sample], card: MetricCard, confidence: float, n_test: int, looks: int = 1
) -> Pairs:
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
    looks : int
        As of `recognition_differences`.

    Returns
    -------
    Pairs
        In the order of the samples, p-values corrected by Holm (1979).
    """
    most, both = card.largest_difference, list(combinations(samples, 2))
    decides = 1 - (1 - confidence) / (looks * max(len(both), 1))
    pairs = [_compare(first, second, confidence, decides, most) for first, second in both]
    corrected = [p if isnan(p) else min(p * looks, 1.0) for p in holm([pair.p_value for pair in pairs])]
    told = tuple(
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
    )
    ahead = [(pair.difference > 0) == card.higher_is_better for pair in told]
    best = unbeaten(len(samples), ahead, [pair.separable for pair in told])
    return Pairs(told, tuple(samples[i].network for i in best))


def _compare(
    first: Sample, second: Sample, confidence: float, decides: float, most: float
) -> PairedDifference:
    """Compare two networks; `decides` is the confidence of the interval that Holm's first step asks for."""
    (mine, my_draws), (other, their_draws) = first.by_split(), second.by_split()
    drawn, value = my_draws.mean(axis=0) - their_draws.mean(axis=0), float(mine.mean() - other.mean())
    losses = first.mean_losses() - second.mean_losses()

    def ends(at: float) -> tuple[float, float]:
        return mean_ends(first.y, losses, at) if len(losses) else interval(drawn, at)

    if len(mine) > 1:
        scatters: tuple[Scatter, ...] = (scatter_of_splits(mine - other, folds=first.shared),)
    else:
        scatters = (*first.scatters(), *second.scatters())
    low, high = widened(value, ends(confidence), scatters, confidence)
    if isnan(low) or isnan(high):
        return PairedDifference(first.network, second.network, value, *(float("nan"),) * 4, False)
    p = max(_p_value(value, ends, scatters), 0.0 if len(losses) else 1 / (drawn.size + 1))
    error = hypot(_half(ends(_ONE_ERROR)), *(scatter.error for scatter in scatters))
    resolvable = _half(widened(value, ends(decides), scatters, decides)) + float(ndtri(POWER)) * error
    low, high = max(low, -most), min(high, most)
    return PairedDifference(
        first.network, second.network, value, low, high, p, _possible(resolvable, most), False
    )


def _half(ends: tuple[float, float]) -> float:
    return (ends[1] - ends[0]) / 2


def _possible(difference: float, most: float) -> float:
    """Give a difference, infinite where it is more than there can be."""
    return difference if difference <= most else float("inf")


def _p_value(
    value: float, ends: Callable[[float], tuple[float, float]], scatters: Sequence[Scatter]
) -> float:
    """Search the confidence at which the interval ends at 0."""
    inside, outside = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (inside + outside) / 2
        low, high = widened(value, ends(middle), scatters, middle)
        separable = 0 < middle < 1 and excludes_zero(low, high)
        inside, outside = (middle, outside) if separable else (inside, middle)
    return 1 - inside
