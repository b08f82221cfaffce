"""Columns of a table file, whatever its format: native, decoded, masked cells as NaN or empty text."""

from __future__ import annotations

import gzip
import io
import warnings
from collections.abc import Callable, Sequence
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

from rgbench.data.own.comma import (
    ECSV,
    cells_of,
    check_heads,
    check_row,
    check_text,
    decoded,
    head_of,
    heads,
    typed,
)
from rgbench.data.own.frames import Frame, frame_of_keys
from rgbench.errors import DataError, check_regular, one_line, raise_stop
from rgbench.images.limits import unpacked
from rgbench.images.units import units_of

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
    text = decoded(path, raw)
    check_text(path, text)
    if text.startswith(ECSV):
        return TableContent(columns_of(path, Table.read(text, format="ascii.ecsv")))
    all_rows = list(cells_of(path, io.StringIO(text, newline="")))
    if not all_rows:
        return TableContent({})
    head, rows = head_of(all_rows[0]), [row for row in all_rows[1:] if any(row)]
    for number, row in enumerate(rows, start=1):
        check_row(path, number, row, len(head))
    columns: dict[str, Column] = {}
    for name, cells in zip(
        heads(path, head), zip(*rows, strict=True) if rows else [()] * len(head), strict=True
    ):
        words = list(cells)
        columns[name.text] = Column(typed(words), name.unit, name.frame, np.array(words, dtype=str))
    return TableContent(columns)


def _ecsv(path: Path) -> TableContent:
    return TableContent(columns_of(path, Table.read(path, format="ascii.ecsv")))


def _fits(path: Path) -> TableContent:
    # astropy leaves a file open that it cannot make out, and believes all that its headers promise.
    with unpacked(path) or path.open("rb") as file, fits_units(path, file) as units_:
        tables = tables_of(path, units_)
        columns = columns_of(path, Table.read(tables[0], format="fits"))
        return TableContent(columns, fits_remarks(path, tables))


def tables_of(path: Path, units_: Any) -> list[Any]:
    """Give the tables among the units of a FITS file; `DataError` if there is none, or the first has no good head."""
    kinds = (fits.BinTableHDU, fits.TableHDU)
    tables = [u for u in units_ if isinstance(u, kinds) and not isinstance(u, fits.CompImageHDU)]
    if not tables:
        raise DataError(f"{path}: cannot be read as a table: holds no table")
    check_heads(path, tables[0].columns.names)
    return tables


def fits_units(path: Path, file: IO[bytes]) -> Any:
    """Open the units of a FITS file; `DataError` if one of them promises what the file does not hold."""
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
    columns = columns_of(path, first.to_table(use_names_over_ids=True))
    frames = _coosys(content, first)
    framed = {
        name: Column(column.values, column.unit, frame, column.written)
        for (name, column), frame in zip(columns.items(), frames, strict=True)
    }
    return TableContent(framed, more_tables(path, [t.name or t.ID or "" for t in tables]))


def fits_remarks(path: Path, tables: Sequence[Any]) -> tuple[str, ...]:
    """Give what a reader should know of the tables of a FITS file, of which the first is read."""
    return (*more_tables(path, [unit.name for unit in tables]), *_misread(path, tables[0].header))


def _misread(path: Path, header: Any) -> list[str]:
    """Name columns of whole numbers that are scaled, of which astropy takes missing values for numbers."""
    names = [
        header.get(f"TTYPE{n}", str(n))
        for n in range(1, int(header["TFIELDS"]) + 1)
        if f"TNULL{n}" in header and header.get(f"TSCAL{n}", 1) != 1
    ]
    return [
        f"{path}: column {name} has TNULL and TSCAL: its missing values are read as numbers" for name in names
    ]


def more_tables(path: Path, names: list[str]) -> tuple[str, ...]:
    """Give the remark that a file holds more tables than the one that is read, if it does."""
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


def columns_of(path: Path, table: Any) -> dict[str, Column]:
    """Give the columns of a table of astropy; `DataError` if two of them are positions."""
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
            values.tolist(), np.atleast_1d(mask.all(axis=tuple(range(1, mask.ndim)))), strict=True
        )
    ]
    return np.array([word.strip() for word in words], dtype=str)


def _parquet(path: Path) -> TableContent:
    with pyarrow.parquet.ParquetFile(path) as file:
        check_heads(path, file.schema_arrow.names)
        table = file.read()
    if table.num_rows == 0:
        return TableContent({})
    if b"table_meta_yaml" in (table.schema.metadata or {}):
        # Masks, units, frames and positions are columns and words of astropy's own there.
        return TableContent(columns_of(path, Table.read(path, format="parquet")))
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
