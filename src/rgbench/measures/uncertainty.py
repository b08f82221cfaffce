"""What if a network may say "I do not know"? Rejection, and doubt among members.

Symbols: y (n,) true class indices; logits (n, k), of which only the softmax counts, so that log-probabilities
serve as well. Conformal sets are in `rgbench.measures.conformal`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import entr, log_softmax

from rgbench.errors import DataError
from rgbench.measures.calibration import Floats, probabilities, wilson_intervals
from rgbench.measures.classification import Labels, Logits
from rgbench.measures.combine import combine
from rgbench.store.tables import Predictions, concatenate

Certainty = Literal["probability", "entropy"]


@dataclass(frozen=True)
class RejectionCurve:
    """How good a network is on the sources that it keeps; one entry per distinct certainty, all kept first.

    Attributes
    ----------
    by : {"probability", "entropy", "given"}
        What orders the sources.
    rejected : ndarray of float64, shape (m,)
        Share of the sources that is rejected, rising from 0.
    threshold : ndarray of float64, shape (m,)
        Least certainty that is kept: a probability, minus an entropy in nats, or what was given.
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

    by: str
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
    y: Labels, logits: Logits, by: Certainty | Floats = "probability", confidence: float = 0.95
) -> RejectionCurve:
    """Reject the least certain sources first.

    Parameters
    ----------
    y, logits : ndarray, shapes (n,) and (n, k)
        True classes, and logits or log-probabilities.
    by : {"probability", "entropy"} or ndarray of float64, shape (n,)
        What orders the sources: see `certainty`, or a certainty of each, such as minus the mutual information
        of `member_doubt`. Sources of equal certainty are kept or rejected together; in the area their errors
        count as evenly spread, which is the mean over all ways to order them.
    confidence : float
        Coverage of the Wilson intervals.

    Raises
    ------
    DataError
        If there is no source, or a logit or a given certainty is not finite.

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
    sure = certainty(logits, by) if isinstance(by, str) else _given(by, len(y))
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
        by=by if isinstance(by, str) else "given",
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


def areas(right: ArrayLike, sure: Floats, weights: NDArray[np.floating]) -> Floats:
    """Give the area under the risk-coverage curve of many resamples of the sources, shape (b,).

    Parameters
    ----------
    right : array of bool, shape (n,)
        Whether the network is right about each source.
    sure : ndarray of float64, shape (n,)
        How certain it is. Sources of equal certainty count in their order here, not as the mean over orders.
    weights : ndarray of float, shape (b, n)
        How often each resample holds each source.

    Examples
    --------
    >>> right, sure = np.array([True, True, False, True]), np.array([0.9, 0.8, 0.7, 0.6])
    >>> areas(right, sure, np.array([[1, 1, 1, 1], [2, 0, 0, 2]])).round(4).tolist()  # (0 + 0 + 1/3 + 1/4) / 4
    [0.1458, 0.0]
    """
    order = np.argsort(-sure, kind="stable")
    drawn = np.asarray(weights, dtype=np.float64)[:, order]
    kept, wrong = drawn.cumsum(axis=1), (drawn * ~np.asarray(right, dtype=bool)[order]).cumsum(axis=1)
    risks = np.divide(wrong, kept, out=np.zeros_like(kept), where=kept > 0)
    return np.asarray((drawn * risks).sum(axis=1) / kept[:, -1])


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


def _given(sure: Floats, n: int) -> Floats:
    """Check certainties that come from elsewhere."""
    if sure.shape != (n,) or not np.isfinite(sure).all():
        raise DataError(
            f"certainties have shape {sure.shape}, {int((~np.isfinite(sure)).sum())} of them not finite; "
            f"{n} finite numbers are needed"
        )
    return sure


def _share(part: ArrayLike, whole: ArrayLike) -> Floats:
    part, whole = np.broadcast_arrays(np.asarray(part, np.float64), np.asarray(whole, np.float64))
    return np.asarray(np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0))


def with_members(like: Predictions, condition: str, scores: Floats) -> Predictions:
    """Make rows of members and of their mean.

    Parameters
    ----------
    like : Predictions
        One row per source: run, classes, sources, side, model and labels are taken from it.
    condition : str
        Name of the way.
    scores : ndarray of float64, shape (m, n, k)
        Log-probabilities of the members.

    Returns
    -------
    Predictions
        (m + 1) n rows, member 0, the mean of the probabilities, first. The logits are log-probabilities, of
        which the softmax is the probabilities, whatever the network's own output was.

    Examples
    --------
    >>> one = np.array(["a"])
    >>> like = Predictions("r", ("x", "y"), "sigmoid", "1", one, one, one, one, np.array([0]), np.array([1]), one)
    >>> rows = with_members(like, "mc-dropout", np.log([[[0.9, 0.1]], [[0.5, 0.5]]]))
    >>> rows.member.tolist(), rows.probabilities().round(3).tolist()
    ([0, 1, 2], [[0.7, 0.3], [0.9, 0.1], [0.5, 0.5]])
    """
    n = len(like)
    parts = [
        replace(
            like,
            activation="softmax",
            condition=np.full(n, condition),
            member=np.full(n, number, dtype=np.int64),
            logits=own.astype(np.float32),
        )
        for number, own in enumerate([combine(scores), *scores])
    ]
    return concatenate(parts)
