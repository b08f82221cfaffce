"""Images of one field in several surveys or bands, as channels of one image."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rgbench.errors import DataError


def stack_channels(*channels: NDArray[Any]) -> NDArray[np.float32]:
    """Stack images of the same fields, FIRST and NVSS for instance, to images of several channels.

    Parameters
    ----------
    *channels : ndarray, shape (n, h, w)
        One stack for each channel, image i of each of the same field, on the same pixel grid; see
        `rgbench.images.geometry.resample`. They are not scaled against each other. NaN stays NaN.

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
