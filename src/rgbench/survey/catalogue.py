"""The catalogue of a survey: where its sources are, and its rows, a part at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from astropy import units
from numpy.typing import NDArray

from rgbench.data.own.parts import as_arrow, cut, open_table
from rgbench.data.own.positions import read_positions
from rgbench.data.own.sources import SourceColumns, find_columns
from rgbench.data.own.tabular import Column, arrow_columns, listed_names
from rgbench.errors import DataError, SpecError
from rgbench.toml import read_toml

BATCH = 50_000
"""Rows that are looked at together."""
READ_AHEAD = 1 << 20
"""Bytes of each column of a Parquet file that are read together; without it what was read stays in memory."""
_KEYS = ("name", "position", "ra", "dec", "size")
"""What columns of a catalogue can be mapped to."""


@dataclass(frozen=True)
class Profile:
    """Columns of a kind of catalogue.

    Attributes
    ----------
    title : str
        Which survey or source finder writes it.
    name, position, ra, dec, size : str
        Its columns; "" where there is none. `position` is one column of RA and Dec.
    size_unit : str
        Unit of sizes where the table tells none; "" if it is not known.
    """

    title: str = ""
    name: str = ""
    position: str = ""
    ra: str = ""
    dec: str = ""
    size: str = ""
    size_unit: str = ""

    @property
    def placed(self) -> list[str]:
        """The columns of positions: one, or RA and Dec."""
        return [self.position] if self.position else [self.ra, self.dec]


@dataclass(frozen=True, eq=False)
class Positions:
    """Where the sources of a catalogue are; row i is its row i.

    Attributes
    ----------
    ra, dec : ndarray of float64, shape (n,)
        Degrees, ICRS; NaN where the row tells none.
    size : ndarray of float32, shape (n,)
        Full width at half maximum along the major axis, arcsec; NaN where it is not known.
    faults : dict of int to str
        Rows whose position cannot be read, and why.
    """

    ra: NDArray[np.float64]
    dec: NDArray[np.float64]
    size: NDArray[np.float32]
    faults: Mapping[int, str]


class SurveyCatalogue:
    r"""A catalogue of sources: CSV, ECSV, VOTable, FITS table or Parquet, by its ending.

    Parquet, CSV and FITS are read a part at a time, the others as a whole.

    Parameters
    ----------
    path : path
        The table.
    columns : mapping of str to str
        Columns that are not to be found: keys are name, position, ra, dec, size; "" says that there is none.

    Raises
    ------
    DataError
        If it cannot be read, or holds no row.
    SpecError
        If a mapped column is not there, or there are no positions.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     table = Path(folder) / "mine.csv"
    ...     _ = table.write_text("RA,DEC,FINT,FPEAK\n187.7,12.4,3.0,2.0\n")
    ...     catalogue = SurveyCatalogue(table)
    ...     catalogue.profile.title, len(catalogue), catalogue.positions().ra.tolist()
    ('FIRST', 1, [187.7])
    """

    def __init__(self, path: Path | str, columns: Mapping[str, str] | None = None) -> None:
        self.path = Path(path)
        self.remarks: tuple[str, ...] = ()
        for key in columns or {}:
            if key not in _KEYS:
                raise SpecError(f"--column: unknown key {key!r}; legal are {', '.join(_KEYS)}")
        self._file = _open_parquet(self.path)
        if self._file is None:
            self._table = open_table(self.path)
            self.remarks = self._table.remarks
            self.names = list(self._table.names)
        else:
            self.names = [
                name for name in self._file.schema_arrow.names if not name.startswith("__index_level_")
            ]
        if not len(self):
            raise DataError(f"{self.path}: holds no source; a head of column names and rows are needed")
        self.profile = find_profile(self.path, self.names, columns or {})

    def __len__(self) -> int:
        if self._file is not None:
            return int(self._file.metadata.num_rows)
        return self._table.rows

    @cached_property
    def schema(self) -> pa.Schema:
        """The columns of the rows that `batches` gives."""
        return next(iter(self.batches(1))).schema

    @property
    def size_fault(self) -> str:
        """Why the sizes of sources cannot be told from the catalogue; "" if they can."""
        name = self.profile.size
        if not name:
            return f"{self.path}: no column is known to be the size of the sources; say which it is: --column size=NAME"
        field = self.schema.field(name)
        if not (pa.types.is_floating(field.type) or pa.types.is_integer(field.type)):
            return f"{self.path}: {name} is no column of numbers, so that no size can be told"
        unit = (field.metadata or {}).get(b"unit", b"").decode().strip() or self.profile.size_unit
        if not math.isfinite(_arcsec(unit)):
            return (
                f"{self.path}: {name} has {f'the unit {unit!r}' if unit else 'no unit'}; one that becomes arcsec is "
                "needed, as deg"
            )
        return ""

    def batches(self, rows: int = BATCH) -> Iterator[pa.Table]:
        """Give the rows with all their columns, so many at a time, in order."""
        if self._file is not None:
            for batch in self._file.iter_batches(rows, columns=self.names):
                yield pa.Table.from_batches([batch])
            return
        types = self._table.types
        for part in self._table.parts(rows):
            units_ = {name: {"unit": column.unit} if column.unit else None for name, column in part.items()}
            yield pa.table(
                [as_arrow(column, types[name]) for name, column in part.items()],
                schema=pa.schema([pa.field(name, types[name], metadata=units_[name]) for name in part]),
            )

    def positions(self) -> Positions:
        """Read the positions of all rows; one that cannot be read costs no other."""
        n = len(self)
        ra, dec = np.full(n, np.nan), np.full(n, np.nan)
        size = np.full(n, np.nan, dtype=np.float32)
        faults: dict[int, str] = {}
        start = 0
        for part in self._parts():
            rows = slice(start, start + len(next(iter(part.values())).values))
            ra[rows], dec[rows] = self._placed(part, start, faults)
            size[rows] = self._sizes(part)
            start = rows.stop
        return Positions(ra, dec, size, faults)

    def _parts(self) -> Iterator[dict[str, Column]]:
        needed = [name for name in (*self.profile.placed, self.profile.size) if name]
        if self._file is None:
            yield from self._table.parts(BATCH, list(dict.fromkeys(needed)))
            return
        for batch in self._file.iter_batches(BATCH, columns=needed):
            yield arrow_columns(pa.Table.from_batches([batch]))

    def _placed(
        self, part: dict[str, Column], start: int, faults: dict[int, str]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        n, names = len(next(iter(part.values())).values), self.profile.placed
        try:
            ra, dec, remark = read_positions(self.path, part, names, n)
        except DataError as error:
            if n == 1:
                told = str(error).removeprefix(f"{self.path}").removeprefix(": ")
                faults[start] = told.replace(", row 1: ", ": ", 1).removeprefix(
                    ": "
                )  # it was looked at alone
                return np.full(1, np.nan), np.full(1, np.nan)
            half = n // 2
            parts = (slice(0, half), slice(half, n))
            found = [
                self._placed(
                    {key: cut(column, own) for key, column in part.items()}, start + own.start, faults
                )
                for own in parts
            ]
            return np.concatenate([ra for ra, _ in found]), np.concatenate([dec for _, dec in found])
        if remark and remark not in self.remarks:
            self.remarks = (*self.remarks, remark)
        wrong = ~(np.abs(dec) <= 90) & np.isfinite(dec)
        for row in np.flatnonzero(wrong).tolist():
            faults[start + row] = f"Dec is {dec[row]:g} degrees; -90 to 90 are legal"
        return np.where(wrong, np.nan, ra), np.where(wrong, np.nan, dec)

    def _sizes(self, part: dict[str, Column]) -> NDArray[np.float64]:
        n, name = len(next(iter(part.values())).values), self.profile.size
        if not name or part[name].values.dtype.kind not in "iuf":
            return np.full(n, np.nan)
        unit = part[name].unit.strip() or self.profile.size_unit
        values = np.asarray(part[name].values, dtype=np.float64) * _arcsec(unit)
        return np.where(values > 0, values, np.nan)


@cache
def profiles() -> Mapping[str, Mapping[str, Any]]:
    """Give the catalogues that are known, by name: what is in ``profiles.toml``."""
    return read_toml(resources.files("rgbench.survey") / "profiles.toml")


def find_profile(path: Path, names: Sequence[str], columns: Mapping[str, str]) -> Profile:
    """Find which columns of a catalogue are its name, position and size.

    Raises
    ------
    SpecError
        If a mapped column is not there, or no column is a position.

    Examples
    --------
    >>> find_profile(Path("a.fits"), ["Source_id", "Isl_id", "RA", "DEC", "Maj", "S_Code"], {}).title
    'PyBDSF'
    """
    found = _known(names)
    placed = {"position", "ra", "dec"} & columns.keys()
    if found is None or placed:
        # Any column will do for the name here: rows come back with all that they have.
        others = {"name": names[0], "path": "", "label": "", "redshift": "", "size": ""}
        asked = SourceColumns(**{**others, **columns})
        used = find_columns(path, list(names), asked)
        if not (used.position or used.ra):
            raise SpecError(
                f"{path}: no column is a position; the columns are {listed_names(list(names))}: say which they are, "
                "--column ra=NAME --column dec=NAME"
            )
        other = found or Profile()
        return Profile(
            other.title, columns.get("name", other.name), used.position or "", used.ra or "", used.dec or "",
            columns.get("size", other.size), other.size_unit,
        )  # fmt: skip
    for key in columns.keys() & {"name", "size"}:
        if columns[key] and columns[key] not in names:
            raise SpecError(
                f"{path}: there is no column {columns[key]!r} for {key}; the columns are {listed_names(list(names))}"
            )
    return Profile(
        found.title, columns.get("name", found.name), "", found.ra, found.dec,
        columns.get("size", found.size), found.size_unit,
    )  # fmt: skip


def _known(names: Sequence[str]) -> Profile | None:
    there = {name.casefold() for name in names}

    def first(wanted: Sequence[str]) -> str:
        return next((found for word in wanted if (found := _spelt(word, names))), "")

    for each in profiles().values():
        if all(word.casefold() in there for word in each["needs"]):
            name, size = first(each["name"]), first(each["size"])
            ra, dec = first([each["ra"]]), first([each["dec"]])
            if not (ra and dec):
                continue
            return Profile(each["title"], name, "", ra, dec, size, each["size_unit"])
    return None


def _spelt(word: str, names: Sequence[str]) -> str:
    """Give the name that a word is: spelt alike, or the only one that differs in capitals alone; "" for none."""
    alike = [name for name in names if name.casefold() == word.casefold()]
    return word if word in alike else alike[0] if len(alike) == 1 else ""


def _open_parquet(path: Path) -> pq.ParquetFile | None:
    if not path.name.lower().endswith((".parquet", ".pq")):
        return None
    try:
        file = pq.ParquetFile(path, buffer_size=READ_AHEAD, pre_buffer=False)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path}: cannot be read as a table: {error}") from error
    # Masks, units and positions are columns and words of astropy's own there.
    return None if b"table_meta_yaml" in (file.schema_arrow.metadata or {}) else file


def _arcsec(unit: str) -> float:
    """Give the length of a unit of angles in arcsec; NaN if it is not known, or of another kind."""
    try:
        return float(units.Unit(unit).to("arcsec")) if unit else math.nan
    except (ValueError, units.UnitConversionError):
        return math.nan
