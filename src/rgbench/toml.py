"""TOML files of users, read with limits: a wrong one is a message, never a traceback or a wait without end."""

from __future__ import annotations

import stat
import tomllib
from collections.abc import Iterator
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from rgbench.errors import SpecError, shown

LARGEST_FILE = 4 << 20
"""Bytes of a file that are read at most; those that ship have up to 6,309."""
WHOLE_NUMBERS = range(-(1 << 63), 1 << 63)
"""The whole numbers of TOML."""


def read_toml(path: Path | Traversable) -> dict[str, Any]:
    """Read a TOML file.

    Raises
    ------
    SpecError
        If it is no regular file, has more than `LARGEST_FILE` bytes, is not TOML, or holds a whole number beyond 64
        bits or a text with the character NUL; the message names the file and the key.
    """
    try:
        text = _read(path).decode("utf8")
        content = tomllib.loads(text)
    except OSError as error:
        raise SpecError(f"{path}: cannot be read: {error.strerror or error}") from error
    except RecursionError:
        raise SpecError(f"{path}: is not TOML: its lists or tables are nested too deeply") from None
    except ValueError as error:  # TOML, UTF-8, a number of too many digits, or NUL in the path
        raise SpecError(f"{path}: is not TOML: {error}") from error
    for key, value in _values(content, ()):
        if isinstance(value, int) and value not in WHOLE_NUMBERS:
            raise SpecError(f"{path}: key {key!r} is {shown(value)}; whole numbers of 64 bits are legal")
        if isinstance(value, str) and "\0" in value:
            raise SpecError(
                f"{path}: key {key!r} is {shown(value)}; a text without the character NUL is legal"
            )
    return content


def _read(path: Path | Traversable) -> bytes:
    if isinstance(path, Path):
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise SpecError(f"{path}: cannot be read: is no regular file")
    with path.open("rb") as file:
        content: bytes = file.read(LARGEST_FILE + 1)
    if len(content) > LARGEST_FILE:
        raise SpecError(f"{path}: has more than {LARGEST_FILE:,} bytes; a study or a protocol has fewer")
    return content


def _values(value: Any, above: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    """Give every number and text with its key, the keys themselves among the texts."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield ".".join(above) or "the table", key
            yield from _values(inner, (*above, key))
    elif isinstance(value, list):
        for inner in value:
            yield from _values(inner, above)
    else:
        yield ".".join(above), value
