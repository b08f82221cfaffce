"""The store: one directory per run, named by the hash of the run's spec.

``STORE/runs/<run_id>/`` holds ``run.json`` (resolved spec, versions, machine, status),
``history.parquet``, ``predictions.parquet``, ``best.safetensors``, ``final.safetensors`` and
``cost.json``; while a run is under way also ``checkpoint.safetensors``. Every file is written
beside its place and moved there, so that a reader never sees half a file, and a lock keeps two
processes from working in one directory.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from importlib import metadata
from pathlib import Path
from types import MappingProxyType, UnionType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rgbench.errors import SpecError, StoreError, one_line, raise_stop, shown
from rgbench.spec import RunSpec
from rgbench.store.files import check_version, locked, read_json, write_json
from rgbench.store.lazy import LazyField
from rgbench.store.named import a_few
from rgbench.store.tables import (
    Answers,
    Outputs,
    Predictions,
    read_answers,
    read_history,
    read_outputs,
    read_predictions,
)
from rgbench.validation import validate

RUN_VERSION = 1
"""Of ``run.json`` and ``cost.json``; those of before had none, and are read as 1."""
STATUSES = ("running", "complete", "failed", "imported")
_PACKAGES = ("rgbench", "torch", "numpy", "scipy", "astropy", "pyarrow")
_KEYS: Mapping[str, type | UnionType] = MappingProxyType(
    {"spec": dict, "status": str, "error": str | None, "provenance": dict, "notes": list}
)
"""What must stand in ``run.json``, and of what kind."""
_COST_KINDS: Mapping[str, type | UnionType] = MappingProxyType(
    {
        "device": str,
        "precision": str,
        "pretraining_losses": list,
        "evaluation": dict,
        "best_epoch": int | None,
    }
)
"""What in ``cost.json`` is not any number."""
_LARGEST = 10**300
"""Above it a whole number is no float64."""


@dataclass(frozen=True)
class RunRecord:
    """What the store knows of one run.

    Attributes
    ----------
    run_id : str
        Hash of the spec.
    spec : RunSpec
        The resolved spec.
    status : {"running", "complete", "failed", "imported"}
        "imported" runs have weights, but were not trained here and take no part in comparisons;
        "running" also after a kill: such a run goes on when it is asked for again.
    error : str or None
        Why the run failed.
    predictions : Predictions or None
        The predictions table, once it is there. The store reads it when it is first asked for, and so the
        history; `StoreError` is raised then if the file cannot be read.
    history : dict of str to ndarray
        Columns of the history, empty before the first is written.
    cost : dict
        Parameters, MACs, times and rates; see `rgbench.runs.execute`.
    provenance : dict
        Versions, machine, dates.
    notes : tuple of str
        What the run wants known, e.g. sources set aside.
    outputs : Outputs or None
        Classes and activation as ``run.json`` tells them; None in a store of before it did.
    """

    run_id: str
    spec: RunSpec
    status: str
    error: str | None = None
    predictions: LazyField[Predictions | None] = LazyField(lambda: None)
    history: LazyField[dict[str, NDArray[np.float64]]] = LazyField(dict)
    cost: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    outputs: Outputs | None = None

    @property
    def lacking(self) -> str:
        """What keeps a run from being complete, in words; "" for a complete one. Nothing tells a stopped run apart."""
        if self.status == "running":
            return "not finished: it is being computed, or was stopped"
        said = "" if self.status == "complete" else self.status
        return f"{said}: {self.error}" if said and self.error else said

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of the outputs; empty where nothing tells them, as in a failed run."""
        meant = self.predictions if self.outputs is None else self.outputs
        return () if meant is None else meant.classes

    @property
    def activation(self) -> str:
        """The output activation, "softmax" or "sigmoid"; "" where nothing tells it."""
        meant = self.predictions if self.outputs is None else self.outputs
        return "" if meant is None else meant.activation


