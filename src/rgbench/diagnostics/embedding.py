"""What a network makes of sources before its last layer: neighbours among embeddings, and their principal plane."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rgbench.errors import DataError


def nearest_neighbour_share(embeddings: NDArray[np.floating[Any]], label: NDArray[np.int64]) -> float:
    """Give the share of the sources whose nearest neighbour has their class; NaN for fewer than two labelled ones.

    Parameters
    ----------
    embeddings : ndarray, shape (n, d)
        One row per source; distances are Euclidean.
    label : ndarray of int64, shape (n,)
        Classes; sources with -1 are left out.

    Examples
    --------
    >>> nearest_neighbour_share(np.array([[0.0], [1], [10], [11], [10.4]]), np.array([0, 0, 1, 1, 0]))
    0.4
    """
    points, label = np.asarray(embeddings, dtype=np.float64)[label >= 0], label[label >= 0]
    if len(label) < 2:
        return float("nan")
    squares = (points**2).sum(axis=1)
    distance = squares[:, None] + squares - 2 * points @ points.T
    np.fill_diagonal(distance, np.inf)
    return float((label[distance.argmin(axis=1)] == label).mean())


def principal_plane(embeddings: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Project embeddings on their two largest principal components.

    Parameters
    ----------
    embeddings : ndarray, shape (n, d)
        One row per source; at least one, of finite numbers (`DataError`).

    Returns
    -------
    points : ndarray of float64, shape (n, 2)
        Coordinates about the mean; along each axis the source farthest out is on the positive side.
    explained : ndarray of float64, shape (2,)
        Share of the variance along each; 0 if all rows are equal.

    Examples
    --------
    >>> points, explained = principal_plane(np.array([[0.0, 0, 1], [4, 0, 1], [2, 1, 1], [2, -1, 1]]))
    >>> np.abs(points).round(6).tolist(), explained.round(6).tolist()
    ([[2.0, 0.0], [2.0, 0.0], [0.0, 1.0], [0.0, 1.0]], [0.8, 0.2])
    """
    if len(embeddings) == 0 or not np.isfinite(embeddings).all():
        raise DataError(f"embeddings of shape {embeddings.shape}: rows of finite numbers are needed")
    centred = embeddings.astype(np.float64) - embeddings.mean(axis=0, dtype=np.float64)
    points, explained = np.zeros((len(centred), 2)), np.zeros(2)
    total = float((centred**2).sum())
    if total == 0:
        return points, explained
    # The smaller of the two matrices that have the same eigenvalues: embeddings are often wider than long.
    tall = len(centred) > centred.shape[1]
    values, vectors = np.linalg.eigh(centred.T @ centred if tall else centred @ centred.T)
    for axis in range(min(2, len(values))):
        value, vector = max(float(values[-1 - axis]), 0.0), vectors[:, -1 - axis]
        column = centred @ vector if tall else vector * np.sqrt(value)
        points[:, axis] = column * np.sign(column[np.abs(column).argmax()] or 1.0)
        explained[axis] = value / total
    return points, explained
