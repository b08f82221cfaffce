"""The runs, their settings and machines."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from rgbench import numbers
from rgbench.report.blocks import Fold, Listing, Section, Table
from rgbench.report.cells import Cell
from rgbench.report.material import Runs
from rgbench.spec import ScoredSpec
from rgbench.store.store import RunRecord
from rgbench.store.tables import MODELS

_PRIVATE = ("data.path", "data.manifest", "data.class_labels")


_SAID = ("network.name", "seed")
"""Settings that have a column of their own."""


_ALWAYS = ("network", "run", "seed", "status", "time", "peak memory", "written")
"""Columns of the runs that stand there even where all runs share them."""


_MACHINE = ("device", "precision", "machine", "versions")


_ELSEWHERE = (
    "Predictions made elsewhere were scored as they are. What is said of them was stated by whoever gave them, and "
    "nobody has checked it; notes below say what was checked."
)


def section(runs: Runs) -> Section:
    """Tell how each run was made."""
    notes = tuple(dict.fromkeys(note for record in runs.records for note in record.notes))
    listed = Fold(f"{numbers.counted(len(notes), 'note')} on the data", (Listing(notes, small=True),))
    said = "The id of a run is a hash of its settings: the same settings give the same id on every machine."
    trained = [record for record in runs.records if not record.elsewhere]
    scored = [record for record in runs.records if record.elsewhere]
    return Section(
        "runs",
        "Runs",
        "How it was made",
        finding=f"{numbers.capital(numbers.counted(len(runs.records), 'run'))}, their settings, machines and versions.",
        sentences=(f"{said} {machine_words(trained)}".strip(), *([_ELSEWHERE] if scored else [])),
        tables=(
            *((runs_table(trained), settings_table(trained)) if trained else ()),
            *((scored_table(scored),) if scored else ()),
        ),
        blocks=(listed,) if notes else (),
    )


def scored_table(records: Sequence[RunRecord]) -> Table:
    """Tell what is known of predictions that were made elsewhere, as far as it was stated."""
    rows = [_stated(record) for record in records]
    names = [name for name in rows[0] if any(row[name].text != numbers.NONE for row in rows)]
    cells = tuple(tuple(row[name] for name in names) for row in rows)
    return Table(
        "elsewhere",
        "Predictions made elsewhere",
        tuple(names),
        cells,
        frozenset(range(1, len(names))),
        headed=False,
    )


def _stated(record: RunRecord) -> dict[str, Cell]:
    """Give what was stated of predictions made elsewhere, by the heading of its column."""
    spec, none = record.spec, numbers.NONE
    assert isinstance(spec, ScoredSpec)
    stated, sources = spec.elsewhere, 0
    if record.predictions is not None:
        sources = len(record.predictions.select("test", MODELS[0]))
    return {
        "network": Cell(spec.network.name),
        "run": Cell(record.run_id),
        "seed": Cell(str(spec.seed), spec.seed),
        "given": Cell(stated.outputs),
        "test sources": Cell(f"{sources:,}", sources),
        "trained on": Cell(stated.trained_on or none),
        "parameters": Cell(
            none if stated.parameters is None else f"{stated.parameters:,}", stated.parameters
        ),
        "reference": Cell(stated.reference or none),
        "code": Cell(stated.code or none),
        "written": Cell(str(record.provenance.get("written", none))),
    }


def runs_table(records: Sequence[RunRecord]) -> Table:
    """Tell how each run was made, as far as runs differ; what all share stands in `settings_table`."""
    rows = [{"network": Cell(record.spec.network.name)} | _made(record) for record in records]
    shared = _shared(rows)
    names = [name for name in rows[0] if name in _ALWAYS or name not in shared]
    cells = tuple(tuple(row.get(name, Cell("")) for name in names) for row in rows)
    return Table("runs", "The runs", tuple(names), cells, frozenset(range(1, len(names))), headed=False)


def settings_table(records: Sequence[RunRecord]) -> Table:
    """List the settings that all runs share, and the machine and versions if they share those."""
    shared = _shared([_made(record) for record in records])
    rows = tuple((Cell(name), cell) for name, cell in shared.items() if name not in _ALWAYS)
    title = "Settings that all runs share" if len(records) > 1 else "Settings of the run"
    return Table("settings", title, ("setting", "value"), rows, frozenset({1}), folded=True)


def machine_words(records: Sequence[RunRecord]) -> str:
    """Say on what machine and with which versions all runs were made; "" if they share none of it."""
    if not records:
        return ""
    shared = _shared([_made(record) for record in records])
    said = [f"{name} {shared[name].text}" for name in _MACHINE if name in shared]
    return f"{'All runs' if len(records) > 1 else 'The run'}: {'; '.join(said)}." if said else ""


def _made(record: RunRecord) -> dict[str, Cell]:
    """Give how a run was made: what it is, what it took, and all its settings."""
    cost, origin = record.cost, record.provenance
    memory = 1e6 * cost.get("peak_memory_mb", np.nan)
    settings = _flatten(record.spec.settings())
    return {
        "run": Cell(record.run_id),
        "seed": Cell(str(record.spec.seed), record.spec.seed),
        "status": Cell("not finished" if record.status == "running" else record.status),
        "time": _measured(cost.get("training_seconds"), numbers.duration),
        "peak memory": _measured(memory, lambda value: numbers.count(value, "B")),
        "written": Cell(str(origin.get("written", numbers.NONE))),
        "device": Cell(str(cost.get("device") or origin.get("device", numbers.NONE))),
        "precision": Cell(str(cost.get("precision", numbers.NONE))),
        "machine": Cell(str(origin.get("machine", numbers.NONE))),
        "versions": Cell(_versions(record)),
        **{name: Cell(json.dumps(value)) for name, value in settings.items() if name not in _SAID},
    }


def _shared(rows: Sequence[Mapping[str, Cell]]) -> dict[str, Cell]:
    """Give what is the same in all rows."""
    return {name: cell for name, cell in rows[0].items() if all(row.get(name) == cell for row in rows)}


def _flatten(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in content.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{name}.")
        elif name not in _PRIVATE:
            flat[name] = value
    return flat


def _measured(value: float | None, show: Callable[[float | None], str]) -> Cell:
    return Cell(show(value), value if numbers.is_number(value) else None)


def _versions(record: RunRecord) -> str:
    known = {"python": record.provenance.get("python")} | dict(record.provenance.get("versions", {}))
    return ", ".join(f"{name} {version}" for name, version in known.items() if version)
