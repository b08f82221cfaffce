"""From finished shards to one table: every row of the catalogue, in order, with what was found of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from rgbench.errors import StoreError, one_line
from rgbench.images.domain import FORBIDDING, Oddity, words
from rgbench.store.files import into_place
from rgbench.survey.catalogue import BATCH, SurveyCatalogue
from rgbench.survey.formats.about import KEY, About
from rgbench.survey.plan import NO_POSITION, NOT_COVERED, Plan
from rgbench.survey.sizes import compact_class

PREFIX = "rg_"
"""What the names of our columns begin with, so that none is that of a catalogue's own."""
_BEFORE = "before_"
"""What is put before the name of a catalogue's own column that has the name of one of ours."""
_NOT_DONE = "its part of the work was not finished"


@dataclass(frozen=True)
class Described:
    """One of our columns.

    Attributes
    ----------
    name, unit, ucd, description : str
        As tables have them; the UCD is of the IVOA's list, UCD1+ 1.5.
    """

    name: str
    unit: str
    ucd: str
    description: str


def described(classes: Sequence[str]) -> list[Described]:
    """Describe the columns that are added to those of the catalogue, in order."""
    chances = [
        Described(
            f"{PREFIX}p_{name}", "", "stat.probability;src.morph.type", f"calibrated probability of {name}"
        )
        for name in classes
    ]
    return [
        Described(
            f"{PREFIX}class", "", "src.morph.type;meta.main", "most probable class; empty where there is none"
        ),
        *chances,
        Described(
            f"{PREFIX}spread",
            "",
            "stat.stdev;stat.probability",
            "standard deviation over the networks of the probability of the class",
        ),
        Described(
            f"{PREFIX}set",
            "",
            "src.morph.type",
            "classes of the conformal set of 90 %, with bars between them",
        ),
        Described(
            f"{PREFIX}unlike",
            "",
            "stat.probability",
            "share of validation sources less unlike those of training",
        ),
        Described(
            f"{PREFIX}flags",
            "",
            "meta.code.qual",
            "what is odd about the image, with bars between; docs/predict.md",
        ),
        Described(
            f"{PREFIX}peak", "Jy/beam", "phot.flux.density;stat.max;em.radio", "highest pixel of the source"
        ),
        Described(
            f"{PREFIX}flux",
            "Jy",
            "phot.flux.density;em.radio",
            "integrated flux density above 3 times the noise",
        ),
        Described(
            f"{PREFIX}size",
            "arcsec",
            "phys.angSize",
            "largest distance between two pixels above 3 times the noise",
        ),
        Described(f"{PREFIX}snr", "", "stat.snr", "highest pixel over the noise"),
        Described(f"{PREFIX}ra", "deg", "pos.eq.ra", "right ascension that was looked at, ICRS"),
        Described(f"{PREFIX}dec", "deg", "pos.eq.dec", "declination that was looked at, ICRS"),
        Described(
            f"{PREFIX}nearest",
            "arcsec",
            "pos.angDistance",
            "distance to the nearest other row of the catalogue",
        ),
        Described(f"{PREFIX}mosaic", "", "meta.id;meta.file", "file of the image that was looked at"),
        Described(f"{PREFIX}reason", "", "meta.note", "why there is no class; empty where there is one"),
    ]


def _own_names(names: Sequence[str], classes: Sequence[str]) -> list[str]:
    """Rename columns of a catalogue that have the names of ours, as where a survey is classified once more."""
    ours = {each.name for each in described(classes)}
    return [_free(name, {*names, *ours}) if name in ours else name for name in names]


def _free(name: str, taken: set[str]) -> str:
    return _free(f"{_BEFORE}{name}", taken) if name in taken else name


