"""The command ``rgbench about``: the facts that the report of a bug needs."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterator, Mapping
from importlib import metadata

import torch
from rich.console import Console

from rgbench.cli.screen import say
from rgbench.data.public.fetch import where
from rgbench.data.sets import data_sets
from rgbench.errors import DataError
from rgbench.extensions import ENTRY_POINTS
from rgbench.version import clone, commit, version

SET = ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "TMPDIR", "XDG_CACHE_HOME")
"""Variables of the environment that matter, beside those of rgbench."""
OURS = tuple(
    f"RGBENCH_{name}"
    for name in ("CACHE", "EXTENSIONS", "MAX_PIXELS", "MIRROR", "OFFLINE", "STORE", "WITHOUT")
)
"""Variables of rgbench. Others of the kind are named, and their values are not told: they may be secrets."""
BROUGHT = ("firstgalaxydata",)
"""Packages that count though they may have been installed without being asked for."""


def facts() -> Iterator[tuple[str, str]]:
    """Give the facts one by one, each with its name."""
    yield "rgbench", _rgbench()
    yield "Python", f"{platform.python_version()}, {platform.python_implementation()}"
    yield "system", f"{platform.platform()}, {os.cpu_count()} cores"
    yield "devices", ", ".join(_devices())
    needed, optional = requirements()
    yield "packages", ", ".join(_versions(needed))
    yield "optional packages", ", ".join(_versions(optional))
    yield "packages that bring more", ", ".join(_plugins()) or "none"
    yield "data sets that are here", ", ".join(_here()) or "none"
    yield "environment", ", ".join(_environment(os.environ)) or "nothing of rgbench is set"


def say_facts(found: list[tuple[str, str]], console: Console) -> None:
    """Print the facts, one a line, to be pasted as they are."""
    say(console, *(f"{name}: {value}" for name, value in found))


def requirements() -> tuple[list[str], list[str]]:
    """Give the names of the packages that rgbench needs, and of those that its extras bring, without ``dev``."""
    needed, optional = set(), set(BROUGHT)
    for line in metadata.requires("rgbench") or []:
        name = re.match(r"[\w.-]+", line)
        if name and "extra ==" not in line:
            needed.add(name[0])
        elif name and not re.search(r"extra == ['\"]dev['\"]", line):
            optional.add(name[0])
    return sorted(needed), sorted(optional - needed)


def _rgbench() -> str:
    root = clone()
    if root is None:
        return f"{version()}, installed"
    at = commit(root)
    return f"{version()}, {f'clone at {at}' if at else 'unpacked source distribution'}"


def _versions(names: list[str]) -> Iterator[str]:
    for name in names:
        try:
            yield f"{name} {metadata.version(name)}"
        except metadata.PackageNotFoundError:
            yield f"{name} not installed"


def _devices() -> Iterator[str]:
    yield f"cpu ({torch.backends.cpu.get_cpu_capability()}, {torch.get_num_threads()} threads)"
    for number in range(torch.cuda.device_count()):
        yield f"cuda:{number} ({torch.cuda.get_device_name(number)})"


def _plugins() -> list[str]:
    found = {
        f"{point.dist.name} {point.dist.version}"
        for group in ENTRY_POINTS.values()
        for point in metadata.entry_points(group=group)
        if point.dist is not None
    }
    return sorted(found)


def _here() -> Iterator[str]:
    try:
        for name, entry in data_sets():
            if entry.files and all(where(file) for file in entry.files):
                yield name
    except DataError as error:  # the mirror that is named is no folder
        yield str(error)


def _environment(environment: Mapping[str, str]) -> list[str]:
    names = sorted(name for name in environment if name.startswith("RGBENCH_") or name in SET)
    known = {*SET, *OURS}
    return [
        f"{name}={environment[name]}" if name in known else f"{name} (not one of rgbench)" for name in names
    ]
