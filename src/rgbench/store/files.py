"""One way to write a file into place."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from rgbench.errors import StoreError


def write_json(path: Path, content: Any) -> None:
    """Write JSON atomically: beside its place, flushed to disk, then moved there."""
    write_bytes(path, (json.dumps(content, indent=1, sort_keys=True) + "\n").encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file atomically; raise `StoreError` naming it and the reason if that fails."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise StoreError(f"{path}: cannot be written: {error.strerror or error}") from error


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf8"))
    except FileNotFoundError:
        raise StoreError(f"{path}: there is no such run") from None
    except (OSError, json.JSONDecodeError) as error:
        raise StoreError(f"{path}: cannot be read: {error}") from error
