"""One's own images in the original's layout: ``<data>/<CLASS>/<name>.fits``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rgbench.data.catalogue import CLASSES, Card, Catalogue, DataSet, Flag
from rgbench.data.leakage import sky_groups
from rgbench.data.manifest import CLASS_FOLDERS, FR0, read_class_labels, read_manifest
from rgbench.errors import DataError
from rgbench.images.fits import read_fits
from rgbench.images.preprocess import usable

ENDINGS = (".fits", ".fit", ".fits.gz", ".fit.gz")
_POSITION = re.compile(r"^J(\d{2})(\d{2})(\d{2}(?:\.\d+)?)([+-])(\d{2})(\d{2})(\d{2}(?:\.\d+)?)$")
_WRITTEN = re.compile(r"_(rot_\d+|clipped)$")
"""Files that the original wrote beside its images."""


def load_folder(
    data_path: Path | str,
    manifest: Path | str | None = None,
    class_labels: Path | str | None = None,
    image_size: tuple[int, int] | None = None,
) -> DataSet:
    """Load FITS images from a folder of class folders.

    Parameters
    ----------
    data_path : path
        Folder that holds COMP, FRI, FRII and BENT, or as `class_labels` says.
    manifest : path, optional
        CSV of names and labels: only its sources are taken, in its order.
    class_labels : path, optional
        ``class_labels.txt``; by default the original's four classes.
    image_size : (int, int), optional
        Rows and columns; an image of another shape is set aside. By default the commonest shape.

    Returns
    -------
    DataSet
        Files that are missing, unreadable, of the wrong shape, all NaN or constant are in `set_aside`
        with the reason. FR0 sources (label 1F) are left out, as in the original.

    Raises
    ------
    DataError
        If the folder or manifest is wrong, or no image can be used.
    """
    root = Path(data_path)
    if not root.is_dir():
        raise DataError(f"{root}: there is no such folder of images")
    labels = read_class_labels(class_labels)
    wanted = _from_manifest(root, Path(manifest), labels) if manifest else _from_folders(root, labels)
    folders = list(labels.values())
    classes = tuple(CLASS_FOLDERS.get(name, name) for name in folders)
    common = set(classes) == set(CLASSES)
    read = _read_all(wanted, image_size)
    if not read.names:
        first = f"; the first, {read.aside[0][0]}: {read.aside[0][1]}" if read.aside else ""
        raise DataError(f"{root}: none of {len(wanted)} images can be used{first}")
    order = CLASSES if common else classes
    label = np.array([order.index(classes[folders.index(f)]) for f in read.folders], dtype=np.int64)
    ra, dec = np.array([parse_name(name) for name in read.names], dtype=np.float64).T
    catalogue = Catalogue(
        np.array(read.names), ra, dec, label, sky_groups(ra, dec), np.array(read.paths), np.array(read.flags)
    )
    card = Card(name=root.name or "folder", title=f"images in {root}", classes=order)
    return DataSet(card, catalogue, np.stack(read.images), set_aside=tuple(read.aside))


def parse_name(name: str) -> tuple[float, float]:
    """Give the position in a name of the form JHHMMSS.ss+DDMMSS.s, degrees; NaN for other names.

    Examples
    --------
    >>> parse_name("J123000.00-013000.0")
    (187.5, -1.5)
    """
    match = _POSITION.match(name)
    if match is None:
        return float("nan"), float("nan")
    hours, minutes, seconds, sign, degrees, arcmin, arcsec = match.groups()
    ra = 15 * (int(hours) + int(minutes) / 60 + float(seconds) / 3600)
    dec = int(degrees) + int(arcmin) / 60 + float(arcsec) / 3600
    return ra, -dec if sign == "-" else dec


class _Read:
    """What has been read of a folder."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.folders: list[str] = []
        self.paths: list[str] = []
        self.flags: list[int] = []
        self.images: list[NDArray[np.float32]] = []
        self.aside: list[tuple[str, str]] = []


def _from_manifest(root: Path, manifest: Path, labels: dict[str, str]) -> list[tuple[str, str, Path]]:
    rows = [(n, labels[label[:1]]) for n, label in read_manifest(manifest, labels) if label != FR0]
    return [(name, folder, _find(root / folder, name)) for name, folder in rows]


def _from_folders(root: Path, labels: dict[str, str]) -> list[tuple[str, str, Path]]:
    wanted = []
    for folder in labels.values():
        for path in sorted((root / folder).glob("*")):
            ending = next((e for e in sorted(ENDINGS, key=len, reverse=True) if path.name.endswith(e)), None)
            if ending is not None and not _WRITTEN.search(path.name[: -len(ending)]):
                wanted.append((path.name[: -len(ending)], folder, path))
    if not wanted:
        raise DataError(f"{root}: no FITS image in its folders {', '.join(labels.values())}")
    seen: dict[str, Path] = {}
    for name, _, path in wanted:
        if name in seen:
            raise DataError(f"{path}: the name {name!r} is that of {seen[name]} too")
        seen[name] = path
    return wanted


def _find(folder: Path, name: str) -> Path:
    for ending in ENDINGS:
        path = folder / f"{name}{ending}"
        if path.exists():
            return path
    return folder / f"{name}{ENDINGS[0]}"


def _read_all(wanted: list[tuple[str, str, Path]], image_size: tuple[int, int] | None) -> _Read:
    read, found = _Read(), []
    for name, folder, path in wanted:
        try:
            if not path.exists():
                raise DataError(f"{path}: there is no such file")
            image = read_fits(path).pixels
        except DataError as error:
            read.aside.append((name, str(error)))
            continue
        reason = usable(image)
        if reason is None:
            found.append((name, folder, path, image))
        else:
            read.aside.append((name, f"{path}: {reason}"))
    shape = image_size or _commonest([image.shape for *_, image in found])
    for name, folder, path, image in found:
        if image.shape != shape:
            rows, columns = image.shape
            read.aside.append((name, f"{path}: is {rows}x{columns} pixels, expected {shape[0]}x{shape[1]}"))
            continue
        read.names.append(name)
        read.folders.append(folder)
        read.paths.append(str(path))
        read.flags.append(int(Flag.BLANKED) if np.isnan(image).any() else 0)
        read.images.append(image)
    return read


def _commonest(shapes: list[Any]) -> tuple[int, int]:
    return max(set(shapes), key=shapes.count) if shapes else (0, 0)
