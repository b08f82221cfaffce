"""Which labels are likely wrong: confident learning on what the runs said of sources that they held out."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np

from rgbench import numbers
from rgbench.comparison.label_errors import (
    OUT_OF_SAMPLE,
    Suspects,
    no_better_than_guessing,
    out_of_sample,
    suspects,
    wrong_share,
)
from rgbench.comparison.words.failures import suspects as suspect_words
from rgbench.data.catalogue import DataSet
from rgbench.errors import DataError
from rgbench.report.blocks import Section, Table
from rgbench.report.cells import Cell, chance
from rgbench.report.material import Runs
from rgbench.report.sections.failures import PLACE, SKY, place_cells, sky_cell
from rgbench.store.store import RunRecord

_EMPTY = Section(anchor="labels", menu="Labels", title="Which labels are likely wrong?")
_UNFOLDED = 24


def section(runs: Runs) -> Section | None:
    """List likely label errors; nothing without predictions of sources that a run held out."""
    if all(record.predictions is None for record in runs.complete):
        return None
    learnt = [record for record in runs.complete if record.run_id not in runs.unsound]
    if not learnt:
        why = numbers.listed([_unsound(runs, record) for record in runs.complete])
        return replace(_EMPTY, sentences=(f"This cannot be told, as no run has learnt anything: {why}.",))
    try:
        held = out_of_sample(learnt, runs.main.model, OUT_OF_SAMPLE)
    except DataError as error:
        return replace(_EMPTY, sentences=(f"This cannot be told: {error}.",))
    if guessed := no_better_than_guessing(held, runs.main.confidence):
        return replace(_EMPTY, sentences=(f"This cannot be told: {guessed}.", *_not_asked(runs)))
    data = runs.beside.data
    found = suspects(held, None if data is None else data.catalogue)
    labelled = 0 if data is None else int(np.sum(data.catalogue.label >= 0))
    said = suspect_words(held, wrong_share(held, runs.main.confidence), found, labelled)
    return replace(
        _EMPTY,
        sentences=(f"{numbers.capital(said)}.", *_commonest(found), *_others(data), *_not_asked(runs)),
        tables=(_table(found),) if len(found) else (),
        cites=("Northcutt2021",),
        notes=(
            "Confident learning (Northcutt, Jiang & Chuang 2021, JAIR 70, 1373) on probabilities averaged over the "
            "runs that held a source out, as a validation or a test source. A source in the list is one to look at "
            "again, not an error for certain: networks are sure and wrong too, of the same kinds of sources again and "
            "again, and a catalogue may be right for reasons that no image shows. The column “verdict” is for those "
            "who look. The five folds of a cross-validation hold out every source once; rgbench suspects writes the "
            "same list from all runs of a store.",
        ),
    )


def _unsound(runs: Runs, record: RunRecord) -> str:
    return f"{record.spec.network.name}, seed {record.spec.seed} ({runs.unsound[record.run_id]})"


def _not_asked(runs: Runs) -> list[str]:
    """Name the runs that have learnt nothing, and so know nothing of labels."""
    named = [_unsound(runs, record) for record in runs.complete if record.run_id in runs.unsound]
    return [f"Not asked, as they did not learn: {numbers.listed(named)}."] if named else []


def _commonest(found: Suspects) -> list[str]:
    tally = Counter(zip(found.given.tolist(), found.suggested.tolist(), strict=True)).most_common(3)
    if not tally:
        return []
    listed = ", ".join(f"{given} that look like {other} ({number})" for (given, other), number in tally)
    return [f"The commonest are {listed}."]


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
