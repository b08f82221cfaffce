"""Which labels are likely wrong: confident learning on what the runs said of sources that they held out."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np

from rgbench import numbers
from rgbench.comparison.label_errors import (
    OUT_OF_SAMPLE,
    OutOfSample,
    Suspects,
    no_better_than_guessing,
    out_of_sample,
    suspects,
    wrong_share,
)
from rgbench.data.catalogue import DataSet
from rgbench.data.consensus import OTHER, ClassAgreement, class_agreement
from rgbench.errors import DataError
from rgbench.report.blocks import LeftOut, Section, Table
from rgbench.report.cells import Cell, chance, count, share
from rgbench.report.material import Runs
from rgbench.report.sections.failures import PLACE, SKY, place_cells, sky_cell
from rgbench.statistics.significance import Interval
from rgbench.store.store import RunRecord

_EMPTY = Section(anchor="labels", menu="Labels", title="Which labels are likely wrong?")
_UNFOLDED = 24
_ALIKE = 0.7
"""Share of the best class's agreement below which a class is taken to be defined otherwise."""


def section(runs: Runs) -> Section | LeftOut:
    """List likely label errors; nothing without predictions of sources that a run held out."""
    if all(record.predictions is None for record in runs.complete):
        return LeftOut("Labels", "no run has predictions")
    learnt = [record for record in runs.complete if record.run_id not in runs.unsound]
    if not learnt:
        why = numbers.listed([_unsound(runs, record) for record in runs.complete])
        return replace(_EMPTY, finding=f"This cannot be told, because no run has learnt anything: {why}.")
    try:
        held = out_of_sample(learnt, runs.main.model, OUT_OF_SAMPLE)
    except DataError as error:
        return replace(_EMPTY, finding=f"This cannot be told: {error}.")
    if guessed := no_better_than_guessing(held, runs.main.confidence):
        return replace(_EMPTY, finding=f"This cannot be told: {guessed}.", sentences=tuple(_not_asked(runs)))
    data = runs.beside.data
    found = suspects(held, None if data is None else data.catalogue)
    labelled = 0 if data is None else int(np.sum(data.catalogue.label >= 0))
    wrong = wrong_share(held, runs.main.confidence)
    agreed = () if data is None else class_agreement(data)
    return replace(
        _EMPTY,
        finding=_finding(found, len(held.label)),
        sentences=(
            *_how_many(wrong, found),
            *_asked(held, labelled),
            *_commonest(found),
            *(_agreement_words(agreed) if agreed else _others(data)),
            *_not_asked(runs),
        ),
        tables=(
            *((_table(found),) if len(found) else ()),
            *((_agreement_table(agreed),) if agreed else ()),
        ),
        cites=("Northcutt2021",),
        notes=(
            "Confident learning (Northcutt, Jiang & Chuang 2021, JAIR 70, 1373) uses the probabilities of the runs "
            "that did not train on a source, as it was one of their validation or test sources, averaged over these "
            "runs. A source in the list is worth a second look; it is not an error for certain. Networks can be "
            "sure and wrong, and a catalogue may be right for reasons that no image shows. The column “verdict” is "
            "for your own notes. The five folds of a cross-validation leave out every source once; rgbench suspects "
            "writes the same list from all runs of a store.",
        ),
    )


def _finding(found: Suspects, n: int) -> str:
    whose = "label is" if len(found) == 1 else "labels are"
    return f"{len(found)} of {n:,} {whose} worth a second look: the networks are surer of another class."


def _how_many(wrong: Interval, found: Suspects) -> tuple[str, ...]:
    """Say what confident learning makes of it."""
    if not len(found) or not wrong.value > 0:
        return ()
    span = numbers.interval(wrong.low, wrong.high, wrong.confidence)
    return (
        "Only looking can tell how many of them are wrong. Confident learning estimates that "
        f"{numbers.percent(wrong.value)} % of all labels are ({span}); this is too high where classes are hard to tell "
        "apart.",
    )


