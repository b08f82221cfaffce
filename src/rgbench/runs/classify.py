"""Apply a stored run to FITS images: a table of source, class and probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from astropy.table import Table
from numpy.typing import NDArray

from rgbench.errors import DataError, SpecError
from rgbench.images.fits import FitsImage, read_fits
from rgbench.images.preprocess import central_crop, usable
from rgbench.runs.inputs import prepare
from rgbench.runs.reopen import StoredRun
from rgbench.spec import RunSpec
from rgbench.store.files import into_place, write_parquet
from rgbench.store.store import RunRecord, Store

CHUNK = 256
"""Images that are read and classified together; bounds the memory."""
SCALE_TOLERANCE = 0.1
"""Largest difference of pixel scales, as a share, at which a network still sees what it was trained on."""
ENDINGS = (".csv", ".parquet", ".vot", ".xml", ".fits")
FITS_ENDINGS = (".fits", ".fit", ".fits.gz", ".fit.gz")


@dataclass(frozen=True)
class Classified:
    """Classes of images, and what could not be classified.

    Attributes
    ----------
    path : list of str
        Path of each classified image.
    classes : tuple of str
        Class names, in the order of the columns of `probabilities`.
    probabilities : ndarray of float64, shape (n, n_classes)
        Class probabilities.
    set_aside : list of (str, str)
        Path and reason of each image that was not classified.
    """

    path: list[str]
    classes: tuple[str, ...]
    probabilities: NDArray[np.float64]
    set_aside: list[tuple[str, str]]

    def columns(self) -> dict[str, NDArray[Any]]:
        """Give the table's columns: source, path, class, and one probability per class."""
        winners = (
            np.array(self.classes)[self.probabilities.argmax(axis=1)] if self.path else np.array([], str)
        )
        table = {
            "source": np.array([source_name(Path(p)) for p in self.path], dtype=str),
            "path": np.array(self.path, dtype=str),
            "class": winners,
        }
        return table | {f"p_{name}": self.probabilities[:, k] for k, name in enumerate(self.classes)}


def classify(
    record: RunRecord, store: Store, paths: Sequence[Path | str], model: str = "best", device: str = "cpu"
) -> Classified:
    """Classify FITS images with the network of a stored run.

    Parameters
    ----------
    record : RunRecord
        A complete run.
    store : Store
        The store that holds its weights.
    paths : sequence of path
        FITS files, or folders that are searched for them, subfolders included.
    model : {"best", "final"}
        Which weights.
    device : str
        A torch device.

    Returns
    -------
    Classified
        Classes and probabilities, and the files set aside with their reasons. Images are prepared
        as the run's training images were: one that is larger is cut to its centre, one of another pixel
        scale is set aside.

    Raises
    ------
    SpecError
        If the run is not complete, or there is no such model.
    DataError
        If no FITS file is found, or none can be classified.
    DeviceError
        If the device is not there.
    """
    run = StoredRun(record, store, model, device)
    files = find_fits(paths)
    rows: list[NDArray[np.float64]] = []
    done: list[str] = []
    aside: list[tuple[str, str]] = []
    for start in range(0, len(files), CHUNK):
        pixels, kept = _read(files[start : start + CHUNK], run.spec, aside)
        if kept:
            rows.append(run.predict(pixels, prepared=True))
            done += kept
    if not done:
        name, reason = aside[0]
        raise DataError(f"none of {len(files)} files could be classified; the first, {name}: {reason}")
    return Classified(done, run.classes, np.concatenate(rows), aside)


def find_fits(paths: Sequence[Path | str]) -> list[Path]:
    """List FITS files: those given, and those in the folders given, sorted; `DataError` if none."""
    found: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            found += sorted(p for p in path.rglob("*") if p.name.lower().endswith(FITS_ENDINGS))
        elif path.exists():
            found.append(path)
        else:
            raise DataError(f"{path}: there is no such file or folder")
    if not found:
        raise DataError(f"{', '.join(map(str, paths))}: no FITS file ({', '.join(FITS_ENDINGS)}) there")
    return found


def write_table(path: Path, result: Classified, overwrite: bool = False) -> None:
    """Write the classes to a table: CSV, Parquet, VOTable or FITS, by the ending.

    Raises
    ------
    SpecError
        If the ending is none of those, or the file is there and `overwrite` is false.
    StoreError
        If it cannot be written.
    """
    check_table_path(path, overwrite)
    columns = result.columns()
    if path.suffix == ".parquet":
        write_parquet(path, pa.table({k: pa.array(v.tolist()) for k, v in columns.items()}))
        return
    formats = {".csv": "ascii.csv", ".vot": "votable", ".xml": "votable", ".fits": "fits"}
    with into_place(path) as temporary:
        Table(columns).write(temporary, format=formats[path.suffix], overwrite=True)


def check_table_path(path: Path, overwrite: bool) -> None:
    """Raise `SpecError` if a table cannot go to a path: before the work, not after it."""
    if path.suffix not in ENDINGS:
        raise SpecError(f"--out {path}: the ending is none of {', '.join(ENDINGS)}")
    if path.exists() and not overwrite:
        raise SpecError(f"--out {path}: is there already; choose another name, or give --overwrite")


def source_name(path: Path) -> str:
    """Give the source's name: the file's, without its FITS ending.

    Examples
    --------
    >>> source_name(Path("FRII/J104312.34+123456.7.fits.gz"))
    'J104312.34+123456.7'
    """
    for ending in sorted(FITS_ENDINGS, key=len, reverse=True):
        if path.name.lower().endswith(ending):
            return path.name[: -len(ending)]
    return path.name


def _read(
    files: list[Path], spec: RunSpec, aside: list[tuple[str, str]]
) -> tuple[NDArray[np.float32], list[str]]:
    """Read and prepare images, each by itself; those that cannot be used go to `aside`."""
    fields, kept = [], []
    for path in files:
        try:
            image = read_fits(path)
        except DataError as error:
            aside.append((str(path), str(error).removeprefix(f"{path}: ")))
            continue
        pixels = image.pixels if spec.data.frame is None else central_crop(image.pixels, spec.data.frame)
        reason = usable(pixels) or _too_small(pixels, spec.images.field) or _other_scale(image, spec)
        if reason:
            aside.append((str(path), reason))
            continue
        fields.append(central_crop(prepare(pixels[None], spec)[0], spec.images.field))
        kept.append(str(path))
    return np.stack(fields) if fields else np.zeros((0, 0, 0), dtype=np.float32), kept


def _too_small(image: NDArray[np.float32], field: int) -> str | None:
    if min(image.shape) >= field:
        return None
    rows, columns = image.shape
    return f"is {rows}x{columns} pixels; the network was trained on fields of {field}x{field}"


def _other_scale(image: FitsImage, spec: RunSpec) -> str | None:
    ours = spec.data.pixel_scale
    if ours is None or not np.isfinite(image.pixel_scale):
        return None
    if abs(np.log(image.pixel_scale / ours)) <= SCALE_TOLERANCE:
        return None
    return f"has pixels of {image.pixel_scale:.2f} arcsec; the network was trained on {ours:.2f} arcsec"
