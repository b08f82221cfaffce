"""Two networks beside each other, in sentences."""

from __future__ import annotations

from math import ceil, isinf, isnan

from rgbench import numbers
from rgbench.measures.cards import MAIN, MetricCard
from rgbench.measures.catalogue import metrics
from rgbench.numbers import counted
from rgbench.statistics.paired import PairedDifference
from rgbench.statistics.resampled import Posterior
from rgbench.statistics.significance import Interval, excludes_zero


def interval(span: Interval) -> str:
    """Write a fraction with its interval, in points.

    Examples
    --------
    >>> from rgbench.statistics.significance import Interval
    >>> interval(Interval(0.031, 0.004, 0.058))
    '3.1 points (95 % interval 0.4 to 5.8)'
    """
    return f"{numbers.percent(span.value)} points ({numbers.interval(span.low, span.high, span.confidence)})"


def bounded(span: Interval, card: MetricCard) -> str:
    """Write a difference in a metric with its interval; of one that holds every possible difference, say so.

    Examples
    --------
    >>> bounded(Interval(0.0, -1.0, 1.0), metrics().get("mpca"))
    '0.0 points (95 % interval −100.0 to 100.0, which excludes nothing)'
    """
    scale, most = numbers.scale(card.scale), card.largest_difference
    within = numbers.interval(span.low, span.high, span.confidence, scale.step)
    if span.low <= -most and span.high >= most:
        within += ", which excludes nothing"
    return f"{scale.difference(span.value)} ({within})"


def pair(found: PairedDifference) -> str:
    """Say whether two networks are told apart, and what would be needed to tell; no full stop.

    Examples
    --------
    >>> from rgbench.statistics.paired import PairedDifference
    >>> pair(PairedDifference("a", "b", 0.031, 0.004, 0.058, 0.02, 0.038, True))
    'a beats b by 3.1 points (95 % interval 0.4 to 5.8)'
    >>> tied = PairedDifference("a", "b", 0.01, -0.02, 0.04, 0.5, 0.08, False, n_test=200, needed=1094)
    >>> pair(tied)
    'a and b cannot be told apart with 200 test sources; about 1,100 would be needed to resolve a difference of 2
    points'
    >>> nan = float("nan")
    >>> pair(PairedDifference("a", "b", 0.01, nan, nan, nan, nan, False, n_test=7))
    'a and b cannot be told apart with 7 test sources: these are too few to give their difference an interval'
    """
    card = metrics().get(found.metric)
    scale, sign = numbers.scale(card.scale), 1 if card.higher_is_better else -1
    value, low, high = sign * found.difference, *sorted((sign * found.low, sign * found.high))
    first, second, runs = found.first, found.second, _single(found)
    within = "" if found.metric == MAIN else f" in {card.short}"
    alone = excludes_zero(low, high)
    if found.separable and alone:
        if value < 0:
            (first, second), (value, low, high) = (second, first), (-value, -high, -low)
        span = numbers.interval(low, high, found.confidence, scale.step)
        return f"{first} beats {second}{within} by {scale.amount(value)} ({span}){runs}"
    said = f"{first} and {second} cannot be told apart{within} with {counted(found.n_test, 'test source')}"
    if isnan(found.low) or isnan(found.high):
        few = "this is too little" if found.n_test == 1 else "these are too few"
        return f"{said}: {few} to give their difference an interval"
    span = bounded(Interval(found.difference, found.low, found.high, found.confidence), card)
    if alone:
        return f"{said} when all {found.pairs} pairs are counted ({span} for this pair alone{runs})"
    return f"{said}{_needed(found, span)}"


def posterior(found: Posterior) -> str:
    """Say how probably the first, neither or the second of two networks is better.

    Examples
    --------
    >>> from rgbench.statistics.resampled import Posterior
    >>> posterior(Posterior(0.01, 0.06, 0.93, 0.01))
    'first better 93 %, equal within 1 point 6 %, second better 1 %'
    """
    right, rope, left = (numbers.percent(share, 0) for share in (found.right, found.rope, found.left))
    region = numbers.points(found.region)
    return f"first better {right} %, equal within {region} {rope} %, second better {left} %"


def _single(found: PairedDifference) -> str:
    """Say which of the two is one trained run, of which nothing is known of other seeds."""
    names = [name for name, single in zip((found.first, found.second), found.single, strict=True) if single]
    if len(names) == 2:
        return ", of one trained run each"
    return f", of one trained run of {names[0]}" if names else ""


def _needed(found: PairedDifference, span: str) -> str:
    """Say what would have told them apart; where that is not known, how they differ."""
    wanted = numbers.points(found.wanted)
    if isnan(found.needed):
        return f": {span}"
    if isinf(found.needed):
        return f"; to resolve a difference of {wanted}, more seeds are needed, not only more sources"
    if found.needed <= found.n_test:
        return f", which would most likely have shown a difference of {wanted}"
    return f"; about {numbers.rounded_up(ceil(found.needed)):,} would be needed to resolve a difference of {wanted}"
