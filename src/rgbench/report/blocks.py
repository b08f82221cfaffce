"""What a section of the report is made of: figures and tables that carry their own data, and blocks of other kinds.

The page, the menu and the files of a report go through the blocks of its sections by their kind, and know no section
by name.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

from markupsafe import Markup

from rgbench.escapes import csv_text, utf8
from rgbench.report.cells import Cell, Value, scaled
from rgbench.report.files.latex import latex_table

SEEN = 12
"""Rows up to which a table in a folded section is seen at once."""


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
    headed : bool
        Whether its title stands above it; not where that of the section says the same.
    hint : str
        What stands beneath, before the downloads.
    """

    kind: ClassVar[str] = "table"

    name: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    words: frozenset[int] = frozenset()
    tags: Mapping[int, str] = field(default_factory=dict)
    meanings: tuple[str, ...] = ()
    folded: bool = field(default=False, kw_only=True)
    headed: bool = field(default=True, kw_only=True)
    hint: str = field(default="", kw_only=True)

    @property
    def downloads(self) -> list[tuple[str, str, str]]:
        """Label, file name and address of each download."""
        return [
            ("CSV, unrounded", f"{self.name}.csv", data_uri("text/csv", self.csv())),
            ("LaTeX", f"{self.name}.tex", data_uri("application/x-tex", self.latex())),
        ]

    def csv(self) -> str:
        """Give the table as CSV, in the units that are shown but not rounded.

        An interval has two columns, as has a value with its spread.

        Examples
        --------
        >>> from rgbench.numbers import PERCENT
        >>> from rgbench.report.cells import span
        >>> row = (Cell("a"), Cell("77.9 ± 1.2", 0.779, spread=0.012, scale=PERCENT), span(0.701, 0.802))
        >>> print(Table("t", "T", ("network", "MPCA %", "interval"), (row,)).csv())
        network,MPCA %,MPCA % spread,interval low,interval high
        a,77.9,1.2,70.1,80.2
        <BLANKLINE>
        """
        laid = [self._values(i) for i in range(len(self.columns))]
        heads = [name for names, _ in laid for name in names]
        rows = [[value for _, cells in laid for value in cells[j]] for j in range(len(self.rows))]
        return csv_text([heads, *rows])

    def latex(self) -> str:
        r"""Give the table as a LaTeX ``tabular`` that needs the package ``booktabs``; cells as shown."""
        return latex_table(self.columns, [[cell.text for cell in row] for row in self.rows], self.words)

    def _values(self, i: int) -> tuple[list[str], list[list[Value]]]:
        """Give the headings and values that a column has in the CSV file."""
        name, cells = self.columns[i], [row[i] for row in self.rows]
        own: list[list[Value]] = [[cell.data] for cell in cells]
        if any(cell.high is not None for cell in cells):
            ends = [scaled(cell.high, cell.scale) for cell in cells]
            return [f"{name} low", f"{name} high"], [
                [*low, high] for low, high in zip(own, ends, strict=True)
            ]
        if any(cell.spread is not None for cell in cells):
            spreads = [scaled(cell.spread, cell.scale) for cell in cells]
            return [name, f"{name} spread"], [[*one, two] for one, two in zip(own, spreads, strict=True)]
        return [name], own


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
        return csv_text([self.columns, *self.rows])


@dataclass(frozen=True)
class Text:
    """A paragraph.

    Attributes
    ----------
    text : str
        What it says.
    small : bool
        Whether it stands in small letters.
    only : {"", "screen", "paper"}
        Where it is shown; everywhere if empty.
    more : str
        A sentence at its end for the screen only.
    download : (str, str, str), optional
        Label, file name and address of a download at its end.
    """

    kind: ClassVar[str] = "text"
    text: str
    small: bool = False
    only: str = ""
    more: str = ""
    download: tuple[str, str, str] | None = None


@dataclass(frozen=True)
class Heading:
    """A heading within a section; `anchor` is its address within the page."""

    kind: ClassVar[str] = "heading"
    text: str
    anchor: str = ""


@dataclass(frozen=True)
class Grid:
    """Figures beside each other, as many as fit; wide ones have more room."""

    kind: ClassVar[str] = "grid"
    figures: tuple[Figure, ...]
    wide: bool = False


@dataclass(frozen=True)
class Listing:
    """A list of sentences."""

    kind: ClassVar[str] = "listing"
    items: tuple[str, ...]
    small: bool = False


@dataclass(frozen=True)
class Terms:
    """Terms with their meanings."""

    kind: ClassVar[str] = "terms"
    items: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Key:
    """What the curves of the figures that follow are: samples of them (SVG) with words."""

    kind: ClassVar[str] = "key"
    items: tuple[tuple[str, str], ...]

    @property
    def swatches(self) -> list[tuple[Markup, str]]:
        """The samples, marked as safe: the drawing functions escape what stands in them."""
        return [(Markup(drawing), words) for drawing, words in self.items]


@dataclass(frozen=True)
class Code:
    """Text that is shown as it is, such as BibTeX."""

    kind: ClassVar[str] = "code"
    text: str


