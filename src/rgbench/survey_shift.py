"""Survey shift: the test sources of a data set, as another survey shows them.

The networks stay as they were trained; the sources stay the same; only the images are another survey's. So what is
lost is measured in pairs, source by source, and no training source can come into the test.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rgbench.comparison.conditions import SURVEY, Condition
from rgbench.data.catalogue import Catalogue, DataSet, Flag
from rgbench.data.plan import FolderOptions
from rgbench.data.sets.folder import load_folder
from rgbench.errors import DataError, SpecError
from rgbench.images.cutout import CutoutSpec

MATCH = 5.0
"""Arcseconds within which a position is that of a source, where the names differ."""
MANIFEST = "manifest.csv"


@dataclass(frozen=True)
class SeenBy:
    """Sources that another survey shows.

    Attributes
    ----------
    condition : Condition
        Its name in the tables.
    data : DataSet
        The sources with the other survey's images, on the pixels of the data set's own.
    missing : tuple of (str, str)
        Sources that it does not show, with the reason.
    """

    condition: Condition
    data: DataSet
    missing: tuple[tuple[str, str], ...]


def parse_survey(text: str) -> tuple[Condition, Path]:
    """Read NAME=FOLDER.

    Raises
    ------
    SpecError
        If it is not of that form, or the folder is not there.

    Examples
    --------
    >>> parse_survey("nvss=.")[0].name
    'survey-nvss'
    """
    name, equals, folder = text.partition("=")
    if not (name and equals and folder):
        raise SpecError(f"--survey: found {text!r}; NAME=FOLDER is legal, e.g. nvss=nvss-cutouts")
    if not Path(folder).is_dir():
        raise SpecError(f"--survey: there is no folder {folder}; rgbench data build makes one")
    return Condition(SURVEY, survey=name.lower()), Path(folder)


def seen_by(condition: Condition, folder: Path, dataset: DataSet, index: NDArray[np.int64]) -> SeenBy:
    """Read the images of another survey and give them the places of a data set's sources.

    Parameters
    ----------
    condition : Condition
        Of the family "survey".
    folder : Path
        FITS images, as from ``rgbench data build``: with ``manifest.csv``, or named as the sources.
    dataset : DataSet
        Whose sources they are. Field and pixel scale are its own; the images' north is up.
    index : ndarray of int64, shape (n,)
        Its rows that are wanted.

    Returns
    -------
    SeenBy
        A source is found by its name, else by its position, within `MATCH` arcsec. Labels are those of `dataset`.

    Raises
    ------
    DataError
        If the pixel scale of the data set is not known, or no image is of one of the sources.
    """
    scale, card = dataset.card.pixel_scale, dataset.card
    if not np.isfinite(scale):
        raise DataError(
            f"{card.name}: the pixel scale is not known: another survey's images cannot be brought to it"
        )
    rows, columns = dataset.images.shape[1:]
    if rows != columns:
        raise DataError(f"{card.name}: images of {rows} x {columns} pixels; square ones are needed for this")
    manifest = folder / MANIFEST if (folder / MANIFEST).exists() else None
    about = "source" if manifest is not None else "image"
    options = FolderOptions(cutout=CutoutSpec(n_pixels=rows, pixel_scale=scale), about=about)
    other = load_folder(folder, manifest, options=options)
    place = match_sources(dataset.catalogue.take(index), other.catalogue)
    unusable = (other.catalogue.flags & Flag.UNUSABLE) != 0
    found = (place >= 0) & ~unusable[place]
    if not found.any():
        raise DataError(
            f"{folder}: none of {len(other.catalogue)} images is of one of the {len(index)} test sources"
        )
    data = DataSet(card, dataset.catalogue.take(index[found]), other.images[place[found]], {})
    return SeenBy(condition, data, _missing(dataset, index, place, found, dict(other.set_aside)))


def match_sources(wanted: Catalogue, there: Catalogue) -> NDArray[np.int64]:
    """Find sources in another catalogue, by name, else by position.

    Returns
    -------
    ndarray of int64, shape (len(wanted),)
        Rows of `there`, -1 for none. None is given twice: the nearest source has it.
    """
    rows = {str(name): i for i, name in enumerate(there.source_id)}
    place = np.array([rows.get(str(name), -1) for name in wanted.source_id], dtype=np.int64)
    free = np.setdiff1d(np.arange(len(there)), place)
    left = np.flatnonzero(place < 0)
    distance = _separations(wanted, left, there, free)
    for i, j in np.argwhere(distance <= MATCH)[np.argsort(distance[distance <= MATCH], kind="stable")]:
        if place[left[i]] < 0 and free[j] not in place:
            place[left[i]] = free[j]
    return place


def _separations(
    wanted: Catalogue, left: NDArray[np.int64], there: Catalogue, free: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Give the distances in arcsec of the sources left to those that are free; NaN where a position is not known."""
    a, b = _vectors(wanted, left), _vectors(there, free)
    chord = np.sqrt(((a[:, None] - b[None]) ** 2).sum(axis=2))
    return np.asarray(np.degrees(2 * np.arcsin(np.minimum(chord / 2, 1))) * 3600)


def _vectors(catalogue: Catalogue, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    ra, dec = np.radians(catalogue.ra[rows]), np.radians(catalogue.dec[rows])
    return np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=1)


def _missing(
    dataset: DataSet,
    index: NDArray[np.int64],
    place: NDArray[np.int64],
    found: NDArray[Any],
    aside: dict[str, str],
) -> tuple[tuple[str, str], ...]:
    names = dataset.catalogue.source_id[index]
    reasons = [
        aside.get(str(name), "no image of it") if row < 0 else "its image holds nothing that can be used"
        for name, row in zip(names, place, strict=True)
    ]
    return tuple(
        (str(name), reason) for name, reason, there in zip(names, reasons, found, strict=True) if not there
    )
