"""Results of a store as one file: what was run, what came out, on which machine, and what was seen in training.

The same store gives the same bytes: files in the order of their names, no times, nothing packed (tables are packed
already, and what a packing library makes depends on its version).
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rgbench.bundles.cards import cards
from rgbench.bundles.manifest import (
    CARDS,
    FORMAT,
    MANIFEST,
    TABLES,
    WEIGHTS,
    BundledFile,
    LeftOut,
    Manifest,
    TaskName,
)
from rgbench.bundles.statements import Stated, check_statements, statements
from rgbench.errors import DataError, StoreError
from rgbench.store.files import check_output, into_place, read_json
from rgbench.store.store import RunRecord, Store
from rgbench.tasks.catalogue import Task
from rgbench.tasks.check import why_not
from rgbench.version import version

_PRIVATE = ("path", "manifest", "class_labels")
"""Keys of a run's data that name files of its machine; ids do not depend on them."""
_DAY = (1980, 1, 1, 0, 0, 0)
"""The first that a ZIP archive can hold."""
_REGULAR = 0o100644


@dataclass(frozen=True)
class BundleSpec:
    """What goes into a bundle.

    Attributes
    ----------
    stated : Stated
        What networks were trained on, and who states it.
    task : Task, optional
        Only runs of it are taken; without one, every complete run.
    weights : bool
        Whether weights are taken too.
    overwrite : bool
        Whether a file that is there is replaced.
    """

    stated: Stated
    task: Task | None = None
    weights: bool = False
    overwrite: bool = False


def write_bundle(
    store: Store, out: Path, spec: BundleSpec, on_damage: Callable[[str], None] | None = None
) -> Manifest:
    """Write the results of a store as one file.

    Parameters
    ----------
    store : Store
        Where the runs are.
    out : path
        The file, ``.zip``.
    spec : BundleSpec
        What goes into it.
    on_damage : callable, optional
        Told, in a sentence, of each run that is left out because it cannot be read, as by
        `rgbench.store.store.Store.records`. Left out, the first such run is an error.

    Returns
    -------
    Manifest
        What stands in it; `left_out` says which runs do not, and why.

    Raises
    ------
    SpecError
        If the file is there already, nobody states what was seen in training, or the runs contradict it.
    DataError
        If no run is complete, or none is of the task: the message says why.
    StoreError
        If a run cannot be read or the file cannot be written.
    """
    check_output(out, spec.overwrite)
    taken, left_out = _choose(store, spec.task, on_damage)
    stated = statements(taken, spec.stated, spec.task)
    check_statements(stated, taken, spec.task)
    contents = {CARDS: _json(cards(taken, spec.task))}
    names = _run_files(store, taken, spec.weights)
    files = {CARDS: _listed(contents[CARDS])} | {
        name: _listed(_content(path)) for name, path in names.items()
    }
    manifest = Manifest(
        version=FORMAT,
        made_with=f"rgbench {version()}",
        task=TaskName(name=spec.task.name, checksum=spec.task.checksum) if spec.task else None,
        statements=stated,
        left_out=tuple(left_out),
        files=dict(sorted(files.items())),
    )
    contents[MANIFEST] = _json(manifest.model_dump(mode="json"))
    _write(out, contents, names)
    return manifest


def _choose(
    store: Store, task: Task | None, on_damage: Callable[[str], None] | None
) -> tuple[list[RunRecord], list[LeftOut]]:
    """Give the runs that are taken, networks and seeds in order, and those that are not."""
    records = sorted(
        store.records(on_damage=on_damage),
        key=lambda r: (r.spec.network.label, r.spec.data.split, r.spec.seed, r.run_id),
    )
    taken, left_out = [], []
    for record in records:
        why = _incomplete(record) or (why_not(task, record) if task else "")
        if why:
            spec = record.spec
            left_out.append(
                LeftOut(run_id=record.run_id, network=spec.network.label, seed=spec.seed, why=why)
            )
        else:
            taken.append(record)
    if not taken:
        whose = f"of {task.name}" if task else "complete"
        first = f"; run {left_out[0].run_id} ({left_out[0].network}) {left_out[0].why}" if left_out else ""
        raise DataError(f"{store.root}: none of its {len(records)} runs is {whose}{first}")
    return taken, left_out


def _incomplete(record: RunRecord) -> str:
    # Errors of failed runs are left to their store: they name files of its machine.
    if record.status != "complete":
        return f"is not complete: {record.status}"
    return "" if record.predictions is not None else "has no predictions"


def _run_files(store: Store, records: Sequence[RunRecord], weights: bool) -> dict[str, Path]:
    """Give the files of runs by their names in the bundle."""
    wanted = (*TABLES, *WEIGHTS) if weights else TABLES
    places = {
        f"runs/{record.run_id}/{file}": store.run_path(record.run_id) / file
        for record in records
        for file in wanted
    }
    return {name: path for name, path in sorted(places.items()) if path.exists()}


def _content(path: Path) -> bytes:
    """Read a file of a run; of ``run.json`` what names files of this machine is left out."""
    if path.name == "run.json":
        content = read_json(path)
        content["spec"]["data"] |= {key: None for key in _PRIVATE if key in content["spec"]["data"]}
        return _json(content)
    try:
        return path.read_bytes()
    except OSError as error:
        raise StoreError(f"{path}: cannot be read: {error.strerror or error}") from error


def _listed(content: bytes) -> BundledFile:
    return BundledFile(bytes=len(content), sha256=hashlib.sha256(content).hexdigest())


def _json(content: Any) -> bytes:
    return (json.dumps(content, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()


def _write(out: Path, contents: Mapping[str, bytes], files: Mapping[str, Path]) -> None:
    """Write an archive, its manifest first, so that a reader knows at once what follows."""
    with into_place(out) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for name in (MANIFEST, CARDS, *files):
            info = zipfile.ZipInfo(name, _DAY)
            info.create_system, info.external_attr = 3, _REGULAR << 16
            archive.writestr(info, contents[name] if name in contents else _content(files[name]))
