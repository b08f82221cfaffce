"""Which pixels of an image belong to its source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label, maximum_filter1d

from rgbench.errors import SpecError
from rgbench.images.noise import ESTIMATES

_NEIGHBOURS = np.ones((3, 3), dtype=bool)


@dataclass(frozen=True)
class Segmentation:
    """How a source is told from noise and from its neighbours.

    A clump is a set of pixels above `grow` noise levels that touch by side or corner; it counts if it has
    at least `smallest` pixels, one of them above `detect` noise levels. Clumps whose gap is at most `gap`
    pixels are one source, as the lobes of a double are. Of several sources, the one with a pixel nearest to
    the centre of the image is taken.

    Attributes
    ----------
    detect, grow : float
        Levels in units of the noise; `grow` is at most `detect`.
    smallest : int
        Pixels of a clump; about the area of the beam.
    gap : int
        In pixels, along rows and columns. Below 2, only clumps that touch are one source.
    noise : str
        "robust" or "iterative": see `rgbench.images.noise`.
    """

    detect: float = 5.0
    grow: float = 3.0
    smallest: int = 8
    gap: int = 20
    noise: str = "robust"

    def __post_init__(self) -> None:
        if not 0 <= self.grow <= self.detect:
            raise SpecError(f"grow: {self.grow!r} was given; legal is 0 to detect, {self.detect!r}")
        if self.smallest < 1 or self.gap < 0:
            raise SpecError(f"smallest, gap: {self.smallest!r}, {self.gap!r}; legal are from 1 and from 0")
        if self.noise not in ESTIMATES:
            raise SpecError(f"noise: {self.noise!r} was given; legal are {', '.join(ESTIMATES)}")

    def estimate_noise(self, images: NDArray[Any]) -> NDArray[np.float64]:
        """Give the noise of each image of shape (n, h, w); 0 if more than half of its pixels are 0.

        Such an image has been clipped before: there is no noise left to measure.
        """
        left = np.count_nonzero(images, axis=(1, 2)) * 2 >= images.shape[1] * images.shape[2]
        noise = np.zeros(len(images))
        if left.any():
            noise[left] = ESTIMATES[self.noise](images if left.all() else images[left])
        return noise


def source_mask(image: NDArray[Any], noise: float, how: Segmentation) -> NDArray[np.bool_]:
    """Mark the pixels of the source nearest to the centre.

    Parameters
    ----------
    image : ndarray, shape (h, w)
        One image in any unit of flux; NaN belongs to no source.
    noise : float
        Its noise in the same unit. At 0 every pixel above 0 is taken; at NaN, none.
    how : Segmentation
        Levels, and how clumps are put together.

    Returns
    -------
    ndarray of bool, shape (h, w)
        The source; empty if nothing stands out.

    Examples
    --------
    >>> image = np.zeros((40, 40)); image[18:21, 10:13] = image[18:21, 25:28] = image[0, 0] = 1
    >>> int(source_mask(image, 0.1, Segmentation()).sum())
    18
    """
    return central_source(clump_mask(image, noise, how), how.gap)


def clump_mask(image: NDArray[Any], noise: float, how: Segmentation) -> NDArray[np.bool_]:
    """Mark the pixels of all clumps that count, wherever they are; arguments and result as of `source_mask`.

    Examples
    --------
    >>> image = np.zeros((40, 40)); image[18:21, 10:13] = image[18:21, 25:28] = image[0, 0] = 1
    >>> int(clump_mask(image, 0.1, Segmentation(gap=1)).sum())
    18
    """
    grow, detect = how.grow * float(noise), how.detect * float(noise)
    clumps, count = label(image > grow, _NEIGHBOURS)
    places = np.flatnonzero(clumps)
    numbers, brightness = clumps.ravel()[places], image.ravel()[places]
    counts = np.bincount(numbers, minlength=count + 1) >= how.smallest
    counts &= np.bincount(numbers[brightness > detect], minlength=count + 1) > 0
    mask = np.zeros(image.shape, dtype=bool)
    mask.ravel()[places] = counts[numbers]
    return mask


def marked(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Give rows and columns of the marked pixels of a mask (h, w), row by row: `numpy.nonzero`, faster for few.

    Examples
    --------
    >>> [found.tolist() for found in marked(np.array([[False, True], [True, False]]))]
    [[0, 1], [1, 0]]
    """
    rows, columns = np.divmod(np.flatnonzero(mask), mask.shape[1])
    return rows, columns


def count_clumps(mask: NDArray[np.bool_]) -> int:
    """Count the clumps of a mask of shape (h, w): sets of marked pixels that touch by side or corner.

    Examples
    --------
    >>> count_clumps(np.array([[1, 0, 0, 1], [0, 1, 0, 1]], dtype=bool))
    2
    """
    return int(label(mask, _NEIGHBOURS)[1])


def central_source(mask: NDArray[np.bool_], gap: int) -> NDArray[np.bool_]:
    """Keep what is linked, over gaps of so many pixels, to the marked pixel nearest to the centre.

    Examples
    --------
    >>> central_source(np.array([[1, 0, 0, 0, 1, 0, 1]], dtype=bool), gap=2).astype(int)
    array([[0, 0, 0, 0, 1, 0, 1]])
    """
    rows, columns = marked(mask)
    if not len(rows):
        return mask
    # Links lie between clumps: what is outside the box about them all cannot make or break one.
    top, left, bottom, right = rows[0], columns.min(), rows[-1], columns.max()
    reach = 2 * (gap // 2) + 1
    if max(bottom - top, right - left) <= reach:
        return mask
    wide = mask[top : bottom + 1, left : right + 1].astype(np.uint8)
    for axis in (0, 1):
        wide = maximum_filter1d(wide, reach, axis=axis, mode="constant")
    linked, count = label(wide, _NEIGHBOURS)
    if count == 1:
        return mask
    distance = np.hypot(rows - (mask.shape[0] - 1) / 2, columns - (mask.shape[1] - 1) / 2)
    nearest = distance.argmin()
    own = linked[rows - top, columns - left] == linked[rows[nearest] - top, columns[nearest] - left]
    kept = np.zeros_like(mask)
    kept[rows[own], columns[own]] = True
    return kept
