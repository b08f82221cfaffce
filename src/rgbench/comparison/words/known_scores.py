"""What networks score where several catalogues agree, in sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rgbench import numbers
from rgbench.comparison.known_scores import known_scores
from rgbench.comparison.results import Comparison, KnownScore, KnownScores, Sentence
from rgbench.data.catalogue import DataSet
from rgbench.numbers import counted
from rgbench.store.store import RunRecord

FEW = 100
"""Sources below which the answer says that they are few."""
_ASKED = "accuracy"


def with_known_scores(
    found: Comparison, records: Sequence[RunRecord], data: DataSet | None = None
) -> Comparison:
    """Give a comparison with its scores where several catalogues agree, and add what they say to its answer.

    Parameters
    ----------
    found : Comparison
        As from `rgbench.compare`.
    records : sequence of RunRecord
        Its runs.
    data : DataSet, optional
        Their data; needed where sources do not have the names of first-galaxy-data.

    Returns
    -------
    Comparison
        The same, where catalogues agree on no test source.
    """
    known = known_scores(found, records, data)
    if known is None:
        return found
    said = map(Sentence, sentences(known, found))
    return replace(found, known=known, sentences=(*found.sentences, *said))


def sentences(known: KnownScores, found: Comparison) -> tuple[str, ...]:
    """Say how often networks are right there, and how far that goes.

    Returns
    -------
    tuple of str
        The answer, and what limits it, with their full stops.
    """
    whole = {row.network: row.metrics[_ASKED].mean for row in found.rows if row.status == "ok"}
    first, *others = known.scores[: numbers.NAMED]
    shown = [
        f"{first.network} is right for {_percent(first)} % "
        f"({_span(first, found.confidence)}; {numbers.percent(whole[first.network])} % of all test sources)",
        *(
            f"{each.network} for {_percent(each)} % ({_span(each)}; {numbers.percent(whole[each.network])} %)"
            for each in others
        ),
    ]
    few = f"{known.n} sources are few, so that the intervals are wide. " if known.n < FEW else ""
    return (
        f"Several catalogues agree on the class of {known.n:,} of the {counted(known.n_test, 'test source')}. On these "
        f"{'; '.join(shown)}.",
        f"{few}Hardly any class that catalogues agree on is wrong: what is missing to 100 % is not the fault of the "
        "labels. But these are the clear cases, and the score says nothing of the other sources.",
    )


def _percent(score: KnownScore) -> str:
    return numbers.percent(score.consensus[_ASKED].mean)


def _span(score: KnownScore, confidence: float | None = None) -> str:
    """Write the interval; its coverage only if it is given."""
    low, high = score.consensus[_ASKED].low, score.consensus[_ASKED].high
    if confidence is None:
        return f"{numbers.percent(low)} to {numbers.percent(high)}"
    return numbers.interval(low, high, confidence)