@dataclass(frozen=True)
class RunDirectory:
    """The directory of one run, held under its lock."""

    path: Path
    spec: RunSpec

    @property
    def predictions(self) -> Path:
        """Path of the predictions table."""
        return self.path / "predictions.parquet"

    @property
    def history(self) -> Path:
        """Path of the history table."""
        return self.path / "history.parquet"

    @property
    def checkpoint(self) -> Path:
        """Path of the checkpoint of a run under way."""
        return self.path / "checkpoint.safetensors"

    def weights(self, model: str) -> Path:
        """Path of the weights of the "best" or the "final" model."""
        return self.path / f"{model}.safetensors"

    def write_status(
        self,
        status: str,
        error: str | None = None,
        notes: tuple[str, ...] = (),
        device: str = "cpu",
        outputs: Outputs | None = None,
    ) -> None:
        """Write ``run.json``: spec, status, error, notes, provenance; classes and activation once they are known."""
        content = {
            "version": RUN_VERSION,
            "run_id": self.spec.run_id,
            "spec": self.spec.model_dump(mode="json"),
            "status": status,
            "error": error,
            "notes": list(notes),
            "provenance": _provenance(device),
        }
        if outputs is not None:
            content |= {"classes": list(outputs.classes), "activation": outputs.activation}
        write_json(self.path / "run.json", content)

    def write_cost(self, cost: dict[str, Any]) -> None:
        """Write ``cost.json``."""
        write_json(self.path / "cost.json", {"version": RUN_VERSION, **cost})


class RunState(NamedTuple):
    """How far a run is: its status, and when that was written."""

    status: str
    written: str


