"""Which images of one's own folder are wanted, by its folders or by a table; none is read yet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np

from rgbench.data.own.angles import NOTHING
from rgbench.data.own.files import (
    HDF5_ENDINGS,
    ImageFile,
    by_name,
    ending_of,
    file_stem,
    find_images,
    list_images,
)
from rgbench.data.own.labels import LabelRule
from rgbench.data.own.manifest import CLASS_FOLDERS, FR0, is_original, read_class_labels, read_manifest
from rgbench.data.own.sources import SourceColumns, SourceList, check_word, read_sources
from rgbench.data.own.tabular import listed_names
from rgbench.errors import DataError, SpecError
from rgbench.images.cutout import CutoutSpec
from rgbench.images.limits import check_scale
from rgbench.numbers import counted

ABOUT = ("image", "source")
"""Middles of fields; see `FolderOptions`."""


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
        Middle of that field: "source", the position in the table, to whose source the label belongs (without one,
        the middle of the image), or "image", the middle of each image, whatever the table says.
    plane : int or tuple of int, optional
        Plane of FITS cubes.
    beam : float, optional
        Full width at half maximum of the beam in arcsec, for images whose header does not tell it; flux
        densities need it.
    pixel_scale : float, optional
        Arcsec per pixel of images whose header, if they have one, does not tell it. Without it they are set aside,
        unless none tells it.
    """

    columns: SourceColumns = field(default_factory=SourceColumns)
    labels: LabelRule = field(default_factory=LabelRule)
    cutout: CutoutSpec | None = None
    about: str = "source"
    plane: int | tuple[int, ...] | None = None
    beam: float | None = None
    pixel_scale: float | None = None

    def __post_init__(self) -> None:
        if self.about not in ABOUT:
            raise SpecError(f"about: {self.about!r} was given; legal are {', '.join(ABOUT)}")
        check_scale(self.pixel_scale, "pixel scale (--pixel-scale, image_scale)")


def parse_plane(text: str | None) -> tuple[int, ...] | None:
    """Give the numbers of a plane as people write them; `SpecError` says what is legal.

    Examples
    --------
    >>> parse_plane("0,2"), parse_plane(None)
    ((0, 2), None)
    """
    if text is None:
        return None
    words = [word.strip() for word in text.split(",")]
    if not all(word.isascii() and word.isdigit() for word in words):
        raise SpecError(f"plane: found {text!r}; whole numbers from 0, with commas between them, are legal")
    return tuple(map(int, words))


@dataclass(frozen=True)
class Wanted:
    """A source whose image is to be read; `row` is its place in the table, -1 without one; `guess` what was guessed."""

    name: str
    label: str
    file: ImageFile
    ra: float = float("nan")
    dec: float = float("nan")
    row: int = -1
    guess: str = ""


@dataclass(frozen=True)
class Plan:
    """Sources whose images are to be read, the legal classes (none: as found), and the table, if there is one.

    `remarks` are what a user should know of how the table was read, and of sources without a label.
    """

    wanted: list[Wanted]
    classes: tuple[str, ...]
    sources: SourceList | None = None
    remarks: tuple[str, ...] = ()


def plan_folder(
    root: Path, manifest: Path | str | None, class_labels: Path | str | None, options: FolderOptions
) -> Plan:
    """Tell which images would be read, without reading any; parameters and errors as of `load_folder`."""
    try:
        return _plan(root, manifest, class_labels, options)
    except OSError as error:
        place = error.filename or root
        raise DataError(f"{place}: cannot be looked at: {error.strerror or error}") from error


