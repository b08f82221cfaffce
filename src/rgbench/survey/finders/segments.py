"""Islands by photutils: pixels that touch above the local noise."""

from __future__ import annotations

import warnings
from importlib import import_module

import numpy as np
from numpy.typing import NDArray

from rgbench.survey.finders.islands import MARGIN, NO_ISLANDS, TILE, Find, Islands, Thresholds, Tile, scale_of
from rgbench.survey.finders.mesh import PHOTUTILS, Mesh, measure_mesh
from rgbench.survey.mosaics import Mosaic

FWHM = float(np.sqrt(8 * np.log(2)))
"""Full width at half maximum of a Gaussian over its standard deviation."""
_LEAST = 1 / 12
"""Variance, in pixels squared, that no island falls short of: that of one pixel."""


def find_segments(mosaic: Mosaic, thresholds: Thresholds) -> Find:
    """Measure the sky of a mosaic, and give what finds the islands of its tiles."""
    height, width = mosaic.shape
    mesh = measure_mesh(mosaic, scale_of(Tile((0, height), (0, width)).face(mosaic)))

    def find(tile: Tile) -> Islands:
        margin = MARGIN
        found, cut = _look(mosaic, mesh, tile, margin, thresholds)
        while cut and margin < TILE:
            margin *= 2
            found, cut = _look(mosaic, mesh, tile, margin, thresholds)
        return found

    return find


def _look(
    mosaic: Mosaic, mesh: Mesh, tile: Tile, margin: int, thresholds: Thresholds
) -> tuple[Islands, bool]:
    """Find islands of a tile with a margin; tell whether one of them reaches the end of what was looked at."""
    seen = tile.grown(margin)
    pixels = mosaic.padded(seen.rows, seen.columns)
    level, noise = mesh.over(seen)
    above = pixels - level
    scale = scale_of(tile.face(mosaic))
    labels = label_islands(above, noise, thresholds.island, max(1, round(scale.area / 3)))
    if labels is None:
        return NO_ISLANDS, False
    found = _Measured(labels, above)
    bright = found.at_peak(above) >= thresholds.peak * found.at_peak(noise)
    rows, columns = found.peaks + np.array([[seen.rows[0]], [seen.columns[0]]], dtype=np.float64)
    own = bright & tile.holds(rows, columns)
    sides = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    cut = bool(np.isin(np.flatnonzero(own) + 1, sides).any())
    ra, dec = mosaic.face.positions(found.middle[0] + seen.rows[0], found.middle[1] + seen.columns[0])
    major, minor = FWHM * scale.pixel * found.spread
    total, peak, rms = found.total * scale.total, found.at_peak(above) * scale.peak, found.at_peak(noise)
    return Islands(rows, columns, ra, dec, total, peak, major, minor, rms * scale.peak)[own], cut


def label_islands(
    above: NDArray[np.float32], noise: NDArray[np.float32], threshold: float, least: int
) -> NDArray[np.int32] | None:
    """Number pixels that touch, by an edge or a corner, above a threshold.

    Parameters
    ----------
    above, noise : ndarray of float32, shape (h, w)
        Pixels above the level of the sky, NaN where blank, and the noise, in one unit.
    threshold : float
        In units of the noise.
    least : int
        Pixels that an island has at least.

    Returns
    -------
    ndarray of int32, shape (h, w)
        The number of the island, from 1; 0 beside them. None if there is none.

    Examples
    --------
    >>> import pytest
    >>> _ = pytest.importorskip("photutils")
    >>> above = np.zeros((4, 5), dtype=np.float32)
    >>> above[1, 1:3], above[3, 4] = 9, 9
    >>> label_islands(above, np.ones_like(above), 3.0, 2).max(axis=0).tolist()
    [0, 1, 1, 0, 0]
    """
    blank = ~np.isfinite(above) | ~np.isfinite(noise)
    if blank.all():
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that there is none
        detect = import_module(f"{PHOTUTILS}.segmentation").detect_sources
        found = detect(np.where(blank, 0, above), np.where(blank, 1, threshold * noise), least, mask=blank)
    return None if found is None else np.asarray(found.data, dtype=np.int32)


class _Measured:
    """What is measured of islands, in pixels and their unit; the first is number 1.

    Attributes
    ----------
    total : ndarray, shape (n,)
        Sum of the pixels.
    middle : ndarray, shape (2, n)
        Row and column, weighted by brightness.
    peaks : ndarray of int, shape (2, n)
        Row and column of the brightest pixel; of equal ones the first.
    spread : ndarray, shape (2, n)
        Standard deviation of the brightness along the long axis and across it.
    """

    def __init__(self, labels: NDArray[np.int32], above: NDArray[np.float32]) -> None:
        flat = np.flatnonzero(labels)
        number = labels.ravel()[flat] - 1
        value = above.ravel()[flat].astype(np.float64)
        rows, columns = np.divmod(flat, labels.shape[1])
        self.total = np.asarray(np.bincount(number, value), dtype=np.float64)

        def mean(of: NDArray[np.float64]) -> NDArray[np.float64]:
            return np.asarray(np.bincount(number, value * of) / self.total)

        self.middle = np.stack([mean(rows), mean(columns)])
        down, across = rows - self.middle[0][number], columns - self.middle[1][number]
        self.spread = _axes(mean(down * down), mean(across * across), mean(down * across))
        order = np.lexsort((flat, -value, number))
        first = order[np.searchsorted(number[order], np.arange(len(self.total)))]
        self.peaks = np.stack([rows[first], columns[first]])

    def at_peak(self, pixels: NDArray[np.float32]) -> NDArray[np.float64]:
        """Give the values of an image at the brightest pixels."""
        return np.asarray(pixels[self.peaks[0], self.peaks[1]], dtype=np.float64)


def _axes(
    down: NDArray[np.float64], across: NDArray[np.float64], mixed: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Give the standard deviations along the axes of an ellipse from the second moments."""
    half, root = (down + across) / 2, np.hypot((down - across) / 2, mixed)
    return np.asarray(np.sqrt(np.maximum(np.stack([half + root, half - root]), _LEAST)), dtype=np.float64)
