"""The formats of the tables that ``rgbench predict`` and ``rgbench runs`` write, by the ending of the file."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from astropy.io.votable.exceptions import W03
from astropy.table import Table
from numpy.typing import NDArray

from rgbench.errors import DataError, SpecError
from rgbench.escapes import csv_text, fits_name, for_ascii, visible
from rgbench.images.units import units_of
from rgbench.registry import Registry

VERSION = 1
"""Of the columns that are written; it stands in the metadata of Parquet, the header of FITS and the description of
VOTable. CSV has no place for it."""
Columns = Mapping[str, NDArray[Any]]
"""The columns of a table by name, all of one length."""
TableWriter = Callable[[Path, Columns], None]
"""Writes columns to a path, whose ending is that of the format. No such file is there; it is moved into place later."""

_SKY = {"ra": "pos.eq.ra;meta.main", "dec": "pos.eq.dec;meta.main"}
"""UCDs of the columns that are angles on the sky, in degrees (IVOA, UCD1+)."""
MARK = "RGFORMAT"
"""Keyword in the header of FITS tables that are written here."""


@cache
def tables() -> Registry[TableWriter]:
    """Give the registry of formats: the ending of a file, without its dot, and what writes it.

    Others join it by entry points ``rgbench.tables`` or `rgbench.register`, with a function that takes a path and
    columns (a dictionary of one-dimensional arrays).

    Examples
    --------
    >>> tables().names()[:5]
    ['csv', 'parquet', 'vot', 'xml', 'fits']
    """
    registry = Registry("table", "rgbench.tables", _writer)
    registry.register("csv", _write_csv)
    registry.register("parquet", _write_parquet)
    for ending in ("vot", "xml"):
        registry.register(ending, _write_votable)
    registry.register("fits", _write_fits)
    return registry


def table_writer(path: Path, option: str = "--out") -> TableWriter:
    """Find what writes a table to a path, by its ending; the longest that is known counts.

    Raises
    ------
    SpecError
        If the ending is not known; the message begins with the option that named the path, and lists the endings.

    Examples
    --------
    >>> table_writer(Path("t.parquet")).__name__
    '_write_parquet'
    """
    endings = sorted(tables().names(), key=len, reverse=True)
    found = next((ending for ending in endings if path.name.endswith(f".{ending}")), None)
    if found is None:
        legal = ", ".join(f".{ending}" for ending in tables().names())
        raise SpecError(f"{option} {path}: the ending is none of {legal}")
    return tables().get(found)


def _write_parquet(path: Path, columns: Columns) -> None:
    table = pa.table({key: pa.array(values.tolist()) for key, values in columns.items()})
    pq.write_table(table.replace_schema_metadata({"rgbench": json.dumps({"version": VERSION})}), path)


def _write_csv(path: Path, columns: Columns) -> None:
    rows = zip(*(values.tolist() for values in columns.values()), strict=True)
    path.write_bytes(csv_text([list(columns), *rows]).encode())


def _write_votable(path: Path, columns: Columns) -> None:
    table = {visible(name): _in(values, visible) for name, values in columns.items()}
    with warnings.catch_warnings():
        # A name that is no identifier of XML stays the name; an identifier is made of it.
        warnings.simplefilter("ignore", W03)
        about = {"description": f"Written by rgbench, format version {VERSION}"}
        _with_units(Table(table, meta=about)).write(path, format="votable", overwrite=True)


def _write_fits(path: Path, columns: Columns) -> None:
    table = {fits_name(name): _in(values, for_ascii) for name, values in columns.items()}
    _with_units(Table(table, meta={MARK: VERSION})).write(path, format="fits", overwrite=True)


def _with_units(table: Table) -> Table:
    for name in _SKY.keys() & set(table.colnames):
        table[name].unit, table[name].meta["ucd"] = "deg", _SKY[name]
    return table


def is_own_table(path: Path) -> bool:
    """Tell whether a file is a table that was written here to FITS, by the mark in its header."""
    try:
        with path.open("rb") as file:
            return any(MARK in header for _, header in units_of(file))
    except (OSError, DataError):
        return False


def _in(values: NDArray[Any], written: Callable[[str], str]) -> NDArray[Any]:
    """Write texts as a format holds them; other values stay."""
    if values.dtype.kind != "U":
        return values
    return np.array([written(text) for text in values.tolist()], dtype=str)


def _writer(name: str, item: Any) -> TableWriter:
    """Check what was registered; `SpecError` says what is legal."""
    if not callable(item):
        raise SpecError(
            f"table {name!r} is a {type(item).__name__}; a function of a path and of columns is legal"
        )
    found: TableWriter = item
    return found
