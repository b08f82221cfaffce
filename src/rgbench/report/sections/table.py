"""The table of all networks."""

from __future__ import annotations

from dataclasses import dataclass

from rgbench.comparison.summary import Comparison
from rgbench.report.blocks import Cell, Table, file_name
from rgbench.report.files import text


@dataclass(frozen=True)
class MainTable(Table):
    """The table of all networks, whose files hold more than it shows."""

    comparison: Comparison | None = None

    def csv(self) -> str:
        """Give every metric and cost as CSV, fractions and SI units, nothing rounded."""
        return text.comparison_csv(self.comparison) if self.comparison else super().csv()

    def latex(self) -> str:
        r"""Give the table as a LaTeX ``tabular``, what is to note beneath."""
        return text.comparison_latex(self.comparison) if self.comparison else super().latex()


def main_table(main: Comparison, data: str) -> MainTable:
    """Make the table of all networks of a comparison."""
    noted = any(row.notes for row in main.rows)
    rows = [
        (
            Cell(row.network),
            *(Cell(column.show(row), column.value(row)) for column in text.COLUMNS),
            *([Cell(text.remarks(row))] if noted else []),
        )
        for row in main.rows
    ]
    return MainTable(
        file_name("rgbench", data),
        "All networks",
        ("network", *(column.heading for column in text.COLUMNS), *(["notes"] if noted else [])),
        tuple(rows),
        frozenset({len(text.COLUMNS) + 1} if noted else ()),
        {i: row.status for i, row in enumerate(main.rows) if not text.learned(row)},
        ("", *(column.meaning for column in text.COLUMNS), *([""] if noted else [])),
        main,
    )
