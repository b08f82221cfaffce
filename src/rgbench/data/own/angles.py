"""Positions as people write them: degrees, hours, sexagesimal, and inside names.

Three parts, as catalogues have them, are read here; whatever else is written is left to astropy's `Angle`. It could
read all of it, but takes about 200 s for a million angles, where this takes 14 s, and differs in the last bit;
`astropy.coordinates.jparser` takes about 1000 s for a million names, where this takes 5 s, keeps three decimals at the
most, and knows no names in degrees.
"""

from __future__ import annotations

import math
import re
import warnings
from typing import Any, NamedTuple

import numpy as np
from astropy import units
from astropy.coordinates import Angle, angular_separation
from numpy.typing import NDArray

from rgbench.errors import DataError

_SEXAGESIMAL = re.compile(
    r"([+-]?)\s*(\d{1,3})\s*([h:d°\s])\s*(\d{1,2})\s*(?:[m:'′\s])\s*(\d{1,2}(?:\.\d*)?)\s*(?:s|\"|″|'')?",
    re.IGNORECASE,
)
_J_NAME = re.compile(
    r"(?:^|[^0-9A-Za-z.])J([01]\d|2[0-3])([0-5]\d)([0-6]\d(?:\.\d+)?)([+-])([0-8]\d|90)([0-5]\d)([0-6]\d(?:\.\d+)?)(?!\d)"
)
_DECIMAL_NAME = re.compile(
    r"(?<![\d.])(\d{1,3}\.\d{2,})_?([+-]\d{1,3}\.\d{2,})(?!\d)"
    r"|^(\d{1,3}\.\d+)_(-?\d{1,2}\.\d+)_"
)
NOTHING = ("", "--", "-", "nan", "null", "none", "n/a", "na", "...")
"""What people write into a cell that holds nothing, in small letters."""
_IN_HOURS = "{!r} is in hours; degrees are needed"
_LEGAL = {"ra": (0.0, 360.0), "dec": (-90.0, 90.0)}
_HOURS = ("h", "hr", "hour", "hours", "hourangle")
_SEXAGESIMAL_UNIT = re.compile(
    r"(?P<first>hh?|hours?|hr|hourangle|dd?|deg|degrees?|°)[\W_]*(?:mm?|min|minutes?|arcmin|am|['′])[\W_]*"
    r"(?:ss?|sec|seconds?|arcsec|as|[\"″]|'')(?:\.?s+)?|sex(?:agesimal)?",
    re.IGNORECASE,
)
_MARK = re.compile(r"\d\s*[hd°]", re.IGNORECASE)
_PLAIN = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?", re.IGNORECASE)


def parse_angle(text: str, axis: str) -> float:
    """Give degrees of an RA ("ra") or Dec ("dec"); NaN for an empty one.

    A plain number is degrees. Parts are hours for RA, degrees for Dec; with a d they are degrees.

    Raises
    ------
    ValueError
        Saying what is legal.

    Examples
    --------
    >>> parse_angle("12h30m00s", "ra"), parse_angle("-00:30:00", "dec"), parse_angle("187.5", "ra")
    (187.5, -0.5, 187.5)
    >>> parse_angle("12h30m", "ra"), parse_angle("-0d30.5m", "dec")
    (187.5, -0.508...)
    """
    text = text.strip().replace("\N{MINUS SIGN}", "-")
    if text.casefold() in NOTHING:
        return float("nan")
    match = _SEXAGESIMAL.fullmatch(text)
    if match is None:
        try:
            return float(text.removesuffix("°").removesuffix("d"))
        except ValueError:
            return _by_astropy(text, axis)
    sign, whole, mark, minutes, seconds = match.groups()
    if text.endswith("S") and mark.upper() not in "HD°":
        return _by_astropy(text, axis)  # south, not seconds
    if float(minutes) >= 60 or float(seconds) >= 60:
        raise ValueError(f"{text!r} has minutes or seconds of 60 or more")
    if axis == "dec" and mark in "hH":
        raise ValueError(_IN_HOURS.format(text))
    value = int(whole) + int(minutes) / 60 + float(seconds) / 3600
    value *= 15 if axis == "ra" and mark not in "dD°" else 1
    return -value if sign == "-" else value


def _by_astropy(text: str, axis: str) -> float:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            angle = Angle(text, units.hourangle if axis == "ra" else units.deg)
    # What is no angle makes its parser raise errors and warnings of many kinds.
    except Exception:
        raise ValueError(f"{text!r} is neither degrees nor sexagesimal") from None
    if axis == "dec" and re.search(r"\dh", text, re.IGNORECASE):
        raise ValueError(_IN_HOURS.format(text))
    return round(float(angle.deg), 12)  # from hours it is off in the last bit


