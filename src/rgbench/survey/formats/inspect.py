"""A list of doubtful sources for people to look at, with a picture of each: a manifest of Zooniverse."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from rgbench.errors import DataError
from rgbench.escapes import csv_text
from rgbench.report.draw.pictures import png
from rgbench.store.files import write_bytes
from rgbench.survey.formats.folders import folder_into_place
from rgbench.survey.formats.written import Written
from rgbench.survey.merge import PREFIX
from rgbench.survey.mosaics import Mosaic
from rgbench.survey.page.chosen import ROW, Leading
from rgbench.survey.page.summary import doubt
from rgbench.survey.page.tiles import above_sky

MANIFEST = "manifest.csv"
_OURS = r"manifest\.csv|row-\d+\.png"
_WIDTH = 400
"""Pixels of a picture at least; small ones are enlarged."""
_LARGEST = 800
_COLUMNS = ("class", "ra", "dec", "set", "unlike", "flags", "mosaic")


def write_inspection(
    folder: Path, written: Written, mosaics: Mapping[str, Mosaic], arcsec: float, number: int
) -> int:
    """Write pictures of the most doubtful sources, and the manifest; give how many there are.

    Parameters
    ----------
    folder : path
        Is replaced if it is there.
    written : Written
        The rows.
    mosaics : mapping of str to Mosaic
        The images by their names.
    arcsec : float
        Side of the pictures.
    number : int
        How many sources; the most doubtful come first.
    """
    with folder_into_place(folder, _OURS) as half:
        rows = list(_drawn(half, most_doubtful(written, number), mosaics, arcsec))
        lines = [_head(written), *(_line(written, row) for row in rows)]
        write_bytes(half / MANIFEST, csv_text(lines).encode())
    return len(rows)


def most_doubtful(written: Written, number: int) -> list[dict[str, Any]]:
    """Give the rows whose most probable class is least so, the most doubtful first."""
    found, start = Leading(number), 0
    columns = [written.name, *written.chances, *(f"{PREFIX}{name}" for name in _COLUMNS)]
    for table in written.batches([name for name in dict.fromkeys(columns) if name]):
        chances = np.stack([table[name].to_numpy() for name in written.chances], axis=1).astype(np.float64)
        numbers = np.arange(start, start + table.num_rows)
        found.add(table.append_column(ROW, pa.array(numbers)), doubt(chances))
        start += table.num_rows
    return found.rows()


def _drawn(
    folder: Path, rows: Sequence[dict[str, Any]], mosaics: Mapping[str, Mosaic], arcsec: float
) -> Iterator[dict[str, Any]]:
    """Write the picture of each row; one whose pixels cannot be read any more is left out."""
    for row in rows:
        try:
            pixels = mosaics[row[f"{PREFIX}mosaic"]].cutout(row[f"{PREFIX}ra"], row[f"{PREFIX}dec"], arcsec)
        except (KeyError, DataError):
            continue
        enlarged = -(-_WIDTH // max(pixels.shape))
        write_bytes(folder / _file(row), png(above_sky(pixels), _LARGEST, max(1, enlarged)))
        yield row


def _file(row: Mapping[str, Any]) -> str:
    return f"row-{row[ROW] + 1:08d}.png"


def _head(written: Written) -> list[str]:
    named = ["source"] if written.name else []
    chances = [f"p_{name}" for name in written.about.classes]
    return ["subject_id", "image", *named, "ra", "dec", "class", *chances, "set", "unlike", "flags"]


def _line(written: Written, row: Mapping[str, Any]) -> list[Any]:
    own = {name: row[f"{PREFIX}{name}"] for name in _COLUMNS}
    named = [_cell(row[written.name])] if written.name else []
    chances = [round(float(row[name]), 6) for name in written.chances]
    place = [round(own["ra"], 7), round(own["dec"], 7)]
    rest = [own["set"], round(float(own["unlike"]), 6), own["flags"]]
    return [row[ROW] + 1, _file(row), *named, *place, own["class"], *chances, *rest]


def _cell(value: Any) -> Any:
    return value if isinstance(value, (str, int, float)) or value is None else str(value)
