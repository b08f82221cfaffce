"""The table of all networks."""

from __future__ import annotations

from dataclasses import dataclass

from rgbench import numbers
from rgbench.comparison.results import Comparison
from rgbench.report.blocks import Section, Table, file_name
from rgbench.report.cells import Cell
from rgbench.report.files import text
from rgbench.report.material import Runs


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


def section(runs: Runs) -> Section:
    """Show all networks, their scores and their costs."""
    return Section(
        "table",
        "All networks",
        "All networks",
        sentences=(
            "Scores are of the test set: mean over the seeds, ± the standard deviation between them. Times and images "
            "per second are of the machine named under “How it was made”.",
            *_without_interval(runs),
            *_failed(runs.main),
        ),
        tables=(main_table(runs.main, runs.records[0].spec.data.name),),
    )


def main_table(main: Comparison, data: str) -> MainTable:
    """Make the table of all networks of a comparison."""
    noted, columns = any(row.notes for row in main.rows), text.columns(main.metric, main.confidence)
    rows = [
        (
            Cell(row.network),
            *(Cell(column.show(row), column.value(row)) for column in columns),
            *([Cell(text.remarks(row))] if noted else []),
        )
        for row in main.rows
    ]
    return MainTable(
        file_name("rgbench", data),
        "All networks",
        ("network", *(column.heading for column in columns), *(["notes"] if noted else [])),
        tuple(rows),
        frozenset({len(columns) + 1} if noted else ()),
        {i: row.status for i, row in enumerate(main.rows) if not text.learned(row)},
        ("", *(column.meaning for column in columns), *([""] if noted else [])),
        main,
        headed=False,
        hint="Select a heading to sort by it.",
    )


def _without_interval(runs: Runs) -> list[str]:
    if runs.card.interval != "none":
        return []
    words = numbers.capital(runs.card.short)
    return [f"{words} has no interval, so that networks are not compared in pairs."]


def _failed(main: Comparison) -> list[str]:
    """Say which metrics could not be worked out."""
    return [f"The metric {name} could not be worked out: {why}." for name, why in main.failed.items()]
