"""What can be added from outside: one call for every kind of thing that has a name.

A package brings the same things by entry points, which are found without a call; ``ENTRY_POINTS`` names
their groups. Nothing heavy is imported here: the registry of a kind is imported when the kind is asked for.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterable
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

from rgbench.errors import SpecError, one_line
from rgbench.registry import Registry

REGISTRIES = {
    "network": "rgbench.networks.catalogue:networks",
    "layer": "rgbench.networks.notation.kinds:layer_kinds",
    "data set": "rgbench.data.sets:data_sets",
    "preset": "rgbench.images.preprocess:presets",
    "protocol": "rgbench.protocols:protocols",
    "metric": "rgbench.measures.catalogue:metrics",
    "disturbance": "rgbench.store.conditions:disturbances",
    "report section": "rgbench.report.sections:sections",
    "table": "rgbench.runs.output_tables:tables",
    "listener": "rgbench.runs.listeners:listeners",
    "task": "rgbench.tasks.catalogue:tasks",
}
"""Each kind, and the function without arguments that gives its registry."""
ENTRY_POINTS = {
    "network": "rgbench.networks",
    "layer": "rgbench.layers",
    "data set": "rgbench.data",
    "preset": "rgbench.presets",
    "protocol": "rgbench.protocols",
    "metric": "rgbench.metrics",
    "disturbance": "rgbench.disturbances",
    "report section": "rgbench.sections",
    "table": "rgbench.tables",
    "listener": "rgbench.listeners",
    "task": "rgbench.tasks",
}
"""Each kind, and the group of entry points by which a package brings it."""
EXTENSIONS = "RGBENCH_EXTENSIONS"
"""Environment variable: modules and Python files, separated as in PATH, that the command line imports first. What a
study's `extensions` bring, other commands (``predict``, ``stress``) know by it, or by a package's entry points."""


def registry(kind: str) -> Registry[Any]:
    """Give the registry of a kind.

    Parameters
    ----------
    kind : str
        One of `REGISTRIES`: "network", "layer", "data set", "preset", "protocol", "metric", "disturbance",
        "report section", "table", "listener" or "task".

    Raises
    ------
    SpecError
        If there is no such kind; the message lists them.

    Examples
    --------
    >>> "becker2021" in registry("protocol")
    True
    """
    kinds: Registry[str] = Registry("kind")
    for name, place in REGISTRIES.items():
        kinds.register(name, place)
    module, _, function = kinds.get(kind).partition(":")
    found: Registry[Any] = getattr(import_module(module), function)()
    return found


def register(kind: str, name: str, item: Any, aliases: Iterable[str] = ()) -> None:
    """Add something of one's own, under a name by which studies and commands find it.

    Parameters
    ----------
    kind : str
        What it is; see `registry`.
    name : str
        Its name; one that is taken is refused.
    item : object
        For each kind what its registry takes.

        ==================  =====================================================================
        ``network``         `rgbench.networks.NetworkCard`, or a callable that makes a module
        ``layer``           `rgbench.networks.notation.kinds.LayerKind`
        ``data set``        `rgbench.data.sets.Entry`
        ``preset``          `rgbench.images.preprocess.Preset`, or a function of a stack of images
        ``protocol``        a dictionary of tables, or the path of a TOML file with them
        ``metric``          see `rgbench.measures.catalogue`
        ``disturbance``     `rgbench.store.conditions.Family` with a function
        ``report section``  see `rgbench.report.sections`
        ``table``           a function that writes columns to a path; the name is the file's ending
        ``listener``        a callable without arguments that makes a `rgbench.runs.listeners.Listener`
        ``task``            the path of a TOML file, or what it holds; see `rgbench.tasks.catalogue`
        ==================  =====================================================================

        Anything else is refused.
    aliases : iterable of str
        Other names.

    Raises
    ------
    SpecError
        If there is no such kind, the name is taken, or the item is of another sort; the message says what is
        legal.

    Examples
    --------
    >>> register("tables", "txt", print)
    Traceback (most recent call last):
    rgbench.errors.SpecError: unknown kind 'tables'; did you mean table or task? The kinds are network, layer, ...
    """
    registry(kind).register(name, item, aliases)


def names(kind: str) -> list[str]:
    """List the names of a kind, those of other packages among them; none of their code is imported.

    Examples
    --------
    >>> names("table")[:3]
    ['csv', 'parquet', 'vot']
    """
    return registry(kind).names()


def named_in_environment() -> list[str]:
    """List the modules and Python files that the environment variable `EXTENSIONS` names."""
    return list(filter(None, os.environ.get(EXTENSIONS, "").split(os.pathsep)))


def load_extensions(extensions: Iterable[str]) -> None:
    """Import modules and Python files, whose code registers what it brings; each once.

    Parameters
    ----------
    extensions : iterable of str
        Names of modules, or paths of files that end in ``.py``.

    Raises
    ------
    SpecError
        If one cannot be imported; the message names it and the reason.
    """
    for extension in extensions:
        try:
            if extension.endswith(".py"):
                _import_file(Path(extension))
            else:
                import_module(extension)
        except (Exception, SystemExit) as error:
            reason = (
                str(error) if isinstance(error, SpecError) else f"{type(error).__name__}: {one_line(error)}"
            )
            raise SpecError(f"extensions: {extension!r} cannot be imported: {reason}") from error


def _import_file(path: Path) -> None:
    """Import a Python file under a name that belongs to its place, unless that was done before."""
    place = path.resolve()
    name = f"{place.stem}_{hashlib.sha256(str(place).encode()).hexdigest()[:8]}"
    if name in sys.modules:
        return
    spec = spec_from_file_location(name, place)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = module_from_spec(spec)
    # Known before it runs, as every imported module is: dataclasses look their module up.
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
