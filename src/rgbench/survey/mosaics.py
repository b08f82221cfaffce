"""Mosaics of a survey: what each covers, and parts of their pixels."""

from __future__ import annotations

import lzma
import math
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from rgbench.data.own.files import SetAside
from rgbench.errors import DataError, check_regular, one_line, raise_stop
from rgbench.images.fits import ENDINGS, FitsImage, image_axes, quiet
from rgbench.images.limits import as_float32, most_bytes, too_large, unpacking
from rgbench.images.units import image_shape, units_of
from rgbench.store.files import into_place

_PACKED = (".gz", ".bz2", ".xz")
_PART = 1 << 20
IMAGES = "--images"
"""The option of the mosaics, for messages."""
RANKS = 3
"""Mosaics that are kept of those that cover a position: the best, and those that are looked at if it is blanked."""


@dataclass(frozen=True, eq=False)
class Mosaic:
    """One image of the sky in a file, of which parts are read.

    Attributes
    ----------
    path : path
        The file.
    place : int
        Which unit of the file, from 0.
    face : FitsImage
        The header, and pixels that are not known: positions, pixel scale, beam, unit.
    index : tuple of int or slice
        What is taken along each axis of the file: a plane, or rows and columns.
    """

    path: Path
    place: int
    face: FitsImage
    index: tuple[int | slice, ...]

    @property
    def name(self) -> str:
        """The file, and the unit where it is one of several."""
        return f"{self.face.path}[{self.place}]" if self.place > 1 else self.face.path

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        rows, columns = self.face.pixels.shape
        return rows, columns

    def face_at(self, row: float, column: float, side: int) -> FitsImage:
        """Give the face of the square about a place: pixels are longer far from the reference pixel, and turned."""
        first = (round(place - (side - 1) / 2) for place in (row, column))
        unknown = np.broadcast_to(np.float32(np.nan), (side, side))
        return replace(self.face, pixels=unknown, header=self.face.header_from(*first))

    @property
    def _by_section(self) -> bool:
        """Whether pixels are not numbers as they stand in the file, so that it cannot be mapped to memory."""
        return any(key in self.face.header for key in ("BSCALE", "BZERO", "BLANK", "ZIMAGE"))

    def pixels(self, rows: slice, columns: slice) -> NDArray[np.float32]:
        """Read a part of the image, which lies within it.

        Raises
        ------
        DataError
            If it cannot be read: the file is truncated or damaged there. It names the mosaic.
        """
        parts = iter((rows, columns))
        index = tuple(at if isinstance(at, int) else next(parts) for at in self.index)
        try:
            with quiet(), fits.open(self.path, memmap=not self._by_section, uint=False) as file:
                unit = file[self.place]
                return as_float32((unit.section if self._by_section else unit.data)[index])
        # Damaged files are met by astropy with errors of every kind.
        except Exception as error:
            raise_stop(error)
            raise DataError(f"{self.name}: cannot be read: {one_line(error)}") from error

    def padded(self, rows: tuple[int, int], columns: tuple[int, int]) -> NDArray[np.float32]:
        """Read pixels from a first row and column up to a last, which is left out; NaN beyond the edge.

        Raises
        ------
        DataError
            If they cannot be read.
        """
        pixels = np.full((rows[1] - rows[0], columns[1] - columns[0]), np.nan, dtype=np.float32)
        height, width = self.shape
        top, bottom = max(rows[0], 0), min(rows[1], height)
        left, right = max(columns[0], 0), min(columns[1], width)
        if top < bottom and left < right:
            own = (slice(top - rows[0], bottom - rows[0]), slice(left - columns[0], right - columns[0]))
            pixels[own] = self.pixels(slice(top, bottom), slice(left, right))
        return pixels

    def cutout(self, ra: float, dec: float, arcsec: float) -> NDArray[np.float32]:
        """Cut out a square about a position in degrees, ICRS; NaN beyond the edge.

        Raises
        ------
        DataError
            If the pixels cannot be read, or the image has none at the position.
        """
        row, column = (float(place[0]) for place in self.face.places(np.array([ra]), np.array([dec])))
        if not (math.isfinite(row) and math.isfinite(column)):
            raise DataError(f"{self.name}: shows no position {ra:.5f} {dec:+.5f}")
        side = max(2, round(arcsec / self.face.pixel_scale))
        top, left = round(row - (side - 1) / 2), round(column - (side - 1) / 2)
        return self.padded((top, top + side), (left, left + side))