@dataclass(frozen=True)
class Tile:
    """A source in a gallery.

    Attributes
    ----------
    source_id : str
        Its name.
    picture : str or None
        Its image as an address that needs no server; None if there is none.
    right : bool
        Whether the answer given is right.
    verdict, lines : str, tuple of str
        What stands first, in bold, and beneath; "" for no verdict.
    place, link : str
        Its position, and the address of a page that shows the sky there; "" if it is not known.
    """

    source_id: str
    picture: str | None
    right: bool
    verdict: str = ""
    lines: tuple[str, ...] = ()
    place: str = ""
    link: str = ""


@dataclass(frozen=True)
class Gallery:
    """Pictures of sources, each at most so many pixels wide; large ones have the room of two."""

    kind: ClassVar[str] = "gallery"
    tiles: tuple[Tile, ...]
    size: int = 128
    large: bool = False


@dataclass(frozen=True)
class Fold:
    """Blocks of which only the title is seen until a reader opens it; on paper they are seen unless screen-only."""

    kind: ClassVar[str] = "fold"
    title: str
    blocks: tuple[Block, ...]
    opened: bool = False
    only: str = ""


Block = Text | Heading | Grid | Table | Listing | Terms | Key | Code | Gallery | Fold
"""The kinds of blocks that the page can show."""


Place = Literal["open", "front", "fold", "appendix"]
"""Where a section stands: unfolded, beside the answer, or folded under its title; the appendix is not printed."""


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
    blocks : tuple of Block
        What has an order of its own, such as galleries, after the tables.
    notes : tuple of str
        How it was done, in small letters at the end.
    cites : tuple of str
        What it rests on: keys of ``references.bib``, or whole BibTeX entries.
    finding : str
        What it found, in a line: seen under its title while it is folded. Left out, its first sentence.
    place : {"open", "front", "fold", "appendix"}
        Where it stands; the page of a report sets it.
    """

    anchor: str
    menu: str
    title: str
    sentences: tuple[str, ...] = ()
    figures: tuple[Figure, ...] = ()
    tables: tuple[Table, ...] = ()
    notes: tuple[str, ...] = ()
    blocks: tuple[Block, ...] = ()
    cites: tuple[str, ...] = ()
    finding: str = field(default="", kw_only=True)
    place: Place = field(default="open", kw_only=True)

    @property
    def is_folded(self) -> bool:
        """Whether only its title and what it found are seen until a reader opens it."""
        return self.place in ("fold", "appendix")

    @property
    def line(self) -> str:
        """What is seen of it under its title while it is folded."""
        return self.finding or (self.sentences[0] if self.sentences else "")

    @property
    def said(self) -> tuple[str, ...]:
        """Its sentences; of a folded section, what it found is not said again."""
        return tuple(each for each in self.sentences if not (self.is_folded and each == self.line))

    @property
    def drawn(self) -> Grid | None:
        """Its figures beside each other; None if there are none."""
        return Grid(self.figures, wide=True) if self.figures else None

    @property
    def beneath(self) -> tuple[Block, ...]:
        """Everything under sentences and figures."""
        return (*self._tables(), *self.blocks, *self._notes())

    @property
    def content(self) -> tuple[Block, ...]:
        """Everything in it, in the order of the page."""
        return (
            *(Text(sentence) for sentence in self.said),
            *(() if self.drawn is None else (self.drawn,)),
            *self.beneath,
        )

    def _tables(self) -> tuple[Table, ...]:
        """Of a folded section, fold up what is long, and all tables behind the first."""
        if not self.is_folded:
            return self.tables
        return tuple(
            replace(table, folded=table.folded or i > 0 or len(table.rows) > SEEN)
            for i, table in enumerate(self.tables)
        )

    def _notes(self) -> tuple[Block, ...]:
        notes = tuple(Text(note, small=True) for note in self.notes)
        return (Fold("How this was worked out", notes),) if notes and self.is_folded else notes

    @property
    def all_figures(self) -> list[Figure]:
        """Every figure in it, in the order of the page."""
        return [
            figure for block in unfolded(self.content) if isinstance(block, Grid) for figure in block.figures
        ]

    @property
    def all_tables(self) -> list[Table]:
        """Every table in it, in the order of the page."""
        return [block for block in unfolded(self.content) if isinstance(block, Table)]


@dataclass(frozen=True)
class LeftOut:
    """A section that a report does not have, and why.

    Attributes
    ----------
    name : str
        Its name.
    reason : str
        Why it is left out, or which command would bring it; no full stop.
    """

    name: str
    reason: str


def unfolded(blocks: Sequence[Block]) -> Iterator[Block]:
    """Go through blocks and all that is folded up in them."""
    for block in blocks:
        if isinstance(block, Fold):
            yield from unfolded(block.blocks)
        else:
            yield block


def data_uri(kind: str, content: str) -> str:
    """Give content as an address that needs no server."""
    return f"data:{kind};base64,{b64encode(utf8(content).encode()).decode('ascii')}"


def file_name(*parts: str) -> str:
    """Make a file's name of words: small letters, digits and hyphens.

    Examples
    --------
    >>> file_name("confusion", "ConvXpress (0.001, 30 epochs)")
    'confusion-convxpress-0-001-30-epochs'
    """
    plain = "".join(c if c.isascii() and c.isalnum() else " " for c in " ".join(parts).lower())
    return "-".join(plain.split())[:80] or "figure"
