"""The answer of a comparison, in sentences: which network is best, how sure that is, and what limits it."""

from __future__ import annotations

from collections.abc import Sequence
from math import isinf, isnan

from rgbench import numbers
from rgbench.comparison.results import Comparison, Row, Sentence
from rgbench.comparison.words.pairs import pair as pair_words
from rgbench.measures.catalogue import metrics
from rgbench.numbers import NAMED, Scale, counted, listed
from rgbench.statistics.paired import PairedDifference

_MANY = 10
"""Networks from which on the first is said to have been picked from many."""


def answer(found: Comparison) -> tuple[Sentence, ...]:
    """Give the answer of a comparison in sentences, the verdict first.

    Returns
    -------
    tuple of Sentence
        The best network and which others it can be told apart from; its pairs; the smallest difference that the
        test sources would most likely have shown; which runs did not learn or failed.
    """
    sound = [row for row in found.rows if row.status == "ok"]
    warnings = map(Sentence, _warnings(found.rows))
    if not sound:
        return (Sentence("No network has learnt anything."), *warnings)
    if not numbers.is_number(sound[0].metrics[found.metric].mean):
        return (Sentence(_unknown(found)), *warnings)
    pairs = [pair for pair in found.pairs if pair.first == sound[0].network]
    tied = [pair for pair in pairs if not pair.separable]
    scale = numbers.scale(metrics().get(found.metric).scale)
    lead = [_verdict(found, sound, pairs), *_maybe_best(found, sound[0], tied)]
    rest = [
        *_picked(sound),
        *_resolution(sound, tied or pairs, pairs, scale),
        *_elsewhere(found, sound),
        *_looks(found),
    ]
    one_by_one = (Sentence(text, of_pairs=True) for text in _one_by_one(sound[0], pairs))
    return (*map(Sentence, lead), *one_by_one, *map(Sentence, rest), *warnings)


def without_pairs(found: Comparison) -> tuple[str, ...]:
    """Give the answer of a comparison without what it says of single pairs, which a page may show elsewhere."""
    return tuple(sentence.text for sentence in found.sentences if not sentence.of_pairs)


def _one_by_one(best: Row, pairs: Sequence[PairedDifference]) -> list[str]:
    """Say of the pairs of the best network whether they are told apart; of many, where the others stand."""
    said = [f"{pair_words(pair)}." for pair in pairs[:NAMED]]
    left = len(pairs) - NAMED
    if left > 0:
        stand = f"pair with {best.network} stands" if left == 1 else f"{left} pairs with {best.network} stand"
        said.append(f"The other {stand} in the report.")
    return said


def _picked(sound: Sequence[Row]) -> list[str]:
    """Say of the best of many networks that it was picked from them."""
    if len(sound) < _MANY:
        return []
    return [
        f"{sound[0].network} is the first of {len(sound)} networks on these very test sources: the best of many is "
        "likely to score lower on new ones, which its interval does not count."
    ]


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


def _maybe_best(found: Comparison, best: Row, tied: Sequence[PairedDifference]) -> list[str]:
    """Say which networks all pairs together leave as the best, where the pairs of the best one leave more."""
    left = [best.network, *(pair.second for pair in tied)]
    if not found.maybe_best or set(left) <= set(found.maybe_best):
        return []
    sure = f"{numbers.percent(found.confidence, 0)} %"
    others = [name for name in found.maybe_best if name != best.network]
    if not others:
        return [f"All pairs together leave no other network that may be the best ({sure})."]
    return [
        f"All pairs together leave only {listed([best.network, *others])} as networks that may be the best ({sure})."
    ]


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


def _looks(found: Comparison) -> list[str]:
    """Say that seeds were added to undecided pairs, which their p-values count."""
    if found.looks == 1:
        return []
    return [
        f"Seeds were added to pairs that could not be told apart. The pairs were to be compared {found.looks} times at "
        f"most, and all p-values are multiplied by {found.looks}, so that this finds no more false differences."
    ]


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
