"""The report: one HTML file that holds all it needs and opens without a network."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from numpy.typing import NDArray

from rgbench.comparison.results import Comparison
from rgbench.escapes import visible
from rgbench.report import page
from rgbench.report.files.export import write_figures
from rgbench.report.files.standalone import figure_style
from rgbench.report.material import Beside, ReportOptions, Runs
from rgbench.report.sections import ANCHORS
from rgbench.store.files import write_bytes
from rgbench.store.store import RunRecord

__all__ = ["Images", "ReportOptions", "make_page", "save_page", "write_page"]

Images = Callable[[str], NDArray[Any] | None] | Mapping[str, NDArray[Any]]


def write_page(
    path: Path | str,
    comparisons: Mapping[str, Comparison],
    records: Sequence[RunRecord],
    images: Images | None = None,
    options: ReportOptions | None = None,
    beside: Beside | None = None,
) -> Path:
    """Write the report of a comparison as one self-contained HTML file.

    Parameters
    ----------
    path : path
        The file; it is replaced if it is there.
    comparisons : mapping of str to Comparison
        Comparison of each model ("best", "final"); the first of them leads the report.
    records : sequence of RunRecord
        The runs compared, failed ones among them.
    images : callable or mapping, optional
        Source id -> image, shape (h, w), uint8 or float, row 0 at the south; None where there is none.
    options : ReportOptions, optional
        What to show.
    beside : Beside, optional
        Runs on fewer training sources, predictions on disturbed images.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    ValueError
        If there is no comparison or no record.
    StoreError
        If the file cannot be written.
    """
    options = options or ReportOptions()
    return save_page(Path(path), make_page(comparisons, records, images, options, beside), options.figures)


def make_page(
    comparisons: Mapping[str, Comparison],
    records: Sequence[RunRecord],
    images: Images | None,
    options: ReportOptions,
    beside: Beside | None,
) -> page.Page:
    """Make the page that `write_page` writes, with the same arguments."""
    if not comparisons or not records:
        raise ValueError("a report needs at least one comparison and one record")
    find = images.get if isinstance(images, Mapping) else images
    return _showable(page.make(Runs.of(comparisons, records, beside, find, options)))


def save_page(path: Path, content: page.Page, figures: Path | None = None) -> Path:
    """Write a page as one HTML file, and its figures and tables into a folder, if one is named."""
    write_bytes(path, _render(content).encode("utf8"))
    if figures is not None:
        write_figures(figures, content.figures, content.tables)
    return path


def _showable(content: page.Page) -> page.Page:
    """Leave out what other packages made and the page cannot show: each of their sections is tried alone."""
    kept, problems = [], []
    for section in content.sections:
        try:
            if section.anchor not in ANCHORS:
                _render(replace(content, sections=(section,)))
        except Exception as error:  # whatever stands in it
            problems.append(f"The section {section.anchor!r} is left out: {type(error).__name__}: {error}")
        else:
            kept.append(section)
    return replace(content, sections=tuple(kept), broken=(*content.broken, *problems))


def _render(content: page.Page) -> str:
    made = environment("rgbench.report")
    look = style(made)
    script = source(made, "report.js")
    return made.get_template("report.html.j2").render(
        page=content,
        style=Markup(look),
        script=Markup(script),
        figure_style=Markup(figure_style()),
        style_hash=policy_hash(look),
        script_hash=policy_hash(script),
    )


def environment(*packages: str) -> Environment:
    """Give what renders the templates of packages, of the first that has one; it escapes and shows all text."""
    return Environment(
        loader=ChoiceLoader([PackageLoader(package) for package in packages]),
        autoescape=True,
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        finalize=_shown,
    )


def style(made: Environment, *more: str) -> str:
    """Give the style sheet of a page: that of the report and of its figures, then others by name."""
    return "\n".join(source(made, name) for name in ("report.css", "figure.css", *more))


def source(made: Environment, name: str) -> str:
    """Give the text of a template as it is."""
    if made.loader is None:
        raise TypeError("the environment of the templates has no loader")
    return made.loader.get_source(made, name)[0].strip()


def policy_hash(content: str) -> str:
    """Give the hash by which a page's content security policy knows its own style and script."""
    return base64.b64encode(hashlib.sha256(content.encode("utf8")).digest()).decode("ascii")


def _shown(value: object) -> object:
    """Give what stands in the page for a value: of text, what can be seen; jinja2 then escapes it."""
    return visible(value, "\n\t") if isinstance(value, str) and not isinstance(value, Markup) else value
