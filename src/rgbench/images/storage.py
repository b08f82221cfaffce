"""Stacks of images that may be larger than memory: they then lie in a file without a name, read as they are wanted.

The files lie in the folder for temporary files, which the environment variable ``TMPDIR`` sets, and are gone with the
process. A stack takes a quarter of the memory at most, since a study holds two of them: raw and prepared.
"""

from __future__ import annotations

import mmap
import os
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from functools import cache
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from rgbench.errors import DataError

SHARE = 0.25
"""Share of the memory above which a stack of images lies in a file."""
_GROUPS = Path("/proc/self/cgroup")
"""Where Linux names the control groups of the process; queues and containers limit the memory of these."""


def memory_bytes(groups: Path = _GROUPS, root: Path = Path("/sys/fs/cgroup")) -> int:
    """Give the memory that there is for this process, in bytes: the machine's, or less where a queue allows less.

    Parameters
    ----------
    groups, root : Path
        Where Linux names the control groups of the process, and where they are.
    """
    whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    allowed = [whole]
    for path in _limits(groups, root):
        try:
            word = path.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            continue
        if word.isdecimal():
            allowed.append(int(word))
    return min(allowed)


def _limits(groups: Path, root: Path) -> Iterator[Path]:
    """Give the files that may hold limits: of each group of the process and of those around it, in both versions."""
    try:
        lines = groups.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return
    for line in lines:
        _, kinds, name = line.split(":", 2) if line.count(":") > 1 else ("", "-", "")
        inner = Path(name.lstrip("/"))
        for group in (inner, *inner.parents):
            if not kinds:
                yield root / group / "memory.max"
            elif "memory" in kinds.split(","):
                yield root / "memory" / group / "memory.limit_in_bytes"


def make_stack(
    shape: tuple[int, ...], dtype: DTypeLike = np.float32, most: int | None = None
) -> NDArray[Any]:
    """Make a stack of images that are 0, in memory or in a file.

    Parameters
    ----------
    shape : tuple of int
        (n, rows, columns).
    dtype : dtype
        Type of the pixels.
    most : int, optional
        Bytes above which it lies in a file; left out, `SHARE` of the memory.

    Returns
    -------
    ndarray
        An `numpy.memmap` of the file where it is one.

    Raises
    ------
    DataError
        If the disk has no room for the file.

    Examples
    --------
    >>> type(make_stack((2, 4, 4), most=1000)).__name__, type(make_stack((2, 4, 4), most=100)).__name__
    ('ndarray', 'memmap')
    """
    n_bytes = prod(shape) * np.dtype(dtype).itemsize
    if n_bytes <= _most(most):
        return np.zeros(shape, dtype)
    with tempfile.TemporaryFile(prefix="rgbench-") as file:
        _check_room(n_bytes)
        file.truncate(n_bytes)
        return np.memmap(file, dtype, "r+", shape=shape)


def read_ahead(stack: NDArray[Any], rows: Sequence[int]) -> None:
    """Have the system read images of a stack that lies in a file, all at once, as they will be wanted soon.

    Without it each is read when it is touched, a page after the other, and the disk has one thing to do at a time.
    """
    file: Any = stack.base
    if not isinstance(file, mmap.mmap) or not hasattr(file, "madvise") or not stack.flags.c_contiguous:
        return
    each, page = stack[0].nbytes, mmap.PAGESIZE
    for row in rows:
        start = row * each // page * page
        file.madvise(mmap.MADV_WILLNEED, start, min((row + 1) * each, len(file)) - start)


class Pile:
    """Images of any shape, one after the other: in memory, and in a file as soon as they would fill it.

    Parameters
    ----------
    most : int, optional
        Bytes that are kept in memory; left out, `SHARE` of it.

    Examples
    --------
    >>> pile = Pile(most=100)
    >>> [pile.append(np.full((4, 4), k, np.float32)) for k in range(3)]
    [0, 1, 2]
    >>> pile.stack([2, 0])[:, 0, 0].tolist()
    [2.0, 0.0]
    """

    def __init__(self, most: int | None = None) -> None:
        self._most, self._bytes = _most(most), 0
        self._kept: list[NDArray[Any]] = []
        self._filed: list[tuple[int, tuple[int, ...], np.dtype[Any]]] = []
        self._file: Any = None

    def __len__(self) -> int:
        return len(self._kept) + len(self._filed)

    def append(self, image: NDArray[Any]) -> int:
        """Add an image; give its number."""
        self._bytes += image.nbytes
        if self._bytes <= self._most:
            self._kept.append(image)
            return len(self) - 1
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="rgbench-")  # noqa: SIM115
            weakref.finalize(self, self._file.close)
        start = self._file.seek(0, os.SEEK_END)
        self._file.write(np.ascontiguousarray(image).data)
        self._filed.append((start, image.shape, image.dtype))
        return len(self) - 1

    def __getitem__(self, number: int) -> NDArray[Any]:
        """Give an image by its number."""
        if number < len(self._kept):
            return self._kept[number]
        start, shape, dtype = self._filed[number - len(self._kept)]
        self._file.seek(start)
        content: bytes = self._file.read(prod(shape) * dtype.itemsize)
        return np.frombuffer(content, dtype).reshape(shape)

    def stack(self, numbers: Sequence[int]) -> NDArray[Any]:
        """Stack images of one shape, at least one, in the order of their numbers; in a file where they are too many."""
        first = self[numbers[0]]
        dtype = np.result_type(*{self[number].dtype for number in numbers})
        stacked = make_stack((len(numbers), *first.shape), dtype, self._most)
        for row, number in enumerate(numbers):
            stacked[row] = self[number]
        return stacked


def _most(most: int | None) -> int:
    return int(SHARE * _memory()) if most is None else most


@cache
def _memory() -> int:
    """Give the memory, read once: a classification makes a stack for every image."""
    return memory_bytes()


def _check_room(n_bytes: int) -> None:
    """Raise `DataError` if the disk has no room: a file that is mapped ends the process where it has none."""
    folder = tempfile.gettempdir()
    place = os.statvfs(folder)
    free = place.f_bavail * place.f_frsize
    if n_bytes > free:
        raise DataError(
            f"{folder}: {n_bytes / 1e9:.1f} GB of images do not fit into memory, and {free / 1e9:.1f} GB are free "
            "there; the environment variable TMPDIR names another folder"
        )
