"""What a section of the report is made of: figures and tables that carry their own data."""

from __future__ import annotations

import csv
import io
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from rgbench.report.text import latex

Value = float | int | str | None


@dataclass(frozen=True)
class Cell:
    """A cell of a table: what is shown, and the unrounded value that sorts and is downloaded."""

    text: str
    value: Value = None

    @property
    def data(self) -> Value:
        """The value, or the text where there is none."""
        return self.text if self.value is None else self.value


@dataclass(frozen=True)
class Table:
    """A table that sorts, and downloads as CSV and LaTeX.

    Attributes
    ----------
    name : str
        Of the downloaded files, in letters, digits and hyphens.
    title : str
        What it shows.
    columns : tuple of str
        Headings; the first column heads the rows.
    rows : tuple of tuple of Cell
        The rows.
    words : frozenset of int
        Columns of words, which are aligned left.
    """

    name: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    words: frozenset[int] = frozenset()

    @property
    def downloads(self) -> list[tuple[str, str, str]]:
        """Label, file name and address of each download."""
        return [
            ("CSV, unrounded", f"{self.name}.csv", data_uri("text/csv", self.csv())),
            ("LaTeX", f"{self.name}.tex", data_uri("application/x-tex", self.latex())),
        ]

    def csv(self) -> str:
        """Give the table as CSV, nothing rounded."""
        return to_csv(self.columns, [[cell.data for cell in row] for row in self.rows])

    def latex(self) -> str:
        r"""Give the table as a LaTeX ``tabular`` that needs the package ``booktabs``; cells as shown."""
        kinds = "".join("l" if i == 0 or i in self.words else "r" for i in range(len(self.columns)))
        head = " & ".join(map(latex, self.columns))
        body = [" & ".join(latex(cell.text) for cell in row) + r" \\" for row in self.rows]
        lines = [rf"\begin{{tabular}}{{{kinds}}}", r"\toprule", rf"{head} \\", r"\midrule", *body]
        return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


@dataclass(frozen=True)
class Figure:
    """A drawing with its caption, and the numbers behind it.

    Attributes
    ----------
    name : str
        Of the downloaded files.
    title, words : str
        What stands above and below it.
    drawing : str
        SVG, as from `rgbench.report.figures`.
    columns, rows
        The numbers, for the CSV file.
    """

    name: str
    title: str
    drawing: str
    words: str = ""
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[Value, ...], ...] = ()

    @property
    def svg(self) -> Markup:
        """The drawing, marked as safe: the drawing functions escape what stands in it."""
        return Markup(self.drawing)

    @property
    def address(self) -> str:
        """Address of the numbers as CSV, "" if there are none."""
        return data_uri("text/csv", to_csv(self.columns, self.rows)) if self.rows else ""


@dataclass(frozen=True)
class Section:
    """A section of the report.

    Attributes
    ----------
    anchor, menu, title : str
        Its address within the page, its name in the menu, and its heading.
    sentences : tuple of str
        What there is to know, in words, first.
    figures : tuple of Figure
        Drawings.
    tables : tuple of Table
        Tables.
    notes : tuple of str
        How it was done, in small letters at the end.
    early : bool
        Whether it follows the ranking, before confusion and training.
    """

    anchor: str
    menu: str
    title: str
    sentences: tuple[str, ...] = ()
    figures: tuple[Figure, ...] = ()
    tables: tuple[Table, ...] = ()
    notes: tuple[str, ...] = ()
    early: bool = False


def to_csv(columns: Sequence[str], rows: Sequence[Sequence[Value]]) -> str:
    """Write rows as CSV, None as an empty cell."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([["" if value is None else value for value in row] for row in rows])
    return out.getvalue()


def data_uri(kind: str, content: str) -> str:
    """Give content as an address that needs no server."""
    return f"data:{kind};base64,{b64encode(content.encode('utf8')).decode('ascii')}"
