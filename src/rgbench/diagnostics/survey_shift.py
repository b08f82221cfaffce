"""Survey shift: the test sources of a data set, as another survey shows them.

The networks stay as they were trained; the sources stay the same; only the images are another survey's. So what is
lost is measured in pairs, source by source, and no training source can come into the test.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rgbench.data.catalogue import Catalogue, DataSet
from rgbench.data.leakage import RADIUS
from rgbench.data.overlap import close_pairs
from rgbench.data.own.files import read_image
from rgbench.data.own.folder import placed
from rgbench.data.own.labels import LabelRule
from rgbench.data.own.plan import FolderOptions, Wanted, plan_folder
from rgbench.data.surveys.surveys import surveys
from rgbench.diagnostics.disturbances import BEAM, SIMULATED
from rgbench.errors import DataError, SpecError
from rgbench.images.cutout import CutoutSpec, cutout
from rgbench.images.fits import FitsImage
from rgbench.images.geometry import central_crop
from rgbench.images.preprocess import usable
from rgbench.store.conditions import SURVEY, Condition

MATCH = 5.0
"""Arcseconds within which a position is that of a source, where the names differ."""
COVERED = 0.99
"""Share of the field that an image must show."""
MANIFEST = "manifest.csv"


@dataclass(frozen=True)
class SeenBy:
    """Sources that another survey shows.

    Attributes
    ----------
    condition : Condition
        Its name in the tables.
    data : DataSet
        The sources with the other survey's images, on the pixels of the data set's own. Its catalogue has the column
        `BEAM`: the width of each image's beam in units of that of the data set, 1 where it is not known.
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
        If it is not of that form, the folder is not there, or the name is one that simulated images have.

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
    if name.lower().endswith(SIMULATED):
        raise SpecError(
            f"--survey: {name!r} is the name of images that are made; give those of {folder} another"
        )
    return Condition(SURVEY, survey=name.lower()), Path(folder)


def seen_by(
    condition: Condition, folder: Path, dataset: DataSet, index: NDArray[np.int64], field: int | None = None
) -> SeenBy:
    """Read the images of another survey and give them the places of a data set's sources.

    Parameters
    ----------
    condition : Condition
        Of the family "survey".
    folder : Path
        FITS images, as from ``rgbench data build``: with ``manifest.csv``, or named as the sources.
    dataset : DataSet
        Whose sources they are. Each image is cut about the position that it tells, north up, to its size and pixel
        scale; the beam stays that of the survey.
    index : ndarray of int64, shape (n,)
        Its rows that are wanted.
    field : int, optional
        Side in pixels of the central field that a network sees; an image that does not show `COVERED` of it is not
        used. By default the whole image.

    Returns
    -------
    SeenBy
        Sources are found as by `match_sources`. Labels are those of `dataset`.

    Raises
    ------
    DataError
        If the pixel scale of the data set is not known, the images were fetched from another survey than `condition`
        says, or none is of one of the sources.
    """
    card, wanted = dataset.card, dataset.catalogue.take(index)
    if not np.isfinite(card.pixel_scale):
        raise DataError(
            f"{card.name}: the pixel scale is not known: another survey's images cannot be brought to it"
        )
    files, there = _listed(folder)
    place = match_sources(wanted, there)
    spec = CutoutSpec(n_pixels=max(dataset.images.shape[1:]), pixel_scale=card.pixel_scale)
    images: list[NDArray[np.float32]] = []
    beams: list[float] = []
    found: list[int] = []
    missing: list[tuple[str, str]] = []
    for i, name in enumerate(wanted.source_id.tolist()):
        try:
            if place[i] < 0:
                raise DataError(_why_none(name, there))
            image, beam = _image(files[place[i]], condition, (wanted.ra[i], wanted.dec[i]), spec)
            images.append(_checked(image, dataset.images.shape[1:], field))
            beams.append(beam / card.beam if np.isfinite(beam / card.beam) else 1.0)
            found.append(i)
        except DataError as error:
            missing.append((name, str(error)))
    if not found:
        raise DataError(
            f"{folder}: none of {len(files)} images shows one of the {len(index)} test sources; the first, "
            f"{missing[0][0]}: {missing[0][1]}"
        )
    catalogue = wanted.take(np.array(found))
    catalogue = replace(catalogue, extra={**catalogue.extra, BEAM: np.array(beams)})
    data = DataSet(card, catalogue, np.stack(images), {})
    return SeenBy(condition, data, tuple(missing))


