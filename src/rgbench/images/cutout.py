"""Cutouts at a position, of a given angular size and pixel scale, north up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy.wcs import WCS
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from rgbench.errors import DataError, SpecError
from rgbench.images.brightness import per_pixel
from rgbench.images.fits import FitsImage
from rgbench.images.limits import check_scale
from rgbench.images.sky import CYLINDRICAL

ORDERS = {0: "nearest pixel", 1: "bilinear", 3: "cubic spline"}
"""Orders of interpolation."""
COPIED = "copied"
"""Method of a field that has the very pixels of the image."""
TOLERANCE = 0.01
"""Pixels by which places may be off whole ones for pixels to be copied instead of interpolated."""
_NARROWEST = 0.25
_COVER = 0.5 - 1e-6
_LIMIT = 20000
"""Pixels a side, after subdivision; more is a mistake in a size or a scale."""


@dataclass(frozen=True)
class CutoutSpec:
    """What a cutout is to be.

    Attributes
    ----------
    size_arcsec : float, optional
        Side of the field in arcsec; rounded to whole pixels. Either this or `n_pixels` is given.
    n_pixels : int, optional
        Side of the field in pixels.
    pixel_scale : float, optional
        Arcsec per pixel; left out, that of the image.
    order : int
        3 for a cubic spline, which keeps the peak of a point source; 0 for the nearest pixel; 1 for bilinear
        interpolation, which flattens the peak by up to 18 % where the beam is three pixels wide.

    Raises
    ------
    SpecError
        Naming the attribute that is wrong and its legal values.
    """

    size_arcsec: float | None = None
    n_pixels: int | None = None
    pixel_scale: float | None = None
    order: int = 3

    def __post_init__(self) -> None:
        if (self.size_arcsec is None) == (self.n_pixels is None):
            raise SpecError(
                f"cutout: size_arcsec is {self.size_arcsec} and n_pixels is {self.n_pixels}; give one of them"
            )
        for name in ("size_arcsec", "n_pixels", "pixel_scale"):
            value = getattr(self, name)
            if value is not None and not 0 < value < np.inf:
                raise SpecError(f"cutout: {name} is {value!r}; it must be above 0")
        check_scale(self.pixel_scale, "cutout: pixel_scale")
        if self.order not in ORDERS:
            legal = ", ".join(f"{order} ({what})" for order, what in ORDERS.items())
            raise SpecError(f"cutout: order is {self.order!r}; legal are {legal}")

    def side(self, pixel_scale: float) -> int:
        """Give the side of the field in pixels of that many arcsec."""
        if self.n_pixels is not None:
            return int(self.n_pixels)
        assert self.size_arcsec is not None
        return max(round(self.size_arcsec / pixel_scale), 1)


@dataclass(frozen=True, eq=False)
class Cutout:
    """A piece of the sky.

    Attributes
    ----------
    pixels : ndarray of float32, shape (n, n)
        Row 0 is the south edge, column 0 the east edge; NaN outside the image and where it is blanked.
    coverage : float
        Fraction of the pixels that are not NaN.
    pixel_scale : float
        Arcsec per pixel.
    ra, dec : float
        Position of the middle of the field, place (n - 1) / 2 in pixels from 0; degrees, ICRS.
    unit : str
        As of the image.
    method : str
        "copied" (the very pixels of the image), "interpolated" or "averaged".
    """

    pixels: NDArray[np.float32]
    coverage: float
    pixel_scale: float
    ra: float
    dec: float
    unit: str
    method: str

    @property
    def wcs(self) -> Any:
        """The WCS of the field (astropy.wcs.WCS): gnomonic (TAN) projection about its middle, ICRS."""
        return _field_wcs(self.ra, self.dec, self.pixels.shape[0], self.pixel_scale)


def cutout(image: FitsImage, ra: float, dec: float, spec: CutoutSpec) -> Cutout:
    """Cut a square field out of an image: north up, east left, gnomonic (TAN) about a position.

    Where the image already has its pixels in the places wanted (to 0.01 pixel), they are copied. Otherwise
    each new pixel is interpolated; if it is coarser than those of the image, it is the mean over its area,
    taken at steps no longer than a pixel of the image, so that nothing aliases. Pixels that hold a brightness
    (Jy/beam, K, MJy/sr, and every unit that is not told to be per pixel) keep their unit and their values:
    Jy/beam stays Jy per beam of the image. Pixels that hold Jy/pixel are multiplied by the ratio of the areas
    of new and old pixels, so that sums stay.

    Parameters
    ----------
    image : FitsImage
        The image, in any projection and frame that astropy knows.
    ra, dec : float
        Position of the middle of the field in degrees, ICRS.
    spec : CutoutSpec
        Size, pixel scale and order of interpolation.

    Returns
    -------
    Cutout
        A new pixel is NaN if half of its area or more is blanked or outside the image.

    Raises
    ------
    DataError
        If the header tells no position, the position is none, or the field lies outside the image.

    Examples
    --------
    >>> from astropy.io import fits
    >>> keys = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRPIX1": 3, "CRPIX2": 3,
    ...         "CDELT1": -0.001, "CDELT2": 0.001, "CRVAL1": 180, "CRVAL2": 30, "RADESYS": "ICRS"}
    >>> image = FitsImage(np.arange(25, dtype=np.float32).reshape(5, 5), fits.Header(keys))
    >>> found = cutout(image, 180, 30, CutoutSpec(n_pixels=3))
    >>> found.pixels.tolist(), found.method, round(found.pixel_scale, 6)
    ([[6.0, 7.0, 8.0], [11.0, 12.0, 13.0], [16.0, 17.0, 18.0]], 'copied', 3.6)
    """
    if image.wcs is None:
        raise DataError(
            f"{image.path}: the header tells no position ({image.position_fault}): nothing can be cut out at one"
        )
    if not (np.isfinite(ra) and -90 <= dec <= 90):
        raise DataError(f"{image.path}: RA {ra} and Dec {dec} degrees are no position to cut out at")
    scale = spec.pixel_scale or image.pixel_scale
    side = spec.side(scale)
    start = _whole_offset(image, (ra, dec), side, scale)
    if start is not None:
        pixels, method = _copied(image.pixels, start, side), COPIED
    else:
        pixels, method = _resampled(image, (ra, dec), side, scale, spec.order)
    coverage = float(np.isfinite(pixels).mean())
    if not coverage and not _inside(image, (ra, dec), side, scale):
        at = ", ".join(f"{value:.4f}" for value in image.centre)
        raise DataError(
            f"{image.path}: the field of {side * scale:.1f} arcsec at {ra:.4f}, {dec:.4f} degrees lies outside "
            f"the image, whose middle is at {at}"
        )
    return Cutout(pixels, coverage, scale, ra, dec, image.unit, method)


def _field_wcs(ra: float, dec: float, side: float, scale: float) -> Any:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.radesys = "ICRS"
    wcs.wcs.crval = [ra, dec]
    wcs.wcs.crpix = [(side + 1) / 2, (side + 1) / 2]
    wcs.wcs.cdelt = [-scale / 3600, scale / 3600]
    wcs.wcs.set()
    return wcs


def _places(
    image: FitsImage, position: tuple[float, float], side: int, scale: float, at: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Give the places (row, column; shape (2, n, n)) in the image of the new rows and columns `at`."""
    field = _field_wcs(*position, side, scale)
    columns, rows = np.meshgrid(at, at)
    return _unwrapped(image, np.stack(image.places(*field.pixel_to_world_values(columns, rows))))