def find_mosaics(
    paths: Sequence[Path | str],
    scratch: Path,
    aside: list[SetAside],
    unlikely: Callable[[FitsImage], str] = lambda face: "",
    without: Collection[Path] = (),
) -> list[Mosaic]:
    """Find the images of files and folders that tell where they lie; what cannot be used goes to `aside`.

    Parameters
    ----------
    paths : sequence of path
        Files, or folders that are searched for FITS files, subfolders included.
    scratch : path
        Folder into which packed files (.gz) are unpacked, so that parts of them can be read.
    aside : list of SetAside
        Is appended to, with the reason.
    unlikely : callable
        Says why an image cannot be looked at, by its face; "" if it can.
    without : collection of path
        Files that are no images of the sky: maps of their weight.

    Raises
    ------
    DataError
        If a path is not there, or no image can be used.
    """
    maps = {file.resolve() for file in without}
    files = [file for file in fits_files(paths, IMAGES) if not maps or file.resolve() not in maps]
    if not files:
        raise DataError(
            f"{IMAGES} {', '.join(map(str, paths))}: all FITS files there are maps of weight or noise"
        )
    found: list[Mosaic] = []
    for file in files:
        try:
            found += _usable(plain_file(file, scratch), file, aside, unlikely)
        except (DataError, OSError) as error:
            aside.append(SetAside(str(file), one_line(error).removeprefix(f"{file}: ")))
    if not found:
        raise DataError(
            f"none of {len(files)} images can be used; the first, {aside[0].source}: {aside[0].reason}"
        )
    return found


def fits_files(paths: Sequence[Path | str], option: str) -> list[Path]:
    """Give FITS files, and those in folders, subfolders included; each once.

    Parameters
    ----------
    paths : sequence of path
        Files, which are taken whatever their names are, and folders.
    option : str
        What they were given by, for messages.

    Raises
    ------
    DataError
        If a path is not there, or there is no file.
    """
    files: list[Path] = []
    for each in map(Path, paths):
        if not each.exists():
            raise DataError(f"{option} {each}: there is no such file or folder")
        inside = (
            sorted(file for file in each.rglob("*") if file.name.lower().endswith(ENDINGS))
            if each.is_dir()
            else [each]
        )
        files += inside
    if not files:
        named = ", ".join(map(str, paths))
        raise DataError(f"{option} {named}: no FITS file ({', '.join(ENDINGS)}) there")
    return list(dict.fromkeys(files))


def plain_file(file: Path, scratch: Path) -> Path:
    """Give a file that is not packed with the content of one that may be, unpacked into a folder if it is."""
    if not file.name.lower().endswith(_PACKED):
        return file
    check_regular(file)
    there = scratch / f"{sha256(str(file.resolve()).encode()).hexdigest()[:12]}-{file.stem}"
    if there.exists() and there.stat().st_mtime >= file.stat().st_mtime:
        return there
    scratch.mkdir(parents=True, exist_ok=True)
    with into_place(there) as temporary, temporary.open("wb") as plain:
        for part in _unpacked(file):
            plain.write(part)
    return there


def _unpacked(file: Path) -> Iterator[bytes]:
    """Give the content of a packed file; `DataError` if it is damaged, or not packed."""
    try:
        with unpacking(file) as packed:
            size, most = 0, most_bytes()
            while part := packed.read(_PART):
                size += len(part)
                if size > most:
                    raise DataError(f"{file}: {too_large(most)}")
                yield part
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise DataError(f"{file}: cannot be unpacked: {one_line(error)}") from error


def _usable(
    file: Path, named: Path, aside: list[SetAside], unlikely: Callable[[FitsImage], str]
) -> list[Mosaic]:
    found: list[Mosaic] = []
    for mosaic in open_mosaics(file, named):
        fault = mosaic.face.scale_fault or mosaic.face.position_fault
        reason = f"the header tells no position: {fault}" if fault else unlikely(mosaic.face)
        if reason:
            aside.append(SetAside(mosaic.name, reason))
        else:
            found.append(mosaic)
    return found


def open_mosaics(path: Path, named: Path | None = None) -> Iterator[Mosaic]:
    """Give the images of one file, which is not packed; the pixels are not read.

    Parameters
    ----------
    path : path
        The file.
    named : path, optional
        What it is called, if it was unpacked from another.

    Raises
    ------
    DataError
        If it holds no image of two axes.
    OSError
        If it is no FITS file, or truncated.
    """
    check_regular(path)
    none = True
    with path.open("rb") as file:
        for place, header in units_of(file):
            shape = image_shape(header)
            if not shape or min(shape) == 0:
                continue
            none = False
            kept, index = image_axes(path, shape, None)
            sides = (shape[kept[0]], shape[kept[1]])
            axes = (len(shape) - kept[0], len(shape) - kept[1])
            unknown = np.broadcast_to(np.float32(np.nan), sides)
            yield Mosaic(path, place, FitsImage(unknown, header, str(named or path), axes), index)
    if none:
        raise DataError(f"{path}: holds no image")


