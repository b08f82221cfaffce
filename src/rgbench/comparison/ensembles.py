"""Runs that vote together: combining them, choosing which on validation sources, scoring on test sources.

A side (`rgbench.comparison.members.Side`) holds what members said of the sources of one side of a split.
Whatever chooses (weights, subsets) takes the validation side and refuses any other; whatever scores takes
what was chosen and the test side, and refuses one that shares a source with validation.

Symbols: m members, n sources, k classes; scores (m, n, k) are log-probabilities. The mean of logits and that
of log-probabilities give the same classes and probabilities, so that one array serves every rule, and
networks with sigmoid outputs can take part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rgbench.comparison.members import Floats, Member, Side
from rgbench.errors import LeakageError, SpecError
from rgbench.measures.best import validation_rank
from rgbench.measures.cards import MetricCard
from rgbench.measures.catalogue import measure, metrics
from rgbench.measures.classification import accuracy, nll
from rgbench.measures.combine import _TINY, RULES, Rule, combine
from rgbench.seeds import numpy_generator
from rgbench.statistics.intervals import Weights, interval, resampled, stratified_weights
from rgbench.statistics.losses import mean_ends
from rgbench.statistics.significance import mpca_difference_interval, mpca_interval

Weighting = Literal["equal", "accuracy", "nll"]
WEIGHTINGS: tuple[Weighting, ...] = ("equal", "accuracy", "nll")
"""Metrics with score intervals, which hold their coverage where the bootstrap's are too narrow."""


@dataclass(frozen=True)
class Choice:
    """An ensemble that was chosen on validation sources.

    Attributes
    ----------
    index : tuple of int
        Members, in rising order; one that greedy selection took twice stands there twice.
    value : float
        The metric on validation sources.
    method : {"exhaustive", "greedy"}
        Whether all subsets of that size were tried.
    """

    index: tuple[int, ...]
    value: float
    method: str

    @property
    def size(self) -> int:
        """Number of members, repeats counted."""
        return len(self.index)


@dataclass(frozen=True)
class EnsembleScore:
    """How an ensemble does on test sources.

    Attributes
    ----------
    members : tuple of Member
        Its members.
    metric : str
        The metric of `value`, `members_mean`, `single` and the gain.
    value, low, high : float
        The ensemble's, with its interval over test sources (NaN if it has none): a score interval for accuracy
        and MPCA, else from the bootstrap.
    members_mean : float
        Mean over the members by themselves.
    single : float
        That of the one member of all that does best on validation sources.
    single_name : str
        Its name.
    gain, gain_low, gain_high : float
        `value` minus `single`, with its paired interval, of the same kind; of that member itself, 0.
    metrics : dict of str to float
        Every registered metric of the ensemble.
    """

    members: tuple[Member, ...]
    metric: str
    value: float
    low: float
    high: float
    members_mean: float
    single: float
    single_name: str
    gain: float
    gain_low: float
    gain_high: float
    metrics: dict[str, float]


@dataclass(frozen=True)
class Blend:
    """How members are combined.

    Attributes
    ----------
    rule : {"vote", "probability", "logit"}
        See `combine`.
    weighting : {"equal", "accuracy", "nll"}
        See `member_weights`.
    """

    rule: Rule = "probability"
    weighting: Weighting = "equal"

    def __post_init__(self) -> None:
        for key, value, legal in (("rule", self.rule, RULES), ("weighting", self.weighting, WEIGHTINGS)):
            if value not in legal:
                raise SpecError(f"{key}: found {value!r}; legal are {', '.join(legal)}")


def member_weights(validation: Side, weighting: Weighting) -> Floats:
    """Weigh members by how they do on validation sources, shape (m,), with sum 1.

    "accuracy": the log-odds of being right above those of chance, ln(a (k - 1) / (1 - a)), which is best for
    votes of independent members (Nitzan & Paroush 1982); a has one source added on either side, and a member
    no better than chance has weight 0. "nll": exp(-NLL), the typical probability of the true class. "equal":
    the same for all, also where no member is better than chance.

    Raises
    ------
    SpecError
        If the side is not the validation side.
    """
    _refuse_other(validation)
    return _normal(_strengths(validation, weighting))


