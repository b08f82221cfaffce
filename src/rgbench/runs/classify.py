"""Apply a stored run to FITS images: a table of source, class and probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rgbench.data.own.files import ImageFile, SetAside, examine, file_stem, find_images
from rgbench.errors import DataError, SpecError
from rgbench.images.fits import ENDINGS as FITS_ENDINGS
from rgbench.images.fits import FitsImage
from rgbench.images.preprocess import central_crop, usable
from rgbench.runs.inputs import prepare
from rgbench.runs.output_tables import table_writer
from rgbench.runs.reopen import StoredRun
from rgbench.spec import RunSpec
from rgbench.store.files import into_place
from rgbench.store.store import RunRecord, Store

CHUNK = 256
"""Images that are read and classified together; bounds the memory."""
SCALE_TOLERANCE = 0.1
"""Largest difference of pixel scales, as a share, at which a network still sees what it was trained on."""


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
    set_aside : list of SetAside
        Path and reason of each image that was not classified.
    """

    path: list[str]
    classes: tuple[str, ...]
    probabilities: NDArray[np.float64]
    set_aside: list[SetAside]

    def columns(self) -> dict[str, NDArray[Any]]:
        """Give the table's columns: source, path, class, and one probability per class."""
        winners = (
            np.array(self.classes)[self.probabilities.argmax(axis=1)] if self.path else np.array([], str)
        )
        table = {
            "source": np.array([file_stem(p) for p in self.path], dtype=str),
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
        Files, or folders that are searched for FITS files, subfolders included, as
        `rgbench.data.own.files.find_images` does; PNG and HDF5, which tell no pixel scale, only by name.
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
    files = find_images(paths, FITS_ENDINGS)
    if not files:
        raise DataError(f"{', '.join(map(str, paths))}: no FITS file ({', '.join(FITS_ENDINGS)}) there")
    rows: list[NDArray[np.float64]] = []
    done: list[str] = []
    aside: list[SetAside] = []
    for start in range(0, len(files), CHUNK):
        pixels, kept = _read(files[start : start + CHUNK], run.spec, aside)
        if kept:
            rows.append(run.predict(pixels, prepared=True))
            done += kept
    if not done:
        name, reason = aside[0]
        raise DataError(f"none of {len(files)} files could be classified; the first, {name}: {reason}")
    return Classified(done, run.classes, np.concatenate(rows), aside)


def write_table(path: Path, result: Classified, overwrite: bool = False) -> None:
    """Write the classes to a table: by its ending CSV, Parquet, VOTable, FITS or one of `rgbench.runs.output_tables`.

    Raises
    ------
    SpecError
        If the ending is none of those, or the file is there and `overwrite` is false.
    StoreError
        If it cannot be written.
    """
    check_table_path(path, overwrite)
    write = table_writer(path)
    with into_place(path) as temporary:
        write(temporary, result.columns())


def check_table_path(path: Path, overwrite: bool) -> None:
    """Raise `SpecError` if a table cannot go to a path: before the work, not after it."""
    table_writer(path)
    if path.exists() and not overwrite:
        raise SpecError(f"--out {path}: is there already; choose another name, or give --overwrite")


def _read(
    files: list[ImageFile], spec: RunSpec, aside: list[SetAside]
) -> tuple[NDArray[np.float32], list[str]]:
    """Read and prepare images, each by itself; those that cannot be used go to `aside`."""
    fields, kept = [], []
    for file in files:
        image, reason = examine(file)
        if image is not None and not reason:
            frame = spec.data.frame
            pixels = image.pixels if frame is None else central_crop(image.pixels, frame)
            reason = (
                usable(pixels) or _too_small(pixels, spec.images.field) or _other_scale(image, spec) or ""
            )
        if reason:
            aside.append(SetAside(file.place, reason))
            continue
        fields.append(central_crop(prepare(pixels[None], spec)[0], spec.images.field))
        kept.append(file.place)
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
