"""Images in HDF5 files: which a file holds, and their pixels.

The C library that reads HDF5 crashes on some damaged files: `rgbench.images.apart` calls this in another process.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from rgbench.errors import DataError
from rgbench.escapes import utf8
from rgbench.images.limits import as_float32, check_pixels

_NAMES = (
    "name",
    "names",
    "id",
    "ids",
    "source_id",
    "source_ids",
    "source_name",
    "filename",
    "filenames",
    "file_name",
)


class Held(NamedTuple):
    """An image of an HDF5 file: its name, its dataset, and its place in that; -1 if it is the whole dataset."""

    name: str
    key: str
    place: int


def list_stack(path: Path) -> list[Held]:
    """List the images of an HDF5 file, in its order; those of datasets of their own by name, numbers as numbers.

    Raises
    ------
    DataError
        If they cannot be told apart: legal are one dataset of three axes, or any number of two. It names no file.
    """
    with h5py.File(path, "r") as file:
        shapes = _shapes(file)
        stacks = [name for name, shape in shapes.items() if len(shape) == 3]
        single = [name for name, shape in shapes.items() if len(shape) == 2]
        if len(stacks) == 1 and not single:
            words = _names(file, shapes, path.name.rpartition(".")[0], shapes[stacks[0]])
            return [Held(word, stacks[0], i) for i, word in enumerate(words)]
    if not single or stacks:
        raise DataError(
            f"holds {len(stacks)} datasets of three axes and {len(single)} of two; legal are one of shape "
            "(n, h, w), or any number of shape (h, w), alone in their groups"
        )
    owners = [name.rpartition("/")[0] for name in single]
    alone = "" not in owners and len(set(owners)) == len(owners)
    pairs = zip(owners if alone else single, single, strict=True)
    return [Held(utf8(owner), key, -1) for owner, key in sorted(pairs, key=lambda pair: _natural(pair[0]))]


def read_stack(path: Path, key: str, index: int, most: int) -> NDArray[np.float32]:
    """Read one image of an HDF5 file, of so many pixels at most.

    Raises
    ------
    OSError
        If it has more, or pixels beyond 32-bit floats.
    DataError
        If its pixels are no numbers. It names no file.
    """
    with h5py.File(path, "r") as store:
        data = store[key]
        if data.dtype.kind not in "biuf":
            raise DataError(f"the dataset {key!r} has pixels of type {data.dtype}; numbers are needed")
        check_pixels(data.shape[1:] if index >= 0 else data.shape, most)
        return as_float32(data[index] if index >= 0 else data[()])


def _shapes(file: h5py.File) -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {}

    def collect(name: str, entry: Any) -> None:
        if isinstance(entry, h5py.Dataset) and entry.shape is not None:
            found[name] = entry.shape

    file.visititems(collect)
    return found


def _names(
    file: h5py.File, shapes: dict[str, tuple[int, ...]], stem: str, stack: tuple[int, ...]
) -> list[str]:
    n, named = stack[0], [key for key in shapes if key.rpartition("/")[2].lower() in _NAMES]
    found = [key for key in named if shapes[key] == (n,)]
    for key in [] if found else named:
        if shapes[key] in ((stack[1],), (stack[2],)):
            raise DataError(
                f"the dataset {key!r} has {shapes[key][0]} names, and the images have the shape {stack}; (n, h, w) is "
                "legal"
            )
    if not found:
        return [utf8(f"{stem}_{i}") for i in range(n)]
    if len(found) > 1:
        raise DataError(f"names could be any of the datasets {', '.join(found)}")
    kind = file[found[0]].dtype
    if not (kind.kind in "SUiu" or h5py.check_string_dtype(kind)):
        raise DataError(
            f"the dataset {found[0]!r} of names has the type {kind}; text or whole numbers are needed"
        )
    words = file[found[0]][()].tolist()
    return [
        word.decode("utf-8", "backslashreplace") if isinstance(word, bytes) else str(word) for word in words
    ]


def _natural(name: str) -> list[Any]:
    return [(0, int(word), "") if word.isdecimal() else (1, 0, word) for word in re.split(r"(\d+)", name)]
