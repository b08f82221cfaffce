"""What a network looks at, as it is kept beside a run: maps, embeddings, effective receptive field."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rgbench.errors import StoreError, check_regular, one_line, shown
from rgbench.store.files import check_version, write_bytes
from rgbench.store.store import Store

LOOKS_FILE = "looks.npz"
"""In the directory of the run."""
VERSION = 1

Floats = NDArray[np.floating[Any]]


_AXES: Mapping[str, Mapping[str, int]] = MappingProxyType(
    {
        "shown": {"shown": 1, "label": 1, "target": 1, "likeness": 1, "inputs": 3, "maps": 3},
        "sources": {"sources": 1, "source_label": 1, "points": 2},
        "classes": {"classes": 1},
        "field": {"field": 2},
    }
)
"""How many axes the arrays of a file have; those of one group are equally long."""


@dataclass(frozen=True)
class Looks:
    """What one network looks at.

    Attributes
    ----------
    run_id, method : str
        The run; how the maps were made, one of `rgbench.diagnostics.attribution.METHODS`.
    classes : ndarray of str, shape (k,)
        Class names.
    shown : ndarray of str, shape (m,)
        Sources with a map.
    label, target : ndarray of int64, shape (m,)
        Their classes (-1 where not known), and the class that the map explains: the one that the network gives.
    inputs, maps : ndarray of float32, shape (m, h, w)
        The prepared image, and the map over it in the unit of the method; row 0 is the south edge.
    likeness : ndarray of float64, shape (m,)
        Rank correlation of the map with that of the same network with fresh weights; NaN for a constant map.
    sources : ndarray of str, shape (n,)
        Test sources with an embedding.
    source_label : ndarray of int64, shape (n,)
        Their classes.
    points : ndarray of float64, shape (n, 2)
        Their places in the plane of the two largest principal components.
    explained : ndarray of float64, shape (2,)
        Share of the variance along each.
    neighbour : float
        Share of the sources whose nearest neighbour in the whole embedding has their class.
    field : ndarray of float64, shape (h, w)
        Effective receptive field; sums to 1.
    field_pixels : float
        Its effective size in pixels.
    pixel_scale : float
        Arcseconds per pixel of inputs and field; NaN where it is not known.
    """

    run_id: str
    method: str
    classes: NDArray[Any]
    shown: NDArray[Any]
    label: NDArray[np.int64]
    target: NDArray[np.int64]
    inputs: Floats
    maps: Floats
    likeness: Floats
    sources: NDArray[Any]
    source_label: NDArray[np.int64]
    points: Floats
    explained: Floats
    neighbour: float
    field: Floats
    field_pixels: float
    pixel_scale: float


def write_looks(store: Store, looks: Looks) -> None:
    """Keep them beside the run, in place of those that are there."""
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer, version=VERSION, **{each.name: getattr(looks, each.name) for each in fields(Looks)}
    )
    write_bytes(store.run_path(looks.run_id) / LOOKS_FILE, buffer.getvalue())


def read_looks(store: Store, run_id: str) -> Looks | None:
    """Read what is kept beside a run; None if there is nothing yet.

    Raises
    ------
    StoreError
        If the file cannot be read, is of another run, or was written by another version.
    """
    path = store.run_path(run_id) / LOOKS_FILE
    if not path.exists():
        return None
    try:
        check_regular(path)
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
            content = {key: file[key] for key in file.files}
    except (OSError, ValueError, EOFError, KeyError, zlib.error, zipfile.BadZipFile) as error:
        raise StoreError(f"{path}: cannot be read: {one_line(error)}") from error
    version = content.pop("version", None)
    names = {each.name for each in fields(Looks)}
    check_version(path, None if version is None else version.tolist(), VERSION)
    if set(content) != names:
        odd = ", ".join(sorted(set(content) ^ names))
        raise StoreError(f"{path}: is damaged: {odd} is missing or unknown; rgbench explain makes it anew")
    if str(content["run_id"]) != run_id:
        raise StoreError(f"{path}: is of run {shown(str(content['run_id']))}, not of {run_id}")
    _check_axes(path, content)
    plain = {key: value.item() if value.ndim == 0 else value for key, value in content.items()}
    return Looks(**plain)


def _check_axes(path: Path, content: Mapping[str, NDArray[Any]]) -> None:
    """Raise `StoreError` if arrays have not the axes that `Looks` says, or are of unequal lengths."""
    for group, arrays in _AXES.items():
        length = content[group].shape[:1]
        for name, axes in arrays.items():
            shape = content[name].shape
            if len(shape) != axes or shape[:1] != length:
                raise StoreError(
                    f"{path}: is damaged: {name} has the shape {shape}, beside {group} of {length}; "
                    "rgbench explain makes it anew"
                )
