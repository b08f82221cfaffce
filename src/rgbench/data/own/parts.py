"""Tables that are read a part at a time: the same columns as `read_table` gives, without all rows in memory.

CSV and binary tables of FITS are gone through once to learn what holds of all rows: how many there are, which columns
are numbers, whether a number is missing. What cannot be read so is read as a whole.
"""

from __future__ import annotations

import gzip
import io
import warnings
from codecs import BOM_UTF8
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any, Protocol, cast

import numpy as np
import pyarrow as pa
from astropy.io import fits
from astropy.table import Table
from numpy.typing import NDArray

from rgbench.data.own.comma import (
    ECSV,
    UTF16,
    Head,
    Kind,
    cells_of,
    check_row,
    check_text,
    decoded,
    head_of,
    heads,
    is_count,
)
from rgbench.data.own.tabular import Column, columns_of, fits_remarks, fits_units, read_table, tables_of
from rgbench.errors import DataError, check_regular, raise_stop

_BLOCK = 1 << 22
"""Bytes of a text that are read together."""
_MOST_BYTES = 1 << 26
"""Bytes of rows of a FITS table that are read together, unless one row is longer."""
_MOST_CELLS = 400_000
"""Cells of a text that are taken together, unless one row has more."""
_FITS_BLOCK = 2880
_SCANNED = 50_000
"""Rows that are looked at together where all are gone through."""


class Parts(Protocol):
    """A table that gives its rows a part at a time.

    Attributes
    ----------
    names : sequence of str
        Its columns, in order.
    rows : int
        How many there are.
    types : mapping of str to pyarrow.DataType
        What each column is in Arrow.
    remarks : tuple of str
        What a reader should know of how it was read.
    """

    names: Sequence[str]
    rows: int
    types: Mapping[str, pa.DataType]
    remarks: tuple[str, ...]

    def parts(self, rows: int, names: Sequence[str] | None = None) -> Iterator[dict[str, Column]]:
        """Give the rows in order, so many at a time or fewer; of the columns those that are asked for."""


def open_table(path: Path) -> Parts:
    r"""Open the first table of a file, by its ending, so that it is read a part at a time where that can be.

    Raises
    ------
    DataError
        As `rgbench.data.own.tabular.read_table` raises it.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     table = Path(folder) / "mine.csv"
    ...     _ = table.write_text("name,ra (deg)\na,1.5\nb,\nc,2\n")
    ...     found = open_table(table)
    ...     [part["ra"].values.tolist() for part in found.parts(2)]
    [[1.5, nan], [2.0]]
    """
    plain = path.name.lower()
    text = plain.removesuffix(".gz").endswith((".csv", ".tsv", ".txt"))
    try:
        check_regular(path)
        if text and _is_plain_text(path):
            return TextParts(path)
        if plain.endswith((".fits", ".fit")):
            return FitsParts(path)
    except DataError:
        if text:
            raise
    # What is met with errors of any kind is left to the other reader, which tells what is wrong.
    except Exception as error:
        raise_stop(error)
    return WholeTable(path)


class WholeTable:
    """A table that is read as a whole; attributes are those of `Parts`."""

    def __init__(self, path: Path) -> None:
        columns, self.remarks = read_table(path)
        self._columns = columns
        self.names: Sequence[str] = list(columns)
        self.rows = len(next(iter(columns.values())).values) if columns else 0
        self.types: Mapping[str, pa.DataType] = {
            name: _arrow_type(column.values, column.written, f"{path}: column {name}")
            for name, column in columns.items()
        }

    def parts(self, rows: int, names: Sequence[str] | None = None) -> Iterator[dict[str, Column]]:
        """Give the rows in order, so many at a time; of the columns those that are asked for."""
        for start in range(0, self.rows, rows):
            own = slice(start, start + rows)
            yield {name: cut(self._columns[name], own) for name in (self.names if names is None else names)}


