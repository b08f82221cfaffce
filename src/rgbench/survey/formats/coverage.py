"""The part of the sky that the mosaics of a survey cover, as a MOC (IVOA, Multi-Order Coverage map 2.0)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rgbench.store.files import into_place
from rgbench.survey.mosaics import Mosaic

NEEDS = "mocpy"
"""The package that makes and writes MOCs."""
_WIDEST = 60.0
"""Degrees from the middle to the edge up to which the frame of a mosaic is taken as a polygon."""
_ALONG = 16
"""Points along each side of a polygon."""
_ACROSS = 256
"""Cells across the smaller side of a mosaic, at least."""
_COARSEST, _FINEST = 7, 14
_CELL = math.degrees(math.sqrt(4 * math.pi / 12))
"""Width, degrees, of a cell of order 0."""


def write_coverage(path: Path, mosaics: Sequence[Mosaic]) -> None:
    """Write the union of the frames of mosaics; pixels that are blank within them count as covered."""
    moc = import_module(NEEDS).MOC
    parts = [_part(moc, mosaic) for mosaic in mosaics]
    whole = parts[0] if len(parts) == 1 else parts[0].union(*parts[1:])
    with into_place(path) as temporary:
        whole.save(temporary, format="fits", overwrite=True)


def order_of(mosaic: Mosaic) -> int:
    """Give the order of the cells with which the frame of a mosaic is drawn: 256 of them across it, or more."""
    side = min(mosaic.shape) * mosaic.face.pixel_scale / 3600
    return int(np.clip(math.ceil(math.log2(_CELL * _ACROSS / side)), _COARSEST, _FINEST))


def _part(moc: Any, mosaic: Mosaic) -> Any:
    degrees = import_module("astropy.units").deg
    ra, dec = _frame(mosaic)
    if np.isfinite(ra).all() and _farthest(mosaic, ra, dec) < _WIDEST:
        return moc.from_polygon(ra * degrees, dec * degrees, max_depth=order_of(mosaic))
    # A map of half the sky or more: the cells in which its pixels lie.
    ra, dec = _lattice(mosaic)
    return moc.from_lonlat(ra * degrees, dec * degrees, max_norder=_COARSEST)


def _frame(mosaic: Mosaic) -> tuple[NDArray[Any], NDArray[Any]]:
    """Give positions along the outer edges of the pixels at the frame of a mosaic, once around."""
    height, width = mosaic.shape
    t = np.arange(_ALONG) / _ALONG
    rows = np.concatenate([0 * t, t, 0 * t + 1, 1 - t]) * height - 0.5
    columns = np.concatenate([t, 0 * t + 1, 1 - t, 0 * t]) * width - 0.5
    return mosaic.face.positions(rows, columns)


def _farthest(mosaic: Mosaic, ra: NDArray[Any], dec: NDArray[Any]) -> float:
    """Give the largest distance, in degrees, of positions from the middle of a mosaic."""
    middle = np.radians(mosaic.face.centre)
    cosine = np.sin(middle[1]) * np.sin(np.radians(dec)) + np.cos(middle[1]) * np.cos(
        np.radians(dec)
    ) * np.cos(np.radians(ra) - middle[0])
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))).max())


def _lattice(mosaic: Mosaic) -> tuple[NDArray[Any], NDArray[Any]]:
    """Give positions within the pixels of a mosaic, three across a cell, so that none is passed over."""
    step = _CELL / (1 << _COARSEST) * 3600 / mosaic.face.pixel_scale / 3
    sides = [np.append(np.arange(-0.5, side - 0.5, step), side - 0.5) for side in mosaic.shape]
    rows, columns = np.meshgrid(*sides, indexing="ij")
    ra, dec = mosaic.face.positions(rows.ravel(), columns.ravel())
    known = np.isfinite(ra) & np.isfinite(dec)
    return ra[known], dec[known]