def ensemble_value(
    validation: Side, blend: Blend | None = None, metric: str = "accuracy"
) -> Callable[[Sequence[int]], float]:
    """Make a function that gives the metric, on validation sources, of the ensemble of some members.

    That of no member at all is chance: the mean over the classes of always saying that one.

    Raises
    ------
    SpecError
        If the side is not the validation side, or there is no such metric.
    """
    _refuse_other(validation)
    blend, function = blend or Blend(), metrics().get(metric).function
    strengths = _strengths(validation, blend.weighting)
    n, k = validation.scores.shape[1:]

    def value(index: Sequence[int]) -> float:
        if not index:
            said = (np.tile(_TINY * row, (n, 1)) for row in np.eye(k))
            return float(np.mean([function(validation.y, scores) for scores in said]))
        return function(validation.y, _blended(validation, strengths, index, blend.rule))

    return value


def choose_subsets(
    validation: Side,
    blend: Blend | None = None,
    metric: str = "accuracy",
    largest: int = 10,
    limit: int = 2000,
) -> tuple[Choice, ...]:
    """Find the best ensemble of each size on validation sources.

    Parameters
    ----------
    validation : Side
        The validation side; the test side is refused, and is nowhere to be seen.
    blend : Blend, optional
        How members are combined; the plain mean of probabilities if left out.
    metric : str
        A registered metric. Where it is equal, the NLL decides, then the order of the members.
    largest : int
        Largest size.
    limit : int
        Most subsets of a size that are all tried. For a size that has more, the ensemble comes from greedy
        forward selection with replacement (Caruana et al. 2004), which takes at each step the member,
        taken already or not, that makes the ensemble best.

    Returns
    -------
    tuple of Choice
        One for each size from 1 on. Its value is that of the sources it was chosen on, and flatters it.

    Raises
    ------
    SpecError
        If the side is not the validation side, or there is no such metric.
    """
    _refuse_other(validation)
    key, value = _judge(validation, blend or Blend(), metric), ensemble_value(validation, blend, metric)
    m = len(validation.members)
    choices: list[Choice] = []
    path: list[tuple[int, ...]] = [()]
    for size in range(1, min(largest, m) + 1):
        exhaustive = comb(m, size) <= limit
        path.append(min(_extended(path[-1], m), key=key))
        best = min(combinations(range(m), size), key=key) if exhaustive else path[-1]
        choices.append(Choice(best, value(best), "exhaustive" if exhaustive else "greedy"))
    return tuple(choices)


