"""What a model file of Keras holds, as plain text and arrays: HDF5 (.h5) or a zip archive (.keras).

The C library that reads HDF5 crashes on some damaged files, so `read_contents` does its work in a process of its own,
with limits of time and memory. No code from the file is run, nothing is unpacked to disk, and no link is followed.
"""

from __future__ import annotations

import io
import json
import math
import os
import stat
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from rgbench import child
from rgbench.errors import DataError, one_line, shown

FloatArray = NDArray[np.float32]
LARGEST_CONFIG = 1 << 24
"""Bytes of JSON, or of one list of names, that are read at most; the testbed's longest takes 40,000."""
MOST_LAYERS = 2000
"""Layers of a model; the deepest in use have about 1000."""
SECONDS, BYTES_PER_SECOND = 15, 10_000_000
"""How long reading may take: so long, and for each so many bytes a second more."""
MEMORY = 4 << 30
"""Bytes of address space for reading, beside four times the size of the file."""
UNPACKED = 20
"""How many times larger than the file what it holds may be; weights hardly compress."""


@dataclass(frozen=True)
class Contents:
    """A model file, read but not understood.

    Attributes
    ----------
    architecture : str
        JSON text; empty if the file has none.
    weights : dict of str to list of (str, ndarray)
        Names and float32 arrays of each layer, in its own order. A layer is named as in the architecture in HDF5, and
        after its class (``conv2d``, ``conv2d_1`` ...) in a .keras archive, where the arrays are named 0, 1 ...
    by_class : bool
        Whether the file is a .keras archive.
    version, backend : str
        What Keras says of itself; empty if it does not.
    """

    architecture: str
    weights: dict[str, list[tuple[str, FloatArray]]]
    by_class: bool
    version: str = ""
    backend: str = ""


def read_contents(path: Path) -> Contents:
    """Read a model file in a process of its own.

    Raises
    ------
    DataError
        If the file is no model of Keras, is damaged, or takes too much time or memory; the message names it.
    """
    _check_regular(path)
    limit = _seconds(path)
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "contents.npz"
        command = child.command(__name__, os.fspath(path), os.fspath(target))
        try:
            done = subprocess.run(
                command, env=child.environment(), capture_output=True, timeout=limit, check=False
            )
        except subprocess.TimeoutExpired:
            raise DataError(f"{path}: is damaged: reading it took more than {limit:.0f} seconds") from None
        if done.returncode == _REFUSED:
            raise DataError(done.stdout.decode("utf8", "replace"))
        if done.returncode != 0 or not target.is_file():
            raise DataError(f"{path}: is damaged: the HDF5 library crashed on it (exit {done.returncode})")
        return _load(target)


def _seconds(path: Path) -> float:
    return SECONDS + path.stat().st_size / BYTES_PER_SECOND


_REFUSED = 3
"""Exit status of the process that reads, where it printed why the file is refused."""


def _check_regular(path: Path) -> None:
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path}: is no Keras model file: it cannot be read: {reason}") from error
    if not stat.S_ISREG(mode):
        raise DataError(
            f"{path}: is no Keras model file: it is a folder or a device; a regular file is legal"
        )


def read_here(path: Path) -> Contents:
    """Read a model file in this process; see `read_contents`, which is safe."""
    try:
        with path.open("rb") as file:
            start = file.read(4)
        return _from_archive(path) if start == b"PK\x03\x04" else _from_hdf5(path)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    except Exception as error:  # on damaged files h5py and zipfile raise nearly every kind of exception
        raise DataError(
            f"{path}: is no Keras model file (.h5 or .keras), or is damaged: {one_line(error)}"
        ) from error


def _from_hdf5(path: Path) -> Contents:
    with h5py.File(path, "r") as file:
        if "layers" in file and "model_weights" not in file:
            raise DataError(_NO_ARCHITECTURE)
        architecture = _text(file, "model_config")
        if not architecture:
            raise DataError(_NO_ARCHITECTURE)
        reader = _Reader(path.stat().st_size)
        group = _child(file, "model_weights")
        names = _names(group, "layer_names")
        weights = {name: reader.named(_child(group, name)) for name in names}
        if "top_level_model_weights" in group:
            weights[""] = reader.named(_child(group, "top_level_model_weights"))
        version = _text(group, "keras_version") or _text(file, "keras_version")
        return Contents(architecture, weights, False, version, _text(group, "backend"))


_NO_ARCHITECTURE = "holds weights but no architecture; save the whole model with model.save, as .keras or .h5"


def _from_archive(path: Path) -> Contents:
    with zipfile.ZipFile(path) as archive:
        architecture = _member(archive, "config.json", LARGEST_CONFIG).decode("utf8")
        largest = UNPACKED * path.stat().st_size
        stored = _member(archive, "model.weights.h5", largest)
    reader = _Reader(len(stored))
    with h5py.File(io.BytesIO(stored), "r") as file:
        weights: dict[str, list[tuple[str, FloatArray]]] = {}
        for container in ("layers", "_layer_checkpoint_dependencies"):
            if container in file:
                layers = _child(file, container)
                if len(layers) > MOST_LAYERS:
                    raise DataError(f"it has {len(layers)} layers; 1 to {MOST_LAYERS} are legal")
                weights |= {name: reader.numbered(_child(layers, name)) for name in layers}
        if "vars" in file:
            weights[""] = reader.numbered(file)
    return Contents(architecture, weights, True)


def _member(archive: zipfile.ZipFile, name: str, largest: int) -> bytes:
    """Read one member of an archive; the others, whatever their names, are left alone."""
    found = [info for info in archive.infolist() if info.filename == name]
    if len(found) != 1:
        raise DataError(f"is no .keras file: it holds {len(found)} members {name!r}; 1 is legal")
    if found[0].file_size > largest:
        raise DataError(f"the member {name!r} has {found[0].file_size:,} bytes; up to {largest:,} are legal")
    return archive.read(found[0])


