"""Which rows of a catalogue lie near each other on the sky."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

_TOGETHER = 500_000
"""Positions whose neighbours are looked for together."""


class Near:
    """Positions on the sky, to look up what lies near each.

    Parameters
    ----------
    ra, dec : ndarray of float64, shape (n,)
        Degrees, ICRS; NaN where a row has none.

    Examples
    --------
    >>> near = Near(np.array([10.0, 10.0, np.nan, 50.0]), np.array([0.0, 0.01, 0.0, 0.0]))
    >>> near.nearest().round(1).tolist()
    [36.0, 36.0, nan, 144000.0]
    >>> [others.tolist() for others in near.around(np.array([0, 3]), 60.0)]
    [[1], []]
    """

    def __init__(self, ra: NDArray[np.float64], dec: NDArray[np.float64]) -> None:
        self._n = len(ra)
        self._known = np.flatnonzero(np.isfinite(ra) & np.isfinite(dec))
        self._ra, self._dec = ra, dec
        self._tree = cKDTree(on_sphere(ra, dec, self._known)) if len(self._known) else None

    def nearest(self) -> NDArray[np.float32]:
        """Give the distance of each row to the nearest other one, arcsec; NaN for those that are not known."""
        found = np.full(self._n, np.nan, dtype=np.float32)
        if self._tree is None or len(self._known) < 2:
            return found
        for start in range(0, len(self._known), _TOGETHER):
            part = slice(start, start + _TOGETHER)
            chord = self._tree.query(self._tree.data[part], k=2)[0][:, 1]
            found[self._known[part]] = np.degrees(2 * np.arcsin(np.minimum(chord / 2, 1))) * 3600
        return found

    def around(self, rows: NDArray[np.int64], radius: float) -> Sequence[NDArray[np.int64]]:
        """Give the other rows within a radius, arcsec, of rows that have a position, in the order of the catalogue."""
        if self._tree is None or not len(rows):
            return []
        chord = 2 * math.sin(math.radians(radius / 3600) / 2)
        found = self._tree.query_ball_point(on_sphere(self._ra, self._dec, rows), chord)
        others = (np.sort(self._known[places]) for places in found)
        return [own[own != row] for own, row in zip(others, rows.tolist(), strict=True)]


def on_sphere(
    ra: NDArray[np.float64], dec: NDArray[np.float64], rows: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Give unit vectors (n, 3) of some rows' positions in degrees; a part at a time, as the way there takes more room.

    Examples
    --------
    >>> on_sphere(np.array([0.0, 90.0]), np.array([0.0, 0.0]), np.array([1])).round(3).tolist()
    [[0.0, 1.0, 0.0]]
    """
    found = np.empty((len(rows), 3))
    for start in range(0, len(rows), _TOGETHER):
        part = slice(start, start + _TOGETHER)
        lon, lat = np.radians(ra[rows[part]]), np.radians(dec[rows[part]])
        found[part] = np.column_stack((np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)))
    return found
