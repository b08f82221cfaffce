"""Which rows of a table of predictions answer for which sources of a data set, and what is to be said of the others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rgbench.data.catalogue import Catalogue, DataSet
from rgbench.data.match import Matched, astray, match_sources
from rgbench.data.own.predicted import PredictedTable
from rgbench.data.split import Split
from rgbench.errors import DataError
from rgbench.numbers import counted, listed

Rows = Mapping[str, NDArray[np.int64]]
"""Rows of a table by side, and behind them in a second row those of the catalogue, shape (2, n)."""


@dataclass(frozen=True)
class Asked:
    """Which sources predictions are wanted of.

    Attributes
    ----------
    dataset : DataSet
        The sources.
    split : Split
        Their sides.
    split_name : str
        What messages call the split.
    tolerance : float
        Arcseconds within which a position is that of a source.
    partial : bool
        Whether test sources may be missing.
    """

    dataset: DataSet
    split: Split
    split_name: str
    tolerance: float
    partial: bool


def find_rows(predicted: PredictedTable, asked: Asked) -> tuple[Rows, tuple[str, ...]]:
    """Give the rows of test and validation sources, and what is to be said of all others.

    Parameters
    ----------
    predicted : PredictedTable
        The table.
    asked : Asked
        Of which sources.

    Raises
    ------
    DataError
        If test sources are missing and may not be, or the table says two things of a source.

    Examples
    --------
    `rgbench.score` gives the rows to a run::

        rows, remarks = find_rows(predicted, Asked(dataset, split, "published", 5.0, partial=False))
        table, source = rows["test"]
    """
    catalogue, split = asked.dataset.catalogue, asked.split
    found = match_sources(predicted.name, predicted.ra, predicted.dec, catalogue, asked.tolerance)
    answered = np.asarray(np.isfinite(predicted.logits).all(axis=1))
    unused = [*_unused(predicted, found, answered, asked)]
    remarks = [*predicted.remarks, *unused, *_placed(predicted, found, asked)]
    table_row = _one_each(predicted, found, answered, catalogue, remarks)
    rows = {}
    for side in ("test", "validation"):
        wanted = np.sort(split.indices(side))
        there = np.isin(wanted, list(table_row))
        if side == "test":
            _check_whole(catalogue.source_id[wanted[~there]].tolist(), len(wanted), asked, unused, remarks)
        elif there.any() and not there.all():
            remarks.append(
                f"The {counted(int(there.sum()), 'validation source')} of the table are left out, as "
                f"{int((~there).sum())} others are missing."
            )
            continue
        own = wanted[there]
        rows[side] = np.array([[table_row[int(row)] for row in own], own], dtype=np.int64).reshape(2, -1)
    others = set(table_row) - {int(row) for own in rows.values() for row in own[1]}
    passed = [row for row in others if split.assignment[row] not in ("test", "validation")]
    if passed:
        remarks.append(
            f"{counted(len(passed), 'row')} of the table of other sources, such as training sources: passed over."
        )
    return rows, (*remarks, *_doubtful(rows, predicted, catalogue))


def _doubtful(rows: Rows, predicted: PredictedTable, catalogue: Catalogue) -> Iterator[str]:
    """Say where the rows that are scored may not be what was meant: true classes, or two classes alike."""
    table, source = rows["test"]
    if np.array_equal(predicted.logits[table].argmax(axis=1), catalogue.label[source]):
        yield (
            f"The predicted class is the published label of all {counted(len(source), 'test source')}: is that the "
            "column of the true classes?"
        )
    logits = predicted.logits[np.concatenate([own[0] for own in rows.values()])]
    tied = int(((logits == logits.max(axis=1, keepdims=True)).sum(axis=1) > 1).sum())
    if tied:
        yield (
            f"In {counted(tied, 'row')} two classes have the same highest probability; the first of them in the order "
            "of the data set counts."
        )


def _unused(
    predicted: PredictedTable, found: Matched, answered: NDArray[np.bool_], asked: Asked
) -> Iterator[str]:
    """Say which rows mean no source, or say nothing."""
    dataset = asked.dataset
    unknown = np.flatnonzero(found.row < 0)
    if len(unknown) == len(found.row):
        raise DataError(
            f"no row of the table is a source of {dataset.card.name}; the first is {predicted.place(0)!r}, sources are "
            f"called as {str(dataset.catalogue.source_id[0])!r}"
        )
    if len(unknown):
        names = listed([predicted.place(row) for row in unknown.tolist()])
        yield f"{counted(len(unknown), 'row')} of the table mean no source of {dataset.card.name}: {names}."
    silent = np.flatnonzero((found.row >= 0) & ~answered)
    if len(silent):
        yield f"{counted(len(silent), 'row')} say nothing: {listed([predicted.place(row) for row in silent.tolist()])}."


def _placed(predicted: PredictedTable, found: Matched, asked: Asked) -> Iterator[str]:
    """Say how many rows were found by their position, and which lie elsewhere than the source that they name."""
    if found.by_position.any():
        number = counted(int(found.by_position.sum()), "row")
        yield f"{number} of the table were matched by position, within {asked.tolerance:g} arcsec."
    away = astray(found, predicted.ra, predicted.dec, asked.dataset.catalogue, asked.tolerance)
    if len(away):
        lie, they, name = ("lies", "it", "names") if len(away) == 1 else ("lie", "they", "name")
        yield (
            f"{counted(len(away), 'row')} {lie} more than {asked.tolerance:g} arcsec from the source that {they} "
            f"{name}, e.g. {predicted.place(int(away[0]))}; names decide."
        )


def _one_each(
    predicted: PredictedTable,
    found: Matched,
    answered: NDArray[np.bool_],
    catalogue: Catalogue,
    remarks: list[str],
) -> dict[int, int]:
    """Give the row of the table that answers for each source; `DataError` if two say different things."""
    rows: dict[int, int] = {}
    twice, differ = list[str](), list[str]()
    for row in np.flatnonzero((found.row >= 0) & answered).tolist():
        first = rows.setdefault(int(found.row[row]), row)
        if first != row:
            name = str(catalogue.source_id[found.row[row]])
            same = np.array_equal(predicted.logits[first], predicted.logits[row])
            (twice if same else differ).append(
                f"{name} (rows {first + 1} and {row + 1})" if not same else name
            )
    if differ:
        raise DataError(
            f"{counted(len(differ), 'source')} stand in the table twice, with different values: {listed(differ)}; "
            "keep one row of each"
        )
    if twice:
        remarks.append(
            f"{counted(len(twice), 'row')} of the table stand there twice, with the same values: {listed(twice)}."
        )
    return rows


def _check_whole(missing: list[str], total: int, asked: Asked, unused: list[str], remarks: list[str]) -> None:
    """Raise `DataError` if test sources are missing, unless a part of them is to be scored.

    Rows that are there and unused may be those that are missing.
    """
    if not missing:
        return
    where = f"{asked.dataset.card.name}, split {asked.split_name}"
    said = f"{len(missing)} of {counted(total, 'test source')} of {where}, are missing: {listed(missing)}"
    if len(missing) == total:
        raise DataError(" ".join((f"{said}.", *unused)).rstrip("."))
    if not asked.partial:
        about = " ".join((f"{said}.", *unused))
        raise DataError(
            f"{about} A score on a part of the test sources is not that on all; to score those that are there all the "
            "same, give --partial"
        )
    remarks.append(f"{said}. Only the others are scored.")
