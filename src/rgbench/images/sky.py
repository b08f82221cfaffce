"""What a FITS header tells of the sky under its pixels: steps, position and frame, each checked card by card.

The C library behind `astropy.wcs` passes over numbers that it cannot read, and dies of some headers. It is given only
what has been checked here: a new header of the two axes of the sky, in degrees.
"""

from __future__ import annotations

import math
import re
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy import coordinates
from astropy.coordinates import BaseCoordinateFrame
from astropy.io import fits
from astropy.time import Time
from astropy.wcs import WCS
from numpy.typing import NDArray

from rgbench.errors import DataError, one_line
from rgbench.images.cards import factor, has, number, text, unit_in_comment

CYLINDRICAL = ("CAR", "CEA", "CYP", "MER")
"""Projections in which the sky repeats itself every 360 degrees."""
PROJECTIONS = (
    "AZP", "SZP", "TAN", "STG", "SIN", "ARC", "ZPN", "ZEA", "AIR", *CYLINDRICAL, "SFL", "PAR", "MOL", "AIT", "COP",
    "COE", "COD", "COO", "BON", "PCO", "TSC", "CSC", "QSC", "HPX", "XPH", "NCP", "GLS", "TPV",
)  # fmt: skip
"""Codes of the projections of FITS, and three of other origin that are common."""
_PAIRS = (("RA", "DEC"), ("GLON", "GLAT"), ("ELON", "ELAT"), ("SLON", "SLAT"))
_RADESYS = ("ICRS", "FK5", "FK4", "FK4-NO-E")
_YEARS = 1800.0, 2200.0
_WIDEST = 400.0
"""Degrees that an image spans at most: the whole sky, with a margin. More is a step in another unit."""
_FURTHEST = 1e7
"""Pixels from the reference to the image at most."""
_TERMS = 39
"""Highest number of a parameter PVi_m."""
_HIGHEST_ORDER = 9
_TABLES = re.compile(r"(CPDIS|CQDIS|CPERR|CQERR|DP|DQ|D2IMDIS|D2IMERR|D2IM)\d")


@dataclass(frozen=True)
class Steps:
    """The steps of an image's pixels on the sky.

    Attributes
    ----------
    numbers : (int, int)
        The FITS axes of columns and rows, counted from 1.
    kinds : (str, str)
        What they are, as ("RA", "DEC").
    code : str
        The projection, in three letters.
    matrix : ndarray of float64, shape (2, 2)
        Degrees along the axes of the sky (rows of the matrix) per pixel of columns and rows, at the reference.
    factors : (float, float)
        Degrees in the unit of each axis.
    """

    numbers: tuple[int, int]
    kinds: tuple[str, str]
    code: str
    matrix: NDArray[np.float64]
    factors: tuple[float, float]

    @property
    def sides(self) -> tuple[float, float]:
        """Arcsec per pixel of columns and rows."""
        one, other = 3600 * np.hypot(*self.matrix)
        return float(one), float(other)


def read_steps(header: fits.Header, numbers: tuple[int, int], shape: tuple[int, int]) -> Steps:
    """Read the steps of pixels.

    Parameters
    ----------
    header : astropy.io.fits.Header
        The header.
    numbers : (int, int)
        The FITS axes of columns and rows, counted from 1.
    shape : (int, int)
        Rows and columns.

    Raises
    ------
    DataError
        Naming the card that is missing or cannot be what it must be.

    Notes
    -----
    The matrix is that of CDi_j; else CDELTi times PCi_j; else CDELTi turned by CROTAi of the latitude, as AIPS has it
    (Greisen & Calabretta 2002, A&A 395, 1061; Calabretta & Greisen 2002, A&A 395, 1077).
    """
    words = [text(header, f"CTYPE{axis}").upper() for axis in numbers]
    if not any(words):
        raise DataError(f"CTYPE{numbers[0]} and CTYPE{numbers[1]} are missing")
    named = " and ".join(f"CTYPE{axis} is {word!r}" for axis, word in zip(numbers, words, strict=True))
    kinds = tuple(word[:5].split("-")[0] for word in words)
    if kinds not in _PAIRS and kinds[::-1] not in _PAIRS:
        raise DataError(
            f"{named}; legal are {', '.join('/'.join(pair) for pair in _PAIRS)} with a projection"
        )
    codes = {word[5:8] for word in words}
    factors = _factors(header, numbers)
    matrix = np.array(factors)[:, None] * _matrix(header, numbers, kinds)
    largest = np.abs(matrix).max()
    if not 0 < largest < np.inf or abs(np.linalg.det(matrix / largest)) < 1e-9:
        raise DataError(f"the steps {_steps_card(header, numbers)} are 0 or not independent of each other")
    steps = Steps(numbers, (kinds[0], kinds[1]), codes.pop() if len(codes) == 1 else "", matrix, factors)
    for side, pixels, axis in zip(steps.sides, shape[::-1], numbers, strict=True):
        if side * pixels > _WIDEST * 3600:
            raise DataError(
                f"{_steps_card(header, numbers)}: {pixels} pixels along axis {axis} would span "
                f"{side * pixels / 3600:.4g} degrees, more than the sky; is CUNIT{axis} another unit?"
            )
    return steps


