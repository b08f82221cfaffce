"""The difference of each pair of networks, on the same sources.

Recognition (MPCA, accuracy) has score intervals, whose coverage has been measured; other metrics have the
percentile bootstrap, which is too narrow on small test sets (``benchmarks/coverage.py``).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from rgbench.comparison.intervals import interval
from rgbench.comparison.power import answer, observed_design, smallest_difference
from rgbench.comparison.resampled import seed_interval
from rgbench.comparison.significance import class_weights, holm, mpca_difference_interval, permutation_test
from rgbench.seeds import numpy_generator


@dataclass(frozen=True)
class PairedDifference:
    """How two networks differ in a metric.

    Attributes
    ----------
    first, second : str
        The networks; the first has the better mean.
    difference, low, high : float
        First minus second, with its interval, as fractions.
    p_value : float
        Two-sided, Holm-corrected over all pairs: of the permutation test of one answer per network, the mean
        over its runs, or of the bootstrap.
    resolvable : float
        Smallest difference that these test sources would most likely have shown; NaN where it is not known.
    words : str
        The same in a sentence.
    """

    first: str
    second: str
    difference: float
    low: float
    high: float
    p_value: float
    resolvable: float
    words: str = ""

    @property
    def separable(self) -> bool:
        """Whether the interval excludes zero."""
        return not self.low <= 0 <= self.high


@dataclass(frozen=True)
class Sample:
    """A network's metric, as measured and on every resample."""

    network: str
    value: float
    resamples: NDArray[np.float64]


@dataclass(frozen=True)
class Answers:
    """What a network's runs recognise of one test set.

    Attributes
    ----------
    network : str
        Its name.
    y : ndarray of int64, shape (n,)
        True classes; one class for all where accuracy is asked for.
    right : ndarray of bool, shape (runs, n)
        Whether each run is right.
    consensus : ndarray of bool, shape (n,)
        Whether the mean probability over the runs is.
    """

    network: str
    y: NDArray[np.int64]
    right: NDArray[np.bool_]
    consensus: NDArray[np.bool_]


def recognition_differences(answers: list[Answers], confidence: float) -> list[PairedDifference]:
    """Compare every pair of networks by what they recognise, networks best first.

    The interval is for new test sources and, where both networks have two runs or more, new seeds.
    """
    pairs = [_recognised(first, second, confidence) for first, second in combinations(answers, 2)]
    corrected = holm([pair.p_value for pair in pairs])
    return [replace(pair, p_value=p) for pair, p in zip(pairs, corrected, strict=True)]


def _recognised(first: Answers, second: Answers, confidence: float) -> PairedDifference:
    y, n = first.y, len(first.y)
    if min(len(first.right), len(second.right)) > 1:
        span = seed_interval(y, first.right, second.right, confidence).interval
    else:
        one, other = first.right.mean(axis=0) > 0.5, second.right.mean(axis=0) > 0.5
        span = mpca_difference_interval(y, one, other, confidence)
    generator = numpy_generator(0, "bootstrap", permutation=n)
    test = permutation_test(first.consensus, second.consensus, class_weights(y), generator)
    design = observed_design(y, first.consensus, second.consensus)
    return PairedDifference(
        first.network,
        second.network,
        span.value,
        span.low,
        span.high,
        test.p_value,
        smallest_difference(n, design),
        answer(first.network, second.network, span, n, design),
    )


def paired_differences(samples: list[Sample], confidence: float, n_test: int) -> list[PairedDifference]:
    """Compare every pair of networks; samples must come from the same resampled sources.

    Parameters
    ----------
    samples : list of Sample
        Networks, best first.
    confidence : float
        Coverage of the intervals, e.g. 0.95.
    n_test : int
        Number of test sources, for the sentence.

    Returns
    -------
    list of PairedDifference
        Pairs in the order of the samples, p-values corrected by Holm (1979).
    """
    pairs = [_compare(first, second, confidence) for first, second in combinations(samples, 2)]
    corrected = holm([pair.p_value for pair in pairs])
    pairs = [replace(pair, p_value=p) for pair, p in zip(pairs, corrected, strict=True)]
    return [replace(pair, words=_sentence(pair, confidence, n_test)) for pair in pairs]


def _compare(first: Sample, second: Sample, confidence: float) -> PairedDifference:
    differences = first.resamples - second.resamples
    low, high = interval(differences, confidence)
    below, above = np.mean(differences <= 0), np.mean(differences >= 0)
    p = min(1.0, 2 * max(float(min(below, above)), 1 / (len(differences) + 1)))
    return PairedDifference(
        first.network, second.network, first.value - second.value, low, high, p, (high - low) / 2
    )


def _sentence(pair: PairedDifference, confidence: float, n_test: int) -> str:
    low, high = 100 * pair.low, 100 * pair.high
    span = f"{100 * confidence:.0f} % interval {low:.1f} to {high:.1f}"
    if pair.separable:
        return f"{pair.first} beats {pair.second} by {100 * pair.difference:.1f} points ({span})"
    return (
        f"{pair.first} and {pair.second} cannot be told apart with {n_test} test sources: "
        f"{100 * pair.difference:+.1f} points ({span})"
    )
