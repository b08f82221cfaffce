"""Columns of any kind as the few kinds that FITS, VOTable and CSV have, and their cells as text."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from rgbench.escapes import utf8
from rgbench.survey.formats.written import Written

_LARGEST = (1 << 63) - 1
"""The largest whole number of 64 bits with a sign."""


def plain_type(kind: pa.DataType) -> pa.DataType:
    """Give the kind that a column has in other formats: bool, an integer, float32, float64 or text.

    Examples
    --------
    >>> plain_type(pa.dictionary(pa.int8(), pa.large_string())), plain_type(pa.timestamp("s"))
    (DataType(string), DataType(string))
    """
    if pa.types.is_dictionary(kind):
        return plain_type(kind.value_type)
    if pa.types.is_float16(kind):
        return pa.float32()
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return kind
    return pa.string()


def plain_types(written: Written) -> list[pa.DataType]:
    """Give the kinds of all columns for formats that know no 64 bits without a sign.

    Such numbers are taken for those with a sign where all of a column fit, else for text.
    """
    kinds = [plain_type(field.type) for field in written.schema]
    wide = [name for name, kind in zip(written.schema.names, kinds, strict=True) if kind == pa.uint64()]
    largest = dict.fromkeys(wide, 0)
    for table in written.batches(wide) if wide else ():
        for name in wide:
            largest[name] = max(largest[name], pc.max(plain(table[name])).as_py() or 0)
    return [
        kind if name not in largest else pa.string() if largest[name] > _LARGEST else pa.int64()
        for name, kind in zip(written.schema.names, kinds, strict=True)
    ]


def plain(column: pa.ChunkedArray, wanted: pa.DataType | None = None) -> pa.Array:
    """Give a column as `plain_type` says, or as is wanted; lists become JSON, dates as ISO 8601 has them."""
    values = column.combine_chunks()
    if isinstance(values, pa.ChunkedArray):  # no chunk at all
        values = pa.array([], column.type)
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    kind = plain_type(values.type) if wanted is None else wanted
    if (
        kind != pa.string()
        or pa.types.is_integer(values.type)
        or pa.types.is_string(values.type)
        or pa.types.is_large_string(values.type)
    ):
        return values.cast(kind)
    return pa.array([None if each is None else _word(each) for each in values.to_pylist()], pa.string())


def words(values: pa.Array) -> pa.Array:
    """Write the numbers of a plain column with the fewest digits that give them back; what is missing stays so."""
    return values.cast(pa.string())


def mapped(texts: pa.Array, needs: str, written: Callable[[str], str]) -> pa.Array:
    """Write texts as a format holds them; only those in which a pattern is found are looked at one by one.

    Parameters
    ----------
    texts : pyarrow.Array of string
        The texts.
    needs : str
        Pattern, of RE2, of what the format cannot hold as it is.
    written : callable
        Gives a text as the format holds it.
    """
    found = pc.fill_null(pc.match_substring_regex(texts, needs), False)
    if not pc.any(found, min_count=0).as_py():
        return texts
    chosen = texts.filter(found)
    known = {each: written(each) for each in pc.unique(chosen).to_pylist()}
    return pc.replace_with_mask(
        texts, found, pa.array([known[each] for each in chosen.to_pylist()], pa.string())
    )


def unique_names(names: Iterable[str], written: Callable[[str], str], longest: int = 10_000) -> list[str]:
    """Write names as a format holds them, those of which two would be one with a number behind it.

    Small and capital letters count as the same, as FITS has it.

    Examples
    --------
    >>> unique_names(["RA", "ra", "Dec"], str)
    ['RA', 'ra_2', 'Dec']
    """
    taken: set[str] = set()
    found = []
    for name in names:
        first = free = written(name)
        number = 1
        while free.casefold() in taken:
            number += 1
            end = f"_{number}"
            free = f"{first[: longest - len(end)]}{end}"
        taken.add(free.casefold())
        found.append(free)
    return found


def field_facts(field: pa.Field) -> dict[str, str]:
    """Give unit, UCD and description of a column; "" where there is none."""
    meta = field.metadata or {}
    keys = ("unit", "ucd", "description")
    return {key: meta.get(key.encode(), b"").decode("utf8", "backslashreplace") for key in keys}


def _word(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("utf8", "backslashreplace")
    if isinstance(value, (list, dict)):
        return utf8(json.dumps(value, ensure_ascii=False, default=str))
    return str(value.isoformat()) if hasattr(value, "isoformat") else str(value)
