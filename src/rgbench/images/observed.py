"""Which pixels of an image were observed: some archives fill what lies beyond a survey's edge with zeros."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label

from rgbench.images.noise import MAD_TO_SIGMA

_LEAST = 100
"""Pixels beside the zeros that are enough to tell noise."""
_ZEROS = 0.01
"""Share of zeros among the others above which zero is a value as any, as in images of whole numbers."""
_TAIL = 2.0
"""Noise reaches at least so many standard deviations below the median; what has been clipped does not."""


def unobserved(image: NDArray[np.float32]) -> NDArray[np.bool_] | None:
    """Tell which pixels of an image were not observed, though they are not blanked.

    Parameters
    ----------
    image : ndarray, shape (h, w)
        Pixels in any unit; NaN where blanked.

    Returns
    -------
    ndarray of bool, shape (h, w), or None
        Blocks of pixels of exactly 0 that touch an edge, each of as many pixels as the shorter side or more, in an
        image whose other pixels are noise and sources. None if there is none: in an image that has been clipped, or
        that has no noise, zeros are values.

    Examples
    --------
    >>> image = np.random.default_rng(1).normal(size=(20, 20)).astype(np.float32)
    >>> unobserved(image) is None
    True
    >>> image[:, :5] = 0
    >>> int(unobserved(image).sum())
    100
    """
    zero = image == 0
    edge = np.concatenate([zero[0], zero[-1], zero[:, 0], zero[:, -1]])
    if edge.sum() < 2:
        return None
    blocks = _blocks_at_edges(zero)
    if not blocks.any():
        return None
    rest = image[~blocks & np.isfinite(image)]
    return blocks if _is_noisy(rest) else None


def _blocks_at_edges(zero: NDArray[np.bool_]) -> NDArray[np.bool_]:
    names: NDArray[Any]
    names, count = label(zero)
    sizes = np.bincount(names.ravel(), minlength=count + 1)
    there = np.zeros(count + 1, dtype=bool)
    there[np.concatenate([names[0], names[-1], names[:, 0], names[:, -1]])] = True
    there &= sizes >= min(zero.shape)
    there[0] = False
    return np.asarray(there[names])


def _is_noisy(pixels: NDArray[np.float32]) -> bool:
    if len(pixels) < _LEAST or np.count_nonzero(pixels == 0) > _ZEROS * len(pixels):
        return False
    middle = np.median(pixels)
    sigma = MAD_TO_SIGMA * float(np.median(np.abs(pixels - middle)))
    return sigma > 0 and float(middle - pixels.min()) > _TAIL * sigma
