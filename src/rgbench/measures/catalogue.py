"""All metrics by name: those that ship, and those that other packages bring."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

# Importing them registers their metrics.
import rgbench.measures.calibration
import rgbench.measures.classification  # noqa: F401
from rgbench.errors import SpecError
from rgbench.measures.cards import Labels, Logits, MetricCard, registry
from rgbench.registry import Registry


def metrics() -> Registry[MetricCard]:
    """Give the registry of metrics, whatever was imported before.

    Others join it by entry points ``rgbench.metrics``, by `rgbench.register`, or by the decorator
    `rgbench.measures.cards.metric`.

    Examples
    --------
    >>> metrics().names()[:3]
    ['mpca', 'accuracy', 'macro_f1']
    """
    return registry()


def find_metric(name: str) -> MetricCard:
    """Give a metric's card by its name, as tables write it or with hyphens.

    Raises
    ------
    SpecError
        If no metric has that name; the message lists them.

    Examples
    --------
    >>> find_metric("macro-f1").title
    'Macro F1'
    """
    for spelt in (name, name.replace("-", "_")):
        if spelt in metrics():
            return metrics().get(spelt)
    raise SpecError(f"unknown metric {name!r}; legal are {', '.join(metrics().names())}")


def recognition() -> tuple[str, ...]:
    """Name the metrics that are shares of recognised sources: they have score intervals and exact tests."""
    return tuple(name for name, card in metrics() if card.is_recognition)


def means() -> tuple[str, ...]:
    """Name the metrics whose interval is that of a mean over sources, such as losses."""
    return tuple(name for name, card in metrics() if card.interval == "mean")


@dataclass(frozen=True)
class Measured:
    """What all metrics say of predictions.

    Attributes
    ----------
    values : mapping of str to float
        By metric; NaN where one failed.
    failed : mapping of str to str
        Why, by metric: it raised, or left the range of its card.
    """

    values: Mapping[str, float]
    failed: Mapping[str, str] = field(default_factory=dict)


def measure(y: Labels, logits: Logits, cards: Iterable[MetricCard] | None = None) -> Measured:
    """Give metrics of predictions, by default every one; one that fails spoils its own value only.

    Parameters
    ----------
    y : ndarray of int64, shape (n,)
        True class indices.
    logits : ndarray, shape (n, n_classes)
        Logits or log-probabilities.
    cards : iterable of MetricCard, optional
        Which.

    Returns
    -------
    Measured
        Values by name, and why some failed.

    Examples
    --------
    >>> import numpy as np
    >>> found = measure(np.array([0, 1]), np.array([[2.0, 0.0], [3.0, 0.0]]))
    >>> found.values["accuracy"], dict(found.failed)
    (0.5, {})
    """
    values, failed = dict[str, float](), dict[str, str]()
    for card in (own for _, own in metrics()) if cards is None else cards:
        values[card.name], why = card.tried(y, logits)
        if why:
            failed[card.name] = why
    failed.update(metrics().broken())
    return Measured(values, failed)
