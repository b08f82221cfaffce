"""Words of the report: what its terms mean, how to cite, and what a training history says."""

from __future__ import annotations

from collections.abc import Sequence

from rgbench import numbers
from rgbench.comparison.summary import Comparison, Row
from rgbench.data.sets import data_sets
from rgbench.numbers import NAMED, listed
from rgbench.spec import DataSpec
from rgbench.statistics.paired import PairedDifference
from rgbench.statistics.power import label_ceiling

_MANY = 10
"""Networks from which on the first is said to have been picked from many."""


def answer(main: Comparison, data: DataSpec) -> list[str]:
    """Give the answer of a comparison in sentences, the verdict first.

    Parameters
    ----------
    main : Comparison
        The comparison.
    data : DataSpec
        The data of its runs, for what their labels allow.

    Returns
    -------
    list of str
        The best network and which others it can be told apart from; the pairs; the smallest difference that
        the test sources would most likely have shown; the ceiling that wrong labels set; what failed.
    """
    sound = [row for row in main.rows if row.status == "ok"]
    if not sound or "mpca" not in sound[0].metrics:
        return list(main.words)
    pairs = [pair for pair in main.pairs if pair.first == sound[0].network]
    tied = [pair for pair in pairs if not pair.separable]
    beaten = [pair.second for pair in pairs if pair.separable]
    said = [
        _verdict(sound[0], beaten, [pair.second for pair in tied]),
        *(f"{pair.words}." for pair in pairs[:NAMED]),
    ]
    if len(pairs) > NAMED:
        said.append(f"The other {len(pairs) - NAMED} pairs with {sound[0].network} stand under “How sure?”.")
    if len(sound) >= _MANY:
        said.append(
            f"{sound[0].network} is the first of {len(sound)} networks on these very test sources: the best of many "
            "is likely to score lower on new ones, which its interval does not count."
        )
    said += _resolution(sound, tied or pairs, pairs)
    failed = [
        f"{row.network} {row.status}: {row.notes[0]}."
        for row in main.rows
        if row.status != "ok" and row.notes
    ]
    return [*said, ceiling(data), *failed]


def _resolution(
    sound: Sequence[Row], told: Sequence[PairedDifference], pairs: Sequence[PairedDifference]
) -> list[str]:
    """Say what difference would have been found, and what runs that did not learn or failed have to do with it."""
    known = [pair.resolvable for pair in told if numbers.is_number(pair.resolvable)]
    if not known:
        return []
    text = (
        f"With these {sound[0].n_test:,} test sources and runs a true difference of "
        f"{numbers.percent(max(known))} points or more would most likely have been found (in 80 of "
        "100 such tests); a smaller one may be there unseen."
    )
    lame = {row.network: row.notes[0].partition(": ")[0] for row in sound if row.notes}
    whole = [pair.resolvable for pair in pairs if not {pair.first, pair.second} & set(lame)]
    if whole and max(whole) < max(known):
        reasons = ", ".join(f"{name} ({note})" for name, note in lame.items())
        text += f" Without {reasons} it would be {numbers.percent(max(whole))} points."
    return [text]


def ceiling(data: DataSpec) -> str:
    """Say in a sentence which score wrong labels allow, or that it is not known."""
    name = data.test or data.name
    card = data_sets().get(name).card if name in data_sets() else None
    if card is None or not card.agreement:
        return f"What score wrong labels allow is not known for {name}: no other labels of its sources are at hand."
    allowed = label_ceiling(card.agreement, len(card.classes))
    return (
        f"The labels set a ceiling: those of {name} agree with {card.agreement_with} for "
        f"{numbers.percent(card.agreement, 0)} % of the sources. If both err as often, a network that is always right "
        f"would score about {numbers.percent(allowed.ceiling, 0)} %; if the others err more often, the ceiling is "
        "higher."
    )


def _verdict(best: Row, beaten: Sequence[str], tied: Sequence[str]) -> str:
    """Say which network is best, and how sure that is."""
    estimate = best.metrics["mpca"]
    said = (
        f"{best.network} has the best mean per-class accuracy (MPCA), {numbers.percent(estimate.mean)} % "
        f"(95 % interval {numbers.percent(estimate.low)} to {numbers.percent(estimate.high)})"
    )
    if not beaten and not tied:
        return f"{said}."
    sources = f"with {best.n_test:,} test sources"
    if not beaten:
        return f"{said}, but {sources} it cannot be told apart from {listed(tied)}."
    said += f" and beats {listed(beaten)}"
    return f"{said}; {sources} it cannot be told apart from {listed(tied)}." if tied else f"{said}."
