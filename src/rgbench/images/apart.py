"""Tile-compressed FITS and HDF5, read by another process: C libraries do it, which die of some damaged files.

One process serves all files of a program, and is started when the first needs it. If it dies, takes too long or asks
for too much memory, that file is lost and no other.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import signal
import subprocess
import sys
import threading
import warnings
import weakref
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from rgbench import child
from rgbench.errors import DataError, one_line
from rgbench.images.limits import as_float32, most_pixels
from rgbench.images.stacks import list_stack, read_stack

SECONDS = 20
"""Time of the processor that one file may take, and a second more for each million pixels."""
_WAIT = 900.0
"""Seconds after which an answer is no longer waited for, however busy the machine is."""
_BYTES = 24
"""Memory that unpacking takes for a pixel, with room to spare."""
_ROOM = 1 << 29
"""Memory beside that of the pixels."""


def read_tiles(path: Path, content: bytes | None, place: int, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Unpack one tile-compressed FITS image.

    Parameters
    ----------
    path : path
        The file.
    content : bytes, optional
        What is in it, if it is not to be read from the path.
    place : int
        Which extension, from 0.
    shape : tuple of int
        The shape that its header promises.

    Raises
    ------
    OSError
        If it cannot be unpacked, with the reason.
    """
    asked = {"what": "tiles", "place": place, "shape": shape}
    return _reader().ask(path, asked, content)[1]


def list_hdf5(path: Path) -> list[tuple[str, str, int]]:
    """List the images of an HDF5 file: name, dataset, and place in that; see `rgbench.images.stacks.list_stack`.

    Raises
    ------
    DataError
        If its images cannot be told apart; it names the file.
    OSError
        If it cannot be read, with the reason.
    """
    return [(name, key, index) for name, key, index in _reader().ask(path, {"what": "list"})[0]]


def read_hdf5(path: Path, key: str, index: int) -> NDArray[np.float32]:
    """Read one image of an HDF5 file, as `list_hdf5` lists it.

    Raises
    ------
    OSError
        If it cannot be read, with the reason.
    SpecError
        If the environment's limit of pixels is no number.
    """
    asked = {"what": "image", "key": key, "index": index, "most": most_pixels()}
    return _reader().ask(path, asked)[1]


@cache
def _reader() -> Reader:
    """Give the one reader of this program: a process costs half a second to start."""
    return Reader()


class Reader:
    """The process that reads, seen from the program that asks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0

    def ask(
        self, path: Path, asked: Mapping[str, Any], content: bytes | None = None
    ) -> tuple[Any, NDArray[np.float32]]:
        """Have one file read; give what was found beside pixels, and the pixels.

        Raises
        ------
        DataError
            If the file is whole, but not what is needed; it names the file.
        OSError
            If it cannot be read, with the reason.
        """
        question = {**asked, "path": os.fspath(path), "size": -1 if content is None else len(content)}
        with self._lock:
            process = self._running()
            timer = threading.Timer(_WAIT, process.kill)
            timer.start()
            try:
                return self._answer(process, question, content or b"")
            except (BrokenPipeError, EOFError):
                raise OSError(_death(process)) from None
            finally:
                timer.cancel()

    def _running(self) -> subprocess.Popen[bytes]:
        # After a fork the process belongs to the parent, and its answers too.
        if self._process is None or self._process.poll() is not None or self._owner != os.getpid():
            self._process, self._owner = _start(), os.getpid()
            weakref.finalize(self, _stop, self._process)
        return self._process

    def _answer(
        self, process: subprocess.Popen[bytes], question: dict[str, Any], content: bytes
    ) -> tuple[Any, NDArray[np.float32]]:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(question).encode() + b"\n" + content)
        process.stdin.flush()
        line = process.stdout.readline()
        if not line:
            raise EOFError
        head = json.loads(line)
        if head["refused"]:
            raise DataError(f"{question['path']}: {head['refused']}")
        if head["error"]:
            raise OSError(head["error"])
        size = 4 * math.prod(head["shape"])
        found = process.stdout.read(size)
        if len(found) < size:
            raise EOFError
        return head["found"], np.frombuffer(bytearray(found), dtype=np.float32).reshape(head["shape"])


def _death(process: subprocess.Popen[bytes]) -> str:
    code = process.wait()
    if code == -signal.SIGXCPU:
        return "reading it takes too long for its size"
    return f"reading it ended with {signal.strsignal(-code) if code < 0 else f'code {code}'}"


def _start() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        child.command("rgbench.images.apart"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=child.environment(),
    )


def _stop(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
    process.kill()
    process.wait()


def serve(questions: IO[bytes], answers: IO[bytes]) -> None:
    """Read what is asked for, until there are no more questions; each answer is a line, then the pixels."""
    for line in questions:
        asked = json.loads(line)
        content = questions.read(asked["size"]) if asked["size"] >= 0 else None
        found, pixels, refused, error = None, _NO_PIXELS, "", ""
        try:
            found, pixels = _READ[asked["what"]](asked, content)
        except DataError as reason:
            refused = str(reason)
        # Whatever goes wrong in a damaged file is told to who asked.
        except Exception as reason:
            error = one_line(reason)
        head = {"found": found, "shape": pixels.shape, "refused": refused, "error": error}
        answers.write(json.dumps(head).encode() + b"\n" + pixels.tobytes())
        answers.flush()


def _tiles(asked: dict[str, Any], content: bytes | None) -> tuple[Any, NDArray[np.float32]]:
    shape = tuple(asked["shape"])
    _limit(math.prod(shape))
    source = asked["path"] if content is None else io.BytesIO(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with fits.open(source, memmap=False, uint=False) as units:
            data = as_float32(units[asked["place"]].data)
    if data.shape != shape:
        raise OSError(f"it holds {data.shape} pixels, its header promises {shape}")
    return None, data


def _list(asked: dict[str, Any], _content: bytes | None) -> tuple[Any, NDArray[np.float32]]:
    _limit(Path(asked["path"]).stat().st_size)
    return list_stack(Path(asked["path"])), _NO_PIXELS


def _image(asked: dict[str, Any], _content: bytes | None) -> tuple[Any, NDArray[np.float32]]:
    _limit(Path(asked["path"]).stat().st_size)
    return None, read_stack(Path(asked["path"]), asked["key"], asked["index"], asked["most"])


def _limit(pixels: int) -> None:
    child.limit(_BYTES * pixels + _ROOM, SECONDS + pixels // 1_000_000)


_NO_PIXELS: NDArray[np.float32] = np.zeros(0, dtype=np.float32)
_READ: Mapping[str, Callable[[dict[str, Any], bytes | None], tuple[Any, NDArray[np.float32]]]] = (
    MappingProxyType({"tiles": _tiles, "list": _list, "image": _image})
)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # What libraries print must not come between the answers.
    with os.fdopen(os.dup(1), "wb") as own:
        os.dup2(2, 1)
        serve(sys.stdin.buffer, own)
