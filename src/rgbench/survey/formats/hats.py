"""The classes of a survey in the HATS layout (IVOA Note HATS 1.0): Parquet files by HEALPix cells, for LSDB."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from rgbench.errors import DataError
from rgbench.store.files import write_bytes
from rgbench.survey.formats.about import KEY
from rgbench.survey.formats.folders import folder_into_place
from rgbench.survey.formats.written import Written
from rgbench.survey.merge import PREFIX

NEEDS = "astropy_healpix"
"""The package that numbers the cells."""
INDEX, ORDER = "_healpix_29", 29
"""The column of the cell of each source, and the order of those cells."""
ROWS = 1_000_000
"""Rows of a file at most, unless they lie closer than the finest cell of a file."""
_FINEST = 7
"""Order of the finest cells of files."""
_RA, _DEC = f"{PREFIX}ra", f"{PREFIX}dec"
_OURS = r"(hats\.)?properties|partition_info\.csv|dataset/(_metadata|_common_metadata|Norder=.*\.parquet)"
_NOWHERE = -1


@dataclass(frozen=True)
class _Cell:
    """A cell of the sky that has a file of its own."""

    order: int
    pixel: int

    @property
    def path(self) -> str:
        """Its file within the folder of the data."""
        return f"Norder={self.order}/Dir={self.pixel // 10_000 * 10_000}/Npix={self.pixel}.parquet"


def write_hats(
    folder: Path,
    written: Written,
    ra: NDArray[np.float64],
    dec: NDArray[np.float64],
    most: int = ROWS,
) -> int:
    """Write all rows that have a position; give how many have none and are left out.

    Parameters
    ----------
    folder : path
        Is replaced if it is there.
    written : Written
        The rows.
    ra, dec : ndarray of float64, shape (n,)
        Positions of all rows, degrees, ICRS; NaN where there is none. They stand in ``rg_ra`` and ``rg_dec``, of rows
        too that were not looked at.
    most : int
        Rows of a file at most.

    Raises
    ------
    DataError
        If no row has a position.
    """
    index = _indices(ra, dec)
    if not (index >= 0).any():
        raise DataError(
            f"{folder}: no row has a position; HATS is a layout by positions: take another format"
        )
    cells = _cells(index, most)
    of_row = _cell_of(index, cells)
    with folder_into_place(folder, _OURS) as half:
        data = half / "dataset"
        _sort_out(data, written, (index, ra, dec), of_row, cells)
        counts = _sorted_files(data, cells)
        _write_facts(half, written, cells, counts)
    return int((index < 0).sum())


def _indices(ra: NDArray[np.float64], dec: NDArray[np.float64]) -> NDArray[np.int64]:
    """Give the cell of each position at order 29, nested; -1 where there is none."""
    healpix, units = import_module(NEEDS), import_module("astropy.units")
    known = np.isfinite(ra) & np.isfinite(dec)
    found = np.full(len(ra), _NOWHERE, dtype=np.int64)
    found[known] = healpix.lonlat_to_healpix(
        ra[known] * units.deg, dec[known] * units.deg, 1 << ORDER, order="nested"
    )
    return found


def _cells(index: NDArray[np.int64], most: int) -> list[_Cell]:
    """Cut the sky into the largest cells that hold no more rows than that."""
    fine = np.bincount(index[index >= 0] >> 2 * (ORDER - _FINEST), minlength=12 << 2 * _FINEST)
    open_cells, found = [_Cell(0, pixel) for pixel in range(12)], []
    while open_cells:
        cell = open_cells.pop()
        width = 1 << 2 * (_FINEST - cell.order)
        rows = int(fine[cell.pixel * width : (cell.pixel + 1) * width].sum())
        if rows > most and cell.order < _FINEST:
            open_cells += [_Cell(cell.order + 1, 4 * cell.pixel + part) for part in range(4)]
        elif rows:
            found.append(cell)
    return sorted(found, key=lambda cell: cell.pixel << 2 * (ORDER - cell.order))


def _cell_of(index: NDArray[np.int64], cells: Sequence[_Cell]) -> NDArray[np.int64]:
    """Give the place of each row's cell; -1 where there is none."""
    first = np.array([cell.pixel << 2 * (ORDER - cell.order) for cell in cells], dtype=np.int64)
    return np.searchsorted(first, index, side="right") - 1


