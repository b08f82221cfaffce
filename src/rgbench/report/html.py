"""The report: one HTML file that holds all it needs and opens without a network."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from numpy.typing import NDArray

from rgbench.comparison.summary import Comparison
from rgbench.data.catalogue import Catalogue
from rgbench.report import page
from rgbench.report.files.export import write_figures
from rgbench.report.files.standalone import figure_style
from rgbench.report.material import Beside
from rgbench.report.sections import sources
from rgbench.store.files import write_bytes
from rgbench.store.store import RunRecord

Images = Callable[[str], NDArray[Any] | None] | Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class ReportOptions:
    """What a report shows.

    Attributes
    ----------
    title : str
        Title of the page; by default the data set's name is in it.
    right, wrong : int
        Examples of right and of wrong answers shown for each network.
    hard : int
        Sources shown that most runs miss.
    galleries : int
        Networks, from the top of the ranking, of which examples are shown.
    cells, cell : int
        Networks whose confusion matrices open the sources behind their cells, and sources shown of a cell.
    picture_size : int
        Longest side of an example's picture, in pixels.
    figures : Path, optional
        Folder into which every figure and table is written as files of its own (`rgbench.report.files.export`).
    """

    title: str = ""
    right: int = 4
    wrong: int = 8
    hard: int = 8
    galleries: int = 8
    cells: int = 3
    cell: int = 8
    picture_size: int = 128
    figures: Path | None = None


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
    if not comparisons or not records:
        raise ValueError("a report needs at least one comparison and one record")
    path, options = Path(path), options or ReportOptions()
    catalogue = beside.data.catalogue if beside is not None and beside.data is not None else None
    pictures = _pictures(comparisons, records, images, options, catalogue)
    content = page.context(comparisons, records, options.title, beside, pictures["cells"]) | pictures
    write_bytes(path, _render(content).encode("utf8"))
    if options.figures is not None:
        write_figures(options.figures, page.figures_of(content), page.tables_of(content))
    return path


def _pictures(
    comparisons: Mapping[str, Comparison],
    records: Sequence[RunRecord],
    images: Images | None,
    options: ReportOptions,
    catalogue: Catalogue | None,
) -> dict[str, Any]:
    model, main = next(iter(comparisons.items()))
    order = [row.network for row in main.rows]
    find = images.get if isinstance(images, Mapping) else images
    look = sources.Look(find, options.picture_size, model, records[0].spec.images.field, catalogue)
    return {
        "picture_size": options.picture_size,
        "hard": sources.hard_items(records, look, options.hard),
        "galleries": [
            gallery
            for name in order[: options.galleries]
            if (gallery := sources.gallery(name, records, look, (options.right, options.wrong)))
        ],
        "cells": {name: sources.cells(name, records, look, options.cell) for name in order[: options.cells]},
        "gallery_words": sources.words(len(order), options.galleries),
    }


def _render(content: dict[str, Any]) -> str:
    environment = Environment(
        loader=PackageLoader("rgbench.report"),
        autoescape=True,
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    looks = [_source(environment, name) for name in ("report.css", "figure.css")]
    style, script = "\n".join(looks), _source(environment, "report.js")
    content = content | {"sections": page.sections(content)}
    return environment.get_template("report.html.j2").render(
        page=content,
        style=Markup(style),
        script=Markup(script),
        figure_style=Markup(figure_style()),
        style_hash=_hash(style),
        script_hash=_hash(script),
    )


def _source(environment: Environment, name: str) -> str:
    if environment.loader is None:
        raise TypeError("the environment of the templates has no loader")
    return environment.loader.get_source(environment, name)[0].strip()


def _hash(content: str) -> str:
    """Give the hash by which the page's content security policy knows its own style and script."""
    return base64.b64encode(hashlib.sha256(content.encode("utf8")).digest()).decode("ascii")
