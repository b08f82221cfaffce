"""How the work of a survey is cut: which rows of the catalogue are seen in which part of which mosaic."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from rgbench.errors import StoreError
from rgbench.runs.engines import TORCH
from rgbench.store.files import check_version, into_place, read_json, write_json
from rgbench.survey.catalogue import Positions
from rgbench.survey.mosaics import RANKS, Mosaic, covering
from rgbench.survey.near import Near
from rgbench.survey.sizes import unresolved
from rgbench.survey.weights import Weights

VERSION = 3
TILE = 2048
"""Side, in pixels, of the part of a mosaic whose sources are seen together."""
SHARD = 2_000
"""Rows that a shard has at most."""
SIZED = "sized.parquet"
CHOSEN, NEAREST = "chosen.npy", "nearest.npy"
FROM_SIZE, NO_POSITION, NOT_COVERED = -3, -2, -1
"""What stands in place of a mosaic for rows that no shard has."""


@dataclass(frozen=True)
class Asked:
    """What a survey's classes follow from; two that are equal give the same bytes.

    Attributes
    ----------
    catalogue : str
        Its file.
    columns : tuple of str
        Those of the positions.
    mosaics : tuple of (str, str, int)
        File of each, what it is called, and which unit of it.
    stamps : tuple of (int, int)
        Size and time of change, ns, of the catalogue, each mosaic and each map of weight.
    classifier : str
        Checksum of the classifier's tensors and card.
    views : int or "auto"
        Turns and reflections that an answer is averaged over.
    prior : dict of str to float
        Shares of the classes in the survey; empty for those of training.
    engine : str
        What computes the networks.
    weights : tuple of (str, str, int)
        How maps of weight were given, file of each, and which unit of it; empty without.
    unresolved : float, optional
        Size, arcsec, below which the class follows from the catalogue; None if it never does.
    alone_within : float, optional
        Radius, arcsec, about a source within which the light of other rows is taken out; None if none is.
    """

    catalogue: str
    columns: tuple[str, ...]
    mosaics: tuple[tuple[str, str, int], ...]
    stamps: tuple[tuple[int, int], ...]
    classifier: str
    views: int | str
    prior: Mapping[str, float]
    engine: str = TORCH
    weights: tuple[tuple[str, str, int], ...] = ()
    unresolved: float | None = None
    alone_within: float | None = None

    @property
    def checksum(self) -> str:
        """What tells it from another."""
        told = asdict(self) | {"version": VERSION}
        return sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Plan:
    """The work, in a folder: ``plan.json``, and ``rows.parquet`` with a row group for each shard.

    Attributes
    ----------
    folder : path
        Where it lies.
    """

    folder: Path

    @property
    def rows_file(self) -> Path:
        """The rows of the shards."""
        return self.folder / "rows.parquet"

    @cached_property
    def facts(self) -> dict[str, Any]:
        """What ``plan.json`` says."""
        path = self.folder / "plan.json"
        found = read_json(path)
        check_version(path, found.get("version"), VERSION)
        return dict(found)

    @property
    def chosen(self) -> NDArray[np.int32]:
        """The best mosaic of each row, on disk and not in memory; for those that no shard has, the reason."""
        return np.asarray(np.load(self.folder / CHOSEN, mmap_mode="r", allow_pickle=False))

    @property
    def nearest(self) -> NDArray[np.float32]:
        """Distance of each row to the nearest other one, arcsec, on disk and not in memory; NaN without a position."""
        return np.asarray(np.load(self.folder / NEAREST, mmap_mode="r", allow_pickle=False))

    @property
    def remarks(self) -> list[str]:
        """What a reader should know of how the work was cut."""
        return list(self.facts["remarks"])

    @property
    def shards(self) -> int:
        """Number of shards."""
        return int(self.facts["shards"])

    def mosaic_of(self, shard: int) -> int:
        """Give the mosaic that a shard looks at."""
        return int(self.facts["mosaic_of"][shard])

    def size_of(self, shard: int) -> int:
        """Give the number of rows of a shard."""
        return int(self.facts["sizes"][shard])

    def rows_of(self, shard: int) -> pa.Table:
        """Give the rows of a shard: row, ra, dec, around, and in `OTHERS` the next best mosaics, -1 for none.

        `around` has RA and Dec, in turns, of the other rows whose light is taken out.
        """
        try:
            return pq.ParquetFile(self.rows_file).read_row_group(shard)
        except (OSError, pa.ArrowException) as error:
            raise StoreError(f"{self.rows_file}: cannot be read: {error}") from error

    def sized(self) -> Iterator[pa.RecordBatch]:
        """Give the rows whose class follows from their size, a part at a time: row, ra, dec."""
        try:
            yield from pq.ParquetFile(self.folder / SIZED).iter_batches()
        except (OSError, pa.ArrowException) as error:
            raise StoreError(f"{self.folder / SIZED}: cannot be read: {error}") from error

    def done_file(self, shard: int) -> Path:
        """The file that is there when a shard is finished."""
        return self.folder / "done" / f"{shard:06d}.parquet"

    def claim(self, shard: int) -> Path:
        """The lock that a process holds while it is at a shard."""
        return self.folder / "claims" / f"{shard:06d}.lock"

    def missing(self) -> list[int]:
        """Give the shards that are not finished."""
        done = {path.stem for path in (self.folder / "done").glob("*.parquet")}
        return [shard for shard in range(self.shards) if f"{shard:06d}" not in done]


def make_plan(
    folder: Path,
    asked: Asked,
    positions: Positions,
    mosaics: Sequence[Mosaic],
    weights: Weights | None = None,
) -> Plan:
    """Cut the work, and write it to a folder.

    Parameters
    ----------
    folder : path
        Is made where it is not there.
    asked : Asked
        What the plan is of.
    positions : Positions
        Of the rows of the catalogue.
    mosaics : sequence of Mosaic
        In the order of `asked`.
    weights : Weights, optional
        By which of several mosaics one is taken; None for the distance to the edge.

    Raises
    ------
    DataError
        If a map of weight cannot be read.
    """
    for name in ("done", "claims"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    ranked = covering(mosaics, positions.ra, positions.dec)
    remarks = [] if weights is None else weights.order(ranked, positions.ra, positions.dec)
    chosen = np.ascontiguousarray(ranked[:, 0])
    chosen[~np.isfinite(positions.ra)] = NO_POSITION
    if asked.unresolved is not None:
        chosen[unresolved(positions, asked.unresolved)] = FROM_SIZE
    _write_sized(folder / SIZED, np.flatnonzero(chosen == FROM_SIZE), positions)
    near = Near(positions.ra, positions.dec)
    for name, values in ((CHOSEN, chosen), (NEAREST, near.nearest())):
        with into_place(folder / name) as temporary, temporary.open("wb") as file:
            np.save(file, values)
    mosaic_of: list[int] = []
    sizes: list[int] = []
    plan = Plan(folder)
    with into_place(plan.rows_file) as temporary, pq.ParquetWriter(temporary, _SCHEMA) as writer:
        for number, mosaic in enumerate(mosaics):
            rows = np.flatnonzero(chosen == number)
            for part in _parts(mosaic, rows, positions):
                around = _around(near, part, positions, asked.alone_within)
                columns = [part, positions.ra[part], positions.dec[part], around, *ranked[part, 1:].T]
                writer.write_table(pa.table(columns, schema=_SCHEMA), row_group_size=SHARD)
                mosaic_of.append(number)
                sizes.append(len(part))
    faults = {str(row): reason for row, reason in positions.faults.items()}
    counts = {"rows": len(chosen), "shards": len(mosaic_of), "mosaic_of": mosaic_of, "sizes": sizes}
    write_json(
        folder / "plan.json",
        {
            "version": VERSION,
            "asked": asked.checksum,
            "faults": faults,
            "remarks": remarks,
            "mosaics": asked.mosaics,
            **counts,
        },
    )
    return plan


OTHERS = tuple(f"other_{rank}" for rank in range(1, RANKS))
"""Columns of the mosaics of a row that come after the best."""
_SCHEMA = pa.schema(
    [
        ("row", pa.int64()),
        ("ra", pa.float64()),
        ("dec", pa.float64()),
        ("around", pa.list_(pa.float64())),
        *((name, pa.int32()) for name in OTHERS),
    ]
)


def _around(
    near: Near, rows: NDArray[np.int64], positions: Positions, radius: float | None
) -> list[NDArray[np.float64]]:
    if radius is None:
        return [np.zeros(0)] * len(rows)
    others = near.around(rows, radius)
    return [np.column_stack((positions.ra[own], positions.dec[own])).ravel() for own in others]


def _write_sized(path: Path, rows: NDArray[np.int64], positions: Positions) -> None:
    schema = pa.schema([_SCHEMA.field(name) for name in ("row", "ra", "dec")])
    with into_place(path) as temporary:
        pq.write_table(pa.table([rows, positions.ra[rows], positions.dec[rows]], schema=schema), temporary)


def _parts(mosaic: Mosaic, rows: NDArray[np.int64], positions: Positions) -> list[NDArray[np.int64]]:
    """Cut the rows of a mosaic by tiles, in the order in which they lie in the file, into shards."""
    if not len(rows):
        return []
    down, across = mosaic.face.places(positions.ra[rows], positions.dec[rows])
    tile = (down // TILE) * (mosaic.shape[1] // TILE + 1) + across // TILE
    order = np.lexsort((rows, np.floor(down / 64), tile))
    return [rows[order[start : start + SHARD]] for start in range(0, len(rows), SHARD)]
