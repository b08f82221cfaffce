"""Image files of any kind: which there are, what is in them, and why one is set aside: FITS, PNG, HDF5.

Whatever reads images of one's own finds them with `find_images` and reads them with `examine`, so that a file has
the same name and the same verdict everywhere.
"""

from __future__ import annotations

import os
import re
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rgbench.errors import DataError, SpecError, check_regular, raise_stop
from rgbench.escapes import utf8
from rgbench.images.apart import list_hdf5, read_hdf5
from rgbench.images.fits import ENDINGS as FITS_ENDINGS
from rgbench.images.fits import FitsImage, read_fits
from rgbench.images.limits import check_pixels
from rgbench.images.observed import unobserved
from rgbench.images.preprocess import usable
from rgbench.numbers import counted

HDF5_ENDINGS = (".h5", ".hdf5", ".hdf")
ENDINGS = (*FITS_ENDINGS, ".png", *HDF5_ENDINGS)
"""Endings of image files, in small letters."""
MISSING = "there is no such file"
_WRITTEN = re.compile(r"(_(rot_\d+|clipped))+$")
"""Files that the 2021 testbed wrote beside its images."""
_COPY = "copies named _clipped or _rot"
_ENDING = re.compile(r"(?<=.)\.[a-z]\w{0,9}(\.(gz|bz2|xz|fz|z|zip))?$")
_KINDS = 8
"""Kinds of files that are named when files are passed over."""


