"""What a test set can show: what its labels allow, and whether two networks are told apart, in a sentence.

All differences are fractions.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor, log10, sqrt

import numpy as np

from rgbench.errors import SpecError
from rgbench.numbers import points
from rgbench.statistics.recognition import Difference
from rgbench.statistics.significance import Interval

_FEWEST = 10


@dataclass(frozen=True)
class LabelCeiling:
    """What wrong labels allow.

    Attributes
    ----------
    agreement : float
        Share of the sources on which the test labels agree with other labels.
    label_accuracy : float
        Share of the test labels that are right.
    shrinkage : float
        An observed difference in accuracy is this times the true one.
    """

    agreement: float
    label_accuracy: float
    shrinkage: float

    @property
    def ceiling(self) -> float:
        """Accuracy that a network that is always right is expected to reach on these labels."""
        return self.label_accuracy

    @property
    def words(self) -> str:
        """The ceiling in a sentence."""
        return (
            f"labels agree for {100 * self.agreement:.0f} % of the sources: if both err as often, a network that "
            f"is always right would score about {100 * self.ceiling:.0f} %, and a true difference of 1 point shows "
            f"as {self.shrinkage:.2f}"
        )


def label_ceiling(agreement: float, n_classes: int, other_is_true: bool = False) -> LabelCeiling:
    """Give the best accuracy that wrong labels leave, and how much they shrink a difference.

    Parameters
    ----------
    agreement : float
        Share of the sources on which the labels of the test set agree with other labels of the same sources.
    n_classes : int
        Number of classes k, 2 or more.
    other_is_true : bool
        Whether the others are always right; else both are taken to err equally often, apart from each other.

    Raises
    ------
    SpecError
        If the agreement is not above chance 1/k and at most 1, or there are fewer than 2 classes.

    Notes
    -----
    The model is simple: labels err with the same chance for every source, to any other class alike, and
    networks do not learn to err with them. If q of the labels are right, a network with true accuracy a is
    observed to have a q + (1 - a) (1 - q) / (k - 1), and differences shrink by q - (1 - q) / (k - 1). Two
    catalogues that err alike agree on q^2 + (1 - q)^2 / (k - 1), which is solved for q. Hard sources are in
    truth mislabelled more often, and a network can learn the habits of a catalogue and beat this ceiling.

    Examples
    --------
    >>> label_ceiling(0.68, 4).words
    'labels agree for 68 % of the sources: if both err as often, a network that is always right would score
    about 82 %, and a true difference of 1 point shows as 0.76'
    """
    k = n_classes
    if k < 2 or not 1 / k < agreement <= 1:
        raise SpecError(
            f"agreement and n_classes: found {agreement} and {k}; legal are numbers above chance, up to 1, and "
            "2 or more"
        )
    q = agreement if other_is_true else (1 + sqrt((k - 1) * (k * agreement - 1))) / k
    return LabelCeiling(agreement, q, q - (1 - q) / (k - 1))


def answer(
    names: tuple[str, str], found: Difference, apart: bool, pairs: int = 1, wanted: float = 0.02
) -> str:
    """Say in a sentence whether two networks differ, and what would be needed to tell.

    Parameters
    ----------
    names : (str, str)
        The networks.
    found : Difference
        First minus second, as from `rgbench.statistics.recognition.difference`.
    apart : bool
        Whether they are told apart, all pairs counted.
    pairs : int
        Number of pairs that were looked at.
    wanted : float
        Difference that one would like to resolve.

    Examples
    --------
    >>> from rgbench.statistics.recognition import Difference, Resolution
    >>> sharp, dull = Resolution(800, 0.014, (), 0.95), Resolution(200, 0.017, (), 0.95)
    >>> answer(("ConvXpress", "MCRGNet"), Difference(Interval(0.031, 0.004, 0.058), 0.02, sharp, (False, False)), True)
    'ConvXpress beats MCRGNet by 3.1 points (95 % interval 0.4 to 5.8)'
    >>> answer(("ConvXpress", "FR-Deep"), Difference(Interval(0.01, -0.02, 0.04), 0.5, dull, (False, False)), False)
    'ConvXpress and FR-Deep cannot be told apart with 200 test sources; about 1,200 would be needed to
    resolve a difference of 2 points'
    """
    first, second = names
    span, n = found.interval, found.resolution.n
    runs = {(True, True): ", of one trained run each", (True, False): f", of one trained run of {first}",
            (False, True): f", of one trained run of {second}"}.get(found.single, "")  # fmt: skip
    if apart and span.separable:
        if span.value < 0:
            first, second = second, first
            span = Interval(-span.value, -span.high, -span.low, span.confidence)
        return f"{first} beats {second} by {span.words}{runs}"
    said = f"{first} and {second} cannot be told apart with {n:,} test sources"
    if span.separable:
        return f"{said} when all {pairs} pairs are counted ({span.words} for this pair alone{runs})"
    needed = found.resolution.needed(wanted)
    if np.isinf(needed):
        return f"{said}; to resolve a difference of {points(wanted)}, more seeds are needed, not only more sources"
    if needed <= n:
        return f"{said}, which would most likely have shown a difference of {points(wanted)}"
    return f"{said}; about {_rounded(ceil(needed)):,} would be needed to resolve a difference of {points(wanted)}"


def _rounded(n: int) -> int:
    """Round up to two digits; more would pretend to be known.

    Examples
    --------
    >>> _rounded(1096), _rounded(7), _rounded(12345)
    (1100, 7, 13000)
    """
    if n < _FEWEST:
        return n
    unit = 10 ** (floor(log10(n)) - 1)
    return int(ceil(n / unit) * unit)