def _text(group: Any, name: str) -> str:
    """Read an attribute that is a text; "" if it is not there."""
    if name not in group.attrs:
        return ""
    value = _attribute(group, name)
    return value.decode("utf8") if isinstance(value, bytes) else str(value)


def _attribute(group: Any, name: str) -> Any:
    told = group.attrs.get_id(name)
    size = math.prod(told.shape) * told.dtype.itemsize
    if size > LARGEST_CONFIG:
        raise DataError(f"the attribute {name!r} has {size:,} bytes; up to {LARGEST_CONFIG:,} are legal")
    value = group.attrs[name]
    if isinstance(value, str | bytes) and len(value) > LARGEST_CONFIG:
        raise DataError(
            f"the attribute {name!r} has {len(value):,} bytes; up to {LARGEST_CONFIG:,} are legal"
        )
    return value


def _names(group: Any, attribute: str) -> list[str]:
    """Read a list of names; long lists are kept in pieces, ``layer_names0``, ``layer_names1`` ..."""
    pieces = [attribute] if attribute in group.attrs else []
    if not pieces:
        numbered = (key for key in group.attrs if key.startswith(attribute))
        pieces = sorted(numbered, key=lambda key: (len(key), key))
    names = [
        name.decode("utf8") if isinstance(name, bytes) else str(name)
        for piece in pieces
        for name in np.atleast_1d(_attribute(group, piece))
    ]
    if len(names) > MOST_LAYERS or len(set(names)) != len(names):
        raise DataError(f"{attribute} lists {len(names)} names; up to {MOST_LAYERS}, each once, are legal")
    return names


def _child(group: Any, path: str) -> Any:
    """Give what stands at a path below a group, if every step is a plain one; a link is refused."""
    for step in path.split("/"):
        if not isinstance(group, h5py.Group):
            raise DataError(f"{path!r} lies below something that is no group")
        link = group.get(step, getlink=True)
        if link is None:
            raise DataError(f"{path!r} is missing in the group {group.name!r}")
        if not isinstance(link, h5py.HardLink):
            raise DataError(f"{path!r} is a link to elsewhere; links are not followed")
        group = group[step]
    return group


@dataclass
class _Reader:
    """Reads arrays of weights, of which a file cannot hold more bytes than it has itself."""

    left: int

    def named(self, group: Any) -> list[tuple[str, FloatArray]]:
        """Read the arrays that ``weight_names`` lists."""
        return [(name, self._array(name, _child(group, name))) for name in _names(group, "weight_names")]

    def numbered(self, group: Any) -> list[tuple[str, FloatArray]]:
        """Read the arrays 0, 1 ... of ``vars``."""
        if "vars" not in group:
            return []
        inner = _child(group, "vars")
        names = sorted(inner, key=lambda name: (len(name), name))
        if names != [str(number) for number in range(len(names))]:
            raise DataError(f"{inner.name} holds {shown(names)}; 0, 1, 2 ... are legal")
        return [(name, self._array(f"{inner.name}/{name}", _child(inner, name))) for name in names]

    def _array(self, name: str, data: Any) -> FloatArray:
        if not isinstance(data, h5py.Dataset) or data.dtype != np.float32:
            found = data.dtype if isinstance(data, h5py.Dataset) else type(data).__name__
            raise DataError(f"the weights {name!r} are {found}; float32 is legal")
        if data.is_virtual or data.external:
            raise DataError(f"the weights {name!r} are a link to elsewhere; links are not followed")
        if data.nbytes > self.left or data.id.get_storage_size() < data.nbytes:
            raise DataError(
                f"the weights {name!r} have shape {shown(data.shape)}, {data.nbytes:,} bytes, of which the file does "
                "not hold as many; whole weights that are not compressed are legal, as Keras writes them"
            )
        self.left -= data.nbytes
        array = np.asarray(data[()], dtype=np.float32)
        if not np.isfinite(array).all():
            raise DataError(f"the weights {name!r} hold infinite numbers or NaN; finite ones are legal")
        return array


def _save(contents: Contents, path: Path) -> None:
    """Write contents as plain arrays: a text of JSON, and the weights one after the other."""
    arrays = [array for found in contents.weights.values() for _, array in found]
    told = {
        "architecture": contents.architecture,
        "weights": {layer: [name for name, _ in found] for layer, found in contents.weights.items()},
        "by_class": contents.by_class,
        "version": contents.version,
        "backend": contents.backend,
    }
    text = np.frombuffer(json.dumps(told).encode("ascii"), dtype=np.uint8)
    with path.open("wb") as file:
        np.savez(file, text, *arrays)


def _load(path: Path) -> Contents:
    with np.load(path, allow_pickle=False) as arrays:
        told = json.loads(arrays["arr_0"].tobytes())
        numbers = iter(range(1, len(arrays.files)))
        told["weights"] = {
            layer: [(name, arrays[f"arr_{next(numbers)}"]) for name in names]
            for layer, names in told["weights"].items()
        }
    return Contents(**told)


def _main(source: str, target: str) -> int:
    """Read a file, and write its contents; print why it is refused."""
    # In time too: whoever asked may have died meanwhile, and then stops this process no more.
    child.limit(MEMORY + 4 * Path(source).stat().st_size, _seconds(Path(source)))
    try:
        _save(read_here(Path(source)), Path(target))
    except DataError as error:
        sys.stdout.buffer.write(str(error).encode("utf8", "backslashreplace"))
        return _REFUSED
    return 0


if __name__ == "__main__":
    sys.exit(_main(*sys.argv[1:]))
