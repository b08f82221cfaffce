"""Level and noise of the sky in boxes over a whole mosaic, so that no tile knows another sky than its neighbour."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from itertools import pairwise

import numpy as np
from astropy.stats import SigmaClip
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, median_filter

from rgbench.errors import DataError
from rgbench.survey.finders.islands import TILE, Scale, Tile
from rgbench.survey.mosaics import Mosaic

PHOTUTILS = "photutils"
BOX = 32
"""Beams along a side of a box."""
_LEAST_BOX = 32
_SEEN = 0.1
"""Share of the pixels of a box that are needed to measure it; others take what the nearest box has."""


@dataclass(frozen=True, eq=False)
class Mesh:
    """The sky in boxes; between their middles it is interpolated, along rows and along columns.

    Attributes
    ----------
    shape : (int, int)
        Rows and columns of the mosaic.
    level, noise : ndarray of float64, shape (down, across)
        Median, and noise, of each box, in the unit of the mosaic; NaN in all where no box could be measured.
    """

    shape: tuple[int, int]
    level: NDArray[np.float64]
    noise: NDArray[np.float64]

    def over(self, tile: Tile) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Give level and noise of each pixel of a tile.

        Examples
        --------
        >>> mesh = Mesh((4, 2), np.array([[0.0], [2.0]]), np.ones((2, 1)))
        >>> mesh.over(Tile((0, 4), (0, 1)))[0].ravel().tolist()
        [0.0, 0.5, 1.5, 2.0]
        """
        down = _between(np.arange(*tile.rows), self.shape[0], self.level.shape[0])
        across = _between(np.arange(*tile.columns), self.shape[1], self.level.shape[1])
        return _stretched(self.level, down, across), _stretched(self.noise, down, across)


_Between = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]


def _between(pixels: NDArray[np.int64], side: int, boxes: int) -> _Between:
    """Give the boxes between whose middles pixels lie, and how far, from 0 to 1, they lie towards the second."""
    at = np.clip((pixels + 0.5) / side * boxes - 0.5, 0, boxes - 1)
    first = np.floor(at).astype(np.int64)
    return first, np.minimum(first + 1, boxes - 1), at - first


def _stretched(values: NDArray[np.float64], down: _Between, across: _Between) -> NDArray[np.float32]:
    first, second, part = across
    wide = (values[:, first] * (1 - part) + values[:, second] * part).astype(np.float32)
    first, second, part = down
    own = part.astype(np.float32)[:, None]
    return np.asarray(wide[first] * (1 - own) + wide[second] * own)


def measure_mesh(mosaic: Mosaic, scale: Scale) -> Mesh:
    """Measure the sky of a mosaic, a part of which is in memory at a time.

    Parameters
    ----------
    mosaic : Mosaic
        The image. Pixels that are NaN or exactly 0 are blank; parts that cannot be read are as if they were.
    scale : Scale
        Of its middle: boxes are `BOX` beams wide.
    """
    side = max(_LEAST_BOX, round(BOX * scale.beam.major / scale.pixel))
    edges = [
        np.linspace(0, length, max(1, round(length / side)) + 1).astype(int).tolist()
        for length in mosaic.shape
    ]
    values = np.full((2, *(len(each) - 1 for each in edges)), np.nan)
    measure = _Estimators()
    for down in _groups(edges[0]):
        for across in _groups(edges[1]):
            pixels = _read(mosaic, edges[0][down], edges[1][across])
            for row, (top, bottom) in enumerate(pairwise(edges[0][down]), down.start):
                for column, (left, right) in enumerate(pairwise(edges[1][across]), across.start):
                    box = pixels[
                        top - edges[0][down.start] : bottom - edges[0][down.start],
                        left - edges[1][across.start] : right - edges[1][across.start],
                    ]
                    values[:, row, column] = measure(box)
    level, noise = (median_filter(each, 3, mode="nearest") for each in _filled(values))
    return Mesh(mosaic.shape, level, noise)


class _Estimators:
    """Those of photutils for level and noise, after clipping at 3 sigma."""

    def __init__(self) -> None:
        background = import_module(f"{PHOTUTILS}.background")
        self.clip = SigmaClip(3.0, maxiters=10)
        self.level = background.MedianBackground(sigma_clip=None)
        self.noise = background.MADStdBackgroundRMS(sigma_clip=None)

    def __call__(self, box: NDArray[np.float32]) -> tuple[float, float]:
        seen = box[np.isfinite(box) & (box != 0)]
        if len(seen) < _SEEN * box.size:
            return np.nan, np.nan
        kept = self.clip(seen, masked=False)
        noise = float(self.noise.calc_background_rms(kept))
        return (float(self.level.calc_background(kept)), noise) if noise > 0 else (np.nan, np.nan)


def _groups(edges: list[int]) -> Iterator[slice]:
    """Cut the edges of boxes into groups that span about a tile; each begins with the last edge of the one before."""
    step = max(1, TILE // max(1, edges[1] - edges[0]))
    for start in range(0, len(edges) - 1, step):
        yield slice(start, start + step + 1)


def _read(mosaic: Mosaic, down: list[int], across: list[int]) -> NDArray[np.float32]:
    rows, columns = (down[0], down[-1]), (across[0], across[-1])
    try:
        return mosaic.padded(rows, columns)
    except DataError:  # which the finder meets again, and tells
        return np.full((rows[1] - rows[0], columns[1] - columns[0]), np.nan, dtype=np.float32)


def _filled(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give boxes that could not be measured the values of the nearest one that was."""
    unknown = np.isnan(values[0])
    if unknown.all() or not unknown.any():
        return values
    nearest = distance_transform_edt(unknown, return_distances=False, return_indices=True)
    return np.asarray(values[:, nearest[0], nearest[1]])
