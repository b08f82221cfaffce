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

from rgbench.errors import SpecError
from rgbench.images.segment import Segmentation, source_mask

Pixels = NDArray[np.floating[Any]]


def principal_angles(
    images: NDArray[Any], segmentation: Segmentation | None = None, elongation: float = 1.2
) -> NDArray[np.float64]:
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
    elongation : float
        Root of the ratio of the second moments along and across the axis, from which on a source has an
        axis; 1 or more. Of rounder sources the angle would be an accident of the noise.

    Returns
    -------
    ndarray of float64, shape (n,)
        Degrees above -90 and up to 90, see the convention of the module; NaN where there is no source, or a
        round one.

    Raises
    ------
    SpecError
        If the elongation is below 1.

    Notes
    -----
    tan(2 theta) = 2 m_xy / (m_xx - m_yy), with m the second moments. Brand et al. 2023, MNRAS 522, 292, align
    the principal components of a galaxy with the axes of the image by a principal component analysis. Which of
    their pixels count, and with what weight, is not reproduced here: these are weighted by brightness, and
    only those of the source at the centre count, so that a neighbour does not turn the image.

    Examples
    --------
    >>> image = np.zeros((30, 30)); image[[10, 11, 12, 13, 14, 15, 16, 17, 18], range(10, 19)] = 1
    >>> principal_angles(image[None]).round(6).tolist()
    [45.0]
    """
    if not elongation >= 1:
        raise SpecError(f"elongation: {elongation!r} was given; legal is 1 or more")
    how = segmentation or Segmentation()
    noise = how.estimate_noise(images)
    angles = [
        _angle(image, source_mask(image, level, how), elongation)
        for image, level in zip(images, noise, strict=True)
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
        # "grid-constant" falls to 0 over one pixel; with "constant", rounding would lose parts of the edges.
        filled[index] = affine_transform(
            filled[index], matrix, middle - matrix @ middle, order=1, mode="grid-constant"
        )
    return filled


def align_principal_axis(
    images: Pixels, detect: float = 5.0, grow: float = 3.0, elongation: float = 1.2
) -> Pixels:
    """Turn each image about its centre, so that the principal axis of its source lies along the rows.

    A step of a preset. What stays open is a half turn: which end is to the left.

    Parameters
    ----------
    images : ndarray, shape (n, h, w)
        Images in any unit of flux; NaN becomes 0. Images without a source, or with a round one, are not
        turned.
    detect, grow : float
        Levels, in units of the noise, of the pixels that count: see `Segmentation`.
    elongation : float
        See `principal_angles`.

    Returns
    -------
    ndarray, shape (n, h, w)
        Turned images; 0 in the corners that come from outside the field.

    Notes
    -----
    Brand et al. 2023, MNRAS 522, 292; see `principal_angles` for what differs.
    """
    return rotate(images, principal_angles(images, Segmentation(detect=detect, grow=grow), elongation))


def _angle(image: NDArray[Any], mask: NDArray[np.bool_], elongation: float) -> float:
    rows, columns = np.nonzero(mask)
    if len(rows) == 0:
        return float("nan")
    weight = image[mask].astype(np.float64)
    weight /= weight.sum()
    y, x = rows - weight @ rows, columns - weight @ columns
    cross, difference, both = 2 * (weight @ (x * y)), weight @ (x * x - y * y), weight @ (x * x + y * y)
    spread = np.hypot(cross, difference)
    if both + spread < elongation**2 * (both - spread) or spread == 0:
        return float("nan")
    return float(np.degrees(np.arctan2(cross, difference) / 2))
