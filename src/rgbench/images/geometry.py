"""Cutting, masking and resampling of images."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import make_interp_spline

from rgbench.errors import DataError, SpecError

Pixels = NDArray[np.floating[Any]]

ORDERS = {1: "linear", 3: "cubic spline"}
"""Orders of the interpolation that enlarges images."""
QUANTITIES = ("per beam", "per pixel")
"""What pixels may hold: flux density per beam, a brightness, or flux density per pixel, an amount."""


def central_crop(images: NDArray[Any], size: int | tuple[int, int]) -> NDArray[Any]:
    """Cut the central field out of images; an axis that is shorter than the field is kept whole.

    Parameters
    ----------
    images : ndarray, shape (..., h, w)
        Images. NaN stays NaN.
    size : int or (int, int)
        Side, or rows and columns, of the field in pixels. Where it cannot be central to the pixel, the
        field lies half a pixel nearer to row 0 and column 0.

    Returns
    -------
    ndarray, shape (..., rows, columns)
        A view of the images.

    Examples
    --------
    >>> central_crop(np.arange(16).reshape(1, 4, 4), 2).tolist()
    [[[5, 6], [9, 10]]]
    """
    wanted = (size, size) if isinstance(size, int) else size
    if min(wanted) < 1:
        raise SpecError(f"size: {size!r} was given; a field has at least 1 pixel a side")
    rows, columns = (min(want, have) for want, have in zip(wanted, images.shape[-2:], strict=True))
    top, left = (images.shape[-2] - rows) // 2, (images.shape[-1] - columns) // 2
    return images[..., top : top + rows, left : left + columns]


def circular_mask(images: NDArray[Any], radius: float | None = None, shift: float = 0.0) -> NDArray[Any]:
    """Set pixels outside a circle about the centre to 0.

    Parameters
    ----------
    images : ndarray, shape (..., h, w)
        Images. NaN inside the circle stays NaN, outside it becomes 0.
    radius : float, optional
        In pixels; a pixel belongs to the circle if its centre does. Left out: half the shorter side.
    shift : float
        Pixels by which the centre of the circle lies nearer to the last row and column than that of the
        image. At 0 the mask is the same after any flip or quarter turn. MiraBest has 0.5.

    Returns
    -------
    ndarray, shape (..., h, w)
        Masked images.

    Examples
    --------
    >>> circular_mask(np.ones((1, 4, 4), dtype=int)).tolist()[0]
    [[0, 1, 1, 0], [1, 1, 1, 1], [1, 1, 1, 1], [0, 1, 1, 0]]
    """
    rows, columns = images.shape[-2:]
    reach = min(rows, columns) / 2 if radius is None else radius
    if not reach >= 0:
        raise SpecError(f"radius: {radius!r} was given; it must be 0 or more")
    y = np.arange(rows)[:, None] - (rows - 1) / 2 - shift
    x = np.arange(columns) - (columns - 1) / 2 - shift
    return np.where(np.hypot(y, x) <= reach, images, images.dtype.type(0))


def block_mean(images: NDArray[Any], factor: int) -> Pixels:
    """Shrink images by the mean of blocks of factor x factor pixels, which does not alias.

    Parameters
    ----------
    images : ndarray, shape (..., h, w)
        Images. A block with a NaN becomes NaN.
    factor : int
        Whole number that divides h and w.

    Returns
    -------
    ndarray, shape (..., h / factor, w / factor)
        Smaller images; the mean of all pixels stays.

    Raises
    ------
    DataError
        If the factor does not divide the sides.

    Examples
    --------
    >>> block_mean(np.arange(16.0).reshape(1, 4, 4), 2).tolist()
    [[[2.5, 4.5], [10.5, 12.5]]]
    """
    rows, columns = images.shape[-2:]
    if factor < 1 or rows % factor or columns % factor:
        raise DataError(f"block mean: a factor of {factor} does not divide {rows} x {columns} pixels")
    if factor == 1:
        return images
    blocks = images.reshape(*images.shape[:-2], rows // factor, factor, columns // factor, factor)
    return np.asarray(blocks.mean(axis=(-3, -1)))


def resample(
    images: Pixels,
    pixel_scale: float,
    to: float,
    quantity: str = "per beam",
    size: int | None = None,
    order: int = 1,
) -> Pixels:
    """Bring images to another pixel scale, about the same centre.

    Shrinking takes the mean over the area of each new pixel, weighted by how much of every old pixel lies
    in it; enlarging interpolates, linearly by default. The beam is not changed. By default the new field is as large as
    whole new pixels fit into the old one, so up to half a new pixel is lost at each edge.

    Parameters
    ----------
    images : ndarray, shape (..., h, w)
        Images. NaN pixels are left out of the means; a new pixel of whose area half or more is missing is
        NaN.
    pixel_scale, to : float
        Old and new pixel scale, both in arcsec per pixel.
    quantity : str
        "per beam": pixels hold a brightness, Jy/beam or K, and its mean over the field is conserved.
        "per pixel": pixels hold Jy each, and their sum over the field is conserved: the means are multiplied
        by the ratio of the pixel areas. Both hold exactly when shrinking, for the part of the field that
        stays; when enlarging they hold as well as a linear interpolation can.
    size : int, optional
        Side of a square new field in pixels, which must fit into the old one.
    order : {1, 3}
        How to enlarge: 1 for linear interpolation, which flattens the peak of a point source whose beam has few
        pixels; 3 for a cubic spline, which keeps it, and may ring about single bright pixels.

    Returns
    -------
    ndarray, shape (..., h', w') or (..., size, size)
        h' is the whole part of h * pixel_scale / to, and at least 1; so is w'.

    Raises
    ------
    SpecError
        If a pixel scale is not above 0, there is no such quantity or order, or the new field is larger than the
        old.

    Examples
    --------
    >>> image = np.array([[[1.0, 1.0, 4.0], [1.0, 1.0, 4.0], [7.0, 7.0, 10.0]]])
    >>> resample(image, 1.0, 1.5).tolist()
    [[[1.0, 3.0], [5.0, 7.0]]]
    >>> float(image.sum()), float(resample(image, 1.0, 1.5, "per pixel").sum())
    (36.0, 36.0)
    """
    if quantity not in QUANTITIES:
        raise SpecError(f"quantity: {quantity!r} was given; legal are {', '.join(QUANTITIES)}")
    fit = [pixels_that_fit(side, pixel_scale, to) for side in images.shape[-2:]]
    if size is not None and not 1 <= size <= min(fit):
        raise SpecError(f"size: {size} pixels of {to} arcsec were given; the field holds 1 to {min(fit)}")
    if order not in ORDERS:
        legal = ", ".join(f"{number} ({what})" for number, what in ORDERS.items())
        raise SpecError(f"order: {order!r} was given; legal are {legal}")
    ratio = to / pixel_scale
    sides = list(zip(images.shape[-2:], fit, strict=True))
    down, across = (_weights(side, size or count, ratio, order).astype(images.dtype) for side, count in sides)
    missing = np.isnan(images)
    result = down @ np.where(missing, images.dtype.type(0), images) @ across.T
    if missing.any():
        # Shares of the area, which are never below 0.
        down, across = (_weights(side, size or count, ratio, 1).astype(images.dtype) for side, count in sides)
        cover = down @ (~missing).astype(images.dtype) @ across.T
        seen = cover > 0.5
        result = np.where(seen, result / np.where(seen, cover, 1), np.nan).astype(images.dtype)
    return np.asarray(result * images.dtype.type(ratio**2) if quantity == "per pixel" else result)


def pixels_that_fit(side: int, pixel_scale: float, to: float) -> int:
    """Give how many whole pixels of another scale fit into a side, and at least 1; both in arcsec per pixel.

    Examples
    --------
    >>> pixels_that_fit(36, 15.0, 1.8)
    300
    """
    if not (0 < pixel_scale < np.inf and 0 < to < np.inf):
        raise SpecError(f"pixel scales of {pixel_scale} and {to} arcsec were given; both must be above 0")
    return max(int(side * pixel_scale / to + 1e-6), 1)


def _weights(side: int, count: int, ratio: float, order: int) -> NDArray[np.float64]:
    """Give the weight of each old pixel (column) in each new one (row) along one axis; rows sum to 1."""
    start = (side - count * ratio) / 2 + ratio * np.arange(count)[:, None]
    old = np.arange(side)
    if ratio >= 1:
        overlap = np.minimum(start + ratio, old + 1) - np.maximum(start, old)
        weights = np.clip(overlap, 0, None)
    else:
        place = np.clip(start + ratio / 2 - 0.5, 0, side - 1)
        if order == 3 and side > 3:
            return np.asarray(make_interp_spline(old, np.eye(side), k=3)(place[:, 0]))
        weights = np.clip(1 - np.abs(place - old), 0, None)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))
