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
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from rgbench.errors import SpecError, StoreError, raise_stop, shown
from rgbench.protocols.choices import Choice
from rgbench.spec import AnySpec, RunSpec
from rgbench.store.files import locked, write_json, writing
from rgbench.store.named import a_few
from rgbench.store.record import RUN_VERSION, check_own, read_record, read_run_file
from rgbench.store.record import RunRecord as RunRecord
from rgbench.store.tables import (
    Answers,
    Outputs,
    Predictions,
    read_answers,
    read_predictions,
)
from rgbench.version import version

_PACKAGES = ("torch", "numpy", "scipy", "astropy", "pyarrow")


@dataclass(frozen=True)
class RunDirectory:
    """The directory of one run, held under its lock."""

    path: Path
    spec: AnySpec

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
            # What of this machine made nothing of predictions made elsewhere is not said of them.
            "provenance": self._noted()
            | (_provenance(device) if isinstance(self.spec, RunSpec) else _written(("rgbench",))),
        }
        if outputs is not None:
            content |= {"classes": list(outputs.classes), "activation": outputs.activation}
        write_json(self.path / "run.json", content)

    def write_looks(self, looks: int) -> None:
        """Note that the run's seed is added because pairs are undecided, at one of so many looks; computed or not yet.

        The note stays when the run is computed later, or again.
        """
        self._note("looks", lambda known: looks)

    def write_choices(self, choices: Sequence[Choice]) -> None:
        """Note what was chosen for a study that the run belongs to, behind what was chosen for others.

        The note stays when the run is computed later, or again.
        """
        said = [choice.model_dump(mode="json", exclude_defaults=True) for choice in choices]
        self._note(
            "choices", lambda known: [*(known or ()), *(one for one in said if one not in (known or ()))]
        )

    def _note(self, key: str, changed: Callable[[Any], Any]) -> None:
        path = self.path / "run.json"
        if not path.exists():
            self.write_status("running")
        content = read_run_file(path)
        known = content["provenance"].get(key)
        if (now := changed(known)) != known:
            write_json(path, content | {"provenance": content["provenance"] | {key: now}})

    def _noted(self) -> dict[str, Any]:
        """Give what was noted of looks and choices; nothing of a file that is damaged, and written anew."""
        path = self.path / "run.json"
        try:
            provenance = read_run_file(path)["provenance"] if path.exists() else {}
        except StoreError as error:
            raise_stop(error)
            return {}
        return {key: value for key, value in provenance.items() if key in ("looks", "choices")}

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
    make : bool
        Whether the folder of its runs is made too, if that is not there: who only reads needs none.

    Raises
    ------
    StoreError
        If the folder cannot be made or written to.
    """

    def __init__(self, root: Path | str, make: bool = True) -> None:
        self.root = Path(root)
        self._runs = self.root / "runs"
        if not make and self.root.is_dir() and not self._runs.exists():
            return
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

    def _spec_of(self, run_id: str) -> AnySpec | None:
        """Give the spec of a run; None if it cannot be read."""
        try:
            return self.record(run_id).spec
        except (StoreError, SpecError) as error:
            raise_stop(error)
            return None

    def is_complete(self, run_id: str) -> bool:
        """Tell whether a run is in the store and complete."""
        path = self.run_path(run_id) / "run.json"
        return path.exists() and read_run_file(path)["status"] == "complete"

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
        content = read_run_file(path / "run.json")
        return RunState(content["status"], str(content["provenance"].get("written", "")))

    def record(self, run_id: str) -> RunRecord:
        """Read what the store knows of a run: ``run.json`` and ``cost.json`` now, its tables when they are used.

        Raises
        ------
        StoreError
            If the run is not there or one of its files cannot be read.
        """
        return read_record(self.run_path(run_id))

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

    def readable(
        self, on_error: Callable[[str, Exception], None] = lambda run_id, error: None
    ) -> Iterator[RunRecord]:
        """Give the runs whose spec and status can be read, one after another; tables are not looked at.

        Parameters
        ----------
        on_error : callable
            Told the id of each other run, and what is wrong with it. What it raises ends the work.
        """
        for run_id in self.run_ids():
            try:
                record = self.record(run_id)
            except (StoreError, SpecError) as error:
                raise_stop(error)
                on_error(run_id, error)
            else:
                yield record

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
        check_own(path, (answers.run_id, answers.outputs), record.outputs)
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
    def claim(self, spec: AnySpec) -> Iterator[RunDirectory]:
        """Make a run's directory, if it is not there, and hold its lock."""
        path = self.run_path(spec.run_id)
        with writing(path):
            path.mkdir(exist_ok=True)
        with self.lock(spec.run_id):
            yield RunDirectory(path, spec)

    def remove(self, run_id: str) -> None:
        """Remove a run and all that lies beside it.

        Raises
        ------
        StoreError
            If it cannot be removed.
        """
        path = self.run_path(run_id)
        try:
            with self.lock(run_id):
                shutil.rmtree(path)
        except OSError as error:
            raise StoreError(f"{path}: cannot be removed: {error.strerror or error}") from error


def _written(packages: Sequence[str]) -> dict[str, Any]:
    """Say when something is written, and with which versions."""
    versions = {"rgbench": version()}
    for name in packages:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return {"written": datetime.now(UTC).isoformat(timespec="seconds"), "versions": versions}


def _provenance(device: str) -> dict[str, Any]:
    return _written(_PACKAGES) | {
        "python": sys.version.split()[0],
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "device": device,
    }
