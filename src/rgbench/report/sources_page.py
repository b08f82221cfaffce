"""A page of sources that a classifier was asked about: their pictures, and what it says of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rgbench.data.surveys.links import sky_link
from rgbench.numbers import NONE, capital, counted, probability
from rgbench.report.blocks import Gallery, Section, Table, Text, Tile
from rgbench.report.cells import Cell, chance, number
from rgbench.report.draw.pictures import picture
from rgbench.report.html import save_page
from rgbench.report.page import Page

_SIZE = 288
_CHANCE = "p_"
_DEGREES = 5
"""Digits behind the point of a position: 0.04 arcsec."""


class Sources(Protocol):
    """What the page shows, as `rgbench.runs.positions.ClassifiedPositions` has it."""

    @property
    def field(self) -> float:
        """Side of the pictures in arcsec."""

    @property
    def survey(self) -> str:
        """Where the pictures come from."""

    @property
    def credits(self) -> tuple[str, ...]:
        """What survey and service ask to be acknowledged with."""

    def table(self) -> dict[str, NDArray[Any]]:
        """Give a row for each source, with the columns of ``rgbench predict``."""

    def image(self, row: int) -> NDArray[np.float32] | None:
        """Give what is shown of a source, row 0 at the south; None for nothing."""


@dataclass(frozen=True)
class SourceRow:
    """What a table says of one source.

    Attributes
    ----------
    name, winner, allowed, flags, remark : str
        Its name and class, the classes that are possible, flags and remark; "" for none.
    chances : tuple of (str, float)
        Probability of each class; NaN where there is no class.
    ra, dec, unlike : float
        Degrees; how unlike the training sources it is.
    """

    name: str
    winner: str
    allowed: str
    flags: str
    remark: str
    chances: tuple[tuple[str, float], ...]
    ra: float
    dec: float
    unlike: float


def source_rows(table: Mapping[str, NDArray[Any]]) -> list[SourceRow]:
    """Give the rows of a table with the columns of ``rgbench predict``.

    Examples
    --------
    >>> columns = dict(source="a", set="FRI", flags="", remark="", ra=1.0, dec=2.0, unlike=0.5, p_FRI=0.9)
    >>> (row,) = source_rows({"class": np.array(["FRI"])} | {k: np.array([v]) for k, v in columns.items()})
    >>> row.winner, row.chances
    ('FRI', (('FRI', 0.9),))
    """
    names = [key for key in table if key.startswith(_CHANCE)]
    columns = {key: values.tolist() for key, values in table.items()}
    return [
        SourceRow(
            name=columns["source"][i],
            winner=columns["class"][i],
            allowed=columns["set"][i],
            flags=columns["flags"][i],
            remark=columns["remark"][i],
            chances=tuple((key.removeprefix(_CHANCE), columns[key][i]) for key in names),
            ra=columns["ra"][i],
            dec=columns["dec"][i],
            unlike=columns["unlike"][i],
        )
        for i in range(len(columns["source"]))
    ]


def write_sources_page(path: Path | str, sources: Sources) -> Path:
    """Write pictures of sources with their classes and probabilities as one self-contained HTML file.

    Parameters
    ----------
    path : path
        The file; it is replaced if it is there.
    sources : ClassifiedPositions
        As from `rgbench.classify_positions`.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    StoreError
        If the file cannot be written.
    """
    return save_page(Path(path), _page(sources))


def _page(sources: Sources) -> Page:
    table = sources.table()
    rows = source_rows(table)
    tiles = tuple(_tile(row, sources.image(i)) for i, row in enumerate(rows))
    words = (
        f"The central {sources.field:.0f} arcsec of each cutout, which the classifier looks at; north is up, east is "
        "left. Brightness is stretched by an inverse hyperbolic sine, from one sigma above the sky to the brightest "
        "pixel. A position leads to a page that shows the sky there."
    )
    gallery = (Gallery(tiles, _SIZE, large=True), Text(words, small=True))
    title = rows[0].name if len(rows) == 1 else counted(len(rows), "source")
    facts = (("images", sources.survey), ("classifier", str(table["classifier"][0])))
    return Page(
        title=title,
        facts=facts,
        answer=_answer(rows),
        problems=(),
        broken=(),
        sections=(
            Section("pictures", "Pictures", "Pictures", blocks=gallery),
            Section("table", "Table", "Table", tables=(_table(rows),), notes=_notes(rows)),
            Section("credits", "Credits", "To be cited with the images", sentences=sources.credits),
        ),
        footer=str(table["classifier"][0]),
    )


def _answer(rows: Sequence[SourceRow]) -> tuple[str, ...]:
    """Say what the sources are, of one with its probability."""
    if len(rows) > 1:
        counts = Counter(row.winner or "without a class" for row in rows)
        return (capital(", ".join(f"{n} {name}" for name, n in counts.most_common())) + ".",)
    (row,) = rows
    if not row.winner:
        return (f"{row.name} has no class: {_why(row)}.",)
    said = f"{row.name} is {row.winner} with probability {probability(dict(row.chances)[row.winner])}."
    return (said, f"Flags: {row.flags.replace('|', ', ')}.") if row.flags else (said,)


def _why(row: SourceRow) -> str:
    """Say why a source has no class."""
    return row.flags.replace("|", ", ") or row.remark


def _tile(row: SourceRow, image: NDArray[Any] | None) -> Tile:
    chances = sorted((each for each in row.chances if np.isfinite(each[1])), key=lambda each: -each[1])
    said = [", ".join(f"{name} {probability(value)}" for name, value in chances)]
    said.append(f"set {row.allowed.replace('|', ', ')}" if row.allowed else "")
    said += [f"flags {row.flags.replace('|', ', ')}" if row.flags else "", row.remark]
    shown = None if image is None else picture(image, _SIZE)
    place = f"{row.ra:.4f} {row.dec:+.4f}".replace("-", "−")
    lines = tuple(line for line in said if line)
    return Tile(row.name, shown, True, row.winner or "no class", lines, place, sky_link(row.ra, row.dec))


def _table(rows: Sequence[SourceRow]) -> Table:
    names = [name for name, _ in rows[0].chances]
    head = ("source", "class", *names, "set", "unlike", "flags", "RA", "Dec", "remark")
    k = len(names)
    texts = frozenset({0, 1, 2 + k, 4 + k, 7 + k})
    return Table("sources", "What the classifier says", head, tuple(map(_cells, rows)), texts, headed=False)


def _cells(row: SourceRow) -> tuple[Cell, ...]:
    return (
        Cell(row.name),
        Cell(row.winner or NONE),
        *(chance(value) for _, value in row.chances),
        Cell(row.allowed.replace("|", ", ") or NONE),
        number(row.unlike),
        Cell(row.flags.replace("|", ", ") or NONE),
        Cell(f"{row.ra:.{_DEGREES}f}", row.ra),
        Cell(f"{row.dec:.{_DEGREES}f}", row.dec),
        Cell(row.remark or NONE),
    )


def _notes(rows: Sequence[SourceRow]) -> tuple[str, ...]:
    """Say what the columns are."""
    told = (
        "Probabilities are calibrated. The set holds the true class for 90 % of the sources of each class. Unlike is "
        "the share of validation sources that look more like the training sources than this one. docs/predict.md "
        "explains the flags."
    )
    trained = any("in-training" in row.flags for row in rows)
    known = "in-training: the classifier was trained or tuned on this source, and its answer is no test."
    return (told, known) if trained else (told,)
