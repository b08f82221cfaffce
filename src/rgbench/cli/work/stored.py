"""What several commands check before they look at stored runs."""

from __future__ import annotations

from pathlib import Path

from rgbench.errors import SpecError
from rgbench.store.store import Store
from rgbench.store.tables import MODELS


def open_store(path: Path) -> Store:
    """Open a store that is there; raise `SpecError` rather than make an empty one."""
    if not path.exists():
        raise SpecError(f"--store {path}: there is no such folder; rgbench quickstart makes one")
    return Store(path)


def check_model(model: str) -> str:
    """Give the name of a model back if it is legal; raise `SpecError` with the legal ones if it is not."""
    if model not in MODELS:
        raise SpecError(f"--model: found {model!r}; legal are {', '.join(MODELS)}")
    return model
