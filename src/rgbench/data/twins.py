"""Images of one source where no position is known: equal pixels, and pixels that go together.

Two cutouts of one source from one survey differ by their clip, their scaling and a pixel of shift; the
normalised cross-correlation of their central fields says how alike they are. It cannot tell one small double
from another, so that a match is secure only if nothing else comes near it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rgbench.errors import DataError
from rgbench.images.geometry import central_crop

SIMILAR = 0.95
"""Correlation from which two images may show one source."""
MARGIN = 0.05
"""By how much the best match must exceed every other to be secure."""
REACH = 1
"""Pixels by which two cutouts of one source may be shifted, along each axis."""
CHUNK = 512
"""Images compared at a time, which bounds the memory."""


@dataclass(frozen=True)
class Twins:
    """Pairs of images that are alike.

    Attributes
    ----------
    pairs : ndarray of int64, shape (m, 2)
        Images of the first and of the second stack, ordered by the first, best match first.
    correlation : ndarray of float32, shape (m,)
        Normalised cross-correlation at the best shift, at least `SIMILAR`.
    secure : ndarray of bool, shape (m,)
        Whether the pair exceeds all others of its first image by `MARGIN`.
    """

    pairs: NDArray[np.int64]
    correlation: NDArray[np.float32]
    secure: NDArray[np.bool_]


def find_twins(
    first: NDArray[Any], second: NDArray[Any], similar: float = SIMILAR, reach: int = REACH
) -> Twins:
    """Find the images of two stacks that may show one source.

    Parameters
    ----------
    first : ndarray, shape (n, h, w)
        Images; NaN counts as 0.
    second : ndarray, shape (m, h', w')
        Images of the same pixel scale. The larger field is cut to the smaller one about its centre.
    similar : float
        Smallest correlation, above 0.
    reach : int
        Largest shift along each axis, in pixels.

    Returns
    -------
    Twins
        All pairs of at least that correlation. A constant image matches nothing.

    Raises
    ------
    DataError
        If an argument is not a stack of images.

    Examples
    --------
    >>> images = np.zeros((2, 16, 16)); images[0, 8, 3:9] = 1; images[1, 4:12, 8] = 1
    >>> twins = find_twins(images, np.roll(images, 1, axis=2))
    >>> twins.pairs.tolist(), twins.secure.tolist()
    ([[0, 0], [1, 1]], [True, True])
    """
    for stack in (first, second):
        if stack.ndim != 3:
            raise DataError(f"images to compare: found shape {stack.shape}, expected (n, h, w)")
    field = (min(first.shape[1], second.shape[1]), min(first.shape[2], second.shape[2]))
    ours = _unit(central_crop(first, field))
    best = np.full((len(first), len(second)), -1, dtype=np.float32)
    for start in range(0, len(second), CHUNK):
        part = central_crop(second[start : start + CHUNK], field)
        for shift in np.ndindex(2 * reach + 1, 2 * reach + 1):
            theirs = _unit(_shifted(part, shift[0] - reach, shift[1] - reach))
            np.maximum(best[:, start : start + CHUNK], ours @ theirs.T, out=best[:, start : start + CHUNK])
    return _select(best, similar)


def identical_groups(images: NDArray[Any]) -> NDArray[np.int64]:
    """Number the images of a stack, from 0; images equal in every pixel, unless constant, share a number.

    Examples
    --------
    >>> identical_groups(np.array([[[0, 1]], [[1, 0]], [[0, 1]], [[0, 0]], [[0, 0]]])).tolist()
    [0, 1, 0, 3, 4]
    """
    first: dict[bytes, int] = {}
    groups = np.arange(len(images), dtype=np.int64)
    for i, image in enumerate(images):
        if image.min() != image.max():
            groups[i] = first.setdefault(image.tobytes(), i)
    return groups


def _select(best: NDArray[np.float32], similar: float) -> Twins:
    rows, columns = np.nonzero(best >= similar)
    correlation = best[rows, columns]
    order = np.lexsort((-correlation, rows))
    rows, columns, correlation = rows[order], columns[order], correlation[order]
    padded = np.pad(best, ((0, 0), (1, 0)), constant_values=-1)
    runner_up = np.partition(padded, -2, axis=1)[:, -2]
    secure = correlation > runner_up[rows] + MARGIN
    return Twins(np.stack((rows, columns), axis=1), correlation, secure)


def _unit(images: NDArray[Any]) -> NDArray[np.float32]:
    """Give images as rows of mean 0 and length 1; constant ones as zeros."""
    flat = np.nan_to_num(images.reshape(len(images), -1).astype(np.float32))
    flat -= flat.mean(axis=1, keepdims=True)
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    return np.asarray(np.divide(flat, length, out=np.zeros_like(flat), where=length > 0))


def _shifted(images: NDArray[Any], down: int, across: int) -> NDArray[Any]:
    """Shift images by whole pixels; what comes in at the edge is 0."""
    moved = np.zeros_like(images)
    height, width = images.shape[1:]
    target = images[:, max(-down, 0) : height - max(down, 0), max(-across, 0) : width - max(across, 0)]
    moved[:, max(down, 0) : height - max(-down, 0), max(across, 0) : width - max(-across, 0)] = target
    return moved
