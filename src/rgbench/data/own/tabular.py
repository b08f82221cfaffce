"""Columns of a table file, whatever its format: native, decoded, masked cells as NaN or empty text."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import pyarrow
import pyarrow.parquet
from astropy import units
from astropy.coordinates import SkyCoord
from astropy.io import fits, votable
from astropy.io.votable.tree import FieldRef
from astropy.table import Table
from numpy.typing import NDArray

from rgbench.data.own.frames import Frame, frame_of_head, frame_of_keys
from rgbench.errors import DataError, check_regular, one_line, raise_stop
from rgbench.escapes import from_csv
from rgbench.images.limits import unpacked
from rgbench.images.units import units_of

_IN_BRACKETS = re.compile(r"^(.*?\S)\s*[\[(]([^\])]*)[\])]$")
_DELIMITERS = ",\t;|"
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_EXACT_DIGITS = 15
"""Digits of a whole number that a float64 always holds."""


LISTED = 30
"""Columns that a message lists at most."""


@dataclass(frozen=True, eq=False)
class Column:
    """Values of a column and its unit as written, empty if it has none.

    Numbers are in native byte order, a masked one is NaN; text is str, a masked one is empty.

    Attributes
    ----------
    values : ndarray
        One value a row.
    unit : str
        Unit as written.
    frame : Frame, optional
        Frame that the table states for positions; None if it states none.
    written : ndarray of str, optional
        The cells as written, where the values are numbers made of them and may have lost digits.
    """

    values: NDArray[Any]
    unit: str = ""
    frame: Frame | None = None
    written: NDArray[Any] | None = None

    def converted(self, where: str, values: NDArray[np.float64], to: str) -> NDArray[np.float64]:
        """Give values of this column in another unit, "" for none; as they are if the column has none.

        Raises
        ------
        DataError
            Naming `where`, if the unit is unknown or of another kind.
        """
        if not self.unit:
            return values
        try:
            return np.asarray(values * units.Unit(self.unit.strip()).to(to), dtype=np.float64)
        except (ValueError, TypeError, units.UnitConversionError):
            legal = f"one that becomes {to}" if to else "none"
            raise DataError(f"{where} has the unit {self.unit!r}; {legal} is needed") from None


class TableContent(NamedTuple):
    """Columns of a table by name, in order, and what a reader should know of how they were read."""

    columns: dict[str, Column]
    remarks: tuple[str, ...] = ()


def read_table(path: Path | str) -> TableContent:
    """Read the first table of a file, by its ending.

    Parameters
    ----------
    path : path
        .csv, .tsv, .txt, .ecsv, .vot, .votable, .xml, .fits, .fit, .parquet or .pq; .gz after all but the last
        two. A CSV is in UTF-8, or in UTF-16 with its mark; its cells stay text unless all of a column are numbers.

    Returns
    -------
    TableContent
        A remark says that the file holds more tables.

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
        check_regular(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return READERS[ending](path)
    except DataError:
        raise
    # Readers of foreign files raise whatever they meet: each is a file that cannot be read.
    except Exception as error:
        raise_stop(error)
        raise DataError(f"{path}: cannot be read as a table: {one_line(error)}") from error


def _csv(path: Path) -> TableContent:
    raw = gzip.decompress(path.read_bytes()) if path.name.lower().endswith(".gz") else path.read_bytes()
    text = _decoded(path, raw)
    if text.startswith("# %ECSV"):
        return TableContent(_from_astropy(path, Table.read(text, format="ascii.ecsv")))
    lines = [line for line in io.StringIO(text, newline="") if line.strip()]
    while lines and lines[0].startswith("#"):
        lines.pop(0)
    if not lines:
        return TableContent({})
    head, *rows = _cells(path, lines)
    while head and not head[-1]:
        head.pop()
    rows = [row for row in rows if any(row)]
    for number, row in enumerate(rows, start=1):
        while len(row) > len(head) and not row[-1]:
            row.pop()
        if len(row) != len(head):
            raise DataError(
                f"{path}, row {number}: has {len(row)} cells, the head has {len(head)}: {row[:20]}"
            )
    columns: dict[str, Column] = {}
    for name, cells in zip(
        _heads(path, head), zip(*rows, strict=True) if rows else [()] * len(head), strict=True
    ):
        words = list(cells)
        columns[name.text] = Column(typed(words), name.unit, name.frame, np.array(words, dtype=str))
    return TableContent(columns)


def _decoded(path: Path, raw: bytes) -> str:
    """Give the text of a file; `DataError` names the line that is in no encoding known here, or no text."""
    try:
        text = raw.decode("utf-16" if raw.startswith(_UTF16) else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise DataError(
            f"{path}: cannot be read as a table: line {line} holds the byte 0x{raw[error.start]:02x}, which is no "
            "UTF-8; save the table in UTF-8"
        ) from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise DataError(
            f"{path}: cannot be read as a table: line {line} holds a NUL byte; text, or UTF-16 with its mark, is needed"
        )
    return text


def _cells(path: Path, lines: list[str]) -> list[list[str]]:
    delimiter = max(_DELIMITERS, key=lines[0].count)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    try:
        return [[from_csv(cell.strip()) for cell in row] for row in reader]
    except csv.Error as error:
        raise DataError(f"{path}: cannot be read as a table: line {reader.line_num}: {error}") from error


class _Head(NamedTuple):
    """Name of a column, and the unit and frame that stand in brackets after it."""

    text: str
    unit: str = ""
    frame: Frame | None = None


def _heads(path: Path, head: list[str]) -> list[_Head]:
    """Part names from units and frames; where two names would then be one, they stay whole."""
    parted = [_head(name) for name in head]
    counts: dict[str, int] = {}
    for each in parted:
        counts[each.text] = counts.get(each.text, 0) + 1
    found = [
        each._replace(text=name) if counts[each.text] > 1 else each
        for name, each in zip(head, parted, strict=True)
    ]
    _check_heads(path, [each.text for each in found])
    return found


def _head(name: str) -> _Head:
    found = _Head(name)
    while match := _IN_BRACKETS.match(found.text):
        frame = frame_of_head(match[2])
        if frame is not None and found.frame is None:
            found = found._replace(text=match[1], frame=frame)
        elif frame is None and not found.unit:
            found = found._replace(text=match[1], unit=match[2])
        else:
            break
    return found


def _check_heads(path: Path, names: list[str]) -> None:
    """Raise `DataError` if a column has no name, or that of another one."""
    seen: set[str] = set()
    for number, name in enumerate(names, start=1):
        if not name or name in seen:
            raise DataError(f"{path}: column {number} of the head, {name!r}, is empty or stands there twice")
        seen.add(name)


def typed(words: list[str]) -> NDArray[Any]:
    """Give text as whole numbers or numbers if all of it is; a name as 007 stays text.

    So do whole numbers of more than 15 digits where they would become floats, which would change them.

    Examples
    --------
    >>> typed(["1", "20"]).dtype.kind, typed(["1.5", ""]).dtype.kind, typed(["007"]).dtype.kind
    ('i', 'f', 'U')
    >>> typed(["1237648720693755918", ""]).tolist()
    ['1237648720693755918', '']
    """
    if all(re.fullmatch(r"-?(?:0|[1-9]\d{0,17})", word) for word in words):
        return np.array([int(word) for word in words], dtype=np.int64)
    if any(word.lstrip("+-").isdigit() and len(word.lstrip("+-")) > _EXACT_DIGITS for word in words):
        return np.array(words, dtype=str)
    number = r"[+-]?(?:\d+\.\d*|\.\d+|(?:0|[1-9]\d*))(?:[eE][+-]?\d+)?|nan|NaN|"
    if any(words) and all(re.fullmatch(number, word) for word in words):
        return np.array([float(word or "nan") for word in words], dtype=np.float64)
    return np.array(words, dtype=str)


def _ecsv(path: Path) -> TableContent:
    return TableContent(_from_astropy(path, Table.read(path, format="ascii.ecsv")))


def _fits(path: Path) -> TableContent:
    # astropy leaves a file open that it cannot make out, and believes all that its headers promise.
    with unpacked(path) or path.open("rb") as file, _checked(path, file) as units_:
        kinds = (fits.BinTableHDU, fits.TableHDU)
        tables = [u for u in units_ if isinstance(u, kinds) and not isinstance(u, fits.CompImageHDU)]
        if not tables:
            raise DataError(f"{path}: cannot be read as a table: holds no table")
        _check_heads(path, tables[0].columns.names)
        columns = _from_astropy(path, Table.read(tables[0], format="fits"))
        return TableContent(columns, _more_tables(path, [u.name for u in tables]))


def _checked(path: Path, file: IO[bytes]) -> Any:
    try:
        for _ in units_of(file):
            pass
    except DataError as error:
        raise DataError(f"{path}: cannot be read as a table: {error}") from None
    file.seek(0)
    return fits.open(file, memmap=False)


def _votable(path: Path) -> TableContent:
    content = votable.parse(path)
    tables = list(content.iter_tables())
    if not tables:
        raise DataError(f"{path}: cannot be read as a table: holds no table")
    first = tables[0]
    columns = _from_astropy(path, first.to_table(use_names_over_ids=True))
    frames = _coosys(content, first)
    framed = {
        name: Column(column.values, column.unit, frame, column.written)
        for (name, column), frame in zip(columns.items(), frames, strict=True)
    }
    return TableContent(framed, _more_tables(path, [t.name or t.ID or "" for t in tables]))


def _more_tables(path: Path, names: list[str]) -> tuple[str, ...]:
    if len(names) == 1:
        return ()
    return (f"{path}: holds {len(names)} tables; the first{f', {names[0]},' if names[0] else ''} is read",)


def _coosys(content: Any, table: Any) -> list[Frame | None]:
    """Give the frame of each field: that of the COOSYS it refers to, itself or by its group, else the only one."""
    systems = {
        each.ID: Frame(each.system or "", each.equinox or "", "COOSYS") for each in content.iter_coosys()
    }
    grouped = {
        id(entry.get_ref()): group.ref
        for group in table.iter_groups()
        for entry in group.entries
        if isinstance(entry, FieldRef)
    }
    refs = [field.ref if field.ref in systems else grouped.get(id(field)) for field in table.fields]
    rest = dict.fromkeys(str(frame) for frame in systems.values())
    other = None
    if len(rest) == 1:
        other = next(iter(systems.values()))
    elif rest and not any(ref in systems for ref in refs):
        other = Frame(" or ".join(rest), "", "COOSYS")
    return [systems.get(ref, other) for ref in refs]


def _from_astropy(path: Path, table: Any) -> dict[str, Column]:
    columns: dict[str, Column] = {}
    keys = {str(key).upper(): str(value).strip() for key, value in table.meta.items()}
    frame = frame_of_keys(keys.get("RADESYS", "") or keys.get("RADECSYS", ""), keys.get("EQUINOX", ""))
    for name in table.colnames:
        column = table[name]
        if isinstance(column, SkyCoord):
            for axis, angle in (("ra", column.icrs.ra), ("dec", column.icrs.dec)):
                own = axis if axis not in table.colnames else f"{name}.{axis}"
                if own in columns:
                    raise DataError(f"{path}: has two columns of positions; keep one of them")
                columns[own] = Column(np.asarray(angle.deg), "deg")
            continue
        unit = str(getattr(column, "unit", None) or "")
        mask = np.asarray(getattr(column, "mask", False)) & np.ones(len(table), dtype=bool).reshape(
            -1, *[1] * (np.ndim(column) - 1)
        )
        values = column.value if isinstance(column, units.Quantity) else getattr(column, "data", column)
        data = np.ma.getdata(values)
        columns[name] = Column(_native(data, mask), unit, frame, _written(data, mask))
    return columns


def _written(values: Any, mask: NDArray[np.bool_]) -> NDArray[Any] | None:
    """Give whole numbers as text where some are masked: floats, which NaN needs, would change the others."""
    values = np.asarray(values)
    if values.dtype.kind not in "iu" or values.ndim != 1 or not mask.any():
        return None
    return np.array(["" if hidden else str(v) for v, hidden in zip(values.tolist(), mask, strict=True)])


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
        else value.decode("utf-8", "backslashreplace")
        if isinstance(value, bytes)
        else str(value)
        for value, hidden in zip(
            values.tolist(), np.atleast_1d(mask.reshape(len(values), -1).all(axis=1)), strict=True
        )
    ]
    return np.array([word.strip() for word in words], dtype=str)


def _parquet(path: Path) -> TableContent:
    with pyarrow.parquet.ParquetFile(path) as file:
        _check_heads(path, file.schema_arrow.names)
        table = file.read()
    if table.num_rows == 0:
        return TableContent({})
    if b"table_meta_yaml" in (table.schema.metadata or {}):
        # Masks, units, frames and positions are columns and words of astropy's own there.
        return TableContent(_from_astropy(path, Table.read(path, format="parquet")))
    return TableContent(arrow_columns(table))


def arrow_columns(table: pyarrow.Table) -> dict[str, Column]:
    """Give the columns of an Arrow table; the unit of each is that in the metadata of its field.

    Examples
    --------
    >>> arrow_columns(pyarrow.table({"ra": [1.5, None]}))["ra"].values.tolist()
    [1.5, nan]
    """
    columns: dict[str, Column] = {}
    for entry, chunks in zip(table.schema, table.columns, strict=True):
        if entry.name.startswith("__index_level_"):
            continue
        if pyarrow.types.is_dictionary(entry.type):
            entry, chunks = entry.with_type(entry.type.value_type), chunks.cast(entry.type.value_type)
        unit = (entry.metadata or {}).get(b"unit", b"").decode()
        mask, written = np.asarray(chunks.is_null().to_numpy(), dtype=bool), None
        numeric = pyarrow.types.is_integer(entry.type) or pyarrow.types.is_floating(entry.type)
        values = chunks.to_numpy() if numeric else np.fromiter(chunks.to_pylist(), object)
        if pyarrow.types.is_integer(entry.type) and mask.any():
            written = np.array(["" if value is None else str(value) for value in chunks.to_pylist()])
        columns[entry.name] = Column(_native(values, mask), unit, None, written)
    return columns


def listed_names(names: list[str]) -> str:
    """Join the names of columns, of very many the first."""
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more


READERS: dict[str, Callable[[Path], TableContent]] = {
    ".ecsv": _ecsv,
    ".csv": _csv,
    ".tsv": _csv,
    ".txt": _csv,
    ".votable": _votable,
    ".vot": _votable,
    ".xml": _votable,
    ".fits": _fits,
    ".fit": _fits,
    ".parquet": _parquet,
    ".pq": _parquet,
}
"""Readers by ending."""
