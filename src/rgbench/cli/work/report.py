"""The command ``rgbench report``, and how ``rgbench run`` says what it found; nothing here loads torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from rgbench.cli.bars import bar_of
from rgbench.cli.screen import say, warn
from rgbench.cli.work.stored import open_store
from rgbench.comparison.results import Comparison
from rgbench.numbers import counted
from rgbench.report.files.text import comparison_tables
from rgbench.report.of_store import ReportSpec, WrittenReport, write_report
from rgbench.store.store import RunRecord


def report(store_path: Path, spec: ReportSpec, console: Console) -> None:
    """Compare what is in the store; one report for each group of comparable runs."""
    store = open_store(store_path)
    with bar_of("writing the report"):
        written = write_report(store, spec)
    for each in written.reports:
        warn(console, *each.warnings)
    for each in written.reports:
        if len(written.reports) > 1:
            say(console, "", each.name, style="bold")
        say_results(each.comparisons[spec.model], each.records, console)
        say(console, f"Report: {each.path}")
        if each.figures is not None:
            say(console, f"Figures and tables: {each.figures}")
    say_reports(written.reports, console)
    warn(console, *written.warnings)


def say_results(comparison: Comparison, records: Sequence[RunRecord], console: Console) -> None:
    """Print the table of a comparison, its answer, and the sources that were left out."""
    console.print()
    for table in comparison_tables(comparison, console.width):
        console.print(table)
    for line in comparison.words:
        say(console, f"  {line}", wrap=True)
    removed = () if records[0].elsewhere else records[0].notes
    if removed:
        say(
            console,
            f"  {counted(len(removed), 'source')} removed or set aside: {'; '.join(removed[:3])}",
            wrap=True,
        )


def say_reports(reports: Sequence[WrittenReport], console: Console) -> None:
    """Say which report is of which data, if there are several."""
    if len(reports) < 2:
        return
    say(
        console,
        "",
        f"Runs on different data, or under different protocols, are not compared run by run: {len(reports)} reports",
    )
    width = max(len(each.name) for each in reports)
    say(console, *(f"  {each.name:{width}}  {each.path}" for each in reports))
