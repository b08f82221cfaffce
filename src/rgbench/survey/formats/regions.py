"""The classes of a survey as regions of DS9, which CARTA and Aladin open too: a circle for each source."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path

from rgbench.escapes import for_ascii
from rgbench.store.files import into_place
from rgbench.survey.formats.written import Written
from rgbench.survey.merge import PREFIX

COLOURS = ("cyan", "yellow", "magenta", "green", "red", "blue", "white")
"""Names that all three programs know; classes beyond them begin again."""
_SMALLEST = 5.0
"""Width, arcsec, of a circle where neither a size nor a beam is known."""
_NO_SIGNS = str.maketrans({"{": "(", "}": ")", ";": ",", "#": "+", "\n": " "})
"""What ends a label, or a region, in some reader."""
_HEAD = (
    "# Region file format: DS9 version 4.1\n"
    'global color=white width=1 font="helvetica 10 normal roman" select=1 edit=1 move=1 delete=1 include=1 '
    "source=1\nicrs\n"
)


def write_regions(path: Path, written: Written, beams: Mapping[str, float]) -> None:
    """Write a circle for each row that has a class.

    Parameters
    ----------
    path : path
        The file.
    written : Written
        The rows.
    beams : mapping of str to float
        Width of the beam, arcsec, of each mosaic: the least width of a circle; NaN where it is not known.
    """
    colours = {name: COLOURS[k % len(COLOURS)] for k, name in enumerate(written.about.classes)}
    columns = [f"{PREFIX}{name}" for name in ("class", "ra", "dec", "size", "mosaic")]
    with into_place(path) as temporary, temporary.open("w", encoding="ascii") as file:
        file.write(_HEAD)
        for table in written.batches(columns):
            rows = zip(*(table[name].to_pylist() for name in columns), strict=True)
            file.writelines(_circles(rows, colours, beams))


def _circles(
    rows: Iterator[tuple[str, float, float, float, str]],
    colours: Mapping[str, str],
    beams: Mapping[str, float],
) -> Iterator[str]:
    for name, ra, dec, size, mosaic in rows:
        if name:
            widths = [each for each in (size, beams.get(mosaic, math.nan)) if math.isfinite(each)]
            radius = max(widths, default=_SMALLEST) / 2
            yield f'circle({ra:.7f},{dec:.7f},{radius:.3f}") # color={colours[name]} text={{{label(name)}}}\n'


def label(name: str) -> str:
    """Write the name of a class as a label of a region, without signs that would end it.

    Examples
    --------
    >>> label("FR{II}; #2")
    'FR(II), +2'
    """
    return for_ascii(name.translate(_NO_SIGNS))
