"""What stands on a board in sentences: the answer, the groups, the terms."""

from __future__ import annotations

from rgbench import numbers
from rgbench.board.entries import Entry
from rgbench.board.standing import Standing
from rgbench.comparison.words.answer import without_pairs
from rgbench.comparison.words.pairs import correction
from rgbench.networks.catalogue import card_of
from rgbench.numbers import counted, listed
from rgbench.report.sections.terms import TERMS

_OF_THE_REPORT = (
    "MPCA",
    "accuracy",
    "macro F1",
    "mean ± spread",
    "95 % interval",
    "paired difference",
    "MAC",
)
_TIE_GROUP = (
    "Entries that share a letter cannot be told apart with these test sources and runs: the p-value of their paired "
    "difference, {correction}, is not below {level:g}. An entry may be in two groups. The order within a group says "
    "nothing."
)
_TERMS = (
    (
        "possible ranks",
        "From the best to the worst rank that an entry has in 95 % of the joint resamples of test sources and runs.",
    ),
    (
        "second view",
        "Another image of each test source, made by simulation as one would have come by it: other pixels, beam, depth "
        "and clipping. A network that has learnt the sources, and not their pixels, keeps its classes there.",
    ),
    (
        "external data",
        "Whether a network saw anything but the training sources of the task: other images, labels or weights. It is "
        "stated by whoever hands the result in. Where a run contradicts it, the bundle is refused.",
    ),
    (
        "cost",
        "Parameters, operations (MACs, multiply-accumulates) and times are told by the runs, as measured on the "
        "machine of whoever ran them. They are not computed anew, and times of different machines do not compare. A "
        "dash: not told.",
    ),
)


def answer(standing: Standing) -> tuple[str, ...]:
    """Give the answer of a task in sentences; single pairs stand on the pages of the networks."""
    return without_pairs(standing.comparison)


def groups(standing: Standing) -> list[tuple[str, list[str], str]]:
    """Give letter, members and a sentence of each tie group."""
    return [(letter, own, _group(own, standing)) for letter, own in standing.groups.items()]


def _group(own: list[str], standing: Standing) -> str:
    scores = [p.row.metrics[standing.task.metric].mean for p in standing.places if p.entry.label in own]
    scale = numbers.scale(standing.card.scale)
    low, high = (scale.show(end) for end in (min(scores), max(scores)))
    told = f"{standing.card.short} {scale.whole(scores[0]) if low == high else f'{low} to {high} {scale.unit}'}".strip()
    if not own[1:]:
        return (
            f"{told}. Told apart from all others." if len(standing.places) > 1 else f"{told}. The only entry."
        )
    return f"{told}. None of them can be told apart from another."


def terms(standing: Standing) -> tuple[tuple[str, str], ...]:
    """Explain what the table shows."""
    card = standing.card
    known = {term: meaning for term, meaning in TERMS if term in _OF_THE_REPORT}
    own = {} if card.short in known else {numbers.capital(card.short): f"{numbers.capital(card.definition)}."}
    level = 1 - standing.comparison.confidence
    tied = {"tie group": _TIE_GROUP.format(correction=correction(card), level=level)}
    return tuple({**own, **known, **tied, **dict(_TERMS)}.items())


def size(standing: Standing) -> str:
    """Say how much is compared."""
    bundles = {place.entry.bundle.sha256 for place in standing.places}
    runs = sum(len(place.entry.records) for place in standing.places)
    entries = counted(len(standing.places), "entry", "entries")
    return f"{entries} of {counted(runs, 'run')} in {counted(len(bundles), 'bundle')}"


def lead(standing: Standing) -> str:
    """Say in a line who leads: the first tie group."""
    found = standing.groups
    if not found:
        return "No entry has learnt anything."
    first, n = found[min(found)], len(standing.places)
    if n == 1:
        return f"{first[0]} is the only entry."
    if len(first) == n:
        return f"None of the {n} entries can be told apart from another."
    if len(first) > 1:
        return f"{listed(first)} lead; they cannot be told apart."
    return f"{first[0]} leads, told apart from all others."


def network_facts(entry: Entry) -> list[tuple[str, str]]:
    """Tell what a network is, from the catalogue of networks; of one that is not in it, its layers."""
    spec = entry.records[0].spec.network
    card = card_of(spec.name, spec.layers)
    if card is None:
        return [("layers", spec.layers)] if spec.layers else []
    facts = [
        ("title", card.title),
        ("paper", card.paper.citation),
        ("layers", card.layers),
        ("notes", card.notes),
    ]
    return [(name, said) for name, said in facts if said]
