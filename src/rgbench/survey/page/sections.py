"""The sections of the page of a survey."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from rgbench.data.own.files import SetAside
from rgbench.numbers import PERCENT, counted, is_number
from rgbench.report import cells
from rgbench.report.blocks import Block, Figure, Gallery, Heading, Section, Table, Text
from rgbench.report.cells import NO_CELL, Cell
from rgbench.report.draw.sky import sky_figure
from rgbench.survey.formats.written import Written
from rgbench.survey.mosaics import Mosaic
from rgbench.survey.page.chosen import Leading
from rgbench.survey.page.expected import Estimate, Expected
from rgbench.survey.page.summary import ON_MAP, Summary
from rgbench.survey.page.tiles import source_tiles

_NAMED = 40
"""Reasons that the page lists."""
_FILES = 50
"""Files of a format that the page links to."""
_HEADS = (
    "class", "rows", "share", "expected sources", "their interval", "purity %", "its interval", "completeness %",
    "interval of it",
)  # fmt: skip
_MEANINGS = (
    "", "rows that are called so", "of all rows that have a class",
    "sources of the class among the rows that have one: sum of its probability", "95 %",
    "share of the rows called so that are", "95 %", "share of the sources of the class that are called so", "95 %",
)  # fmt: skip


@dataclass(frozen=True)
class Shown:
    """What the page of a survey shows beside its rows.

    Attributes
    ----------
    title : str
        Name of the catalogue.
    mosaics : mapping of str to Mosaic
        The images by their names.
    aside : sequence of SetAside
        Images that could not be used.
    arcsec : float
        Side of the pictures.
    files : mapping of str to sequence of path
        What was written, by format; the page links to it.
    """

    title: str
    mosaics: Mapping[str, Mosaic]
    aside: Sequence[SetAside]
    arcsec: float
    files: Mapping[str, Sequence[Path]]


def classes_section(found: Summary, expected: Sequence[Expected]) -> Section:
    """Show how many rows each class has, and how many of them are right."""
    rows = tuple(
        (
            Cell(each.name),
            _whole(each.rows),
            cells.share(each.rows / max(found.classed, 1)),
            _whole(each.number.value),
            Cell(f"{each.number.low:,.0f} – {each.number.high:,.0f}", each.number.low, each.number.high),
            cells.number(each.purity.value, PERCENT),
            _between(each.purity),
            cells.number(each.completeness.value, PERCENT),
            _between(each.completeness),
        )
        for each in expected
    )
    title = "Classes, and how sure they are"
    notes = (
        "Purity: mean of the probability of the class over the rows that are called so. Completeness: its sum over "
        "those rows, divided by its sum over all rows that have a class.",
        "Both hold if the probabilities are calibrated for this survey: if its images are like those of training, and "
        "its class shares are those that are assumed (--prior). The intervals, of 95 %, are of the chance by which "
        "rows are right or wrong, and not of how well the probabilities are calibrated: to learn that, label some "
        "hundred sources. Sources without a class, and those that the catalogue lacks, do not count.",
    )
    table = Table("survey-classes", title, _HEADS, rows, meanings=_MEANINGS, headed=False)
    return Section("classes", "Classes", title, tables=(table,), notes=notes)


def map_section(found: Summary, classes: Sequence[str]) -> list[Section]:
    """Show where the sources are; nothing if none has a class."""
    places = [each.places for each in found.on_map]
    whole = np.concatenate(places)
    if not len(whole):
        return []
    label = np.repeat(np.arange(len(places)), [len(each) for each in places])
    thinned = not all(each.whole for each in found.on_map)
    words = f"At most {ON_MAP:,} sources of each class, evenly taken from the catalogue. " if thinned else ""
    figure = Figure(
        "survey-sky",
        "Sources by class",
        sky_figure(whole[:, 0], whole[:, 1], label, classes, "Map of the sources by class"),
        f"{words}Sources without a class are not shown.",
        ("ra", "dec", "class"),
        tuple((ra, dec, classes[k]) for (ra, dec), k in zip(whole.tolist(), label.tolist(), strict=True)),
    )
    return [Section("sky", "Map", "Where they are", figures=(figure,))]


def odd_section(found: Summary) -> Section:
    """Show how many rows have each flag, and why others have no class."""
    flags = _counts("survey-flags", "Flags", "flag", found.flags.most_common(), found.rows)
    title = "Why rows have no class"
    reasons = _counts("survey-reasons", title, "reason", found.reasons.most_common(_NAMED), found.rows)
    without, more = found.rows - found.classed - found.from_size, len(found.reasons) - _NAMED
    notes = ["docs/predict.md says what each flag means, and what to do."]
    if more > 0:
        notes.append(f"{counted(more, 'further reason')}: see the column rg_reason.")
    sentence = f"{without:,} of {counted(found.rows, 'row')} {'has' if without == 1 else 'have'} no class."
    tables = tuple(table for table in (flags, reasons) if table.rows)
    return Section("odd", "Flags", "What is odd", (sentence,), tables=tables, notes=tuple(notes))


def gallery_sections(found: Summary, written: Written, shown: Shown) -> list[Section]:
    """Show the most certain sources of each class, the most doubtful, and those least like training."""

    def gallery(leading: Leading) -> Block:
        return Gallery(source_tiles(leading.rows(), written, shown.mosaics, shown.arcsec))

    if not found.classed:
        return []
    certain = [
        block
        for name, leading in zip(written.about.classes, found.certain, strict=True)
        if leading.rows()
        for block in (Heading(name), gallery(leading))
    ]
    field = f"Each picture is {shown.arcsec:.0f} arcsec wide and has its own scale of brightness."
    doubt = "Their most probable class is the least probable of all rows."
    strange = "They look least like the sources of training; docs/predict.md says more of unlike."
    made = [
        Section("certain", "Most certain", "The most certain of each class", (field,), blocks=tuple(certain)),
        Section(
            "doubtful", "Most doubtful", "The most doubtful", (doubt,), blocks=(gallery(found.doubtful),)
        ),
    ]
    if found.unlike.rows():
        title = "The least familiar"
        made.append(Section("unlike", title, title, (strange,), blocks=(gallery(found.unlike),)))
    return made


def files_section(folder: Path, shown: Shown) -> Section:
    """Link to what was written; a file lies beside the page, or in a folder beside it."""
    blocks: list[Text] = []
    for name, files in shown.files.items():
        for file in files[:_FILES]:
            place = file.relative_to(folder).as_posix()
            blocks.append(Text(f"{name}:", download=(place, file.name, quote(place))))
        if len(files) > _FILES:
            blocks.append(Text(f"{name}: and {counted(len(files) - _FILES, 'more file')}"))
    note = "docs/survey-outputs.md says what they hold."
    return Section("files", "Files", "Files", blocks=tuple(blocks), notes=(note,))


def _whole(value: float) -> Cell:
    return Cell(f"{value:,.0f}", float(value))


def _between(estimate: Estimate) -> Cell:
    return cells.span(estimate.low, estimate.high) if is_number(estimate.low) else NO_CELL


def _counts(name: str, title: str, what: str, counts: Sequence[tuple[str, int]], rows: int) -> Table:
    made: list[tuple[Any, ...]] = [
        (Cell(word), _whole(number), cells.share(number / rows)) for word, number in counts
    ]
    return Table(name, title, (what, "rows", "share"), tuple(made))
