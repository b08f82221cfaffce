"""What if a network may say "I do not know"? Rejection, conformal sets, and doubt among members.

Symbols: y (n,) true class indices; logits (n, k), of which only the softmax counts, so that log-probabilities
serve as well; alpha the share of sources whose conformal set may miss the true class.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import entr, log_softmax

from rgbench.errors import DataError
from rgbench.measures.calibration import Floats, probabilities, wilson_intervals
from rgbench.measures.classification import Labels, Logits
from rgbench.tables import Predictions

Certainty = Literal["probability", "entropy"]
Score = Literal["lac", "aps"]


@dataclass(frozen=True)
class RejectionCurve:
    """How good a network is on the sources that it keeps; one entry per distinct certainty, all kept first.

    Attributes
    ----------
    by : {"probability", "entropy"}
        What orders the sources.
    rejected : ndarray of float64, shape (m,)
        Share of the sources that is rejected, rising from 0.
    threshold : ndarray of float64, shape (m,)
        Least certainty that is kept: a probability, or minus an entropy in nats.
    kept : ndarray of int64, shape (m,)
        Number of sources kept.
    accuracy, low, high : ndarray of float64, shape (m,)
        Accuracy on them, with its Wilson interval.
    mpca : ndarray of float64, shape (m,)
        Mean per-class accuracy over the classes that have a source left.
    kept_of_class : ndarray of float64, shape (m, k)
        Share of each class that is kept; NaN for a class without source. A class that is mostly rejected
        is not recognised, however good the accuracy.
    aurc : float
        Area under the risk-coverage curve: mean over i = 1...n of the error rate of the i most certain
        sources. Least is best; chance order gives the error rate itself.
    best_aurc : float
        The area if every error were less certain than everything right.
    """

    by: Certainty
    rejected: Floats
    threshold: Floats
    kept: NDArray[np.int64]
    accuracy: Floats
    low: Floats
    high: Floats
    mpca: Floats
    kept_of_class: Floats
    aurc: float
    best_aurc: float

    @property
    def excess_aurc(self) -> float:
        """Area above the best possible: what the order alone costs (Geifman et al. 2019)."""
        return self.aurc - self.best_aurc

    def at(self, rejected: float) -> int:
        """Give the index of the last entry that rejects no more than this share of the sources."""
        return int(np.searchsorted(self.rejected, rejected + 1e-12, side="right") - 1)


def certainty(logits: Logits, by: Certainty = "probability") -> Floats:
    """Give how certain a network is of each source, shape (n,); more is surer.

    "probability": that of the most probable class; "entropy": minus the entropy of the probabilities, in nats.

    Examples
    --------
    >>> certainty(np.zeros((1, 4))).tolist(), certainty(np.zeros((1, 4)), "entropy").round(3).tolist()
    ([0.25], [-1.386])
    """
    p = np.exp(log_softmax(logits.astype(np.float64), axis=1))
    if by == "probability":
        return np.asarray(p.max(axis=1))
    if by != "entropy":
        raise ValueError(f"by: found {by!r}; legal are 'probability' and 'entropy'")
    return np.asarray(-entr(p).sum(axis=1))


def rejection_curve(
    y: Labels, logits: Logits, by: Certainty = "probability", confidence: float = 0.95
) -> RejectionCurve:
    """Reject the least certain sources first.

    Parameters
    ----------
    y, logits : ndarray, shapes (n,) and (n, k)
        True classes, and logits or log-probabilities.
    by : {"probability", "entropy"}
        What orders the sources. Sources of equal certainty are kept or rejected together; in the area
        their errors count as evenly spread, which is the mean over all ways to order them.
    confidence : float
        Coverage of the Wilson intervals.

    Raises
    ------
    DataError
        If there is no source, or a logit is not finite.

    References
    ----------
    El-Yaniv & Wiener 2010; area: Geifman, Uziel & El-Yaniv 2019.

    Examples
    --------
    >>> p = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.6, 0.4]])
    >>> curve = rejection_curve(np.array([0, 0, 1, 0]), np.log(p))
    >>> curve.rejected.tolist(), curve.accuracy.round(3).tolist()
    ([0.0, 0.25, 0.5, 0.75], [0.75, 0.667, 1.0, 1.0])
    >>> round(curve.aurc, 4)  # (0 + 0 + 1/3 + 1/4) / 4
    0.1458
    """
    probabilities(y, logits)
    sure = certainty(logits, by)
    order = np.argsort(-sure, kind="stable")
    right = (logits.argmax(axis=1) == y)[order]
    cells = np.eye(logits.shape[1])[y[order]]
    last = np.flatnonzero(np.append(np.diff(sure[order]) != 0, True))[
        ::-1
    ]  # of each certainty; all kept first
    n_of, right_of = cells.cumsum(axis=0)[last], (cells * right[:, None]).cumsum(axis=0)[last]
    kept, hits = last + 1, right_of.sum(axis=1).astype(np.int64)
    low, high = wilson_intervals(hits, kept, confidence)
    return RejectionCurve(
        by=by,
        rejected=1 - kept / len(y),
        threshold=sure[order][last],
        kept=kept,
        accuracy=hits / kept,
        low=low,
        high=high,
        mpca=np.nanmean(_share(right_of, n_of), axis=1),
        kept_of_class=_share(n_of, n_of[:1]),
        aurc=_area(right, last[::-1]),
        best_aurc=_area(np.sort(right)[::-1], np.arange(len(y))),
    )


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
        class_coverage=_share(hits, count),
        class_low=low[:-1],
        class_high=high[:-1],
        mean_size=float(sizes @ np.arange(k + 1) / len(y)),
        sizes=sizes,
    )


@dataclass(frozen=True)
class MemberDoubt:
    """Doubt about each source that members (seeds, or Monte-Carlo passes) share or differ in; nats, shape (n,).

    Attributes
    ----------
    entropy : ndarray of float64
        Entropy of the members' mean probabilities: all doubt.
    expected_entropy : ndarray of float64
        Mean of the members' entropies: doubt that lies in the source itself.
    mutual_information : ndarray of float64
        Their difference, 0 or more: how much the members differ, which more training data could mend.
    """

    entropy: Floats
    expected_entropy: Floats
    mutual_information: Floats


def member_doubt(logits: NDArray[np.floating]) -> MemberDoubt:
    """Part the doubt of an ensemble, from logits or log-probabilities of shape (members, n, k).

    References
    ----------
    Depeweg et al. 2018; mutual information: Houlsby et al. 2011 ("BALD").

    Examples
    --------
    >>> agreed = member_doubt(np.zeros((3, 1, 2)))
    >>> differ = member_doubt(np.array([[[50.0, 0.0]], [[0.0, 50.0]]]))
    >>> agreed.mutual_information.round(3).tolist(), differ.mutual_information.round(3).tolist()
    ([0.0], [0.693])
    """
    if logits.ndim != 3 or not len(logits):
        raise ValueError(f"logits have the shape {logits.shape}; (members, n, k) is needed")
    p = np.exp(log_softmax(logits.astype(np.float64), axis=2))
    total, expected = entr(p.mean(axis=0)).sum(axis=1), entr(p).sum(axis=2).mean(axis=0)
    return MemberDoubt(total, expected, np.maximum(total - expected, 0.0))


def stack_members(predictions: Predictions) -> tuple[NDArray[np.str_], Labels, Floats]:
    """Give the rows of members 1, 2, ... of a predictions table, one source after the other.

    Parameters
    ----------
    predictions : Predictions
        Rows of one split, model and condition, e.g. of ``table.select("test", "best", member=None)``.

    Returns
    -------
    source_id, label : ndarray, shape (n,)
        Sources in sorted order, and their true classes.
    log_probabilities : ndarray of float64, shape (members, n, k)
        What each member said.

    Raises
    ------
    DataError
        If there is no member, or a member lacks a source or has it twice.
    """
    rows = predictions.take(predictions.member > 0)
    members = np.unique(rows.member)
    if not len(members):
        raise DataError(f"run {predictions.run_id}: the table has no member but 0, the mean")
    rows = rows.take(np.lexsort((rows.source_id, rows.member)))
    sources = np.unique(rows.source_id)
    if not np.array_equal(rows.source_id, np.tile(sources, len(members))):
        raise DataError(
            f"run {predictions.run_id}: {len(members)} members and {len(sources)} sources need a row each, "
            f"found {len(rows)}; select one split, model and condition"
        )
    n = len(sources)
    return sources, rows.label[:n], rows.log_probabilities().reshape(len(members), n, -1)


def _area(right: NDArray[np.bool_], last: NDArray[np.int64]) -> float:
    """Mean over i of the error rate of the first i; errors are spread evenly between the entries `last`."""
    i = np.arange(1, len(right) + 1)
    errors = np.interp(i, np.append(0, last + 1), np.append(0, (~right).cumsum()[last]))
    return float(np.mean(errors / i))


def _threshold(scores: Floats, alpha: float) -> float:
    rank = int(np.ceil(np.round((len(scores) + 1) * (1 - alpha), 9)))
    return float(np.sort(scores)[rank - 1]) if rank <= len(scores) else float("inf")


def _share(part: ArrayLike, whole: ArrayLike) -> Floats:
    part, whole = np.broadcast_arrays(np.asarray(part, np.float64), np.asarray(whole, np.float64))
    return np.asarray(np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0))
