"""Robust reading of one image, and of what its header says, from a FITS file."""

from __future__ import annotations

import io
import re
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from astropy import units
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS
from astropy.wcs.utils import proj_plane_pixel_scales
from numpy.typing import NDArray

from rgbench.errors import DataError, SpecError, raise_stop

ENDINGS = tuple(f".{kind}{packed}" for kind in ("fits", "fit", "fts") for packed in ("", ".gz", ".fz"))
"""Endings of the files that are taken for FITS, in small letters; .fz are tile-compressed."""
CYLINDRICAL = ("CAR", "CEA", "CYP", "MER")
"""Projections in which the sky repeats itself every 360 degrees."""
_UNREADABLE = (OSError, ValueError, TypeError, EOFError, KeyError, IndexError, zlib.error, fits.VerifyError)
_BAD_HEADER = (ValueError, KeyError, TypeError, AttributeError, MemoryError, fits.VerifyError)
_NUMBER = r"\s*=?\s*([-+]?[\d.]+(?:[EDed][-+]?\d+)?)"
_CLEAN = re.compile(rf"BMAJ{_NUMBER}\s*BMIN{_NUMBER}(?:\s*BPA{_NUMBER})?", re.IGNORECASE)
_WORDS = ("COMMENT", "HISTORY", "")
_TURNED = (
    "CD1_1",
    "CD1_2",
    "PC1_1",
    "PC1_2",
    "CROTA1",
    "CROTA2",
    "PC001001",
    "WAT0_001",
    "CUNIT2",
    "A_ORDER",
)
_SKY_FREQUENCIES = ("RESTFRQ", "RESTFREQ", "FREQ", "FREQUENC")
_LOWEST_FREQUENCY = 1e6
"""Hz; a keyword with a smaller number is not in Hz, and which unit is meant is not guessed."""


class Beam(NamedTuple):
    """The synthesised beam: full widths at half maximum in arcsec, position angle in degrees, north to east.

    All three are NaN where the header does not tell.
    """

    major: float
    minor: float
    angle: float


NO_BEAM = Beam(float("nan"), float("nan"), float("nan"))


