"""Apply a stored run to FITS images: a table of source, class and probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rgbench.errors import DataError, SpecError, StoreError
from rgbench.images.fits import FitsImage, read_fits
from rgbench.images.preprocess import central_crop, usable
from rgbench.runs.inputs import ImageSource, prepare
from rgbench.runs.predict import predict_logits
from rgbench.runs.reopen import load_network
from rgbench.runs.tables import table_writer
from rgbench.spec import RunSpec
from rgbench.store.store import RunRecord, Store
from rgbench.store.tables import Predictions

CHUNK = 256
"""Images that are read and classified together; bounds the memory."""
SCALE_TOLERANCE = 0.1
"""Largest difference of pixel scales, as a share, at which a network still sees what it was trained on."""
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
    DataError
        If no FITS file is found, or none can be classified.
    """
    if record.status not in ("complete", "imported") or record.predictions is None:
        raise StoreError(
            f"run {record.run_id} is {record.status}; only a complete or imported run can classify"
        )
    files = find_fits(paths)
    network = load_network(record, store, model, device)
    rows: list[NDArray[np.float64]] = []
    done: list[str] = []
    aside: list[tuple[str, str]] = []
    for start in range(0, len(files), CHUNK):
        pixels, kept = _read(files[start : start + CHUNK], record.spec, aside)
        if not kept:
            continue
        source = ImageSource(pixels, np.full(len(pixels), -1), record.spec, torch.device(device))
        recipe, index = record.spec.recipe, np.arange(len(pixels))
        logits = predict_logits(network, source.plain(index).images(), recipe.precision, recipe.views)
        rows.append(_probabilities(record, logits))
        done += kept
    if not done:
        name, reason = aside[0]
        raise DataError(f"none of {len(files)} files could be classified; the first, {name}: {reason}")
    return Classified(done, record.predictions.classes, np.concatenate(rows), aside)


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
    """Write the classes to a table: CSV, Parquet, VOTable, FITS or another of `rgbench.runs.tables`, by the ending.

    Raises
    ------
    SpecError
        If the ending is none of those, or the file is there and `overwrite` is false.
    """
    check_table_path(path, overwrite)
    write = table_writer(path)
    # The ending stays: some writers choose or add it themselves.
    temporary = path.with_name(f".tmp-{path.name}")
    temporary.unlink(missing_ok=True)
    try:
        write(temporary, result.columns())
        temporary.replace(path)
    except OSError as error:
        raise StoreError(f"{path}: the table cannot be written: {error.strerror or error}") from error


def check_table_path(path: Path, overwrite: bool) -> None:
    """Raise `SpecError` if a table cannot go to a path: before the work, not after it."""
    table_writer(path)
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


def _probabilities(record: RunRecord, logits: NDArray[np.float32]) -> NDArray[np.float64]:
    like = record.predictions
    assert like is not None
    n = len(logits)
    text = np.full(n, "")
    numbers = np.zeros(n, dtype=np.int64)
    table = Predictions(
        record.run_id,
        like.classes,
        like.activation,
        like.label_version,
        text,
        text,
        text,
        text,
        numbers,
        numbers,
        logits,
    )
    return table.probabilities()
