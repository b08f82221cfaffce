"""Read the pickled batches of public data sets without running anything that they say.

A pickle is a program: loaded as it stands, a hostile one runs any command. The files are held to their checksums
before they come here, so this is the second lock on the door. The operations of the pickle are first looked through
and only those of plain data are let pass. Of the objects that it may name, the four that NumPy's arrays need are
allowed, and even those are not NumPy's own: what is called is only noted down, and read afterwards from the bytes in
the file, so that no file can declare more memory than it brings.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rgbench.data.public.archive import read_members
from rgbench.errors import DataError, one_line

MAX_BYTES = 1 << 28
"""Bytes of one pickle; the largest published batch has 3.6 MB."""
GLOBALS = (
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy.core.multiarray", "scalar"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "scalar"),
)
"""All that a batch may name; NumPy 2 writes ``_core`` where NumPy 1 wrote ``core``."""
_OPERATIONS = """
    PROTO FRAME STOP MARK NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 BINFLOAT
    BINUNICODE SHORT_BINUNICODE BINSTRING SHORT_BINSTRING BINBYTES SHORT_BINBYTES
    EMPTY_LIST APPEND APPENDS EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_DICT SETITEM SETITEMS
    BINPUT LONG_BINPUT MEMOIZE BINGET LONG_BINGET GLOBAL STACK_GLOBAL REDUCE BUILD
"""
"""Operations of Python's pickle protocol that plain data, arrays included, are written with."""
_LEGAL = frozenset(_OPERATIONS.split())
_MEMBER = re.compile(r"(?:^|/)(data_batch_(\d+)|test_batch|batches\.meta)$")
_KIND = re.compile(r"[biufSU][1-9]\d{0,3}", re.ASCII)
"""Plain numbers and texts, none larger than 40 kB."""


def load_batch(data: bytes, source: str) -> dict[str, Any]:
    """Read one pickled batch: a dictionary of numbers, texts, arrays, and lists of them.

    Parameters
    ----------
    data : bytes
        The pickle, protocol 2 to 4; texts of Python 2 are read as Latin-1.
    source : str
        Where it comes from, for messages.

    Returns
    -------
    dict
        Values are None, bool, int, float, str, ndarray, or a list of those. Arrays are read-only and
        share the memory of the file's bytes.

    Raises
    ------
    DataError
        If the pickle names any global but NumPy's four, uses an operation that plain data does not
        need, is broken or too large, or holds anything else; the message names the source and which.

    Examples
    --------
    >>> load_batch(pickle.dumps({"labels": [0, 1]}, protocol=3), "toy")
    {'labels': [0, 1]}
    """
    if len(data) > MAX_BYTES:
        raise DataError(f"{source}: has {len(data)} bytes, a batch has {MAX_BYTES} at the most")
    try:
        _look_through(data)
        found = _Reader(io.BytesIO(data), encoding="latin1").load()
        if not isinstance(found, dict):
            raise DataError(f"holds {_kind(found)}, expected a dictionary")
        return {_key(key): _value(value, repr(key)) for key, value in found.items()}
    except DataError as error:
        raise DataError(f"{source}: {error}") from None
    # A broken pickle makes Python and NumPy raise whatever comes to them.
    except Exception as error:
        raise DataError(f"{source}: is not a pickled batch: {error or type(error).__name__}") from error


def _look_through(data: bytes) -> None:
    """Raise on any operation that plain data does not need, and on declared sizes that cannot be."""
    with warnings.catch_warnings():
        # Python's own reader warns of odd escapes in broken files.
        warnings.simplefilter("ignore", DeprecationWarning)
        for count, (op, argument, place) in enumerate(pickletools.genops(data)):
            if op.name not in _LEGAL:
                raise DataError(f"the pickle operation {op.name} at byte {place} is refused")
            if op.name in ("BINPUT", "LONG_BINPUT") and int(argument or 0) > count:
                # The memo is a table that the unpickler allocates up to the highest number named.
                raise DataError(f"the pickle declares memo {argument} at byte {place}; refused")