def read_wcs(header: fits.Header, steps: Steps) -> Any:
    """Give the celestial WCS of columns and rows (astropy.wcs.WCS), in degrees.

    Raises
    ------
    DataError
        Naming the card that is missing, cannot be what it must be, or asks for what is not read here.
    """
    if steps.code not in PROJECTIONS:
        named = ", ".join(f"CTYPE{axis} is {text(header, f'CTYPE{axis}')!r}" for axis in steps.numbers)
        raise DataError(f"{named}; one projection for both is needed, of {', '.join(PROJECTIONS)}")
    if tables := sorted(key for key in header if _TABLES.match(key)):
        raise DataError(f"{tables[0]} is there; distortions by tables are not read")
    cards = _reference(header, steps) | _parameters(header, steps) | _polynomials(header, steps)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            wcs = WCS(fits.Header(cards))
            wcs.wcs.set()
    # The library says by errors of many kinds that cards do not go together.
    except Exception as error:
        raise DataError(f"its cards make no WCS: {one_line(error)}") from None
    # These repeat themselves: a pixel more than half the sky from the reference is no mistake.
    wcs.wcs.bounds_check(steps.code not in CYLINDRICAL, True)
    return wcs


def steps_at(wcs: Any, row: float, column: float) -> NDArray[np.float64]:
    """Give the steps of pixels on the sky at a place of an image; those of the header hold at its reference only.

    Parameters
    ----------
    wcs : astropy.wcs.WCS
        As from `read_wcs`; distortions count.
    row, column : float
        The place, counted from 0.

    Returns
    -------
    ndarray of float64, shape (2, 2)
        Arcsec to the east and to the north (rows) per pixel of columns and of rows (columns). NaN where the
        projection does not reach.

    Examples
    --------
    >>> wcs = WCS(fits.Header({"CTYPE1": "RA---CAR", "CTYPE2": "DEC--CAR", "CDELT1": -0.001, "CDELT2": 0.001}))
    >>> abs(steps_at(wcs, 60_000, 0)).round(3).tolist()
    [[1.8, 0.0], [0.0, 3.6]]
    """
    x, y = column + np.array([0.0, -0.5, 0.5, 0.0, 0.0]), row + np.array([0.0, 0.0, 0.0, -0.5, 0.5])
    world = np.radians(wcs.all_pix2world(np.column_stack((x, y)), 0))
    longitude, latitude = world[:, wcs.wcs.lng], world[:, wcs.wcs.lat]
    # As directions in space, so that neither a pole nor the end of the circle is a special case.
    across = np.cos(latitude) * np.array([np.cos(longitude), np.sin(longitude)])
    places = np.array([*across, np.sin(latitude)])
    (cos_a, cos_d), (sin_a, sin_d) = np.cos(world[0]), np.sin(world[0])
    if wcs.wcs.lng:
        cos_a, cos_d, sin_a, sin_d = cos_d, cos_a, sin_d, sin_a
    to_sky = np.array([[-sin_a, cos_a, 0.0], [-sin_d * cos_a, -sin_d * sin_a, cos_d]])
    return np.asarray(3600 * np.degrees(to_sky @ (places[:, [2, 4]] - places[:, [1, 3]])))


