"""What a test set can show: the smallest difference it resolves, how many sources one needs, what labels allow.

Symbols: n test sources; "discordance" psi, the share of sources that one network recognises and the other does
not. It, not the accuracy, sets the noise of a paired difference. All differences are fractions.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, isnan, sqrt

from scipy.optimize import brentq
from scipy.stats import norm

from rgbench.errors import SpecError
from rgbench.statistics.significance import Flags, Labels, class_weights


@dataclass(frozen=True)
class Design:
    """A paired comparison on a test set.

    Attributes
    ----------
    discordance : float
        Share of the sources that only one of the two networks recognises, in (0, 1]; for MPCA the mean over
        the classes, weighted by their part of the variance.
    shares : tuple of float
        Share of each class among the test sources, for MPCA; one class for accuracy.
    alpha : float
        Level of the two-sided test, in (0, 1).
    power : float
        Chance to find the difference if it is there, in (0, 1).
    """

    discordance: float
    shares: tuple[float, ...] = (1.0,)
    alpha: float = 0.05
    power: float = 0.8

    def __post_init__(self) -> None:
        for key in ("discordance", "alpha", "power"):
            value = getattr(self, key)
            if not (0 < value < 1 or (key == "discordance" and value == 1)):
                raise SpecError(f"{key}: found {value}; legal are numbers above 0 and below 1")
        if not self.shares or min(self.shares) <= 0 or abs(sum(self.shares) - 1) > 1e-6:
            raise SpecError(f"shares: found {self.shares}; numbers above 0 whose sum is 1 are needed")

    @property
    def imbalance(self) -> float:
        """How many times more sources this mix of classes needs than a balanced one; 1 for accuracy."""
        return sum(1 / share for share in self.shares) / len(self.shares) ** 2


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


def observed_design(
    y: Labels, correct_first: Flags, correct_second: Flags, alpha: float = 0.05, power: float = 0.8
) -> Design:
    """Read the design of a comparison off two networks' answers, for MPCA.

    Half a source is added to either kind of discordant ones, so that two networks that agree everywhere
    have not settled that they always will.

    Parameters
    ----------
    y : ndarray of int64, shape (n,)
        True classes; give one class to all for accuracy.
    correct_first, correct_second : ndarray of bool, shape (n,)
        Whether each network is right on each source.
    alpha, power : float
        As in `Design`.

    Raises
    ------
    SpecError
        If there is no source or shapes differ.
    """
    if not len(y) or not y.shape == correct_first.shape == correct_second.shape:
        found = f"{y.shape}, {correct_first.shape} and {correct_second.shape}"
        raise SpecError(f"arrays of one value for each source are needed, found shapes {found}")
    n, classes = len(y), sorted(set(y.tolist()))
    shares = tuple(float((y == c).mean()) for c in classes)
    differs = correct_first != correct_second
    # What counts is the variance, in which a class weighs by 1/share: the discordance that would bring as much.
    weights = class_weights(y) ** 2
    discordance = float(weights[differs].sum() / weights.sum())
    return Design((n * discordance + 1) / (n + 1), shares, alpha, power)


def sources_needed(difference: float, design: Design) -> int:
    """Give the number of test sources that resolve a difference.

    Parameters
    ----------
    difference : float
        Difference to be found, above 0 and at most the discordance.
    design : Design
        Discordance, mix of classes, level and power.

    Raises
    ------
    SpecError
        If the difference is out of range.

    Notes
    -----
    n = f (z_(1 - alpha/2) sqrt(psi) + z_power sqrt(psi - d^2))^2 / d^2, where f is the design's imbalance: the
    formula of McNemar's test (Miettinen 1968; Connor 1987, Biometrics 43, 207), which the score test of
    MPCA shares.

    Examples
    --------
    >>> sources_needed(0.02, Design(discordance=0.056))
    1097
    """
    if not 0 < difference <= design.discordance:
        raise SpecError(
            f"difference: found {difference}; legal are numbers above 0, up to the discordance "
            f"{design.discordance:.4g}"
        )
    return max(1, ceil(_needed(difference, design) - 1e-9))


def smallest_difference(n: int, design: Design) -> float:
    """Give the smallest difference that a test set of n sources resolves; NaN if it resolves none.

    It resolves none if even the discordance, the largest difference possible, would be missed too often.

    Raises
    ------
    SpecError
        If n is below 1.

    Examples
    --------
    >>> round(smallest_difference(1096, Design(discordance=0.056)), 4)
    0.02
    """
    if n < 1:
        raise SpecError(f"n: found {n}; legal are whole numbers above 0")
    most = design.discordance
    if _needed(most, design) > n:
        return float("nan")
    return float(brentq(lambda d: _needed(d, design) - n, most * 1e-9, most, xtol=1e-12))


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
    >>> found = label_ceiling(0.68, 4)
    >>> round(found.ceiling, 2), round(found.shrinkage, 2)
    (0.82, 0.76)
    """
    k = n_classes
    if k < 2 or not 1 / k < agreement <= 1:
        raise SpecError(
            f"agreement and n_classes: found {agreement} and {k}; legal are numbers above chance, up to 1, and "
            "2 or more"
        )
    q = agreement if other_is_true else (1 + sqrt((k - 1) * (k * agreement - 1))) / k
    return LabelCeiling(agreement, q, q - (1 - q) / (k - 1))


def resolution_words(n: int, design: Design) -> str:
    """Say in a sentence what the smallest difference is that a test set resolves.

    Examples
    --------
    >>> resolution_words(200, Design(0.1))
    '200 test sources resolve differences from 6.2 points up, in 80 % of the cases'
    """
    least = smallest_difference(n, design)
    if isnan(least):
        return f"{n:,} test sources resolve no difference between networks that agree so often"
    often = f"in {100 * design.power:g} % of the cases"
    return f"{n:,} test sources resolve differences from {100 * least:.1f} points up, {often}"


def _needed(difference: float, design: Design) -> float:
    psi = design.discordance
    certain = float(norm.ppf(1 - design.alpha / 2)) * sqrt(psi)
    likely = float(norm.ppf(design.power)) * sqrt(max(psi - difference**2, 0.0))
    return design.imbalance * (certain + likely) ** 2 / difference**2
