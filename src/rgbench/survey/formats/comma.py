"""The classes of a survey as CSV: texts are guarded as in every CSV of the package, nothing is rounded."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from rgbench.escapes import csv_text
from rgbench.store.files import into_place
from rgbench.survey.formats.texts import mapped, plain, words
from rgbench.survey.formats.written import Written

_NEEDS = "^'*[=+\\-@\\t\\r\\n＝＋－＠]|[\",\\r\\n]"
"""What `csv_text` guards or puts in quotes."""


def write_csv(path: Path, written: Written) -> None:
    """Write all rows, a part at a time; a missing value is an empty cell, NaN is ``nan``."""
    with into_place(path) as temporary, temporary.open("wb") as file:
        file.write(csv_text([written.schema.names]).encode())
        for table in written.batches():
            cells = [_cells(column) for column in table.columns]
            rows = pc.binary_join_element_wise(*cells, ",", null_handling="replace", null_replacement="")
            file.write("".join(f"{row}\n" for row in rows.to_pylist()).encode())


def _cells(column: pa.ChunkedArray) -> pa.Array:
    values = plain(column)
    if not pa.types.is_string(values.type):
        return words(values)
    return mapped(values, _NEEDS, lambda text: csv_text([[text]]).removesuffix("\n"))
