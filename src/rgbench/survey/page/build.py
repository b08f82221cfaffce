"""The page of a survey: one HTML file that needs no network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rgbench import numbers
from rgbench.numbers import counted
from rgbench.report.html import save_page
from rgbench.report.page import Page
from rgbench.survey.formats.written import Written
from rgbench.survey.page.expected import Expected, expectations
from rgbench.survey.page.sections import (
    Shown,
    classes_section,
    files_section,
    gallery_sections,
    map_section,
    odd_section,
)
from rgbench.survey.page.summary import Summary, summarise
from rgbench.survey.sizes import compact_class

OF_CLASS, OF_DOUBT = 6, 12
"""Sources of a gallery: of each class, and of the doubtful and the unlike ones."""
_ASIDE = 5
"""Images set aside that the page names."""


def write_page(path: Path, written: Written, shown: Shown) -> None:
    """Write the page of a survey.

    Parameters
    ----------
    path : path
        The file.
    written : Written
        The rows; the columns that the page needs are read once.
    shown : Shown
        What it shows beside.
    """
    about = written.about
    found = summarise(written, OF_CLASS, OF_DOUBT)
    expected = expectations(about.classes, found.sums)
    sections = (
        classes_section(found, expected),
        *map_section(found, about.classes),
        odd_section(found),
        *gallery_sections(found, written, shown),
        files_section(path.parent, shown),
    )
    page = Page(
        f"Classes of {shown.title}",
        _facts(found, written, shown),
        _answer(found, expected, about.classes),
        _problems(shown),
        (),
        sections,
        f"rgbench {about.rgbench}; classifier {about.classifier}, SHA-256 {about.checksum}.",
    )
    save_page(path, page)


def _facts(found: Summary, written: Written, shown: Shown) -> tuple[tuple[str, str], ...]:
    prior = ", ".join(f"{name} {share:g}" for name, share in written.about.prior.items())
    return (
        ("rows", f"{found.rows:,}"),
        ("with a class", f"{found.classed + found.from_size:,}"),
        ("images", f"{len(shown.mosaics):,}"),
        ("classifier", written.about.classifier),
        ("views", str(written.about.views)),
        ("class shares", prior or "as in training"),
    )


def _answer(found: Summary, expected: Sequence[Expected], classes: Sequence[str]) -> tuple[str, ...]:
    sized = (
        (
            f"{found.from_size:,} of {counted(found.rows, 'row')} are called {compact_class(classes)} by their sizes "
            "in the catalogue; no image of them was looked at, and the table of classes does not count them.",
        )
        if found.from_size
        else ()
    )
    if not found.classed:
        return sized or (f"None of {counted(found.rows, 'row')} has a class.",)
    called = ", ".join(f"{each.rows:,} {each.name}" for each in expected)
    right = ", ".join(
        f"{numbers.percent(each.purity.value, 0)} % of {each.name}" for each in expected if each.rows
    )
    seen = " by what an image shows" if sized else ""
    return (
        f"{found.classed:,} of {counted(found.rows, 'row')} have a class{seen}: {called}.",
        *sized,
        f"Expected to be right, if the probabilities are calibrated for this survey: {right}.",
    )


def _problems(shown: Shown) -> tuple[str, ...]:
    named = tuple(f"{each.source} was set aside: {each.reason}" for each in shown.aside[:_ASIDE])
    more = len(shown.aside) - len(named)
    return (*named, f"{counted(more, 'more image')} set aside.") if more > 0 else named
