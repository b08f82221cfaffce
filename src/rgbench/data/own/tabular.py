"""Columns of a table file, whatever its format: native, decoded, masked cells as NaN or empty text."""

from __future__ import annotations

import csv
import gzip
import io
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
from astropy import units
from astropy.coordinates import SkyCoord
from astropy.table import Table
from numpy.typing import NDArray

from rgbench.errors import DataError, raise_stop

_HEAD_UNIT = re.compile(r"^(.*?\S)\s*[\[(]([^\])]*)[\])]$")
_DELIMITERS = ",\t;|"


@dataclass(frozen=True, eq=False)
class Column:
    """Values of a column and its unit as written, empty if it has none.

    Numbers are in native byte order, a masked one is NaN; text is str, a masked one is empty.
    """

    values: NDArray[Any]
    unit: str = ""

    def converted(self, where: str, values: NDArray[np.float64], to: str) -> NDArray[np.float64]:
        """Give values of this column in another unit; as they are if it has none.

        Raises
        ------
        DataError
            Naming `where`, if the unit is unknown or of another kind.
        """
        if not self.unit or not to:
            return values
        try:
            return np.asarray(values * units.Unit(self.unit.strip()).to(to), dtype=np.float64)
        except (ValueError, TypeError, units.UnitConversionError):
            raise DataError(f"{where} has the unit {self.unit!r}; one that becomes {to} is needed") from None


def read_table(path: Path | str) -> dict[str, Column]:
    """Read the first table of a file, by its ending.

    Parameters
    ----------
    path : path
        .csv, .tsv, .txt, .ecsv, .vot, .votable, .xml, .fits, .fit, .parquet or .pq; .gz after all but the last
        two. Cells of a CSV stay text unless all of a column are numbers.

    Returns
    -------
    dict of str to Column
        Columns by name, in order.

    Raises
    ------
    DataError
        If the ending is unknown or the file cannot be read.
    """
    path = Path(path)
    plain = path.name.lower().removesuffix(".gz")
    ending = next((ending for ending in READERS if plain.endswith(ending)), None)
    if ending is None:
        raise DataError(f"{path}: unknown kind of table; legal endings are {', '.join(READERS)}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return READERS[ending](path)
    except DataError:
        raise
    # Readers of foreign files raise whatever they meet: each is a file that cannot be read.
    except Exception as error:
        raise_stop(error)
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise DataError(f"{path}: cannot be read as a table: {reason}") from error


def _csv(path: Path) -> dict[str, Column]:
    raw = gzip.decompress(path.read_bytes()) if path.name.lower().endswith(".gz") else path.read_bytes()
    text = raw.decode("utf-8-sig")
    if text.startswith("# %ECSV"):
        return _from_astropy(Table.read(text, format="ascii.ecsv"))
    lines = [line for line in io.StringIO(text, newline="") if line.strip()]
    while lines and lines[0].startswith("#"):
        lines.pop(0)
    if not lines:
        return {}
    delimiter = max(_DELIMITERS, key=lines[0].count)
    rows = [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=delimiter, strict=True)]
    head, rows = rows[0], [row for row in rows[1:] if any(row)]
    while head and not head[-1]:
        head.pop()
    for number, row in enumerate(rows, start=1):
        while len(row) > len(head) and not row[-1]:
            row.pop()
        if len(row) != len(head):
            raise DataError(f"{path}, row {number}: has {len(row)} cells, the head has {len(head)}: {row}")
    columns = {}
    for i, name in enumerate(head):
        match = _HEAD_UNIT.match(name)
        name, unit = (match[1], match[2]) if match else (name, "")
        if not name or name in columns:
            raise DataError(f"{path}: column {i + 1} of the head, {name!r}, is empty or stands there twice")
        columns[name] = Column(typed([row[i] for row in rows]), unit)
    return columns


