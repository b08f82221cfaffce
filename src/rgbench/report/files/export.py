"""Figures and tables of a report as files of their own, for papers: SVG, PDF, CSV and LaTeX."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from rgbench.errors import StoreError
from rgbench.report.blocks import Figure, Table
from rgbench.report.files.standalone import FONT, standalone
from rgbench.store.files import make_folder, write_bytes

NEEDS = ("svglib", "reportlab")
"""Packages that turn SVG into PDF."""
NO_PDF = "PDF files were left out: pip install 'rgbench[figures]' brings what writes them; the SVG files are complete"
"""What to say where they are not installed."""
_EMBEDDED = "Vera"
_WEIGHTS = {"normal": "Vera.ttf", "600": "VeraBd.ttf"}
"""Fonts that come with reportlab and hold a minus sign, by the weights that the figures use."""


def can_write_pdf() -> bool:
    """Tell whether the packages that turn SVG into PDF are installed."""
    return all(find_spec(name) is not None for name in NEEDS)


def write_figures(folder: Path, figures: Sequence[Figure], tables: Sequence[Table]) -> list[Path]:
    """Write each figure as SVG, PDF and CSV, and each table as CSV and LaTeX.

    Files are named after the figure or table, so that those of another report of the same networks have the
    same names. As with the report itself, files that have these names are replaced; others are left alone.

    Parameters
    ----------
    folder : path
        Where to; made if it is not there.
    figures : sequence of Figure
        The figures; PDF is left out where `can_write_pdf` is False.
    tables : sequence of Table
        The tables.

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    StoreError
        If the folder or a file cannot be written.
    """
    make_folder(folder)
    to_pdf = pdf_writer() if can_write_pdf() else None
    taken: set[str] = set()
    written = []
    for name, contents in [*_figure_files(figures, to_pdf), *_table_files(tables)]:
        stem = _free(name, set(contents), taken)
        for ending, content in contents.items():
            path = folder / f"{stem}.{ending}"
            write_bytes(path, content)
            written.append(path)
    return written


def pdf_writer() -> Callable[[str], bytes]:
    """Give the function that turns an SVG file of `standalone` into a PDF of the same size, fonts embedded.

    The same drawing gives the same bytes: no date is in them. 1 px is 0.75 pt, so that a figure 420 px wide is
    315 pt (11 cm) wide.
    """
    svglib, render = import_module("svglib.svglib"), import_module("reportlab.graphics.renderPDF")
    fonts = Path(import_module("reportlab").__file__ or "").parent / "fonts"
    for weight, file in _WEIGHTS.items():
        svglib.register_font(_EMBEDDED, str(fonts / file), weight=weight)

    def write(content: str) -> bytes:
        svg = content.replace(f'font-family="{FONT}"', f'font-family="{_EMBEDDED}"', 1)
        drawing = svglib.svg2rlg(io.BytesIO(svg.encode("utf8")))
        if drawing is None:
            raise StoreError("a figure is no SVG that svglib can read")
        return bytes(render.drawToString(drawing, invariant=1))

    return write


def _figure_files(
    figures: Sequence[Figure], to_pdf: Callable[[str], bytes] | None
) -> Iterator[tuple[str, dict[str, bytes]]]:
    for figure in figures:
        svg = standalone(figure.drawing)
        files = {"svg": svg.encode("utf8")}
        if to_pdf is not None:
            files["pdf"] = to_pdf(svg)
        if figure.rows:
            files["csv"] = figure.csv().encode("utf8")
        yield figure.name, files


def _table_files(tables: Sequence[Table]) -> Iterator[tuple[str, dict[str, bytes]]]:
    for table in tables:
        yield table.name, {"csv": table.csv().encode("utf8"), "tex": table.latex().encode("utf8")}


def _free(name: str, endings: set[str], taken: set[str]) -> str:
    """Give a file name that no earlier figure or table has: the name, or with a number behind it."""
    stem, number = name, 1
    while {f"{stem}.{ending}" for ending in endings} & taken:
        number += 1
        stem = f"{name}-{number}"
    taken |= {f"{stem}.{ending}" for ending in endings}
    return stem
