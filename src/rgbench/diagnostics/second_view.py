"""A second view: the image that one would have, had the same source been observed and cut out another time.

A stress test changes one thing, and as far as one likes. A second view changes all at once that is never the same in
two images of a source, and no more than it usually differs: where the pixels fall, the beam, the depth, where the noise
is clipped, and the rounding to 8 bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import affine_transform, gaussian_filter, label

from rgbench.images.noise import FWHM_TO_SIGMA, mad_noise, unit_noise

Image = NDArray[np.float64]

SHIFT = 1.5
"""Pixels by which the source moves at most, along each axis."""
TURN = 5.0
"""Degrees by which the grid of pixels turns at most, either way."""
BEAMS = (1.0, 1.5)
"""Width of the new beam in units of the old one, from and to."""
DEPTHS = (0.5, 1.0)
"""Old noise over new noise, both per beam, from and to."""
CLIPS = (2.5, 3.5)
"""Where a clipped image is clipped again, in units of the new noise, from and to."""
CLIP = 3.0
"""Where a clipped image is taken to have been clipped, in units of its noise."""
GREY = 255
"""Largest value of an image of 8 bits."""
SPECK = 6
"""Pixels of the largest islands that are taken for peaks of the noise; such have a few, a source has more."""
FAINTEST = 0.5
"""Noise in grey levels of a clipped image that shows none."""
FALL = 3.28
"""By how much the logarithm of Gaussian noise falls for one more standard deviation beyond `CLIP`."""


@dataclass(frozen=True)
class View:
    """What differs in one second view.

    Attributes
    ----------
    shift : tuple of float
        Pixels by which the source moves, towards the last row and the last column.
    turn : float
        Degrees by which it turns about the middle of the image.
    beam : float
        Width of the new beam in units of the old one.
    depth : float
        Old noise over new noise, both per beam.
    clip : float
        Clipping level in units of the new noise.
    """

    shift: tuple[float, float]
    turn: float
    beam: float
    depth: float
    clip: float

    @classmethod
    def draw(cls, generator: np.random.Generator) -> View:
        """Draw one, everything uniformly and independently within the bounds of this module.

        Examples
        --------
        >>> view = View.draw(np.random.default_rng(1))
        >>> abs(view.turn) <= TURN, BEAMS[0] <= view.beam <= BEAMS[1], DEPTHS[0] <= view.depth <= DEPTHS[1]
        (True, True, True)
        """
        down, right = generator.uniform(-SHIFT, SHIFT, 2)
        turn, beam, depth, clip = (
            float(generator.uniform(*span)) for span in ((-TURN, TURN), BEAMS, DEPTHS, CLIPS)
        )
        return cls((float(down), float(right)), turn, beam, depth, clip)


def see_again(
    images: NDArray[Any], generators: Sequence[np.random.Generator], beam_pixels: float
) -> NDArray[np.floating[Any]]:
    """Make a second view of each image.

    Parameters
    ----------
    images : ndarray, shape (n, h, w)
        Raw images.
    generators : sequence of numpy.random.Generator
        One per image; the view depends on it and on the image alone.
    beam_pixels : float
        Full width at half maximum of the beam in pixels.

    Returns
    -------
    ndarray, shape (n, h, w)
        float64 if the images are, else float32; images of whole numbers have whole numbers again.

    Examples
    --------
    >>> sky = np.random.default_rng(1).normal(0, 1.0, (1, 64, 64))
    >>> seen = see_again(sky, [np.random.default_rng(2)], 3.0)
    >>> seen.shape, bool((seen != sky).all())
    ((1, 64, 64), True)
    """
    exact = images.dtype.kind == "f" and images.dtype.itemsize == 8
    seen = np.empty(images.shape, dtype=np.float64 if exact else np.float32)
    for image, target, generator in zip(images, seen, generators, strict=True):
        view = View.draw(generator)
        target[:] = _seen(np.asarray(image, dtype=np.float64), view, generator, beam_pixels)
        if images.dtype.kind in "ui":
            np.clip(np.rint(target), 0, np.iinfo(images.dtype).max, out=target)
    return seen


def _seen(image: Image, view: View, generator: np.random.Generator, beam_pixels: float) -> Image:
    """Observe one image again; NaN move with their places."""
    blank = ~np.isfinite(image)
    if blank.all():
        return image
    filled = np.where(blank, np.median(image[~blank]), image)
    noise = float(mad_noise(filled[None])[0])
    seen = (
        observe(filled, noise, view, generator, beam_pixels)
        if noise > 0
        else _clipped_again(filled, view, generator, beam_pixels)
    )
    if not blank.any():
        return seen
    return np.where(_moved(blank.astype(np.float64), view, order=0) > 0, np.nan, seen)


def observe(
    sky: Image, noise: float, view: View, generator: np.random.Generator, beam_pixels: float
) -> Image:
    """Bring an image to the pixels, the beam and the depth of a view; it is not clipped.

    Parameters
    ----------
    sky : ndarray of float64, shape (h, w)
        Brightness per beam, finite.
    noise : float
        Its noise, in the unit of the image.
    view : View
        What differs.
    generator : numpy.random.Generator
        Of the noise that is added.
    beam_pixels : float
        Full width at half maximum of the old beam in pixels.

    Returns
    -------
    ndarray of float64, shape (h, w)
        Brightness per new beam: a point source keeps its peak, and the sum over pixels grows by the ratio of the
        areas of the beams, so that flux densities stay. Its noise is `noise` over the depth; where the old noise,
        through the new beam, is more than that already, it stays, and none is added.

    Examples
    --------
    >>> view = View((0.0, 0.0), 0.0, beam=1.0, depth=0.5, clip=3.0)
    >>> sky = np.random.default_rng(1).normal(0, 1.0, (200, 200))
    >>> round(float(observe(sky, 1.0, view, np.random.default_rng(2), 3.0).std()), 1)
    2.0
    """
    kernel = np.sqrt(view.beam**2 - 1) * beam_pixels * FWHM_TO_SIGMA
    seen = view.beam**2 * gaussian_filter(_moved(sky, view), kernel, mode="reflect")
    left = float(mad_noise(seen[None])[0])
    added = np.sqrt(max((noise / view.depth) ** 2 - left**2, 0.0))
    return np.asarray(seen + added * unit_noise(generator, seen.shape, view.beam * beam_pixels))


def hidden_noise(image: Image) -> tuple[float, bool]:
    """Estimate the noise of an image that was clipped, and tell whether the clipping level was subtracted.

    Parameters
    ----------
    image : ndarray of float64, shape (h, w)
        Image, 0 where it was clipped.

    Returns
    -------
    noise : float
        In the unit of the image. Where the smallest value above 0 is one grey level, the clipping level was
        subtracted. Then peaks of the noise stand above 0 as islands of at most `SPECK` pixels; what they are higher
        than the level falls off exponentially (`FALL`), and its mean tells the noise. Without such islands it is
        `FAINTEST` grey levels, which the rounding hides. Otherwise the smallest value is the level, `CLIP` times
        the noise.
    subtracted : bool
        Whether the level was subtracted.

    Examples
    --------
    >>> noise = unit_noise(np.random.default_rng(1), (300, 300), 3.0)
    >>> clipped = np.floor(np.clip(8 * (noise - 3), 0, None))  # 8 grey levels, clipped at 3 times the noise
    >>> clipped[150, 150] = 255
    >>> found, subtracted = hidden_noise(clipped)
    >>> bool(6 < found < 11), subtracted
    (True, True)
    """
    step = max(float(image.max()) / GREY, float(np.diff(np.unique(image)).min()))
    lowest = float(image[image > 0].min())
    if lowest >= 2 * step:
        return lowest / CLIP, False
    islands, _ = label(image > 0, np.ones((3, 3)))
    small = np.bincount(islands.ravel()) <= SPECK
    small[[0, islands.flat[image.argmax()]]] = False
    levels = image[small[islands]] / step
    mean = max(float(levels.mean()), 1.0) if len(levels) else 1.0
    return step * (FALL / -np.log(1 - 1 / mean) if mean > 1 else FAINTEST), True


def _clipped_again(image: Image, view: View, generator: np.random.Generator, beam_pixels: float) -> Image:
    """Observe an image without visible noise again: noise filled in, clipped as it was, peak kept."""
    middle, peak = np.median(image), float(image.max())
    above = np.clip(image - middle, 0, None)
    if not above.any():
        return image
    noise, subtracted = hidden_noise(above)
    level = CLIP * noise
    under = np.minimum(noise * unit_noise(generator, image.shape, beam_pixels), level)
    sky = np.where(above > 0, above + level * subtracted, under)
    seen = observe(sky, noise, view, generator, beam_pixels)
    bound = view.clip * float(mad_noise(seen[None])[0])
    kept = np.clip(seen - bound, 0, None) if subtracted else np.where(seen > bound, seen, 0.0)
    if not kept.any():
        return np.full_like(image, middle)
    step = (peak - middle) / GREY
    return np.asarray(middle + step * np.floor(GREY * (kept / kept.max())))


def _moved(image: Image, view: View, order: int = 3) -> Image:
    """Shift and turn an image about its middle, by splines of an order; what comes in at an edge is mirrored."""
    angle = np.deg2rad(view.turn)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = (np.array(image.shape) - 1) / 2
    start = middle - turn @ (middle + np.array(view.shift))
    return np.asarray(affine_transform(image, turn, start, order=order, mode="mirror"))