def separation(ra: float, dec: float, other_ra: float, other_dec: float) -> float:
    """Give arcseconds between two positions in degrees; NaN if one is not known.

    Examples
    --------
    >>> round(separation(0, 0, 0, 1), 6)
    3600.0
    """
    return 3600 * math.degrees(angular_separation(*map(math.radians, (ra, dec, other_ra, other_dec))))


def distance(arcsec: float) -> str:
    """Write a distance on the sky in arcseconds, one of more than a degree in degrees.

    Examples
    --------
    >>> distance(36.04), distance(540636.4)
    ('36.0 arcsec', '150.2 degrees')
    """
    return f"{arcsec / 3600:.1f} degrees" if arcsec > 3600 else f"{arcsec:.1f} arcsec"


def to_degrees(where: str, values: NDArray[Any], unit: str, axis: str) -> NDArray[np.float64]:
    """Give a column of RA ("ra") or Dec ("dec") in degrees.

    Parameters
    ----------
    where : str
        File and column, for messages.
    values : ndarray of numbers or str, shape (n,)
        Text may be sexagesimal. Letters in it count before the unit, so that 12h30m is 187.5 degrees; else parts of
        an RA are degrees where the unit says so, and hours elsewhere.
    unit : str
        Unit as written: "deg", "hourangle", "h", "rad", ... of plain numbers, "h:m:s", "d m s" of sexagesimal text;
        "" for degrees, or hours of sexagesimal text.
    axis : str
        "ra" or "dec".

    Returns
    -------
    ndarray of float64, shape (n,)
        RA from 0 up to 360; NaN where there is no value.

    Raises
    ------
    DataError
        Naming the row, counted from 1, and the legal values.

    Examples
    --------
    >>> to_degrees("a.csv: RA", np.array([12.5]), "h", "ra").tolist()
    [187.5]
    >>> to_degrees("a.csv: RA", np.array(["12:30:00"]), "deg", "ra").tolist()
    [12.5]
    """
    if values.ndim != 1:
        raise DataError(f"{where}: holds {values[0].size if len(values) else 0} values a row; one is needed")
    meant = _unit(where, unit, axis)
    low, high = _LEGAL[axis]
    if values.dtype.kind in "biuf":
        degrees = np.asarray(values, dtype=np.float64) * meant.factor
        _refuse_plain(where, meant, np.flatnonzero(np.isfinite(values.astype(np.float64))))
    else:
        degrees = np.array([_cell(where, row, str(v), meant, axis) for row, v in enumerate(values.tolist())])
    # Hours and radians at the edge may be a rounding off it.
    wrong = np.isinf(degrees) | (degrees < low - 1e-9) | (degrees > high + 1e-9)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise DataError(
            f"{where}, row {row + 1}: {values[row]} is {degrees[row]:g} degrees; legal are {low:g} to {high:g}"
        )
    degrees = np.clip(degrees, low, high)
    return np.where(degrees == 360, 0.0, degrees) if axis == "ra" else degrees


class _Unit(NamedTuple):
    """What a unit says: degrees in one of it (NaN for sexagesimal text only), and whether parts are degrees."""

    text: str
    factor: float
    parts_are_degrees: bool


def _unit(where: str, unit: str, axis: str) -> _Unit:
    plain = unit.strip().strip("\"'").strip()
    match = _SEXAGESIMAL_UNIT.fullmatch(plain)
    if match is not None:
        first = (match["first"] or "").casefold()
        if axis == "dec" and first.startswith("h"):
            raise DataError(f"{where} has the unit {unit!r}; degrees are needed for a declination")
        return _Unit(unit, float("nan"), axis == "dec" or first.startswith(("d", "°")))
    factor = _factor(where, plain)
    return _Unit(unit, factor, axis == "dec" or (bool(plain) and factor == 1.0))


def _refuse_plain(where: str, unit: _Unit, rows: NDArray[np.int64]) -> None:
    """Raise `DataError` for plain numbers where the unit says that there are three parts."""
    if np.isnan(unit.factor) and len(rows):
        raise DataError(
            f"{where}, row {rows[0] + 1}: is a plain number, but the unit {unit.text!r} says that it has three parts"
        )


def _cell(where: str, row: int, text: str, unit: _Unit, axis: str) -> float:
    text = text.strip().replace("\N{MINUS SIGN}", "-")
    if _PLAIN.fullmatch(text):
        _refuse_plain(where, unit, np.array([row]))
        return float(text) * unit.factor
    try:
        value = parse_angle(text, axis)
    except ValueError as error:
        raise DataError(f"{where}, row {row + 1}: {error}") from None
    if axis == "ra" and unit.parts_are_degrees and not _MARK.search(text):
        return value / 15
    return value


