"""Two networks on one test set: tests of their difference, and intervals that hold for small test sets.

Symbols: n sources, k classes; y (n,) true classes; "correct" (n,) tells whether a network is right on each
source. Classes without a source take no part. Values and differences are fractions; words say points, i.e.
percent. A difference is first minus second.

For accuracy instead of mean per-class accuracy (MPCA), give one class to all sources: ``np.zeros_like(y)``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isnan, prod

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom, norm

from rgbench.errors import SpecError

Labels = NDArray[np.int64]
Flags = NDArray[np.bool_]
Floats = NDArray[np.float64]

EXACT_OUTCOMES = 2_000_000
"""Most distinct outcomes of a permutation test that are all gone through."""
_BLOCK = 4_000_000
_HALVINGS = 60
_NEWTON_STEPS = 15
_TINY = 1e-200
_ROUNDING = 1e-18
_FARTHEST = 1 - 2.0**-40


@dataclass(frozen=True)
class Interval:
    """A value and its interval, as fractions.

    Attributes
    ----------
    value, low, high : float
        The estimate and its interval.
    confidence : float
        Coverage of the interval, e.g. 0.95.
    """

    value: float
    low: float
    high: float
    confidence: float = 0.95

    @property
    def separable(self) -> bool:
        """Whether the interval excludes zero; not where there is none."""
        return excludes_zero(self.low, self.high)


@dataclass(frozen=True)
class McNemar:
    """McNemar's exact test of whether two networks are right equally often.

    Attributes
    ----------
    first_only, second_only : int
        Sources on which only the first, or only the second, is right: the discordant ones.
    p_value : float
        Two-sided exact p-value; 1 without discordant sources.
    mid_p : float
        Two-sided mid-p value, less conservative: of the observed outcome only half the chance counts;
        1 without discordant sources.
    """

    first_only: int
    second_only: int
    p_value: float
    mid_p: float


@dataclass(frozen=True)
class Permutation:
    """The paired permutation test.

    Attributes
    ----------
    difference : float
        Weighted mean difference of the scores, first minus second.
    p_value : float
        Two-sided.
    exact : bool
        Whether all permutations were gone through.
    permutations : int
        Number drawn; 0 if exact.
    """

    difference: float
    p_value: float
    exact: bool
    permutations: int


def mcnemar(correct_first: Flags, correct_second: Flags) -> McNemar:
    """Test by McNemar's exact test whether two networks are right equally often.

    It asks for accuracy, not MPCA: all sources count the same.

    Parameters
    ----------
    correct_first, correct_second : ndarray of bool, shape (n,)
        Whether each is right on each source.

    Raises
    ------
    SpecError
        If the shapes differ.

    References
    ----------
    McNemar 1947, Psychometrika 12, 153; mid-p: Fagerland, Lydersen & Laake 2013, BMC Med. Res. Methodol. 13, 91.

    Examples
    --------
    >>> first, second = np.repeat([True, False], [6, 2]), np.repeat([False, True], [6, 2])
    >>> test = mcnemar(first, second)
    >>> test.first_only, test.second_only, test.p_value
    (6, 2, 0.2890625)
    """
    _same_shape(correct_first=correct_first, correct_second=correct_second)
    above = int(np.sum(correct_first & ~correct_second))
    below = int(np.sum(~correct_first & correct_second))
    less, n = min(above, below), above + below
    tail, point = 2 * float(binom.cdf(less, n, 0.5)), float(binom.pmf(less, n, 0.5))
    if above == below:
        return McNemar(above, below, 1.0, 1 - point / 2 if n else 1.0)
    return McNemar(above, below, min(1.0, tail), min(1.0, tail - point))


def excludes_zero(low: float, high: float) -> bool:
    """Tell whether an interval excludes zero; one that is not known (NaN) excludes nothing.

    Examples
    --------
    >>> excludes_zero(0.1, 0.2), excludes_zero(-0.1, 0.2), excludes_zero(float("nan"), float("nan"))
    (True, False, False)
    """
    return not (isnan(low) or isnan(high)) and not low <= 0 <= high


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p-values for their number by Holm's step-down method (Holm 1979, Scand. J. Statist. 6, 65).

    One that is not known (NaN) is of no test: it stays so, and does not count among the others.

    Examples
    --------
    >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    >>> holm([float("nan"), 0.25, 0.125])
    [nan, 0.25, 0.25]
    """
    order = sorted((i for i, p in enumerate(p_values) if not isnan(p)), key=lambda i: p_values[i])
    corrected, highest = [float("nan")] * len(p_values), 0.0
    for rank, i in enumerate(order):
        highest = max(highest, min(1.0, (len(order) - rank) * p_values[i]))
        corrected[i] = highest
    return corrected


