"""Which classes are taken for which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rgbench import numbers
from rgbench.comparison.results import Comparison, Row
from rgbench.report.blocks import (
    Figure,
    Fold,
    Gallery,
    Grid,
    Heading,
    LeftOut,
    Section,
    Table,
    Text,
    file_name,
)
from rgbench.report.cells import Cell, Value, number
from rgbench.report.draw import figures
from rgbench.report.files import text
from rgbench.report.material import Runs
from rgbench.report.tiles import Behind, behind_cells


def section(runs: Runs) -> Section | LeftOut:
    """Draw every network's confusion matrix, with the sources behind the cells of the first ones."""
    shown = {row.network: _behind(runs, row, i) for i, row in enumerate(runs.main.rows)}
    drawn = [
        (figure, shown[row.network])
        for row in runs.main.rows
        if (figure := confusion(row, runs.main.classes, {b.place: b.anchor for b in shown[row.network]}))
    ]
    if not drawn:
        return LeftOut("Confusion", "no run has ended")
    folds = [_fold(figure, behind, runs.options.picture_size) for figure, behind in drawn if behind]
    said = (
        "Rows are true classes, columns are answers. Blue is right and orange is wrong; a deeper colour is a larger "
        "share of the row. Counts are summed over the seeds."
    )
    select = "Select a cell of the first networks to see its sources."
    left_out = "The sources behind the cells are in the HTML file."
    per_class = class_table(runs.main)
    return Section(
        "confusion",
        "Confusion",
        "Which classes are confused?",
        finding=_finding(runs.main),
        blocks=(
            Text(said, more=select if folds else ""),
            Grid(tuple(figure for figure, _ in drawn)),
            *([Text(left_out, small=True, only="paper"), *folds] if folds else ()),
            *([per_class] if per_class is not None else ()),
        ),
    )


def _finding(main: Comparison) -> str:
    """Say what all networks together take for what most often."""
    matrices = [row.confusion for row in main.rows if row.confusion is not None and text.learned(row)]
    total = np.sum(matrices, axis=0) if matrices else np.zeros((1, 1))
    wrong = total * (1 - np.eye(len(total)))
    if not wrong.sum():
        return "None is: every answer is right." if total.sum() else "No network has learnt anything."
    i, j = (int(place) for place in np.unravel_index(int(wrong.argmax()), wrong.shape))
    classes, share = main.classes, numbers.percent(float(wrong[i, j] / total[i].sum()), 0)
    return f"Most often {classes[i]} is taken for {classes[j]}: {share} % of all answers to {classes[i]} sources."


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
        f"{numbers.percent(float(np.trace(matrix) / total))} % are right. Most common mistake: {classes[i]} taken "
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
