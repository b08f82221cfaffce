"""Tile-compressed images, unpacked by another process: C code does it, which dies of some damaged files.

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
from functools import cache
from pathlib import Path
from typing import IO, Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from rgbench import child
from rgbench.errors import one_line

SECONDS = 20
"""Time of the processor that one file may take, and a second more for each million pixels."""
_WAIT = 900.0
"""Seconds after which an answer is no longer waited for, however busy the machine is."""
_BYTES = 24
"""Memory that unpacking takes for a pixel, with room to spare."""
_ROOM = 1 << 29
"""Memory beside that of the pixels."""


def read_apart(path: Path, content: bytes | None, place: int, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Unpack one tile-compressed image.

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
    return _reader().read(path, content, place, shape)


@cache
def _reader() -> Reader:
    """Give the one reader of this program: a process costs half a second to start."""
    return Reader()


class Reader:
    """The process that unpacks images, seen from the program that asks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0

    def read(
        self, path: Path, content: bytes | None, place: int, shape: tuple[int, ...]
    ) -> NDArray[np.float32]:
        """Unpack one image; see `read_apart`."""
        asked = {
            "path": str(path),
            "place": place,
            "shape": shape,
            "size": -1 if content is None else len(content),
        }
        with self._lock:
            process = self._running()
            timer = threading.Timer(_WAIT, process.kill)
            timer.start()
            try:
                return self._answer(process, asked, content or b"")
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
        self, process: subprocess.Popen[bytes], asked: dict[str, Any], content: bytes
    ) -> NDArray[np.float32]:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(asked).encode() + b"\n" + content)
        process.stdin.flush()
        line = process.stdout.readline()
        if not line:
            raise EOFError
        if error := json.loads(line)["error"]:
            raise OSError(error)
        size = 4 * math.prod(asked["shape"])
        found = process.stdout.read(size)
        if len(found) < size:
            raise EOFError
        return np.frombuffer(bytearray(found), dtype=np.float32).reshape(asked["shape"])


def _death(process: subprocess.Popen[bytes]) -> str:
    code = process.wait()
    if code == -signal.SIGXCPU:
        return "unpacking it takes too long for its size"
    return f"unpacking it ended with {signal.strsignal(-code) if code < 0 else f'code {code}'}"


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
    """Unpack what is asked for, until there are no more questions; each answer is a line, then the pixels."""
    for line in questions:
        asked = json.loads(line)
        content = questions.read(asked["size"]) if asked["size"] >= 0 else None
        try:
            pixels = _unpack(asked, content)
            head = {"error": ""}
        # Whatever goes wrong in a damaged file is told to who asked.
        except Exception as error:
            pixels = np.zeros(0, dtype=np.float32)
            head = {"error": one_line(error)}
        answers.write(json.dumps(head).encode() + b"\n" + pixels.tobytes())
        answers.flush()


def _unpack(asked: dict[str, Any], content: bytes | None) -> NDArray[np.float32]:
    shape = tuple(asked["shape"])
    child.limit(_BYTES * math.prod(shape) + _ROOM, SECONDS + math.prod(shape) // 1_000_000)
    source = asked["path"] if content is None else io.BytesIO(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with fits.open(source, memmap=False, uint=False) as units:
            data = np.ascontiguousarray(units[asked["place"]].data, dtype=np.float32)
    if data.shape != shape:
        raise OSError(f"it holds {data.shape} pixels, its header promises {shape}")
    return data


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # What libraries print must not come between the answers.
    with os.fdopen(os.dup(1), "wb") as own:
        os.dup2(2, 1)
        serve(sys.stdin.buffer, own)