def reopen_mosaic(path: Path, named: str, place: int) -> Mosaic:
    """Open one image again, by its file, what it is called, and which unit of it; raise `DataError` if it is gone."""
    try:
        return next(each for each in open_mosaics(path, Path(named)) if each.place == place)
    except (StopIteration, OSError) as error:
        raise DataError(f"{named}: cannot be read any more: {one_line(error)}") from error


def covering(
    mosaics: Sequence[Mosaic], ra: NDArray[np.float64], dec: NDArray[np.float64]
) -> NDArray[np.int32]:
    """Rank for each position the mosaics that cover it: first the one in which it lies furthest from the edge.

    Parameters
    ----------
    mosaics : sequence of Mosaic
        Where to look; of two that are alike the one that is named first comes first.
    ra, dec : ndarray of float64, shape (n,)
        Degrees, ICRS; NaN is nowhere.

    Returns
    -------
    ndarray of int32, shape (n, `RANKS`)
        Places in `mosaics`, the best first; -1 where no more cover the position.
    """
    ranked = np.full((len(ra), RANKS), -1, dtype=np.int32)
    depth = np.zeros((len(ra), RANKS), dtype=np.float32)
    order = np.argsort(dec)  # NaN last
    band = dec[order]
    for number, mosaic in enumerate(mosaics):
        south, north = _band(mosaic.face)
        first, last = np.searchsorted(band, (south, north))
        rows = order[first:last]
        if not len(rows):
            continue
        found = edge_distance(mosaic, ra[rows], dec[rows]).astype(np.float32)
        _insert(ranked, depth, rows[found > 0], number, found[found > 0])
    return ranked


def _insert(
    ranked: NDArray[np.int32],
    depth: NDArray[np.float32],
    rows: NDArray[np.int64],
    number: int,
    found: NDArray[np.float32],
) -> None:
    """Put one mosaic where it belongs among those that cover some rows; what falls off the end is forgotten."""
    mosaic, better = np.full(len(rows), number, dtype=np.int32), np.zeros(len(rows), dtype=bool)
    for rank in range(RANKS):
        here, deep = ranked[rows, rank], depth[rows, rank]
        better |= found > deep  # what it takes the place of, moves on
        ranked[rows, rank], depth[rows, rank] = np.where(better, mosaic, here), np.where(better, found, deep)
        mosaic, found = np.where(better, here, mosaic), np.where(better, deep, found)


def edge_distance(mosaic: Mosaic, ra: NDArray[np.float64], dec: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give how far positions lie from the nearest edge of a mosaic, arcsec; -1 where they are not on it."""
    centre_ra, centre_dec = np.radians(mosaic.face.centre)
    cosine = np.sin(centre_dec) * np.sin(np.radians(dec)) + np.cos(centre_dec) * np.cos(
        np.radians(dec)
    ) * np.cos(np.radians(ra) - centre_ra)
    near = np.flatnonzero(cosine >= math.cos(min(math.pi, _reach(mosaic.face))))
    found = np.full(len(ra), -1.0)
    if not len(near):
        return found
    rows, columns = mosaic.face.places(ra[near], dec[near])
    (height, width), scale = mosaic.shape, mosaic.face.pixel_scale
    depth = np.minimum(np.minimum(rows, height - 1 - rows), np.minimum(columns, width - 1 - columns)) + 0.5
    found[near] = np.where(depth > 0, depth * scale, -1.0)
    return found


def _reach(face: FitsImage) -> float:
    """Give a distance from the middle, in radians, beyond which nothing of the image lies."""
    ra, dec = face.positions(*_frame(face))
    if not np.isfinite(ra).all():
        return math.pi  # a map of the whole sky
    middle = np.radians(face.centre)
    ra, dec = np.radians(ra), np.radians(dec)
    cosine = np.sin(middle[1]) * np.sin(dec) + np.cos(middle[1]) * np.cos(dec) * np.cos(ra - middle[0])
    return 1.1 * float(np.arccos(np.clip(cosine, -1, 1)).max()) + 1e-4


def _band(face: FitsImage) -> tuple[float, float]:
    """Give declinations, in degrees, south and north of which nothing of the image lies."""
    reach = math.degrees(_reach(face))
    return face.centre[1] - reach, face.centre[1] + reach


def _frame(face: FitsImage) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give rows and columns of places along the edge."""
    height, width = face.pixels.shape
    t = np.linspace(0, 1, 33)
    ends = np.zeros_like(t)
    rows = np.concatenate([t, t, ends, ends + 1]) * (height - 1)
    columns = np.concatenate([ends, ends + 1, t, t]) * (width - 1)
    return rows, columns
