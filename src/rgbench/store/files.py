"""One way to write a file into place, and one way to keep other processes out meanwhile."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock

from rgbench.errors import SpecError, StoreError, check_regular, one_line, shown

_HALF = ".tmp-"
"""What the names of files begin with that are being written."""


def remove_halves(folder: Path) -> None:
    """Remove the files of a folder that a killed process left half written; whoever calls holds the folder's lock."""
    for half in folder.glob(f"{_HALF}*"):
        with suppress(OSError):  # it is in nobody's way
            half.unlink()


def check_output(path: Path, overwrite: bool) -> None:
    """Raise if a file cannot be written to a path, before the work that makes it.

    Raises
    ------
    SpecError
        If it is a folder, is there already and must not be overwritten, or lies in no folder.
    StoreError
        If its folder cannot be written to.
    """
    with writing(path):
        if path.is_dir():
            raise SpecError(f"--out {path}: is a folder; name a file")
        if path.exists() and not overwrite:
            raise SpecError(f"--out {path}: is there already; choose another name, or give --overwrite")
        if not path.parent.is_dir():
            raise SpecError(f"--out {path}: there is no folder {path.parent}; make it first")
        with TemporaryFile(dir=path.parent):
            pass


@contextmanager
def writing(path: Path, what: str = "written") -> Iterator[None]:
    """Have an `OSError` of what is done to a path raised as a `StoreError`, which names the path and the reason.

    Parameters
    ----------
    path : path
        What is written or made.
    what : str
        What cannot be done to it then: "written", "made".

    Examples
    --------
    >>> with writing(Path("notes.txt")):
    ...     raise OSError("no room")
    Traceback (most recent call last):
    rgbench.errors.StoreError: notes.txt: cannot be written: no room
    """
    try:
        yield
    except OSError as error:
        raise StoreError(f"{path}: cannot be {what}: {error.strerror or error}") from error


def make_folder(path: Path) -> None:
    """Make a folder and those above it, unless they are there; raise `StoreError` if that fails."""
    with writing(path, "made"):
        path.mkdir(parents=True, exist_ok=True)


@contextmanager
def into_place(path: Path) -> Iterator[Path]:
    """Give a path to write to; what stands there at the end is flushed to disk and moved to its place.

    A reader sees the old file or the whole new one. If anything fails, the old file stays and nothing is
    left beside it.

    Parameters
    ----------
    path : path
        The place; its folder is there.

    Yields
    ------
    path
        A hidden name beside the place, with the same ending: some writers choose their format by it.

    Raises
    ------
    StoreError
        If writing fails with an `OSError`: it names the place and the reason.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     with into_place(Path(folder) / "notes.txt") as there:
    ...         _ = there.write_text("FRII")
    ...     [(each.name, each.read_text()) for each in Path(folder).iterdir()]
    [('notes.txt', 'FRII')]
    """
    temporary = path.with_name(f"{_HALF}{os.getpid()}-{path.name}")
    try:
        with writing(path):
            yield temporary
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def check_version(path: Path, found: object, known: int) -> None:
    """Raise `StoreError` if a file is of a newer format than this release reads, or of none.

    Parameters
    ----------
    path : path
        The file, for the message.
    found : object
        What the file says of its version; a whole number is legal.
    known : int
        The newest version that this release reads.

    Examples
    --------
    >>> check_version(Path("run.json"), 2, 1)
    Traceback (most recent call last):
    rgbench.errors.StoreError: run.json: has schema version 2, this rgbench reads up to 1; ...
    """
    if type(found) is not int or found < 1:
        raise StoreError(
            f"{path}: is damaged: its schema version is {shown(found)}; a whole number above 0 is legal"
        )
    if found > known:
        raise StoreError(
            f"{path}: has schema version {found}, this rgbench reads up to {known}; a newer release reads it: "
            "pip install --upgrade rgbench"
        )


def write_bytes(path: Path, content: bytes) -> None:
    """Write bytes as `into_place` does."""
    with into_place(path) as temporary:
        temporary.write_bytes(content)


def write_json(path: Path, content: Any) -> None:
    """Write JSON, keys sorted, as `into_place` does."""
    write_bytes(path, (json.dumps(content, indent=1, sort_keys=True) + "\n").encode())


def write_parquet(path: Path, table: pa.Table) -> None:
    """Write an Arrow table to a Parquet file as `into_place` does, with the checksums of its pages."""
    with into_place(path) as temporary:
        pq.write_table(table, temporary, write_page_checksum=True)


def read_json(path: Path) -> Any:
    """Read JSON; raise `StoreError` naming the file if it is not there or cannot be read."""
    try:
        check_regular(path)
        return json.loads(path.read_text(encoding="utf8"))
    except FileNotFoundError:
        raise StoreError(f"{path}: there is no such run") from None
    # Brackets within brackets, too many for Python.
    except RecursionError:
        raise StoreError(f"{path}: cannot be read: its lists or tables are nested too deeply") from None
    except (OSError, ValueError) as error:
        raise StoreError(f"{path}: cannot be read: {one_line(error)}") from error


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock file; wait while another process, or another thread, holds it.

    The lock is the operating system's (``flock``), not the file, which is empty and stays: it ends with the
    process, so what a killed one held can be had at once.

    Parameters
    ----------
    path : path
        The lock file; made if it is not there.

    Raises
    ------
    StoreError
        If the file cannot be made or locked.

    Notes
    -----
    On network file systems the lock is as good as theirs. NFS keeps apart processes of all machines if its
    lock service runs. Lustre does so if it is mounted with ``flock``; with ``localflock``, and on NFS with
    ``local_lock``, only processes of one machine are kept apart. Where the file system knows no locks,
    `filelock` warns and takes the file itself as a marker, which may outlive a killed process. Two machines
    that compute one run in spite of it all lose time, not data: every file is moved into place whole.
    """
    lock = FileLock(path)
    try:
        lock.acquire()
    except (OSError, NotImplementedError) as error:
        reason = getattr(error, "strerror", None) or error
        raise StoreError(f"{path}: cannot be locked: {reason}") from error
    try:
        yield
    finally:
        lock.release()
