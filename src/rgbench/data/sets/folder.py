"""One's own images: a folder of FITS, PNG or HDF5, with or without class folders and a table of sources."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rgbench.data.angles import position_in_name
from rgbench.data.catalogue import CLASSES, Card, Catalogue, DataSet, Flag
from rgbench.data.files import HDF5_ENDINGS, ImageFile, by_name, ending_of, list_images, read_image
from rgbench.data.leakage import sky_groups
from rgbench.data.manifest import CLASS_FOLDERS, FR0, is_original, read_class_labels, read_manifest
from rgbench.data.sources import LabelRule, SourceColumns, SourceList, file_stem, read_sources
from rgbench.errors import DataError, SpecError
from rgbench.images.cutout import CutoutSpec, cutout
from rgbench.images.fits import FitsImage
from rgbench.images.preprocess import usable

SCALE_TOLERANCE = 0.01
"""Fraction by which pixel scales may differ and count as one."""
ABOUT = ("image", "source")
_POSITION = re.compile(r"^J(\d{2})(\d{2})(\d{2}(?:\.\d+)?)([+-])(\d{2})(\d{2})(\d{2}(?:\.\d+)?)$")


@dataclass(frozen=True)
class FolderOptions:
    """How one's own folder and table are to be read.

    Attributes
    ----------
    columns : SourceColumns
        Columns of the table that its reader is not to find by their names.
    labels : LabelRule
        Legal classes, and what labels mean.
    cutout : CutoutSpec, optional
        Cut a field of this size, and resample it to this pixel scale, out of every image; without one,
        images of another shape or pixel scale than most are set aside.
    about : str
        Middle of that field: "image", of each image, which keeps the pixels of images that have the pixel
        scale already, or "source", the position in the table or else in the name.
    plane : int or tuple of int, optional
        Plane of FITS cubes.
    """

    columns: SourceColumns = field(default_factory=SourceColumns)
    labels: LabelRule = field(default_factory=LabelRule)
    cutout: CutoutSpec | None = None
    about: str = "image"
    plane: int | tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if self.about not in ABOUT:
            raise SpecError(f"about: {self.about!r} was given; legal are {', '.join(ABOUT)}")


@dataclass(frozen=True)
class Wanted:
    """A source whose image is to be read; `row` is its place in the table, -1 without one."""

    name: str
    label: str
    file: ImageFile
    ra: float = float("nan")
    dec: float = float("nan")
    row: int = -1


@dataclass(frozen=True)
class Plan:
    """Sources whose images are to be read, the legal classes (none: as found), and the table, if there is one."""

    wanted: list[Wanted]
    classes: tuple[str, ...]
    sources: SourceList | None = None


@dataclass
class _Read:
    """What has been read of a folder."""

    kept: list[Wanted] = field(default_factory=list)
    images: list[NDArray[np.float32]] = field(default_factory=list)
    scales: list[float] = field(default_factory=list)
    aside: list[tuple[str, str]] = field(default_factory=list)


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
        Folder that holds COMP, FRI, FRII and BENT, or as `class_labels` says; or any other folder, of which
        folders that are named as a class give labels, and other images have none; or an HDF5 file.
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
        Files that are missing, unreadable, of the wrong shape or pixel scale, all NaN or constant are in
        `set_aside` with the reason. FR0 sources (label 1F) of the testbed's manifests are left out, as in the
        original. A position is that of the table, else that in the name. A source without label has -1.

    Raises
    ------
    DataError
        If the folder or manifest is wrong, or no image can be used.
    SpecError
        If an option is wrong.
    """
    root, options = Path(data_path), options or FolderOptions()
    if not root.is_dir() and not (root.is_file() and ending_of(root).lower() in HDF5_ENDINGS):
        raise DataError(f"{root}: there is no such folder of images")
    plan = plan_folder(root, manifest, class_labels, options)
    if manifest is None:
        _check_names(plan.wanted)
    read = _read_all(plan.wanted, image_size, options)
    if not read.kept:
        first = f"; the first, {read.aside[0][0]}: {read.aside[0][1]}" if read.aside else ""
        raise DataError(f"{root}: none of {len(plan.wanted)} images can be used{first}")
    return _assemble(root, read, plan)


