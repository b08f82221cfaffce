"""Image files of any kind in a folder: FITS, PNG, HDF5."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from rgbench.errors import DataError
from rgbench.images.fits import ENDINGS as FITS_ENDINGS
from rgbench.images.fits import FitsImage, read_fits

HDF5_ENDINGS = (".h5", ".hdf5", ".hdf")
ENDINGS = (*FITS_ENDINGS, ".png", *HDF5_ENDINGS)
"""Endings of image files, in small letters."""
_WRITTEN = re.compile(r"_(rot_\d+|clipped)$")
"""Files that the 2021 testbed wrote beside its images."""
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


@dataclass(frozen=True)
class ImageFile:
    """One image: its name, its file, and its place in an HDF5 file.

    Attributes
    ----------
    name : str
        File name without its ending, or the name within the HDF5 file.
    path : Path
        The file.
    key : str
        Dataset of an HDF5 file; "" for other files.
    index : int
        Place in a dataset that holds several images; -1 if it holds one.
    """

    name: str
    path: Path
    key: str = ""
    index: int = -1

    @property
    def place(self) -> str:
        """File, and place within it, for messages and the catalogue."""
        return (
            f"{self.path}{f'::{self.key}' if self.key else ''}{f'[{self.index}]' if self.index >= 0 else ''}"
        )


def ending_of(path: Path) -> str:
    """Give the ending of an image file as it is written, "" for other files."""
    for ending in sorted(ENDINGS, key=len, reverse=True):
        if path.name.lower().endswith(ending):
            return path.name[-len(ending) :]
    return ""


def list_images(paths: Iterable[Path]) -> list[ImageFile]:
    """List the images of files, in the files' order; other files, and hidden ones, are passed over.

    An HDF5 file that cannot be listed is given as one image: `read_image` says what is wrong with it.
    """
    found: list[ImageFile] = []
    for path in paths:
        ending = ending_of(path)
        name = path.name[: len(path.name) - len(ending)]
        if not ending or path.name.startswith(".") or _WRITTEN.search(name) or not path.is_file():
            continue
        try:
            found += _list_hdf5(path) if ending.lower() in HDF5_ENDINGS else [ImageFile(name, path)]
        except DataError:
            found.append(ImageFile(name, path))
    return found


def by_name(files: Iterable[ImageFile]) -> dict[str, list[ImageFile]]:
    """Give the images of each name."""
    groups: dict[str, list[ImageFile]] = defaultdict(list)
    for file in files:
        groups[file.name].append(file)
    return groups


def read_image(file: ImageFile, plane: int | tuple[int, ...] | None = None) -> FitsImage:
    """Read one image; of a PNG or HDF5 image the header is empty and rows are as in the file.

    Raises
    ------
    DataError
        If it is missing or cannot be read, naming it.
    """
    if not file.path.exists():
        raise DataError(f"{file.path}: there is no such file")
    if file.key:
        return FitsImage(_read_hdf5(file), path=file.place)
    if file.path.name.lower().endswith(HDF5_ENDINGS):
        places = _list_hdf5(file.path)
        raise DataError(f"{file.path}: holds {len(places)} images; name one of them")
    if file.path.name.lower().endswith(".png"):
        return FitsImage(_read_png(file.path), path=str(file.path))
    return read_fits(file.path, plane)


def _read_png(path: Path) -> NDArray[np.float32]:
    try:
        pillow = import_module("PIL.Image")
    except ImportError as error:
        raise DataError(f"{path}: Pillow is needed to read PNG: pip install pillow") from error
    try:
        with pillow.open(path, formats=("PNG",)) as image:
            mode = image.mode
            colour = mode in ("P", "PA", "LA", "RGB", "RGBA", "CMYK")
            pixels = np.asarray(image.convert("RGBA") if colour else image)
    # A damaged PNG is met with SyntaxError, struct.error and zlib.error beside OSError.
    except Exception as error:
        raise DataError(f"{path}: cannot be read as PNG: {error}") from error
    if colour and (pixels[..., :3] != pixels[..., :1]).any():
        raise DataError(f"{path}: is a colour image (mode {mode}); one channel, or equal ones, are needed")
    if colour and (pixels[..., 3] != 255).any():
        raise DataError(f"{path}: has transparent pixels; opaque ones are needed")
    return np.array(pixels[..., 0] if colour else pixels, dtype=np.float32)


def _list_hdf5(path: Path) -> list[ImageFile]:
    try:
        with h5py.File(path, "r") as file:
            return _images_of(path, file)
    except (OSError, KeyError, ValueError, RuntimeError) as error:
        raise DataError(f"{path}: cannot be read as HDF5: {str(error).splitlines()[0]}") from error


def _images_of(path: Path, file: Any) -> list[ImageFile]:
    sets: list[tuple[str, tuple[int, ...]]] = []

    def collect(name: str, entry: Any) -> None:
        if isinstance(entry, h5py.Dataset) and entry.shape is not None:
            sets.append((name, entry.shape))

    file.visititems(collect)
    stacks = [(name, shape) for name, shape in sets if len(shape) == 3]
    single = [name for name, shape in sets if len(shape) == 2]
    if len(stacks) == 1 and not single:
        name, shape = stacks[0]
        return [
            ImageFile(word, path, name, i) for i, word in enumerate(_names_of(path, file, sets, shape[0]))
        ]
    if single and not stacks:
        owners = [name.rpartition("/")[0] for name in single]
        alone = "" not in owners and len(set(owners)) == len(owners)
        pairs = zip(owners if alone else single, single, strict=True)
        return [
            ImageFile(owner, path, key) for owner, key in sorted(pairs, key=lambda pair: _natural(pair[0]))
        ]
    raise DataError(
        f"{path}: holds {len(stacks)} datasets of three axes and {len(single)} of two; legal are one of shape "
        f"(n, h, w), or any number of shape (h, w), alone in their groups"
    )


def _names_of(path: Path, file: Any, sets: list[tuple[str, tuple[int, ...]]], n: int) -> list[str]:
    found = [name for name, shape in sets if shape == (n,) and name.rpartition("/")[2].lower() in _NAMES]
    if not found:
        return [f"{path.name.rpartition('.')[0]}_{i}" for i in range(n)]
    if len(found) > 1:
        raise DataError(f"{path}: names could be any of the datasets {', '.join(found)}")
    words = file[found[0]][()].tolist()
    return [word.decode("utf-8") if isinstance(word, bytes) else str(word) for word in words]


def _natural(name: str) -> list[Any]:
    return [(0, int(word), "") if word.isdigit() else (1, 0, word) for word in re.split(r"(\d+)", name)]


def _read_hdf5(file: ImageFile) -> NDArray[np.float32]:
    try:
        with h5py.File(file.path, "r") as store:
            data = store[file.key]
            return np.array(data[file.index] if file.index >= 0 else data[()], dtype=np.float32)
    except (OSError, KeyError, ValueError, TypeError, RuntimeError) as error:
        raise DataError(f"{file.place}: cannot be read as HDF5: {str(error).splitlines()[0]}") from error