def read_frame(header: fits.Header, steps: Steps) -> BaseCoordinateFrame:
    """Give the frame of the sky's axes, without data.

    Raises
    ------
    DataError
        If RADESYS or EQUINOX are none that FITS knows.

    Notes
    -----
    Without RADESYS the equinox decides: FK4 before 1984, FK5 after, ICRS if there is none (Calabretta & Greisen 2002).

    Examples
    --------
    >>> keys = {"CTYPE1": "RA---SIN", "CTYPE2": "DEC--SIN", "CDELT1": -1e-3, "CDELT2": 1e-3, "EQUINOX": 1950.0}
    >>> header = fits.Header(keys)
    >>> read_frame(header, read_steps(header, (1, 2), (10, 10))).name
    'fk4'
    """
    kind = set(steps.kinds)
    if kind == {"GLON", "GLAT"}:
        return coordinates.Galactic()
    if kind == {"SLON", "SLAT"}:
        return coordinates.Supergalactic()
    system, year = _system_and_year(header)
    old = system.startswith("FK4")
    time = Time(year, format="byear" if old else "jyear", scale="tt")
    if kind == {"ELON", "ELAT"}:
        if old:
            raise DataError(f"the frame is ecliptic of {system}; legal are ICRS and FK5 with an EQUINOX")
        return coordinates.BarycentricMeanEcliptic(equinox=time)
    if system == "ICRS":
        return coordinates.ICRS()
    frames = {"FK5": coordinates.FK5, "FK4": coordinates.FK4, "FK4-NO-E": coordinates.FK4NoETerms}
    return frames[system](equinox=time)


def _system_and_year(header: fits.Header) -> tuple[str, float]:
    """Give RADESYS and EQUINOX as they are meant where one of them is not written."""
    system, year = _system(header), _equinox(header)
    if not system:
        system = "ICRS" if year is None else "FK4" if year < 1984 else "FK5"
    return system, year or (1950.0 if system.startswith("FK4") else 2000.0)


def _system(header: fits.Header) -> str:
    key = "RADESYS" if has(header, "RADESYS") else "RADECSYS"
    word = text(header, key).upper()
    if word and word not in _RADESYS:
        raise DataError(f"{key} is {word!r}; legal are {', '.join(_RADESYS)}")
    return word


def _equinox(header: fits.Header) -> float | None:
    key = "EQUINOX" if has(header, "EQUINOX") else "EPOCH"
    if not has(header, key):
        return None
    word = text(header, key).upper()
    year = float(word[1:]) if re.fullmatch(r"[JB]\d{4}(\.\d*)?", word) else number(header, key)
    if not _YEARS[0] <= year <= _YEARS[1]:
        raise DataError(f"{key} is {year:g}; a year from {_YEARS[0]:g} to {_YEARS[1]:g} is needed")
    return year


def _factors(header: fits.Header, numbers: tuple[int, int]) -> tuple[float, float]:
    """Give how many degrees the unit of each axis is; refuse a comment that contradicts it."""
    units = [text(header, f"CUNIT{axis}") or "deg" for axis in numbers]
    found = [factor(unit, "deg", f"CUNIT{axis}") for unit, axis in zip(units, numbers, strict=True)]
    for axis, own in zip(numbers, found, strict=True):
        said = unit_in_comment(header, f"CDELT{axis}")
        if said and not math.isclose(factor(said, "deg", f"CDELT{axis}"), own):
            raise DataError(
                f"the comment of CDELT{axis} says {said}, CUNIT{axis} is {text(header, f'CUNIT{axis}')!r}; "
                "which of them holds is not clear"
            )
    return found[0], found[1]


def _matrix(header: fits.Header, numbers: tuple[int, int], kinds: Any) -> NDArray[np.float64]:
    """Give the steps in the units of the axes."""
    for key in ("CD", "PC"):
        _refuse_coupling(header, key, numbers)
    pairs = [(i, j) for i in numbers for j in numbers]
    if any(has(header, f"CD{i}_{j}") for i, j in pairs):
        return np.array([number(header, f"CD{i}_{j}", 0.0) for i, j in pairs]).reshape(2, 2)
    turned = [_pc(header, i, j) for i, j in pairs]
    plain = all(value is None for value in turned)
    alone = not plain and not any(has(header, f"CDELT{axis}") for axis in numbers)
    steps = np.array([1.0 if alone else number(header, f"CDELT{axis}") for axis in numbers])
    if not plain:
        shares = [float(i == j) if v is None else v for v, (i, j) in zip(turned, pairs, strict=True)]
        return np.asarray(steps[:, None] * np.array(shares).reshape(2, 2))
    latitude = numbers[1 if kinds in _PAIRS else 0]
    longitude = numbers[0 if kinds in _PAIRS else 1]
    angle = math.radians(number(header, f"CROTA{latitude}", 0.0))
    sign = 1 if latitude == numbers[1] else -1
    if not has(header, f"CROTA{latitude}") and number(header, f"CROTA{longitude}", 0.0) != 0:
        raise DataError(f"CROTA{longitude} is there without CROTA{latitude}, by which an image is turned")
    cosine, sine = math.cos(angle), sign * math.sin(angle)
    return np.array([[steps[0] * cosine, -steps[1] * sine], [steps[0] * sine, steps[1] * cosine]])