def typed(words: list[str]) -> NDArray[Any]:
    """Give text as whole numbers or numbers if all of it is; a name as 007 stays text.

    Examples
    --------
    >>> typed(["1", "20"]).dtype.kind, typed(["1.5", ""]).dtype.kind, typed(["007"]).dtype.kind
    ('i', 'f', 'U')
    """
    if all(re.fullmatch(r"-?(?:0|[1-9]\d{0,17})", word) for word in words):
        return np.array([int(word) for word in words], dtype=np.int64)
    number = r"[+-]?(?:\d+\.\d*|\.\d+|(?:0|[1-9]\d*))(?:[eE][+-]?\d+)?|nan|NaN|"
    if any(words) and all(re.fullmatch(number, word) for word in words):
        return np.array([float(word or "nan") for word in words], dtype=np.float64)
    return np.array(words, dtype=str)


def _by_astropy(kind: str) -> Callable[[Path], dict[str, Column]]:
    return lambda path: _from_astropy(Table.read(path, format=kind))


def _from_astropy(table: Any) -> dict[str, Column]:
    columns: dict[str, Column] = {}
    for name in table.colnames:
        column = table[name]
        if isinstance(column, SkyCoord):
            columns["ra"], columns["dec"] = (
                Column(column.icrs.ra.deg, "deg"),
                Column(column.icrs.dec.deg, "deg"),
            )
            continue
        unit = str(getattr(column, "unit", None) or "")
        mask = np.asarray(getattr(column, "mask", False)) & np.ones(len(table), dtype=bool).reshape(
            -1, *[1] * (np.ndim(column) - 1)
        )
        values = column.value if isinstance(column, units.Quantity) else getattr(column, "data", column)
        columns[name] = Column(_native(np.ma.getdata(values), mask), unit)
    return columns


def _native(values: Any, mask: NDArray[np.bool_]) -> NDArray[Any]:
    """Give values in native byte order, bytes decoded, masked ones as NaN or empty text."""
    values = np.asarray(values)
    if values.dtype.kind in "biufc":
        native = values.astype(values.dtype.newbyteorder("="))
        if not mask.any():
            return np.asarray(native)
        return np.asarray(np.where(mask, np.nan, native.astype(np.float64)))
    words = [
        ""
        if hidden or value is None
        else value.decode("utf-8", "replace")
        if isinstance(value, bytes)
        else str(value)
        for value, hidden in zip(
            values.tolist(), np.atleast_1d(mask.reshape(len(values), -1).all(axis=1)), strict=True
        )
    ]
    return np.array([word.strip() for word in words], dtype=str)


def _parquet(path: Path) -> dict[str, Column]:
    table = pyarrow.parquet.read_table(path)
    columns = {}
    for entry, chunks in zip(table.schema, table.columns, strict=True):
        if entry.name.startswith("__index_level_"):
            continue
        if pyarrow.types.is_dictionary(entry.type):
            chunks = chunks.cast(entry.type.value_type)
        unit = (entry.metadata or {}).get(b"unit", b"").decode()
        mask = np.asarray(chunks.is_null().to_numpy(), dtype=bool)
        numeric = pyarrow.types.is_integer(entry.type) or pyarrow.types.is_floating(entry.type)
        values = chunks.to_numpy() if numeric else np.array(chunks.to_pylist(), dtype=object)
        columns[entry.name] = Column(_native(values, mask), unit)
    return columns


READERS: dict[str, Callable[[Path], dict[str, Column]]] = {
    ".ecsv": _by_astropy("ascii.ecsv"),
    ".csv": _csv,
    ".tsv": _csv,
    ".txt": _csv,
    ".votable": _by_astropy("votable"),
    ".vot": _by_astropy("votable"),
    ".xml": _by_astropy("votable"),
    ".fits": _by_astropy("fits"),
    ".fit": _by_astropy("fits"),
    ".parquet": _parquet,
    ".pq": _parquet,
}
"""Readers by ending."""