def _plan(
    root: Path, manifest: Path | str | None, class_labels: Path | str | None, options: FolderOptions
) -> Plan:
    if not root.is_dir() and not (root.is_file() and ending_of(root).lower() in HDF5_ENDINGS):
        what = (
            "is a file; name the folder that it lies in"
            if root.is_file()
            else "there is no such folder of images"
        )
        raise DataError(f"{root}: {what}")
    labels = read_class_labels(class_labels)
    if manifest is not None:
        if _is_original(manifest, class_labels is not None, options):
            return Plan(_from_manifest(root, Path(manifest), labels), _class_names(labels))
        sources = read_sources(manifest, options.columns, options.labels)
        _check_positions(Path(manifest), sources)
        remarks = (*sources.remarks, *_of_labels(Path(manifest), sources, options.columns))
        return Plan(_from_sources(root, Path(manifest), sources), options.labels.classes, sources, remarks)
    rule = options.labels
    if class_labels is not None:
        wanted, classes = _from_class_folders(root, _named(labels)), _class_names(labels)
    else:
        folders = _class_folders(root, rule)
        wanted = _from_class_folders(root, folders) if folders else _from_any_folder(root, rule)
        classes = rule.classes
    if not wanted:
        raise DataError(f"{root}: no FITS image in its folders {', '.join(labels.values())}, nor PNG or HDF5")
    for w in wanted:
        check_word(f"{w.file.place!r}: its name", w.name)
    return Plan(wanted, classes, remarks=_of_folders(wanted))


def _of_labels(manifest: Path, sources: SourceList, asked: SourceColumns) -> Iterator[str]:
    """Say which sources of a table have no label: those that were to be left out, and those of empty cells."""
    if not sources.columns.label:
        if asked.label is None:
            among = f" among {listed_names(list(sources.extra))}" if sources.extra else ""
            yield (
                f"{manifest}: no column of labels was found{among}, so no source has a class. Say which it is: "
                "--column label=COLUMN, in a study columns = { label = 'COLUMN' }"
            )
        return
    for word, number in sources.left_out.items():
        yield (
            f"{counted(number, 'source')} with the label {word!r} {_be(number)} left out, as asked"
            if number
            else f"{manifest}: no source has the label {word!r}, which was to be left out"
        )
    empty = int((sources.label == "").sum()) - sum(sources.left_out.values())
    if empty:
        yield (
            f"{empty} of {counted(len(sources), 'source')} in the table {_be(empty)} without a label, so not used in "
            f"training and tests. An empty cell counts as no label, and so do {', '.join(NOTHING[1:])}"
        )


def _be(number: int) -> str:
    return "is" if number == 1 else "are"


def _of_folders(wanted: list[Wanted]) -> tuple[str, ...]:
    """Say how many images are in no folder of a class, where others are."""
    empty = sum(not w.label for w in wanted)
    if empty in (0, len(wanted)):
        return ()
    return (
        f"{empty} of {counted(len(wanted), 'image')} {_be(empty)} in no folder that is named as a "
        "class, so without a label: not used in training and tests",
    )


def _named(labels: dict[str, str]) -> dict[str, str]:
    """Give the class by folder."""
    return {folder: CLASS_FOLDERS.get(folder, folder) for folder in labels.values()}


def _class_names(labels: dict[str, str]) -> tuple[str, ...]:
    return tuple(_named(labels).values())


def _check_positions(manifest: Path, sources: SourceList) -> None:
    """Raise `DataError` if all sources have one position: they would be one sky group, which no split divides."""
    if len(sources) > 1 and np.ptp(sources.ra) == 0 and np.ptp(sources.dec) == 0:
        raise DataError(
            f"{manifest}: all {len(sources)} rows have one position, RA {sources.ra[0]:g}, Dec {sources.dec[0]:g} "
            "degrees; each source needs its own"
        )


def _is_original(manifest: Path | str, stated: bool, options: FolderOptions) -> bool:
    """Tell whether a table is one of the testbed's manifests; what is mapped is none."""
    mapped = options.columns != SourceColumns() or options.labels != LabelRule()
    return not mapped and is_original(manifest, stated)


