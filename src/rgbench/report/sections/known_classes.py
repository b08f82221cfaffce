"""How often networks are right where several catalogues agree on the class, beside the published labels."""

from __future__ import annotations

from collections.abc import Iterator

from rgbench import numbers
from rgbench.comparison.known_scores import SCORED
from rgbench.comparison.results import Estimate, KnownScore, KnownScores
from rgbench.comparison.words.known_scores import sentences
from rgbench.measures.catalogue import metrics
from rgbench.numbers import PERCENT
from rgbench.report.blocks import LeftOut, Section, Table
from rgbench.report.cells import Cell, count, number, span
from rgbench.report.material import Runs

_SHOWN = SCORED
_CONSENSUS = "what catalogues agree on"
_SAME = "published, same sources"
_ALL = "published, all sources"


def section(runs: Runs) -> Section | LeftOut:
    """Set the scores by the class that catalogues agree on beside those by the published label."""
    known = runs.main.known
    if known is None:
        return LeftOut("Sources whose class several catalogues agree on", "no test source is known to be one")
    return Section(
        anchor="known",
        menu="Known classes",
        title="Are the networks right where catalogues agree?",
        finding=_finding(known),
        sentences=(*sentences(known, runs.main), _labels(known), _counts(known)),
        tables=(_table(known, runs),),
        cites=("Dawid1979",),
        notes=(
            "The class of a source counts as known if two catalogues or more that labelled it apart name the same "
            "class, and the model of all their votes (Dawid & Skene 1979) gives it a probability of 0.95 or more. "
            "These sources are the data set first-consensus. No network was trained on them: they are test sources of "
            "these runs. A network that is always right comes near 100 % here, which it does not on all published "
            "labels. Sources on which catalogues agree are easier than others: the difference between the rows of a "
            "network is no measure of wrong labels. Intervals are for new sources and, from two runs on, new seeds.",
        ),
    )


def _finding(known: KnownScores) -> str:
    first = known.scores[0]
    right = numbers.percent(first.consensus["accuracy"].mean)
    return (
        f"On the {known.n:,} test sources whose class several catalogues agree on, {first.network} is right for "
        f"{right} %."
    )


def _labels(known: KnownScores) -> str:
    """Say for how many of the sources the published label is another one."""
    if not known.relabelled:
        return "The published label of each of these sources is the class that the catalogues agree on."
    return (
        f"For {known.relabelled:,} of these {known.n:,} sources the published label is another class than the one that "
        "the catalogues agree on."
    )


def _counts(known: KnownScores) -> str:
    """Say how many there are of each class, and what the smallest does to macro F1."""
    present = sorted((n, name) for name, n in known.counts.items() if n)
    (fewest, rare), (most, common) = present[0], present[-1]
    listed = numbers.listed([f"{n:,} {name}" for name, n in known.counts.items()])
    weight = f"as much to {fewest:,} {rare} as to {most:,} {common}"
    return f"They are {listed}. Macro F1 gives every class the same weight, {weight}."


def _table(known: KnownScores, runs: Runs) -> Table:
    whole = {row.network: row for row in runs.main.rows}
    rows = []
    for score in known.scores:
        row = whole[score.network]
        rows += list(_three(score, row.n_test, row.metrics))
    interval = f"{100 * runs.main.confidence:g} % interval"
    short = [metrics().get(name).short for name in _SHOWN]
    headings = [text for name in short for text in (PERCENT.heading(name), f"{interval} of {name}")]
    title = "Accuracy and macro F1 where catalogues agree, and by the published labels"
    return Table(
        "known-classes",
        title,
        ("network", "labels", "sources", *headings),
        tuple(rows),
        frozenset({1}),
        folded=True,
    )


def _three(score: KnownScore, n_test: int, whole: dict[str, Estimate]) -> Iterator[tuple[Cell, ...]]:
    """Give the rows of one network: by what is agreed on, by the published labels of the same sources, and of all."""
    parts = ((_CONSENSUS, score.n, score.consensus), (_SAME, score.n, score.published), (_ALL, n_test, whole))
    for labels, n, estimates in parts:
        shown = [estimates[name] for name in _SHOWN]
        cells = [cell for each in shown for cell in (number(each.mean, PERCENT), span(each.low, each.high))]
        yield Cell(score.network), Cell(labels), count(n), *cells
