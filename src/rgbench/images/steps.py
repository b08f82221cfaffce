"""Steps of presets that look at one image's pixels alone: missing ones, scaling, the clipping of 2021.

All take images of shape (n, h, w) and give as many. They reduce over one flat contiguous axis in the precision of
the images, which gives the same bits as the 2021 code: see `rgbench.images.preprocess`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rgbench.images.noise import ImageError

Pixels = NDArray[np.floating[Any]]


class ConstantImageError(ImageError):
    """An image whose pixels are all equal cannot be normalised; `index` says which."""

    def __init__(self, index: int) -> None:
        super().__init__(index, "all pixels are equal, so min-max is 0/0")


def replace_nan(images: Pixels, value: float = 0.0) -> Pixels:
    """Replace NaN pixels, by default with the level of zero flux.

    Parameters
    ----------
    images : ndarray, shape (n, h, w)
        Images.
    value : float
        What stands for a missing pixel, in the unit of the images.

    Returns
    -------
    ndarray, shape (n, h, w)
        Images without NaN; infinite pixels stay.
    """
    return np.where(np.isnan(images), images.dtype.type(value), images)


def minmax(images: Pixels) -> Pixels:
    """Bring each image to the range 0 to 1: (x - min) / (max - min).

    Parameters
    ----------
    images : ndarray, shape (n, h, w)
        Images without NaN.

    Returns
    -------
    ndarray, shape (n, h, w)
        Images whose smallest pixel is 0 and whose largest is 1.

    Raises
    ------
    ConstantImageError
        If an image is constant: 0/0 has no value.

    Examples
    --------
    >>> minmax(np.array([[[2.0, 4.0], [3.0, 2.0]]])).tolist()
    [[[0.0, 1.0], [0.5, 0.0]]]
    """
    low = images.min(axis=(1, 2), keepdims=True)
    span = images.max(axis=(1, 2), keepdims=True) - low
    if not span.all():
        raise ConstantImageError(int(np.argmin(span)))
    return np.asarray((images - low) / span)


def to_peak(images: Pixels) -> Pixels:
    """Divide each image by its highest pixel; one without a pixel above 0 stays as it is.

    Examples
    --------
    >>> to_peak(np.array([[[0.0, 2.0]], [[0.0, 0.0]]])).tolist()
    [[[0.0, 1.0]], [[0.0, 0.0]]]
    """
    peak = images.max(axis=(1, 2), keepdims=True)
    return np.asarray(images / np.where(peak > 0, peak, 1))


def divide(images: Pixels, by: float) -> Pixels:
    """Divide images by a constant, e.g. bytes by 255.

    Examples
    --------
    >>> divide(np.array([[[0.0, 51.0]]]), 255).tolist()
    [[[0.0, 0.2]]]
    """
    return np.asarray(images / images.dtype.type(by))


def threshold_2021(images: Pixels) -> Pixels:
    """Give the 2021 clipping level of each image, mean + 3 standard deviations of all its pixels.

    Parameters
    ----------
    images : ndarray, shape (n, h, w)
        Images, usually after `minmax`. The standard deviation is that of a population (ddof 0).

    Returns
    -------
    ndarray, shape (n, 1, 1)
        The level, in the precision of the images.
    """
    flat = _flat(images)
    level = flat.mean(axis=1) + 3 * flat.std(axis=1)
    return np.asarray(level).reshape(-1, 1, 1)


def sigma_clip_2021(images: Pixels) -> Pixels:
    """Keep pixels strictly above mean + 3 standard deviations, set all others to 0.

    One pass, no iteration; nothing is subtracted and the range is not stretched again. The statistics
    include the source itself, so that a bright or large source raises its own threshold.

    Parameters
    ----------
    images : ndarray, shape (n, h, w)
        Images, usually after `minmax`.

    Returns
    -------
    ndarray, shape (n, h, w)
        Clipped images; of FIRST cutouts 0.3 % of the pixels survive.

    Notes
    -----
    Becker, Vaccari, Prescott & Grobler 2021, MNRAS 503, 1828, as in the authors' code.
    """
    return np.where(images > threshold_2021(images), images, images.dtype.type(0))


def bin_thresh_2021(images: Pixels, level: float = 0.8) -> Pixels:
    """Set pixels above a fraction of the maximum to 1 and leave all others as they are.

    This is what the switch `bin_thresh` of the 2021 code does: it throws the clipped image away, and the
    result is neither binary nor clipped. It is here to reproduce results made with it.

    Parameters
    ----------
    images : ndarray, shape (n, h, w)
        Images after `minmax`, not clipped.
    level : float
        Fraction of the maximum.

    Returns
    -------
    ndarray, shape (n, h, w)
        The images with their peaks flattened.
    """
    peak = images.max(axis=(1, 2), keepdims=True)
    return np.where(images > level * peak, images.dtype.type(1), images)


def _flat(images: Pixels) -> Pixels:
    """Give each image as one contiguous row; shape (n, h * w)."""
    return np.ascontiguousarray(images).reshape(len(images), images.shape[1] * images.shape[2])
