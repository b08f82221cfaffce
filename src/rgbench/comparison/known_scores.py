"""How networks score on the test sources whose class several catalogues agree on, beside the published labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from rgbench.comparison.label_consensus import known_classes, on_consensus
from rgbench.comparison.results import Comparison, KnownScore, KnownScores, Row
from rgbench.comparison.summary import score_rows
from rgbench.data.catalogue import CLASSES, DataSet
from rgbench.data.sets import first_consensus
from rgbench.store.store import RunRecord
from rgbench.store.tables import Predictions

SCORED = ("accuracy", "macro_f1")
"""Metrics that are worked out; all would take many times as long."""
Runs = list[tuple[RunRecord, Predictions]]
"""Runs, each with what it said of its test sources."""


def known_scores(
    found: Comparison, records: Sequence[RunRecord], data: DataSet | None = None
) -> KnownScores | None:
    """Score the networks of a comparison on the test sources whose class several catalogues agree on.

    Parameters
    ----------
    found : Comparison
        As from `rgbench.comparison.summary.compare`.
    records : sequence of RunRecord
        Its runs.
    data : DataSet, optional
        Their data; needed where sources do not have the names of first-galaxy-data.

    Returns
    -------
    KnownScores or None
        None where catalogues agree on no test source, the classes are others than theirs, or the labels are
        those agreed on already. A network is left out if one of its runs was tested on no such source.

    Examples
    --------
    >>> known_scores(Comparison("mpca", "best", 0.95, (), (), ("FRI", "FRII")), []) is None
    True
    """
    if set(found.classes) != set(CLASSES) or found.data == first_consensus.CARD.name:
        return None
    known = known_classes(None if data is None else data.catalogue)
    held: Runs = []
    tested: set[str] = set()
    for name in dict.fromkeys(row.name for row in found.rows if row.status == "ok"):
        runs = _runs(records, name, found.model)
        own = [(record, table.take(np.isin(table.source_id, list(known)))) for record, table in runs]
        if all(len(table) for _, table in own):
            held += own
            tested.update(str(source) for _, table in runs for source in table.source_id)
    scores = list(_scores(held, known, found))
    label = {source: name for _, table in held for source, name in _named(table)}
    if not scores:
        return None
    agreed = [known[source] for source in label]
    relabelled = sum(known[source] != published for source, published in label.items())
    return KnownScores(
        {name: agreed.count(name) for name in found.classes}, len(tested), relabelled, tuple(scores)
    )


def _runs(records: Sequence[RunRecord], network: str, model: str) -> Runs:
    """Gather a network's complete runs with their labelled test sources."""
    found = []
    for record in records:
        if record.spec.network.name == network and record.status == "complete" and record.predictions:
            table = record.predictions.select("test", model)
            found.append((record, table.take(table.label >= 0)))
    return found


def _scores(held: Runs, known: Mapping[str, str], found: Comparison) -> Iterator[KnownScore]:
    """Score each network, on each of its recipes; twice only if the labels differ."""
    agreed = [(record, on_consensus(table, known)) for record, table in held]
    same = all((a.label == b.label).all() for (_, a), (_, b) in zip(agreed, held, strict=True))
    by_agreed = _rows(agreed, found)
    by_published = by_agreed if same else _rows(held, found)
    for network, row in by_agreed.items():
        yield KnownScore(network, row.n_test, row.metrics, by_published[network].metrics)


def _rows(runs: Runs, found: Comparison) -> dict[str, Row]:
    """Score runs on other rows of their tables."""
    records = [replace(record, predictions=table) for record, table in runs]
    return {row.network: row for row in score_rows(records, SCORED, found.model, found.confidence)}


def _named(table: Predictions) -> Iterator[tuple[str, str]]:
    """Give name and published class of each source."""
    return zip(table.source_id.tolist(), (table.classes[i] for i in table.label), strict=True)