class Store:
    """A folder of runs.

    Parameters
    ----------
    root : path
        The folder; made if it is not there.

    Raises
    ------
    StoreError
        If the folder cannot be made or written to.
    """

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)
        self._runs = self.root / "runs"
        try:
            self._runs.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"{self.root}: the store cannot be made: {error.strerror or error}") from error
        if not os.access(self._runs, os.W_OK):
            raise StoreError(f"{self._runs}: the store is not writable")

    def run_path(self, run_id: str) -> Path:
        """Give the directory of a run, there or not."""
        return self._runs / run_id

    def run_ids(self) -> list[str]:
        """List the runs that have a ``run.json``, in the order of their names."""
        return sorted(path.parent.name for path in self._runs.glob("*/run.json"))

    def find(self, prefix: str) -> str:
        """Give the one run id that begins with `prefix`; raise `SpecError` if none or several do."""
        found = [run_id for run_id in self.run_ids() if run_id.startswith(prefix)]
        if len(found) != 1:
            many = f"{len(found)} runs begin" if found else "no run begins"
            whose = "these are" if found else "the store holds"
            raise SpecError(f"{self.root}: {many} with {prefix!r}; {whose} {self.held(found)}")
        return found[0]

    def held(self, run_ids: Sequence[str] | None = None) -> str:
        """Name a few of some runs, or of all: network, seed and the beginning of the id."""
        return a_few({run_id: self._spec_of(run_id) for run_id in run_ids or self.run_ids()})

    def _spec_of(self, run_id: str) -> RunSpec | None:
        """Give the spec of a run; None if it cannot be read."""
        try:
            return self.record(run_id).spec
        except (StoreError, SpecError) as error:
            raise_stop(error)
            return None

    def is_complete(self, run_id: str) -> bool:
        """Tell whether a run is in the store and complete."""
        path = self.run_path(run_id) / "run.json"
        return path.exists() and _read_run(path)["status"] == "complete"

    def state(self, run_id: str) -> RunState | None:
        """Read how far a run is, in which other processes may be writing; None if nothing is there yet.

        Raises
        ------
        StoreError
            If ``run.json`` is damaged.
        """
        path = self.run_path(run_id)
        # Network file systems look anew at a folder that is listed.
        if not path.is_dir() or path / "run.json" not in list(path.iterdir()):
            return None
        content = _read_run(path / "run.json")
        return RunState(content["status"], str(content["provenance"].get("written", "")))

    def record(self, run_id: str) -> RunRecord:
        """Read what the store knows of a run: ``run.json`` and ``cost.json`` now, its tables when they are used.

        Raises
        ------
        StoreError
            If the run is not there or one of its files cannot be read.
        """
        path = self.run_path(run_id)
        content = _read_run(path / "run.json")
        outputs = _outputs(path / "run.json", content)
        return RunRecord(
            run_id=run_id,
            spec=_spec(path / "run.json", content),
            status=content["status"],
            error=content["error"],
            predictions=partial(_predictions, path / "predictions.parquet", run_id, outputs),
            history=partial(_history, path / "history.parquet"),
            cost=_read_cost(path / "cost.json"),
            provenance=content["provenance"],
            notes=tuple(content["notes"]),
            outputs=outputs,
        )

    def records(
        self, run_ids: list[str] | None = None, on_damage: Callable[[str], None] | None = None
    ) -> list[RunRecord]:
        """Read several runs; all of the store's by default.

        Parameters
        ----------
        run_ids : list of str, optional
            Which.
        on_damage : callable, optional
            Told, in a sentence, of each run that is left out because ``run.json``, ``cost.json`` or a table of its
            own cannot be read: the tables are read at once then. Left out, the first such run is an error.

        Raises
        ------
        StoreError
            If a run cannot be read, and nobody is told of it.
        """
        found = []
        for run_id in self.run_ids() if run_ids is None else run_ids:
            try:
                record = self.record(run_id)
                if on_damage is not None:
                    _ = record.predictions, record.history
            except (StoreError, SpecError) as error:
                if on_damage is None:
                    raise
                raise_stop(error)
                on_damage(self.left_out(run_id, error))
            else:
                found.append(record)
        return found

    def answers(self, record: RunRecord, model: str = "best") -> Answers | None:
        """Read what a run's model said of its sources, as lists of many runs need it; None if there is no table.

        Raises
        ------
        StoreError
            If it cannot be read, is of another run, or has other classes.
        """
        path = self.run_path(record.run_id) / "predictions.parquet"
        if not path.exists():
            return None
        answers = read_answers(path, model)
        _check_own(path, (answers.run_id, answers.outputs), record.run_id, record.outputs)
        return answers

    def left_out(self, run_id: str, error: Exception) -> str:
        """Say that a run is left out, why, and how it is computed again."""
        return f"Run {run_id} is left out: {error}. {self.anew(run_id)} that made it."

    def anew(self, run_id: str) -> str:
        """Say how a damaged run is computed again, up to which command it is."""
        return f"To compute it again, delete the folder {self.run_path(run_id)} and give the command again"

    def beside(self, run_id: str, file: str) -> Predictions | None:
        """Read a table that was added to a run later; None if it is not there.

        Raises
        ------
        StoreError
            If it cannot be read, or is of another run.
        """
        path = self.run_path(run_id) / file
        if not path.exists():
            return None
        table = read_predictions(path)
        if table.run_id != run_id:
            raise StoreError(f"{path}: is of run {shown(table.run_id)}, not of {run_id}")
        return table

    def lock(self, run_id: str) -> AbstractContextManager[None]:
        """Hold the lock of a run's directory, which is there; wait while another process holds it.

        Whoever writes beside a run holds it from before reading what is there. It ends with the process, so a
        killed run can be claimed at once; on network file systems see `rgbench.store.files.locked`.
        """
        return locked(self.run_path(run_id) / ".lock")

    @contextmanager
    def claim(self, spec: RunSpec) -> Iterator[RunDirectory]:
        """Make a run's directory, if it is not there, and hold its lock."""
        path = self.run_path(spec.run_id)
        try:
            path.mkdir(exist_ok=True)
        except OSError as error:
            raise StoreError(f"{path}: cannot be written: {error.strerror or error}") from error
        with self.lock(spec.run_id):
            yield RunDirectory(path, spec)


