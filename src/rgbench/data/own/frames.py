"""Frames in which tables state their positions: COOSYS of a VOTable, RADESYS and EQUINOX, words in a head."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import numpy as np
from astropy.coordinates import FK4, FK5, ICRS, FK4NoETerms, Galactic, SkyCoord, Supergalactic
from astropy.time import Time
from numpy.typing import NDArray

from rgbench.errors import DataError

_OF_EQUINOX = {"fk5": (FK5, "J2000"), "fk4": (FK4, "B1950"), "fk4-no-e": (FK4NoETerms, "B1950")}
_FIXED = {"icrs": ICRS, "galactic": Galactic, "galactic_ii": Galactic, "supergalactic": Supergalactic}
_LEGAL = "ICRS, FK5, FK4, FK4-NO-E, galactic, supergalactic"
_EQUINOX = re.compile(r"([BJ]?)\s*(\d{4}(?:\.\d*)?)", re.IGNORECASE)
_LAST_BESSELIAN = 1984.0
"""An equinox before this year is Besselian, and goes with FK4, where nothing else is said (FITS standard, 8.3)."""
_WORDS = {
    "j2000": ("", ""), "j2000.0": ("", ""), "2000": ("", ""), "icrs": ("ICRS", ""), "fk5": ("FK5", ""),
    "fk4": ("FK4", ""), "b1950": ("FK4", "B1950"), "b1950.0": ("FK4", "B1950"), "1950": ("FK4", "B1950"),
    "galactic": ("galactic", ""), "gal": ("galactic", ""),
}  # fmt: skip
_NAMED_OTHER = {
    "supergalactic": re.compile(r"sg[lb]|supergal(actic)?(_?(l|b|lon|lat))?", re.IGNORECASE),
    "ecliptic": re.compile(r"e(cl)?_?(lon|lat)|ecl(iptic)?(_?(lon|lat|longitude|latitude))?", re.IGNORECASE),
}
_NAMED_GALACTIC = re.compile(
    r"[lb]ii|(.*_)?gal(actic)?|(gal_?)?(glon|glat|l|b)|gal(actic)?_?(l|b|lon|lat|longitude|latitude)(_?deg)?",
    re.IGNORECASE,
)
_NAMED_1950 = re.compile(r".*[^0-9a-z]?b?1950", re.IGNORECASE)
_NAMED_2000 = re.compile(r"j?2000|icrs|fk5", re.IGNORECASE)


class Frame(NamedTuple):
    """A frame as a table states it.

    Attributes
    ----------
    system, equinox : str
        As written: "eq_FK4" and "B1950", "ICRS" and "".
    place : str
        Where it is stated, for messages: "COOSYS", "RADESYS and EQUINOX".
    """

    system: str
    equinox: str
    place: str

    def __str__(self) -> str:
        return " ".join(word for word in (self.system, self.equinox) if word)


def frame_of_head(word: str) -> Frame | None:
    """Give the frame that a word in the head of a column states; None if it states none.

    J2000 alone is what everybody writes over positions in ICRS, so that it is taken for it: 0.02 arcsec.

    Examples
    --------
    >>> str(frame_of_head("B1950")), str(frame_of_head("J2000")), frame_of_head("deg")
    ('FK4 B1950', '', None)
    """
    found = _WORDS.get(word.strip().casefold())
    return None if found is None else Frame(*found, "its head")


def frame_of_name(name: str) -> Frame | None:
    """Give the frame that the name of a column of positions states; None if it states none but J2000 or ICRS.

    Examples
    --------
    >>> str(frame_of_name("RA_B1950")), str(frame_of_name("GLON")), frame_of_name("RAJ2000")
    ('FK4 B1950', 'galactic', None)
    """
    if _NAMED_GALACTIC.fullmatch(name.strip()):
        return Frame("galactic", "", "its name")
    for system, names in _NAMED_OTHER.items():
        if names.fullmatch(name.strip()):
            return Frame(system, "", "its name")
    return Frame("FK4", "B1950", "its name") if _NAMED_1950.fullmatch(name.strip()) else None


def frame_of_keys(radesys: str, equinox: str) -> Frame | None:
    """Give the frame of the keywords RADESYS and EQUINOX, as the FITS standard reads them; None without both.

    Examples
    --------
    >>> str(frame_of_keys("", "1950.0")), frame_of_keys("", "")
    ('FK4 1950.0', None)
    """
    if not radesys and not equinox:
        return None
    place = " and ".join(key for key, value in (("RADESYS", radesys), ("EQUINOX", equinox)) if value)
    if not radesys:
        match = _EQUINOX.fullmatch(equinox.strip())
        early = match is not None and float(match[2]) < _LAST_BESSELIAN
        radesys = "FK4" if early else "FK5"
    return Frame(radesys, equinox, place)


def astropy_frame(where: str, frame: Frame) -> Any:
    """Give the frame as astropy has it; None for ICRS, in which positions are kept.

    Raises
    ------
    DataError
        Naming `where`, if the system or the equinox is not understood.
    """
    system = frame.system.strip().casefold().removeprefix("eq_")
    if system in ("", "icrs"):
        return None
    if system in _FIXED:
        return _FIXED[system]()
    if system not in _OF_EQUINOX:
        raise DataError(
            f"{where}: its positions are in the frame {str(frame)!r}, as {frame.place} says; legal are {_LEGAL}"
        )
    kind, usual = _OF_EQUINOX[system]
    match = _EQUINOX.fullmatch(frame.equinox.strip() or usual)
    if match is None:
        raise DataError(
            f"{where}: its positions have the equinox {frame.equinox!r}, as {frame.place} says; legal are such as "
            "J2000, B1950, 1975.0"
        )
    letter = match[1].upper() or ("B" if float(match[2]) < _LAST_BESSELIAN else "J")
    style = {"B": "byear", "J": "jyear"}[letter]
    return kind(equinox=Time(float(match[2]), format=style))


def to_icrs(
    where: str, names: tuple[str, ...], frame: Frame, ra: NDArray[np.float64], dec: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], str]:
    """Turn positions from the frame that a table states to ICRS.

    Parameters
    ----------
    where : str
        The file, for messages.
    names : tuple of str
        Its columns of the positions.
    frame : Frame
        As the table states it.
    ra, dec : ndarray of float64, shape (n,)
        Longitude and latitude in degrees; NaN where there is none.

    Returns
    -------
    ra, dec : ndarray of float64, shape (n,)
        Degrees, ICRS.
    remark : str
        What was done, "" for nothing.

    Raises
    ------
    DataError
        If the frame is not understood, or the names of the columns say another.
    """
    kind = astropy_frame(where, frame)
    if kind is None:
        return ra, dec, ""
    if not (isinstance(kind, FK5) and kind.equinox == Time("J2000")):
        for name in names:
            if _NAMED_2000.search(name):
                raise DataError(
                    f"{where}: the column {name!r} and {frame.place} = {str(frame)!r} say different frames; mend one"
                )
    known = np.isfinite(ra)
    sky = SkyCoord(ra[known], dec[known], unit="deg", frame=kind).icrs
    ra, dec = ra.copy(), dec.copy()
    ra[known], dec[known] = sky.ra.deg, sky.dec.deg
    return ra, dec, f"{' and '.join(names)} are in {frame}, as {frame.place} says: turned to ICRS"