def class_weights(y: Labels) -> Floats:
    """Give the weight of each source in a mean over classes, shape (n,); they sum to 1.

    Examples
    --------
    >>> class_weights(np.array([0, 0, 1])).tolist()
    [0.25, 0.25, 0.5]
    """
    _, place, sizes = np.unique(y, return_inverse=True, return_counts=True)
    return np.asarray(1 / (len(sizes) * sizes[place]), dtype=np.float64)


def permutation_test(
    first: Floats | Flags,
    second: Floats | Flags,
    weights: Floats,
    generator: np.random.Generator,
    permutations: int = 9999,
) -> Permutation:
    """Test by swapping two networks' answers, source by source, whether they score the same.

    For every metric that is a weighted mean of scores of single sources: MPCA and accuracy (correctness with
    the weights of `class_weights`, or equal ones), NLL, Brier score. If neither network is better, each swap
    is as likely as not, and flips the sign of that source's difference.

    Parameters
    ----------
    first, second : ndarray of bool or float64, shape (n,)
        Scores of each source.
    weights : ndarray of float64, shape (n,)
        Weights of the sources.
    generator : numpy.random.Generator
        Source of chance; not used where the test is exact.
    permutations : int
        Number of permutations drawn where there are more than `EXACT_OUTCOMES` distinct outcomes; the
        p-value is then (k + 1) / (permutations + 1), which is never too small (Phipson & Smyth 2010).

    Raises
    ------
    SpecError
        If the shapes differ.

    Notes
    -----
    Sources whose weighted differences are equal in size are exchangeable, so that outcomes are numbers of
    positive signs within each such group. With correctness there is one group for each size of class, and the
    test is exact for a hundred discordant sources in four classes, and for any number in equal classes.

    Examples
    --------
    >>> right, wrong = np.ones(5, dtype=bool), np.zeros(5, dtype=bool)
    >>> round(permutation_test(right, wrong, np.full(5, 0.2), np.random.default_rng(0)).p_value, 4)
    0.0625
    """
    _same_shape(first=first, second=second, weights=weights)
    d = weights * (first.astype(np.float64) - second.astype(np.float64))
    sizes, counts = np.unique(np.abs(d[d != 0]), return_counts=True)
    # The same sum in another order may differ in its last digits, and must count as equal.
    least = abs(float(d.sum())) - 1e-9 * float(np.abs(d).sum())
    if prod(int(m) + 1 for m in counts) <= EXACT_OUTCOMES:
        return Permutation(float(d.sum()), _exact_tail(sizes, counts, least), True, 0)
    more = _drawn_tail(sizes, counts, least, generator, permutations)
    return Permutation(float(d.sum()), (more + 1) / (permutations + 1), False, permutations)


def mpca_interval(y: Labels, correct: Flags, confidence: float = 0.95) -> Interval:
    """Give the score interval of the mean per-class accuracy.

    It holds all values that a score test does not reject; for one class it is Wilson's interval. Unlike the
    percentile bootstrap it holds its coverage for small classes and near 0 and 1, where a bootstrap of
    sources that are all recognised has no width (coverage measured in ``benchmarks/coverage.py``).

    Parameters
    ----------
    y : ndarray of int64, shape (n,)
        True classes.
    correct : ndarray of bool, shape (n,)
        Whether the network is right on each source.
    confidence : float
        Coverage, in (0, 1).

    Raises
    ------
    SpecError
        If shapes differ, there is no source, or the confidence is out of range.

    References
    ----------
    Wilson 1927, JASA 22, 209; for sums over groups Andres, Hernandez & Tejedor 2011, Stat. Methods Med. Res.
    20, 219.

    Examples
    --------
    >>> span = mpca_interval(np.zeros(104, dtype=int), np.arange(104) < 100)
    >>> round(span.low, 3), round(span.high, 3)
    (0.905, 0.985)
    """
    _same_shape(y=y, correct=correct)
    right, n = _per_class(y, correct)
    low, high = score_mean_interval(right, n, _quantile(confidence))
    return Interval(float(np.mean(right / n)), float(low), float(high), confidence)