def _unwrapped(image: FitsImage, places: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bring places nearest to the image, where a cylindrical projection repeats itself every 360 degrees."""
    wcs = image.wcs
    if wcs.wcs.ctype[wcs.wcs.lng][-3:] not in CYLINDRICAL:
        return places
    round_the_sky = np.linalg.solve(wcs.pixel_scale_matrix, 360.0 * (np.arange(2) == wcs.wcs.lng))[::-1]
    middle = (np.array(image.pixels.shape) - 1) / 2
    short = np.tensordot(round_the_sky, middle[:, None, None] - places, axes=1) / (
        round_the_sky @ round_the_sky
    )
    return np.asarray(places + np.round(short) * round_the_sky[:, None, None])


def _whole_offset(
    image: FitsImage, position: tuple[float, float], side: int, scale: float
) -> tuple[int, int] | None:
    """Give the row and column of the image at which the field begins, if its pixels are those of the image."""
    if abs(scale / image.pixel_scale - 1) * side > TOLERANCE * 4:
        return None
    at = np.linspace(0, side - 1, 3)
    shift = _places(image, position, side, scale, at) - np.stack(np.meshgrid(at, at, indexing="ij"))
    if not np.isfinite(shift).all():
        return None
    first = np.round(shift[:, 1, 1])
    if np.abs(shift - first[:, None, None]).max() > TOLERANCE:
        return None
    return int(first[0]), int(first[1])


def _copied(pixels: NDArray[np.float32], start: tuple[int, int], side: int) -> NDArray[np.float32]:
    result = np.full((side, side), np.nan, dtype=np.float32)
    low = [max(first, 0) for first in start]
    high = [min(first + side, length) for first, length in zip(start, pixels.shape, strict=True)]
    if all(b > a for a, b in zip(low, high, strict=True)):
        rows, columns = (slice(a - s, b - s) for a, b, s in zip(low, high, start, strict=True))
        result[rows, columns] = pixels[low[0] : high[0], low[1] : high[1]]
    return result


def _resampled(
    image: FitsImage, position: tuple[float, float], side: int, scale: float, order: int
) -> tuple[NDArray[np.float32], str]:
    finest = _finest(image, position)
    parts = max(int(np.ceil(scale / finest - TOLERANCE)), 1)
    if side * parts > _LIMIT:
        raise SpecError(
            f"cutout: {side} pixels of {scale} arcsec are {side * parts} steps across pixels of "
            f"{finest:.4g} arcsec; at most {_LIMIT} are taken"
        )
    at = (np.arange(side * parts) + 0.5) / parts - 0.5
    places = _places(image, position, side, scale, at)
    known = np.isfinite(image.pixels)
    # Where a projection does not reach, places are NaN; far outside they count as blank.
    where = np.where(np.isfinite(places), places, -10.0)
    values = map_coordinates(
        np.where(known, image.pixels, 0).astype(np.float64), where, order=order, mode="grid-constant"
    )
    # Shares of the area, which no spline of a higher order would keep between 0 and 1.
    weight = map_coordinates(known.astype(np.float64), where, order=min(order, 1), mode="grid-constant")
    if per_pixel(image.unit):
        values = values * _area_ratio(places, parts)
    values, weight = (a.reshape(side, parts, side, parts).mean(axis=(1, 3)) for a in (values, weight))
    seen = weight >= _COVER
    result = np.where(seen, values / np.where(seen, weight, 1), np.nan).astype(np.float32)
    return result, "averaged" if parts > 1 else "interpolated"


def _finest(image: FitsImage, position: tuple[float, float]) -> float:
    """Give the shorter side, in arcsec, of the pixels at a position; where that is none, in the middle.

    Pixels that are narrower than a `_NARROWEST` part of their length count as that wide: near the pole of a
    cylindrical projection steps would be without number.
    """
    row, column = image.places(*map(np.array, position))
    sides = np.hypot(*image.steps_at(float(row), float(column)))
    sides = sides if np.isfinite(sides).all() else np.array(image.pixel_sides)
    return float(max(sides.min(), sides.max() * _NARROWEST))


def _area_ratio(places: NDArray[np.float64], parts: int) -> NDArray[np.float64]:
    """Give how many pixels of the image one new pixel covers, at each step."""
    if min(places.shape[1:]) < 2:
        raise SpecError("cutout: a field of one pixel is too small to tell the area of pixels")
    down: Any = np.gradient(places, axis=1)
    across: Any = np.gradient(places, axis=2)
    area = np.abs(down[0] * across[1] - down[1] * across[0]) * parts**2
    return np.where(np.isfinite(area), area, 0.0)


def _inside(image: FitsImage, position: tuple[float, float], side: int, scale: float) -> bool:
    """Tell whether any of the field lies on the image, be it blanked."""
    places = _places(image, position, side, scale, np.linspace(-0.5, side - 0.5, 9))
    rows, columns = image.pixels.shape
    return bool(
        (
            (places[0] > -0.5) & (places[0] < rows - 0.5) & (places[1] > -0.5) & (places[1] < columns - 0.5)
        ).any()
    )
