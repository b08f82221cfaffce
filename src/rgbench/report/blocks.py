"""What a section of the report is made of: figures and tables that carry their own data."""

from __future__ import annotations

import csv
import io
import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from markupsafe import Markup

from rgbench.errors import SpecError
from rgbench.numbers import NONE
from rgbench.report.files.latex import latex_table
from rgbench.store.tables import no_formula

Value = float | int | str | None
_ADDRESSES = ("https://", "http://")
_SHOWN = re.compile(r"([+−-]?\d+(?:\.(\d+))?)(?: %)?(?: ± .*| – ([+−-]?[\d.]+))?")


@dataclass(frozen=True)
class Cell:
    """A cell of a table: what is shown, and the unrounded values that sort and are downloaded.

    Attributes
    ----------
    text : str
        What is shown.
    value : float, int or str, optional
        What sorts and is downloaded; of an interval its lower end. Left out, the text.
    high : float, optional
        Upper end of an interval.
    spread : float, optional
        What stands behind "±".
    link : str
        Address that the text leads to when a reader follows it: http or https only.

    Raises
    ------
    SpecError
        If the address is another one, such as a script.
    """

    text: str
    value: Value = None
    high: float | None = None
    spread: float | None = None
    link: str = ""

    def __post_init__(self) -> None:
        if self.link and not self.link.startswith(_ADDRESSES):
            raise SpecError(f"link: found {self.link!r}; legal are addresses of https and http")

    @property
    def data(self) -> Value:
        """The value, or the text where there is none; None where there is nothing."""
        if self.value is not None:
            return self.value
        return None if self.text in ("", NONE) else self.text


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
    tags : mapping of int to str
        A word beside the name of a row, by its number, which sets the row back.
    meanings : tuple of str
        What each column is, in words; none, or one for each.
    folded : bool
        Whether the page shows its title only until a reader opens it.
    """

    name: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    words: frozenset[int] = frozenset()
    tags: Mapping[int, str] = field(default_factory=dict)
    meanings: tuple[str, ...] = ()
    folded: bool = field(default=False, kw_only=True)

    @property
    def downloads(self) -> list[tuple[str, str, str]]:
        """Label, file name and address of each download."""
        return [
            ("CSV, unrounded", f"{self.name}.csv", data_uri("text/csv", self.csv())),
            ("LaTeX", f"{self.name}.tex", data_uri("application/x-tex", self.latex())),
        ]

    def csv(self) -> str:
        """Give the table as CSV, in the units that are shown but not rounded.

        An interval has two columns, as has a value with its spread; an upper end that a cell only shows is
        taken as shown.

        Examples
        --------
        >>> row = (Cell("a"), Cell("77.9 ± 1.2", 0.779, spread=0.012), Cell("70.1 – 80.2", 0.701, 0.802))
        >>> print(Table("t", "T", ("network", "MPCA %", "interval"), (row,)).csv())
        network,MPCA %,MPCA % spread,interval low,interval high
        a,77.9,1.2,70.1,80.2
        <BLANKLINE>
        """
        laid = [self._values(i) for i in range(len(self.columns))]
        heads = [name for names, _ in laid for name in names]
        rows = [[value for _, cells in laid for value in cells[j]] for j in range(len(self.rows))]
        return to_csv(heads, rows)

    def latex(self) -> str:
        r"""Give the table as a LaTeX ``tabular`` that needs the package ``booktabs``; cells as shown."""
        return latex_table(self.columns, [[cell.text for cell in row] for row in self.rows], self.words)

    def _values(self, i: int) -> tuple[list[str], list[list[Value]]]:
        """Give the headings and values that a column has in the CSV file."""
        name, cells = self.columns[i], [row[i] for row in self.rows]
        scale = _scale(cells)
        ends = [_upper(cell, scale) for cell in cells]
        if any(end is not None for end in ends):
            lows = [_scaled(cell.value, scale) for cell in cells]
            return [f"{name} low", f"{name} high"], [
                [low, high] for low, high in zip(lows, ends, strict=True)
            ]
        own: list[list[Value]] = [[_scaled(cell.data, scale)] for cell in cells]
        if not any(cell.spread is not None for cell in cells):
            return [name], own
        spreads = [_scaled(cell.spread, scale) for cell in cells]
        return [name, f"{name} spread"], [[*one, two] for one, two in zip(own, spreads, strict=True)]


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
        SVG, as from `rgbench.report.draw.figures`.
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
        return data_uri("text/csv", self.csv()) if self.rows else ""

    def csv(self) -> str:
        """Give the numbers as CSV, nothing rounded."""
        return to_csv(self.columns, self.rows)


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
    r"""Write rows as CSV, None as an empty cell.

    Texts are guarded by `rgbench.store.tables.no_formula`.

    Examples
    --------
    >>> to_csv(["source", "p"], [["=cmd()", -0.5], ["-12.5", None]])
    "source,p\n'=cmd(),-0.5\n-12.5,\n"
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    for row in (columns, *rows):
        writer.writerow(
            ["" if value is None else no_formula(value) if isinstance(value, str) else value for value in row]
        )
    return out.getvalue()


def data_uri(kind: str, content: str) -> str:
    """Give content as an address that needs no server."""
    return f"data:{kind};base64,{b64encode(content.encode('utf8')).decode('ascii')}"


def file_name(*parts: str) -> str:
    """Make a file's name of words: small letters, digits and hyphens.

    Examples
    --------
    >>> file_name("confusion", "ConvXpress (0.001, 30 epochs)")
    'confusion-convxpress-0-001-30-epochs'
    """
    plain = "".join(c if c.isascii() and c.isalnum() else " " for c in " ".join(parts).lower())
    return "-".join(plain.split())[:80] or "figure"


def _scale(cells: Sequence[Cell]) -> int:
    """Give 100 if a column shows its fractions in percent or points, else 1."""
    fits = {1: True, 100: True}
    for cell in cells:
        match = _SHOWN.fullmatch(cell.text)
        if match is None or not isinstance(cell.value, (int, float)):
            continue
        shown, half = float(match[1].replace("−", "-")), 0.51 * 10 ** -len(match[2] or "")
        fits = {by: so_far and abs(by * cell.value - shown) <= half for by, so_far in fits.items()}
    return 100 if fits[100] and not fits[1] else 1


def _upper(cell: Cell, scale: int) -> Value:
    """Give the upper end of an interval in the units shown, None if the cell holds none."""
    if cell.high is not None:
        return _scaled(cell.high, scale)
    match = _SHOWN.fullmatch(cell.text)
    if match is None or not match[3] or not isinstance(cell.value, (int, float)):
        return None
    return float(match[3].replace("−", "-"))


def _scaled(value: Value, scale: int) -> Value:
    """Give fractions in percent, without the last digits that only the multiplication makes."""
    if scale == 1 or not isinstance(value, (int, float)):
        return value
    return float(f"{scale * value:.15g}")
