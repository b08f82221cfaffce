"""Packages that queues need, which are extras: loaded when they are asked for."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from rgbench.errors import SpecError


def extra(module: str, option: str, name: str) -> Any:
    """Import a package; `SpecError` names the extra that brings it."""
    try:
        return import_module(module)
    except ImportError:
        raise SpecError(f"{option}: needs the package {module}: pip install 'rgbench[{name}]'") from None
