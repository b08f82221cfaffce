"""The command ``rgbench classify``, until the images are there; without torch, so that errors are told at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from rgbench.cli.screen import warn
from rgbench.cli.work.data import Meanings, cutout_bar, folder_options, say_credits, say_request
from rgbench.data.surveys.kept import Cutouts, fetch_positions
from rgbench.data.surveys.places import read_places
from rgbench.data.surveys.sesame import Sesame
from rgbench.data.surveys.surveys import BuildSpec
from rgbench.errors import SpecError
from rgbench.measures.prior import parse_shares
from rgbench.runs.output_tables import tables
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


class Files(NamedTuple):
    """Files to write, and the folder that is made for them; None for none."""

    page: Path | None = None
    table: Path | None = None
    folder: Path | None = None


@dataclass(frozen=True)
class Answer:
    """Where the answer goes, beside the terminal, and the shares of classes that it is for."""

    files: Files
    overwrite: bool
    prior: Mapping[str, float] | None

    @classmethod
    def of(cls, out: Path | None, overwrite: bool, prior: str | None) -> Answer:
        """Make it of words of the command line, checked: before the work, not after it."""
        return cls(answer_files(out, overwrite), overwrite, None if prior is None else parse_shares(prior))


def fetch(sources: Sources, console: Console) -> Cutouts:
    """Read the places, and fetch the cutouts that are not there.

    What survey and service ask to be acknowledged with is said where they were asked.
    """
    options, ask = folder_options(Meanings(sources.columns)), Sesame() if sources.resolve else None
    targets = read_places(sources.places, options, ask, lambda remark: warn(console, remark))
    bar = cutout_bar(console)

    def tell(done: int, failed: int, total: int) -> None:
        if not bar.tasks:  # nobody need know of a service that is not asked
            say_request(sources.spec, console)
            bar.start()
            bar.add_task("cutouts", total=total)
        bar.update(bar.tasks[0].id, completed=done + failed)

    try:
        cutouts = fetch_positions(targets, sources.spec, tell)
    finally:
        if bar.tasks:
            bar.stop()
    cutouts.check_any(cutouts.reasons)
    if bar.tasks:
        say_credits(sources.spec, console)
    return cutouts


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
        files = Files(out / PAGE, out / TABLE, out)
    elif out.suffix.lower() in _PAGES:
        files = Files(page=out)
    elif any(out.name.endswith(f".{ending}") for ending in tables().names()):
        files = Files(table=out)
    else:
        legal = ", ".join((*_PAGES, *(f".{ending}" for ending in tables().names())))
        raise SpecError(f"--out {out}: the ending is none of {legal}; a folder is legal too")
    new = files.folder is not None and not out.is_dir()
    for file in [out] if new else [each for each in (files.page, files.table) if each is not None]:
        check_output(file, overwrite)
    return files
