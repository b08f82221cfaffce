"""Properties of sources, measured on their images: noise, peak, flux density, size, parts, and what is odd.

All are simple, documented estimates for tables, cuts and plots. They are no substitute for a source finder:
no Gaussian is fitted, no background subtracted, and the size is not deconvolved from the beam. Of 168 sources
of MiraBest in FIRST the size has a rank correlation of 0.71 with the published one and is 19 arcsec larger in the
median, as the 3 sigma contour lies beyond the fitted components; it is too small where lobes are farther apart
than `Segmentation.gap`, and only the part nearest to the centre is measured.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation

from rgbench.errors import DataError
from rgbench.images.brightness import LEGAL, read_brightness
from rgbench.images.flags import Flag
from rgbench.images.segment import Segmentation, count_clumps, marked, source_mask

MEASURED = {
    "noise": "Jy/beam",
    "peak": "Jy/beam",
    "flux_density": "Jy",
    "largest_angular_size": "arcsec",
    "signal_to_noise": "",
    "components": "",
}
"""The columns that are measured, and their units."""
OFF_CENTRE = 0.1
"""A source no pixel of which is nearer to the centre than this part of the shorter side is off-centre."""
PLATEAU = 4
"""A source with as many pixels of the highest value is saturated."""


@dataclass(frozen=True)
class Measures:
    """What was measured; row i of every column is image i.

    Attributes
    ----------
    noise : ndarray of float64, shape (n,)
        Jy/beam.
    peak : ndarray of float64, shape (n,)
        Highest pixel of the source, Jy/beam.
    flux_density : ndarray of float64, shape (n,)
        Integrated over the source, Jy. What lies below `Segmentation.grow` noise levels is not counted: of a
        Gaussian of the beam's shape the part grow / S/N is missing, 15 % at a S/N of 20.
    largest_angular_size : ndarray of float64, shape (n,)
        Largest distance between two pixels of the source, from edge to edge, in arcsec; the beam is not
        deconvolved, so a bright point source has a size of some beams.
    signal_to_noise : ndarray of float64, shape (n,)
        Peak over noise.
    components : ndarray of float64, shape (n,)
        Number of clumps that the source is made of, as in `Segmentation`: 2 for two lobes with nothing between them.
    flags : ndarray of int64, shape (n,)
        Bits of `Flag`: BLANKED, UNUSABLE, TRUNCATED, OFF_CENTRE, EMPTY, SATURATED.
    """

    noise: NDArray[np.float64]
    peak: NDArray[np.float64]
    flux_density: NDArray[np.float64]
    largest_angular_size: NDArray[np.float64]
    signal_to_noise: NDArray[np.float64]
    components: NDArray[np.float64]
    flags: NDArray[np.int64]

    def columns(self) -> dict[str, NDArray[Any]]:
        """Give all but the flags by name, as further columns of a catalogue, in the units of `MEASURED`."""
        return {name: getattr(self, name) for name in MEASURED}


def measure_sources(
    images: NDArray[Any],
    pixel_scale: float | NDArray[np.float64],
    beam: float | tuple[float, float] | NDArray[np.float64],
    unit: str | Sequence[str] = "Jy/beam",
    segmentation: Segmentation | None = None,
) -> Measures:
    """Measure the source nearest to the centre of each image.

    Parameters
    ----------
    images : ndarray, shape (n, h, w)
        Images of any number type, as they were read: not clipped, not scaled. NaN and infinite pixels are
        missing ones.
    pixel_scale : float or ndarray, shape (n,)
        Arcsec per pixel, of all images or of each. NaN where it is not known: sizes and flux densities are NaN then.
    beam : float, (float, float) or ndarray, shape (n, 2)
        Full width at half maximum of the beam in arcsec, along both axes if it is not round; of all images or of
        each. NaN where it is not known: flux densities of pixels in Jy/beam are NaN then, noise and peak of those in
        Jy/pixel.
    unit : str or sequence of str
        Jy/beam or Jy/pixel, or with another prefix, in any spelling that `rgbench.images.brightness` reads; of all
        images or of each. Empty for images without a flux scale, such as 8-bit ones: noise, peak and flux density are
        NaN then.
    segmentation : Segmentation, optional
        Which pixels are the source.

    Returns
    -------
    Measures
        NaN where there is nothing to measure. The signal-to-noise ratio is NaN where there is no noise, as in
        an image that has been clipped before; there, all pixels above 0 may belong to the source.

    Raises
    ------
    DataError
        If the array has not three axes, the unit is not known, or scale or beam are not above 0.

    Notes
    -----
    The flux density is the sum of the source's pixels in Jy/beam over the area of the image's own beam in pixels,
    pi bmaj bmin / (4 ln 2) / pixel_scale^2; the sum itself of pixels in Jy/pixel.

    Examples
    --------
    >>> y, x = np.indices((1, 61, 61))[1:] - 30
    >>> image = 0.5 * np.exp(-4 * np.log(2) * (x**2 + y**2) / 3.0**2)
    >>> image += 1e-5 * (-1.0) ** (x + y)
    >>> found = measure_sources(image, pixel_scale=1.8, beam=5.4)
    >>> found.peak.round(3), found.flux_density.round(3)
    (array([0.5]), array([0.5]))
    """
    images = np.asarray(images)
    if images.ndim != 3:
        raise DataError(f"images have {images.ndim} axes (shape {images.shape}); (n, h, w) is needed")
    if images.dtype.kind == "f" and np.isinf(images).any():
        images = np.where(np.isinf(images), images.dtype.type(np.nan), images)
    scales = np.broadcast_to(np.asarray(pixel_scale, dtype=np.float64), len(images))
    scaling = _scaling(scales, beam, [unit] * len(images) if isinstance(unit, str) else unit)
    how = segmentation or Segmentation()
    noise = how.estimate_noise(images)
    masks = [source_mask(image, level, how) for image, level in zip(images, noise, strict=True)]
    rows = [measure_source(image, mask) for image, mask in zip(images, masks, strict=True)]
    peak, total, extent, flags = np.array(rows, dtype=np.float64).reshape(-1, 4).T
    components = np.array([count_clumps(mask) or math.nan for mask in masks], dtype=np.float64)
    with np.errstate(divide="ignore"):
        signal_to_noise = np.where(noise > 0, peak / noise, np.nan)
    return Measures(
        noise=noise * scaling[0],
        peak=peak * scaling[0],
        flux_density=total * scaling[1],
        largest_angular_size=extent * scales,
        signal_to_noise=signal_to_noise,
        components=components,
        flags=flags.astype(np.int64),
    )


def beam_area(beam: float | tuple[float, float], pixel_scale: float) -> float:
    """Give the area of a Gaussian beam in pixels.

    Parameters
    ----------
    beam : float or (float, float)
        Full width at half maximum in arcsec, along both axes if it is not round; NaN if not known.
    pixel_scale : float
        Arcsec per pixel; NaN if not known.

    Raises
    ------
    DataError
        If one of them is 0 or negative.

    Examples
    --------
    >>> round(beam_area(5.4, 1.8), 3)
    10.198
    """
    major, minor = beam if isinstance(beam, tuple) else (beam, beam)
    if min(major, minor) <= 0 or pixel_scale <= 0:
        raise DataError(f"beam {beam} and pixel scale {pixel_scale} arcsec were given; both must be above 0")
    return math.pi * major * minor / (4 * math.log(2)) / pixel_scale**2


def _scaling(
    scales: NDArray[np.float64], beam: float | tuple[float, float] | NDArray[np.float64], units: Sequence[str]
) -> NDArray[np.float64]:
    """Give for each image what one of its unit is in Jy/beam, and a sum of its pixels in Jy (shape (2, n))."""
    axes = np.asarray(beam, dtype=np.float64)
    beams = np.broadcast_to(axes[..., None] if axes.ndim == 0 else axes, (len(scales), 2))
    rows = [
        _to_jansky(unit, beam_area((float(major), float(minor)), float(scale)))
        for unit, (major, minor), scale in zip(units, beams, scales, strict=True)
    ]
    return np.array(rows, dtype=np.float64).reshape(-1, 2).T


def _to_jansky(unit: str, area: float) -> tuple[float, float]:
    """Give what one unit is in Jy/beam, and a sum of pixels in Jy; NaN where there is no flux scale."""
    if not unit.strip():
        return math.nan, math.nan
    found = read_brightness(unit)
    if found is None:
        raise DataError(
            f"unit: {unit!r} was given; legal are {LEGAL}, and none for images without flux scale"
        )
    return (
        (found.jansky * area, found.jansky) if found.per == "pixel" else (found.jansky, found.jansky / area)
    )


def measure_source(image: NDArray[Any], mask: NDArray[np.bool_]) -> tuple[float, float, float, int]:
    """Measure one source that has been told from its image.

    Parameters
    ----------
    image : ndarray, shape (h, w)
        One image; NaN where it is blanked.
    mask : ndarray of bool, shape (h, w)
        Its source, as from `rgbench.images.segment.source_mask`.

    Returns
    -------
    peak, total : float
        Highest pixel and sum, in the unit of the image.
    extent : float
        Largest distance between two of its pixels, from edge to edge, in pixels.
    flags : int
        Bits of `Flag`. The three numbers before are NaN for an empty mask.

    Examples
    --------
    >>> image = np.zeros((9, 9)); image[4, 2:7] = 1
    >>> measure_source(image, image > 0)[:3]
    (1.0, 5.0, 5.0)
    """
    blank = np.isnan(image)
    flags = Flag.BLANKED if blank.any() else Flag(0)
    if not mask.any():
        constant = blank.all() or np.nanmin(image) == np.nanmax(image)
        flags |= Flag.EMPTY | (Flag.UNUSABLE if constant else Flag(0))
        return math.nan, math.nan, math.nan, int(flags)
    rows, columns = marked(mask)
    pixels = image[rows, columns]
    peak = pixels.max()
    box = slice(rows[0], rows[-1] + 1), slice(columns.min(), columns.max() + 1)
    if _at_edge(box, mask.shape) or (Flag.BLANKED in flags and _touches(mask, blank)):
        flags |= Flag.TRUNCATED
    down, across = rows - (mask.shape[0] - 1) / 2, columns - (mask.shape[1] - 1) / 2
    if np.hypot(down, across).min() > OFF_CENTRE * min(mask.shape):
        flags |= Flag.OFF_CENTRE
    if np.count_nonzero(pixels == peak) >= PLATEAU:
        flags |= Flag.SATURATED
    total = float(pixels.sum(dtype=np.float64))
    return float(peak), total, _extent(rows, columns), int(flags)


def _at_edge(box: tuple[slice, slice], shape: tuple[int, ...]) -> bool:
    """Tell whether a box reaches the outermost rows or columns."""
    return any(own.start == 0 or own.stop == side for own, side in zip(box, shape, strict=True))


def _touches(mask: NDArray[np.bool_], blank: NDArray[np.bool_]) -> bool:
    """Tell whether a source touches a blanked pixel."""
    return bool((binary_dilation(mask, np.ones((3, 3), dtype=bool)) & blank).any())


def _extent(rows: NDArray[np.int64], columns: NDArray[np.int64]) -> float:
    """Give the largest distance between pixel centres, row by row as from `marked`, plus one pixel."""
    turns = np.flatnonzero(np.diff(rows)) + 1
    # Of the two that lie furthest apart, one is the first of its row and the other the last.
    down = rows[np.concatenate(([0], turns))]
    first, last = columns[np.concatenate(([0], turns))], columns[np.concatenate((turns - 1, [len(rows) - 1]))]
    square = np.subtract.outer(down, down) ** 2 + np.subtract.outer(last, first) ** 2
    return math.sqrt(square.max()) + 1
