"""Other sources in the picture of a source, taken out where a catalogue says that they are others."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label

from rgbench.images.noise import sky_and_noise

_TOUCHING = np.ones((3, 3), dtype=bool)
_EDGE, _SEEN = 2.0, 3.0
"""Noises above the sky at which light ends, and that it must reach to be seen after a clip."""


def without_others(
    frame: NDArray[np.float32], others: NDArray[np.float64], near: float
) -> NDArray[np.float32]:
    """Set the light of other sources to the level of the sky.

    Light is a clump of pixels above the sky that touch by side or corner. It is that of another source if that one's
    position lies in it, and the middle of the frame does not: what two sources share stays, and so do lobes that the
    catalogue does not list.

    Parameters
    ----------
    frame : ndarray of float32, shape (h, w)
        The image, with its source in the middle; NaN where it is blanked.
    others : ndarray of float64, shape (k, 2)
        Rows and columns of the other sources, in pixels from the middle of the frame.
    near : float
        How many pixels a position may lie beside its light, as half a beam.

    Returns
    -------
    ndarray of float32, shape (h, w)
        A new array, or the same where there is nothing to take out: no other source, or no noise to tell light by.

    Examples
    --------
    >>> frame = np.random.default_rng(1).normal(0, 0.1, (41, 41)).astype(np.float32)
    >>> frame[19:22, 19:22] = frame[19:22, 29:32] = frame[30:33, 9:12] = 5
    >>> found = without_others(frame, np.array([[0.0, 10.0]]), near=1.5)
    >>> [bool(found[place] > 1) for place in ((20, 20), (20, 30), (31, 10))]
    [True, False, True]
    """
    middle = (np.array(frame.shape) - 1) / 2
    places = others + middle
    inside = ((places > -0.5) & (places < np.array(frame.shape) - 0.5)).all(axis=1)
    if not inside.any():
        return frame
    sky, noise = sky_and_noise(frame)
    if not noise > 0:
        return frame
    clumps, _ = label(frame > sky + _EDGE * noise, _TOUCHING)
    own = _light_at(clumps, middle, near)
    taken = set[int]().union(*(_light_at(clumps, place, near) for place in places[inside])) - own
    light = np.isin(clumps, sorted(taken))
    if not (frame[light] > sky + _SEEN * noise).any():
        return frame
    found = frame.copy()
    found[light] = np.float32(sky)
    return found


def _light_at(clumps: NDArray[np.int32], place: NDArray[np.float64], near: float) -> set[int]:
    """Give the numbers of the clumps within a distance of a place."""
    reach = math.ceil(near)
    first = np.maximum(np.rint(place).astype(int) - reach, 0)
    part = clumps[first[0] : first[0] + 2 * reach + 1, first[1] : first[1] + 2 * reach + 1]
    rows, columns = np.nonzero(part)
    distance = np.hypot(rows + first[0] - place[0], columns + first[1] - place[1])
    return set(part[rows, columns][distance <= max(near, math.sqrt(0.5))].tolist())
