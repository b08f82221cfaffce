"""How large sources are in their images."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, label
from scipy.spatial import ConvexHull, QhullError

from rgbench.images.preprocess import noise_clip

_NEIGHBOURS = np.ones((3, 3), dtype=bool)


def extents(images: NDArray[Any], smallest: int = 8, gap: int = 20) -> NDArray[np.float64]:
    """Give the largest distance between two pixels of the central source, in each image.

    Parameters
    ----------
    images : ndarray, shape (n, h, w)
        Images of any unit; NaN counts as empty.
    smallest : int
        Pixels that a clump above 3 sigma must have; smaller ones are noise.
    gap : int
        Pixels between clumps over which they still count as one source, such as the lobes of a double.

    Returns
    -------
    ndarray of float64, shape (n,)
        Pixels, from edge to edge; 0 for an image with no clump. What is measured is the source next to
        the centre; lobes that are farther apart than `gap` count as two sources.

    Examples
    --------
    >>> image = np.zeros((40, 40)); image[18:21, 10:13] = image[18:21, 25:28] = 1
    >>> extents(image[None]).round(1)
    array([18.1])
    """
    cleaned = noise_clip(np.nan_to_num(np.asarray(images, dtype=np.float32)))
    return np.array([_extent(_central_source(image > 0, smallest, gap)) for image in cleaned])


def _central_source(mask: NDArray[np.bool_], smallest: int, gap: int) -> NDArray[np.int64]:
    """List the pixels (row, column) of the clumps that are linked to the one next to the centre."""
    clumps, _ = label(mask, _NEIGHBOURS)
    large = np.bincount(clumps.ravel()) >= smallest
    large[0] = False
    pixels = np.argwhere(large[clumps])
    if len(pixels) == 0:
        return pixels
    linked, _ = label(binary_dilation(large[clumps], _NEIGHBOURS, iterations=gap // 2), _NEIGHBOURS)
    centre = (np.array(mask.shape) - 1) / 2
    nearest = pixels[np.hypot(*(pixels - centre).T).argmin()]
    return np.asarray(pixels[linked[tuple(pixels.T)] == linked[tuple(nearest)]])


def _extent(pixels: NDArray[np.int64]) -> float:
    """Give the largest distance between pixel centres, plus one pixel."""
    if len(pixels) == 0:
        return 0.0
    try:
        corners = pixels[ConvexHull(pixels).vertices]
    except (QhullError, ValueError):
        corners = pixels
    return float(np.linalg.norm(corners[:, None] - corners[None, :], axis=-1).max() + 1)
