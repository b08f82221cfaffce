"""What the store knows of a run, read and checked: ``run.json`` and ``cost.json`` at once, tables when asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import MappingProxyType, UnionType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rgbench.errors import SpecError, StoreError, one_line, shown
from rgbench.notebook import Tabular
from rgbench.protocols.choices import Choice, read_choices
from rgbench.spec import AnySpec, RunSpec, ScoredSpec
from rgbench.store.files import check_version, read_json
from rgbench.store.lazy import LazyField
from rgbench.store.named import named
from rgbench.store.shown import run_html
from rgbench.store.tables import Outputs, Predictions, read_history, read_outputs, read_predictions
from rgbench.validation import validate

RUN_VERSION = 1
"""Of ``run.json`` and ``cost.json``; those of before had none, and are read as 1."""
STATUSES = ("running", "complete", "failed", "imported")
LOOKS = 4
"""Times that pairs are compared at most: with three seeds, then five, seven and nine."""
NO_WEIGHTS = "predictions made elsewhere and has no weights"
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
class RunRecord(Tabular):
    """What the store knows of one run.

    Attributes
    ----------
    run_id : str
        Hash of the spec.
    spec : RunSpec or ScoredSpec
        The resolved spec; a `ScoredSpec` where predictions were made elsewhere.
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
    spec: AnySpec
    status: str
    error: str | None = None
    predictions: LazyField[Predictions | None] = LazyField(lambda: None)
    history: LazyField[dict[str, NDArray[np.float64]]] = LazyField(dict)
    cost: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    outputs: Outputs | None = None

    @property
    def elsewhere(self) -> bool:
        """Whether its predictions were made elsewhere: it has no weights, no history and no recipe."""
        return isinstance(self.spec, ScoredSpec)

    @property
    def trained(self) -> RunSpec:
        """The spec of a run that was trained here, or imported with its weights.

        Raises
        ------
        SpecError
            If its predictions were made elsewhere.
        """
        if isinstance(self.spec, ScoredSpec):
            raise SpecError(f"run {named(self.run_id, self.spec)} holds {NO_WEIGHTS}")
        return self.spec

    @property
    def looks(self) -> int:
        """How often a study was to be looked at, at most, whose undecided pairs this run's seed was added for; or 1."""
        looks = self.provenance.get("looks", 1)
        return looks if isinstance(looks, int) and 1 <= looks <= LOOKS else 1

    @property
    def choices(self) -> tuple[Choice, ...]:
        """What was chosen for the studies that it belongs to, as their tables ``[[choices]]`` told.

        Raises
        ------
        StoreError
            If the store's file holds something else there.
        """
        try:
            return read_choices(self.provenance.get("choices", []), f"run {self.run_id}")
        except SpecError as error:
            raise StoreError(f"{error}. The file run.json is damaged") from error

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

    def table(self) -> dict[str, NDArray[np.float64]]:
        """Give the history of the run, a row per epoch."""
        return self.history

    def __repr__(self) -> str:
        return f"<run {self.run_id}: {self.spec.network.label}, seed {self.spec.seed}, {self.status}>"

    def _repr_html_(self) -> str:
        return run_html(self)


def read_record(folder: Path) -> RunRecord:
    """Read what stands in the directory of a run: ``run.json`` and ``cost.json`` now, its tables when they are used.

    Raises
    ------
    StoreError
        If the run is not there or one of its files cannot be read.
    """
    content = read_run_file(folder / "run.json")
    outputs = _outputs(folder / "run.json", content)
    return RunRecord(
        run_id=folder.name,
        spec=_spec(folder / "run.json", content),
        status=content["status"],
        error=content["error"],
        predictions=partial(_predictions, folder / "predictions.parquet", outputs),
        history=partial(_history, folder / "history.parquet"),
        cost=_read_cost(folder / "cost.json"),
        provenance=content["provenance"],
        notes=tuple(content["notes"]),
        outputs=outputs,
    )


def read_run_file(path: Path) -> dict[str, Any]:
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


def _spec(path: Path, content: dict[str, Any]) -> AnySpec:
    """Read the spec; raise `StoreError` if it is not the one that the run is named after."""
    kind: type[AnySpec] = ScoredSpec if "elsewhere" in content["spec"] else RunSpec
    try:
        spec = validate(kind, content["spec"], str(path))
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


def _predictions(path: Path, outputs: Outputs | None) -> Predictions | None:
    """Read a run's predictions; raise `StoreError` if they are another run's, or have other classes."""
    if not path.exists():
        return None
    check_own(path, read_outputs(path), outputs)
    return read_predictions(path)


def check_own(path: Path, told: tuple[str, Outputs], outputs: Outputs | None) -> None:
    """Raise `StoreError` if a predictions table is of another run, or contradicts the run's ``run.json``.

    Parameters
    ----------
    path : path
        The table, in the directory of the run.
    told : (str, Outputs)
        The run, and the outputs, that it is of, as it tells itself.
    outputs : Outputs or None
        Those that ``run.json`` tells, if it does.
    """
    (whose, found), run_id = told, path.parent.name
    if whose != run_id:
        raise StoreError(f"{path}: is of run {shown(whose)}, not of {run_id}")
    if outputs is not None and found != outputs:
        raise StoreError(
            f"{path}: has the classes {', '.join(found.classes)} and the activation {found.activation}; run.json "
            f"says {', '.join(outputs.classes)} and {outputs.activation}"
        )


def _history(path: Path) -> dict[str, NDArray[np.float64]]:
    return read_history(path) if path.exists() else {}
