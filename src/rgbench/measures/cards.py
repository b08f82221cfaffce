"""A metric is a pure function with a card: what it is, which way is better, how sure a value of it is.

One decorated function is one metric. All metrics together: `rgbench.measures.catalogue.metrics`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Literal, Protocol, TypedDict, TypeVar, Unpack, get_args

import numpy as np
from numpy.typing import NDArray

from rgbench.errors import SpecError, raise_stop
from rgbench.registry import Registry

MAIN = "mpca"
"""The metric that leads a comparison unless another is asked for: that of the 2021 study."""

ONLY_CLASSES = "probabilities are needed, and only classes are known"
"""Why a metric is not known of votes."""

Labels = NDArray[np.int64]
Logits = NDArray[np.floating]
Floats = NDArray[np.float64]
Measure = Callable[[Labels, Logits], float]
PerSource = Callable[[Labels, Logits], Floats]
M = TypeVar("M", bound=Measure)
A = TypeVar("A", bound=np.generic)

_NUMBER = (float, int, np.floating, np.integer)
Scale = Literal["percent", "plain"]
Method = Literal["classes", "score", "rows", "mean", "bootstrap", "none"]


class OfCounts(Protocol):
    """A metric as a function of confusion matrices (..., k, k), rows true, which may hold fractions of sources."""

    def __call__(self, counts: Floats, /) -> Floats:
        """Give the metric of each matrix, shape (...)."""


@dataclass(frozen=True)
class MetricCard:
    """What a metric is, and how new test sources would change it.

    Attributes
    ----------
    name : str
        Key in tables.
    title : str
        Heading of a column: "Accuracy".
    definition : str
        Formula in words or symbols.
    function : callable
        ``f(y, logits) -> float``; y (n,) class indices, logits (n, n_classes).
    higher_is_better : bool
        Which way is better; values are never negated.
    value_range : (float, float)
        Smallest and largest value it can have.
    scale : {"percent", "plain"}
        How a value is written: 0.822 as 82.2 % and a difference in points, or as it is.
    interval : {"classes", "score", "rows", "mean", "bootstrap", "none"}
        How the interval for new test sources is made. "classes": score interval of the mean over classes of the
        share that is recognised; "score": that of the share of all sources; "rows": Bayesian bootstrap of the rows
        of the confusion matrix, for which `of_counts` is needed; "mean": Hall's transformed t of the mean of
        `per_source`; "bootstrap": percentiles of resampled sources; "none": it has none, and says so.
    short, words : str
        Name within a sentence ("accuracy"), and where it is named first ("mean per-class accuracy (MPCA)").
    reference : str
        Where the definition comes from.
    per_source : callable, optional
        ``f(y, logits) -> (n,)``, of which the metric is the mean: makes resampling one matrix product.
    of_counts : callable, optional
        The metric of confusion matrices: the same for metrics that need no more than counts.
    of_classes : bool
        Whether the most probable class of each source is all that it needs, so that it is known too of runs that give
        classes and no probabilities. It is for shares of recognised sources, and with `of_counts`, whatever is said.

    Raises
    ------
    SpecError
        If the interval is none of those, or lacks the function that it needs.
    """

    name: str
    title: str
    definition: str
    function: Measure
    higher_is_better: bool = True
    value_range: tuple[float, float] = (0.0, 1.0)
    scale: Scale = "percent"
    interval: Method = "none"
    short: str = ""
    words: str = ""
    reference: str = ""
    per_source: PerSource | None = None
    of_counts: OfCounts | None = None
    of_classes: bool = False

    def __post_init__(self) -> None:
        for key, legal in (("scale", get_args(Scale)), ("interval", get_args(Method))):
            if getattr(self, key) not in legal:
                found = getattr(self, key)
                raise SpecError(f"metric {self.name!r}, {key}: found {found!r}; legal are {', '.join(legal)}")
        if not callable(self.function):
            raise SpecError(
                f"metric {self.name!r}: a function f(y, logits) is needed, found {self.function!r}"
            )
        if not _is_range(self.value_range):
            found = self.value_range
            raise SpecError(
                f"metric {self.name!r}, value_range: found {found!r}; legal is (smallest, largest)"
            )
        if self.interval == "rows" and self.of_counts is None:
            raise SpecError(f"metric {self.name!r}: the interval 'rows' needs of_counts")
        if self.interval == "mean" and self.per_source is None:
            raise SpecError(f"metric {self.name!r}: the interval 'mean' needs per_source")
        object.__setattr__(self, "short", self.short or self.title)
        object.__setattr__(self, "words", self.words or self.short)
        known = self.of_classes or self.is_recognition or self.of_counts is not None
        object.__setattr__(self, "of_classes", known)

    @property
    def is_recognition(self) -> bool:
        """Whether it is a share of sources that are recognised, over all or class by class."""
        return self.interval in ("classes", "score")

    @property
    def largest_difference(self) -> float:
        """Largest size that the difference of two values can have; infinite where values have no limit.

        Examples
        --------
        >>> MetricCard("hits", "Hits", "share of hits", lambda y, logits: 1.0).largest_difference
        1.0
        """
        return float(self.value_range[1] - self.value_range[0])

    def tried(self, y: Labels, logits: Logits) -> tuple[float, str]:
        """Give the metric of predictions, and "" or why it could not be worked out; it is NaN then."""
        own = self.given(logits)
        if own is None:
            return float("nan"), ONLY_CLASSES
        try:
            value: object = self.function(read_only(y), read_only(own))
        # Whatever is wrong in another package must not cost the others.
        except (Exception, SystemExit) as error:
            raise_stop(error)
            return float("nan"), f"{type(error).__name__}: {error}"
        if not isinstance(value, _NUMBER):
            return float("nan"), f"gave a {type(value).__name__}; a number is legal"
        low, high = self.value_range
        if not (np.isnan(value) or low <= value <= high):
            return float("nan"), f"gave {value:g}; its card says {low:g} to {high:g}"
        return float(value), ""

    def given(self, logits: Logits) -> Logits | None:
        """Give what it is worked out from: the logits, or finite ones where only classes are known.

        None where it needs probabilities and only classes are known: a class is no probability of 1.

        Examples
        --------
        >>> votes = np.array([[0.0, -np.inf], [-np.inf, 0.0]])
        >>> MetricCard("loss", "Loss", "a loss", lambda y, logits: 1.0).given(votes) is None
        True
        """
        if not only_classes(logits):
            return logits
        return np.maximum(logits, -1.0) if self.of_classes else None

    def value(self, y: Labels, logits: Logits) -> float:
        """Give the metric of predictions; NaN where it could not be worked out."""
        return self.tried(y, logits)[0]

    def strata(self, y: Labels) -> Labels:
        """Give what parts sources into groups of equal weight: the classes, or one group of all.

        Examples
        --------
        >>> card = MetricCard("hits", "Hits", "share of hits", lambda y, logits: 1.0, interval="score")
        >>> card.strata(np.array([0, 1, 1])).tolist()
        [0, 0, 0]
        """
        return y if self.interval == "classes" else np.zeros_like(y)


def only_classes(logits: Logits) -> bool:
    """Tell whether log-probabilities (n, k) are votes: 0 for one class and minus infinity for all others.

    `rgbench.store.tables.log_probabilities` gives such where only classes are known, and never of logits.
    """
    if logits.ndim != 2 or not logits.size or not np.isneginf(logits).any():
        return False
    return bool(
        ((logits == 0).sum(axis=1) == 1).all()
        and (np.isneginf(logits).sum(axis=1) == logits.shape[1] - 1).all()
    )


def read_only(array: NDArray[A]) -> NDArray[A]:
    """Give a view that cannot be written to, so that no metric changes what the next one is given."""
    view = array.view()
    view.flags.writeable = False
    return view


def _is_range(found: object) -> bool:
    """Tell whether something is a pair of numbers, the smaller first."""
    if not isinstance(found, tuple) or len(found) != 2:
        return False
    return all(isinstance(end, _NUMBER) for end in found) and bool(found[0] < found[1])


@cache
def registry() -> Registry[MetricCard]:
    """Give the registry that `metric` fills; `rgbench.measures.catalogue.metrics` gives it with all that ship."""
    return Registry("metric", "rgbench.metrics", _card)


def _card(name: str, item: object) -> MetricCard:
    """Check what somebody registers as a metric."""
    if isinstance(item, MetricCard) and item.name == name:
        return item
    found = f"a card of {item.name!r}" if isinstance(item, MetricCard) else f"a {type(item).__name__}"
    raise SpecError(
        f"metric {name!r} is {found}; a MetricCard of that name, or a function under the decorator "
        "rgbench.measures.cards.metric, is legal"
    )


class Facts(TypedDict, total=False):
    """What `metric` may be told beside title and definition; see `MetricCard`."""

    higher_is_better: bool
    value_range: tuple[float, float]
    scale: Scale
    interval: Method
    short: str
    words: str
    reference: str
    per_source: PerSource
    of_counts: OfCounts
    of_classes: bool


def metric(title: str, definition: str, **facts: Unpack[Facts]) -> Callable[[M], M]:
    """Register a function as a metric under its own name; what else may be said of it stands in `MetricCard`.

    Parameters
    ----------
    title : str
        Its name in words.
    definition : str
        What it is, in half a sentence.
    **facts
        Any other attribute of `MetricCard`, as ``interval`` or ``higher_is_better``.

    Returns
    -------
    callable
        What registers the function that it is put on, which stays as it is.

    Examples
    --------
    A metric of one's own, in a module that an entry point of ``rgbench.metrics`` or ``extensions`` of a study names::

        @rgbench.metric("Worst recall", "smallest share of a class that is recognised", interval="bootstrap")
        def worst_recall(y, logits):
            said = logits.argmax(axis=1)
            return min(float((said[y == c] == c).mean()) for c in set(y.tolist()))
    """

    def register(function: M) -> M:
        card = MetricCard(function.__name__, title, definition, function, **facts)
        registry().register(card.name, card)
        return function

    return register