def _read_run(path: Path) -> dict[str, Any]:
    """Read ``run.json``; raise `StoreError` if a key is missing or of another kind than runs have."""
    content = read_json(path)
    if isinstance(content, dict):
        check_version(path, content.get("version", RUN_VERSION), RUN_VERSION)
    missing = [key for key in _KEYS if key not in content] if isinstance(content, dict) else list(_KEYS)
    if missing:
        raise StoreError(f"{path}: cannot be read: it lacks {', '.join(missing)}")
    for key, kind in _KEYS.items():
        if not isinstance(content[key], kind):
            raise StoreError(f"{path}: cannot be read: {key} is {shown(content[key])}")
    if not isinstance(content["provenance"].get("versions", {}), dict):
        raise StoreError(f"{path}: cannot be read: versions is {shown(content['provenance']['versions'])}")
    if content.get("run_id") != path.parent.name:
        raise StoreError(f"{path}: is of run {shown(content.get('run_id'))}, not of {path.parent.name}")
    if content["status"] not in STATUSES:
        raise StoreError(f"{path}: status is {shown(content['status'])}; legal are {', '.join(STATUSES)}")
    return dict(content)


def _spec(path: Path, content: dict[str, Any]) -> RunSpec:
    """Read the spec; raise `StoreError` if it is not the one that the run is named after."""
    try:
        spec = validate(RunSpec, content["spec"], str(path))
    except SpecError as error:
        raise StoreError(f"{path}: cannot be read: {one_line(error)}") from error
    if spec.run_id != content["run_id"]:
        raise StoreError(f"{path}: is damaged: its spec is that of run {spec.run_id}")
    return spec


def _read_cost(path: Path) -> dict[str, Any]:
    """Read ``cost.json``, if there is one; raise `StoreError` if it is no table of costs."""
    cost = read_json(path) if path.exists() else {}
    if not isinstance(cost, dict):
        raise StoreError(f"{path}: cannot be read: it is {type(cost).__name__}, not a table of costs")
    check_version(path, cost.pop("version", RUN_VERSION), RUN_VERSION)
    for key, value in cost.items():
        kind = _COST_KINDS.get(key, int | float | None)
        if not isinstance(value, kind) or isinstance(value, bool):
            raise StoreError(f"{path}: cannot be read: {key} is {shown(value)}")
        if isinstance(value, int) and abs(value) > _LARGEST:
            raise StoreError(f"{path}: cannot be read: {key} is {shown(value)}, larger than any cost")
    return cost


def _outputs(path: Path, content: dict[str, Any]) -> Outputs | None:
    classes, activation = content.get("classes"), content.get("activation")
    if classes is None or activation is None:
        return None
    if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
        raise StoreError(f"{path}: cannot be read: classes is {shown(classes)}")
    try:
        return Outputs(tuple(classes), activation)
    except StoreError as error:
        raise StoreError(f"{path}: {error}") from None


def _predictions(path: Path, run_id: str, outputs: Outputs | None) -> Predictions | None:
    """Read a run's predictions; raise `StoreError` if they are another run's, or have other classes."""
    if not path.exists():
        return None
    check_own(path, run_id, outputs)
    return read_predictions(path)


def check_own(path: Path, run_id: str, outputs: Outputs | None) -> None:
    """Raise `StoreError` if a predictions table is of another run, or contradicts the run's ``run.json``."""
    _check_own(path, read_outputs(path), run_id, outputs)


def _check_own(path: Path, told: tuple[str, Outputs], run_id: str, outputs: Outputs | None) -> None:
    whose, found = told
    if whose != run_id:
        raise StoreError(f"{path}: is of run {shown(whose)}, not of {run_id}")
    if outputs is not None and found != outputs:
        raise StoreError(
            f"{path}: has the classes {', '.join(found.classes)} and the activation {found.activation}; run.json "
            f"says {', '.join(outputs.classes)} and {outputs.activation}"
        )


def _history(path: Path) -> dict[str, NDArray[np.float64]]:
    return read_history(path) if path.exists() else {}


def _provenance(device: str) -> dict[str, Any]:
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return {
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": sys.version.split()[0],
        "versions": versions,
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "device": device,
    }


DOUBT_FILE = "doubt.parquet"
"""Rows of Monte-Carlo dropout, in the directory of the run."""


MC_DROPOUT = "mc-dropout"


SIDES = ("validation", "test")


def read_doubt(store: Store, run_id: str) -> Predictions | None:
    """Read a run's rows of Monte-Carlo dropout; None if there are none yet.

    Raises
    ------
    StoreError
        If the table cannot be read, or is of another run.
    """
    return store.beside(run_id, DOUBT_FILE)
