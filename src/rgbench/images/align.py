"""The principal axis of sources, and rotation to it.

Angles are those of the array: degrees from the direction of growing columns, counted towards growing rows.
With row 0 south and column 0 east, as in all data sets here and in most FITS images, 0 is west and 90 is
north, and the astronomers' position angle (north through east) is the angle minus 90, modulo 180.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import affine_transform

from rgbench.images.segment import Segmentation, source_mask

Pixels = NDArray[np.floating[Any]]


def principal_angles(images: NDArray[Any], segmentation: Segmentation | None = None) -> NDArray[np.float64]:
    """Give the direction in which each source is most extended.

    It is that of the first principal component of the source's pixels, weighted by brightness: the axis of
    the largest second moment about the centroid. An axis has no head: theta and theta + 180 are the same.

    Parameters
    ----------
    images : ndarray, shape (n, h, w)
        Images in any unit of flux; NaN belongs to no source.
    segmentation : Segmentation, optional
        Which pixels are the source; by default all clumps that stand out 5 sigma, down to 3 sigma, and are
        linked to the one nearest to the centre.

    Returns
    -------
    ndarray of float64, shape (n,)
        Degrees above -90 and up to 90, see the convention of the module; NaN where there is no source. Of a
        round source the angle is an accident of the noise.

    Notes
    -----
    tan(2 theta) = 2 m_xy / (m_xx - m_yy), with m the second moments. Brand et al. 2023, MNRAS 522, 292, align
    the principal components of the pixels with the axes to standardise the orientation.

    Examples
    --------
    >>> image = np.zeros((30, 30)); image[[10, 11, 12, 13, 14, 15, 16, 17, 18], range(10, 19)] = 1
    >>> principal_angles(image[None]).round(6).tolist()
    [45.0]
    """
    how = segmentation or Segmentation()
    noise = how.estimate_noise(images)
    angles = [
        _angle(image, source_mask(image, level, how)) for image, level in zip(images, noise, strict=True)
    ]
    return np.array(angles, dtype=np.float64)


def rotate(images: Pixels, angles: NDArray[np.float64]) -> Pixels:
    """Turn images about their centres, so that what lies along `angles` comes to lie along the rows.

    Parameters
    ----------
    images : ndarray, shape (n, h, w)
        Images. NaN becomes 0, the level of zero flux: interpolated, it would spread.
    angles : ndarray, shape (n,)
        Degrees, see the convention of the module; an image whose angle is NaN is not turned.

    Returns
    -------
    ndarray, shape (n, h, w)
        Turned images, interpolated linearly; 0 where nothing was.

    Examples
    --------
    >>> rotate(np.array([[[0.0, 1.0, 0.0]] * 3]), np.array([90.0])).round(6).tolist()[0]
    [[0.0, 0.0, 0.0], [1.0, 1.0, 1.0], [0.0, 0.0, 0.0]]
    """
    filled = np.where(np.isnan(images), images.dtype.type(0), images)
    middle = (np.array(images.shape[1:]) - 1) / 2
    for index in np.flatnonzero(np.isfinite(angles)):
        sine, cosine = np.sin(np.radians(angles[index])), np.cos(np.radians(angles[index]))
        matrix = np.array([[cosine, sine], [-sine, cosine]])
        filled[index] = affine_transform(filled[index], matrix, middle - matrix @ middle, order=1)
    return filled


def align_principal_axis(images: Pixels, detect: float = 5.0, grow: float = 3.0) -> Pixels:
    """Turn each image about its centre, so that the principal axis of its source lies along the rows.

    A step of a preset. What stays open is a half turn: which end is to the left.

    Parameters
    ----------
    images : ndarray, shape (n, h, w)
        Images in any unit of flux; NaN becomes 0. Images without a source are not turned.
    detect, grow : float
        Levels, in units of the noise, of the pixels that count: see `Segmentation`.

    Returns
    -------
    ndarray, shape (n, h, w)
        Turned images; 0 in the corners that come from outside the field.

    Notes
    -----
    Brand et al. 2023, MNRAS 522, 292.
    """
    return rotate(images, principal_angles(images, Segmentation(detect=detect, grow=grow)))


def _angle(image: NDArray[Any], mask: NDArray[np.bool_]) -> float:
    rows, columns = np.nonzero(mask)
    if len(rows) == 0:
        return float("nan")
    weight = image[mask].astype(np.float64)
    weight /= weight.sum()
    y, x = rows - weight @ rows, columns - weight @ columns
    twice = np.arctan2(2 * (weight @ (x * y)), weight @ (x * x - y * y))
    return float(np.degrees(twice / 2))
