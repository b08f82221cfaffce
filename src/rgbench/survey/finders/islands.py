"""What every finder takes and gives: a tile of a mosaic, thresholds, and the islands that were found."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from rgbench.errors import SpecError
from rgbench.images.brightness import read_brightness
from rgbench.images.fits import Beam, FitsImage
from rgbench.images.measure import beam_area
from rgbench.survey.mosaics import Mosaic

TILE = 2048
"""Side, in pixels, of the part of a mosaic that is looked at together."""
MARGIN = 256
"""Pixels about a tile that are looked at with it, so that a source on its edge is seen whole."""
BEAM = 3.0
"""Pixels that the beam is taken to be wide where the header does not tell."""


@dataclass(frozen=True)
class Thresholds:
    """How bright a source is.

    Attributes
    ----------
    peak : float
        Local noises that its brightest pixel has at least.
    island : float
        Local noises above which pixels that touch are one island.

    Raises
    ------
    SpecError
        If they are not above 0, or `peak` is below `island`.
    """

    peak: float = 5.0
    island: float = 3.0

    def __post_init__(self) -> None:
        if not 0 < self.island <= self.peak < math.inf:
            raise SpecError(
                f"thresholds of a source: peak is {self.peak:g} and island {self.island:g} times the noise; "
                "numbers above 0 are legal, and peak is not below island"
            )


@dataclass(frozen=True)
class Tile:
    """A rectangle of pixels of a mosaic; it may reach beyond the edge.

    Attributes
    ----------
    rows, columns : (int, int)
        The first, and the one after the last.
    """

    rows: tuple[int, int]
    columns: tuple[int, int]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.rows[1] - self.rows[0], self.columns[1] - self.columns[0]

    def grown(self, by: int) -> Tile:
        """Give the tile with so many more pixels on each side.

        Examples
        --------
        >>> Tile((0, 10), (10, 20)).grown(5)
        Tile(rows=(-5, 15), columns=(5, 25))
        """
        (top, bottom), (left, right) = self.rows, self.columns
        return Tile((top - by, bottom + by), (left - by, right + by))

    def holds(self, rows: NDArray[np.float64], columns: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Tell which places, counted from 0, lie in pixels of the tile."""
        down, across = np.rint(rows), np.rint(columns)
        inside = (down >= self.rows[0]) & (down < self.rows[1])
        return np.asarray(inside & (across >= self.columns[0]) & (across < self.columns[1]))

    def face(self, mosaic: Mosaic) -> FitsImage:
        """Give what the header says of pixels about the middle of the tile."""
        (top, bottom), (left, right) = self.rows, self.columns
        return mosaic.face_at((top + bottom - 1) / 2, (left + right - 1) / 2, max(self.shape))


def tiles_of(mosaic: Mosaic) -> Iterator[Tile]:
    """Give the tiles of a mosaic, which do not overlap, row by row."""
    height, width = mosaic.shape
    for top in range(0, height, TILE):
        for left in range(0, width, TILE):
            yield Tile((top, min(top + TILE, height)), (left, min(left + TILE, width)))


@dataclass(frozen=True)
class Scale:
    """What a pixel is.

    Attributes
    ----------
    pixel : float
        Its side, arcsec.
    beam : Beam
        Full widths at half maximum in arcsec, angle north to east; round and of `BEAM` pixels where the header does
        not tell.
    area : float
        Pixels of the beam.
    peak, total : float
        Jy/beam, and Jy, that a pixel of 1 stands for; NaN where unit or beam are not known.
    """

    pixel: float
    beam: Beam
    area: float
    peak: float
    total: float


def scale_of(face: FitsImage) -> Scale:
    """Give what a pixel of a face is."""
    pixel, beam = face.pixel_scale, face.beam
    known = math.isfinite(beam.major)
    if not known:
        beam = Beam(BEAM * pixel, BEAM * pixel, 0.0)
    area = beam_area((beam.major, beam.minor), pixel)
    unit = read_brightness(face.unit) if known and face.unit else None
    if unit is None:
        return Scale(pixel, beam, area, math.nan, math.nan)
    per_pixel = unit.per == "pixel"
    return Scale(
        pixel, beam, area, unit.jansky * (area if per_pixel else 1), unit.jansky / (1 if per_pixel else area)
    )


@dataclass(frozen=True, eq=False)
class Islands:
    """Islands that were found in a tile; all arrays are float64 of shape (n,).

    Attributes
    ----------
    rows, columns : ndarray
        The brightest pixel, counted from 0 in the mosaic.
    ra, dec : ndarray
        The middle, weighted by brightness; degrees, ICRS.
    total : ndarray
        Flux density, Jy; NaN where unit or beam are not known.
    peak : ndarray
        Brightness of the brightest pixel, Jy/beam; NaN likewise.
    major, minor : ndarray
        Full widths at half maximum, arcsec.
    rms : ndarray
        Local noise, Jy/beam; NaN where the unit is not known.
    """

    rows: NDArray[np.float64]
    columns: NDArray[np.float64]
    ra: NDArray[np.float64]
    dec: NDArray[np.float64]
    total: NDArray[np.float64]
    peak: NDArray[np.float64]
    major: NDArray[np.float64]
    minor: NDArray[np.float64]
    rms: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, chosen: NDArray[np.bool_]) -> Islands:
        return Islands(*(getattr(self, each.name)[chosen] for each in fields(self)))


NO_ISLANDS = Islands(*(np.zeros(0) for _ in fields(Islands)))
"""What is found where there is nothing."""

Find = Callable[[Tile], Islands]
"""Finds the islands of a mosaic whose brightest pixel lies in a tile; `DataError` if its pixels cannot be read."""
