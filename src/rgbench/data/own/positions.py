"""Positions of a table: which columns they are in, and the unit and frame of each."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rgbench.data.own.angles import parse_positions, to_degrees
from rgbench.data.own.frames import Frame, frame_of_keys, frame_of_name, to_icrs
from rgbench.data.own.tabular import Column, listed_names
from rgbench.errors import DataError, SpecError

_LIKE_POSITIONS = re.compile(
    r"_?(ra|de|dec|raj|dej|r\.?a\.?|decl?\.?|glon|glat|elon|elat|gal_?[lb]|[lb]|alpha|delta|.*\.(ra|dec|l|b))"
    r"(-|[hmsd]|_?[bj]?\d{4}|_?(hms|dms|deg|hours?|rads?|radians?))?"
)
_IN_RADIANS = re.compile(r"(ra|decl?)_?(rad|rads|radians?)", re.IGNORECASE)
_IN_HOURS = re.compile(r"ra_?(h|hr|hrs|hours?)", re.IGNORECASE)
_MINUTES = re.compile(r"ra_?(m|mn|min|mins|minutes?)", re.IGNORECASE)


def read_positions(
    path: Path, table: dict[str, Column], names: Sequence[str], n: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], str]:
    """Read the positions of a table.

    Parameters
    ----------
    path : path
        The table, for messages.
    table : dict of str to Column
        Its columns.
    names : sequence of str
        The column of positions, or those of RA and Dec; none if there are none.
    n : int
        Number of its rows.

    Returns
    -------
    ra, dec : ndarray of float64, shape (n,)
        Degrees, ICRS; NaN where there is none.
    remark : str
        What was done to them, "" for nothing.

    Raises
    ------
    DataError
        If a row is wrong, or has one of RA and Dec only, or the frame is not understood.
    SpecError
        If a column is a part of an angle.
    """
    if not names:
        return np.full(n, np.nan), np.full(n, np.nan), ""
    if len(names) == 1:
        column = table[names[0]]
        ra, dec = parse_positions(f"{path}: {names[0]}", column.values, column.unit)
    else:
        ra, dec = (
            to_degrees(f"{path}: {name}", table[name].values, _unit(path, table, name), axis)
            for name, axis in zip(names, ("ra", "dec"), strict=True)
        )
    half = np.isfinite(ra) != np.isfinite(dec)
    if half.any():
        row = int(np.argmax(half))
        raise DataError(
            f"{path}, row {row + 1}: has RA {ra[row]} and Dec {dec[row]}; both or neither are needed"
        )
    frame = _one_frame(path, table, names)
    return (ra, dec, "") if frame is None else to_icrs(str(path), tuple(names), frame, ra, dec)


def _one_frame(path: Path, table: dict[str, Column], names: Sequence[str]) -> Frame | None:
    """Give the frame of the columns of the positions, as the table or their names state it.

    `DataError` if they have several.
    """
    frames = {name: table[name].frame or frame_of_name(name) for name in names}
    first = frames[names[0]]
    if not any(frames.values()) and (stated := _stated_by_rows(path, table)) is not None:
        return stated
    for name, frame in frames.items():
        if str(frame or "") != str(first or ""):
            raise DataError(
                f"{path}: {names[0]} is in the frame {str(first or 'ICRS')!r}, {name} in {str(frame or 'ICRS')!r}; one "
                "is needed"
            )
    return first


def _stated_by_rows(path: Path, table: dict[str, Column]) -> Frame | None:
    """Give the frame of a column of equinoxes; `DataError` if its rows have several."""
    column = next((table[name] for name in table if name.strip().casefold() in ("equinox", "radesys")), None)
    if column is None:
        return None
    found = sorted({str(value).strip() for value in column.values.tolist()} - {"", "nan"})
    if len(found) > 1:
        raise DataError(
            f"{path}: its rows have the frames {', '.join(found[:3])}; positions of one frame are needed"
        )
    if not found or found[0].casefold().lstrip("j") in ("2000", "2000.0", "icrs", "fk5"):
        return None
    letters = found[0].casefold() in ("fk4", "fk4-no-e", "galactic")
    frame = frame_of_keys(found[0], "") if letters else frame_of_keys("", found[0])
    return None if frame is None else frame._replace(place="a column of the table")


def _unit(path: Path, table: dict[str, Column], name: str) -> str:
    """Give the unit of a column of angles: as the table has it, else hours or radians where its name ends in them."""
    if _IN_RADIANS.fullmatch(name.strip()):
        return table[name].unit or "rad"
    if not _IN_HOURS.fullmatch(name.strip()):
        return table[name].unit
    minutes = next((other for other in table if _MINUTES.fullmatch(other.strip())), "")
    if minutes:
        raise SpecError(
            f"{path}: {name} and {minutes} are parts of one angle; make one column of them, as 12:30:49.4"
        )
    return table[name].unit or "hour"


def unplaced(path: Path, others: Sequence[str]) -> str:
    """Say which columns look like positions where none was read as one; "" if none does."""
    like = [name for name in others if _LIKE_POSITIONS.fullmatch(name.strip().casefold())]
    if not like:
        return ""
    return (
        f"{path}: no position is read, though {listed_names(like)} look like one: positions are one column of RA and "
        "one of Dec, ICRS unless the table states another frame. Make them, or say which they are: --column ra=NAME "
        "--column dec=NAME, in a study columns = { ra = 'NAME', dec = 'NAME' }"
    )