def match_sources(wanted: Catalogue, there: Catalogue) -> NDArray[np.int64]:
    """Find sources in another catalogue, by name, else by position.

    Parameters
    ----------
    wanted, there : Catalogue
        Names count for nothing where both positions are known and further apart than one source is from the next
        (`rgbench.data.leakage.RADIUS`): short names such as numbers stand in many catalogues. Without a name, a
        position within `MATCH` arcsec is that of the source.

    Returns
    -------
    ndarray of int64, shape (len(wanted),)
        Rows of `there`, -1 for none. None is given twice: the nearest source has it.
    """
    rows = {str(name): j for j, name in enumerate(there.source_id)}
    place = np.full(len(wanted), -1, dtype=np.int64)
    near = {(int(i), int(j)) for i, j in close_pairs(wanted, there, RADIUS)[0]}
    for i, name in enumerate(wanted.source_id.tolist()):
        j = rows.get(name, -1)
        if j >= 0 and ((i, j) in near or not np.isfinite(wanted.ra[i] + there.ra[j])):
            place[i] = j
    pairs, distance = close_pairs(wanted, there, MATCH)
    taken = set(place.tolist())
    for i, j in pairs[np.argsort(distance, kind="stable")].tolist():
        if place[i] < 0 and j not in taken:
            place[i] = j
            taken.add(j)
    return place


def _listed(folder: Path) -> tuple[list[Wanted], Catalogue]:
    """List the images of a folder, with the positions of its table, else of their headers or names."""
    manifest = folder / MANIFEST if (folder / MANIFEST).exists() else None
    files = plan_folder(folder, manifest, None, FolderOptions(labels=LabelRule(classes=()))).wanted
    ra, dec = np.array([_position(each) for each in files], dtype=np.float64).T
    names, zero = np.array([each.name for each in files]), np.zeros(len(files), dtype=np.int64)
    places = np.array([each.file.place for each in files])
    return files, Catalogue(names, ra, dec, zero, np.arange(len(files)), places, zero)


def _position(wanted: Wanted) -> tuple[float, float]:
    if np.isfinite(wanted.ra):
        return wanted.ra, wanted.dec
    try:
        centre = read_image(wanted.file).centre
    except DataError:
        # That it cannot be read is said of it where it is the image of a source.
        centre = float("nan"), float("nan")
    found = placed(wanted, centre)
    return found.ra, found.dec


def _image(
    wanted: Wanted, condition: Condition, position: tuple[float, float], spec: CutoutSpec
) -> tuple[NDArray[np.float32], float]:
    """Cut the field about a source out of its image, about the middle if the position is not known.

    Its beam comes with it, in arcsec: that of the header, else that of the survey of that name, else NaN.
    """
    image = read_image(wanted.file)
    _check_survey(image, condition)
    ra, dec = position if np.isfinite(position[0]) else image.centre
    beam = float(np.sqrt(image.beam.major * image.beam.minor))
    if not np.isfinite(beam) and condition.survey in surveys():
        beam = surveys().get(condition.survey).beam
    return cutout(image, ra, dec, spec).pixels, beam


def _check_survey(image: FitsImage, condition: Condition) -> None:
    """Raise if an image was fetched from another survey; a name that is no survey's is the user's own."""
    fetched = str(image.header.get("RGSURVEY", condition.survey))
    if fetched != condition.survey and condition.survey in surveys():
        raise SpecError(f"--survey: {image.path} was fetched from {fetched}, not from {condition.survey}")


def _checked(image: NDArray[np.float32], shape: tuple[int, ...], field: int | None) -> NDArray[np.float32]:
    pixels = central_crop(image, (shape[0], shape[1]))
    reason = usable(pixels)
    if reason:
        raise DataError(f"its image: {reason}")
    shown = float(np.isfinite(central_crop(pixels, field or max(shape))).mean())
    if shown < COVERED:
        raise DataError(f"its image shows {100 * shown:.0f} % of the field")
    return pixels


def _why_none(name: str, there: Catalogue) -> str:
    if name in there.source_id:
        return f"the image of that name lies more than {RADIUS:g} arcsec off"
    return "no image of it"
