"""The command ``rgbench classify``, when the images are there: classified, and the answer shown."""

from __future__ import annotations

import sys
from typing import Any

from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from rgbench.cli.bars import bar_of
from rgbench.cli.screen import say
from rgbench.cli.work.cutouts import Answer, Files
from rgbench.cli.work.predict import SOME_SET_ASIDE, Choice, chosen_classifier
from rgbench.data.surveys.kept import Cutouts
from rgbench.numbers import NONE, probability
from rgbench.report.sources_page import source_rows, write_sources_page
from rgbench.runs.classify import write_columns
from rgbench.runs.positions import ClassifiedPositions, classify_cutouts
from rgbench.store.files import writing


def classify(cutouts: Cutouts, choice: Choice, answer: Answer, console: Console) -> None:
    """Classify cutouts, print a row for each source, and write page and table.

    If some sources have no class, it ends with the exit code `SOME_SET_ASIDE`.
    """
    classifier = chosen_classifier(choice, answer.prior is not None, console)
    with bar_of("classifying") as told:
        found = classify_cutouts(cutouts, classifier, answer.prior, told)
    _show(found.table(), console)
    _write(answer.files, found, answer.overwrite, console)
    say(console, "What the columns and the flags say: docs/predict.md")
    if found.set_aside:
        sys.exit(SOME_SET_ASIDE)


def _show(table: dict[str, NDArray[Any]], console: Console) -> None:
    """Print a row for each source, with a remark where there is one."""
    rows = source_rows(table)
    remarks = any(row.remark for row in rows)
    names = [f"p_{name}" for name, _ in rows[0].chances]
    shown = Table("source", "class", *names, "set", "flags", *["remark"] * remarks, box=None)
    for row in rows:
        chances = (probability(value) for _, value in row.chances)
        words = [row.allowed or NONE, row.flags or NONE, *[row.remark] * remarks]
        shown.add_row(row.name, row.winner or NONE, *chances, *words)
    console.print(shown)


def _write(files: Files, found: ClassifiedPositions, overwrite: bool, console: Console) -> None:
    """Write page and table."""
    if files.folder is not None:
        with writing(files.folder, "made"):
            files.folder.mkdir(exist_ok=True)
    if files.page is not None:
        write_sources_page(files.page, found)
        say(console, f"Pictures: {files.page}, to be opened in a browser")
    if files.table is not None:
        write_columns(files.table, found.table(), overwrite)
        say(console, f"Table: {files.table}")
    if files == Files():
        say(console, "For the pictures: the same command with --out page.html")
