"""Does a probability mean what it says? Reliability, calibration errors, Brier's parts, temperature.

Symbols: y (n,) true class indices; logits (n, k), of which only the softmax counts, so that log-probabilities
serve as well; p (n, k) the probabilities. A *bin* holds sources of like probability: bins of equal width are
(low, high], as in `rgbench.measures.classification.ece`; bins of equal mass hold equally many sources, and
sources of equal probability are never parted.

Every binned error is biased upwards: with 50 sources per class a perfectly calibrated network shows an ECE of
several hundredths. `calibration_test` says what a perfect one would have shown on the same sources.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from scipy.stats import norm

from rgbench.errors import DataError
from rgbench.measures.cards import metric
from rgbench.measures.classification import ECE_BINS, Labels, Logits, confusion_matrix, nll

Bins = Literal["equal-width", "equal-mass"]
Floats = NDArray[np.float64]
TEMPERATURES = (0.02, 50.0)
"""Range in which a temperature is sought; one at its edge means that there is none."""


@dataclass(frozen=True)
class ReliabilityCurve:
    """How often sources of a stated probability are of the class; one entry per bin that holds any.

    Attributes
    ----------
    of_class : int or None
        The class whose probability is binned; None for that of the most probable class.
    bins : {"equal-width", "equal-mass"}
        Kind of bins.
    stated : ndarray of float64, shape (b,)
        Mean probability in the bin.
    observed, low, high : ndarray of float64, shape (b,)
        Share of its sources that are of the class, with its Wilson interval.
    count : ndarray of int64, shape (b,)
        Its sources.
    """

    of_class: int | None
    bins: Bins
    stated: Floats
    observed: Floats
    low: Floats
    high: Floats
    count: NDArray[np.int64]

    @property
    def error(self) -> float:
        """Mean of abs(observed - stated), weighted by the sources."""
        return float(self.count @ np.abs(self.observed - self.stated) / self.count.sum())


def reliability_curve(
    y: Labels,
    logits: Logits,
    of_class: int | None = None,
    bins: Bins = "equal-width",
    n_bins: int = ECE_BINS,
    confidence: float = 0.95,
) -> ReliabilityCurve:
    """Make the curve of a reliability diagram.

    Parameters
    ----------
    y : ndarray of int64, shape (n,)
        True classes.
    logits : ndarray of float, shape (n, k)
        Logits or log-probabilities.
    of_class : int, optional
        Class whose probability is judged, on all sources; by default that of the most probable class of
        each source ("confidence").
    bins : {"equal-width", "equal-mass"}
        Kind of bins.
    n_bins : int
        Their number; empty ones are left out.
    confidence : float
        Coverage of the Wilson intervals.

    Raises
    ------
    DataError
        If there is no source, or a logit is not finite.

    Examples
    --------
    >>> p = np.array([[0.9, 0.1], [0.9, 0.1], [0.3, 0.7], [0.3, 0.7]])
    >>> curve = reliability_curve(np.array([0, 1, 1, 1]), np.log(p), n_bins=2, bins="equal-mass")
    >>> curve.stated.round(2).tolist(), curve.observed.tolist(), curve.count.tolist()
    ([0.7, 0.9], [1.0, 0.5], [2, 2])
    """
    p = probabilities(y, logits)
    stated, hit = _top(y, p) if of_class is None else (p[:, of_class], y == of_class)
    bin_of = bin_numbers(stated, bins, n_bins)
    count = np.bincount(bin_of, minlength=n_bins)
    full = count > 0
    hits = np.bincount(bin_of, weights=hit, minlength=n_bins)[full].astype(np.int64)
    low, high = wilson_intervals(hits, count[full], confidence)
    mean = np.bincount(bin_of, weights=stated, minlength=n_bins)[full] / count[full]
    return ReliabilityCurve(of_class, bins, mean, hits / count[full], low, high, count[full])


def bin_numbers(values: Floats, bins: Bins, n_bins: int) -> NDArray[np.int64]:
    """Give the bin, 0 to n_bins - 1, of each probability, shape (n,).

    Equal mass: the bin of rank r (from 0) is ``floor(r n_bins / n)``; equal values share their mean rank.

    Examples
    --------
    >>> bin_numbers(np.array([0.0, 0.5, 0.51, 1.0]), "equal-width", 2).tolist()
    [0, 0, 1, 1]
    >>> bin_numbers(np.array([0.9, 0.3, 0.3, 0.3]), "equal-mass", 2).tolist()
    [1, 0, 0, 0]
    """
    if n_bins < 1:
        raise ValueError(f"n_bins: found {n_bins}; at least 1 is needed")
    if bins == "equal-width":
        return np.clip(np.ceil(values * n_bins).astype(np.int64) - 1, 0, n_bins - 1)
    if bins != "equal-mass":
        raise ValueError(f"bins: found {bins!r}; legal are 'equal-width' and 'equal-mass'")
    ordered = np.sort(values)
    twice_rank = np.searchsorted(ordered, values) + np.searchsorted(ordered, values, side="right") - 1
    return np.asarray(twice_rank * n_bins // (2 * len(values)))


def wilson_intervals(
    right: NDArray[np.integer], count: NDArray[np.integer], confidence: float = 0.95
) -> tuple[Floats, Floats]:
    """Give the Wilson (1927) intervals of several proportions, each shape (b,); NaN where count is 0.

    Examples
    --------
    >>> low, high = wilson_intervals(np.array([100, 0]), np.array([104, 0]))
    >>> low.round(3).tolist(), high.round(3).tolist()
    ([0.905, nan], [0.985, nan])
    """
    z = float(norm.ppf((1 + confidence) / 2))
    n = np.where(count > 0, count, np.nan)
    share, shrink = right / n, 1 / (1 + z**2 / n)
    centre = shrink * (share + z**2 / (2 * n))
    half = shrink * z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    low, high = np.maximum(centre - half, 0.0), np.minimum(centre + half, 1.0)
    return np.where(right == 0, 0 * low, low), np.where(right == count, 1 + 0 * high, high)


@metric(
    "ECE (equal mass)",
    f"expected calibration error of the most probable class: {ECE_BINS} bins of equally many sources, mean of "
    "|accuracy - confidence| weighted by the sources in the bin",
    higher_is_better=False,
    reference="Nguyen & O'Connor 2015",
)
def ece_equal_mass(y: Labels, logits: Logits) -> float:
    """Expected calibration error over bins of equal mass."""
    return _binned_error(y, logits, lambda y, p: _gap(*_top(y, p), "equal-mass"))


@metric(
    "Classwise ECE",
    f"mean over the classes of the calibration error of the class's probability: {ECE_BINS} equal-width bins "
    "(low, high], mean of |share of the class - probability| weighted by the sources in the bin",
    higher_is_better=False,
    reference="Kull et al. 2019 (static calibration error of Nixon et al. 2019)",
)
def ece_classwise(y: Labels, logits: Logits) -> float:
    """Classwise expected calibration error over bins of equal width."""
    return _binned_error(y, logits, lambda y, p: _classwise(y, p, "equal-width"))


@metric(
    "Adaptive calibration error",
    f"as the classwise ECE, but with {ECE_BINS} bins of equally many sources for each class",
    higher_is_better=False,
    reference="Nixon et al. 2019",
)
def ece_adaptive(y: Labels, logits: Logits) -> float:
    """Classwise expected calibration error over bins of equal mass."""
    return _binned_error(y, logits, lambda y, p: _classwise(y, p, "equal-mass"))


@dataclass(frozen=True)
class CalibrationTest:
    """The ECE beside what a perfectly calibrated network would have shown.

    Attributes
    ----------
    value : float
        The ECE as measured.
    expected, high : float
        Its mean and upper limit if every stated probability were true.
    p_value : float
        How often a perfectly calibrated network would show as large an error.
    """

    value: float
    expected: float
    high: float
    p_value: float


def calibration_test(
    y: Labels,
    logits: Logits,
    generator: np.random.Generator,
    bins: Bins = "equal-mass",
    resamples: int = 1000,
    confidence: float = 0.95,
) -> CalibrationTest:
    """Compare the ECE with that of a network whose probabilities are true, on the same sources.

    Parameters
    ----------
    y, logits : ndarray, shapes (n,) and (n, k)
        True classes, and logits or log-probabilities.
    generator : numpy.random.Generator
        Source of chance: the most probable class of each source is drawn right or wrong by its probability.
    bins : {"equal-width", "equal-mass"}
        Kind of bins; `ECE_BINS` of them.
    resamples : int
        Number of draws.
    confidence : float
        Share of the draws that stay below `high`.

    Raises
    ------
    DataError
        If there is no source, or a logit is not finite.

    References
    ----------
    Consistency resampling: Bröcker & Smith 2007; Vaicenavicius et al. 2019.

    Examples
    --------
    >>> y, logits = np.arange(200) % 2, np.log(np.full((200, 2), 0.5))
    >>> calibration_test(y, logits, np.random.default_rng(0)).value
    0.0
    """
    stated, hit = _top(y, probabilities(y, logits))
    members = np.eye(ECE_BINS)[bin_numbers(stated, bins, ECE_BINS)]
    drawn = generator.random((resamples, len(y))) < stated
    null = np.abs((drawn - stated) @ members).sum(axis=1) / len(y)
    value = _gap(stated, hit, bins)
    p = (1 + np.sum(null >= value - 1e-12)) / (resamples + 1)  # equal but for rounding counts as equal
    return CalibrationTest(value, float(null.mean()), float(np.quantile(null, confidence)), float(p))


@dataclass(frozen=True)
class BrierParts:
    """The parts of a Brier score, summed over the classes.

    ``score = reliability - resolution + uncertainty + within_variance - within_covariance``, exactly.

    Attributes
    ----------
    score : float
        The Brier score.
    reliability : float
        How far stated probabilities lie from observed shares; 0 is best.
    resolution : float
        How far the observed shares of bins lie from those of all sources; more is better.
    uncertainty : float
        The score of always stating the classes' shares.
    within_variance, within_covariance : float
        What the bins' width hides: variance of the probabilities within bins, and twice their covariance
        with the truth. Both are 0 where all probabilities of a bin are equal.
    """

    score: float
    reliability: float
    resolution: float
    uncertainty: float
    within_variance: float
    within_covariance: float


def brier_decomposition(
    y: Labels, logits: Logits, bins: Bins = "equal-width", n_bins: int = ECE_BINS
) -> BrierParts:
    """Part the Brier score: each class's probability is binned by itself, and the parts are summed.

    Parameters
    ----------
    y, logits : ndarray, shapes (n,) and (n, k)
        True classes, and logits or log-probabilities.
    bins : {"equal-width", "equal-mass"}
        Kind of bins.
    n_bins : int
        Their number.

    References
    ----------
    Murphy 1973; the terms within bins are those of Stephenson, Coelho & Jolliffe 2008.

    Examples
    --------
    >>> p = np.array([[0.8, 0.2]] * 4)
    >>> parts = brier_decomposition(np.array([0, 0, 0, 1]), np.log(p))
    >>> round(parts.reliability, 4), round(parts.resolution, 4), round(parts.uncertainty, 4)
    (0.005, 0.0, 0.375)
    """
    p = probabilities(y, logits)
    truth = np.eye(p.shape[1])[y]
    parts = np.sum(
        [_two_class_parts(p[:, c], truth[:, c], bins, n_bins) for c in range(p.shape[1])], axis=0
    ).tolist()
    return BrierParts(float(((p - truth) ** 2).sum(axis=1).mean()), *parts)


@dataclass(frozen=True)
class Temperature:
    """A temperature that was fitted on validation sources.

    Attributes
    ----------
    value : float
        What logits are divided by; above 1 the network was too sure of itself.
    nll_before, nll_after : float
        NLL of the validation sources without and with it, in nats.
    n : int
        Number of validation sources.
    note : str
        Why the logits were left as they are, if no temperature could be found; else empty.
    """

    value: float
    nll_before: float
    nll_after: float
    n: int
    note: str = ""


def fit_temperature(y_validation: Labels, logits_validation: Logits) -> Temperature:
    """Find the temperature that makes the NLL of validation sources least.

    Parameters
    ----------
    y_validation, logits_validation : ndarray, shapes (n,) and (n, k)
        True classes, and logits or log-probabilities, of validation sources: never of test sources.

    Raises
    ------
    DataError
        If there is no source, or a logit is not finite.

    Notes
    -----
    As a function of 1/T the NLL is convex, so that its one minimum is found by a bounded search over log T.
    Where it has none within `TEMPERATURES` (every source is right, or the logits tell nothing), T is 1 and
    the note says so.

    References
    ----------
    Guo et al. 2017, "On calibration of modern neural networks".

    Examples
    --------
    >>> y, logits = np.array([0, 0, 0, 1]), np.array([[9.0, 0.0]] * 4)
    >>> fit = fit_temperature(y, logits)
    >>> round(float(apply_temperature(logits, fit.value)[0, 0]), 3)  # ln 3: three in four are right
    1.099
    """
    p = probabilities(y_validation, logits_validation)
    low, high = np.log(TEMPERATURES)

    def loss(log_t: float) -> float:
        return nll(y_validation, apply_temperature(logits_validation, float(np.exp(log_t))))

    before, n = loss(0.0), len(y_validation)
    if (p.argmax(axis=1) == y_validation).all():
        return Temperature(
            1.0, before, before, n, "the temperature stays 1: every validation source is right"
        )
    found = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-7})
    if found.fun >= before or min(found.x - low, high - found.x) < 1e-3:
        return Temperature(1.0, before, before, n, "the temperature stays 1: the NLL has no minimum near it")
    return Temperature(float(np.exp(found.x)), before, float(found.fun), n)


def apply_temperature(logits: Logits, temperature: float) -> Floats:
    """Divide logits by a temperature; the most probable class stays, shape (n, k), float64."""
    if not (np.isfinite(temperature) and temperature > 0):
        raise ValueError(f"temperature: found {temperature}; a positive number is needed")
    return np.asarray(logits, dtype=np.float64) / temperature


def probabilities(y: Labels, logits: Logits) -> Floats:
    """Give the softmax, shape (n, k), float64, of logits that can be judged.

    Raises
    ------
    ValueError
        If labels and logits do not fit together.
    DataError
        If there is no source, or a logit is not finite: such a run has diverged.
    """
    confusion_matrix(y, logits)
    bad = int((~np.isfinite(logits)).any(axis=1).sum())
    if not len(y) or bad:
        found = f"the logits of {bad} of {len(y)} sources are not finite" if bad else "there is no source"
        raise DataError(f"{found}: no probability can be judged")
    return np.asarray(np.exp(log_softmax(logits.astype(np.float64), axis=1)))


def _top(y: Labels, p: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    return np.asarray(p.max(axis=1)), np.asarray(p.argmax(axis=1) == y)


def _gap(stated: Floats, hit: NDArray[np.bool_], bins: Bins) -> float:
    gaps = np.bincount(bin_numbers(stated, bins, ECE_BINS), weights=hit - stated)
    return float(np.abs(gaps).sum() / len(stated))


def _classwise(y: Labels, p: Floats, bins: Bins) -> float:
    return float(np.mean([_gap(p[:, c], y == c, bins) for c in range(p.shape[1])]))


def _binned_error(y: Labels, logits: Logits, function: Callable[[Labels, Floats], float]) -> float:
    """Give NaN where `probabilities` would refuse: a metric of a diverged run is NaN."""
    try:
        return function(y, probabilities(y, logits))
    except DataError:
        return float("nan")


def _two_class_parts(stated: Floats, truth: Floats, bins: Bins, n_bins: int) -> list[float]:
    """Give reliability, resolution, uncertainty and the two terms within bins of one class."""
    bin_of = bin_numbers(stated, bins, n_bins)
    count = np.bincount(bin_of, minlength=n_bins)
    weight = count / len(stated)

    def means(values: Floats) -> Floats:
        return np.bincount(bin_of, weights=values, minlength=n_bins) / np.maximum(count, 1)

    f, o, rate = means(stated), means(truth), truth.mean()
    df, do = stated - f[bin_of], truth - o[bin_of]
    return [
        float(weight @ (f - o) ** 2),
        float(weight @ (o - rate) ** 2),
        float(rate * (1 - rate)),
        float(np.mean(df**2)),
        float(2 * np.mean(df * do)),
    ]
