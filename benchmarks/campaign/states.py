"""What a folder holds, without what may differ between two equal runs: times, rates, places."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

TIMES = ("written", "seconds", "memory", "per_second")


def state_of(folder: Path) -> dict[str, str]:
    """Give a digest of each file of a folder by its path; of a page only whether it is whole."""
    return {
        str(path.relative_to(folder)): _digest(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def differences(found: dict[str, str], expected: dict[str, str]) -> list[str]:
    """Give the paths that differ, are missing or should not be there."""
    return sorted(name for name in {*found, *expected} if found.get(name) != expected.get(name))


def _digest(path: Path) -> str:
    if path.suffix == ".html":
        return "whole" if path.read_text().rstrip().endswith("</html>") else "torn"
    if path.suffix == ".json":
        content: bytes = json.dumps(_timeless(json.loads(path.read_text()))).encode()
    elif path.suffix == ".parquet":
        content = _table(pq.read_table(path))
    else:
        content = path.read_bytes()
    return hashlib.sha256(content).hexdigest()


def _table(table: pa.Table) -> bytes:
    kept = table.drop_columns([name for name in table.column_names if _is_time(name)])
    return json.dumps(kept.to_pydict(), default=str).encode()


def _timeless(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _timeless(value) for key, value in content.items() if not _is_time(key)}
    return content


def _is_time(name: str) -> bool:
    return any(word in name for word in TIMES)


def place_for(ground: Path, folder: Path, store: str = "") -> Path:
    """Make a working directory with the ground's sky, studies and classifier, and a copy of one of its stores."""
    folder.mkdir(parents=True)
    (folder / "sky").symlink_to(ground / "sky")
    for name in ("study.toml", "long.toml", "small-1.safetensors"):
        shutil.copy(ground / name, folder)
    for name in ("sky.csv", "mosaics"):
        (folder / name).symlink_to(ground / name)
    if store:
        shutil.copytree(ground / store, folder / "store")
    return folder
