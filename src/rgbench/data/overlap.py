"""What two data sets share: sources at one position, and what each calls them.

Labels of one source differ between catalogues; their agreement is the ceiling of any score across them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from rgbench.data.catalogue import CLASSES, Catalogue
from rgbench.data.leakage import RADIUS, chord, unit_vectors
from rgbench.errors import DataError

SAME = 10.0
"""Entries of two catalogues closer than this many arcseconds are taken to be one source."""
UNLABELLED = "(no label)"


@dataclass(frozen=True)
class Labelled:
    """A catalogue with the names of its classes.

    Attributes
    ----------
    name : str
        Name of the data set.
    classes : tuple of str
        Class names, in the order of the labels.
    catalogue : Catalogue
        The sources.
    """

    name: str
    classes: tuple[str, ...]
    catalogue: Catalogue

    @property
    def words(self) -> NDArray[Any]:
        """Class of each source in words, shape (n,)."""
        names = np.array([*self.classes, UNLABELLED])
        return names[self.catalogue.label]


@dataclass(frozen=True)
class Overlap:
    """Pairs of sources of two catalogues at the same position.

    Attributes
    ----------
    first, second : Labelled
        The catalogues.
    radius : float
        Largest separation in arcseconds.
    pairs : ndarray of int64, shape (m, 2)
        Rows of the first and of the second, ordered by the first, then by separation.
    separation : ndarray of float64, shape (m,)
        Arcseconds.
    """

    first: Labelled
    second: Labelled
    radius: float
    pairs: NDArray[np.int64]
    separation: NDArray[np.float64]

    @property
    def n_first(self) -> int:
        """Number of sources of the first that stand in the second."""
        return len(np.unique(self.pairs[:, 0]))

    @property
    def n_second(self) -> int:
        """Number of sources of the second that stand in the first."""
        return len(np.unique(self.pairs[:, 1]))

    def matrix(self) -> NDArray[np.int64]:
        """Count the pairs by their labels, shape (classes of the first, classes of the second).

        Pairs of which one has no label are left out.
        """
        rows = self.first.catalogue.label[self.pairs[:, 0]]
        columns = self.second.catalogue.label[self.pairs[:, 1]]
        both = (rows >= 0) & (columns >= 0)
        counts = np.zeros((len(self.first.classes), len(self.second.classes)), dtype=np.int64)
        np.add.at(counts, (rows[both], columns[both]), 1)
        return counts

    def agreement(self) -> tuple[int, int]:
        """Give the number of pairs with equal class names, and of all pairs within the common four classes.

        A class that only one of the catalogues has counts, as it disagrees; hybrids and other classes outside
        the common task do not.
        """
        words = self.first.words[self.pairs[:, 0]], self.second.words[self.pairs[:, 1]]
        common = np.isin(words[0], CLASSES) & np.isin(words[1], CLASSES)
        return int((common & (words[0] == words[1])).sum()), int(common.sum())


def overlap(first: Labelled, second: Labelled, radius: float = SAME) -> Overlap:
    """Find the sources that stand in two catalogues.

    Parameters
    ----------
    first, second : Labelled
        The catalogues. Sources without position match nothing.
    radius : float
        Largest separation in arcseconds.

    Returns
    -------
    Overlap
        Every pair within the radius: a source may be in several.

    Raises
    ------
    DataError
        If one of the catalogues has no positions at all.
    """
    for each in (first, second):
        if not np.isfinite(each.catalogue.ra).any():
            raise DataError(
                f"{each.name} tells no positions; rgbench.data.twins finds its sources by their images"
            )
    pairs, separation = close_pairs(first.catalogue, second.catalogue, radius)
    return Overlap(first, second, radius, pairs, separation)


def close_pairs(
    first: Catalogue, second: Catalogue, radius: float = RADIUS
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Give all pairs of rows of two catalogues within some arcseconds, shape (m, 2), and their separations.

    Pairs are ordered by the first row, then by separation.
    """
    known = [np.flatnonzero(np.isfinite(each.ra) & np.isfinite(each.dec)) for each in (first, second)]
    points = [
        unit_vectors(each.ra[rows], each.dec[rows]) for each, rows in zip((first, second), known, strict=True)
    ]
    if not (len(known[0]) and len(known[1])):
        return np.zeros((0, 2), dtype=np.int64), np.zeros(0)
    near = cKDTree(points[1]).query_ball_point(points[0], chord(radius))
    i = np.repeat(np.arange(len(near)), [len(rows) for rows in near])
    j = np.concatenate([np.array(rows, dtype=np.int64) for rows in near])
    apart = np.linalg.norm(points[0][i] - points[1][j], axis=1)
    separation = 2 * np.rad2deg(np.arcsin(apart / 2)) * 3600
    order = np.lexsort((separation, i))
    return np.stack((known[0][i], known[1][j]), axis=1)[order], separation[order]
