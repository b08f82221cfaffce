"""Sky groups: two copies of a source never stand on both sides of a split."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from rgbench.errors import LeakageError

RADIUS = 60.0
"""Sources closer than this many arcseconds belong to one sky group."""


def sky_groups(
    ra: NDArray[np.float64], dec: NDArray[np.float64], radius: float = RADIUS
) -> NDArray[np.int64]:
    """Group sources on the sky, friends of friends: chains count.

    Parameters
    ----------
    ra, dec : ndarray, shape (n,)
        Positions in degrees, ICRS. A source without position (NaN) is a group of its own.
    radius : float
        Linking length in arcseconds.

    Returns
    -------
    ndarray of int64, shape (n,)
        Group numbers from 0, in the order of first appearance.

    Examples
    --------
    >>> sky_groups(np.array([10.0, 10.01, 50.0]), np.array([0.0, 0.0, 0.0])).tolist()
    [0, 0, 1]
    """
    n = len(ra)
    known = np.flatnonzero(np.isfinite(ra) & np.isfinite(dec))
    alpha, delta = np.deg2rad(ra[known]), np.deg2rad(dec[known])
    cos = np.cos(delta)
    points = np.stack((cos * np.cos(alpha), cos * np.sin(alpha), np.sin(delta)), axis=1)
    chord = 2 * np.sin(np.deg2rad(radius / 3600) / 2)
    pairs = cKDTree(points).query_pairs(chord, output_type="ndarray") if len(known) else np.zeros((0, 2), int)
    first, second = known[pairs[:, 0]], known[pairs[:, 1]]
    graph = coo_matrix((np.ones(len(pairs), dtype=np.int8), (first, second)), shape=(n, n))
    _, labels = connected_components(graph, directed=False)
    _, start, inverse = np.unique(labels, return_index=True, return_inverse=True)
    order = np.empty(len(start), dtype=np.int64)
    order[np.argsort(start)] = np.arange(len(start))
    return order[inverse]


def assert_no_leak(source_id: NDArray[Any], group: NDArray[np.int64], assignment: NDArray[Any]) -> None:
    """Raise `LeakageError`, naming the sources, if a sky group stands on two sides of a split.

    Parameters
    ----------
    source_id, group, assignment : ndarray, shape (n,)
        Names, sky groups, and "train", "validation", "test" or "" for each source.
    """
    used = assignment != ""
    sides: dict[int, tuple[str, str]] = {}
    leaks = []
    for name, number, side in zip(source_id[used], group[used], assignment[used], strict=True):
        other = sides.setdefault(int(number), (str(name), str(side)))
        if other[1] != side:
            leaks.append(f"{other[0]} ({other[1]}) and {name} ({side})")
    if leaks:
        raise LeakageError(
            f"{len(leaks)} sources stand near a source of another split: {'; '.join(leaks[:5])}"
        )
