"""The tree of errors. Catch `RgbenchError` to catch all that the package raises on purpose."""

from __future__ import annotations

from pathlib import Path

from rgbench.escapes import visible

HEAD, TAIL = 1200, 600
"""Characters of a longer line of a message that stay: what is wrong stands first, what is legal last."""


class RgbenchError(Exception):
    r"""Root of all errors of the package; `exit_code` is what the command line returns.

    Messages quote what files hold. What cannot be seen in them is written as `rgbench.escapes.visible` does, and a line
    that is too long to read loses its middle.

    Parameters
    ----------
    message : object
        What is wrong, with the file, row or key, what was found there, and what is legal.

    Examples
    --------
    >>> print(RgbenchError("unknown key '\x1b[2J'"))
    unknown key '\x1b[2J'
    >>> len(str(RgbenchError("x" * 100_000)))
    1805
    """

    exit_code = 1

    def __init__(self, message: object = "") -> None:
        super().__init__("\n".join(map(_readable, visible(str(message), keep="\n").split("\n"))))


def _readable(line: str) -> str:
    return line if len(line) <= HEAD + TAIL else f"{line[:HEAD]} ... {line[-TAIL:]}"


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


LINE = 300
"""Characters of a library's message that ours shows at most."""
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
    r"""Write a text or the message of an exception on one line, the beginning of a long one; its kind if it is empty.

    What cannot be seen is written as `rgbench.escapes.visible` does.

    Examples
    --------
    >>> one_line("first\n  second\r\nthird \x0f"), one_line(EOFError())
    ('first second third \\x0f', 'EOFError')
    """
    plain = visible(" ".join(str(text).split()) or type(text).__name__)
    return plain if len(plain) <= LINE else f"{plain[:LINE]}..."


def check_regular(path: Path) -> None:
    """Raise `OSError` for a path that is neither a file nor a folder: whoever opens a FIFO waits without end.

    Examples
    --------
    >>> check_regular(Path("/dev/null"))
    Traceback (most recent call last):
    OSError: is no regular file but a FIFO, a socket or a device; only regular files are read
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        raise OSError("is no regular file but a FIFO, a socket or a device; only regular files are read")


class Stopped(BaseException):
    """The user, or the system, asked the command to stop: Ctrl-C, SIGTERM or SIGHUP.

    No `Exception`, so that nothing that goes on after errors goes on after this; and no `KeyboardInterrupt`, which
    libraries of command lines take for themselves.

    Attributes
    ----------
    signal : int
        Number of the signal; the exit code is 128 more.
    kept : str
        What is kept of the work, and how to go on, where more is known of it than the kind of work tells.
    again : tuple of str
        Options that the command which goes on needs beside its own.
    """

    def __init__(self, signal: int) -> None:
        super().__init__(signal)
        self.signal = signal
        self.kept = ""
        self.again: tuple[str, ...] = ()


def raise_stop(error: BaseException) -> None:
    """Raise the stop that an error took the place of; do nothing if it took the place of none.

    Whoever goes on after an error asks this first: a library that is stopped may meet an error while it tidies up,
    and that error is then seen instead of the stop.

    Raises
    ------
    Stopped, KeyboardInterrupt
        What the error hid.

    Examples
    --------
    >>> try:
    ...     try:
    ...         raise Stopped(15)
    ...     finally:
    ...         raise OSError("cannot be closed")
    ... except OSError as error:
    ...     raise_stop(error)
    Traceback (most recent call last):
        ...
    rgbench.errors.Stopped: 15
    """
    hidden = error.__context__
    while hidden is not None:
        if isinstance(hidden, (Stopped, KeyboardInterrupt)):
            raise hidden
        hidden = hidden.__context__
