"""Rules of tables that are text: encodings, rows and cells, heads, and which columns are numbers."""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rgbench.data.own.frames import Frame, frame_of_head
from rgbench.errors import DataError
from rgbench.escapes import from_csv

ECSV = "# %ECSV"
"""What a table of astropy begins with, which is none of these."""
UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_IN_BRACKETS = re.compile(r"^(.*?\S)\s*[\[(]([^\])]*)[\])]$")
_DELIMITERS = ",\t;|"
_EXACT_DIGITS = 15
"""Digits of a whole number that a float64 always holds."""
_WHOLE = re.compile(r"-?(?:0|[1-9]\d{0,17})").fullmatch
_NUMBER = re.compile(r"[+-]?(?:\d+\.\d*|\.\d+|(?:0|[1-9]\d*))(?:[eE][+-]?\d+)?|nan|NaN|").fullmatch


def decoded(path: Path, raw: bytes, before: int = 0) -> str:
    """Give the text of a file, or of a part of one that begins with a line.

    Parameters
    ----------
    path : path
        The file, for messages.
    raw : bytes
        What is read; a mark of the encoding may stand at the begin of a file.
    before : int
        Lines before it.

    Raises
    ------
    DataError
        Naming the line that is in no encoding known here.
    """
    encoding = "utf-8" if before else "utf-16" if raw.startswith(UTF16) else "utf-8-sig"
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError as error:
        line = before + raw[: error.start].count(b"\n") + 1
        raise DataError(
            f"{path}: cannot be read as a table: line {line} holds the byte 0x{raw[error.start]:02x}, which is no "
            "UTF-8; save the table in UTF-8"
        ) from error


def check_text(path: Path, text: str, before: int = 0) -> None:
    """Raise `DataError` naming the line that holds a NUL, which is in no text; `before` lines stand before it."""
    if "\0" in text:
        line = before + text.count("\n", 0, text.index("\0")) + 1
        raise DataError(
            f"{path}: cannot be read as a table: line {line} holds a NUL byte; text, or UTF-16 with its mark, is needed"
        )


def cells_of(path: Path, lines: Iterable[str]) -> Iterator[list[str]]:
    """Give the cells of the rows of a text, the head first; empty lines, and remarks before the head, are passed over.

    Raises
    ------
    DataError
        Naming the line that is no row of a table.
    """
    kept = (line for line in lines if line.strip())
    first = next((line for line in kept if not line.startswith("#")), None)
    if first is None:
        return
    delimiter = max(_DELIMITERS, key=first.count)
    reader = csv.reader(chain([first], kept), delimiter=delimiter, strict=True)
    try:
        for row in reader:
            yield [from_csv(cell) if cell[:1] == "'" else cell for cell in map(str.strip, row)]
    except csv.Error as error:
        raise DataError(f"{path}: cannot be read as a table: line {reader.line_num}: {error}") from error


def head_of(cells: list[str]) -> list[str]:
    """Give the cells of a head without the empty ones at its end."""
    while cells and not cells[-1]:
        cells.pop()
    return cells


def check_row(path: Path, number: int, row: list[str], width: int) -> None:
    """Take the empty cells off the end of a row that is longer than the head.

    Raises
    ------
    DataError
        Naming the row, counted from 1 without the head, if it has more or fewer cells than that.
    """
    while len(row) > width and not row[-1]:
        row.pop()
    if len(row) != width:
        raise DataError(f"{path}, row {number}: has {len(row)} cells, the head has {width}: {row[:20]}")


class Head(NamedTuple):
    """Name of a column, and the unit and frame that stand in brackets after it."""

    text: str
    unit: str = ""
    frame: Frame | None = None


def heads(path: Path, head: Sequence[str]) -> list[Head]:
    """Part names from units and frames; where two names would then be one, they stay whole.

    Raises
    ------
    DataError
        If a column has no name, or that of another one.
    """
    parted = [_head(name) for name in head]
    counts: dict[str, int] = {}
    for each in parted:
        counts[each.text] = counts.get(each.text, 0) + 1
    found = [
        each._replace(text=name) if counts[each.text] > 1 else each
        for name, each in zip(head, parted, strict=True)
    ]
    check_heads(path, [each.text for each in found])
    return found


def _head(name: str) -> Head:
    found = Head(name)
    while match := _IN_BRACKETS.match(found.text):
        frame = frame_of_head(match[2])
        if frame is not None and found.frame is None:
            found = found._replace(text=match[1], frame=frame)
        elif frame is None and not found.unit:
            found = found._replace(text=match[1], unit=match[2])
        else:
            break
    return found


def check_heads(path: Path, names: Sequence[str]) -> None:
    """Raise `DataError` if a column has no name, or that of another one."""
    seen: set[str] = set()
    for number, name in enumerate(names, start=1):
        if not name or name in seen:
            raise DataError(f"{path}: column {number} of the head, {name!r}, is empty or stands there twice")
        seen.add(name)


@dataclass
class Kind:
    """What a column of text holds, as far as its cells have been seen; they may be seen a part at a time.

    Attributes
    ----------
    whole : bool
        Whether all are whole numbers of at most 18 digits; a name as 007 is none.
    number : bool
        Whether all are numbers or empty.
    filled : bool
        Whether one is not empty.
    long : bool
        Whether one has more digits than a float64 can hold.
    counts : bool
        Whether all are digits, with bars before them or without, or empty.
    """

    whole: bool = True
    number: bool = True
    filled: bool = False
    long: bool = False
    counts: bool = True

    def add(self, words: Sequence[str]) -> None:
        """See more cells."""
        if not self.number:  # text, whatever follows
            return
        self.filled = self.filled or any(words)
        self.whole = self.whole and all(map(_WHOLE, words))
        self.number = self.whole or all(map(_NUMBER, words))
        self.long = self.long or any(_is_long(word) for word in words if len(word) > _EXACT_DIGITS)
        self.counts = self.counts and (self.whole or all(map(is_count, words)))

    @property
    def letter(self) -> str:
        """The kind of its values in NumPy: i, f or U."""
        if self.whole:
            return "i"
        return "f" if self.number and self.filled and not self.long else "U"

    def values(self, words: Sequence[str]) -> NDArray[Any]:
        """Give cells as values of the kind: whole numbers, numbers with NaN for nothing, or text."""
        if self.letter == "i":
            return np.array([int(word) for word in words], dtype=np.int64)
        if self.letter == "f":
            return np.array([float(word or "nan") for word in words], dtype=np.float64)
        return np.array(words, dtype=str)


def _is_long(word: str) -> bool:
    digits = word.lstrip("+-")
    return digits.isdigit() and len(digits) > _EXACT_DIGITS


def is_count(word: str) -> bool:
    """Tell whether a cell is made of digits, with bars before them or without, or is empty."""
    return not word or word.lstrip("-").isdigit()


def typed(words: Sequence[str]) -> NDArray[Any]:
    """Give text as whole numbers or numbers if all of it is; a name as 007 stays text.

    So do whole numbers of more than 15 digits where they would become floats, which would change them.

    Examples
    --------
    >>> typed(["1", "20"]).dtype.kind, typed(["1.5", ""]).dtype.kind, typed(["007"]).dtype.kind
    ('i', 'f', 'U')
    >>> typed(["1237648720693755918", ""]).tolist()
    ['1237648720693755918', '']
    """
    kind = Kind()
    kind.add(words)
    return kind.values(words)
