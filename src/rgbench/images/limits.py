"""How large an image file may be: looked at before memory is taken for what it promises, or unpacks to."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from rgbench.errors import SpecError, check_regular

VARIABLE = "RGBENCH_MAX_PIXELS"
"""Environment variable that sets another limit."""
MAX_PIXELS = 400_000_000
"""Pixels, of all planes together, of an image that is read: a mosaic of 20,000 x 20,000."""
SCALES = (1e-6, 3600.0)
"""Arcsec per pixel that may be given: from millimetre interferometry between continents to maps of the whole sky."""
_HEAD = 50_000_000
"""Bytes beside the pixels that a packed file may unpack to."""
_BYTES = 8
_PART = 1 << 20
_PACKED: dict[bytes, Callable[[Any], Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ": lzma.open,
}
_NOT_UNPACKED = {b"PK\x03\x04": "ZIP", b"\x1f\x9d": "compress (.Z)"}


def most_pixels() -> int:
    """Give the limit of pixels: what `VARIABLE` says, else `MAX_PIXELS`; raise `SpecError` if it is no number."""
    word = os.environ.get(VARIABLE, "")
    if not word:
        return MAX_PIXELS
    if not word.isdecimal() or int(word) < 1:
        raise SpecError(f"{VARIABLE}: {word!r} was given; a whole number of pixels, 1 or more, is legal")
    return int(word)


def check_pixels(shape: Sequence[int], most: int | None = None) -> None:
    """Raise `OSError`, which says what is wrong, if an image of that shape is not to be read.

    Parameters
    ----------
    shape : sequence of int
        Pixels along each axis.
    most : int, optional
        Pixels in all that are read; by default `most_pixels`.

    Examples
    --------
    >>> check_pixels((1_000_000_000, 2))
    Traceback (most recent call last):
    OSError: it promises 1000000000x2 pixels; ... RGBENCH_MAX_PIXELS sets another limit
    """
    words = "x".join(map(str, shape))
    most = most_pixels() if most is None else most
    if any(side < 0 for side in shape):
        raise OSError(f"it promises {words} pixels; a side must be 0 or more")
    if math.prod(shape) > most:
        raise OSError(
            f"it promises {words} pixels; at most {most} in all are read; the environment variable {VARIABLE} "
            "sets another limit"
        )


def check_scale(scale: float | None, what: str) -> None:
    """Raise `SpecError` if a pixel scale that was given, in arcsec, can be none; None is legal.

    Examples
    --------
    >>> check_scale(1e300, "pixel scale")
    Traceback (most recent call last):
    rgbench.errors.SpecError: pixel scale: 1e+300 was given; 1e-06 to 3600 arcsec are legal
    """
    if scale is not None and not SCALES[0] <= scale <= SCALES[1]:
        raise SpecError(f"{what}: {scale!r} was given; {SCALES[0]:g} to {SCALES[1]:g} arcsec are legal")


def as_float32(data: NDArray[Any]) -> NDArray[np.float32]:
    """Copy pixels as 32-bit floats; raise `OSError` if finite ones are beyond their range.

    Examples
    --------
    >>> as_float32(np.array([1.0, np.inf])), as_float32(np.array([1e300]))
    Traceback (most recent call last):
    OSError: has pixels beyond the range of 32-bit floats, which ends at 3.4e+38
    """
    with np.errstate(over="ignore"):
        pixels = np.array(data, dtype=np.float32)
    infinite = np.isinf(pixels) if data.dtype.kind == "f" and data.dtype.itemsize > 4 else np.zeros(1, bool)
    if infinite.any() and np.isfinite(data[infinite]).any():
        raise OSError(
            f"has pixels beyond the range of 32-bit floats, which ends at {np.finfo(np.float32).max:.2g}"
        )
    return pixels


def unpacked(path: Path, content: bytes | None = None) -> io.BytesIO | None:
    """Unpack a file that is packed by gzip, bzip2 or xz, whatever its name; None if it is not packed.

    Parameters
    ----------
    path : path
        The file.
    content : bytes, optional
        What is in it, where that is known already.

    Raises
    ------
    OSError
        If it is no regular file, unpacks to more than the limit of pixels allows, or is packed in another way.
    """
    if content is None:
        check_regular(path)
    with path.open("rb") if content is None else io.BytesIO(content) as file:
        start = file.read(8)
        file.seek(0)
        for magic, name in _NOT_UNPACKED.items():
            if start.startswith(magic):
                raise OSError(f"it is packed by {name}; gzip, bzip2 and xz are unpacked")
        for magic, opener in _PACKED.items():
            if start.startswith(magic):
                with opener(file) as unpacking:
                    return _limited(unpacking)
    return None


@contextmanager
def unpacking(path: Path) -> Iterator[IO[bytes]]:
    """Give the content of a file that is packed by gzip, bzip2 or xz, to be read a part at a time.

    Raises
    ------
    OSError
        If it is packed in another way, or not at all.
    """
    with path.open("rb") as file:
        start = file.read(8)
    opener = next((each for magic, each in _PACKED.items() if start.startswith(magic)), None)
    if opener is None:
        raise OSError("it is not packed by gzip, bzip2 or xz, though its name says so")
    with opener(path) as content:
        yield content


def most_bytes() -> int:
    """Give the most that a packed file may unpack to: what pixels of the largest kind take, and room for headers."""
    return _BYTES * most_pixels() + _HEAD


def too_large(most: int) -> str:
    """Say that a file unpacks to more than is read."""
    return (
        f"it unpacks to more than {most} bytes, the most that an image may have; the environment variable {VARIABLE} "
        "sets another limit of its pixels"
    )


def _limited(file: IO[bytes]) -> io.BytesIO:
    most, found = most_bytes(), io.BytesIO()
    while part := file.read(_PART):
        found.write(part)
        if found.tell() > most:
            raise OSError(too_large(most))
    found.seek(0)
    return found