def _pc(header: fits.Header, i: int, j: int) -> float | None:
    """Give one element of the matrix of turns, in its modern or old spelling; None if it is not there."""
    for key in (f"PC{i}_{j}", f"PC{i:03d}{j:03d}"):
        if has(header, key):
            return number(header, key)
    return None


def _refuse_coupling(header: fits.Header, key: str, numbers: tuple[int, int]) -> None:
    """Raise if other axes go into those of the sky."""
    for other in range(1, 10):
        for axis in numbers if other not in numbers else ():
            for name in (f"{key}{axis}_{other}", f"{key}{other}_{axis}"):
                if number(header, name, 0.0) != 0:
                    raise DataError(
                        f"{name} is {number(header, name):g}; axes that lean on others are not read"
                    )


def _steps_card(header: fits.Header, numbers: tuple[int, int]) -> str:
    for key in ("CD{0}_{0}", "CDELT{0}", "PC{0}_{0}"):
        found = [name for name in (key.format(axis) for axis in numbers) if has(header, name)]
        if found:
            return " and ".join(f"{name} = {number(header, name):g}" for name in found)
    return "of its pixels"


def _reference(header: fits.Header, steps: Steps) -> dict[str, Any]:
    """Give the cards of the reference, the two axes counted 1 and 2."""
    system, year = _system_and_year(header)
    cards: dict[str, Any] = {"RADESYS": system} | ({} if system == "ICRS" else {"EQUINOX": year})
    for new, (axis, kind, own) in enumerate(zip(steps.numbers, steps.kinds, steps.factors, strict=True), 1):
        value, pixel = number(header, f"CRVAL{axis}") * own, number(header, f"CRPIX{axis}")
        limit = 90.0 if kind in ("DEC", "GLAT", "ELAT", "SLAT") else 720.0
        if not abs(value) <= limit:
            raise DataError(f"CRVAL{axis} is {value:g} degrees; -{limit:g} to {limit:g} are legal")
        if not abs(pixel) <= _FURTHEST:
            raise DataError(f"CRPIX{axis} is {pixel:g}; up to {_FURTHEST:g} pixels are legal")
        cards |= {f"CTYPE{new}": f"{kind:-<5}{steps.code}", f"CUNIT{new}": "deg"}
        cards |= {f"CRVAL{new}": value, f"CRPIX{new}": pixel}
        cards |= {f"CD{new}_{j}": float(steps.matrix[new - 1, j - 1]) for j in (1, 2)}
    return cards


def _parameters(header: fits.Header, steps: Steps) -> dict[str, Any]:
    """Give the cards of the projection's parameters."""
    cards = {key: number(header, key) for key in ("LONPOLE", "LATPOLE") if has(header, key)}
    for key in header:
        match = re.fullmatch(r"PV(\d)_(\d+)", key)
        if match and int(match[1]) in steps.numbers and has(header, key):
            if int(match[2]) > _TERMS:
                raise DataError(f"{key} is there; PVi_0 to PVi_{_TERMS} are legal")
            cards[f"PV{steps.numbers.index(int(match[1])) + 1}_{match[2]}"] = number(header, key)
    for key, value in cards.items():
        if not abs(value) <= 1e6:
            raise DataError(f"{key} is {value:g}; -1e6 to 1e6 are legal")
    return cards


def _polynomials(header: fits.Header, steps: Steps) -> dict[str, Any]:
    """Give the cards of the SIP distortion (Shupe et al. 2005, ASP Conf. 347, 491), if there is one."""
    cards: dict[str, Any] = {}
    if not any(has(header, key) for key in ("A_ORDER", "B_ORDER")):
        return cards
    if steps.numbers != (1, 2):
        raise DataError("A_ORDER is there; it goes with axes 1 and 2, which the image does not have")
    for new, kind in enumerate(steps.kinds, 1):
        cards[f"CTYPE{new}"] = f"{kind:-<5}{steps.code}-SIP"
    for which in ("A", "B", "AP", "BP"):
        if not has(header, f"{which}_ORDER"):
            continue
        order = number(header, f"{which}_ORDER")
        if order not in range(_HIGHEST_ORDER + 1):
            raise DataError(f"{which}_ORDER is {order:g}; 0 to {_HIGHEST_ORDER} are legal")
        cards[f"{which}_ORDER"] = int(order)
        for key in (f"{which}_{p}_{q}" for p in range(int(order) + 1) for q in range(int(order) + 1 - p)):
            if has(header, key):
                cards[key] = number(header, key)
    return cards
