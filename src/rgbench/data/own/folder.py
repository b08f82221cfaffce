"""One's own images: a folder of FITS, PNG or HDF5, with or without class folders and a table of sources."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rgbench.data.catalogue import CLASSES, Card, Catalogue, DataSet, Flag
from rgbench.data.leakage import sky_groups
from rgbench.data.own.angles import distance, position_in_name, separation
from rgbench.data.own.files import ImageFile, SetAside, examine, scale_of, unknown_scale, wrong_size
from rgbench.data.own.plan import FolderOptions, Plan, Wanted, plan_folder
from rgbench.data.own.sources import SourceList
from rgbench.errors import DataError, shown
from rgbench.escapes import utf8
from rgbench.images.brightness import read_brightness
from rgbench.images.cutout import COPIED, TOLERANCE, Cutout, CutoutSpec, cutout
from rgbench.images.fits import FitsImage
from rgbench.images.measure import Measures, measure_sources
from rgbench.images.preprocess import usable
from rgbench.images.storage import Pile

SCALE_TOLERANCE = 0.01
"""Fraction by which pixel scales may differ and count as one."""
LARGE = 1000
"""Pixels along a side from which on an image is no cutout about a source any more."""
OFF_CENTRE = 5.0
"""Arcsec between the middle of an image and the position of its source from which it is off-centre."""
FAR = 3600.0
"""Arcsec off its position from which an image is not merely off-centre."""
NEARLY_ALL = 0.9
"""Share of the images from which on their positions, rather than the images, are doubted."""


@dataclass
class _Read:
    """What has been read of a folder: images in a pile, of which `rows` are those that are kept, and facts of these."""

    kept: list[Wanted] = field(default_factory=list)
    pile: Pile = field(default_factory=Pile)
    rows: list[int] = field(default_factory=list)
    scales: list[float] = field(default_factory=list)
    beams: list[tuple[float, float]] = field(default_factory=list)
    units: list[str] = field(default_factory=list)
    aside: list[SetAside] = field(default_factory=list)
    remarks: list[tuple[str, str]] = field(default_factory=list)
    offsets: list[float] = field(default_factory=list)


class _Facts(NamedTuple):
    """What is kept of an image beside its pixels: scale, what is wrong with it, axes of the beam, unit, remarks."""

    scale: float
    scale_fault: str
    beam: tuple[float, float]
    unit: str
    remarks: tuple[str, ...]


class _Found(NamedTuple):
    """An image that can be used: its source, its number in the pile, its shape and its facts."""

    wanted: Wanted
    row: int
    shape: tuple[int, ...]
    facts: _Facts


class Field(NamedTuple):
    """The pixels that are wanted of an image.

    Attributes
    ----------
    pixels : ndarray of float32, shape (h, w)
        NaN where the image does not reach, or is blanked.
    scale : float
        Arcsec per pixel; NaN if it is not known.
    method : str
        How they were cut, as `rgbench.images.cutout.Cutout` says; "" if they are the whole image.
    remarks : tuple of str
        What was guessed, or is odd about where they were cut.
    """

    pixels: NDArray[np.float32]
    scale: float
    method: str
    remarks: tuple[str, ...]


def load_folder(
    data_path: Path | str,
    manifest: Path | str | None = None,
    class_labels: Path | str | None = None,
    image_size: tuple[int, int] | None = None,
    options: FolderOptions | None = None,
) -> DataSet:
    """Load images from a folder, or from one HDF5 file.

    Parameters
    ----------
    data_path : path
        Folder that holds COMP, FRI, FRII and BENT, Compact and Bent too, or as `class_labels` says: only
        images in these are taken. Or any other folder, of which all images are taken, those within a folder
        that is named as a class with that label, others with none. Or an HDF5 file.
    manifest : path, optional
        CSV of names and labels as the 2021 testbed had, or any table that `read_sources` reads: only its
        sources are taken, in its order, with its other columns. A path is looked for in `data_path`, then
        beside the table; a source without one is the image of that name, in whatever folder it is.
    class_labels : path, optional
        ``class_labels.txt``; by default the original's four classes.
    image_size : (int, int), optional
        Rows and columns; an image of another shape is set aside. By default the commonest shape.
    options : FolderOptions, optional
        Columns, labels, and cutouts.

    Returns
    -------
    DataSet
        What is measured of each source (`rgbench.images.measure.MEASURED`) stands in further columns, what is odd
        in the flags. Files that are missing, unreadable, of the wrong shape or pixel scale, all NaN or constant are in
        `set_aside` with the reason; what was guessed of others, or is odd about where they lie, is in `remarks`. FR0
        sources (label 1F) of the testbed's manifests are left out, as in the original. A position is that of the
        table, else that of the middle of the image by its header, else that in the name. A source without label has
        -1.

    Raises
    ------
    DataError
        If the folder or manifest is wrong, or no image can be used.
    SpecError
        If an option is wrong.
    """
    root, options = Path(data_path), options or FolderOptions()
    plan = plan_folder(root, manifest, class_labels, options)
    if manifest is None:
        check_names(plan.wanted)
    read = _read_all(plan.wanted, image_size, options)
    if not read.kept:
        first = f"; the first, {read.aside[0].source}: {read.aside[0].reason}" if read.aside else ""
        hint = "".join(f". {line}" for line in far_off(read.offsets))
        raise DataError(f"{root}: none of {len(plan.wanted)} images can be used{first}{hint}")
    return _assemble(root, read, plan)


def _assemble(root: Path, read: _Read, plan: Plan) -> DataSet:
    kept = read.kept
    order = plan.classes or tuple(sorted({w.label for w in kept} - {""}))
    order = CLASSES if set(order) == set(CLASSES) else order
    label = np.array([order.index(w.label) if w.label else -1 for w in kept], dtype=np.int64)
    ra, dec = np.array([(w.ra, w.dec) for w in kept], dtype=np.float64).T
    blanked = (np.isnan(read.pile[row]).any() for row in read.rows)
    flags = np.array([int(Flag.BLANKED) if each else 0 for each in blanked])
    catalogue = Catalogue(
        np.array([w.name for w in kept]),
        ra,
        dec,
        label,
        sky_groups(ra, dec),
        np.array([w.file.place for w in kept]),
        flags,
        _extra(plan.sources, np.array([w.row for w in kept])),
    )
    images, card = read.pile.stack(read.rows), _card(root, read, order)
    catalogue = catalogue.with_measures(_measure(images, read))
    of_all = (*plan.remarks, *far_off(read.offsets))
    fluxes = no_flux_density([w.name for w in kept], read.units, read.beams)
    remarks = [*(("", remark) for remark in of_all), *read.remarks, *fluxes]
    return DataSet(card, catalogue, images, set_aside=tuple(read.aside), remarks=tuple(remarks))


def beam_axes(image: FitsImage, options: FolderOptions) -> tuple[float, float]:
    """Give the axes of the beam in arcsec: those of the header, else as the options say, else NaN."""
    major, minor, _ = image.beam
    if np.isfinite(major) or options.beam is None:
        return major, minor
    return options.beam, options.beam


def _card(root: Path, read: _Read, classes: tuple[str, ...]) -> Card:
    scales, beams = np.array(read.scales), np.array(read.beams)
    scale = float(np.median(scales)) if np.isfinite(scales).all() else float("nan")
    beam = float(np.median(np.sqrt(beams.prod(axis=1)))) if np.isfinite(beams).all() else float("nan")
    title = utf8(f"images in {root}")
    return Card(name=utf8(root.stem) or "folder", title=title, classes=classes, pixel_scale=scale, beam=beam)


def _measure(images: NDArray[np.float32], read: _Read) -> Measures:
    """Measure the sources, each by its own unit, beam and pixel scale; no flux density where one is not known."""
    units = [unit if read_brightness(unit) else "" for unit in read.units]
    return measure_sources(images, np.array(read.scales), np.array(read.beams), units)


def no_flux_density(
    names: list[str], units: list[str], beams: list[tuple[float, float]]
) -> list[tuple[str, str]]:
    """Say of which images of a folder no flux density is known, and why.

    Parameters
    ----------
    names, units, beams : list
        Of each image that is loaded: the name of its source, its BUNIT, and the axes of its beam in arcsec.

    Returns
    -------
    list of (str, str)
        Name and reason. What holds for all images is said once, without a name; nothing is said if no image has a
        unit.

    Examples
    --------
    >>> no_flux_density(["a", "b"], ["K", "Jy/beam"], [(5.4, 5.4)] * 2)
    [('a', "BUNIT is 'K', not Jy/beam or Jy/pixel: its flux density is not known")]
    >>> no_flux_density(["a", "b"], ["Jy/beam"] * 2, [(np.nan, np.nan)] * 2)
    [('', 'the headers tell no beam: flux densities are not known')]
    """
    if not any(units):
        return []
    faults = [_no_flux(unit, beam) for unit, beam in zip(units, beams, strict=True)]
    if len(set(faults)) == 1:
        said = faults[0] if len(faults) == 1 else faults[0].replace("the header tells", "the headers tell")
        return [("", f"{said}: flux densities are not known")] if said else []
    return [(n, f"{f}: its flux density is not known") for n, f in zip(names, faults, strict=True) if f]


def _no_flux(unit: str, beam: tuple[float, float]) -> str:
    known = read_brightness(unit)
    if known is None:
        return f"BUNIT is {shown(unit)}, not Jy/beam or Jy/pixel" if unit else "BUNIT is missing"
    return "" if known.per == "pixel" or np.isfinite(beam[0]) else "the header tells no beam"


def _extra(sources: SourceList | None, rows: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
    if sources is None:
        return {}
    columns = {name: column[rows] for name, column in sources.extra.items()}
    for name, column in (("redshift", sources.redshift), ("angular_size", sources.size)):
        if np.isfinite(column).any():
            columns[name] = column[rows]
    return columns


def check_names(wanted: list[Wanted]) -> None:
    """Raise `DataError` if two images have one name."""
    seen: dict[str, ImageFile] = {}
    for w in wanted:
        if w.name in seen:
            raise DataError(f"{w.file.place}: the name {w.name!r} is that of {seen[w.name].place} too")
        seen[w.name] = w.file


def _read_all(wanted: list[Wanted], image_size: tuple[int, int] | None, options: FolderOptions) -> _Read:
    read, found = _Read(), list[_Found]()
    for w in wanted:
        image, reason = examine(w.file, options.plane)
        if image is None or reason:
            taken = () if image is None else image.remarks
            read.aside.append(SetAside(w.name, f"{w.file.place}: {'; '.join((reason, *taken))}"))
            continue
        read.offsets.append(offset(w, image.centre))
        try:
            cut = field_of(w, image, options)
        except DataError as error:
            read.aside.append(SetAside(w.name, str(error)))
            continue
        said = (*image.remarks, *cut.remarks)
        facts = _Facts(cut.scale, image.scale_fault, beam_axes(image, options), image.unit, said)
        found.append(_Found(placed(w, image.centre), read.pile.append(cut.pixels), cut.pixels.shape, facts))
    shape = image_size or commonest([each.shape for each in found]) or (0, 0)
    scale = commonest([round(each.facts.scale, 3) for each in found if np.isfinite(each.facts.scale)])
    for w, row, own_shape, facts in found:
        odd = difference(own_shape, shape, facts.scale, scale, facts.scale_fault)
        if odd is not None:
            read.aside.append(SetAside(w.name, f"{w.file.place}: {odd}"))
            continue
        read.kept.append(w)
        read.rows.append(row)
        read.scales.append(facts.scale)
        read.remarks += [(w.name, remark) for remark in facts.remarks]
        read.beams.append(facts.beam)
        read.units.append(facts.unit)
    return read


def placed(w: Wanted, centre: tuple[float, float]) -> Wanted:
    """Give a source its position: that of the table, else of the middle of its image, else in its name."""
    if np.isfinite(w.ra):
        return w
    ra, dec = centre if np.isfinite(centre[0]) else position_in_name(w.name)
    return replace(w, ra=ra, dec=dec)


def offset(w: Wanted, centre: tuple[float, float]) -> float:
    """Give arcseconds between the position in the table and the middle of the image; NaN if one is not known."""
    return separation(*centre, w.ra, w.dec)


def far_off(offsets: list[float]) -> list[str]:
    """Say that the unit of the positions may be another, where nearly all images are far off theirs.

    Examples
    --------
    >>> far_off([3.0, 5.0e5])
    []
    >>> far_off([5.0e5, 5.0e5, float("nan")])
    ['2 of 2 images are more than a degree off their positions in the table: the unit of its position columns ...']
    """
    known = [off for off in offsets if np.isfinite(off)]
    far = sum(off > FAR for off in known)
    if far < 2 or far < NEARLY_ALL * len(known):
        return []
    return [
        f"{far} of {len(known)} images are more than a degree off their positions in the table: the unit of its "
        "position columns may be wrong (hours or degrees). Write it into the head of the column, as RA (h) or RA (deg)"
    ]


def field_of(w: Wanted, image: FitsImage, options: FolderOptions) -> Field:
    """Give the pixels that are wanted of an image, and what should be known of where they lie.

    Raises
    ------
    DataError
        If the field cannot be cut, its pixels say nothing, or the position in the table is not on the image.
    """
    remarks = [remark for remark in (w.guess, _oddly_placed(w, image, options)) if remark]
    if options.cutout is None and max(image.pixels.shape) > LARGE:
        rows, columns = image.pixels.shape
        remarks.append(
            f"is {rows}x{columns} pixels, of which a network sees the middle only: cut a field out"
        )
    if options.cutout is None:
        return Field(image.pixels, scale_of(image, options.pixel_scale), "", tuple(remarks))
    ra, dec = (w.ra, w.dec) if options.about == "source" and np.isfinite(w.ra) else image.centre
    found = _cut(image, ra, dec, options.cutout)
    if reason := usable(found.pixels):
        raise DataError(f"{image.path}: {reason}")
    if found.coverage < 1:
        remarks.append(f"{found.coverage:.0%} of its field is covered, the rest is blank")
    return Field(found.pixels, found.pixel_scale, found.method, tuple(remarks))


def _cut(image: FitsImage, ra: float, dec: float, spec: CutoutSpec) -> Cutout:
    """Cut a field about the place nearest to a position where whole pixels can be copied, if they can be at all.

    Pixels that are kept have the noise of the image; the place is off by half a pixel at most.
    """
    same = spec.pixel_scale is None or spec.pixel_scale == image.pixel_scale
    if same and image.wcs is not None and np.isfinite(ra):
        middle = (spec.side(image.pixel_scale) - 1) / 2
        x, y = place_of(image, ra, dec)
        if np.isfinite(x) and np.isfinite(y):
            places = (np.array([np.round(place - middle) + middle]) for place in (y, x))
            near = image.positions(*places)
            if np.isfinite(near[0][0]):
                found = cutout(image, float(near[0][0]), float(near[1][0]), spec)
                if found.method == COPIED:
                    return found
    return cutout(image, ra, dec, spec)


def _oddly_placed(w: Wanted, image: FitsImage, options: FolderOptions) -> str:
    """Say what is odd about where a source lies on its image, "" for nothing.

    Raises
    ------
    DataError
        If the position in the table is not on the image.
    """
    in_table = np.isfinite(w.ra)
    where, (ra, dec) = ("manifest", (w.ra, w.dec)) if in_table else ("name", position_in_name(w.name))
    if not np.isfinite(image.centre[0]):
        known = f"that in the {where} is taken, and " if np.isfinite(ra) else ""
        return f"{no_position(image)}; {known}the source is taken to lie in the middle"
    off = separation(*image.centre, ra, dec)
    if not off >= OFF_CENTRE:
        return ""
    said = f"its middle is {distance(off)} off the position in the {where}"
    if not in_table:
        return said
    if options.about == "image":
        return f"{said}; the middle is taken all the same"
    if options.cutout is None and not is_on(image, ra, dec):
        raise DataError(f"{image.path}: {said}, which is not on the image")
    return said if options.cutout is None else f"{said}; the field is cut about that position"


def no_position(image: FitsImage) -> str:
    """Say that an image's header tells no position, and why."""
    why = f" ({image.position_fault})" if image.position_fault else ""
    return f"the header tells no position{why}"


