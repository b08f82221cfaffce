"""Read the pickled batches of public data sets without running anything that they say.

A pickle is a program: loaded as it stands, a hostile one runs any command. Here its operations are first
looked through and only plain data is let pass. Of the objects that it may name, the four that NumPy's
arrays need are allowed, and even those are not NumPy's own: stand-ins check what they are given and build
the array from the bytes in the file, so that no file can declare more memory than it brings.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
import re
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rgbench.data.public.archive import read_members
from rgbench.errors import DataError

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
_PUTS = ("BINPUT", "LONG_BINPUT")
_MEMBER = re.compile(r"(?:^|/)(data_batch_(\d+)|test_batch|batches\.meta)$")
_KINDS = "biufSU"
_FAULTS = (
    pickle.UnpicklingError,
    EOFError,
    ValueError,
    TypeError,
    AttributeError,
    IndexError,
    KeyError,
    ImportError,
    OverflowError,
    MemoryError,
    RecursionError,
)
"""What Python's unpickler raises on broken files, as its documentation lists them."""


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
    _look_through(data, source)
    try:
        found = _Reader(data, source).load()
    except DataError as error:
        raise DataError(f"{source}: {error}" if source not in str(error) else str(error)) from None
    except _FAULTS as error:
        raise DataError(f"{source}: is not a pickled batch: {error or type(error).__name__}") from error
    if not isinstance(found, dict):
        raise DataError(f"{source}: holds {_kind(found)}, expected a dictionary")
    return {_key(key, source): _value(value, f"{source}: {key!r}") for key, value in found.items()}


def _look_through(data: bytes, source: str) -> None:
    """Raise on any operation that plain data does not need, and on declared sizes that cannot be."""
    try:
        with warnings.catch_warnings():
            # Python's own reader warns of odd escapes in broken files.
            warnings.simplefilter("ignore", DeprecationWarning)
            operations = [
                (op.name, argument if op.name in _PUTS else 0, place)
                for op, argument, place in pickletools.genops(data)
            ]
    except ValueError as error:
        raise DataError(f"{source}: is not a pickled batch: {error}") from error
    for count, (name, memo, place) in enumerate(operations):
        if name not in _LEGAL:
            raise DataError(f"{source}: the pickle operation {name} at byte {place} is refused")
        if (memo or 0) > count:
            # The memo is a table that the unpickler allocates up to the highest number named.
            raise DataError(f"{source}: the pickle declares memo {memo} at byte {place}; refused")


class _Reader(pickle.Unpickler):
    """An unpickler that knows four globals and nothing else."""

    def __init__(self, data: bytes, source: str) -> None:
        super().__init__(io.BytesIO(data), encoding="latin1")
        self._source = source

    def find_class(self, module: str, name: str) -> _StandIn:
        """Give the stand-in of an allowed global; refuse all others by name."""
        if (module, name) not in GLOBALS:
            raise DataError(
                f"{self._source}: the pickle names {module}.{name}, which is refused; only "
                f"{', '.join(map('.'.join, GLOBALS))} are read"
            )
        return _StandIn(name)

    def persistent_load(self, pid: Any) -> Any:
        """Refuse references to objects outside the file."""
        raise DataError(f"{self._source}: the pickle refers to an outside object {pid!r}, which is refused")


class _StandIn:
    """Stands for one of NumPy's four globals; without attributes, so a file cannot change it."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self, *arguments: Any) -> Any:
        if self._name == "dtype":
            return _DType(*arguments)
        if self._name == "scalar":
            return _scalar(*arguments)
        if self._name == "_reconstruct" and len(arguments) == 3:
            return _Array(*arguments)
        raise DataError(f"the pickle calls numpy's {self._name} with arguments that are refused")

    def __setstate__(self, state: Any) -> None:
        raise DataError(f"the pickle changes numpy's {self._name}, which is refused")

    def is_ndarray(self) -> bool:
        """Tell whether it stands for the array type."""
        return self._name == "ndarray"


class _DType:
    """The type of an array's elements, as a pickle describes it."""

    __slots__ = ("value",)

    def __init__(self, code: str, *_: Any) -> None:
        if not isinstance(code, str) or code[:1] not in _KINDS or not code[1:].isdecimal():
            raise DataError(f"the pickle has elements of type {code!r}; plain numbers and texts are read")
        if not 0 < int(code[1:6]) < 1 << 16 or len(code) > 6:
            raise DataError(f"the pickle has elements of type {code!r}, which are too large")
        self.value = np.dtype(code)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if len(state) < 2 or state[1] not in ("<", ">", "|", "="):
            raise DataError(f"the pickle describes an element type by {str(state)[:60]}, which is not legal")
        if any(part is not None for part in state[2:5]):
            raise DataError("the pickle has elements of several fields, which are refused")
        self.value = self.value.newbyteorder(state[1])


class _Array:
    """An array, as a pickle builds it: first empty, then with shape, type and bytes."""

    __slots__ = ("pixels",)

    def __init__(self, kind: Any, *_: Any) -> None:
        if not (isinstance(kind, _StandIn) and kind.is_ndarray()):
            raise DataError(f"the pickle builds an array of {_kind(kind)}, which is refused")
        self.pixels: NDArray[Any] | None = None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, fortran, content = state
        if not isinstance(dtype, _DType) or not isinstance(shape, tuple):
            raise DataError("the pickle describes an array without shape or element type")
        if not all(type(side) is int and side >= 0 for side in shape) or len(shape) > 32:
            raise DataError(f"the pickle has an array of shape {str(shape)[:60]}, which is not legal")
        flat = _elements(content, dtype, math.prod(shape))
        self.pixels = flat.reshape(shape, order="F" if fortran else "C")


def _scalar(dtype: Any, content: Any = None) -> Any:
    if not isinstance(dtype, _DType):
        raise DataError("the pickle has a number without element type")
    return _elements(content, dtype, 1)[0].item()


def _elements(content: Any, dtype: _DType, number: int) -> NDArray[Any]:
    """Give a flat array of the bytes in the file, if there are as many as declared."""
    found = content.encode("latin1") if isinstance(content, str) else content
    if not isinstance(found, bytes):
        raise DataError(f"the pickle has an array of {_kind(found)}, expected bytes")
    if len(found) != number * dtype.value.itemsize:
        raise DataError(
            f"the pickle declares {number} elements of {dtype.value.itemsize} bytes, but has {len(found)} bytes"
        )
    if dtype.value.kind == "U":
        _check_text(np.frombuffer(found, np.dtype("u4").newbyteorder(dtype.value.byteorder)))
    return np.frombuffer(found, dtype.value)


def _check_text(codes: NDArray[Any]) -> None:
    """Raise unless all numbers are characters: NumPy itself fails on others with an internal error."""
    if ((codes > sys.maxunicode) | ((codes >= 0xD800) & (codes < 0xE000))).any():
        raise DataError(f"the pickle has a text with the character {codes.max():#x}, which does not exist")


def _key(key: Any, source: str) -> str:
    if not isinstance(key, str):
        raise DataError(f"{source}: a key is {_kind(key)}, expected a text")
    return key


def _value(value: Any, place: str) -> Any:
    if isinstance(value, list):
        return [_plain(item, f"{place}, item {number}") for number, item in enumerate(value)]
    return _plain(value, place)


def _plain(value: Any, place: str) -> Any:
    if isinstance(value, _Array) and value.pixels is not None:
        return value.pixels
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise DataError(f"{place}: is {_kind(value)}; numbers, texts, arrays and lists of them are read")


def _kind(value: Any) -> str:
    return f"of type {type(value).__name__.strip('_')}"


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
