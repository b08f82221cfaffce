"""Packages that are extras of this one: loaded when they are asked for, and named where they are missing."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from rgbench.errors import SpecError


def extra(module: str, what: str, name: str, package: str = "") -> Any:
    """Import a module of an optional package.

    Parameters
    ----------
    module : str
        The module.
    what : str
        What needs it: the message begins with it.
    name : str
        The extra that brings it.
    package : str
        The package that is missing, if its name is not that of the module.

    Raises
    ------
    SpecError
        If it is not installed; the message names the extra.

    Examples
    --------
    >>> extra("no_such_module", "--shine:", "sun")
    Traceback (most recent call last):
    rgbench.errors.SpecError: --shine: needs the package no_such_module: pip install 'rgbench[sun]'
    """
    try:
        return import_module(module)
    except ImportError:
        needed = package or module
        raise SpecError(f"{what} needs the package {needed}: pip install 'rgbench[{name}]'") from None
