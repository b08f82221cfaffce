"""Two networks beside each other, in sentences."""

from __future__ import annotations

from math import ceil, isinf, isnan

from rgbench import numbers
from rgbench.measures.cards import MAIN, MetricCard
from rgbench.measures.catalogue import metrics
from rgbench.numbers import counted
from rgbench.statistics.paired import MORE_SEEDS, PairedDifference
from rgbench.statistics.resampled import Posterior
from rgbench.statistics.significance import Interval, excludes_zero

_LESS = 0.95
"""More seeds are named where they show a difference smaller by this factor."""


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
    >>> from dataclasses import replace
    >>> from rgbench.statistics.paired import PairedDifference
    >>> pair(PairedDifference("a", "b", 0.031, 0.004, 0.058, 0.02, 0.038, True))
    'a beats b by 3.1 points (95 % interval 0.4 to 5.8)'
    >>> tied = PairedDifference("a", "b", 0.01, -0.02, 0.04, 0.5, 0.08, False, n_test=200, needed=1094)
    >>> pair(tied)
    'a and b cannot be told apart with 200 test sources; about 1,100 would be needed to resolve a difference of 2
    points'
    >>> pair(replace(tied, better=0.78, with_more_seeds=0.065))
    'a and b cannot be told apart with 200 test sources (a is the better one with a chance of 78 %); these seeds would
    most likely show a difference of 8.0 points, 2 more of each one of 6.5 points (in 80 of 100 such tests); about
    1,100 test sources would be needed to resolve a difference of 2 points'
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
    said += _chance(found, value)
    if isnan(found.low) or isnan(found.high):
        few = "this is too little" if found.n_test == 1 else "these are too few"
        return f"{said}: {few} to give their difference an interval"
    span = bounded(Interval(found.difference, found.low, found.high, found.confidence), card)
    if alone:
        return f"{said} when all {found.pairs} pairs are counted ({span} for this pair alone{runs})"
    return f"{said}{_needed(found, span)}"


def basis(card: MetricCard, common: bool = True) -> str:
    """Say where the interval of a difference in a metric comes from.

    Parameters
    ----------
    card, common : MetricCard, bool
        As of `correction`.

    Examples
    --------
    >>> basis(metrics().get("nll")), basis(metrics().get("macro_f1"))
    ('the transformed t of Hall (1992)', 'a percentile bootstrap')
    """
    if not common:
        return "a percentile bootstrap in which a source has one weight in all test sets that hold it"
    if card.is_recognition:
        return "score intervals (Tango 1998)"
    return "the transformed t of Hall (1992)" if card.interval == "mean" else "a percentile bootstrap"


def correction(card: MetricCard, common: bool = True) -> str:
    """Say how the p-values of all pairs in a metric are corrected.

    Parameters
    ----------
    card : MetricCard
        The metric's.
    common : bool
        Whether all runs have the same test sources.

    Examples
    --------
    >>> correction(metrics().get("nll"))
    "corrected for the number of pairs by Holm's method (Holm 1979)"
    """
    if card.is_recognition and common:
        return (
            "corrected for all pairs together by step-down minP (Romano & Wolf 2005; over folds, by Holm's method, "
            "Holm 1979)"
        )
    return "corrected for the number of pairs by Holm's method (Holm 1979)"


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


def _chance(found: PairedDifference, value: float) -> str:
    """Say how probably the one that is ahead is the better one."""
    if isnan(found.better):
        return ""
    ahead, chance = (found.first, found.better) if value > 0 else (found.second, 1 - found.better)
    return f" ({ahead} is the better one with a chance of {numbers.percent(chance, 0)} %)"


def _needed(found: PairedDifference, span: str) -> str:
    """Say what would have told them apart; where that is not known, how they differ."""
    wanted = numbers.points(found.wanted)
    if isnan(found.needed):
        return f": {span}"
    if found.needed <= found.n_test:
        return f", which would most likely have shown a difference of {wanted}"
    seeds = _more_seeds(found)
    if isinf(found.needed):
        return f"{seeds}; to resolve a difference of {wanted}, more seeds are needed, not only more sources"
    sources = f"about {numbers.rounded_up(ceil(found.needed)):,}{' test sources' if seeds else ''}"
    return f"{seeds}; {sources} would be needed to resolve a difference of {wanted}"


def _more_seeds(found: PairedDifference) -> str:
    """Say what a few more seeds would show, where that is clearly less than what these show."""
    if not found.with_more_seeds < _LESS * found.resolvable:
        return ""
    scale = numbers.scale(metrics().get(found.metric).scale)
    more = f"one of {scale.amount(found.with_more_seeds)}"
    if isinf(found.resolvable):
        return (
            f"; these seeds could show no difference, {MORE_SEEDS} more of each would most likely show {more}"
        )
    here = f"a difference of {scale.amount(found.resolvable)}"
    return f"; these seeds would most likely show {here}, {MORE_SEEDS} more of each {more} (in 80 of 100 such tests)"
