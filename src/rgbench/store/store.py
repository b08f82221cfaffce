"""The store: one directory per run, named by the hash of the run's spec.

``STORE/runs/<run_id>/`` holds ``run.json`` (resolved spec, versions, machine, status),
``history.parquet``, ``predictions.parquet``, ``best.safetensors``, ``final.safetensors`` and
``cost.json``; while a run is under way also ``checkpoint.safetensors``. Every file is written
beside its place and moved there, so that a reader never sees half a file, and a lock keeps two
processes from computing the same run.
"""

from __future__ import annotations

import fcntl
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rgbench.errors import DataError, SpecError, StoreError
from rgbench.spec import RunSpec, validate
from rgbench.store.files import _read_json, write_json
from rgbench.store.tables import Predictions, read_history, read_predictions

STATUSES = ("running", "complete", "failed", "imported")
_PACKAGES = ("rgbench", "torch", "numpy", "scipy", "astropy", "pyarrow")


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
        The predictions table, once it is there.
    history : dict of str to ndarray
        Columns of the history, empty before the first is written.
    cost : dict
        Parameters, MACs, times and rates; see `rgbench.runs.execute`.
    provenance : dict
        Versions, machine, dates.
    notes : tuple of str
        What the run wants known, e.g. sources set aside.
    """

    run_id: str
    spec: RunSpec
    status: str
    error: str | None = None
    predictions: Predictions | None = None
    history: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    cost: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


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
        self, status: str, error: str | None = None, notes: tuple[str, ...] = (), device: str = "cpu"
    ) -> None:
        """Write ``run.json``: spec, status, error, notes, provenance."""
        content = {
            "run_id": self.spec.run_id,
            "spec": self.spec.model_dump(mode="json"),
            "status": status,
            "error": error,
            "notes": list(notes),
            "provenance": _provenance(device),
        }
        write_json(self.path / "run.json", content)

    def write_cost(self, cost: dict[str, Any]) -> None:
        """Write ``cost.json``."""
        write_json(self.path / "cost.json", cost)


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
            known = ", ".join(self.run_ids()[:8]) or "none"
            many = f"{len(found)} runs begin" if found else "no run begins"
            raise SpecError(f"{self.root}: {many} with {prefix!r}; runs there: {known}")
        return found[0]

    def is_complete(self, run_id: str) -> bool:
        """Tell whether a run is in the store and complete."""
        path = self.run_path(run_id) / "run.json"
        return path.exists() and _read_json(path)["status"] == "complete"

    def record(self, run_id: str) -> RunRecord:
        """Read what the store knows of a run.

        Raises
        ------
        StoreError
            If the run is not there or one of its files cannot be read.
        """
        path = self.run_path(run_id)
        content = _read_json(path / "run.json")
        predictions, history, cost = (
            path / name for name in ("predictions.parquet", "history.parquet", "cost.json")
        )
        return RunRecord(
            run_id=run_id,
            spec=validate(RunSpec, content["spec"], str(path / "run.json")),
            status=content["status"],
            error=content["error"],
            predictions=read_predictions(predictions) if predictions.exists() else None,
            history=read_history(history) if history.exists() else {},
            cost=_read_json(cost) if cost.exists() else {},
            provenance=content["provenance"],
            notes=tuple(content["notes"]),
        )

    def records(self, run_ids: list[str] | None = None) -> list[RunRecord]:
        """Read several runs; all of the store's by default."""
        return [self.record(run_id) for run_id in (self.run_ids() if run_ids is None else run_ids)]

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
            raise StoreError(f"{path}: is of run {table.run_id}, not of {run_id}")
        return table

    @contextmanager
    def claim(self, spec: RunSpec) -> Iterator[RunDirectory]:
        """Hold the lock of a run's directory; wait while another process holds it.

        The lock ends with the process, so a killed run can be claimed at once.
        """
        path = self.run_path(spec.run_id)
        try:
            path.mkdir(exist_ok=True)
            lock = (path / ".lock").open("a")
        except OSError as error:
            raise StoreError(f"{path}: cannot be written: {error.strerror or error}") from error
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield RunDirectory(path, spec)


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


def best_on_validation(records: list[RunRecord]) -> RunRecord:
    """Give the complete run with the best accuracy on validation data; never on test data."""
    complete = [record for record in records if record.status == "complete"]
    if not complete:
        raise DataError("the store holds no complete run; begin with rgbench quickstart")
    return max(complete, key=lambda r: float(np.max(r.history["validation_accuracy"])))


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