def mpca_difference_interval(
    y: Labels, correct_first: Flags, correct_second: Flags, confidence: float = 0.95
) -> Interval:
    """Give the score interval of the paired difference in mean per-class accuracy, first minus second.

    For one class it is Tango's interval, whose test of no difference is McNemar's. Stated 95 % intervals hold
    the truth in 93 to 97 % of the cases where five or more discordant sources are expected in every class; with
    fewer they are too wide rather than too narrow, and never below 92 % (``benchmarks/coverage.py``).

    Parameters
    ----------
    y : ndarray of int64, shape (n,)
        True classes.
    correct_first, correct_second : ndarray of bool, shape (n,)
        Whether each network is right on each source.
    confidence : float
        Coverage, in (0, 1).

    Raises
    ------
    SpecError
        If shapes differ, there is no source, or the confidence is out of range.

    References
    ----------
    Tango 1998, Statistics in Medicine 17, 891; here the score is that of the mean over the classes.

    Examples
    --------
    >>> y, i = np.arange(200) % 4, np.arange(200)
    >>> span = mpca_difference_interval(y, i >= 20, (i >= 12) & (i < 172))
    >>> [round(x, 3) for x in (span.value, span.low, span.high)]
    [0.1, 0.044, 0.161]
    """
    _same_shape(y=y, correct_first=correct_first, correct_second=correct_second)
    above, n = _per_class(y, correct_first & ~correct_second)
    below, _ = _per_class(y, ~correct_first & correct_second)
    low, high = score_difference_interval(above, below, n, _quantile(confidence))
    return Interval(float(np.mean((above - below) / n)), float(low), float(high), confidence)


def score_mean_interval(right: Floats, n: Floats, z: float | Floats) -> tuple[Floats, Floats]:
    """Give score intervals of the mean of independent proportions.

    Parameters
    ----------
    right, n : ndarray of float64, shape (..., k)
        Successes and trials of each class.
    z : float, or ndarray of float64, shape (...)
        Normal quantile, e.g. 1.96.

    Returns
    -------
    low, high : ndarray of float64, shape (...)
        The intervals.

    Notes
    -----
    The proportions most likely under a given mean solve t p^2 - (t + n) p + right = 0, where t is the same
    for all classes: so t is searched, not the mean, until the mean lies z standard errors off.
    """
    estimate = np.mean(right / n, axis=-1)

    def at(t: Floats) -> tuple[Floats, Floats]:
        p = _most_likely(right, n, t[..., None])
        return np.mean(p, axis=-1), np.mean(p * (1 - p) / n, axis=-1) / n.shape[-1]

    return _ends(at, np.asarray(estimate), n.sum(axis=-1), z)


def score_difference_interval(
    above: Floats, below: Floats, n: Floats, z: float | Floats
) -> tuple[Floats, Floats]:
    """Give score intervals of the mean over classes of paired differences of proportions.

    Parameters
    ----------
    above, below, n : ndarray of float64, shape (..., k)
        Sources on which only the first, or only the second, is right; all sources.
    z : float, or ndarray of shape (...)
        Normal quantile, e.g. 1.96.

    Returns
    -------
    low, high : ndarray of float64, shape (...)
        The intervals.

    Notes
    -----
    With multipliers t (of the mean difference) and m (of the sum 1 in each class) the most likely chances
    are above / (m + t), below / (m - t), (n - above - below) / m. They add up to 1, and m + t d = n for the
    class's difference d.
    """
    estimate = np.mean((above - below) / n, axis=-1)

    def at(t: Floats) -> tuple[Floats, Floats]:
        difference, discordance = _most_likely_pair(above, below, n, t[..., None])
        variance = np.maximum(discordance - difference**2, 0) / n
        return np.mean(difference, axis=-1), np.mean(variance, axis=-1) / n.shape[-1]

    return _ends(at, np.asarray(estimate), n.sum(axis=-1), z)


