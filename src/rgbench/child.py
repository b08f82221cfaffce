"""A process of its own that reads what crashes libraries: how it is started, and what it may take.

Such a process runs a module of this package on this interpreter, and nothing else.
"""

from __future__ import annotations

import math
import os
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

_ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


def command(module: str, *arguments: str) -> list[str]:
    """Give the command that runs a module of this package."""
    return [sys.executable, "-P", "-m", module, *arguments]


def environment() -> dict[str, str]:
    """Give the environment in which it finds the package and its libraries where this process does; one thread."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **_ONE_THREAD}


def limit(memory: int, seconds: float) -> None:
    """Let this process take so many bytes of memory, and seconds of the processor, more than it has.

    Nothing is limited where the system cannot: Windows has no module for it.
    """
    if find_spec("resource") is None:
        return
    resource: Any = import_module("resource")
    used = resource.getrusage(resource.RUSAGE_SELF)
    _lower(resource, resource.RLIMIT_CPU, math.ceil(used.ru_utime + used.ru_stime + seconds))
    pages = Path("/proc/self/statm")
    if pages.exists():  # Linux
        own = int(pages.read_text(encoding="ascii").split()[0]) * resource.getpagesize()
        _lower(resource, resource.RLIMIT_AS, own + memory)


def _lower(resource: Any, what: int, wanted: int) -> None:
    """Set a limit, which an outer one may make lower; that one stays, so that the next may be higher again."""
    _, most = resource.getrlimit(what)
    resource.setrlimit(what, (wanted if most < 0 else min(wanted, most), most))
