"""Robust reading of one image, and of what its header says, from a FITS file."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from astropy.coordinates import ICRS, SkyCoord, UnitSphericalRepresentation
from astropy.io import fits
from astropy.units import deg
from astropy.wcs import NoConvergence
from numpy.typing import NDArray

from rgbench.errors import DataError, SpecError, one_line, raise_stop
from rgbench.images.apart import read_tiles
from rgbench.images.cards import factor, number, text, unit_in_comment
from rgbench.images.limits import as_float32, unpacked
from rgbench.images.sky import Steps, read_frame, read_steps, read_wcs, steps_at
from rgbench.images.units import Found, find_image

ENDINGS = tuple(
    f".{kind}{packed}" for kind in ("fits", "fit", "fts") for packed in ("", ".gz", ".bz2", ".xz", ".fz")
)
"""Endings of the files that are taken for FITS, in small letters; .fz are tile-compressed."""
NO_IMAGE = "holds no image"
_NUMBER = r"\s*=?\s*([-+]?[\d.]+(?:[EDed][-+]?\d+)?)"
_CLEAN = re.compile(rf"BMAJ{_NUMBER}\s*BMIN{_NUMBER}(?:\s*BPA{_NUMBER})?", re.IGNORECASE)
_SKY_FREQUENCIES = ("RESTFRQ", "RESTFREQ", "FREQ", "FREQUENC")
_LOWEST_FREQUENCY = 1e6
"""Hz; a keyword with a smaller number is not in Hz, and which unit is meant is not guessed."""
_SAME = 1e-4
"""Share by which pixels in the middle of an image may differ from those at the reference and count as the same."""
_ROUNDED = 1.001
"""Ratio of the axes of a beam up to which it is round, whichever of them is called the minor one."""
_FULL_TURN = 360
_LEAST_BEAM = 0.5
"""Pixels; no image has a finer beam."""
_WIDEST_BEAM = 3600.0
"""Arcsec, where the size of the image is not known."""


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
    images : int
        How many images the file holds, this one included.
    """

    pixels: NDArray[np.float32]
    header: Any = field(default_factory=fits.Header, repr=False)
    path: str = ""
    axes: tuple[int, int] = (2, 1)
    plane: tuple[int, ...] = ()
    images: int = 1

    @cached_property
    def wcs(self) -> Any:
        """Celestial WCS of rows and columns (astropy.wcs.WCS, degrees), None if `position_fault` says why not."""
        return self._sky[0]

    @cached_property
    def frame(self) -> Any:
        """The frame that the WCS is in (an astropy frame without data); None without a WCS."""
        return self._sky[1]

    @property
    def position_fault(self) -> str:
        """Why positions are not known, naming the card, as "CRVAL1 is missing"; "" if they are."""
        return self._sky[2]

    @property
    def scale_fault(self) -> str:
        """Why the pixel scale is not known, naming the card; "" if it is."""
        return self._steps[1]

    @property
    def beam_fault(self) -> str:
        """What of the beam's cards is not understood; "" if nothing is, or there are none."""
        return self._beam[1]

    @property
    def remarks(self) -> tuple[str, ...]:
        """What was taken on trust of the file: what is odd about it and was read all the same."""
        several = f"holds {self.images} images; the first is read" if self.images > 1 else ""
        return tuple(remark for remark in (several, self._beam[2]) if remark)

    @cached_property
    def pixel_scale(self) -> float:
        """Arcseconds per pixel in the middle of the image, the mean of both axes; NaN if the header does not tell."""
        return sum(self.pixel_sides) / 2

    @cached_property
    def pixel_sides(self) -> tuple[float, float]:
        """Arcseconds on the sky per pixel of columns and rows, in the middle of the image; NaN if not told.

        Those of the steps in the header, which hold at the reference pixel, where they are the same to 1e-4.
        """
        steps = self._steps[0]
        if steps is None:
            return float("nan"), float("nan")
        one, other = np.hypot(*self._jacobian).tolist()
        same = all(abs(a - b) < _SAME * b for a, b in zip((one, other), steps.sides, strict=True))
        return steps.sides if same else (one, other)

    @property
    def pixel_span(self) -> tuple[float, float]:
        """Arcseconds per pixel in the direction in which pixels are longest, and shortest; NaN if not told."""
        if self._steps[0] is None:
            return float("nan"), float("nan")
        longest, shortest = np.linalg.svd(self._jacobian, compute_uv=False).tolist()
        return longest, shortest

    @cached_property
    def beam_on_pixels(self) -> Beam:
        """The beam with its angle counted on the pixels, from rising rows to falling columns.

        In an image with north up and east left that is the position angle. Elsewhere it is turned, or mirrored, as
        the middle of the image is; where the header tells no frame, it stays.
        """
        if self.wcs is None or not np.isfinite(self.beam.major):
            return self.beam
        angle = np.radians(self.beam.angle)
        if np.linalg.det(self._jacobian) == 0:
            return self.beam
        column, row = np.linalg.solve(self._jacobian, np.array([np.sin(angle), np.cos(angle)]))
        return self.beam._replace(angle=float(np.degrees(np.arctan2(-column, row))))

    def steps_at(self, row: float, column: float) -> NDArray[np.float64]:
        """Give the steps of pixels at a place, as `rgbench.images.sky.steps_at` does; NaN where they are not known."""
        return np.full((2, 2), np.nan) if self.wcs is None else steps_at(self.wcs, row, column)

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
        if self.wcs is None:
            unknown = np.full(np.shape(rows), np.nan)
            return unknown, unknown.copy()
        wcs = self.wcs.wcs
        world = self.wcs.pixel_to_world_values(columns, rows)
        longitude, latitude = np.asarray(world[wcs.lng]), np.asarray(world[wcs.lat])
        if isinstance(self.frame, ICRS):
            return longitude % 360, latitude
        frame = self.frame.realize_frame(UnitSphericalRepresentation(longitude * deg, latitude * deg))
        sky = frame.transform_to(ICRS())
        return np.asarray(sky.ra.deg), np.asarray(sky.dec.deg)

    def places(self, ra: NDArray[Any], dec: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Give rows and columns, counted from 0, of positions in degrees, ICRS; the inverse of `positions`.

        NaN where the projection does not reach, or the header tells no position.
        """
        if self.wcs is None:
            unknown = np.full(np.shape(ra), np.nan)
            return unknown, unknown.copy()
        longitude, latitude = ra, dec
        if not isinstance(self.frame, ICRS):
            there = SkyCoord(ra * deg, dec * deg).transform_to(self.frame).spherical
            longitude, latitude = there.lon.deg, there.lat.deg
        world = (longitude, latitude) if self.wcs.wcs.lng == 0 else (latitude, longitude)
        try:
            with quiet():
                columns, rows = self.wcs.world_to_pixel_values(*world)
        except NoConvergence:  # of a distortion
            columns = rows = np.full(np.shape(ra), np.nan)
        return np.asarray(rows), np.asarray(columns)

    def header_from(self, row: int, column: int) -> Any:
        """Give the header of a part that begins at a pixel of this, counted from 0; it may lie beyond the edge."""
        header = self.header.copy()
        for axis, first in zip(self.axes, (row, column), strict=True):
            header[f"CRPIX{axis}"] = number(self.header, f"CRPIX{axis}", 0.0) - first
        return header

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

    @property
    def beam(self) -> Beam:
        """The beam by BMAJ, BMIN and BPA, else by the last CLEAN line of AIPS in HISTORY; NaN if neither.

        BMAJ and BMIN are degrees, if their comments do not begin with another unit in brackets. If BMIN is the larger
        one, they change places, and the angle turns by 90 degrees.
        """
        return self._beam[0]

    @cached_property
    def frequency(self) -> float:
        """Frequency in Hz: of the FREQ axis, else RESTFRQ or FREQ; NaN if the header does not tell."""
        for axis in range(1, 10):
            if self._text(f"CTYPE{axis}").upper().startswith("FREQ"):
                return self._axis_value(axis)
        values = (self._number(key) for key in _SKY_FREQUENCIES)
        return next((value for value in values if value >= _LOWEST_FREQUENCY), float("nan"))

    @cached_property
    def _steps(self) -> tuple[Steps | None, str]:
        rows, columns = self.pixels.shape
        if not len(self.header):
            return None, "there is no header"
        try:
            return read_steps(self.header, (self.axes[1], self.axes[0]), (rows, columns)), ""
        except DataError as error:
            return None, str(error)

    @cached_property
    def _jacobian(self) -> NDArray[np.float64]:
        """The steps in the middle of the image; those of the header where the middle is no place on the sky."""
        steps = self._steps[0]
        assert steps is not None
        rows, columns = self.pixels.shape
        here = self.steps_at((rows - 1) / 2, (columns - 1) / 2)
        return here if np.isfinite(here).all() else 3600 * steps.matrix

    @cached_property
    def _sky(self) -> tuple[Any, Any, str]:
        steps, fault = self._steps
        if steps is None:
            return None, None, fault
        try:
            return read_wcs(self.header, steps), read_frame(self.header, steps), ""
        except DataError as error:
            return None, None, str(error)

    @cached_property
    def _beam(self) -> tuple[Beam, str, str]:
        """The beam, what of it is not understood, and what was taken on trust of it."""
        try:
            written = self._beam_of_cards() or self._beam_of_history()
        except (DataError, ValueError) as error:
            return NO_BEAM, str(error), ""
        found, remark = _longer_first(written)
        side = max(self.pixels.shape) * self.pixel_scale
        widest = side if np.isfinite(side) else _WIDEST_BEAM
        if found.major > widest:
            key = "BMIN" if remark else "BMAJ"
            return (
                NO_BEAM,
                f"{key} would be a beam of {found.major:.4g} arcsec, if it is in degrees; up to {widest:.4g} are legal",
                "",
            )
        least = _LEAST_BEAM * min(self.pixel_sides)
        if found.minor < least:
            key = "BMAJ" if remark or found.minor == found.major else "BMIN"
            return (
                NO_BEAM,
                f"{key} would be a beam of {found.minor:.4g} arcsec, if it is in degrees; half of a pixel, "
                f"{least:.4g}, or more is legal",
                "",
            )
        return found, "", remark

    def _beam_of_cards(self) -> Beam | None:
        major = number(self.header, "BMAJ", 0.0)
        if not major > 0:
            return None
        minor, angle = number(self.header, "BMIN", 0.0), number(self.header, "BPA", 0.0)
        if minor < 0:
            raise DataError(f"BMIN is {minor:.4g}; more than 0 is legal")
        if abs(angle) > _FULL_TURN and minor not in (0, major):
            raise DataError(f"BPA is {angle:.4g} degrees; -360 to 360 are legal")
        return _beam(major * self._degrees("BMAJ"), minor * self._degrees("BMIN"), angle)

    def _degrees(self, key: str) -> float:
        said = unit_in_comment(self.header, key)
        return factor(said, "deg", key) if said else 1.0

    def _beam_of_history(self) -> Beam:
        found = [match for line in self._history() if "AIPS" in line and (match := _CLEAN.search(line))]
        if not found:
            return NO_BEAM
        return _beam(*(float((word or "nan").upper().replace("D", "E")) for word in found[-1].groups()))

    def _axis_value(self, axis: int) -> float:
        rest = [number for number in range(len(self.plane) + 2, 0, -1) if number not in self.axes]
        pixel = self.plane[rest.index(axis)] + 1 if axis in rest else 1
        start, step, reference = (self._number(f"{key}{axis}") for key in ("CRVAL", "CDELT", "CRPIX"))
        shift = (pixel - reference) * step
        value = start + (shift if np.isfinite(shift) else 0.0)
        try:
            value *= factor(self._text(f"CUNIT{axis}") or "Hz", "Hz", f"CUNIT{axis}")
        except DataError:
            return float("nan")
        return value if value > 0 else float("nan")

    def _number(self, key: str) -> float:
        try:
            return number(self.header, key, float("nan"))
        except DataError:
            return float("nan")

    def _text(self, key: str) -> str:
        try:
            return text(self.header, key)
        except DataError:
            return ""

    def _history(self) -> list[str]:
        try:
            return [str(line) for line in self.header.get("HISTORY", [])]
        except fits.VerifyError:
            return []


def read_fits(
    path: Path | str, plane: int | tuple[int, ...] | None = None, content: bytes | None = None
) -> FitsImage:
    """Read the image of the primary or the first image extension that has pixels, a compressed one too.

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
        with quiet():
            found, data = _read(path, content)
    except SpecError:
        raise
    # Damaged files are met by astropy with errors of every kind, MemoryError and ModuleNotFoundError among them.
    except Exception as error:
        raise_stop(error)
        raise DataError(f"{path}: cannot be read as FITS: {one_line(error)}") from error
    if data is None:
        raise DataError(f"{path}: {NO_IMAGE}")
    kept, index = image_axes(path, data.shape, plane)
    try:
        pixels = as_float32(data[index])
    except OSError as error:
        raise DataError(f"{path}: {error}") from None
    axes = (data.ndim - kept[0], data.ndim - kept[1])
    planes = tuple(i for i in index if isinstance(i, int))
    return FitsImage(pixels, found.header, str(path), axes, planes, found.images)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep astropy's remarks on odd but legible headers, of which archives are full, to itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _read(path: Path, content: bytes | None) -> tuple[Found, Any]:
    """Give the first image and its data, None if there is none."""
    plain = unpacked(path, content)
    if plain is not None:
        content = plain.getvalue()
    with path.open("rb") if content is None else io.BytesIO(content) as file:
        found = find_image(file)
    if not found.shape:
        return found, None
    if min(found.shape) == 0:
        return found, np.zeros(found.shape, np.float32)
    if found.header.get("ZIMAGE") is True:
        return found, read_tiles(path, content, found.place, found.shape)
    # As numbers with an offset, and not as unsigned ones, integers keep their BLANK.
    source = path if content is None else io.BytesIO(content)
    with fits.open(source, memmap=False, uint=False, disable_image_compression=True) as units_:
        data = units_[found.place].data
    if data is None or data.shape != found.shape:
        raise OSError(f"its header promises {found.shape} pixels, which are not there")
    return found, data


def image_axes(
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
        hint = f"; give a plane ({offer}) to take one image of it (--plane, plane)" if cube else ""
        raise DataError(f"{path}: the image has shape {shape}; two axes longer than 1 are needed{hint}")
    if len(chosen) != len(cube) and (cube or any(chosen)):
        raise SpecError(f"plane: {plane!r} was given; {path} of shape {shape} needs {len(cube)} numbers")
    index: list[int | slice] = [slice(None) if axis in kept else 0 for axis in range(len(shape))]
    for axis, at in zip(cube, chosen, strict=False):
        if not 0 <= at < shape[axis]:
            raise SpecError(f"plane: {at} was given for {path}; legal are 0 to {shape[axis] - 1}")
        index[axis] = at
    return kept, tuple(index)


def _beam(major: float, minor: float, angle: float) -> Beam:
    if not major > 0:
        return NO_BEAM
    return Beam(major * 3600, (minor if minor > 0 else major) * 3600, angle if np.isfinite(angle) else 0.0)


def _longer_first(beam: Beam) -> tuple[Beam, str]:
    """Give a beam with its longer axis first, and say so if that was the other one by more than rounding."""
    if not beam.minor > beam.major:
        return beam, ""
    remark = (
        f"BMIN, {beam.minor:.4g} arcsec, is larger than BMAJ, {beam.major:.4g}: it is taken for the major axis, which "
        "lies at BPA + 90 degrees"
    )
    told = beam.minor > _ROUNDED * beam.major
    return Beam(beam.minor, beam.major, beam.angle + 90), remark if told else ""
