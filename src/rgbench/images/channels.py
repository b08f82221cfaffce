"""Images of one field in several surveys or bands, as channels of one image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rgbench.errors import DataError, SpecError
from rgbench.images.geometry import pixels_that_fit, resample


def stack_channels(*channels: NDArray[Any]) -> NDArray[np.float32]:
    """Stack images of the same fields, FIRST and NVSS for instance, to images of several channels.

    Parameters
    ----------
    *channels : ndarray, shape (n, h, w)
        One stack for each channel, image i of each of the same field, on the same pixel grid; `stack_surveys`
        is for other grids. They are not scaled against each other. NaN stays NaN.

    Returns
    -------
    ndarray of float32, shape (n, c, h, w)
        Channels in the order given.

    Raises
    ------
    DataError
        If there is no channel, or the shapes differ.

    Examples
    --------
    >>> stack_channels(np.zeros((5, 8, 8)), np.ones((5, 8, 8))).shape
    (5, 2, 8, 8)
    """
    if not channels:
        raise DataError("no channels were given; at least one stack of shape (n, h, w) is needed")
    for number, channel in enumerate(channels):
        if channel.ndim != 3:
            raise DataError(f"channel {number} has shape {channel.shape}; (n, h, w) is needed")
        if channel.shape != channels[0].shape:
            raise DataError(f"channel {number} has shape {channel.shape}, but channel 0 {channels[0].shape}")
    return np.stack([np.asarray(channel, dtype=np.float32) for channel in channels], axis=1)


def stack_surveys(
    surveys: Sequence[NDArray[Any]],
    pixel_scales: Sequence[float],
    to: float | None = None,
    size: int | None = None,
) -> NDArray[np.float32]:
    """Bring images of the same fields from several surveys to one pixel grid, and stack them as channels.

    The beams stay as they are: a channel of NVSS is as blurred as NVSS is. Each survey is best preprocessed
    before, on its own pixels, where its noise can be measured.

    Parameters
    ----------
    surveys : sequence of ndarray, shape (n, h, w)
        One stack for each survey, of any sizes; image i of each has the same centre and orientation.
    pixel_scales : sequence of float
        Arcsec per pixel, one for each survey.
    to : float, optional
        Pixel scale of the result in arcsec; left out, that of the finest survey.
    size : int, optional
        Side of the result in pixels; left out, as many as fit into every survey's field.

    Returns
    -------
    ndarray of float32, shape (n, c, size, size)
        Channels in the order given, resampled as `rgbench.images.geometry.resample` does for a brightness.

    Raises
    ------
    DataError
        If there is no survey, or their numbers of images differ.
    SpecError
        If there is not one legal pixel scale for each survey, or a field is too small for `size`.

    Examples
    --------
    >>> first, nvss = np.zeros((2, 300, 300)), np.ones((2, 36, 36))
    >>> stack_surveys([first, nvss], [1.8, 15.0], size=150).shape
    (2, 2, 150, 150)
    """
    if len(pixel_scales) != len(surveys):
        raise SpecError(f"{len(pixel_scales)} pixel scales were given for {len(surveys)} surveys")
    if not surveys:
        raise DataError("no surveys were given; at least one stack of shape (n, h, w) is needed")
    scale = min(pixel_scales) if to is None else to
    pairs = list(zip((np.asarray(survey) for survey in surveys), pixel_scales, strict=True))
    side = size or min(pixels_that_fit(min(images.shape[-2:]), old, scale) for images, old in pairs)
    return stack_channels(*(resample(_floating(images), old, scale, size=side) for images, old in pairs))


def _floating(images: NDArray[Any]) -> NDArray[Any]:
    return images if images.dtype.kind == "f" else images.astype(np.float32)
