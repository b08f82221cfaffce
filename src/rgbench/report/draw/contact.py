"""A contact sheet of a data set: a row of images per class, as one SVG file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from rgbench.data.catalogue import DataSet, Flag
from rgbench.escapes import for_xml
from rgbench.images.geometry import central_crop
from rgbench.numbers import counted
from rgbench.report.draw.figures import short
from rgbench.report.draw.pictures import picture

COLUMNS = 8
"""Images of a class."""
FIELD = 100
"""Pixels of the central part that is shown: 3 arcmin of FIRST, which holds nearly every source."""
SIDE = 132
"""Side of a picture in the drawing's units, which are pixels of a screen."""
GAP = 8
LABEL = 104
HEAD = 48
CAPTION = 16
FOOT = 26
STYLE = (
    "text{font:12px sans-serif;fill:#222}.title{font-size:16px;font-weight:bold}.class{font-weight:bold}"
    ".small{font-size:9px;fill:#555}image{image-rendering:pixelated}"
)


def contact_sheet(dataset: DataSet, columns: int = COLUMNS, field: int = FIELD) -> str:
    """Draw images of each class, taken evenly over the data set.

    Parameters
    ----------
    dataset : DataSet
        The data; images without signal are passed over.
    columns : int
        Images per class.
    field : int
        Side in pixels of the central part that is shown.

    Returns
    -------
    str
        A complete SVG file, which needs no other; north is up, and every image has its own brightness scale.
    """
    dataset = replace(dataset, images=central_crop(dataset.images, field))
    rows = [*enumerate(dataset.classes)]
    unlabelled = bool((dataset.catalogue.label < 0).any())
    if unlabelled:
        rows.append((-1, "(no label)"))
    width = LABEL + columns * (SIDE + GAP) + GAP
    height = HEAD + len(rows) * (SIDE + CAPTION + GAP) + FOOT
    parts = [f'<text class="title" x="{GAP}" y="24">{for_xml(dataset.card.title)}</text>']
    for place, (label, name) in enumerate(rows):
        parts += _row(dataset, label, name, HEAD + place * (SIDE + CAPTION + GAP), columns)
    parts.append(f'<text x="{GAP}" y="{height - 10}">{for_xml(_foot(dataset))}</text>')
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
    background = '<rect width="100%" height="100%" fill="#fff"/>'
    return f"{head}<style>{STYLE}</style>{background}{''.join(parts)}</svg>\n"


def evenly(rows: NDArray[np.int64], wanted: int) -> NDArray[np.int64]:
    """Take some rows, evenly spread over all.

    Examples
    --------
    >>> evenly(np.arange(10), 4).tolist()
    [1, 3, 6, 8]
    """
    if len(rows) <= wanted:
        return rows
    return np.asarray(rows[((np.arange(wanted) + 0.5) * len(rows) / wanted).astype(int)])


def _row(dataset: DataSet, label: int, name: str, top: int, columns: int) -> Iterator[str]:
    catalogue = dataset.catalogue
    members = np.flatnonzero(catalogue.label == label)
    yield f'<text class="class" x="{GAP}" y="{top + SIDE // 2}">{for_xml(short(name, 14))}</text>'
    yield f'<text x="{GAP}" y="{top + SIDE // 2 + 16}">{counted(len(members), "source")}</text>'
    usable = members[(catalogue.flags[members] & Flag.UNUSABLE) == 0]
    for column, row in enumerate(evenly(usable, columns)):
        x = LABEL + column * (SIDE + GAP)
        source = str(catalogue.source_id[row])
        yield (
            f'<image x="{x}" y="{top}" width="{SIDE}" height="{SIDE}" href="{picture(dataset.images[row], SIDE)}">'
            f"<title>{for_xml(source)}</title></image>"
        )
        yield f'<text class="small" x="{x}" y="{top + SIDE + 11}">{for_xml(short(source, 24))}</text>'


def _foot(dataset: DataSet) -> str:
    card, (rows, columns) = dataset.card, dataset.images.shape[1:]
    size = f"{columns} x {rows} pixels"
    if np.isfinite(card.pixel_scale):
        size += f", {columns * card.pixel_scale / 60:.1f} x {rows * card.pixel_scale / 60:.1f} arcmin"
    return f"{card.survey or 'images'}; central {size}; north up, brightness by inverse hyperbolic sine. {card.paper}"
