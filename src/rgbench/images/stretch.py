"""Stretches: how the wide range of brightness of radio sources is brought within reach of a network.

Those of the first kind take images in the range 0 to 1. Those of the second, whose names end in
``noise_stretch``, take images in flux units, and their one parameter is in units of the noise, so that it
means the same in every survey.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rgbench.errors import SpecError
from rgbench.images.noise import ESTIMATES, ImageError

Pixels = NDArray[np.floating[Any]]


def power_stretch(images: Pixels, exponent: float = 0.5) -> Pixels:
    """Stretch the range 0 to 1 by a power, by default the square root.

    Parameters
    ----------
    images : ndarray, shape (n, h, w)
        Images in the range 0 to 1; so are those returned. NaN stays NaN.
    exponent : float
        Below 1 faint pixels are raised.
    """
    return np.asarray(np.sqrt(images) if exponent == 0.5 else images**exponent)


def log_stretch(images: Pixels, a: float = 255.0) -> Pixels:
    """Stretch the range 0 to 1 logarithmically: log(1 + a x) / log(1 + a).

    Parameters
    ----------
    images : ndarray, shape (n, h, w)
        Images in the range 0 to 1. NaN stays NaN.
    a : float
        Strength, > 0. With 255 the first grey level of an 8-bit image comes out at 1/8.

    Returns
    -------
    ndarray, shape (n, h, w)
        Images in the range 0 to 1.

    Examples
    --------
    >>> log_stretch(np.array([[[0.0, 1 / 255, 1.0]]])).round(3).tolist()
    [[[0.0, 0.125, 1.0]]]
    """
    return np.asarray(np.log1p(a * images) / np.log1p(images.dtype.type(a)))


def asinh_stretch(images: Pixels, a: float = 0.1) -> Pixels:
    """Stretch the range 0 to 1: asinh(x / a) / asinh(1 / a), linear below `a`, logarithmic above.

    Parameters
    ----------
    images : ndarray, shape (n, h, w)
        Images in the range 0 to 1; so are those returned. NaN stays NaN.
    a : float
        Where the stretch turns from linear to logarithmic, > 0 (Lupton, Gunn & Szalay 1999).
    """
    return np.asarray(np.arcsinh(images / a) / np.arcsinh(images.dtype.type(1 / a)))


def asinh_noise_stretch(images: Pixels, softening: float = 3.0, noise: str = "iterative") -> Pixels:
    """Stretch flux by y = asinh(x / (b s)) / asinh(p / (b s)), with the noise s and the peak p of each image.

    Below b noise levels the stretch is linear, above logarithmic. Zero flux stays 0, the peak becomes 1, and
    negative pixels stay negative: the noise remains, on a scale that is the same for faint and bright sources
    but for the factor.

    Parameters
    ----------
    images : ndarray, shape (n, h, w)
        Images in any unit of flux. NaN stays NaN.
    softening : float
        The b of the formula, in units of the noise, > 0.
    noise : str
        "iterative" or "robust": see `rgbench.images.noise`.

    Returns
    -------
    ndarray, shape (n, h, w)
        Stretched images, at most 1.

    Raises
    ------
    ImageError
        If an image has no noise, such as one clipped before, or no pixel above 0.
    SpecError
        If an argument is not legal.

    Notes
    -----
    Lupton, Gunn & Szalay 1999, AJ 118, 1406.

    Examples
    --------
    >>> image = np.array([[[1.0, -1.0] * 50 + [1000.0]]])
    >>> asinh_noise_stretch(image, softening=1.0)[0, 0, -3:].round(3).tolist()
    [0.116, -0.116, 1.0]
    """
    unit, peak = _scales(images, softening, noise)
    return np.asarray(np.arcsinh(images / unit) / np.arcsinh(peak / unit))


def log_noise_stretch(images: Pixels, softening: float = 3.0, noise: str = "iterative") -> Pixels:
    """Stretch flux by y = log(1 + x / (b s)) / log(1 + p / (b s)), with the noise s and the peak p of each image.

    Pixels below 0 are set to 0 first: they have no logarithm.

    Parameters
    ----------
    images : ndarray, shape (n, h, w)
        Images in any unit of flux. NaN stays NaN.
    softening : float
        The b of the formula, in units of the noise, > 0.
    noise : str
        "iterative" or "robust": see `rgbench.images.noise`.

    Returns
    -------
    ndarray, shape (n, h, w)
        Images in the range 0 to 1.

    Raises
    ------
    ImageError
        If an image has no noise, such as one clipped before, or no pixel above 0.
    SpecError
        If an argument is not legal.

    Examples
    --------
    >>> image = np.array([[[1.0, -1.0] * 50 + [1023.0]]])
    >>> log_noise_stretch(image, softening=1.0)[0, 0, -3:].round(3).tolist()
    [0.1, 0.0, 1.0]
    """
    unit, peak = _scales(images, softening, noise)
    positive = np.where(images < 0, images.dtype.type(0), images)
    return np.asarray(np.log1p(positive / unit) / np.log1p(peak / unit))


def grey_levels(images: Pixels) -> Pixels:
    """Bring the range 0 to 1 to the whole numbers 0 to 255; fractions are cut off, not rounded.

    This is how 8-bit images are made by Pillow's ``convert("L")``. The type stays floating.

    Parameters
    ----------
    images : ndarray, shape (n, h, w)
        Images in the range 0 to 1. NaN stays NaN.

    Returns
    -------
    ndarray, shape (n, h, w)
        Grey levels.

    Examples
    --------
    >>> grey_levels(np.array([[[0.0, 0.5, 0.9999, 1.0]]])).tolist()
    [[[0.0, 127.0, 254.0, 255.0]]]
    """
    return np.asarray(np.floor(images * 255))


def _scales(images: Pixels, softening: float, noise: str) -> tuple[Pixels, Pixels]:
    """Give softening times the noise, and the peak, of each image; shape (n, 1, 1)."""
    if noise not in ESTIMATES:
        raise SpecError(f"noise: {noise!r} was given; legal are {', '.join(ESTIMATES)}")
    if not softening > 0:
        raise SpecError(f"softening: {softening!r} was given; it must be above 0")
    unit = (softening * ESTIMATES[noise](images)).astype(images.dtype)
    peak = np.fmax.reduce(images, axis=(1, 2), initial=-np.inf)
    for index in np.flatnonzero(~(unit > 0)):
        raise ImageError(int(index), "has no noise to stretch by; was it clipped before?")
    for index in np.flatnonzero(peak <= 0):
        raise ImageError(int(index), f"has no pixel above 0 (the highest is {peak[index]})")
    return unit.reshape(-1, 1, 1), peak.reshape(-1, 1, 1)
