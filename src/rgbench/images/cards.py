"""One card of a FITS header, read critically: a value that is not what belongs there is named, never skipped."""

from __future__ import annotations

import math
import re
import warnings
from functools import cache
from typing import Any

from astropy import units
from astropy.io import fits

from rgbench.errors import DataError

_NUMBER = re.compile(r"\s*[-+]?(\d+\.?\d*|\.\d+)([ED][-+]?\d+)?\s*", re.IGNORECASE)
_UNITS = {name.lower(): name for name in ("deg", "arcmin", "arcsec", "mas", "rad", "Hz", "kHz", "MHz", "GHz")} | {
    "degree": "deg", "radian": "rad", "asec": "arcsec", "arcsecond": "arcsec", "arcminute": "arcmin",
}  # fmt: skip
"""Units of angles and frequencies by their names in small letters."""
_IN_BRACKETS = re.compile(r"^\s*[\[(]\s*([^\])]+?)\s*[\])]")


def number(header: fits.Header, key: str, default: float | None = None) -> float:
    """Give a number of a header.

    Parameters
    ----------
    header : astropy.io.fits.Header
        The header.
    key : str
        Its keyword.
    default : float, optional
        What an absent card, or one without a value, stands for; left out, it must be there.

    Returns
    -------
    float
        A finite number. One that stands in quotes, or has a D for its exponent, is a number too.

    Raises
    ------
    DataError
        If the card is missing, is no number, or stands there twice with two values.

    Examples
    --------
    >>> number(fits.Header({"CRVAL1": "150.1"}), "CRVAL1")
    150.1
    """
    value = _value(header, key)
    if value is None:
        if default is None:
            raise DataError(f"{key} is missing")
        return float(default)
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        value = float(value.upper().replace("D", "E"))
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise DataError(f"{key} is {_shown(value)}; a finite number is needed")
    return float(value)


def text(header: fits.Header, key: str) -> str:
    """Give a text of a header without blanks about it, "" if there is none.

    Raises
    ------
    DataError
        If the card cannot be read, or stands there twice with two values.
    """
    value = _value(header, key)
    return "" if value is None else str(value).strip()


def has(header: fits.Header, key: str) -> bool:
    """Tell whether there is a card of that keyword with a value, legible or not."""
    try:
        return _value(header, key) is not None
    except DataError:
        return True


@cache
def factor(unit: str, to: str, key: str) -> float:
    """Give how many `to` one of a unit is, which stands in the card `key`; small and capital letters are alike.

    Raises
    ------
    DataError
        If it is no such unit.

    Examples
    --------
    >>> round(factor("ARCSEC", "deg", "CUNIT1") * 3600, 9)
    1.0
    """
    folded = unit.lower()
    known = _UNITS.get(folded) or _UNITS.get(folded.removesuffix("s"), unit)
    try:
        return float(units.Unit(known).to(to))
    # Powers beyond any number are met with an OverflowError.
    except (ValueError, TypeError, OverflowError):
        legal = ", ".join(
            name for name in dict.fromkeys(_UNITS.values()) if units.Unit(name).is_equivalent(to)
        )
        raise DataError(f"{key} is {_shown(unit)}; legal are {legal}") from None


def unit_in_comment(header: fits.Header, key: str) -> str:
    """Give the unit that stands in brackets at the start of a card's comment, as FITS recommends; "" if none does.

    Examples
    --------
    >>> unit_in_comment(fits.Header([("BMAJ", 5.4, "[arcsec] major axis")]), "BMAJ")
    'arcsec'
    """
    try:
        found = _IN_BRACKETS.match(header.comments[key])
    # As below: a comment that cannot be read tells nothing.
    except Exception:
        return ""
    return _UNITS.get(found.group(1).lower().removesuffix("s"), "") if found else ""


def _value(header: fits.Header, key: str) -> Any:
    """Give the value of a card, None if it is not there or empty."""
    if key not in header:
        return None
    cards = [header.cards[key, place] for place in range(header.count(key))]
    values = [_of_card(card, key) for card in cards]
    if any(value != values[0] for value in values[1:]):
        raise DataError(f"{key} stands {len(values)} times: {', '.join(map(_shown, values))}; one is needed")
    return values[0]


def _of_card(card: fits.Card, key: str) -> Any:
    try:
        value = card.value
    # What astropy cannot make out it says by many kinds of errors; none of them may lose the other cards.
    except Exception:
        raise DataError(f"{key} is {_shown(_as_written(card))}; it cannot be read") from None
    blank = isinstance(value, str) and not value.strip()
    return None if blank or isinstance(value, fits.card.Undefined) else value


def _as_written(card: fits.Card) -> str:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return str(card).partition("=")[2].strip(" '")
    except Exception:  # as above
        return "no card of FITS"


def _shown(value: Any) -> str:
    return repr(value)[:60]