def place_of(image: FitsImage, ra: float, dec: float) -> tuple[float, float]:
    """Give column and row, from 0, of a position in degrees, ICRS; NaN if the image has no such place."""
    rows, columns = image.places(np.array(ra), np.array(dec))
    return float(columns), float(rows)


def is_on(image: FitsImage, ra: float, dec: float) -> bool:
    """Tell whether a position in degrees, ICRS, is on an image with a WCS."""
    x, y = place_of(image, ra, dec)
    rows, columns = image.pixels.shape
    half = 0.5 + TOLERANCE
    return bool(-half <= x <= columns - 1 + half and -half <= y <= rows - 1 + half)


def difference(
    shape: tuple[int, ...], wanted: tuple[int, int], own: float, scale: float | None, fault: str = ""
) -> str | None:
    """Say how an image differs from the others, if it does; `fault` is why its pixel scale is not known."""
    if reason := wrong_size(shape, wanted):
        return reason
    if scale is not None and not np.isfinite(own):
        return f"{unknown_scale(fault)}; others have pixels of {scale:.3g} arcsec"
    if scale is not None and abs(own / scale - 1) > SCALE_TOLERANCE:
        return f"has pixels of {own:.3g} arcsec, expected {scale:.3g}: give a pixel scale to resample it"
    return None


def commonest(values: list[Any]) -> Any:
    """Give the value that stands there most often, of several the first; None if there is none."""
    counts: dict[Any, int] = {}
    for value in values:
        counts[value] = counts.get(value, 0) + 1
    return max(counts, key=lambda value: counts[value]) if counts else None
