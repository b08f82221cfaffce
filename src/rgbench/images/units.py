"""The units of a FITS file: where each header ends, what it promises, and which unit holds the image.

Astropy believes what these cards say, and works for hours on a header of 10^20 axes; so they are looked at before.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress
from typing import IO, NamedTuple

from astropy.io import fits

from rgbench.errors import DataError
from rgbench.images.cards import number
from rgbench.images.limits import check_pixels

BLOCK = 2880
"""Bytes; headers and data end at whole blocks."""
_CARD = 80
_MOST_BLOCKS = 1000
"""Length of a header at most: 36,000 cards."""
_MOST_UNITS = 1000
_MOST_AXES = 9
_MOST_COLUMNS = 999
"""Columns of a table at most, by the FITS standard."""
_BITPIX = (8, 16, 32, 64, -32, -64)


class Found(NamedTuple):
    """The image of a file.

    Attributes
    ----------
    place : int
        Which unit, from 0.
    header : astropy.io.fits.Header
        As in the file.
    shape : tuple of int
        In the order of NumPy. Empty if there is no image; then the header is that of the first unit.
    images : int
        How many images the file holds, this one included.
    """

    place: int
    header: fits.Header
    shape: tuple[int, ...]
    images: int = 1


def find_image(file: IO[bytes]) -> Found:
    """Find the first image of two axes or more that has pixels, a tile-compressed one too; without pixels if none has.

    Units after it are counted by their headers; what is wrong with them does not matter.

    Parameters
    ----------
    file : file
        The file, not packed, at its start.

    Raises
    ------
    OSError
        If a header has no end or is no header, or the file ends before the data that it promises.
    DataError
        Naming a card that is missing or no number.
    """
    units, empty = units_of(file), None
    first = fits.Header()
    for place, header in units:
        first = header if place == 0 else first
        shape = image_shape(header)
        if shape and min(shape) > 0:
            return Found(place, header, shape, 1 + _count_images(units))
        empty = empty or (Found(place, header, shape) if shape else None)
    return empty or Found(0, first, (), 0)


def _count_images(units: Iterator[tuple[int, fits.Header]]) -> int:
    count = 0
    with suppress(OSError, DataError):
        for _, header in units:
            shape = image_shape(header)
            count += bool(shape) and min(shape) > 0
    return count


def units_of(file: IO[bytes]) -> Iterator[tuple[int, fits.Header]]:
    """Give the number and the header of each unit, whose promises have been looked at.

    Raises
    ------
    OSError
        If a header has no end or is no header, or the file ends before the data that it promises.
    DataError
        Naming a card that is missing or no number.
    """
    end, start = file.seek(0, 2), 0
    for place in range(_MOST_UNITS):
        file.seek(start)
        header = fits.Header.fromstring(_head(file, place))
        begin, size = file.tell(), _bytes_of_data(header)
        if shape := image_shape(header):
            check_pixels(shape)
        _check_columns(header)
        if end < begin + size:
            raise OSError(f"the file ends after {end} bytes, {begin + size} are needed")
        yield place, header
        start = begin + -(-size // BLOCK) * BLOCK
        if start >= end:
            break


def _head(file: IO[bytes], place: int) -> bytes:
    """Read one header, with its END."""
    found = bytearray()
    for _ in range(_MOST_BLOCKS):
        block = file.read(BLOCK)
        if not found and not block.startswith(b"XTENSION" if place else b"SIMPLE  ="):
            raise OSError(f"no header begins at unit {place}: it is not FITS, or damaged")
        found += block
        if any(block[at : at + 8] == b"END     " for at in range(0, BLOCK, _CARD)):
            return bytes(found)
        if len(block) < BLOCK:
            raise OSError(f"the file ends within the header of unit {place}")
    raise OSError(f"the header of unit {place} has no END within {len(found)} bytes")


def image_shape(header: fits.Header) -> tuple[int, ...]:
    """Give the shape of the image that a header promises, empty if it is none."""
    if header.get("ZIMAGE") is True:
        return _shape(header, "ZNAXIS")
    if str(header.get("XTENSION", "IMAGE")).strip() in ("IMAGE", "IUEIMAGE"):
        shape = _shape(header, "NAXIS")
        return shape if len(shape) >= 2 else ()
    return ()


def _bytes_of_data(header: fits.Header) -> int:
    shape, bits = _shape(header, "NAXIS"), _whole(header, "BITPIX")
    groups, heap = _whole(header, "GCOUNT", 1), _whole(header, "PCOUNT", 0)
    if bits not in _BITPIX or groups < 0 or heap < 0:
        raise OSError(
            f"BITPIX is {bits}, GCOUNT {groups}, PCOUNT {heap}; legal are {', '.join(map(str, _BITPIX))}, and 0 or more"
        )
    # Random groups write their number of pixels without the first axis, which is 0.
    sides = shape[:-1] if shape and shape[-1] == 0 and header.get("GROUPS") is True else shape
    return abs(bits) // 8 * groups * (heap + math.prod(sides)) if shape else 0


def _shape(header: fits.Header, key: str) -> tuple[int, ...]:
    count = _whole(header, key)
    if not 0 <= count <= _MOST_AXES:
        raise OSError(f"{key} is {count}; 0 to {_MOST_AXES} axes are legal")
    shape = tuple(_whole(header, f"{key}{axis}") for axis in range(count, 0, -1))
    if any(side < 0 for side in shape):
        raise OSError(f"{key}i are {shape[::-1]}; a side must be 0 or more")
    return shape


def _check_columns(header: fits.Header) -> None:
    """Refuse a table of more columns than can be: astropy would look for each."""
    columns = _whole(header, "TFIELDS", 0)
    if not 0 <= columns <= _MOST_COLUMNS:
        raise OSError(f"TFIELDS is {columns}; 0 to {_MOST_COLUMNS} columns are legal")


def _whole(header: fits.Header, key: str, default: float | None = None) -> int:
    value = number(header, key, default)
    if not value.is_integer():
        raise OSError(f"{key} is {value:g}; a whole number is needed")
    return int(value)
