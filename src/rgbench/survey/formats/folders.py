"""One way to write a folder of files into place."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rgbench.errors import StoreError
from rgbench.store.files import writing


@contextmanager
def folder_into_place(folder: Path, ours: str) -> Iterator[Path]:
    """Give a folder to write to, which is moved to its place at the end; if anything fails, the old one stays.

    Parameters
    ----------
    folder : path
        The place.
    ours : str
        Pattern of the paths, within the folder, of files that are written there. Only those are replaced.

    Raises
    ------
    StoreError
        If the place holds other files, or writing fails with an `OSError`.
    """
    _check_ours(folder, ours)
    half = folder.with_name(f".tmp-{folder.name}")
    try:
        with writing(folder):
            shutil.rmtree(half, ignore_errors=True)
            half.mkdir(parents=True)
            yield half
            if folder.exists():
                shutil.rmtree(folder)
            half.rename(folder)
    finally:
        shutil.rmtree(half, ignore_errors=True)


def _check_ours(folder: Path, ours: str) -> None:
    """Raise `StoreError` if a folder holds what somebody else put there, such as the answers of those who looked."""
    for path in sorted(folder.rglob("*")) if folder.is_dir() else ():
        name = path.relative_to(folder).as_posix()
        if not path.is_dir() and not re.fullmatch(ours, name):
            raise StoreError(
                f"{folder}: holds {name}, which rgbench did not write; move it away, or the folder"
            )
    if folder.exists() and not folder.is_dir():
        raise StoreError(f"{folder}: is a file; move it away")
