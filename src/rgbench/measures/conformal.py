"""Conformal sets: a few classes instead of one, with a promise of how often the true one is among them.

Symbols: y (n,) true class indices; logits (n, k), of which only the softmax counts, so that log-probabilities
serve as well; alpha the share of sources whose set may miss the true class.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax
from scipy.stats import betabinom

from rgbench.measures.calibration import Floats, probabilities, wilson_intervals
from rgbench.measures.classification import Labels, Logits

Score = Literal["lac", "aps"]


@dataclass(frozen=True)
class Coverage:
    """How often sets of classes hold the true class, and how large they are.

    Attributes
    ----------
    coverage, low, high : float
        Share of the sources whose set holds the true class, with its Wilson interval.
    class_coverage, class_low, class_high : ndarray of float64, shape (k,)
        The same for the sources of each class; NaN for a class without source.
    mean_size : float
        Mean number of classes in a set.
    sizes : ndarray of int64, shape (k + 1,)
        Number of sets of 0, 1, ... k classes. An empty set says that no class conforms.
    """

    coverage: float
    low: float
    high: float
    class_coverage: Floats
    class_low: Floats
    class_high: Floats
    mean_size: float
    sizes: NDArray[np.int64]


@dataclass(frozen=True)
class Conformal:
    """Conformal sets that were made on validation sources and judged on test sources.

    Attributes
    ----------
    rule : ConformalRule
        How sets are made, and the promise.
    threshold : ndarray of float64, shape (k,)
        Largest score that is in a set, for each class; infinite where there are too few validation
        sources for the promise, so that every set holds the class.
    n_validation : int
        Sources that the threshold was found on.
    sets : ndarray of bool, shape (n, k)
        Which classes are in the set of each test source.
    test : Coverage
        What was kept of the promise.
    """

    rule: ConformalRule
    threshold: Floats
    n_validation: int
    sets: NDArray[np.bool_]
    test: Coverage


@dataclass(frozen=True)
class ConformalRule:
    """How conformal sets are made.

    Attributes
    ----------
    alpha : float
        Share of sources that may be missed: a coverage of at least 1 - alpha is promised.
    score : {"lac", "aps"}
        See `conformal_scores`.
    per_class : bool
        Whether each class has a threshold of its own, from its own validation sources, so that the promise
        holds for each class (Vovk 2012). Needs at least 1 / alpha - 1 sources of each.
    """

    alpha: float = 0.1
    score: Score = "lac"
    per_class: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.alpha < 1:
            raise ValueError(f"alpha: found {self.alpha}; legal are numbers between 0 and 1")
        if self.score not in ("lac", "aps"):
            raise ValueError(f"score: found {self.score!r}; legal are 'lac' and 'aps'")


def conformal(
    validation: tuple[Labels, Logits],
    test: tuple[Labels, Logits],
    rule: ConformalRule | None = None,
    generator: np.random.Generator | None = None,
) -> Conformal:
    """Make split-conformal sets on validation sources and judge them on test sources.

    Parameters
    ----------
    validation, test : (labels, logits), shapes (n,) and (n, k)
        True classes, and logits or log-probabilities, of either side.
    rule : ConformalRule, optional
        How sets are made; 90 % coverage by "lac" if left out.
    generator : numpy.random.Generator, optional
        Source of chance for "aps"; see `conformal_scores`.

    Raises
    ------
    DataError
        If a side has no source, or a logit is not finite.

    Notes
    -----
    The promise holds for test sources that are exchangeable with the validation sources. It is weakened
    where validation sources chose the epoch, and void under a shift of survey or of class shares.
    """
    rule = rule or ConformalRule()
    probabilities(*test)
    threshold = conformal_threshold(*validation, rule, generator)
    sets = conformal_sets(test[1], threshold, rule, generator)
    return Conformal(rule, threshold, len(validation[0]), sets, judge_sets(test[0], sets))


def conformal_scores(
    logits: Logits, score: Score = "lac", generator: np.random.Generator | None = None
) -> Floats:
    """Give how badly each class conforms, shape (n, k).

    "lac" (least ambiguous classifier): 1 - p of the class; the smallest sets on average.
    "aps" (adaptive prediction sets): the sum of the probabilities of the classes that are more probable; sets
    grow where a source is hard, and none is empty. With a generator, a uniform random part of the class's own
    probability is added, as published: the promise is then met without excess, but a set may be empty.

    References
    ----------
    Sadinle, Lei & Wasserman 2019 (lac); Romano, Sesia & Candès 2020 (aps).

    Examples
    --------
    >>> logits = np.log([[0.5, 0.2, 0.3]])
    >>> conformal_scores(logits).round(2).tolist(), conformal_scores(logits, "aps").round(2).tolist()
    ([[0.5, 0.8, 0.7]], [[0.0, 0.8, 0.5]])
    """
    p = np.exp(log_softmax(logits.astype(np.float64), axis=1))
    if score == "lac":
        return np.asarray(1 - p)
    order = np.argsort(-p, axis=1, kind="stable")
    falling = np.take_along_axis(p, order, axis=1)
    part = 0.0 if generator is None else generator.random((len(p), 1))
    scores = np.empty_like(p)
    np.put_along_axis(scores, order, falling.cumsum(axis=1) - falling + part * falling, axis=1)
    return np.asarray(scores)


def conformal_threshold(
    y_validation: Labels,
    logits_validation: Logits,
    rule: ConformalRule,
    generator: np.random.Generator | None = None,
) -> Floats:
    """Find the largest score that a set may hold, for each class, shape (k,).

    It is the ceil((n + 1) (1 - alpha))-th smallest score of the true classes of the n validation sources,
    infinite if there are not so many: then a test source that is exchangeable with them is covered with a
    probability of at least 1 - alpha (Vovk et al. 2005).

    Examples
    --------
    >>> p = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7]])
    >>> conformal_threshold(np.array([0, 0, 0]), np.log(p), ConformalRule(alpha=0.5)).round(3).tolist()
    [0.2, 0.2]
    """
    k = probabilities(y_validation, logits_validation).shape[1]
    scores = conformal_scores(logits_validation, rule.score, generator)
    own = scores[np.arange(len(y_validation)), y_validation]
    if not rule.per_class:
        return np.full(k, _threshold(own, rule.alpha))
    return np.array([_threshold(own[y_validation == c], rule.alpha) for c in range(k)])


def conformal_sets(
    logits: Logits, threshold: Floats, rule: ConformalRule, generator: np.random.Generator | None = None
) -> NDArray[np.bool_]:
    """Give the classes within the threshold, shape (n, k); no labels are needed, so a survey will do."""
    return np.asarray(conformal_scores(logits, rule.score, generator) <= threshold)


def judge_sets(y: Labels, sets: NDArray[np.bool_], confidence: float = 0.95) -> Coverage:
    """Count how often sets (n, k) hold the true classes y (n,).

    Examples
    --------
    >>> found = judge_sets(np.array([0, 0, 1]), np.array([[True, False], [False, False], [True, True]]))
    >>> round(found.coverage, 3), found.mean_size, found.sizes.tolist(), found.class_coverage.tolist()
    (0.667, 1.0, [1, 1, 1], [0.5, 1.0])
    """
    k = sets.shape[1]
    held = sets[np.arange(len(y)), y]
    count, hits = np.bincount(y, minlength=k), np.bincount(y[held], minlength=k)
    low, high = wilson_intervals(np.append(hits, held.sum()), np.append(count, len(y)), confidence)
    sizes = np.bincount(sets.sum(axis=1), minlength=k + 1)
    return Coverage(
        coverage=float(held.mean()),
        low=float(low[-1]),
        high=float(high[-1]),
        class_coverage=np.divide(hits, count, out=np.full(k, np.nan), where=count > 0),
        class_low=low[:-1],
        class_high=high[:-1],
        mean_size=float(sizes @ np.arange(k + 1) / len(y)),
        sizes=sizes,
    )


def expected_coverage(
    n_validation: int, n_test: int, rule: ConformalRule, confidence: float = 0.95
) -> tuple[float, float]:
    """Give the range of the coverage that exchangeable sources would show.

    If validation and test sources are exchangeable and no two scores are equal, the number of test sources covered
    is beta-binomial: both sides are random, and the test side alone (a Wilson interval) tells half of it.

    Parameters
    ----------
    n_validation, n_test : int
        Number of sources of either side; of one class where the rule is per class.
    rule : ConformalRule
        The promise.
    confidence : float
        Share of such experiments within the range.

    References
    ----------
    Vovk 2012; Angelopoulos & Bates 2021, arXiv:2107.07511, section 3.2.

    Examples
    --------
    >>> [round(x, 3) for x in expected_coverage(198, 200, ConformalRule(alpha=0.1))]
    [0.84, 0.955]
    >>> expected_coverage(5, 200, ConformalRule(alpha=0.1))  # too few: every set holds every class
    (1.0, 1.0)
    """
    rank = _rank(n_validation, rule.alpha)
    if rank > n_validation:
        return 1.0, 1.0
    tail = (1 - confidence) / 2
    low, high = betabinom.ppf([tail, 1 - tail], n_test, rank, n_validation + 1 - rank) / n_test
    return float(low), float(high)


def _threshold(scores: Floats, alpha: float) -> float:
    rank = _rank(len(scores), alpha)
    return float(np.sort(scores)[rank - 1]) if rank <= len(scores) else float("inf")


def _rank(n: int, alpha: float) -> int:
    """Give the place of the threshold among n scores in rising order, from 1; above n there is none."""
    return int(np.ceil(np.round((n + 1) * (1 - alpha), 9)))
