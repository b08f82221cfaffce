"""The classes of a survey as VOTable 1.4: unit, UCD and description of every column, and what made the classes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from rgbench.escapes import for_xml
from rgbench.store.files import into_place
from rgbench.survey.formats.about import VERSION
from rgbench.survey.formats.texts import field_facts, mapped, plain, plain_types, unique_names, words
from rgbench.survey.formats.written import Written

_KINDS = {
    pa.bool_(): "boolean",
    pa.int8(): "short",
    pa.uint8(): "unsignedByte",
    pa.int16(): "short",
    pa.uint16(): "int",
    pa.int32(): "int",
    pa.uint32(): "long",
    pa.int64(): "long",
    pa.float32(): "float",
    pa.float64(): "double",
}
"""What VOTable calls each kind; all others are text."""
_NEEDS = r"[^ !#-%(-;=?-~]"
"""What text may hold that XML does not take as it is."""
_ODD = {"nan": "NaN", "inf": "+Inf", "-inf": "-Inf"}


def write_votable(path: Path, written: Written) -> None:
    """Write all rows, a part at a time, as TABLEDATA; a missing value is an empty cell."""
    with into_place(path) as temporary, temporary.open("wb") as file:
        kinds = plain_types(written)
        file.write("\n".join(_head(written, kinds)).encode())
        for table in written.batches():
            cells = [_cells(*each) for each in zip(table.columns, kinds, strict=True)]
            rows = pc.binary_join_element_wise(
                *cells, "</TD><TD>", null_handling="replace", null_replacement=""
            )
            file.write("".join(f"<TR><TD>{row}</TD></TR>\n" for row in rows.to_pylist()).encode())
        file.write(b"</TABLEDATA></DATA></TABLE></RESOURCE></VOTABLE>\n")


def _head(written: Written, kinds: Sequence[pa.DataType]) -> Iterator[str]:
    yield '<?xml version="1.0" encoding="UTF-8"?>'
    yield '<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3">'
    yield '<RESOURCE type="results">'
    yield f"<DESCRIPTION>Classes by rgbench, format version {VERSION}</DESCRIPTION>"
    yield '<COOSYS ID="rgbench-sky" system="ICRS"/>'
    for key, value, meaning in written.about.facts():
        facts = _attributes(name=key, datatype="unicodeChar", arraysize="*", value=value)
        yield f"<PARAM{facts}><DESCRIPTION>{for_xml(meaning)}</DESCRIPTION></PARAM>"
    yield f'<TABLE nrows="{written.rows}">'
    names = unique_names(written.schema.names, _identifier)
    for name, field, kind in zip(names, written.schema, kinds, strict=True):
        yield _field(name, field, _KINDS.get(kind, ""))
    yield "<DATA><TABLEDATA>\n"


def _identifier(name: str) -> str:
    """Give a name as an identifier of XML, by which some readers call the column."""
    plain_name = re.sub(r"[^A-Za-z0-9_]", "_", name)
    return plain_name if re.match(r"[A-Za-z_]", plain_name) else f"_{plain_name}"


def _field(identifier: str, field: pa.Field, kind: str) -> str:
    facts = field_facts(field)
    shape = {"datatype": kind} if kind else {"datatype": "unicodeChar", "arraysize": "*"}
    frame = {"ref": "rgbench-sky"} if facts["ucd"].startswith("pos.eq") else {}
    meaning = facts.pop("description")
    about = _attributes(ID=identifier, name=field.name, **shape, **facts, **frame)
    told = f"<DESCRIPTION>{for_xml(meaning)}</DESCRIPTION>" if meaning else ""
    return f"<FIELD{about}>{told}</FIELD>"


def _attributes(**facts: Any) -> str:
    # Line breaks and tabs within an attribute would become spaces.
    return "".join(f' {key}="{for_xml(value).translate(_BREAKS)}"' for key, value in facts.items() if value)


_BREAKS = {ord("\n"): "\\n", ord("\t"): "\\t"}


def _cells(column: pa.ChunkedArray, kind: pa.DataType) -> pa.Array:
    values = plain(column, kind)
    if pa.types.is_floating(values.type):
        return mapped(words(values), "n", lambda word: _ODD.get(word, word))
    if pa.types.is_string(values.type):
        return mapped(values, _NEEDS, for_xml)
    return words(values)
