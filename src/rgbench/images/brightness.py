"""Units of pixels, as BUNIT has them: how many jansky one is, and per what, in every spelling that is met."""

from __future__ import annotations

import re
from typing import NamedTuple

_JANSKY = r"(?P<prefix>milli|micro|nano|kilo|mega|[mμµunk]?)\s*(?P<jansky>jy|janskys?)"
_AREA = r"\(?\s*(?P<area>beam|bm|pixel|pix)s?\s*\)?"
_INVERSE = r"\s*(?:\^|\*\*)?\s*\(?\s*-\s*1\s*\)?"
_BETWEEN = r"[\s.*·]*"
_SPELLINGS = [
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"{_JANSKY}\s*(?:/|\bper\b)\s*{_AREA}",
        rf"{_JANSKY}{_BETWEEN}{_AREA}{_INVERSE}",
        rf"{_AREA}{_INVERSE}{_BETWEEN}{_JANSKY}",
    )
]
_PREFIXES = {
    "": 1.0, "milli": 1e-3, "m": 1e-3, "micro": 1e-6, "u": 1e-6, "µ": 1e-6, "μ": 1e-6, "nano": 1e-9, "n": 1e-9,
    "kilo": 1e3, "k": 1e3, "mega": 1e6,
}  # fmt: skip
"""The two micro signs look alike."""
_PER_PIXEL = re.compile(
    r"(?:/|\bper\b)\s*\(?\s*pix(?:els?)?\b|\bpix(?:els?)?\s*(?:\^|\*\*)?\s*\(?\s*-\s*1", re.IGNORECASE
)
LEGAL = "Jy/beam and Jy/pixel, or with m, u, n, k, M before Jy"
"""The units of which flux densities are measured, for messages."""


class Brightness(NamedTuple):
    """What one of a unit is: so many jansky per "beam" or per "pixel"."""

    jansky: float
    per: str


def read_brightness(unit: str) -> Brightness | None:
    """Understand a unit; None if it is no flux density per beam or pixel.

    Small and capital letters are alike but for M, which is mega in MJy and milli in MJY, as in headers all in
    capitals.

    Examples
    --------
    >>> read_brightness("JY/BEAM"), read_brightness("beam-1 mJy"), read_brightness("Jy.pix**-1")
    (Brightness(jansky=1.0, per='beam'), Brightness(jansky=0.001, per='beam'), Brightness(jansky=1.0, per='pixel'))
    >>> read_brightness("K") is read_brightness("Jy") is None
    True
    """
    found = next((match for each in _SPELLINGS if (match := each.fullmatch(unit.strip(" []")))), None)
    if found is None:
        return None
    prefix, jansky = found["prefix"], found["jansky"]
    mega = prefix == "M" and jansky != "JY"
    factor = 1e6 if mega else _PREFIXES[prefix.lower()]
    return Brightness(factor, "beam" if found["area"].lower().startswith("b") else "pixel")


def per_pixel(unit: str) -> bool:
    """Tell whether a unit is an amount per pixel, as Jy/pixel is, and not a brightness, as Jy/beam is.

    Examples
    --------
    >>> [per_pixel(unit) for unit in ("Jy/beam", "JY/PIXEL", "Jy pix-1", "K", "mJy / pix", "")]
    [False, True, True, False, True, False]
    """
    return bool(_PER_PIXEL.search(unit))
