"""Which source of a data set each row of a table means: by its name, else by its place on the sky."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from rgbench.data.catalogue import Catalogue
from rgbench.data.leakage import chord, unit_vectors
from rgbench.errors import DataError

TOLERANCE = 5.0
"""Arcseconds within which a position is that of a source: positions of first-galaxy-data are rounded to 3.6."""
LARGEST = 30.0
"""Largest tolerance: half of `rgbench.data.leakage.RADIUS`, below which sources are taken to be copies of one."""


@dataclass(frozen=True)
class Matched:
    """Sources that rows of a table mean.

    Attributes
    ----------
    row : ndarray of int64, shape (n,)
        Row of the catalogue; -1 where no source is meant.
    by_position : ndarray of bool, shape (n,)
        Whether it was found by its position, and not by its name.
    """

    row: NDArray[np.int64]
    by_position: NDArray[np.bool_]


def astray(
    found: Matched, ra: NDArray[np.float64], dec: NDArray[np.float64], catalogue: Catalogue, tolerance: float
) -> NDArray[np.int64]:
    """Give the rows whose position is not that of the source that they name.

    Parameters
    ----------
    found : Matched
        The sources of the rows.
    ra, dec : ndarray of float64, shape (n,)
        Positions in degrees, ICRS; NaN where there is none, and nothing to contradict a name.
    catalogue : Catalogue
        The sources.
    tolerance : float
        Arcseconds beyond which a position is another one.

    Examples
    --------
    >>> none = np.zeros(1, np.int64)
    >>> sky = Catalogue(np.array(["a"]), np.array([10.0]), np.zeros(1), none, none, np.array([""]), none)
    >>> where = np.array([10.0, 10.1]), np.zeros(2)
    >>> astray(match_sources(np.array(["a", "a"]), *where, sky), *where, sky, 5.0).tolist()
    [1]
    """
    placed = np.isfinite(catalogue.ra) & np.isfinite(catalogue.dec)
    asked = np.flatnonzero((found.row >= 0) & np.isfinite(ra) & np.isfinite(dec))
    asked = asked[placed[found.row[asked]]]
    row = found.row[asked]
    apart = unit_vectors(ra[asked], dec[asked]) - unit_vectors(catalogue.ra[row], catalogue.dec[row])
    return np.asarray(asked[np.linalg.norm(apart, axis=1) > chord(tolerance)])


def match_sources(
    name: NDArray[Any],
    ra: NDArray[np.float64],
    dec: NDArray[np.float64],
    catalogue: Catalogue,
    tolerance: float = TOLERANCE,
) -> Matched:
    """Find the source of a catalogue that each row means.

    Parameters
    ----------
    name : ndarray of str, shape (n,)
        Source ids; "" where there is none. One that the catalogue has decides, whatever the position.
    ra, dec : ndarray of float64, shape (n,)
        Positions in degrees, ICRS; NaN where there is none.
    catalogue : Catalogue
        The sources.
    tolerance : float
        Arcseconds within which a position is that of a source.

    Raises
    ------
    DataError
        If two sources lie within the tolerance of a position, or the tolerance is not legal.

    Examples
    --------
    >>> none = np.zeros(2, np.int64)
    >>> sky = Catalogue(np.array(["a", "b"]), np.array([10.0, 20.0]), np.zeros(2), none, none, np.array(["", ""]), none)
    >>> match_sources(np.array(["b", "x"]), np.array([np.nan, 10.001]), np.array([np.nan, 0.0]), sky).row.tolist()
    [1, 0]
    """
    if not 0 < tolerance <= LARGEST:
        raise DataError(f"tolerance: found {tolerance:g} arcsec; above 0 and up to {LARGEST:g} is legal")
    place = {source: row for row, source in enumerate(catalogue.source_id.tolist())}
    row = np.array([place.get(word, -1) for word in name.tolist()], dtype=np.int64)
    by_position = np.zeros(len(row), dtype=bool)
    known = np.flatnonzero(np.isfinite(catalogue.ra) & np.isfinite(catalogue.dec))
    asked = np.flatnonzero((row < 0) & np.isfinite(ra) & np.isfinite(dec))
    if not (len(known) and len(asked)):
        return Matched(row, by_position)
    tree = cKDTree(unit_vectors(catalogue.ra[known], catalogue.dec[known]))
    near = tree.query_ball_point(unit_vectors(ra[asked], dec[asked]), chord(tolerance))
    for i, found in zip(asked.tolist(), near, strict=True):
        if len(found) > 1:
            names = " and ".join(catalogue.source_id[known[sorted(found)[:2]]].tolist())
            raise DataError(
                f"row {i + 1}, {ra[i]:.5f} {dec[i]:+.5f}: {names} lie within {tolerance:g} arcsec; give source ids, or "
                "a smaller tolerance"
            )
        if found:
            row[i], by_position[i] = known[found[0]], True
    return Matched(row, by_position)
