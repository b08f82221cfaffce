"""Maps of weight or noise: which mosaic, of several that cover a source, is taken."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rgbench.errors import DataError, SpecError, one_line
from rgbench.images.fits import ENDINGS, FitsImage
from rgbench.numbers import counted
from rgbench.survey.mosaics import Mosaic, fits_files, open_mosaics, plain_file

WEIGHTS, NOISE = "--weights", "--noise-maps"
"""Options of maps of which the greater value is better, and of those of which the smaller is."""
_SAYS_MAP = ("weight", "weights", "weightmap", "wht", "wt", "rms", "noise", "sigma")
"""Words of a file name by which it is a map."""
_SAYS_NOTHING = (*_SAYS_MAP, "mosaic", "image", "img", "map", "blanked")
"""Words of file names that do not count where maps are matched to mosaics."""
_TOGETHER = 2048
"""Side, in pixels, of the part of a map that is read at once."""


@dataclass(frozen=True, eq=False)
class Map:
    """Weight or noise of a mosaic.

    Attributes
    ----------
    image : Mosaic
        Its pixels.
    face : FitsImage
        What tells where they lie: its own header, or that of the mosaic.
    """

    image: Mosaic
    face: FitsImage


@dataclass(frozen=True, eq=False)
class Weights:
    """A map for each mosaic.

    Attributes
    ----------
    maps : sequence of Map
        In the order of the mosaics.
    noise : bool
        Whether the smaller value is better, as of noise; otherwise the greater is.
    """

    maps: Sequence[Map]
    noise: bool

    def order(
        self, ranked: NDArray[np.int32], ra: NDArray[np.float64], dec: NDArray[np.float64]
    ) -> list[str]:
        """Put the mosaics of each position into the order of their maps there, in place; the best first.

        A value that is NaN, or not above 0, comes last; those that are alike stay as they are. The maps are read at
        positions alone that several mosaics cover.

        Parameters
        ----------
        ranked : ndarray of int32, shape (n, r)
            As from `rgbench.survey.mosaics.covering`.
        ra, dec : ndarray of float64, shape (n,)
            Degrees, ICRS.

        Returns
        -------
        list of str
            Of each map that says nothing of some of these positions, of how many.

        Raises
        ------
        DataError
            If a map cannot be read.
        """
        several, remarks = np.flatnonzero(ranked[:, 1] >= 0), list[str]()
        own = ranked[several]
        score = np.full(own.shape, -1.0, dtype=np.float32)
        by_mosaic = np.argsort(own, axis=None, kind="stable")
        ends = np.searchsorted(own.ravel()[by_mosaic], np.arange(len(self.maps) + 1))
        for number, one in enumerate(self.maps):
            places = by_mosaic[ends[number] : ends[number + 1]]
            rows = several[places // own.shape[1]]
            score.ravel()[places] = found = self._score(values_at(one, ra[rows], dec[rows]))
            if silent := int((found <= 0).sum()):
                asked = counted(len(rows), "row")
                remarks.append(
                    f"{one.image.name}: no number above 0 at {silent} of the {asked} for which it counts"
                )
        best = np.argsort(-score, axis=1, kind="stable")
        ranked[several] = np.take_along_axis(own, best, axis=1)
        return remarks

    def _score(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        known = np.isfinite(values) & (values > 0)
        return np.where(known, 1 / np.where(known, values, 1) if self.noise else values, 0).astype(np.float32)


def values_at(one: Map, ra: NDArray[np.float64], dec: NDArray[np.float64]) -> NDArray[np.float32]:
    """Give the pixels of a map in which positions lie; NaN beyond its edge. A part of the map is read at a time.

    Raises
    ------
    DataError
        If it cannot be read.
    """
    found = np.full(len(ra), np.nan, dtype=np.float32)
    if not len(ra):
        return found
    rows, columns = (np.rint(places) for places in one.face.places(ra, dec))
    height, width = one.image.shape
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    there = np.flatnonzero(inside)
    down, across = rows[there].astype(np.int64), columns[there].astype(np.int64)
    tile = (down // _TOGETHER) * (width // _TOGETHER + 1) + across // _TOGETHER
    order = np.argsort(tile, kind="stable")
    for part in np.split(order, np.flatnonzero(np.diff(tile[order])) + 1):
        if len(part):
            y, x = down[part], across[part]
            sides = (slice(int(each.min()), int(each.max()) + 1) for each in (y, x))
            pixels = one.image.pixels(*sides)
            found[there[part]] = pixels[y - y.min(), x - x.min()]
    return found


def map_files(paths: Sequence[Path], images: Sequence[Path], option: str) -> list[Path]:
    """Give the files that are maps; of those that are among the images too, those whose names say so.

    Raises
    ------
    DataError
        If a path is not there, or holds no FITS file.
    """
    both = {file.resolve() for file in images}
    files = dict.fromkeys(fits_files(paths, option))
    return [file for file in files if file.resolve() not in both or set(_words(file)) & set(_SAYS_MAP)]


def find_weights(files: Sequence[Path], mosaics: Sequence[Mosaic], option: str, scratch: Path) -> Weights:
    """Find the map of each mosaic, by the names of the files.

    A name is parted into words by dots, bars and low lines. A map is that of the mosaic all of whose words it has, in
    their order; of several such mosaics, that with the most words, then that in the folder of the map.

    Parameters
    ----------
    files : sequence of path
        The maps.
    mosaics : sequence of Mosaic
        Each needs one map.
    option : str
        What they were given by, for messages.
    scratch : path
        Folder into which packed files are unpacked.

    Raises
    ------
    SpecError
        If a mosaic has no map or several, or a map could be that of several mosaics.
    DataError
        If a map cannot be read, or tells no position and has not the shape of its mosaic.
    """
    maps: dict[Path, list[Path]] = {Path(mosaic.face.path): [] for mosaic in mosaics}
    for file in files:
        if (mosaic := _mosaic_of(file, list(maps), option)) is not None:
            maps[mosaic].append(file)
    for mosaic, own in maps.items():
        near = [file for file in own if file.parent.resolve() == mosaic.parent.resolve()]
        maps[mosaic] = near if len(own) > 1 and near else own
    found = [_opened(mosaic, maps[Path(mosaic.face.path)], option, scratch) for mosaic in mosaics]
    return Weights(found, option == NOISE)


def _mosaic_of(file: Path, mosaics: Sequence[Path], option: str) -> Path | None:
    """Give the mosaic that a file is the map of; None if it is that of none."""
    words = _counting(file)
    fitting = [each for each in mosaics if _within(_counting(each), words)]
    most = max((len(_counting(each)) for each in fitting), default=0)
    fitting = [each for each in fitting if len(_counting(each)) == most]
    near = [each for each in fitting if each.parent.resolve() == file.parent.resolve()]
    fitting = near if len(fitting) > 1 and near else fitting
    if len(fitting) > 1:
        raise SpecError(
            f"{option} {file}: could be the map of {fitting[0]} or {fitting[1]}; let its name have all words of one of "
            "them, or put it into the folder of one"
        )
    return fitting[0] if fitting else None


def _opened(mosaic: Mosaic, files: Sequence[Path], option: str, scratch: Path) -> Map:
    name = Path(mosaic.face.path)
    if len(files) != 1:
        found = f"{files[0]} and {files[1]} could be" if files else "no file is"
        raise SpecError(
            f"{option}: {found} the map of {name}; one file is needed whose name has all words of the image's, as "
            f"{name.name.partition('.')[0]}-weight.fits"
        )
    file = files[0]
    try:
        units = list(open_mosaics(plain_file(file, scratch), file))
    except (DataError, OSError) as error:
        raise DataError(f"{option} {file}: {one_line(error).removeprefix(f'{file}: ')}") from error
    fitting = [each for each in units if each.place == mosaic.place] if len(units) > 1 else units
    if not fitting:
        raise DataError(f"{option} {file}: holds {len(units)} images, but none in the place of {mosaic.name}")
    one = fitting[0]
    if not (one.face.scale_fault or one.face.position_fault):
        return Map(one, one.face)
    if one.shape != mosaic.shape:
        raise DataError(
            f"{option} {file}: tells no position and has {one.shape[0]} x {one.shape[1]} pixels, {mosaic.name} has "
            f"{mosaic.shape[0]} x {mosaic.shape[1]}; the same grid, or positions, are needed"
        )
    return Map(one, mosaic.face)


def _words(file: Path) -> list[str]:
    """Give the words of the name of a file, without its ending."""
    name = file.name.casefold()
    ending = max((ending for ending in ENDINGS if name.endswith(ending)), key=len, default="")
    return [word for word in re.split(r"[-_.\s]+", name.removesuffix(ending)) if word]


def _counting(file: Path) -> list[str]:
    return [word for word in _words(file) if word not in _SAYS_NOTHING]


def _within(words: Sequence[str], others: Sequence[str]) -> bool:
    """Tell whether words stand among others, in their order.

    Examples
    --------
    >>> _within(["t01", "i"], ["t01", "2", "i"]), _within(["i", "t01"], ["t01", "2", "i"])
    (True, False)
    """
    rest = iter(others)
    return all(word in rest for word in words)


def which_option(weights: Sequence[Path], noise: Sequence[Path]) -> str:
    """Give the option by which maps were given, "" if none were; raise `SpecError` if both were."""
    if weights and noise:
        raise SpecError(f"{WEIGHTS} and {NOISE}: give one of them; what is compared must be of one kind")
    return WEIGHTS if weights else NOISE if noise else ""