class SetAside(NamedTuple):
    """An image that is left out: its source, or its path where no source is known yet, and why."""

    source: str
    reason: str


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
    absent : str
        Why there is no such file, where a table asks for one that is not clear; "" otherwise.
    """

    name: str
    path: Path
    key: str = ""
    index: int = -1
    absent: str = ""

    @property
    def place(self) -> str:
        """File, and place within it, for messages and the catalogue."""
        within = f"{f'::{self.key}' if self.key else ''}{f'[{self.index}]' if self.index >= 0 else ''}"
        return utf8(f"{self.path}{within}")


def ending_of(path: Path | str) -> str:
    """Give the ending of an image file as it is written, "" for other files.

    Examples
    --------
    >>> ending_of("a.fits.FZ"), ending_of("a.txt")
    ('.fits.FZ', '')
    """
    name = str(path).lower()
    length = max((len(ending) for ending in ENDINGS if name.endswith(ending)), default=0)
    return str(path)[-length:] if length else ""


def file_stem(file: Path | str) -> str:
    r"""Give the name of a file without folders and without its ending, .fits.gz for instance.

    Bytes that are not UTF-8 stand there as `rgbench.escapes.utf8` writes them: names are stored as UTF-8.

    Examples
    --------
    >>> file_stem("images/J0030+1.5.fits.gz"), file_stem("C:\\data\\b.fits.fz"), file_stem("J0030+1.5")
    ('J0030+1.5', 'b', 'J0030+1.5')
    """
    name = PurePosixPath(str(file).replace("\\", "/")).name
    return utf8(name.removesuffix(ending_of(name)))


class Search(NamedTuple):
    """What was found in files and folders.

    Attributes
    ----------
    files : list of ImageFile
        The images.
    passed : dict of Path to str
        Files of folders that were passed over, and of what kind each is; hidden ones are not counted.
    """

    files: list[ImageFile]
    passed: dict[Path, str]


def find_images(paths: Sequence[Path | str], endings: Sequence[str] = ENDINGS) -> list[ImageFile]:
    """Find the images of files and folders, as `search_images` does, which says what was passed over too.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     for name in ("b.fits.fz", "a.fits", "a_rot_15.fits", "notes.txt"):
    ...         (Path(folder) / name).touch()
    ...     [file.name for file in find_images([folder])]
    ['a', 'b']
    """
    return search_images(paths, endings).files


def search_images(paths: Sequence[Path | str], endings: Sequence[str] = ENDINGS) -> Search:
    """Find the images of files and folders.

    Parameters
    ----------
    paths : sequence of path
        Folders, of which all images are found, in subfolders and folders that are linked to too, sorted by path; and
        files, which are taken as named, whatever their ending.
    endings : sequence of str
        Endings of the files that are found in folders, and that may hold several images.

    Returns
    -------
    Search
        The images in the order of the paths. Hidden files of folders, and what the 2021 testbed wrote beside its
        images, are passed over.

    Raises
    ------
    DataError
        If there is no such file or folder, or it cannot be looked at.
    """
    found: list[ImageFile] = []
    passed: dict[Path, str] = {}
    for path in map(Path, [paths] if isinstance(paths, (str, Path)) else paths):
        try:
            if path.is_dir():
                within = files_within(path)
                images = list_images(within, endings)
                found += images
                passed |= _passed(within, images, endings)
            elif path.exists():
                found += list_images([path], endings) or [ImageFile(file_stem(path), path)]
            else:
                raise DataError(f"{path}: there is no such file or folder")
        except OSError as error:
            raise DataError(f"{path}: cannot be looked at: {error.strerror or error}") from error
    return Search(found, passed)


def files_within(folder: Path) -> list[Path]:
    """List all files of a folder and its subfolders, sorted; links to folders are followed, each folder once."""
    waiting, seen, found = [folder], set[Path](), []
    while waiting:
        for parent, folders, names in os.walk(waiting.pop(0)):
            here = Path(parent)
            if here.resolve() in seen:
                folders.clear()
                continue
            seen.add(here.resolve())
            # After all others: a folder that a link leads to may be on the way without it.
            waiting += sorted(here / name for name in folders if (here / name).is_symlink())
            found += [here / name for name in names]
    return sorted(found)


def list_images(paths: Iterable[Path], endings: Sequence[str] = ENDINGS) -> list[ImageFile]:
    """List the images of files, in the files' order; other files, and hidden ones, are passed over.

    What the 2021 testbed wrote beside an image is passed over where the image is among the files. An HDF5 file that
    cannot be listed, and a link to nothing, is given as one image: `read_image` says what is wrong with it.
    """
    found: list[ImageFile] = []
    taken = [path for path in paths if _is_image(path, endings)]
    originals = {(path.parent, file_stem(path)) for path in taken}
    for path in taken:
        if _original(path) in originals:
            continue
        several = ending_of(path).lower() in HDF5_ENDINGS and path.is_file()
        try:
            found += _list_hdf5(path) if several else [ImageFile(file_stem(path), path)]
        except DataError:
            found.append(ImageFile(file_stem(path), path))
    return found


def passed_over(passed: Mapping[Path, str]) -> str:
    """Say how many files of folders were passed over, by their kinds; "" for none.

    Examples
    --------
    >>> passed_over({Path("a.imfits"): ".imfits", Path("b.txt"): ".txt", Path("c.txt"): ".txt"})
    '3 files passed over: .txt 2, .imfits 1'
    """
    counts = Counter(passed.values()).most_common()
    if not counts:
        return ""
    kinds = [f"{kind} {n}" for kind, n in counts[:_KINDS]]
    rest = sum(n for _, n in counts[_KINDS:])
    return f"{counted(len(passed), 'file')} passed over: {', '.join(kinds + [f'others {rest}'] * bool(rest))}"


def _is_image(path: Path, endings: Sequence[str]) -> bool:
    """Tell whether a file is taken for an image, be it none."""
    return ending_of(path).lower() in endings and not path.name.startswith(".") and not path.is_dir()


def _original(path: Path) -> tuple[Path, str] | None:
    """Give folder and name of the image that the 2021 testbed made a file of, by its name; None for other files."""
    name = file_stem(path)
    plain = _WRITTEN.sub("", name)
    return None if plain == name else (path.parent, plain)


def _passed(paths: Iterable[Path], images: Iterable[ImageFile], endings: Sequence[str]) -> dict[Path, str]:
    """Tell the files that gave no image, and of what kind each is."""
    taken = {file.path for file in images}
    rest = (path for path in paths if path not in taken and not path.name.startswith("."))
    return {path: _COPY if _is_image(path, endings) else _kind(path) for path in rest}


def _kind(path: Path) -> str:
    """Give the ending of a file that is no image, with that of its packing."""
    found = _ENDING.search(path.name.lower())
    return utf8(found[0]) if found else "without ending"


def by_name(files: Iterable[ImageFile]) -> dict[str, list[ImageFile]]:
    """Give the images of each name."""
    groups: dict[str, list[ImageFile]] = defaultdict(list)
    for file in files:
        groups[file.name].append(file)
    return groups


def examine(file: ImageFile, plane: int | tuple[int, ...] | None = None) -> tuple[FitsImage | None, str]:
    """Read one image, and say why it must be set aside.

    Parameters
    ----------
    file : ImageFile
        Which image.
    plane : int or tuple of int, optional
        Plane of a FITS cube, see `rgbench.images.fits.read_fits`; images that are no cubes are read as without it.

    Returns
    -------
    image : FitsImage or None
        None if it cannot be read.
    reason : str
        Why it cannot be used, without its path: it cannot be read, or its pixels say nothing. "" if it can.

    Examples
    --------
    >>> examine(ImageFile("a", Path("no/such/a.fits")))
    (None, 'there is no such file')
    """
    if file.absent:
        return None, file.absent
    try:
        image = _of_plane(file, plane)
    # A plane is legal for one file and not for the next.
    except (DataError, SpecError) as error:
        return None, str(error).removeprefix(f"{file.place}: ").removeprefix(f"{file.path}: ")
    return image, usable(image.pixels) or ""


def scale_of(image: FitsImage, given: float | None) -> float:
    """Give arcsec per pixel: those of the header, else those given, else NaN."""
    return given if given is not None and not np.isfinite(image.pixel_scale) else image.pixel_scale


def unknown_scale(fault: str) -> str:
    """Say that the pixel scale of an image is not known, why, and what to do.

    Examples
    --------
    >>> unknown_scale("CDELT1 is 'x'; a finite number is needed")
    "the header tells no pixel scale (CDELT1 is 'x'; a finite number is needed): give it (--pixel-scale, image_scale)"
    """
    return f"the header tells no pixel scale ({fault}): give it (--pixel-scale, image_scale)"


def _of_plane(file: ImageFile, plane: int | tuple[int, ...] | None) -> FitsImage:
    """Read one image; a plane that is wrong for it is none of an image that has no planes."""
    try:
        return read_image(file, plane)
    except SpecError:
        with suppress(DataError):
            return read_image(file)
        raise


def wrong_size(shape: tuple[int, ...], wanted: tuple[int, ...]) -> str:
    """Say how the shape of an image differs from the one that is needed, "" if it does not.

    Examples
    --------
    >>> wrong_size((30, 30), (40, 40)), wrong_size((40, 40), (40, 40))
    ('is 30x30 pixels, expected 40x40', '')
    """
    if tuple(shape) == tuple(wanted):
        return ""
    return f"is {'x'.join(map(str, shape))} pixels, expected {'x'.join(map(str, wanted))}"


def read_image(file: ImageFile, plane: int | tuple[int, ...] | None = None) -> FitsImage:
    """Read one image; of a PNG or HDF5 image the header is empty and rows are as in the file.

    Pixels of exactly 0 at an edge of a noisy image were not observed: they are blanked, NaN.

    Raises
    ------
    DataError
        If it is missing or cannot be read, naming it.
    """
    try:
        there = file.path.exists()
        check_regular(file.path)
    except OSError as error:
        raise DataError(f"{file.path}: cannot be read: {error.strerror or error}") from error
    if not there:
        raise DataError(f"{file.path}: {_why_missing(file.path)}")
    return _as_observed(_read(file, plane))


def _why_missing(path: Path) -> str:
    return f"is a link to {utf8(str(path.readlink()))}, which is not there" if path.is_symlink() else MISSING


def _as_observed(image: FitsImage) -> FitsImage:
    """Give an image with what was not observed blanked."""
    outside = unobserved(image.pixels)
    if outside is None:
        return image
    return replace(image, pixels=np.where(outside, np.float32(np.nan), image.pixels))


def _read(file: ImageFile, plane: int | tuple[int, ...] | None) -> FitsImage:
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
        with warnings.catch_warnings(), pillow.open(path, formats=("PNG",)) as image:
            warnings.simplefilter("ignore")
            check_pixels(image.size[::-1])
            mode = image.mode
            colour = mode in ("P", "PA", "LA", "RGB", "RGBA", "CMYK") or "transparency" in image.info
            deep, frames = _png_bits(path) > 8 and colour, getattr(image, "n_frames", 1)
            pixels = np.asarray(image.convert("RGBA") if colour else image)
    except SpecError:
        raise
    # A damaged PNG is met with SyntaxError, struct.error and zlib.error beside OSError.
    except Exception as error:
        raise_stop(error)
        raise DataError(f"{path}: cannot be read as PNG: {error}") from error
    if frames > 1:
        raise DataError(f"{path}: holds {frames} images; a PNG of one is needed")
    if deep:
        raise DataError(
            f"{path}: has 16 bits and colour, or transparency, of which only 8 bits can be read; 16-bit grey without "
            "transparency is needed"
        )
    if colour and (pixels[..., :3] != pixels[..., :1]).any():
        raise DataError(f"{path}: is a colour image (mode {mode}); one channel, or equal ones, are needed")
    if colour and (pixels[..., 3] != 255).any():
        raise DataError(f"{path}: has transparent pixels; opaque ones are needed")
    return np.array(pixels[..., 0] if colour else pixels, dtype=np.float32)


def _png_bits(path: Path) -> int:
    """Give the bits of a channel: the byte after width and height in the first chunk (PNG, ISO/IEC 15948)."""
    with path.open("rb") as file:
        return file.read(25)[24]


def _list_hdf5(path: Path) -> list[ImageFile]:
    try:
        return [ImageFile(name, path, key, index) for name, key, index in list_hdf5(path)]
    except OSError as error:
        raise DataError(f"{path}: cannot be read as HDF5: {error}") from error


def _read_hdf5(file: ImageFile) -> NDArray[np.float32]:
    try:
        return read_hdf5(file.path, file.key, file.index)
    except OSError as error:
        raise DataError(f"{file.place}: cannot be read as HDF5: {error}") from error
