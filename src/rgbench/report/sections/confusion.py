"""Which classes are taken for which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rgbench import numbers
from rgbench.comparison.results import Comparison, Row
from rgbench.report.blocks import Figure, Fold, Gallery, Grid, Heading, Section, Table, Text, file_name
from rgbench.report.cells import Cell, Value, number
from rgbench.report.draw import figures
from rgbench.report.material import Runs
from rgbench.report.tiles import Behind, behind_cells


def section(runs: Runs) -> Section | None:
    """Draw every network's confusion matrix, with the sources behind the cells of the first ones."""
    shown = {row.network: _behind(runs, row, i) for i, row in enumerate(runs.main.rows)}
    drawn = [
        (figure, shown[row.network])
        for row in runs.main.rows
        if (figure := confusion(row, runs.main.classes, {b.place: b.anchor for b in shown[row.network]}))
    ]
    if not drawn:
        return None
    folds = [_fold(figure, behind, runs.options.picture_size) for figure, behind in drawn if behind]
    said = (
        "Rows are true classes. Blue is right, orange is wrong; the deeper, the larger the share of the row. Counts "
        "are summed over the seeds."
    )
    select = (
        "Select a cell of the first networks to see the sources behind it (by their mean probability over the "
        "seeds)."
    )
    left_out = "The sources behind the cells are left out on paper; they are in the HTML file."
    per_class = class_table(runs.main)
    return Section(
        "confusion",
        "Confusion",
        "Which classes are confused?",
        blocks=(
            Text(said, more=select if folds else ""),
            Grid(tuple(figure for figure, _ in drawn)),
            *([Text(left_out, small=True, only="paper"), *folds] if folds else ()),
            *([per_class] if per_class is not None else ()),
        ),
    )


def _behind(runs: Runs, row: Row, place: int) -> list[Behind]:
    if place >= runs.options.cells:
        return []
    return behind_cells(row.network, runs.records, runs.look, runs.options.cell)


def _fold(figure: Figure, behind: Sequence[Behind], size: int) -> Fold:
    blocks = [
        block for cell in behind for block in (Heading(cell.title, cell.anchor), Gallery(cell.tiles, size))
    ]
    return Fold(f"The sources behind the cells: {figure.title}", tuple(blocks), only="screen")


def confusion(row: Row, classes: Sequence[str], links: Mapping[tuple[int, int], str]) -> Figure | None:
    """Draw the confusion matrix of a network, None if it has none; `links` are anchors by row and column."""
    if row.confusion is None or not np.sum(row.confusion):
        return None
    matrix = np.asarray(row.confusion)
    said = _confusion_words(matrix, classes)
    label = f"Confusion matrix of {row.network}. {said}"
    counts: list[tuple[Value, ...]] = [(name, *(int(n) for n in matrix[i])) for i, name in enumerate(classes)]
    return Figure(
        file_name("confusion", row.network),
        row.network,
        figures.confusion_figure(matrix, classes, label, links),
        said,
        ("true class", *(f"predicted {name}" for name in classes)),
        tuple(counts),
    )


def _confusion_words(matrix: NDArray[Any], classes: Sequence[str]) -> str:
    total = matrix.sum()
    wrong = matrix * (1 - np.eye(len(matrix)))
    if not wrong.sum():
        return f"All {total:.0f} answers are right."
    i, j = (int(place) for place in np.unravel_index(int(wrong.argmax()), wrong.shape))
    return (
        f"{numbers.percent(float(np.trace(matrix) / total))} % right. Commonest mistake: {classes[i]} taken "
        f"for {classes[j]}, {matrix[i, j]:.0f} of {matrix[i].sum():.0f}."
    )


def class_table(main: Comparison) -> Table | None:
    """Tell precision, recall and F1 of every network and class; None if no run has ended."""
    names = list(dict.fromkeys(name for row in main.rows for name in row.per_class))
    if not names:
        return None
    rows = [
        (Cell(row.network), Cell(class_name), *(_share(row.per_class, name, k) for name in names))
        for row in main.rows
        for k, class_name in enumerate(main.classes)
    ]
    columns = ("network", "class", *(f"{_class_heading(name)} %" for name in names))
    title = "Precision, recall and F1 of every class"
    return Table("per-class", title, columns, tuple(rows), frozenset({1}), folded=True)


def _class_heading(name: str) -> str:
    """Write the name of a measure for people; those of the 2021 study count every class as equally frequent."""
    plain = name.removesuffix("_2021").replace("f1", "F1")
    return plain if plain == name.replace("f1", "F1") else f"{plain}, classes weighted alike (2021 study),"


def _share(table: Mapping[str, Any], name: str, k: int) -> Cell:
    return number(float(table[name][k]) if name in table else None, numbers.PERCENT)
