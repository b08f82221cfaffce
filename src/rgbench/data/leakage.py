"""Sky groups: two copies of a source never stand on both sides of a split."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from rgbench.errors import LeakageError
from rgbench.numbers import counted

RADIUS = 60.0
"""Sources closer than this many arcseconds belong to one sky group."""
STRIP = 500_000
"""Sources of a declination strip."""
PAIRS = 20_000_000
"""Close pairs held in memory at a time; a more crowded strip is halved."""
SAMPLE = 500
"""Points from which the number of close pairs is estimated."""


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

    Notes
    -----
    Declination strips, each with a tree of its own, keep the memory proportional to the number of sources
    however crowded the sky is: 10 million positions over the whole sky take about 20 s and 1.3 GB.

    Examples
    --------
    >>> sky_groups(np.array([10.0, 10.01, 50.0]), np.array([0.0, 0.0, 0.0])).tolist()
    [0, 0, 1]
    """
    return linked_groups(len(ra), [sky_links(ra, dec, radius)])


def sky_links(ra: NDArray[np.float64], dec: NDArray[np.float64], radius: float = RADIUS) -> NDArray[np.int64]:
    """Give links that join every sky group: pairs of rows, not all pairs that are close.

    Parameters
    ----------
    ra, dec, radius : ndarray, ndarray, float
        As for `sky_groups`.

    Returns
    -------
    ndarray of int64, shape (m, 2)
        Linked rows; following links from row to row leads through the whole group.
    """
    known = np.flatnonzero(np.isfinite(ra) & np.isfinite(dec))
    order = known[np.lexsort((ra[known], dec[known]))]
    same = (np.diff(ra[order]) == 0) & (np.diff(dec[order]) == 0)
    links = [np.stack((order[:-1][same], order[1:][same]), axis=1)]
    rows = order[np.concatenate(([True], ~same))] if len(order) else order
    points = unit_vectors(ra[rows], dec[rows])
    strips = [(start, min(start + STRIP, len(rows))) for start in range(0, len(rows), STRIP)]
    while strips:
        start, stop = strips.pop()
        end = int(np.searchsorted(dec[rows], dec[rows[stop - 1]] + radius / 3599.999, side="right"))
        tree = cKDTree(points[start:end])
        if stop - start > 1 and _expected_pairs(tree, chord(radius)) > PAIRS:
            middle = (start + stop) // 2
            strips += [(start, middle), (middle, stop)]
            continue
        pairs = tree.query_pairs(chord(radius), output_type="ndarray") + start
        links.append(rows[_forest(pairs, start, end)])
    return np.concatenate(links)


def linked_groups(n: int, links: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Number the groups of n rows that links join, from 0, in the order of first appearance.

    Examples
    --------
    >>> linked_groups(4, [np.array([[1, 3]])]).tolist()
    [0, 1, 2, 1]
    """
    first, second = np.concatenate([np.zeros((0, 2), dtype=np.int64), *links]).T
    graph = coo_matrix((np.ones(len(first), dtype=np.int8), (first, second)), shape=(n, n))
    _, labels = connected_components(graph, directed=False)
    _, start, inverse = np.unique(labels, return_index=True, return_inverse=True)
    order = np.empty(len(start), dtype=np.int64)
    order[np.argsort(start)] = np.arange(len(start))
    return order[inverse]


def unit_vectors(ra: NDArray[np.float64], dec: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the directions of positions (degrees) as unit vectors, shape (n, 3)."""
    alpha, delta = np.deg2rad(ra), np.deg2rad(dec)
    cos = np.cos(delta)
    return np.stack((cos * np.cos(alpha), cos * np.sin(alpha), np.sin(delta)), axis=1)


def chord(radius: float) -> float:
    """Give the distance of two unit vectors that are some arcseconds apart."""
    return float(2 * np.sin(np.deg2rad(radius / 3600) / 2))


def near_any(
    ra: NDArray[np.float64],
    dec: NDArray[np.float64],
    others: NDArray[np.float64],
    radius: float = RADIUS,
) -> NDArray[np.bool_]:
    """Tell which positions have one of some others nearby.

    Parameters
    ----------
    ra, dec : ndarray of float64, shape (n,)
        Positions in degrees, ICRS; NaN, which has nothing nearby, where one is not known.
    others : ndarray of float64, shape (m, 2)
        RA and Dec of the others, degrees.
    radius : float
        In arcseconds.

    Returns
    -------
    ndarray of bool, shape (n,)

    Examples
    --------
    >>> near_any(np.array([10.0, np.nan]), np.array([0.0, 0.0]), np.array([[10.01, 0.0]])).tolist()
    [True, False]
    """
    found = np.zeros(len(ra), dtype=bool)
    known = np.flatnonzero(np.isfinite(ra) & np.isfinite(dec))
    if len(known) and len(others):
        tree = cKDTree(unit_vectors(others[:, 0], others[:, 1]))
        distance, _ = tree.query(unit_vectors(ra[known], dec[known]))
        found[known] = distance <= chord(radius)
    return found


def _expected_pairs(tree: cKDTree, reach: float) -> float:
    """Estimate the number of close pairs from a few points of a tree."""
    sample = tree.data[:: max(1, tree.n // SAMPLE)]
    near = tree.query_ball_point(sample, reach, return_length=True)
    return float((np.mean(near) - 1) * tree.n / 2)


def _forest(pairs: NDArray[np.int64], start: int, end: int) -> NDArray[np.int64]:
    """Replace all pairs among the rows start to end by one link per row, to the first of its group."""
    if len(pairs) <= end - start:
        return pairs
    graph = coo_matrix((np.ones(len(pairs), dtype=np.int8), (pairs - start).T), shape=(end - start,) * 2)
    _, labels = connected_components(graph, directed=False)
    _, first = np.unique(labels, return_index=True)
    return np.stack((first[labels], np.arange(end - start)), axis=1) + start


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
        stand = counted(len(leaks), "source stands", "sources stand")
        raise LeakageError(f"{stand} near a source of another split: {'; '.join(leaks[:5])}")