def _from_manifest(root: Path, manifest: Path, labels: dict[str, str]) -> list[Wanted]:
    rows = [(n, labels[label[:1]]) for n, label in read_manifest(manifest, labels) if label != FR0]
    images = by_name(find_images([root]))
    wanted = []
    for name, folder in rows:
        there = [file for file in images.get(name, []) if file.path.parent == root / folder]
        file = _one(name, there or images.get(name, []), root / folder)
        wanted.append(Wanted(name, CLASS_FOLDERS.get(folder, folder), file))
    return wanted


def _class_folders(root: Path, rule: LabelRule) -> dict[str, str]:
    """Give the class by folder, of those in the root that are named as one, in the order of the classes."""
    folders = sorted(path.name for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    found = {folder: rule.class_of(folder) for folder in folders if rule.class_of(folder)}
    return {folder: name for wanted in rule.classes for folder, name in found.items() if name == wanted}


def _from_class_folders(root: Path, folders: dict[str, str]) -> list[Wanted]:
    return [
        Wanted(file.name, name, file)
        for folder, name in folders.items()
        for file in list_images(sorted((root / folder).glob("*")))
    ]


def _from_any_folder(root: Path, rule: LabelRule) -> list[Wanted]:
    """Take all images; the first folder on the way to one that is named as a class gives its label."""
    wanted = []
    for file in find_images([root]):
        parts = file.path.relative_to(root).parts[:-1] if root.is_dir() else ()
        names = (rule.class_of(part) for part in parts)
        wanted.append(Wanted(file.name, next((name for name in names if name), ""), file))
    return wanted


def _from_sources(root: Path, manifest: Path, sources: SourceList) -> list[Wanted]:
    found = find_images([root])
    images = by_name(found)
    wanted = []
    for row, (name, path) in enumerate(zip(sources.name.tolist(), sources.path.tolist(), strict=True)):
        file, guess = _by_path(root, manifest, path) if path else None, ""
        if file is None:
            like = _like(path, images.get(file_stem(path), [])) if path else images.get(file_stem(name), [])
            file = _one(name, like, root, path)
            guess = (
                f"{path} of the table is not there; {file.place} is taken" if path and len(like) == 1 else ""
            )
        ra, dec = float(sources.ra[row]), float(sources.dec[row])
        wanted.append(Wanted(name, str(sources.label[row]), file, ra, dec, row, guess))
    return wanted


def _by_path(root: Path, manifest: Path, path: str) -> ImageFile | None:
    """Give the file of a path of the table: in the folder, else beside the table; None if in neither.

    A file that is named is taken whatever its ending.
    """
    for folder in (root, manifest.parent):
        for place in dict.fromkeys((folder / path, folder / path.replace("\\", "/"))):
            if _is_file(place):
                found = find_images([place])
                return found[0] if len(found) == 1 else None
    return None


def _is_file(path: Path) -> bool:
    """Tell whether there is such a file; a path that is too long, or that may not be looked at, is none."""
    try:
        return path.is_file()
    except OSError:
        return False


def _like(path: str, files: list[ImageFile]) -> list[ImageFile]:
    """Keep of files of one stem those that share most of the end of a path with it, its ending first."""
    parts = PurePosixPath(path.replace("\\", "/")).parts[::-1]

    def shared(file: ImageFile) -> int:
        pairs = zip(parts, file.path.parts[::-1], strict=False)
        return next((n for n, (one, other) in enumerate(pairs) if one != other), len(parts))

    most = max(map(shared, files), default=0)
    return [file for file in files if shared(file) == most]


def _one(name: str, files: list[ImageFile], folder: Path, path: str = "") -> ImageFile:
    """Give the only file; if there is none or more, one that is not there, so that it is set aside."""
    if len(files) == 1:
        return files[0]
    several = f"its name is that of {' and '.join(file.place for file in files)}" if files else ""
    return ImageFile(name, folder / (path or (name if ending_of(name) else f"{name}.fits")), absent=several)
