"""The command ``rgbench classify``: places read, cutouts fetched and classified, the answer shown."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from rgbench.cli.progress import progress_bar
from rgbench.cli.screen import say, warn
from rgbench.cli.work.data import Meanings, cutout_bar, folder_options, say_credits, say_request
from rgbench.cli.work.predict import SOME_SET_ASIDE, Choice, chosen_classifier
from rgbench.data.surveys.places import read_places
from rgbench.data.surveys.sesame import Sesame
from rgbench.data.surveys.surveys import BuildSpec
from rgbench.data.surveys.targets import Targets
from rgbench.errors import SpecError, StoreError
from rgbench.measures.prior import parse_shares
from rgbench.numbers import NONE, probability
from rgbench.report.sources_page import source_rows, write_sources_page
from rgbench.runs.classify import write_columns
from rgbench.runs.output_tables import tables
from rgbench.runs.positions import ClassifiedPositions, Cutouts, classify_cutouts, fetch_positions
from rgbench.store.files import check_output

PAGE, TABLE = "sources.html", "sources.csv"
"""What a folder gets."""
_PAGES = (".html", ".htm")


@dataclass(frozen=True)
class Sources:
    """The sources as they were named, and where their images come from."""

    places: tuple[str, ...]
    spec: BuildSpec
    resolve: bool
    columns: Sequence[str] = ()


@dataclass(frozen=True)
class Answer:
    """Where the answer goes, beside the terminal, and the shares of classes that it is for."""

    out: Path | None
    overwrite: bool
    prior: str | None


class Files(NamedTuple):
    """Files to write; None for none."""

    page: Path | None = None
    table: Path | None = None


def classify(sources: Sources, choice: Choice, answer: Answer, console: Console) -> None:
    """Fetch images of sources, classify them, print a row for each, and write page and table.

    If some sources have no image, it ends with the exit code `SOME_SET_ASIDE`.
    """
    prior = None if answer.prior is None else parse_shares(answer.prior)
    files = answer_files(answer.out, answer.overwrite)
    options = folder_options(Meanings(sources.columns))
    ask = Sesame() if sources.resolve else None
    targets = read_places(sources.places, options, ask, lambda remark: warn(console, remark))
    classifier = chosen_classifier(choice, prior is not None, console)
    cutouts = _fetched(targets, sources.spec, console)
    with progress_bar(console) as bar:
        task = bar.add_task("classifying", total=len(cutouts.found))
        found = classify_cutouts(
            cutouts, classifier, prior, lambda done, total: bar.update(task, completed=done, total=total)
        )
    _show(found.table(), console)
    _write(files, found, answer, console)
    say(console, "What the columns and the flags say: docs/predict.md")
    if found.set_aside:
        sys.exit(SOME_SET_ASIDE)


def answer_files(out: Path | None, overwrite: bool) -> Files:
    """Give the files that an ``--out`` stands for, and check that they can be written.

    Raises
    ------
    SpecError
        If the ending is none that is known, or a file is there already.
    """
    if out is None:
        return Files()
    if out.is_dir() or not out.suffix:
        files = Files(out / PAGE, out / TABLE)
    elif out.suffix.lower() in _PAGES:
        files = Files(page=out)
    elif any(out.name.endswith(f".{ending}") for ending in tables().names()):
        files = Files(table=out)
    else:
        legal = ", ".join((*_PAGES, *(f".{ending}" for ending in tables().names())))
        raise SpecError(f"--out {out}: the ending is none of {legal}; a folder is legal too")
    new_folder = not out.suffix and not out.is_dir()
    for file in [out] if new_folder else [file for file in files if file is not None]:
        check_output(file, overwrite)
    return files


def _fetched(targets: Targets, spec: BuildSpec, console: Console) -> Cutouts:
    """Fetch what is not there, with a bar; if anything was, say what it asks to be acknowledged with."""
    with cutout_bar(console) as bar:

        def tell(done: int, failed: int, total: int) -> None:
            if not bar.tasks:  # nobody need know of a service that is not asked
                say_request(spec, console)
                bar.add_task("cutouts", total=total)
            bar.update(bar.tasks[0].id, completed=done + failed)

        cutouts = fetch_positions(targets, spec, tell)
    if bar.tasks:
        say_credits(spec, console)
    return cutouts


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


def _write(files: Files, found: ClassifiedPositions, answer: Answer, console: Console) -> None:
    """Write page and table."""
    if answer.out is not None and files.page is not None and files.table is not None:
        try:
            answer.out.mkdir(exist_ok=True)
        except OSError as error:
            raise StoreError(f"{answer.out}: cannot be made: {error.strerror or error}") from error
    if files.page is not None:
        write_sources_page(files.page, found)
        say(console, f"Pictures: {files.page}, to be opened in a browser")
    if files.table is not None:
        write_columns(files.table, found.table(), answer.overwrite)
        say(console, f"Table: {files.table}")
    if files == Files():
        say(console, "For the pictures: the same command with --out page.html")