def _ends(
    at: Callable[[Floats], tuple[Floats, Floats]], estimate: Floats, scale: Floats, z: float | Floats
) -> tuple[Floats, Floats]:
    """Search, on either side of t = 0, where value and variance at t put the estimate z standard errors off."""
    far = np.multiply.outer(np.array([1.0, -1.0]), scale)
    inside, outside = np.zeros_like(far), np.full_like(far, _FARTHEST)
    for _ in range(_HALVINGS):
        middle = (inside + outside) / 2
        value, variance = at(far * middle / (1 - middle))
        # Chances that round to more than 1 have a variance below 0.
        within = (value - estimate) ** 2 <= z**2 * np.maximum(variance, 0) + _ROUNDING
        inside, outside = np.where(within, middle, inside), np.where(within, outside, middle)
    low, high = at(far * inside / (1 - inside))[0]
    return low, high


def _most_likely(right: Floats, n: Floats, t: Floats) -> Floats:
    """Solve t p^2 - (t + n) p + right = 0 for the root in [0, 1], without cancellation."""
    b = t + n
    # Two ways to write b^2 - 4 t right, each a sum of terms that are not negative.
    root = np.sqrt(np.where(t >= 0, (n - t) ** 2 + 4 * t * (n - right), b**2 - 4 * t * right))
    low = np.divide(2 * right, b + root, out=np.zeros_like(b + right), where=b >= 0)
    return np.asarray(np.where(b >= 0, low, (b - root) / np.where(b >= 0, 1, 2 * t)))


def _most_likely_pair(above: Floats, below: Floats, n: Floats, t: Floats) -> tuple[Floats, Floats]:
    """Give the most likely difference and discordance of each class, given the multiplier t."""
    same, size = n - above - below, np.abs(t)
    # The multiplier m is |t| + s, so that neither m + t nor m - t loses its digits where m comes near |t|.
    plus, minus = size + t, size - t
    s = np.maximum(np.maximum(above - plus, below - minus), np.maximum(same - size, _TINY))
    # The sum of the chances falls with s and is convex: Newton's steps from where it is above 1 never
    # overshoot, and end at 0 where it is below 1 throughout.
    for _ in range(_NEWTON_STEPS):
        chances = np.stack([above / (s + plus), below / (s + minus), same / (s + size)])
        slope = chances[0] / (s + plus) + chances[1] / (s + minus) + chances[2] / (s + size)
        step = np.divide(chances.sum(axis=0) - 1, slope, out=np.zeros_like(slope), where=slope > 0)
        s = np.maximum(s + step, _TINY)
    m, small = size + s, size < 1e-6 * n
    difference = np.where(small, (above - below) / n, (n - m) / np.where(small, 1, t))
    return difference, 1 - same / m


def _per_class(y: Labels, flags: Flags) -> tuple[Floats, Floats]:
    _, place, sizes = np.unique(y, return_inverse=True, return_counts=True)
    counts = np.bincount(place, weights=flags, minlength=len(sizes)).astype(np.float64)
    return counts, sizes.astype(np.float64)


def _quantile(confidence: float) -> float:
    if not 0 < confidence < 1:
        raise SpecError(f"confidence: found {confidence}; legal are numbers above 0 and below 1")
    return float(norm.ppf((1 + confidence) / 2))


def _exact_tail(sizes: Floats, counts: NDArray[np.int64], least: float) -> float:
    """Give the chance that the signed sum is at least so large, from all outcomes."""
    sums, chances = np.zeros(1), np.ones(1)
    for size, m in zip(sizes, counts, strict=True):
        positive = np.arange(m + 1)
        sums = np.add.outer(sums, size * (2 * positive - m)).ravel()
        chances = np.multiply.outer(chances, binom.pmf(positive, m, 0.5)).ravel()
    return min(1.0, float(chances[np.abs(sums) >= least].sum()))


def _drawn_tail(
    sizes: Floats, counts: NDArray[np.int64], least: float, generator: np.random.Generator, permutations: int
) -> int:
    """Count, among drawn permutations, those whose signed sum is at least so large."""
    block, more = max(1, _BLOCK // len(sizes)), 0
    for begin in range(0, permutations, block):
        drawn = min(block, permutations - begin)
        positive = generator.binomial(counts, 0.5, size=(drawn, len(counts)))
        more += int(np.sum(np.abs((2 * positive - counts) @ sizes) >= least))
    return more


def _same_shape(**arrays: NDArray[np.generic]) -> None:
    shapes = {name: array.shape for name, array in arrays.items()}
    if len(set(shapes.values())) > 1 or len(next(iter(shapes.values()))) != 1:
        found = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise SpecError(f"arrays of one value for each source are needed, found shapes {found}")
    if not next(iter(shapes.values()))[0]:
        raise SpecError("there is no source to compare on")
