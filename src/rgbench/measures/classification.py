"""Metrics of a classification, from true classes and logits.

Symbols: y (n,) true class indices; logits (n, k), of which only the softmax counts, so that
log-probabilities serve as well; C (k, k) the confusion matrix, rows true, columns predicted.
All are fractions in [0, 1], not percent, unless the card says otherwise. Logits that are not finite
make every metric NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from rgbench.measures.cards import metric

Labels = NDArray[np.int64]
Logits = NDArray[np.floating]
ECE_BINS = 15


def confusion_matrix(y: Labels, logits: Logits, n_classes: int | None = None) -> NDArray[np.int64]:
    """Count true classes (rows) against predicted ones (columns), shape (k, k).

    Examples
    --------
    >>> confusion_matrix(np.array([0, 0, 1]), np.array([[2.0, 1.0], [0.0, 1.0], [0.0, 3.0]])).tolist()
    [[1, 1], [0, 1]]
    """
    _check(y, logits)
    k = n_classes or logits.shape[1]
    return np.bincount(y * k + logits.argmax(axis=1), minlength=k * k).reshape(k, k)


def recalls(counts: NDArray[np.floating] | NDArray[np.int64]) -> NDArray[np.float64]:
    """Give the recall of each class from confusion matrices (..., k, k); NaN for a class without source."""
    return _divide(_diagonal(counts), counts.sum(axis=-1))


def macro_f1_of(counts: NDArray[np.floating] | NDArray[np.int64]) -> NDArray[np.float64]:
    """Give macro F1, over the classes that have sources, from confusion matrices (..., k, k)."""
    sources = counts.sum(axis=-1)
    f1 = np.nan_to_num(_divide(2 * _diagonal(counts), sources + counts.sum(axis=-2)))
    present = sources > 0
    return _divide((f1 * present).sum(axis=-1), present.sum(axis=-1))


def mean_recall(counts: NDArray[np.floating] | NDArray[np.int64]) -> NDArray[np.float64]:
    """Give the mean recall over the classes that have sources, from confusion matrices (..., k, k); NaN without any."""
    found = recalls(counts)
    return _divide(np.nansum(found, axis=-1), np.isfinite(found).sum(axis=-1))


def recognised(y: Labels, logits: Logits) -> NDArray[np.float64]:
    """Tell of each source whether its most probable class is the true one, 0 or 1, shape (n,)."""
    return np.asarray(logits.argmax(axis=1) == y, dtype=np.float64)


def negative_log_likelihoods(y: Labels, logits: Logits) -> NDArray[np.float64]:
    """Give -log p(true class) of each source, in nats, shape (n,)."""
    return np.asarray(-log_softmax(logits.astype(np.float64), axis=1)[np.arange(len(y)), y])


def brier_scores(y: Labels, logits: Logits) -> NDArray[np.float64]:
    """Give the Brier score of each source, shape (n,)."""
    p = np.exp(log_softmax(logits.astype(np.float64), axis=1))
    return np.asarray(((p - np.eye(p.shape[1])[y]) ** 2).sum(axis=1))


@metric(
    "MPCA",
    "mean over the classes present of the share of their sources that is recognised (balanced accuracy)",
    words="mean per-class accuracy (MPCA)",
    interval="classes",
    of_counts=mean_recall,
    reference="Becker et al. 2021, MNRAS 503, 1828",
)
def mpca(y: Labels, logits: Logits) -> float:
    """Mean per-class accuracy, a fraction."""
    return _of_counts(y, logits, mean_recall)


@metric(
    "Accuracy",
    "share of sources whose most probable class is the true one",
    short="accuracy",
    interval="score",
    per_source=recognised,
)
def accuracy(y: Labels, logits: Logits) -> float:
    """Accuracy, a fraction."""
    return _of_counts(y, logits, lambda counts: float(np.trace(counts) / counts.sum()))


@metric(
    "Macro F1",
    "mean over the classes present of 2 P R / (P + R), from counts; 0 for one never predicted",
    short="macro F1",
    interval="rows",
    of_counts=macro_f1_of,
)
def macro_f1(y: Labels, logits: Logits) -> float:
    """Macro-averaged F1 over the classes present, as MPCA is.

    scikit-learn averages over classes that are only predicted too: no network could then reach 1 on a test set that
    lacks one of its classes.
    """
    return _of_counts(y, logits, macro_f1_of)


@metric(
    "Macro F1 (2021)",
    "mean over the classes of F1 from the row-normalised confusion matrix, i.e. for a class-balanced test set; "
    "NaN if a class is never predicted",
    short="macro F1 of the 2021 kind",
    of_classes=True,
    reference="Becker et al. 2021, as in their code",
)
def macro_f1_2021(y: Labels, logits: Logits) -> float:
    """Macro F1 of the 2021 study."""
    return _of_counts(y, logits, lambda counts: float(per_class_of(counts)["f1_2021"].mean()))


@metric(
    "MCC",
    "multiclass Matthews correlation coefficient",
    value_range=(-1.0, 1.0),
    scale="plain",
    words="Matthews correlation coefficient (MCC)",
    of_classes=True,
    reference="Gorodkin 2004",
)
def mcc(y: Labels, logits: Logits) -> float:
    """Give the Matthews correlation coefficient; 0 for a constant predictor."""

    def of(counts: NDArray[np.int64]) -> float:
        true, predicted, n = counts.sum(axis=1), counts.sum(axis=0), counts.sum()
        covariance = float(np.trace(counts) * n - true @ predicted)
        scale = float(n**2 - true @ true) * float(n**2 - predicted @ predicted)
        return covariance / np.sqrt(scale) if scale > 0 else 0.0

    return _of_counts(y, logits, of)


@metric(
    "NLL",
    "mean of -log p(true class), in nats",
    higher_is_better=False,
    value_range=(0.0, np.inf),
    scale="plain",
    words="negative log-likelihood (NLL)",
    interval="mean",
    per_source=negative_log_likelihoods,
)
def nll(y: Labels, logits: Logits) -> float:
    """Negative log-likelihood, in nats."""
    return float(negative_log_likelihoods(y, logits).mean()) if _usable(y, logits) else float("nan")


@metric(
    "Brier score",
    "mean over sources of the squared distance between probabilities and the true class, summed over classes",
    higher_is_better=False,
    value_range=(0.0, 2.0),
    scale="plain",
    interval="mean",
    per_source=brier_scores,
    reference="Brier 1950",
)
def brier(y: Labels, logits: Logits) -> float:
    """Brier score, summed over the classes."""
    return float(brier_scores(y, logits).mean()) if _usable(y, logits) else float("nan")


@metric(
    "ECE",
    f"expected calibration error of the most probable class: {ECE_BINS} equal-width bins (low, high], mean of "
    "|accuracy - confidence| weighted by the sources in the bin",
    higher_is_better=False,
    words="expected calibration error (ECE)",
    reference="Guo et al. 2017",
)
def ece(y: Labels, logits: Logits) -> float:
    """Expected calibration error."""
    if not _usable(y, logits):
        return float("nan")
    p = np.exp(log_softmax(logits.astype(np.float64), axis=1))
    confidence, right = p.max(axis=1), p.argmax(axis=1) == y
    bins = np.clip(np.ceil(confidence * ECE_BINS).astype(int) - 1, 0, ECE_BINS - 1)
    gaps = np.bincount(bins, weights=right - confidence, minlength=ECE_BINS)
    return float(np.abs(gaps).sum() / len(y))


def per_class(y: Labels, logits: Logits) -> dict[str, NDArray[np.float64]]:
    """Give precision, recall and F1 of each class, ordinary and of the 2021 kind, each of shape (k,).

    "precision_2021", "recall_2021" and "f1_2021" come from the row-normalised confusion matrix: those
    of a class-balanced test set; NaN where 0/0. The ordinary ones are 0 there, as in scikit-learn, but NaN
    for a class that has no source.
    """
    return per_class_of(confusion_matrix(y, logits))


def per_class_of(counts: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
    """Give the numbers of `per_class` from a confusion matrix (k, k)."""
    absent = counts.sum(axis=1) == 0
    precision = np.where(absent, np.nan, np.nan_to_num(_divide(_diagonal(counts), counts.sum(axis=0))))
    recall = recalls(counts)
    shares = _divide(counts, counts.sum(axis=1, keepdims=True))
    precision_2021, recall_2021 = _divide(_diagonal(shares), shares.sum(axis=0)), _diagonal(shares)
    return {
        "precision": precision,
        "recall": recall,
        "f1": np.where(absent, np.nan, np.nan_to_num(_divide(2 * precision * recall, precision + recall))),
        "precision_2021": precision_2021,
        "recall_2021": recall_2021,
        "f1_2021": _divide(2 * precision_2021 * recall_2021, precision_2021 + recall_2021),
    }


def _of_counts(y: Labels, logits: Logits, function: Callable[[NDArray[np.int64]], Any]) -> float:
    return float(function(confusion_matrix(y, logits))) if _usable(y, logits) else float("nan")


def _usable(y: Labels, logits: Logits) -> bool:
    _check(y, logits)
    return len(y) > 0 and bool(np.isfinite(logits).all())


def _check(y: Labels, logits: Logits) -> None:
    if logits.ndim != 2 or y.shape != logits.shape[:1]:
        raise ValueError(
            f"labels of shape {y.shape} and logits of shape {logits.shape}; (n,) and (n, k) are needed"
        )
    if len(y) and not (y.min() >= 0 and y.max() < logits.shape[1]):
        raise ValueError(f"labels lie between {y.min()} and {y.max()}; legal are 0 to {logits.shape[1] - 1}")


def _diagonal(counts: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(np.diagonal(counts, axis1=-2, axis2=-1), dtype=np.float64)


def _divide(above: NDArray[Any], below: NDArray[Any]) -> NDArray[np.float64]:
    above, below = np.broadcast_arrays(
        np.asarray(above, dtype=np.float64), np.asarray(below, dtype=np.float64)
    )
    return np.asarray(np.divide(above, below, out=np.full(above.shape, np.nan), where=below != 0))
