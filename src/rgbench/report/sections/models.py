"""The best and the final model of each network side by side."""

from __future__ import annotations

from collections.abc import Mapping

from rgbench import numbers
from rgbench.comparison.summary import Comparison
from rgbench.report.blocks import Cell, Table
from rgbench.report.files import text
from rgbench.report.sections.scores import _score_cells


def models_table(comparisons: Mapping[str, Comparison]) -> Table | None:
    """Compare two models of every run, best and final; None if there is only one."""
    if len(comparisons) < 2:
        return None
    names = list(comparisons)[:2]
    found = [{row.network: row for row in comparisons[name].rows} for name in names]
    rows = []
    for network in found[0]:
        pair = [table.get(network) for table in found]
        values = [text.metric(row, "mpca") if row else None for row in pair]
        change = values[1] - values[0] if values[0] is not None and values[1] is not None else None
        cells = [cell for row in pair for cell in _score_cells(row)]
        rows.append((Cell(network), *cells, Cell(numbers.signed_percent(change), change)))
    heads = [head for name in names for head in (f"{name}: MPCA %", f"{name}: 95 % interval")]
    columns = ("network", *heads, f"{names[1]} − {names[0]} / points")
    return Table("best-and-final", "Best and final model", columns, tuple(rows))