def plan_folder(
    root: Path, manifest: Path | str | None, class_labels: Path | str | None, options: FolderOptions
) -> Plan:
    """Tell which images would be read, without reading any; parameters and errors as of `load_folder`."""
    labels = read_class_labels(class_labels)
    if manifest is not None:
        if _is_original(manifest, labels, options):
            return Plan(_from_manifest(root, Path(manifest), labels), _class_names(labels))
        sources = read_sources(manifest, options.columns, options.labels)
        return Plan(_from_sources(root, Path(manifest), sources), options.labels.classes, sources)
    if class_labels is not None or any((root / folder).is_dir() for folder in labels.values()):
        wanted, classes = _from_class_folders(root, labels), _class_names(labels)
        nothing = f"no FITS image in its folders {', '.join(labels.values())}"
    else:
        wanted, classes = _from_any_folder(root, options.labels), options.labels.classes
        nothing = f"no FITS image in its folders {', '.join(labels.values())}, nor elsewhere in it"
    if not wanted:
        raise DataError(f"{root}: {nothing}")
    return Plan(wanted, classes)


def parse_name(name: str) -> tuple[float, float]:
    """Give the position in a name of the form JHHMMSS.ss+DDMMSS.s, degrees; NaN for other names.

    Examples
    --------
    >>> parse_name("J123000.00-013000.0")
    (187.5, -1.5)
    """
    if _POSITION.match(name) is None:
        return float("nan"), float("nan")
    return position_in_name(name)


def _assemble(root: Path, read: _Read, plan: Plan) -> DataSet:
    kept = read.kept
    order = plan.classes or tuple(sorted({w.label for w in kept} - {""}))
    order = CLASSES if set(order) == set(CLASSES) else order
    label = np.array([order.index(w.label) if w.label else -1 for w in kept], dtype=np.int64)
    found = [(w.ra, w.dec) if np.isfinite(w.ra) else position_in_name(w.name) for w in kept]
    ra, dec = np.array(found, dtype=np.float64).T
    flags = np.array([int(Flag.BLANKED) if np.isnan(image).any() else 0 for image in read.images])
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
    scales = np.array(read.scales)
    scale = float(np.median(scales)) if np.isfinite(scales).all() else float("nan")
    card = Card(name=root.stem or "folder", title=f"images in {root}", classes=order, pixel_scale=scale)
    return DataSet(card, catalogue, np.stack(read.images), set_aside=tuple(read.aside))