def _factor(where: str, unit: str) -> float:
    """Give degrees in one unit."""
    if not unit:
        return 1.0
    if unit.casefold() in _HOURS:
        return 15.0
    for word in (unit, unit.casefold(), unit.casefold().removesuffix("s")):
        try:
            return float(units.Unit(word).to(units.deg))
        except (ValueError, TypeError, units.UnitConversionError):
            pass
    raise DataError(f"{where} has the unit {unit!r}; legal are deg, hourangle, h, rad, arcsec, h:m:s, d:m:s")


def parse_positions(
    path: str, values: NDArray[Any], unit: str = ""
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give RA and Dec, degrees, of a column that holds both: "12 30 49.4 +12 23 28", "187.7 12.4".

    Its unit, if it has one, is that of plain numbers and tells hours from degrees, as of `to_degrees`.

    Raises
    ------
    DataError
        Naming the row.
    """
    pairs = [_pair(path, row, str(value)) for row, value in enumerate(values.tolist())]
    ra, dec = (np.array(words, dtype=str) for words in zip(*pairs, strict=True))
    return to_degrees(f"{path}: RA", ra, unit, "ra"), to_degrees(f"{path}: Dec", dec, _of_dec(unit), "dec")


def _of_dec(unit: str) -> str:
    """Give the unit of Dec in a column that holds RA too: hours are degrees there."""
    plain = unit.strip().casefold()
    match = _SEXAGESIMAL_UNIT.fullmatch(plain)
    return "" if plain in _HOURS or match else unit


def _pair(path: str, row: int, text: str) -> tuple[str, str]:
    text = text.strip().replace("\N{MINUS SIGN}", "-").removeprefix("J")
    if text.casefold() in NOTHING:
        return "", ""
    if parts := split_pair(text):
        return parts
    raise DataError(
        f'{path}, row {row + 1}: {text!r} is no position; legal are "12 30 49.4 +12 23 28", "187.7 12.4"'
    )


def split_pair(text: str) -> tuple[str, str] | None:
    """Divide RA and Dec that stand in one text; None if there are not two.

    Examples
    --------
    >>> split_pair("12 30 49.4 +12 23 28"), split_pair("187.7,-12.4"), split_pair("187.7")
    (('12 30 49.4', '+12 23 28'), ('187.7', '-12.4'), None)
    """
    for parts in (text.split(","), re.split(r"\s*(?=(?<=[\s\d.smSM\"'])[+-])", text, maxsplit=1)):
        if len(parts) == 2:
            return parts[0].strip(), parts[1].strip()
    words = text.split()
    middle = len(words) // 2
    return (" ".join(words[:middle]), " ".join(words[middle:])) if len(words) in (2, 6) else None


def name_of_position(ra: float, dec: float) -> str:
    """Give JHHMMSS.ss+DDMMSS.s of a position in degrees, truncated as the IAU asks.

    Examples
    --------
    >>> name_of_position(187.5, -1.5)
    'J123000.00-013000.0'
    """
    # What arithmetic takes off a whole unit is given back before the rest is cut off.
    hundredths = math.floor(ra % 360 / 15 * 360000 + 1e-4) % (24 * 360000)
    tenths = math.floor(abs(dec) * 36000 + 1e-4)
    hours, minutes, seconds = hundredths // 360000, hundredths // 6000 % 60, hundredths % 6000 / 100
    degrees, arcmin, arcsec = tenths // 36000, tenths // 600 % 60, tenths % 600 / 10
    sign = "-" if dec < 0 else "+"
    return f"J{hours:02d}{minutes:02d}{seconds:05.2f}{sign}{degrees:02d}{arcmin:02d}{arcsec:04.1f}"


def position_in_name(name: str) -> tuple[float, float]:
    """Give RA and Dec, degrees, that stand in the name of a source or file; NaN if none does.

    Examples
    --------
    >>> position_in_name("LOTSS_J123000.00-013000.0"), position_in_name("100_209.593+018.300_0.1_0010.00")
    ((187.5, -1.5), (209.593, 18.3))
    """
    if match := _J_NAME.search(name):
        hours, minutes, seconds, sign, degrees, arcmin, arcsec = match.groups()
        ra = 15 * (int(hours) + int(minutes) / 60 + float(seconds) / 3600)
        dec = int(degrees) + int(arcmin) / 60 + float(arcsec) / 3600
        return ra, -dec if sign == "-" else dec
    if match := _DECIMAL_NAME.search(name):
        return float(match[1] or match[3]), float(match[2] or match[4])
    return float("nan"), float("nan")
