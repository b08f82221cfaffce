"""A metric is a pure function with a card: what it is, which way is better, what values it may have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from rgbench.registry import Registry

Measure = Callable[[NDArray[np.int64], NDArray[np.floating]], float]


@dataclass(frozen=True)
class MetricCard:
    """What a metric is.

    Attributes
    ----------
    name, title : str
        Key in tables, and name in words.
    definition : str
        Formula in words or symbols.
    higher_is_better : bool
        Which way is better; values are never negated.
    value_range : (float, float)
        Smallest and largest value it can have.
    reference : str
        Where the definition comes from.
    function : callable
        ``f(y, logits) -> float``; y (n,) class indices, logits (n, n_classes).
    """

    name: str
    title: str
    definition: str
    higher_is_better: bool
    value_range: tuple[float, float]
    reference: str
    function: Measure


@cache
def metrics() -> Registry[MetricCard]:
    """Give the registry of metrics; others join it by entry points ``rgbench.metrics``."""
    return Registry("metric", entry_point_group="rgbench.metrics")


def metric(
    title: str,
    definition: str,
    higher_is_better: bool = True,
    value_range: tuple[float, float] = (0.0, 1.0),
    reference: str = "",
) -> Callable[[Measure], Measure]:
    """Register a function as a metric under its own name."""

    def register(function: Measure) -> Measure:
        name = function.__name__
        metrics().register(
            name, MetricCard(name, title, definition, higher_is_better, value_range, reference, function)
        )
        return function

    return register