class _Reader(pickle.Unpickler):
    """An unpickler that knows four globals and nothing else."""

    def find_class(self, module: str, name: str) -> _Noted:
        """Give the stand-in of an allowed global; refuse all others by name."""
        if (module, name) not in GLOBALS:
            legal = ", ".join(map(".".join, GLOBALS))
            raise DataError(
                f"the pickle names {one_line(f'{module}.{name}')}, which is refused; only {legal} are read"
            )
        return _Noted(name)


class _Noted:
    """One of NumPy's four globals, or what a pickle says that a call of it gives: noted down, not done."""

    __slots__ = ("arguments", "name", "state")

    def __init__(self, name: str, arguments: tuple[Any, ...] | None = None) -> None:
        self.name, self.arguments = name, arguments
        self.state: Any = None

    def __call__(self, *arguments: Any) -> _Noted:
        if self.arguments is not None or self.name == "ndarray":
            raise DataError(f"the pickle calls numpy's {self.name} with arguments that are refused")
        return _Noted(self.name, arguments)

    def __setstate__(self, state: Any) -> None:
        if self.arguments is None:
            raise DataError(f"the pickle changes numpy's {self.name}, which is refused")
        self.state = state


def _dtype(noted: Any) -> np.dtype[Any]:
    """Give the element type that a pickle describes: plain numbers or texts."""
    if not isinstance(noted, _Noted) or noted.name != "dtype" or not noted.arguments:
        raise DataError("the pickle has an array or number without element type")
    code, state = noted.arguments[0], noted.state or (3, "|", None, None, None)
    if not isinstance(code, str) or not _KIND.fullmatch(code):
        raise DataError(f"the pickle has elements of type {code!r}; plain numbers and texts are read")
    if state[1] not in ("<", ">", "|", "=") or any(part is not None for part in state[2:5]):
        raise DataError(f"the pickle describes an element type by {str(state)[:60]}, which is not legal")
    order: Any = state[1]
    return np.dtype(code).newbyteorder(order)


def _array(noted: _Noted) -> NDArray[Any]:
    """Give the array that a pickle describes by its shape, element type and bytes."""
    kind = (noted.arguments or (None,))[0]
    if not isinstance(kind, _Noted) or (kind.name, kind.arguments) != ("ndarray", None):
        raise DataError(f"the pickle builds an array by what is {_kind(kind)}; refused")
    if not isinstance(noted.state, tuple):
        raise DataError("the pickle describes an array without shape, element type and bytes")
    _, shape, dtype, fortran, content = noted.state
    if not isinstance(shape, tuple) or not all(type(side) is int and side >= 0 for side in shape):
        raise DataError(f"the pickle has an array of shape {str(shape)[:60]}, which is not legal")
    return _elements(content, _dtype(dtype), math.prod(shape)).reshape(shape, order="F" if fortran else "C")


def _scalar(dtype: Any, content: Any) -> Any:
    return _elements(content, _dtype(dtype), 1)[0].item()


def _elements(content: Any, dtype: np.dtype[Any], number: int) -> NDArray[Any]:
    """Give a flat array of the bytes in the file, if there are as many as declared."""
    found = content.encode("latin1") if isinstance(content, str) else content
    if not isinstance(found, bytes):
        raise DataError(f"the pickle has an array of {_kind(found)}, expected bytes")
    if len(found) != number * dtype.itemsize:
        raise DataError(
            f"the pickle declares {number} elements of {dtype.itemsize} bytes, but has {len(found)} bytes"
        )
    flat = np.frombuffer(found, dtype)
    if dtype.kind == "U":
        # NumPy itself fails on what is no character with an internal error.
        flat.astype(dtype.newbyteorder("<")).tobytes().decode("utf-32-le")
    return flat


def _key(key: Any) -> str:
    if not isinstance(key, str):
        raise DataError(f"a key is {_kind(key)}, expected a text")
    return key