class TextParts:
    """A table of text, in UTF-8; attributes are those of `Parts`.

    Raises
    ------
    DataError
        If it is no table; of several faults that which `read_table` tells.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.remarks: tuple[str, ...] = ()
        self.rows, self._heads, kinds = self._scan()
        self.names: Sequence[str] = [head.text for head in self._heads]
        self._kinds = kinds
        self.types: Mapping[str, pa.DataType] = {
            name: _type_of_kind(kind) for name, kind in zip(self.names, kinds, strict=True)
        }

    def parts(self, rows: int, names: Sequence[str] | None = None) -> Iterator[dict[str, Column]]:
        """Give the rows in order, so many at a time or fewer; of the columns those that are asked for."""
        rows = min(rows, max(1, _MOST_CELLS // max(1, len(self.names))))
        asked = {name: self.names.index(name) for name in (self.names if names is None else names)}
        for part in _grouped(self._rows(), rows):
            columns = list(zip(*part, strict=True))
            yield {name: self._column(at, columns[at]) for name, at in asked.items()}

    def _column(self, at: int, words: Sequence[str]) -> Column:
        head, kind = self._heads[at], self._kinds[at]
        values = kind.values(words)
        written = values if kind.letter == "U" else np.array(words, dtype=str)
        return Column(values, head.unit, head.frame, written)

    def _scan(self) -> tuple[int, list[Head], list[Kind]]:
        """Go through all rows: give their number, and the heads and kinds of the columns."""
        faults = _Faults()
        texts = _texts(self._path, faults)
        head: list[str] = []
        kinds: list[Kind] = []
        number = 0
        try:
            cells = cells_of(self._path, _lines(texts))
            head = head_of(next(cells, []))
            kinds = [Kind() for _ in head]
            for part in _grouped(filter(any, cells), min(_SCANNED, _MOST_CELLS // max(1, len(head)) + 1)):
                if faults.row is None:
                    faults.row = _check_rows(self._path, number, part, len(head))
                if faults.row is None:
                    for kind, words in zip(kinds, zip(*part, strict=True), strict=True):
                        kind.add(words)
                number += len(part)
        except DataError as error:
            faults.cells = error
        for _ in texts:  # what is no text counts most, wherever it stands
            pass
        faults.tell()
        return number, heads(self._path, head), kinds

    def _rows(self) -> Iterator[list[str]]:
        """Give the cells of the rows, which were gone through before."""
        cells = cells_of(self._path, _lines(_texts(self._path, _Faults())))
        width = len(head_of(next(cells, [])))
        for number, row in enumerate(filter(any, cells), start=1):
            check_row(self._path, number, row, width)
            yield row


@dataclass
class _Faults:
    """What is wrong with a table of text: what is told first, stands first."""

    encoding: DataError | None = None
    nul: DataError | None = None
    cells: DataError | None = None
    row: DataError | None = None

    def tell(self) -> None:
        for fault in (self.encoding, self.nul, self.cells, self.row):
            if fault is not None:
                raise fault


def _check_rows(path: Path, before: int, rows: Sequence[list[str]], width: int) -> DataError | None:
    """Take empty cells off the ends of rows, of which some stand before; give the fault of the first that is wrong."""
    try:
        for number, row in enumerate(rows, start=before + 1):
            check_row(path, number, row, width)
    except DataError as error:
        return error
    return None


def _opened(path: Path) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(path)) if path.name.lower().endswith(".gz") else path.open("rb")


def _is_plain_text(path: Path) -> bool:
    """Tell whether a file is in UTF-8, and no table of astropy."""
    with _opened(path) as file:
        start = file.read(16)
    return not start.startswith(UTF16) and not start.removeprefix(BOM_UTF8).startswith(ECSV.encode())


def _texts(path: Path, faults: _Faults) -> Iterator[str]:
    """Give the text of a file a block of lines at a time, up to the first that holds a NUL or is no text."""
    before = 0
    with _opened(path) as file:
        for raw in _blocks(file):
            try:
                text = decoded(path, raw, before)
            except DataError as error:
                faults.encoding = error
                return
            if faults.nul is None:
                faults.nul = _nul(path, text, before)
            if faults.nul is None:
                yield text
            before += raw.count(b"\n")


def _nul(path: Path, text: str, before: int) -> DataError | None:
    try:
        check_text(path, text, before)
    except DataError as error:
        return error
    return None


def _blocks(file: IO[bytes]) -> Iterator[bytes]:
    """Give the bytes of a file in blocks that end with a line."""
    waiting = [b""]
    while read := file.read(_BLOCK):
        end = read.rfind(b"\n") + 1
        if end:
            yield b"".join((*waiting, read[:end]))
            waiting = []
        waiting.append(read[end:])
    if last := b"".join(waiting):
        yield last


def _lines(texts: Iterator[str]) -> Iterator[str]:
    for text in texts:
        yield from io.StringIO(text, newline="")


def _grouped(rows: Iterator[list[str]], number: int) -> Iterator[list[list[str]]]:
    while part := list(islice(rows, number)):
        yield part


class FitsParts:
    """A binary table of FITS; attributes are those of `Parts`.

    A part becomes a FITS file of its own in memory, which astropy reads as it reads the whole.

    Raises
    ------
    DataError
        If the file is damaged or holds no table, or the table is one that only makes sense as a whole.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with _quiet(), path.open("rb") as file, fits_units(path, file) as units_:
            tables = tables_of(path, units_)
            first = tables[0]
            self._header = first.header.copy()
            if type(first) is not fits.BinTableHDU or not _by_rows(first, self._header):
                raise DataError(f"{path}: its table is read as a whole")
            self._begin = int(first.fileinfo()["datLoc"])
            self.remarks = fits_remarks(path, tables)
        self._width, self.rows = int(self._header["NAXIS1"]), int(self._header["NAXIS2"])
        first_rows = next(self._tables(1))
        self.names: Sequence[str] = list(first_rows.colnames)
        if list(columns_of(path, first_rows)) != self.names:
            raise DataError(f"{path}: its table is read as a whole")
        self._values, self._written = self._scan(first_rows)
        self.types: Mapping[str, pa.DataType] = {
            name: _arrow_type(
                values, np.array([""]) if name in self._written else None, f"{path}: column {name}"
            )
            for name, values in self._values.items()
        }

    def parts(self, rows: int, names: Sequence[str] | None = None) -> Iterator[dict[str, Column]]:
        """Give the rows in order, so many at a time or fewer; of the columns those that are asked for."""
        names = list(self.names if names is None else names)
        for table in self._tables(rows):
            yield {name: self._as_whole(name, column) for name, column in self._columns(table, names).items()}

    def _as_whole(self, name: str, column: Column) -> Column:
        """Give a column of a part as it is in the whole table, where a number may be missing elsewhere."""
        values, written = column.values, column.written
        if name in self._written and written is None:
            written = np.array([str(value) for value in values.tolist()])
        if values.dtype.kind != "U":
            values = values.astype(self._values[name].dtype, copy=False)
        return Column(values, column.unit, column.frame, written)

    def _scan(self, first_rows: Any) -> tuple[dict[str, NDArray[Any]], set[str]]:
        """Give values of each column that have the type of all rows, and the columns of which one number is missing."""
        found = {name: column.values for name, column in columns_of(self._path, first_rows).items()}
        written: set[str] = set()
        # Texts stay texts, and float64 stays float64; of all others some may be masked.
        kinds = {name: first_rows[name].dtype.base for name in self.names}
        narrow = [name for name, kind in kinds.items() if kind.kind not in "SU" and kind.str[1:] != "f8"]
        for table in self._tables(_SCANNED) if narrow else ():
            for name, column in self._columns(table, narrow).items():
                if column.values.dtype != found[name].dtype:
                    found[name] = found[name].astype(np.float64)
                if column.written is not None:
                    written.add(name)
        return found, written

    def _columns(self, table: Any, names: list[str]) -> dict[str, Column]:
        with _quiet():
            return columns_of(self._path, table[names]) if names else {}

    def _tables(self, rows: int) -> Iterator[Any]:
        """Give the rows as tables of astropy."""
        rows = min(rows, max(1, _MOST_BYTES // max(1, self._width)))
        head = fits.PrimaryHDU().header.tostring().encode("ascii")
        with self._path.open("rb") as file:
            for start in range(0, self.rows, rows):
                number = min(rows, self.rows - start)
                self._header["NAXIS2"] = number
                file.seek(self._begin + start * self._width)
                data = file.read(number * self._width)
                raw = head + self._header.tostring().encode("ascii") + data + bytes(-len(data) % _FITS_BLOCK)
                with _quiet(), fits.open(io.BytesIO(raw), memmap=False) as units_:
                    table = Table.read(units_[1], format="fits")
                yield table


def _by_rows(table: Any, header: Any) -> bool:
    """Tell whether each row of a table makes sense without the others."""
    formats = [str(column.format) for column in table.columns]
    varying = any(letter in each for each in formats for letter in "PQ")
    serialised = any("ASTROPY SERIALIZED" in str(line).upper() for line in header.get("COMMENT", ()))
    return not varying and not serialised and int(header["NAXIS2"]) > 0 and int(header["NAXIS1"]) > 0


@contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def cut(column: Column, part: slice) -> Column:
    """Give some rows of a column."""
    written = None if column.written is None else column.written[part]
    return Column(column.values[part], column.unit, column.frame, written)


def as_arrow(column: Column, kind: pa.DataType) -> pa.Array:
    """Give the cells of a column in Arrow; whole numbers of which some are missing stay whole."""
    if column.written is not None and column.values.dtype.kind == "f" and pa.types.is_integer(kind):
        return pa.array([int(word) if word else None for word in column.written.tolist()], kind)
    return pa.array(column.values.tolist(), kind)


def _arrow_type(values: NDArray[Any], written: NDArray[Any] | None, named: str) -> pa.DataType:
    """Give the type of a column in Arrow; `DataError` if it has none."""
    if values.dtype.kind == "c":
        raise DataError(f"{named} holds complex numbers, which Parquet does not know; leave it out")
    kind = pa.string() if values.dtype.kind not in "biuf" else pa.from_numpy_dtype(values.dtype)
    if written is not None and values.dtype.kind == "f" and all(map(is_count, written.tolist())):
        kind = pa.int64()
    for _ in range(values.ndim - 1):
        kind = pa.list_(kind)
    return kind


def _type_of_kind(kind: Kind) -> pa.DataType:
    if kind.letter == "U":
        return pa.string()
    return pa.int64() if kind.letter == "i" or kind.counts else pa.float64()