def _sort_out(
    data: Path,
    written: Written,
    placed: tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]],
    of_row: NDArray[np.int64],
    cells: Sequence[_Cell],
) -> None:
    """Write each row to the file of its cell, in the order of the catalogue."""
    schema = pa.schema(
        [pa.field(INDEX, pa.int64()), *(field for field in written.schema if field.name != INDEX)],
        {KEY: written.about.json()},
    )
    index, ra, dec = placed
    start = 0
    with ExitStack() as opened:
        writers: dict[int, pq.ParquetWriter] = {}
        for table in written.batches():
            part = slice(start, start + table.num_rows)
            table = _placed(table, index[part], ra[part], dec[part]).select(schema.names).cast(schema)
            for place in np.unique(of_row[part][of_row[part] >= 0]).tolist():
                if place not in writers:
                    path = data / cells[place].path
                    path.parent.mkdir(parents=True, exist_ok=True)
                    writers[place] = opened.enter_context(pq.ParquetWriter(path, schema))
                writers[place].write_table(table.filter(pa.array(of_row[part] == place)))
            start = part.stop


def _placed(
    table: pa.Table, index: NDArray[np.int64], ra: NDArray[np.float64], dec: NDArray[np.float64]
) -> pa.Table:
    for name, values in ((_RA, ra), (_DEC, dec)):
        place = table.schema.get_field_index(name)
        table = table.set_column(place, table.schema.field(place), pa.array(values))
    if INDEX in table.schema.names:  # of another catalogue in this layout
        table = table.drop_columns(INDEX)
    return table.append_column(INDEX, pa.array(index))


def _sorted_files(data: Path, cells: Sequence[_Cell]) -> list[int]:
    """Sort each file by the index, as readers expect, and write what all of them hold beside; give their rows."""
    facts: list[pq.FileMetaData] = []
    for cell in cells:
        path = data / cell.path
        table = pq.read_table(path, partitioning=None).sort_by(INDEX)
        pq.write_table(table, path, write_page_checksum=True, metadata_collector=facts)
        facts[-1].set_file_path(cell.path)
    schema = pq.read_schema(data / cells[0].path)
    pq.write_metadata(schema, data / "_common_metadata")
    pq.write_metadata(schema, data / "_metadata", facts)
    return [int(each.num_rows) for each in facts]


def _write_facts(folder: Path, written: Written, cells: Sequence[_Cell], counts: Sequence[int]) -> None:
    lines = [
        "Norder,Npix,num_rows",
        *(f"{cell.order},{cell.pixel},{rows}" for cell, rows in zip(cells, counts, strict=True)),
    ]
    write_bytes(folder / "partition_info.csv", "".join(f"{line}\n" for line in lines).encode())
    facts = {
        "obs_collection": "rgbench",
        "dataproduct_type": "object",
        "hats_nrows": sum(counts),
        "hats_col_ra": _RA,
        "hats_col_dec": _DEC,
        "hats_col_healpix": INDEX,
        "hats_col_healpix_order": ORDER,
        "hats_max_rows": max(counts),
        "hats_npix_suffix": ".parquet",
        "hats_order": max(cell.order for cell in cells),
        "hats_builder": f"rgbench {written.about.rgbench}",
        "hats_version": "v1.0",
    }
    content = _properties(facts).encode()
    for name in ("hats.properties", "properties"):
        write_bytes(folder / name, content)


def _properties(facts: Mapping[str, object]) -> str:
    return "#HATS catalog\n" + "".join(f"{key}={value}\n" for key, value in facts.items())