@dataclass(frozen=True, eq=False)
class FitsImage:
    """One image and its header. What the header says is worked out when it is first asked for.

    Attributes
    ----------
    pixels : ndarray of float32, shape (h, w)
        Native byte order, row 0 as in the file (south for north-up images); NaN where blanked.
    header : astropy.io.fits.Header
        As in the file.
    path : str
        Where it was read, for messages.
    axes : (int, int)
        The FITS axes, counted from 1, that rows and columns run along.
    plane : tuple of int
        Index, from 0, along each axis of the file that is not one of those two, last FITS axis first.
    """

    pixels: NDArray[np.float32]
    header: Any = field(default_factory=fits.Header, repr=False)
    path: str = ""
    axes: tuple[int, int] = (2, 1)
    plane: tuple[int, ...] = ()

    @cached_property
    def wcs(self) -> Any:
        """Celestial WCS of rows and columns (astropy.wcs.WCS), or None if the header has none that works."""
        try:
            with _quiet():
                # Hundreds of lines of history make astropy six times slower.
                whole = WCS(fits.Header([c for c in self.header.cards if c.keyword not in _WORDS]))
                if {whole.wcs.lng + 1, whole.wcs.lat + 1} != set(self.axes) or not self._tells_scale():
                    return None
                sky = whole.celestial
                # These repeat themselves: a pixel more than half the sky from the reference is no mistake.
                sky.wcs.bounds_check(sky.wcs.ctype[sky.wcs.lng][-3:] not in CYLINDRICAL, True)
                return sky
        except _BAD_HEADER:
            return None

    @cached_property
    def pixel_scale(self) -> float:
        """Arcseconds per pixel, the mean of both axes; NaN if the header does not tell."""
        return sum(self.pixel_sides) / 2

    @cached_property
    def pixel_sides(self) -> tuple[float, float]:
        """Arcseconds per pixel along the two axes of the sky, in the order of the file; NaN if not told."""
        plain = self._plain_sides()
        if plain is not None:
            return plain
        if self.wcs is None:
            return float("nan"), float("nan")
        one, other = (3600 * float(side) for side in proj_plane_pixel_scales(self.wcs))
        return one, other

    @cached_property
    def beam_on_pixels(self) -> Beam:
        """The beam with its angle counted on the pixels, from rising rows to falling columns.

        In an image with north up and east left that is the position angle. Elsewhere it is turned, or mirrored, as
        the image is; where the header tells no frame, it stays.
        """
        if self.wcs is None or not np.isfinite(self.beam.major):
            return self.beam
        rows, columns = ((side - 1) / 2 for side in self.pixels.shape)
        x, y = columns + np.array([0.0, 0.5, 0.0]), rows + np.array([0.0, 0.0, 0.5])
        world = self.wcs.wcs_pix2world(np.column_stack((x, y)), 0)
        longitude, latitude = world[:, self.wcs.wcs.lng], world[:, self.wcs.wcs.lat]
        east = ((longitude[1:] - longitude[0] + 180) % 360 - 180) * np.cos(np.radians(latitude[0]))
        to_sky = np.array([east, latitude[1:] - latitude[0]])
        angle = np.radians(self.beam.angle)
        if not np.isfinite(to_sky).all() or abs(np.linalg.det(to_sky)) == 0:
            return self.beam
        column, row = np.linalg.solve(to_sky, np.array([np.sin(angle), np.cos(angle)]))
        return self.beam._replace(angle=float(np.degrees(np.arctan2(-column, row))))

    @cached_property
    def centre(self) -> tuple[float, float]:
        """RA and Dec of the middle of the image in degrees, ICRS; NaN if the header does not tell."""
        rows, columns = self.pixels.shape
        ra, dec = self.positions(np.array([(rows - 1) / 2]), np.array([(columns - 1) / 2]))
        return float(ra[0]), float(dec[0])

    def positions(self, rows: NDArray[Any], columns: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Give RA and Dec, degrees, ICRS, of pixels counted from 0; NaN where they are not known.

        Parameters
        ----------
        rows, columns : ndarray, any shape
            Places in the image; fractions are allowed.
        """
        unknown = np.full(np.shape(rows), np.nan)
        if self.wcs is None:
            return unknown, unknown.copy()
        try:
            with _quiet():
                sky = SkyCoord(self.wcs.pixel_to_world(columns, rows)).icrs
        except _BAD_HEADER:
            return unknown, unknown.copy()
        return np.asarray(sky.ra.deg), np.asarray(sky.dec.deg)

    @property
    def unit(self) -> str:
        """BUNIT as written, empty if absent."""
        return self._text("BUNIT")

    @property
    def survey(self) -> str:
        """SURVEY as written, empty if absent."""
        return self._text("SURVEY")

    @property
    def telescope(self) -> str:
        """TELESCOP as written, empty if absent."""
        return self._text("TELESCOP")

    @cached_property
    def beam(self) -> Beam:
        """The beam by BMAJ, BMIN and BPA, else by the last CLEAN line of AIPS in HISTORY; NaN if neither."""
        major, minor, angle = (self._number(key) for key in ("BMAJ", "BMIN", "BPA"))
        if major > 0:
            return _beam(major, minor, angle)
        found = [match for line in self._history() if "AIPS" in line and (match := _CLEAN.search(line))]
        if not found:
            return NO_BEAM
        return _beam(*(float((word or "nan").upper().replace("D", "E")) for word in found[-1].groups()))

    @cached_property
    def frequency(self) -> float:
        """Frequency in Hz: of the FREQ axis, else RESTFRQ or FREQ; NaN if the header does not tell."""
        for axis in range(1, 10):
            if self._text(f"CTYPE{axis}").upper().startswith("FREQ"):
                return self._axis_value(axis)
        values = (self._number(key) for key in _SKY_FREQUENCIES)
        return next((value for value in values if value >= _LOWEST_FREQUENCY), float("nan"))

    def _plain_sides(self) -> tuple[float, float] | None:
        """Give the sides of a pixel where CDELT alone tells it, which spares the WCS; None elsewhere."""
        if any(key in self.header for key in _TURNED) or self.header.get("CUNIT1", "deg") != "deg":
            return None
        kinds = {self._text(f"CTYPE{axis}")[:4] for axis in self.axes}
        steps = [abs(self._number(f"CDELT{axis}")) for axis in self.axes]
        if kinds not in ({"RA--", "DEC-"}, {"GLON", "GLAT"}) or not min(steps) > 0:
            return None
        return steps[0] * 3600, steps[1] * 3600

    def _tells_scale(self) -> bool:
        """Tell whether the header gives steps: where it does not, WCS would take one degree per pixel."""
        pairs = [f"{i}_{j}" for i in self.axes for j in self.axes]
        if any(f"CD{pair}" in self.header for pair in pairs):
            return True
        if any(f"CDELT{axis}" in self.header for axis in self.axes):
            return all(abs(self._number(f"CDELT{axis}")) > 0 for axis in self.axes)
        return any(f"PC{pair}" in self.header for pair in pairs)

    def _axis_value(self, axis: int) -> float:
        rest = [number for number in range(len(self.plane) + 2, 0, -1) if number not in self.axes]
        pixel = self.plane[rest.index(axis)] + 1 if axis in rest else 1
        start, step, reference = (self._number(f"{key}{axis}") for key in ("CRVAL", "CDELT", "CRPIX"))
        shift = (pixel - reference) * step
        value = start + (shift if np.isfinite(shift) else 0.0)
        try:
            value *= units.Unit(self._text(f"CUNIT{axis}") or "Hz").to("Hz")
        except (ValueError, units.UnitConversionError):
            return float("nan")
        return value if value > 0 else float("nan")

    def _number(self, key: str) -> float:
        try:
            return float(self.header.get(key, "nan"))
        except (ValueError, TypeError, fits.VerifyError):
            return float("nan")

    def _text(self, key: str) -> str:
        try:
            return str(self.header.get(key, "")).strip()
        except (ValueError, fits.VerifyError):
            return ""

    def _history(self) -> list[str]:
        return [str(line) for line in self.header.get("HISTORY", [])]


def read_fits(
    path: Path | str, plane: int | tuple[int, ...] | None = None, content: bytes | None = None
) -> FitsImage:
    """Read the image of the primary or the first image extension, a compressed one too.

    Axes of length 1 are dropped; what is left must be two axes. BSCALE, BZERO, BLANK, .gz and byte order are
    taken care of. The WCS is not looked at before it is asked for.

    Parameters
    ----------
    path : path
        The file.
    plane : int or tuple of int, optional
        Which plane of a cube is taken, from 0, along the third axis; or along each axis after the second that
        is longer than 1, in the order of NumPy (last FITS axis first).
    content : bytes, optional
        What is in the file, where it lies in an archive; the path is then a name for messages.

    Raises
    ------
    DataError
        If the file cannot be read, is truncated, or holds no image of two axes; the message names it.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     fits.writeto(f"{folder}/a.fits", np.ones((1, 2, 3)), fits.Header({"BUNIT": "Jy/beam"}))
    ...     image = read_fits(f"{folder}/a.fits")
    >>> image.pixels.shape, image.unit
    ((2, 3), 'Jy/beam')
    """
    path = Path(path)
    try:
        with _quiet(), path.open("rb") if content is None else io.BytesIO(content) as file:
            # The list of units is not closed: astropy would read on while it closes, and an error that it meets then
            # would take the place of an interrupt.
            header, data = _first_image(fits.open(file, memmap=False))
    except _UNREADABLE as error:
        raise_stop(error)
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise DataError(f"{path}: cannot be read as FITS: {reason}") from error
    if data is None:
        raise DataError(f"{path}: holds no image")
    kept, index = _two_axes(path, data.shape, plane)
    pixels = np.array(data[index], dtype=np.float32)
    axes = (data.ndim - kept[0], data.ndim - kept[1])
    return FitsImage(pixels, header, str(path), axes, tuple(i for i in index if isinstance(i, int)))


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep astropy's remarks on odd but legible headers, of which archives are full, to itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _first_image(units_: Any) -> tuple[Any, Any]:
    for unit in units_:
        if unit.is_image and unit.header.get("NAXIS", 0) >= 2:
            _check_size(unit)
            return unit.header, unit.data
    return units_[0].header, None


def _check_size(unit: Any) -> None:
    """Raise if the file ends before the image does; astropy alone would only warn."""
    info = unit.fileinfo()
    if info is None or info["file"] is None or unit.size == 0 or isinstance(unit, fits.CompImageHDU):
        return
    file = info["file"]
    here = file.tell()
    file.seek(0, 2)
    end = file.tell()
    file.seek(here)
    if end < info["datLoc"] + unit.size:
        raise OSError(f"the file ends after {end} bytes, {info['datLoc'] + unit.size} are needed")


def _two_axes(
    path: Path, shape: tuple[int, ...], plane: int | tuple[int, ...] | None
) -> tuple[list[int], tuple[int | slice, ...]]:
    """Give which two axes of an array are the image, and the index that picks it."""
    if min(shape) == 0:
        raise DataError(f"{path}: the image has shape {shape}: it has no pixels")
    long = [axis for axis, side in enumerate(shape) if side > 1]
    kept = long if len(long) == 2 else [len(shape) - 2, len(shape) - 1]
    cube = [axis for axis in long if axis not in kept]
    chosen = () if plane is None else (plane,) if isinstance(plane, int) else tuple(plane)
    if plane is None and len(long) != 2:
        offer = ", ".join(f"0 to {shape[axis] - 1}" for axis in cube)
        hint = f"; give a plane ({offer}) to take one image of it" if cube else ""
        raise DataError(f"{path}: the image has shape {shape}; two axes longer than 1 are needed{hint}")
    if len(chosen) != len(cube) and (cube or any(chosen)):
        raise SpecError(f"plane: {plane!r} was given; {path} of shape {shape} needs {len(cube)} numbers")
    index: list[int | slice] = [slice(None) if axis in kept else 0 for axis in range(len(shape))]
    for axis, number in zip(cube, chosen, strict=False):
        if not 0 <= number < shape[axis]:
            raise SpecError(f"plane: {number} was given for {path}; legal are 0 to {shape[axis] - 1}")
        index[axis] = number
    return kept, tuple(index)


def _beam(major: float, minor: float, angle: float) -> Beam:
    if not major > 0:
        return NO_BEAM
    return Beam(major * 3600, (minor if minor > 0 else major) * 3600, angle if np.isfinite(angle) else 0.0)