def _asked(held: OutOfSample, labelled: int) -> list[str]:
    """Say which sources could be looked at, and which took part in choosing a model."""
    n, said = len(held.label), []
    if labelled > n:
        said.append(
            f"Only {n:,} of the {numbers.counted(labelled, 'labelled source')} could be asked about: every run was "
            "trained on the others, or left them out."
        )
    if held.validated:
        said.append(
            f"{held.validated:,} of the {n:,} are validation sources, which helped to choose the best epoch."
        )
    return said


def _agreement_words(agreed: tuple[ClassAgreement, ...]) -> tuple[str, ...]:
    """Say per class how often another catalogue agrees, and what follows from that."""
    ordered = sorted((each for each in agreed if each.n), key=lambda each: -each.share)
    *others, worst = ordered
    same = numbers.listed([f"{each.same} of {each.n} {each.name}" for each in others])
    named = numbers.listed([f"{number} {name}" for name, number in worst.elsewhere])
    said = f"{OTHER}, a catalogue by other people, gives the same class to {same}"
    if not others or worst.share > _ALIKE * ordered[0].share:
        return (f"{said}{' and to ' if others else ''}{worst.same} of {worst.n} {worst.name}.",)
    return (
        f"{said}, but to only {worst.same} of {worst.n} {worst.name}: it calls these {named}. So the two catalogues "
        f"do not mean the same thing by {worst.name}. This is a difference of definition. It does not tell how many "
        "labels are wrong, and no highest possible score follows from it.",
    )


def _agreement_table(agreed: tuple[ClassAgreement, ...]) -> Table:
    names = [each.name for each in agreed]
    rows = tuple(
        (
            Cell(each.name),
            count(each.n),
            *(count(each.counts[name]) for name in names),
            share(each.share if each.n else None),
        )
        for each in agreed
    )
    columns = ("class here", "in both", *(f"{OTHER}: {name}" for name in names), "same class")
    return Table("label-agreement", f"The classes of the same sources in {OTHER}", columns, rows)


def _unsound(runs: Runs, record: RunRecord) -> str:
    return f"{record.spec.network.name}, seed {record.spec.seed} ({runs.unsound[record.run_id]})"


def _not_asked(runs: Runs) -> list[str]:
    """Name the runs that have learnt nothing, and so know nothing of labels."""
    named = [_unsound(runs, record) for record in runs.complete if record.run_id in runs.unsound]
    return [f"Not asked, because they have learnt nothing: {numbers.listed(named)}."] if named else []


def _commonest(found: Suspects) -> list[str]:
    tally = Counter(zip(found.given.tolist(), found.suggested.tolist(), strict=True)).most_common(3)
    if not tally:
        return []
    listed = ", ".join(f"{given} that look like {other} ({number})" for (given, other), number in tally)
    return [f"Most of them are {listed}."]


def _others(data: DataSet | None) -> list[str]:
    """Say how often another catalogue disagrees, which networks know nothing of."""
    if data is None or not data.card.agreement:
        return []
    return [
        f"For comparison, {data.card.agreement_with} gives another class to "
        f"{numbers.percent(1 - data.card.agreement)} % of those in both."
    ]


def _table(found: Suspects) -> Table:
    rows = tuple(
        (
            Cell(str(found.source_id[i])),
            sky_cell(str(found.link[i])),
            Cell(str(found.given[i])),
            Cell(str(found.suggested[i])),
            chance(float(found.self_confidence[i])),
            Cell(f"{found.normalised_margin[i]:.2f}".replace("-", "−"), float(found.normalised_margin[i])),
            Cell(str(found.side[i])),
            *place_cells(float(found.ra[i]), float(found.dec[i])),
            Cell(""),
        )
        for i in range(len(found))
    )
    columns = ("source", SKY, "label", "likelier", "p of the label", "margin", "side", *PLACE, "verdict")
    whose = "source whose label is" if len(rows) == 1 else "sources whose labels are"
    title = f"{len(rows)} {whose} worth a second look"
    return Table("suspects", title, columns, rows, frozenset({2, 3, 6}), folded=len(rows) > _UNFOLDED)