def _value(value: Any, place: str) -> Any:
    if isinstance(value, list):
        return [_plain(item, f"{place}, item {number}") for number, item in enumerate(value)]
    return _plain(value, place)


def _plain(value: Any, place: str) -> Any:
    if isinstance(value, _Noted) and value.arguments is not None and value.name in ("_reconstruct", "scalar"):
        return _array(value) if value.name == "_reconstruct" else _scalar(*value.arguments)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise DataError(f"{place}: is {_kind(value)}; numbers, texts, arrays and lists of them are read")


def _kind(value: Any) -> str:
    return f"numpy's {value.name}" if isinstance(value, _Noted) else f"of type {type(value).__name__}"


@dataclass(frozen=True)
class Batches:
    """The images of an archive of batches, training batches by number first, the test batch last.

    Attributes
    ----------
    images : ndarray of uint8, shape (n, h, w)
        Images, rows as in the file.
    label_name : list of str
        The class as the publication names it.
    file_name : list of str
        File that each image was made from, without folders.
    batch : list of str
        ``data_batch_1`` and so on, or ``test_batch``.
    place : list of int
        Place within the batch, from 0.
    """

    images: NDArray[np.uint8]
    label_name: list[str]
    file_name: list[str]
    batch: list[str]
    place: list[int]

    @property
    def split(self) -> NDArray[Any]:
        """The published split: "train" or "test" for each image."""
        return np.array(["test" if name == "test_batch" else "train" for name in self.batch])


def read_batches(path: Path, shape: tuple[int, int]) -> Batches:
    """Read an archive of pickled batches, as MiraBest and FR-DEEP are published.

    Parameters
    ----------
    path : path
        The .tar.gz.
    shape : (int, int)
        Rows and columns of every image; images that are stored flat are given this shape.

    Raises
    ------
    DataError
        If the archive or a batch is broken, hostile, or does not hold what it should.
    """
    found: dict[tuple[bool, int], tuple[str, dict[str, Any]]] = {}
    names: list[str] | None = None
    for member, content in read_members(path):
        match = _MEMBER.search(member)
        if match is None:
            continue
        batch = load_batch(content, f"{path.name}: {member}")
        if match[1] == "batches.meta":
            names = batch.get("label_names")
        else:
            found[match[2] is None, int(match[2] or 0)] = (match[1], batch)
    if names is None or not found:
        raise DataError(f"{path}: holds no batches, or no batches.meta")
    result = Batches(np.empty((0, *shape), np.uint8), [], [], [], [])
    images = []
    for _, (name, batch) in sorted(found.items()):
        images += _images(batch, shape, f"{path.name}: {name}")
        _append(result, name, batch, names, f"{path.name}: {name}")
    return Batches(np.stack(images), result.label_name, result.file_name, result.batch, result.place)


def _images(batch: dict[str, Any], shape: tuple[int, int], source: str) -> list[NDArray[np.uint8]]:
    images = batch.get("data")
    lengths = {key: len(batch.get(key) or ()) for key in ("data", "labels", "filenames")}
    if not isinstance(images, list) or not images or len(set(lengths.values())) != 1:
        raise DataError(f"{source}: the columns have different lengths: {lengths}")
    for place, image in enumerate(images):
        if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.size != shape[0] * shape[1]:
            raise DataError(f"{source}, item {place}: is not an image of {shape[0]} x {shape[1]} bytes")
    return [image.reshape(shape) for image in images]


def _append(result: Batches, name: str, batch: dict[str, Any], names: list[str], source: str) -> None:
    for place, (label, file_name) in enumerate(zip(batch["labels"], batch["filenames"], strict=True)):
        if type(label) is not int or not 0 <= label < len(names):
            raise DataError(f"{source}, item {place}: label {label!r}; legal are 0 to {len(names) - 1}")
        result.label_name.append(str(names[label]))
        result.file_name.append(str(file_name).rpartition("/")[2])
        result.batch.append(name)
        result.place.append(place)
