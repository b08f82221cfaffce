"""The classes of a survey as a FITS table, which is written a part at a time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from astropy.io import fits
from numpy.typing import NDArray

from rgbench.errors import DataError
from rgbench.escapes import FITS_NAME, fits_name, for_ascii
from rgbench.runs.output_tables import MARK
from rgbench.store.files import into_place
from rgbench.survey.formats.about import VERSION
from rgbench.survey.formats.texts import field_facts, mapped, plain, plain_types, unique_names
from rgbench.survey.formats.written import Written

_BLOCK = 2880
_MOST_COLUMNS = 999
"""A header of FITS numbers its columns with three digits."""
_ROOM = 60
"""Characters of a card for a value and its comment, about."""
_KINDS = {"L": ">i1", "I": ">i2", "J": ">i4", "K": ">i8", "E": ">f4", "D": ">f8"}
"""How FITS calls what numpy calls so."""
_FORMS = {
    pa.bool_(): "L",
    pa.int8(): "I",
    pa.uint8(): "I",
    pa.int16(): "I",
    pa.uint16(): "J",
    pa.int32(): "J",
    pa.uint32(): "K",
    pa.int64(): "K",
    pa.float32(): "E",
    pa.float64(): "D",
}
_WIDER = {"I": "J", "J": "K", "K": "K"}
"""What holds one value more than a kind of whole numbers: that which stands for a missing one."""


@dataclass
class _Shape:
    """What is known of a column when all of its cells were seen: the longest text, and whether one is missing."""

    kind: pa.DataType
    width: int = 1
    missing: bool = False


@dataclass(frozen=True)
class _Place:
    """A column as the file has it: what it is made of, FITS format, numpy format, what a missing whole number is."""

    plain: pa.DataType
    form: str
    kind: str
    null: int | None = None


def write_fits(path: Path, written: Written) -> None:
    """Write all rows, a part at a time; they are read twice, first for the widths of the texts.

    Raises
    ------
    DataError
        If there are more columns than a FITS table can have.
    """
    if len(written.schema) > _MOST_COLUMNS:
        raise DataError(
            f"{path}: the table has {len(written.schema)} columns; FITS can have {_MOST_COLUMNS}: take Parquet"
        )
    places = _places(written)
    kinds = np.dtype([(f"c{k}", place.kind) for k, place in enumerate(places)])
    with into_place(path) as temporary, temporary.open("wb") as file:
        file.write(_header(written, places, kinds.itemsize))
        for table in written.batches():
            rows = np.zeros(table.num_rows, kinds)
            for k, place in enumerate(places):
                rows[f"c{k}"] = _cells(table.column(k), place)
            file.write(rows.tobytes())
        _pad(file)


def _places(written: Written) -> list[_Place]:
    shapes = [_Shape(kind) for kind in plain_types(written)]
    for table in written.batches():
        for column, shape in zip(table.columns, shapes, strict=True):
            shape.missing |= column.null_count > 0
            if shape.kind == pa.string():
                shape.width = max(shape.width, pc.max(pc.binary_length(_texts(column))).as_py() or 1)
    return [_place(shape) for shape in shapes]


def _place(shape: _Shape) -> _Place:
    form = _FORMS.get(shape.kind)
    if form is None:
        return _Place(shape.kind, f"{shape.width}A", f"S{shape.width}")
    if form not in _WIDER or not shape.missing:
        return _Place(shape.kind, form, _KINDS[form])
    form = _WIDER[form]
    return _Place(shape.kind, form, _KINDS[form], int(np.iinfo(_KINDS[form]).min))


def _header(written: Written, places: list[_Place], width: int) -> bytes:
    """Give the header of the file and that of the table, as bytes."""
    cards = fits.Header()
    for key, value in (("XTENSION", "BINTABLE"), ("BITPIX", 8), ("NAXIS", 2), ("NAXIS1", width)):
        cards[key] = value
    for key, number in (("NAXIS2", written.rows), ("PCOUNT", 0), ("GCOUNT", 1), ("TFIELDS", len(places))):
        cards[key] = number
    names = unique_names(written.schema.names, fits_name, FITS_NAME)
    for k, (field, place, name) in enumerate(zip(written.schema, places, names, strict=True), start=1):
        _describe(cards, k, field, place, name)
    cards["EXTNAME"] = "CLASSES"
    cards[MARK] = (VERSION, "format of rgbench")
    for key, value, meaning in written.about.facts():
        plain_value = for_ascii(value)
        cards[key] = plain_value
        if len(plain_value) + len(meaning) < _ROOM:
            cards.comments[key] = meaning
    return bytes(fits.PrimaryHDU().header.tostring().encode() + cards.tostring().encode())


def _describe(cards: Any, k: int, field: pa.Field, place: _Place, name: str) -> None:
    cards[f"TTYPE{k}"], cards[f"TFORM{k}"] = name, place.form
    if place.null is not None:
        cards[f"TNULL{k}"] = place.null
    facts = field_facts(field)
    for key, fact in (("TUNIT", "unit"), ("TUCD", "ucd"), ("TCOMM", "description")):
        if facts[fact]:
            cards[f"{key}{k}"] = for_ascii(facts[fact])


def _cells(column: pa.ChunkedArray, place: _Place) -> NDArray[Any]:
    if place.kind.startswith("S"):
        return np.array(pc.fill_null(_texts(column), "").to_pylist(), dtype=place.kind)
    values = plain(column, place.plain)
    if place.form == "L":
        letters = pc.if_else(values, ord("T"), ord("F"))
        return np.asarray(pc.fill_null(letters, 0).to_numpy(zero_copy_only=False), dtype=place.kind)
    if place.form in _WIDER:
        # What stands for a missing number may be too wide for the kind of the others.
        values = pc.fill_null(values.cast(pa.int64()), place.null or 0)
    return np.asarray(values.to_numpy(zero_copy_only=False), dtype=place.kind)


def _texts(column: pa.ChunkedArray) -> pa.Array:
    return mapped(plain(column, pa.string()), "[^ -~]", for_ascii)


def _pad(file: BinaryIO) -> None:
    file.write(b"\0" * (-file.tell() % _BLOCK))
