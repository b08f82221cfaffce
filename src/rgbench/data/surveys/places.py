"""Places on the sky as people name them: positions, names of sources that hold one, tables of them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import TypeGuard, cast

import numpy as np

from rgbench.data.own.angles import name_of_position, parse_angle, position_in_name, split_pair
from rgbench.data.own.files import ending_of
from rgbench.data.own.plan import FolderOptions
from rgbench.data.own.tabular import READERS
from rgbench.data.surveys.targets import Targets, find_targets
from rgbench.errors import DataError, SpecError, shown

LEGAL = (
    'legal are positions ("160.80 +24.59", "10h43m12.3s +24d35m21s"; degrees or sexagesimal, ICRS), names that hold '
    'one ("J104312.3+243521") and tables of them'
)
_COMPACT = re.compile(r"(?:^|[\s_A-Z])J\d[\d.]*[+-]\d")
"""A name as the IAU writes it, whose digits are no degrees."""
_GLUED = re.compile(r"\d+[+-]\d+")
"""Digits as those of names in B1950: no position of whole degrees is written so."""
_NUMERIC = re.compile(r"J?[+\-.\d](?:[\d\s:.,+\-hmsd°'\"′″]|deg)*", re.IGNORECASE)
"""What may be a position and no name: other letters than those of units are none of a position's."""
_DASHES = str.maketrans({"\N{MINUS SIGN}": "-", "\N{EN DASH}": "-", "\N{NO-BREAK SPACE}": " "})

Place = str | Path | tuple[float, float]
"""A position or name as it is written, the file of a table, or RA and Dec in degrees."""
Resolve = Callable[[str], tuple[float, float]]
"""Gives RA and Dec, degrees, of a name; raises `DataError` if it knows none."""


def read_places(
    places: Place | Iterable[Place],
    options: FolderOptions | None = None,
    resolve: Resolve | None = None,
    tell: Callable[[str], None] | None = None,
) -> Targets:
    """Give the sources that are meant, in their order.

    Parameters
    ----------
    places : place or iterable of place
        Positions, names that hold one, files of tables (as of `rgbench.data.own.sources.read_sources`), or RA and
        Dec in degrees, ICRS.
    options : FolderOptions, optional
        What columns of tables are called.
    resolve : callable, optional
        Is asked for names that hold no position; without it they are refused.
    tell : callable, optional
        Is told what was done to the positions of a table, or taken for granted.

    Returns
    -------
    Targets
        A source that was given by its position has the name that the IAU would give it.

    Raises
    ------
    SpecError
        If a place cannot be read; the message says what is legal.
    DataError
        If a table cannot be read, or a name is not known.

    Examples
    --------
    >>> found = read_places(["160.80 +24.59", "FIRST J104312.3+243521"])
    >>> found.names, found.ra.round(3).tolist()
    (['J104312.00+243524.0', 'FIRST J104312.3+243521'], [160.8, 160.801])
    """
    wanted = list(places) if _are_several(places) else [cast("Place", places)]
    if not wanted:
        raise SpecError(f"there is no source to classify; {LEGAL}")
    found = [_sources(place, options, resolve, tell) for place in wanted]
    ra, dec = (np.concatenate([each[k] for each in found]) for k in (1, 2))
    return Targets([name for each in found for name in each.names], ra, dec, None)


def _are_several(places: Place | Iterable[Place]) -> TypeGuard[Iterable[Place]]:
    """Tell whether it is more than one text, file, or pair of RA and Dec."""
    pair = isinstance(places, tuple) and len(places) == 2 and all(isinstance(x, int | float) for x in places)
    return not (pair or isinstance(places, str | Path))


def _sources(
    place: Place,
    options: FolderOptions | None,
    resolve: Resolve | None,
    tell: Callable[[str], None] | None,
) -> Targets:
    """Give the sources of one place."""
    if isinstance(place, tuple):
        return _one("", *_checked(place, *place))
    if _is_file(place):
        return _of_table(str(place), options, tell)
    text = re.sub(r"\bj(?=\d)", "J", str(place).translate(_DASHES).strip())
    position = _written(text) or _in_name(text)
    if position is not None:
        return _one("" if _is_written(text) else text, *position)
    if resolve is None or not text or _is_written(text):
        raise SpecError(f"{shown(str(place))} is {_what(text)}")
    return _one(text, *resolve(text))


def _one(name: str, ra: float, dec: float) -> Targets:
    return Targets([name or name_of_position(ra, dec)], np.array([ra]), np.array([dec]), None)


def _of_table(path: str, options: FolderOptions | None, tell: Callable[[str], None] | None) -> Targets:
    """Give the sources of a table; of an image, say that it is none."""
    try:
        found = find_targets(path, options, tell)
    except DataError as error:
        if not ending_of(path):
            raise
        raise DataError(f"{error}; if it is an image: rgbench predict {path}") from error
    if not np.isfinite(found.ra).any():
        raise DataError(f"{path}: tells the position of no source; columns of RA and Dec are needed")
    return found


def _is_file(place: str | Path) -> bool:
    with suppress(OSError, ValueError, TypeError):  # no file has such a name
        return Path(place).is_file()
    return False


def _is_written(text: str) -> bool:
    """Tell whether a text is meant as a position, in numbers, and not as a name."""
    return bool(_NUMERIC.fullmatch(text)) and not (_COMPACT.search(text) or _GLUED.fullmatch(text))


def _written(text: str) -> tuple[float, float] | None:
    """Give the position that a text is, None if it is none; `SpecError` if it is one that cannot be."""
    parts = split_pair(text.removeprefix("J")) if _is_written(text) else None
    if parts is None:
        return None
    try:
        ra, dec = parse_angle(parts[0], "ra"), parse_angle(parts[1], "dec")
    except ValueError as error:
        raise SpecError(f"{shown(text)} is no position: {error}; {LEGAL}") from None
    return _checked(text, ra, dec) if math.isfinite(ra) and math.isfinite(dec) else None


def _checked(place: object, ra: float, dec: float) -> tuple[float, float]:
    """Give a position back, RA below 360; `SpecError` if it is beyond the sky."""
    for axis, value, low, high in (("RA", ra, 0, 360), ("Dec", dec, -90, 90)):
        if not low <= value <= high:
            raise SpecError(
                f"{shown(place)}: {axis} is {value:g} degrees; {low} to {high} are legal, and sexagesimal as "
                '"10h43m12.3s +24d35m21s"'
            )
    return float(ra) % 360, float(dec)


def _in_name(text: str) -> tuple[float, float] | None:
    """Give the position in a name, be it behind letters as in ILTJ104312.30+243521.0; None if there is none."""
    ra, dec = position_in_name(re.sub(r"(?<=[A-Za-z])J(?=\d{6})", " J", text))
    return (ra, dec) if math.isfinite(ra) and 0 <= ra <= 360 and abs(dec) <= 90 else None


def _what(text: str) -> str:
    """Say what a text is that is no place, and what is legal."""
    with suppress(OSError, ValueError):
        if text and Path(text).is_dir():
            return f"a folder; rgbench predict {text} classifies its images. Here {LEGAL}"
    if text.lower().removesuffix(".gz").endswith(tuple(READERS)):
        return f"no position, and there is no such file; {LEGAL}"
    if _COMPACT.search(text):
        return f"a name that holds no position to the second; {LEGAL}"
    if _is_written(text):
        return f"half a position, or less: RA and Dec go within one pair of quotes; {LEGAL}"
    return (
        f"no position, and no name that holds one; {LEGAL}. CDS Sesame is asked for other names with --resolve "
        "(resolve=True)"
    )