def _extra(sources: SourceList | None, rows: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
    if sources is None:
        return {}
    columns = {name: column[rows] for name, column in sources.extra.items()}
    for name, column in (("redshift", sources.redshift), ("angular_size", sources.size)):
        if np.isfinite(column).any():
            columns[name] = column[rows]
    return columns


def _class_names(labels: dict[str, str]) -> tuple[str, ...]:
    return tuple(CLASS_FOLDERS.get(folder, folder) for folder in labels.values())


def _is_original(manifest: Path | str, labels: dict[str, str], options: FolderOptions) -> bool:
    """Tell whether a table is one of the testbed's manifests; what is mapped is none."""
    mapped = options.columns != SourceColumns() or options.labels != LabelRule()
    return not mapped and is_original(manifest, labels)


def all_images(root: Path) -> list[ImageFile]:
    """List the images of a folder and of all in it, or of an HDF5 file."""
    return list_images([root] if root.is_file() else sorted(root.rglob("*")))


def _from_manifest(root: Path, manifest: Path, labels: dict[str, str]) -> list[Wanted]:
    rows = [(n, labels[label[:1]]) for n, label in read_manifest(manifest, labels) if label != FR0]
    images = by_name(all_images(root))
    wanted = []
    for name, folder in rows:
        there = [file for file in images.get(name, []) if file.path.parent == root / folder]
        file = _one(name, there or images.get(name, []), root / folder)
        wanted.append(Wanted(name, CLASS_FOLDERS.get(folder, folder), file))
    return wanted


def _from_class_folders(root: Path, labels: dict[str, str]) -> list[Wanted]:
    wanted = []
    for folder in labels.values():
        files = list_images(sorted((root / folder).glob("*")))
        wanted += [Wanted(file.name, CLASS_FOLDERS.get(folder, folder), file) for file in files]
    return wanted


def _from_any_folder(root: Path, rule: LabelRule) -> list[Wanted]:
    """Take all images; the first folder on the way to one that is named as a class gives its label."""
    wanted = []
    for file in all_images(root):
        parts = file.path.relative_to(root).parts[:-1] if root.is_dir() else ()
        names = (rule.class_of(part) for part in parts)
        wanted.append(Wanted(file.name, next((name for name in names if name), ""), file))
    return wanted


def _check_names(wanted: list[Wanted]) -> None:
    seen: dict[str, ImageFile] = {}
    for w in wanted:
        if w.name in seen:
            raise DataError(f"{w.file.place}: the name {w.name!r} is that of {seen[w.name].place} too")
        seen[w.name] = w.file


def _from_sources(root: Path, manifest: Path, sources: SourceList) -> list[Wanted]:
    images = by_name(all_images(root))
    wanted = []
    for row, (name, path) in enumerate(zip(sources.name.tolist(), sources.path.tolist(), strict=True)):
        file = _by_path(root, manifest, path) if path else None
        file = file or _one(name, images.get(file_stem(path or name), []), root, path)
        ra, dec = float(sources.ra[row]), float(sources.dec[row])
        wanted.append(Wanted(name, str(sources.label[row]), file, ra, dec, row))
    return wanted


def _by_path(root: Path, manifest: Path, path: str) -> ImageFile | None:
    """Give the file of a path of the table: in the folder, else beside the table; None if in neither."""
    for folder in (root, manifest.parent):
        if (folder / path).is_file():
            found = list_images([folder / path])
            if len(found) == 1:
                return found[0]
    return None


def _one(name: str, files: list[ImageFile], folder: Path, path: str = "") -> ImageFile:
    """Give the only file; if there is none or more, one that is not there, so that it is set aside."""
    if len(files) == 1:
        return files[0]
    if files:
        return ImageFile(name, Path(" and ".join(file.place for file in files)))
    return ImageFile(name, folder / (path or f"{name}.fits"))


def _read_all(wanted: list[Wanted], image_size: tuple[int, int] | None, options: FolderOptions) -> _Read:
    read, found = _Read(), []
    for w in wanted:
        try:
            image = read_image(w.file, options.plane)
            pixels, scale, _ = field_of(w, image, options)
        except DataError as error:
            read.aside.append((w.name, str(error)))
            continue
        reason = usable(pixels)
        if reason is None:
            found.append((w, pixels, scale))
        else:
            read.aside.append((w.name, f"{w.file.place}: {reason}"))
    shape = image_size or commonest([pixels.shape for _, pixels, _ in found]) or (0, 0)
    scale = commonest([round(s, 3) for _, _, s in found if np.isfinite(s)])
    for w, pixels, own in found:
        reason = difference(pixels.shape, shape, own, scale)
        if reason is not None:
            read.aside.append((w.name, f"{w.file.place}: {reason}"))
            continue
        read.kept.append(w)
        read.images.append(pixels)
        read.scales.append(own)
    return read


def field_of(w: Wanted, image: FitsImage, options: FolderOptions) -> tuple[NDArray[np.float32], float, str]:
    """Give the pixels that are wanted of an image, their scale (arcsec), and how they were cut; "" if not."""
    if options.cutout is None:
        return image.pixels, image.pixel_scale, ""
    ra, dec = image.centre
    if options.about == "source":
        ra, dec = (w.ra, w.dec) if np.isfinite(w.ra) else position_in_name(w.name)
    found = cutout(image, ra, dec, options.cutout)
    return found.pixels, found.pixel_scale, found.method


def difference(
    shape: tuple[int, ...], wanted: tuple[int, int], own: float, scale: float | None
) -> str | None:
    """Say how an image differs from the others, if it does."""
    if shape != tuple(wanted):
        return f"is {shape[0]}x{shape[1]} pixels, expected {wanted[0]}x{wanted[1]}"
    if scale is not None and abs(own / scale - 1) > SCALE_TOLERANCE:
        return f"has pixels of {own:.3g} arcsec, expected {scale:.3g}: give a pixel scale to resample it"
    return None


def commonest(values: list[Any]) -> Any:
    """Give the value that stands there most often, of several the first; None if there is none."""
    counts: dict[Any, int] = {}
    for value in values:
        counts[value] = counts.get(value, 0) + 1
    return max(counts, key=lambda value: counts[value]) if counts else None