def score_ensembles(
    ensembles: Sequence[Sequence[int]],
    validation: Side,
    test: Side,
    blend: Blend | None = None,
    metric: str = "accuracy",
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> tuple[EnsembleScore, ...]:
    """Score ensembles on test sources, and against the single member that validation would have chosen.

    Parameters
    ----------
    ensembles : sequence of sequence of int
        Members of each, e.g. ``choice.index`` or ``group.index``.
    validation, test : Side
        The same members on either side; validation gives the weights and the single member.
    blend : Blend, optional
        How members are combined; the plain mean of probabilities if left out.
    metric : str
        What is scored; NaN bounds if its card says that it has no interval.
    confidence, resamples, seed : float, int, int
        Coverage of the intervals; number and seed of the bootstrap over test sources, class by class.

    Raises
    ------
    SpecError
        If the sides are not what they should be or have other members.
    LeakageError
        If a source stands on both sides.
    """
    _check_sides(validation, test)
    blend = blend or Blend()
    best = choose_subsets(validation, blend, metric, largest=1, limit=len(validation.members))[0].index[0]
    weights = stratified_weights(test.y, resamples, numpy_generator(seed, "bootstrap", test=0))
    card, strengths = metrics().get(metric), _strengths(validation, blend.weighting)
    function = card.value
    alone = [function(test.y, scores) for scores in test.scores]
    found = []
    for index in ensembles:
        scores = _blended(test, strengths, index, blend.rule)
        spans = _spans(card, test.y, (scores, test.scores[best]), weights, confidence)
        value, gain = function(test.y, scores), (0.0, 0.0) if set(index) == {best} else spans[1]
        found.append(
            EnsembleScore(
                members=tuple(test.members[i] for i in index),
                metric=metric,
                value=value,
                low=spans[0][0],
                high=spans[0][1],
                members_mean=float(np.mean([alone[i] for i in index])),
                single=alone[best],
                single_name=test.members[best].name,
                gain=value - alone[best],
                gain_low=gain[0],
                gain_high=gain[1],
                metrics=dict(measure(test.y, scores).values),
            )
        )
    return tuple(found)


def _spans(
    card: MetricCard, y: NDArray[np.int64], both: tuple[Floats, Floats], weights: Weights, confidence: float
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Give the interval of the first of two predictions, and that of its difference from the second."""
    if card.is_recognition:
        classes = card.strata(y)
        right, other = (scores.argmax(axis=1) == y for scores in both)
        value = mpca_interval(classes, right, confidence)
        gain = mpca_difference_interval(classes, right, other, confidence)
        return (value.low, value.high), (gain.low, gain.high)
    if card.interval == "mean" and card.per_source is not None:
        losses, of_other = (card.per_source(y, scores) for scores in both)
        return mean_ends(y, losses, confidence), mean_ends(y, losses - of_other, confidence)
    draws, others = (_draws(card, y, scores, weights) for scores in both)
    return interval(draws, confidence), interval(draws - others, confidence)


def _draws(card: MetricCard, y: NDArray[np.int64], scores: Floats, weights: Weights) -> Floats:
    """Give a metric on all resamples; one NaN if it has none."""
    found = resampled(card, y, scores, weights)
    return np.full(1, np.nan) if found is None else found


def _judge(side: Side, blend: Blend, metric: str) -> Callable[[tuple[int, ...]], tuple[Any, ...]]:
    """Make a key that is least for the best ensemble."""
    card = metrics().get(metric)
    strengths = _strengths(side, blend.weighting)

    def key(index: tuple[int, ...]) -> tuple[Any, ...]:
        scores = _blended(side, strengths, index, blend.rule)
        return *validation_rank(card, side.y, scores), index

    return key


def _strengths(validation: Side, weighting: Weighting) -> Floats:
    """Give the weight of each member, not yet divided by their sum, shape (m,)."""
    m, n, k = validation.scores.shape
    if weighting == "equal":
        return np.ones(m)
    if weighting == "nll":
        return np.exp([-nll(validation.y, own) for own in validation.scores])
    right = np.array([accuracy(validation.y, own) for own in validation.scores])
    share = (right * n + 1) / (n + 2)
    return np.asarray(np.maximum(np.log(share * (k - 1) / (1 - share)), 0.0))


def _normal(strengths: Floats) -> Floats:
    m, total = len(strengths), strengths.sum()
    return strengths / total if total > 0 else np.full(m, 1 / m)


def _blended(side: Side, strengths: Floats, index: Sequence[int], rule: Rule) -> Floats:
    chosen = list(index)
    return combine(side.scores[chosen], rule, _normal(strengths[chosen]))


def _extended(index: tuple[int, ...], m: int) -> Iterator[tuple[int, ...]]:
    return (tuple(sorted((*index, i))) for i in range(m))


def _refuse_other(side: Side) -> None:
    """Raise `SpecError` unless a side is the validation side."""
    if side.split != "validation":
        raise SpecError(
            f"ensembles are chosen and weighted on validation sources, found those of {side.split}"
        )


def _check_sides(validation: Side, test: Side) -> None:
    _refuse_other(validation)
    if test.split != "test":
        raise SpecError(f"ensembles are scored on test sources, found those of {test.split}")
    if validation.members != test.members:
        raise SpecError("the members of the validation side are not those of the test side")
    shared = sorted(set(validation.source_id.tolist()) & set(test.source_id.tolist()))
    if shared:
        raise LeakageError(f"{len(shared)} sources stand on both sides, e.g. {shared[0]}")
