"""The answer of a comparison, in sentences: which network is best, how sure that is, and what limits it."""

from __future__ import annotations

from collections.abc import Sequence
from math import isinf, isnan

from rgbench import numbers
from rgbench.comparison.results import Comparison, Row
from rgbench.comparison.words.pairs import pair as pair_words
from rgbench.data.sets import data_sets
from rgbench.measures.catalogue import metrics
from rgbench.numbers import NAMED, Scale, counted, listed
from rgbench.statistics.paired import PairedDifference

_MANY = 10
"""Networks from which on the first is said to have been picked from many."""


def answer(found: Comparison) -> tuple[str, ...]:
    """Give the answer of a comparison in sentences, the verdict first.

    Returns
    -------
    tuple of str
        The best network and which others it can be told apart from; its pairs; the smallest difference that the
        test sources would most likely have shown; the ceiling that wrong labels set; which runs did not learn or
        failed.
    """
    sound = [row for row in found.rows if row.status == "ok"]
    if not sound:
        return ("No network has learnt anything.", *_warnings(found.rows))
    if not numbers.is_number(sound[0].metrics[found.metric].mean):
        return (_unknown(found), *_warnings(found.rows))
    pairs = [pair for pair in found.pairs if pair.first == sound[0].network]
    tied = [pair for pair in pairs if not pair.separable]
    said = [_verdict(found, sound, pairs), *(f"{pair_words(pair)}." for pair in pairs[:NAMED])]
    if len(pairs) > NAMED:
        left = len(pairs) - NAMED
        stand = "pair with {} stands" if left == 1 else f"{left} pairs with {{}} stand"
        said.append(f"The other {stand.format(sound[0].network)} in the report.")
    if len(sound) >= _MANY:
        said.append(
            f"{sound[0].network} is the first of {len(sound)} networks on these very test sources: the best of many "
            "is likely to score lower on new ones, which its interval does not count."
        )
    scale = numbers.scale(metrics().get(found.metric).scale)
    said += _resolution(sound, tied or pairs, pairs, scale)
    said += _elsewhere(found, sound)
    return (*said, *ceiling(found), *_warnings(found.rows))


def ceiling(found: Comparison) -> tuple[str, ...]:
    """Say which score wrong labels allow, or that it is not known; nothing of a metric that is no share of sources."""
    if metrics().get(found.metric).scale != numbers.PERCENT.name:
        return ()
    if found.ceiling is None:
        unknown = f"How many labels of {found.data} are wrong, and so how high a score can be, is not known"
        return (f"{unknown}: no other labels of its sources are at hand.",)
    best = numbers.percent(found.ceiling.ceiling, 0)
    agreement = numbers.percent(found.ceiling.agreement, 0)
    return (
        f"The labels set a ceiling: those of {found.data} agree with {_others(found.data)} for "
        f"{agreement} % of the sources. If both err as often, a network that is always right "
        f"would score about {best} %; if the others err more often, the ceiling is higher.",
    )


def shrinkage(found: Comparison) -> tuple[str, ...]:
    """Say how far wrong labels shrink a difference; nothing where that is not known, or no share is compared."""
    if found.ceiling is None or metrics().get(found.metric).scale != numbers.PERCENT.name:
        return ()
    agreement, best = (numbers.percent(x, 0) for x in (found.ceiling.agreement, found.ceiling.ceiling))
    return (
        f"Labels of {found.data} and {_others(found.data)}: labels agree for {agreement} % of the sources: if both err "
        f"as often, a network that is always right would score about {best} %, and a true difference of 1 point shows "
        f"as {found.ceiling.shrinkage:.2f}.",
    )


def _others(data: str) -> str:
    return data_sets().get(data).card.agreement_with


def _unknown(found: Comparison) -> str:
    words = numbers.capital(metrics().get(found.metric).words)
    why = found.failed.get(found.metric, "it is no finite number")
    return f"{words} could not be worked out, so that no network is the best in it: {why}."


def _verdict(found: Comparison, sound: Sequence[Row], pairs: Sequence[PairedDifference]) -> str:
    """Say which network is best, and how sure that is."""
    best, card = sound[0], metrics().get(found.metric)
    estimate, scale = best.metrics[found.metric], numbers.scale(card.scale)
    first = [row.network for row in sound if row.metrics[found.metric].mean == estimate.mean]
    leads = f"{listed(first)} share" if first[1:] else f"{best.network} has"
    sources = counted(best.n_test, "test source")
    span = numbers.interval(estimate.low, estimate.high, found.confidence, scale.show)
    others = [pair for pair in pairs if pair.second not in first]
    within = f"{span}; {_repeats(best)}" if others else f"{span}; {sources}, {_repeats(best)}"
    said = f"{leads} the best {card.words}, {scale.whole(estimate.mean)} ({within})"
    beaten, tied = ([p.second for p in others if p.separable == apart] for apart in (True, False))
    if not others:
        return f"{said}."
    if not beaten:
        return f"{said}, but with {sources} it cannot be told apart from {listed(tied)}."
    said += f" and beats {listed(beaten)}"
    return f"{said}; with {sources} it cannot be told apart from {listed(tied)}." if tied else f"{said}."


def _repeats(row: Row) -> str:
    if len(set(row.seeds)) < row.n_seeds:
        return f"{row.n_seeds} runs over folds and seeds"
    return counted(row.n_seeds, "seed")


def _resolution(
    sound: Sequence[Row],
    told: Sequence[PairedDifference],
    pairs: Sequence[PairedDifference],
    scale: Scale,
) -> list[str]:
    """Say what difference would have been found, and what runs that did not learn or failed have to do with it."""
    known = [pair.resolvable for pair in told if not isnan(pair.resolvable)]
    if not known:
        return []
    here = f"With {_these(sound[0].n_test)} and runs"
    if isinf(max(known)):
        return [f"{here} a true difference may be there unseen, however large it is."]
    text = (
        f"{here} a true difference of {scale.amount(max(known))} or more would most likely have been found (in 80 of "
        "100 such tests); a smaller one may be there unseen."
    )
    lame = {row.network: row.notes[0].partition(": ")[0] for row in sound if row.notes}
    whole = [pair.resolvable for pair in pairs if not {pair.first, pair.second} & set(lame)]
    if whole and max(whole) < max(known):
        reasons = ", ".join(f"{name} ({note})" for name, note in lame.items())
        text += f" Without {reasons} it would be {scale.amount(max(whole))}."
    return [text]


def _these(n: int) -> str:
    return f"{'this' if n == 1 else 'these'} {counted(n, 'test source')}"


def _elsewhere(found: Comparison, sound: Sequence[Row]) -> list[str]:
    """Say which networks were tested on other sources, and so are not compared."""
    if not found.resamples:
        return []
    return [
        f"{row.network} was tested on other sources than {sound[0].network}: the two are not compared."
        for row in sound
        if row.network not in found.resamples and numbers.is_number(row.metrics[found.metric].mean)
    ]


def _warnings(rows: Sequence[Row]) -> list[str]:
    """Say of rows, and of single runs that count in a mean, that they failed or did not learn."""
    return [
        f"{row.network} {'is ' if row.status == 'not finished' else ''}{row.status}: {_why(row)}."
        if row.status != "ok"
        else f"Among the runs of {row.network}: {'; '.join(row.notes)}. Those that ended count in its mean."
        for row in rows
        if row.notes
    ]


def _why(row: Row) -> str:
    """Give the first note that says why a row has its status."""
    return next((note for note in row.notes if row.status in note), row.notes[0])
