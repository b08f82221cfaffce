"""Pictures of sources of a survey, cut from its mosaics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rgbench import numbers
from rgbench.data.surveys.links import sky_link
from rgbench.errors import DataError
from rgbench.report.blocks import Tile
from rgbench.report.draw.pictures import picture
from rgbench.survey.formats.written import Written
from rgbench.survey.merge import PREFIX
from rgbench.survey.mosaics import Mosaic
from rgbench.survey.page.chosen import ROW

_SIZE = 128
_SAID = 2
"""Probabilities that a tile names, the highest first."""


def source_tiles(
    rows: Sequence[Mapping[str, Any]], written: Written, mosaics: Mapping[str, Mosaic], arcsec: float
) -> tuple[Tile, ...]:
    """Show rows with what was said of them; one whose pixels cannot be read has no picture.

    Parameters
    ----------
    rows : sequence of mapping
        Columns of the rows by name.
    written : Written
        Where they come from.
    mosaics : mapping of str to Mosaic
        The images by their names.
    arcsec : float
        Side of the pictures.
    """
    return tuple(_tile(row, written, mosaics, arcsec) for row in rows)


def above_sky(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Give pixels with those below the sky, their median, brought to it, so that the noise takes fewer colours."""
    known = pixels[np.isfinite(pixels)]
    return np.maximum(pixels, np.median(known)) if len(known) else pixels


def _tile(row: Mapping[str, Any], written: Written, mosaics: Mapping[str, Mosaic], arcsec: float) -> Tile:
    ra, dec = float(row[f"{PREFIX}ra"]), float(row[f"{PREFIX}dec"])
    chances = {name: float(row[f"{PREFIX}p_{name}"]) for name in written.about.classes}
    first = sorted(chances, key=lambda name: -chances[name])[:_SAID]
    said = ", ".join(f"{name} {numbers.probability(chances[name])}" for name in first)
    unlike = float(row[f"{PREFIX}unlike"])
    strange = f"unlike {numbers.probability(unlike)}" if numbers.is_number(unlike) else ""
    flags = str(row[f"{PREFIX}flags"]).replace("|", ", ")
    lines = tuple(line for line in (said, strange, flags) if line)
    place = f"{ra:.4f} {dec:+.4f}".replace("-", "−")
    name = str(row[written.name]) if written.name else f"row {row[ROW] + 1}"
    look = _picture(row, mosaics, ra, dec, arcsec)
    return Tile(name, look, True, str(row[f"{PREFIX}class"]), lines, place, sky_link(ra, dec))


def _picture(
    row: Mapping[str, Any], mosaics: Mapping[str, Mosaic], ra: float, dec: float, arcsec: float
) -> str | None:
    mosaic = mosaics.get(str(row[f"{PREFIX}mosaic"]))
    if mosaic is None:
        return None
    try:
        return picture(above_sky(mosaic.cutout(ra, dec, arcsec)), _SIZE)
    except DataError:
        return None
