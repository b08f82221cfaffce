"""MNIST: handwritten digits, the control task of the 2021 testbed (LeCun et al. 1998)."""

from __future__ import annotations

import gzip
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rgbench.data.catalogue import Card, Catalogue, DataSet, Flag
from rgbench.data.public.fetch import PublicFile, locate
from rgbench.errors import DataError

_SIDE = (28, 28)
CARD = Card(
    name="mnist",
    title="MNIST: 70,000 handwritten digits, the 2021 testbed's control task",
    paper="LeCun, Bottou, Bengio & Haffner 1998, Proceedings of the IEEE 86, 2278",
    doi="10.1109/5.726791",
    keys=("LeCun1998",),
    url="https://storage.googleapis.com/cvdf-datasets/mnist/",
    licence=(
        "No licence words in the files; Yann LeCun and Corinna Cortes hold the copyright, and the set is "
        "commonly distributed under CC BY-SA 3.0."
    ),
    classes=tuple("0123456789"),
    survey="handwritten digits",
    version="IDX files of 1998",
    defects=(
        "no sky: no positions and no pixel scale; rows are as in the file, row 0 is the top of the digit",
        "no validation set is published: the first 3,000 training images are it, as in the 2021 testbed",
    ),
    image_size=_SIDE,
    splits=("published",),
)
VALIDATION = 3000
"""Images of the training file, from its beginning, that the 2021 testbed takes for validation."""
_SUMS = {
    "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
}
FILES = {name: PublicFile(name, f"mnist/{name}", CARD.url + name, sha256) for name, sha256 in _SUMS.items()}
"""The four files by name; the checksums are those of the files as first published."""
_UNPACKED_LIMIT = 1 << 26
"""Bytes; the largest file unpacks to 47 MB."""


def load() -> DataSet:
    """Load MNIST.

    Returns
    -------
    DataSet
        Images of (28, 28) bytes, rows as in the file; those of the training file first. Each is a group
        of its own, positions are NaN. The split "published" has the 2021 testbed's 57,000, 3,000 and
        10,000 images.

    Raises
    ------
    ChecksumError
        If a file is not the published one.
    DataError
        If a file is nowhere to be had, or cannot be read.
    """
    return _assemble({name: read_idx(locate(file)) for name, file in FILES.items()})


def read_idx(path: Path | str) -> NDArray[np.uint8]:
    """Read an array of bytes from a gzipped IDX file.

    The file starts with two zero bytes, the type of the elements (8: bytes), the number of axes, and the
    length of each axis as a big-endian 32-bit number.

    Parameters
    ----------
    path : path
        The .gz file.

    Returns
    -------
    ndarray of uint8
        The array, last axis fastest.

    Raises
    ------
    DataError
        If the file is broken, holds other elements than bytes, or more or fewer than declared.
    """
    try:
        with gzip.open(path) as file:
            content = file.read(_UNPACKED_LIMIT + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read as gzip: {error}") from error
    if len(content) > _UNPACKED_LIMIT:
        raise DataError(f"{path}: unpacks to more than {_UNPACKED_LIMIT} bytes")
    if len(content) < 4 or content[:3] != b"\0\0\x08" or not content[3]:
        raise DataError(
            f"{path}: starts with {content[:4].hex()!r}, an IDX file of bytes with 000008 and its axes"
        )
    start = 4 + 4 * content[3]
    if len(content) < start:
        raise DataError(f"{path}: ends within its header of {start} bytes")
    shape = struct.unpack_from(f">{content[3]}I", content, 4)
    expected = int(np.prod([int(side) for side in shape], dtype=object))
    if len(content) - start != expected:
        raise DataError(f"{path}: declares {expected} elements, but has {len(content) - start}")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def _assemble(arrays: dict[str, NDArray[np.uint8]]) -> DataSet:
    train_images, train_labels, test_images, test_labels = (arrays[name] for name in _SUMS)
    for images, labels in ((train_images, train_labels), (test_images, test_labels)):
        if images.shape != (len(labels), *_SIDE) or labels.ndim != 1 or (labels > 9).any():
            raise DataError(
                f"mnist: found images of shape {images.shape} and labels of shape {labels.shape} up to "
                f"{labels.max(initial=0)}; (n, 28, 28), (n,) and 9 are needed"
            )
    images, labels = np.concatenate((train_images, test_images)), np.concatenate((train_labels, test_labels))
    sizes = (len(train_labels), len(test_labels))
    names = [
        f"{side}-{i:05d}" for side, size in zip(("train", "test"), sizes, strict=True) for i in range(size)
    ]
    side = np.repeat(np.array(["train", "test"], dtype="<U10"), sizes)
    side[: min(VALIDATION, sizes[0])] = "validation"
    return DataSet(CARD, _catalogue(names, labels, images), images, {"published": side})


def _catalogue(names: list[str], labels: NDArray[np.uint8], images: NDArray[np.uint8]) -> Catalogue:
    nowhere: NDArray[Any] = np.full(len(names), np.nan)
    constant = images.max(axis=(1, 2)) == images.min(axis=(1, 2))
    return Catalogue(
        source_id=np.array(names),
        ra=nowhere,
        dec=nowhere.copy(),
        label=labels.astype(np.int64),
        group=np.arange(len(names), dtype=np.int64),
        path=np.array(names),
        flags=np.where(constant, int(Flag.UNUSABLE), 0),
    )
