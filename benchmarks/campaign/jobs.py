"""Commands of rgbench as processes of their own, forked from one that has loaded all: they start at once."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import resource
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

READY = "ready"
CAPABILITY_VERSION = 0x20080522
"""_LINUX_CAPABILITY_VERSION_3, of linux/capability.h."""
LONGEST = 300.0
HEAVY = ("runs", "predict", "report", "diagnostics", "survey")


@cache
def _context() -> Any:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, *(f"rgbench.cli.work.{name}" for name in HEAVY)])
    return context


@dataclass(frozen=True)
class End:
    """How a command ended: its exit code (negative: a signal), what it printed, the seconds it took."""

    code: int | None
    said: str
    seconds: float

    @property
    def crashed(self) -> bool:
        """Tell whether a user would see a traceback."""
        return "Traceback" in self.said


class Job:
    """A command under way.

    Parameters
    ----------
    arguments : sequence of str
        As of ``rgbench``.
    folder : Path
        Its working directory.
    condition : callable
        Called in the process before the command, to make life harder for it.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        folder: Path,
        condition: Callable[[], None] | None = None,
        name: str = "log",
    ) -> None:
        self.log = folder / f"{name}.txt"
        self.process = _context().Process(
            target=_command, args=(list(arguments), folder, self.log, condition)
        )
        self.process.start()
        while self.process.is_alive() and not (self.log.exists() and self.log.stat().st_size):
            time.sleep(0.002)
        self.started = time.monotonic()

    def kill_after(self, seconds: float, signal: int) -> None:
        """Send a signal when so many seconds have passed, unless the command has ended before."""
        self.process.join(seconds)
        if self.process.is_alive():
            os.kill(self.process.pid, signal)

    def end(self) -> End:
        """Wait for the end; a command that does not come to one is killed, and has no exit code."""
        self.process.join(LONGEST)
        code = self.process.exitcode
        if code is None:
            self.process.kill()
            self.process.join()
        said = self.log.read_text(errors="replace") if self.log.exists() else ""
        return End(code, said.removeprefix(f"{READY}\n"), time.monotonic() - self.started)


def _command(arguments: list[str], folder: Path, log: Path, condition: Callable[[], None] | None) -> None:
    from rgbench.cli.app import main

    os.chdir(folder)
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.write(1, f"{READY}\n".encode())
    if condition is not None:
        condition()
    main(arguments)


def small_files(most: int) -> Callable[[], None]:
    """Give a condition under which no file can grow beyond so many bytes, as on a full disk."""
    return partial(resource.setrlimit, resource.RLIMIT_FSIZE, (most, most))


def without_privileges() -> None:
    """Give up what lets root write where files say that nobody may; for other users there is nothing to give up.

    The user stays the same, lest the interpreter itself be out of reach. Linux only (capset of the C library).
    """
    if os.getuid() == 0:
        head, none = struct.pack("<Ii", CAPABILITY_VERSION, 0), bytes(24)
        if ctypes.CDLL(None, use_errno=True).capset(head, none) != 0:
            raise OSError(ctypes.get_errno(), "privileges cannot be given up")


def jumping_clock(seed: int) -> Callable[[], None]:
    """Give a condition under which the time of day jumps by days, either way, whenever it is asked for."""
    return partial(_jump, seed)


def _jump(seed: int) -> None:
    true, rng = time.time, np.random.default_rng(seed)
    time.time = lambda: true() + float(rng.normal(0, 3e5))