@dataclass(frozen=True, eq=False)
class Merged:
    """The rows of a survey and what was found of them.

    Attributes
    ----------
    catalogue : SurveyCatalogue
        The rows.
    plan : Plan
        Its finished shards are read.
    classes : tuple of str
        Of the classifier.
    mosaics : sequence of str
        Names of the mosaics of the plan.
    """

    catalogue: SurveyCatalogue
    plan: Plan
    classes: tuple[str, ...]
    mosaics: Sequence[str]

    @cached_property
    def found(self) -> NDArray[np.void]:
        """One record a row, on disk and not in memory: what the shards say, in the order of the catalogue."""
        kinds = [
            ("done", "?"), ("p", "<f4", (len(self.classes),)), ("spread", "<f4"), ("set", "<u4"),
            ("unlike", "<f4"), ("flags", "<i4"), ("peak", "<f4"), ("total", "<f4"), ("size", "<f4"), ("snr", "<f4"),
            ("ra", "<f8"), ("dec", "<f8"), ("mosaic", "<i4"), ("reason", "<i4"),
        ]  # fmt: skip
        path = self.plan.folder / "found.npy"
        records = np.lib.format.open_memmap(path, "w+", np.dtype(kinds), (len(self.catalogue),))
        for name in ("p", "spread", "unlike", "peak", "total", "size", "snr", "ra", "dec"):
            records[name] = np.nan
        records["mosaic"] = self.plan.chosen
        for part in self.plan.sized():
            rows = part["row"].to_numpy()
            records["done"][rows], records["flags"][rows] = True, int(Oddity.FROM_SIZE)
            for name in ("ra", "dec"):
                records[name][rows] = part[name].to_numpy()
        for shard in range(self.plan.shards):
            self._fill(records, shard)
        return records

    @cached_property
    def _reasons(self) -> dict[str, int]:
        """Numbers of the reasons that were met; 0 is none."""
        return {"": 0}

    def _fill(self, records: NDArray[np.void], shard: int) -> None:
        path = self.plan.done_file(shard)
        if not path.exists():
            return
        try:
            part = pq.read_table(path)
        except (OSError, pa.ArrowException) as error:
            raise StoreError(
                f"{path}: cannot be read: {one_line(error)}; remove it, and run the command again"
            ) from error
        rows, at = part["row"].to_numpy(), self.plan.rows_of(shard)
        records["done"][rows] = True
        for k, name in enumerate(self.classes):
            records["p"][rows, k] = part[f"p_{name}"].to_numpy()
        for name in ("spread", "set", "unlike", "flags", "peak", "total", "size", "snr", "mosaic"):
            records[name][rows] = part[name].to_numpy()
        for name in ("ra", "dec"):
            records[name][rows] = at[name].to_numpy()
        known = self._reasons
        records["reason"][rows] = [known.setdefault(word, len(known)) for word in part["reason"].to_pylist()]

    def tables(self, rows: int = BATCH) -> Iterator[pa.Table]:
        """Give the rows with the catalogue's columns and ours, so many at a time, in order."""
        chosen, nearest = self.plan.chosen, self.plan.nearest
        faults = {int(row): reason for row, reason in self.plan.facts["faults"].items()}
        found, start = self.found, 0
        reasons = list(self._reasons)
        for own in self.catalogue.batches(rows):
            own = own.rename_columns(_own_names(own.column_names, self.classes))
            part = slice(start, start + own.num_rows)
            ours = self._ours(found[part], chosen[part], start, faults, reasons)
            ours.insert(-2, pa.array(nearest[part]))
            for each, values in zip(described(self.classes), ours, strict=True):
                meta = {"unit": each.unit, "ucd": each.ucd, "description": each.description}
                kept = {key: value for key, value in meta.items() if value}
                own = own.append_column(pa.field(each.name, values.type, metadata=kept), values)
            yield own
            start = part.stop

    def _ours(
        self,
        found: NDArray[np.void],
        chosen: NDArray[np.int32],
        start: int,
        faults: dict[int, str],
        reasons: list[str],
    ) -> list[pa.Array]:
        names = np.array(self.classes, dtype=object)
        known = np.isfinite(found["p"]).all(axis=1)
        winners = np.where(known, names[np.nan_to_num(found["p"]).argmax(axis=1)], "")
        sized = (found["flags"] & Oddity.FROM_SIZE) != 0
        winners[sized] = compact_class(self.classes)
        flags = {value: words(Oddity(value)) for value in np.unique(found["flags"]).tolist()}
        sets = {
            value: "|".join(names[[bool(value >> k & 1) for k in range(len(names))]])
            for value in np.unique(found["set"]).tolist()
        }
        files = ["" if at < 0 else self.mosaics[at] for at in found["mosaic"].tolist()]
        why = [
            "" if ok else self._why(start + i, found[i], int(chosen[i]), faults, reasons)
            for i, ok in enumerate((known | sized).tolist())
        ]
        return [
            pa.array(winners.tolist(), pa.string()),
            *(pa.array(found["p"][:, k]) for k in range(len(self.classes))),
            pa.array(found["spread"]),
            pa.array([sets[value] for value in found["set"].tolist()], pa.string()),
            pa.array(found["unlike"]),
            pa.array([flags[value] for value in found["flags"].tolist()], pa.string()),
            *(pa.array(found[name]) for name in ("peak", "total", "size", "snr", "ra", "dec")),
            pa.array(files, pa.string()),
            pa.array(why, pa.string()),
        ]

    def _why(
        self, row: int, found: NDArray[np.void], chosen: int, faults: dict[int, str], reasons: list[str]
    ) -> str:
        """Say why a row has no class."""
        if chosen == NO_POSITION:
            return faults.get(row, "the catalogue has no position")
        if chosen == NOT_COVERED:
            return "no mosaic covers the position"
        if not found["done"]:
            return _NOT_DONE
        return (
            reasons[found["reason"]]
            or f"{words(Oddity(int(found['flags'])) & FORBIDDING)}: there is nothing to classify"
        )


def write_partitions(merged: Merged, folder: Path, rows: int, about: About) -> list[Path]:
    """Write the rows as Parquet, so many to a file, each with what made the classes; give the files.

    Parameters
    ----------
    merged : Merged
        The rows.
    folder : path
        Is made if it is not there.
    rows : int
        Rows of a file.
    about : About
        What made the classes; stands as JSON under the key ``rgbench`` of the metadata.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files: list[Path] = []
    tables = (table.replace_schema_metadata({KEY: about.json()}) for table in merged.tables())
    waiting = next(tables, None)
    while waiting is not None:
        files.append(folder / f"part-{len(files):05d}.parquet")
        with (
            into_place(files[-1]) as temporary,
            pq.ParquetWriter(temporary, waiting.schema, write_page_checksum=True) as writer,
        ):
            waiting = _fill_part(writer, waiting, tables, rows)
    for old in folder.glob("part-*.parquet"):
        if old not in files:
            old.unlink()
    return files


def _fill_part(
    writer: pq.ParquetWriter, first: pa.Table, tables: Iterator[pa.Table], rows: int
) -> pa.Table | None:
    """Write rows until there are as many as asked for; give those that are left over, None at the end."""
    table: pa.Table | None = first
    while table is not None and table.num_rows <= rows:
        writer.write_table(table)
        rows -= table.num_rows
        table = next(tables, None)
        if not rows:
            return table
    if table is None:
        return None
    writer.write_table(table.slice(0, rows))
    return table.slice(rows)
