"""The tree of errors. Catch `RgbenchError` to catch all that the package raises on purpose."""

from __future__ import annotations


class RgbenchError(Exception):
    """Root of all errors of the package; `exit_code` is what the command line returns."""

    exit_code = 1


class SpecError(RgbenchError):
    """A study, an option or a name is wrong: the message names the key and the legal values."""

    exit_code = 2


class DataError(RgbenchError):
    """A file, an image or a catalogue row is wrong: the message names it and what was found."""


class LeakageError(DataError):
    """Two copies of one sky source stand on both sides of a split: the message names them."""


class ChecksumError(DataError):
    """A file does not have the checksum of its card: the message gives both."""


class StoreError(RgbenchError):
    """A run cannot be read from, or written to, the store: the message names the path."""


class DeviceError(RgbenchError):
    """The computing device that was asked for is not there, or failed."""


SHOWN = 100
"""Characters of a value that a message shows at most."""


def shown(value: object) -> str:
    r"""Write a value that was found for a message: on one line, the beginning of a long one, whatever it is.

    Examples
    --------
    >>> shown("a\nb"), len(shown([1] * 1000)), shown(1 << 20_000)
    ("'a\\nb'", 103, 'int, too large to write')
    """
    try:
        text = repr(value)
    except (ValueError, RecursionError):
        return f"{type(value).__name__}, too large to write"
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def one_line(text: object) -> str:
    r"""Write a text or the message of an exception on one line.

    Examples
    --------
    >>> one_line("first\n  second\r\nthird")
    'first second third'
    """
    return " ".join(str(text).split())
