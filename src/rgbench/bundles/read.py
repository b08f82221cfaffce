"""Bundles of others, opened: whatever stands in them, they are read whole and sound, or refused in a sentence."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rgbench.bundles.manifest import CARDS, FORMAT, MANIFEST, Manifest
from rgbench.bundles.sound import check_sound
from rgbench.bundles.statements import check_statements
from rgbench.data.public.archive import Limits, read_members
from rgbench.data.public.fetch import sha256_of
from rgbench.errors import ChecksumError, DataError, RgbenchError, SpecError, raise_stop, shown
from rgbench.store.conditions import read_conditions
from rgbench.store.files import check_version, make_folder, writing
from rgbench.store.store import RunRecord, Store
from rgbench.store.tables import Predictions
from rgbench.tasks.catalogue import Task, tasks
from rgbench.tasks.check import check_run
from rgbench.validation import validate

_MEMBERS = 20_000
_LARGEST_FILE = 1 << 30
_LARGEST = 4 << 30
_MOST_PACKED, _SMALL = 20, 1 << 24
"""A bundle packs nothing; one that somebody packed again unpacks to so many times its size, or to 16 MiB."""
_LONGEST_MANIFEST = 1 << 25


@dataclass(frozen=True)
class Bundle:
    """What stands in a bundle.

    Attributes
    ----------
    path : Path
        The file.
    sha256 : str
        Of the file.
    manifest : Manifest
        Its ``bundle.json``.
    task : Task or None
        The task that all its runs are of, as it is known here.
    records : tuple of RunRecord
        Its runs, tables read.
    conditions : dict of str to Predictions
        Predictions on disturbed images, and on second ones, by run id.
    """

    path: Path
    sha256: str
    manifest: Manifest
    task: Task | None
    records: tuple[RunRecord, ...]
    conditions: dict[str, Predictions]


def read_bundle(path: Path | str) -> Bundle:
    """Read a bundle, and check all that can be checked in it.

    Checked are its names, lengths and checksums, the id of every run, its tables and whether they contradict each
    other, the task of which it says to be, and whether its runs contradict what it states of training. Its files are
    written to a folder of their own among the system's temporary ones while it is read, under names that are known
    beforehand.

    Parameters
    ----------
    path : path
        The file.

    Raises
    ------
    StoreError
        If it is of a newer format, or a run in it cannot be read.
    ChecksumError
        If a file is not the one that it lists.
    DataError
        If it is no bundle, holds other files than it lists, leads elsewhere, unpacks to too much, or is not what it
        says to be.
    SpecError
        If its task is not known here.
    """
    path = Path(path)
    with TemporaryDirectory(prefix="rgbench-bundle-") as name, _named(path, Path(name)):
        manifest = _unpack(path, Path(name))
        task = _task(path, manifest)
        store = Store(name)
        records = store.records()
        conditions = {}
        for record in records:
            if record.status != "complete" or record.predictions is None:
                raise DataError(f"{path}: the run {record.run_id} is not complete")
            _ = record.history  # lazily read otherwise, when the file is gone
            found = read_conditions(store, record.run_id)
            if found is not None:
                conditions[record.run_id] = found
    if not records:
        raise DataError(f"{path}: holds no run")
    bundle = Bundle(path, sha256_of(path), manifest, task, tuple(records), conditions)
    if task is not None:
        check_task(bundle, task)
    with said_of(path):
        for record in records:
            check_sound(record, conditions.get(record.run_id))
        check_statements(manifest.statements, records, task)
    return bundle


def check_task(bundle: Bundle, task: Task) -> None:
    """Raise `DataError`, which names the bundle and the run, if one of its runs is not of a task."""
    with said_of(bundle.path):
        for record in bundle.records:
            check_run(task, record)


@contextmanager
def said_of(path: Path) -> Iterator[None]:
    """Have a `DataError` name the bundle that it is said of.

    Examples
    --------
    >>> with said_of(Path("results.zip")):
    ...     raise DataError("holds no run")
    Traceback (most recent call last):
    rgbench.errors.DataError: results.zip: holds no run
    """
    try:
        yield
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


@contextmanager
def _named(path: Path, folder: Path) -> Iterator[None]:
    """Have errors of the reader name the bundle and the file in it, not the place where it lies meanwhile."""
    try:
        yield
    except RgbenchError as error:
        raise_stop(error)
        said = str(error).replace(f"{folder}/", "")
        raise type(error)(said if str(path) in said else f"{path}: {said}") from error


def _unpack(path: Path, folder: Path) -> Manifest:
    """Write the files of a bundle into a folder, each as soon as its checksum is known to be right."""
    try:
        size = path.stat().st_size
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    total = min(_LARGEST, max(_MOST_PACKED * size, _SMALL))
    members = read_members(path, Limits(_MEMBERS, min(_LARGEST_FILE, total), total))
    name, content = next(members, ("", b""))
    if name != MANIFEST:
        raise DataError(f"{path}: is no bundle of rgbench: its first file is not {MANIFEST}")
    manifest = _manifest(path, content)
    left = dict(manifest.files)
    for name, content in members:
        if name not in left:
            raise DataError(f"{path}: holds the file {name!r}, which its {MANIFEST} does not list")
        expected = left.pop(name)
        found = hashlib.sha256(content).hexdigest()
        if (len(content), found) != (expected.bytes, expected.sha256):
            raise ChecksumError(
                f"{path}: the file {name} has the SHA-256 {found}, its {MANIFEST} says {expected.sha256}"
            )
        if name == CARDS:
            _table(path, name, content)
        place = folder / name  # the manifest lists no name that leads elsewhere
        make_folder(place.parent)
        with writing(place):
            place.write_bytes(content)
    if left:
        raise DataError(f"{path}: lacks the file {min(left)}, which its {MANIFEST} lists")
    return manifest


def _manifest(path: Path, content: bytes) -> Manifest:
    if len(content) > _LONGEST_MANIFEST:
        raise DataError(f"{path}: its {MANIFEST} has more than {_LONGEST_MANIFEST:,} bytes")
    found = _table(path, MANIFEST, content)
    # Before its keys, which a newer release may have more of.
    check_version(path, found.get("version"), FORMAT)
    try:
        return validate(Manifest, found, f"{path}: {MANIFEST}")
    except SpecError as error:
        raise DataError(str(error)) from None


def _table(path: Path, name: str, content: bytes) -> dict[str, Any]:
    """Read a JSON file of a bundle; `DataError` if it is none, has a key twice, or holds no table."""
    try:
        found = json.loads(content, object_pairs_hook=_once)
    except DataError as error:
        raise DataError(f"{path}: its {name} {error}") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: its {name} is no JSON") from error
    if not isinstance(found, dict):
        raise DataError(f"{path}: its {name} is {shown(found)}; a table is legal")
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make a table of its keys and values; of a key that stands there twice readers may take the one or the other."""
    table = dict(pairs)
    if len(table) != len(pairs):
        twice = min(key for key, times in Counter(key for key, _ in pairs).items() if times > 1)
        raise DataError(f"has the key {shown(twice)} twice")
    return table


def _task(path: Path, manifest: Manifest) -> Task | None:
    """Give the task that a bundle names, if it is the one known here."""
    if manifest.task is None:
        return None
    try:
        task = tasks().get(manifest.task.name)
    except SpecError as error:
        raise SpecError(f"{path}: {error}") from None
    if task.checksum != manifest.task.checksum:
        raise ChecksumError(
            f"{path}: is of {task.name} with the checksum {manifest.task.checksum}; the task here has {task.checksum}"
        )
    return task
