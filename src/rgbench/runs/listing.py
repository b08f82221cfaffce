"""What a store holds, a line for each run: read fast, and without torch."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rgbench.errors import StoreError, one_line, raise_stop
from rgbench.measures.cards import registry

# Importing it registers its metrics; those of the whole catalogue take a second to load.
from rgbench.measures.classification import accuracy, mpca
from rgbench.runs.find import is_called
from rgbench.spec import DataSpec
from rgbench.store.store import RunRecord, Store
from rgbench.store.tables import SIDES

METRICS = tuple(function.__name__ for function in (mpca, accuracy))
"""Those that a list shows, of validation and of test sources."""
SCORES = tuple(f"{side}_{metric}" for side in SIDES for metric in METRICS)
"""Names of the scores."""
DAMAGED = "damaged"
"""Status of a run of which a file cannot be read."""
NO_SEED = -1
"""Stands for the seed of a run whose spec cannot be read."""


@dataclass(frozen=True)
class ListedRun:
    """A run as a list has it.

    Attributes
    ----------
    run_id : str
        Its id.
    status : str
        That of the run, or "damaged".
    network, data, split, protocol : str
        What it is of; "" where its spec cannot be read.
    seed : int
        Its seed; -1 where that cannot be read.
    scores : dict of str to float
        The metrics of `SCORES` of its best model, as fractions; NaN where they are not known.
    written : str
        When its ``run.json`` was written, in ISO 8601.
    remark : str
        Why it failed, or what is damaged.
    """

    run_id: str
    status: str
    network: str = ""
    seed: int = NO_SEED
    data: str = ""
    split: str = ""
    protocol: str = ""
    scores: dict[str, float] = field(default_factory=lambda: dict.fromkeys(SCORES, float("nan")))
    written: str = ""
    remark: str = ""

    @property
    def setting(self) -> tuple[str, str, str]:
        """Data set, split and protocol."""
        return self.data, self.split, self.protocol

    def row(self) -> dict[str, Any]:
        """Give all that is known of it by name, scores among the others."""
        return {
            "run": self.run_id,
            "network": self.network,
            "seed": self.seed,
            "data": self.data,
            "split": self.split,
            "protocol": self.protocol,
            **self.scores,
            "status": self.status,
            "written": self.written,
            "remark": self.remark,
        }


def list_runs(store: Store, network: str = "") -> list[ListedRun]:
    """List the runs of a store, or those of a network.

    Of each run ``run.json``, ``cost.json`` and what its best model said of its sources are read. A run that cannot be
    read is listed as damaged, and costs the others nothing.

    Parameters
    ----------
    store : Store
        The store.
    network : str
        Name of a network, or an alias; "" for all.

    Returns
    -------
    list of ListedRun
        Sorted by data set, split, protocol, network and seed; runs whose spec cannot be read come last, and are there
        only if all are asked for.
    """
    damaged: list[ListedRun] = []

    def tell(run_id: str, error: Exception) -> None:
        damaged.append(ListedRun(run_id, DAMAGED, remark=one_line(error)))

    found = [
        _listed(store, record)
        for record in store.readable(tell)
        if not network or is_called(record.spec.network.name, network)
    ]
    return sorted(found if network else [*found, *damaged], key=_order)


def columns(runs: Sequence[ListedRun]) -> dict[str, NDArray[Any]]:
    """Give runs as the columns of a table, for `rgbench.runs.output_tables`.

    Examples
    --------
    >>> list(columns([]))[:3]
    ['run', 'network', 'seed']
    """
    rows = [run.row() for run in runs]
    kinds = {"seed": np.int64, **dict.fromkeys(SCORES, np.float64)}
    return {
        key: np.array([row[key] for row in rows], dtype=kinds.get(key, str))
        for key in ListedRun("", "").row()
    }


def _listed(store: Store, record: RunRecord) -> ListedRun:
    scores, status, remark = ListedRun("", "").scores, record.status, record.error or ""
    try:
        scores |= _scores(store, record)
    except StoreError as error:
        raise_stop(error)
        status, remark = DAMAGED, one_line(error)
    spec = record.spec
    return ListedRun(
        run_id=record.run_id,
        status=status,
        network=spec.network.name,
        seed=spec.seed,
        data=f"{spec.data.name}{spec.data.test and f' tested on {spec.data.test}'}",
        split=_split(spec.data),
        protocol=spec.protocol,
        scores=scores,
        written=str(record.provenance.get("written", "")),
        remark=remark,
    )


def _split(data: DataSpec) -> str:
    return data.split if data.train_limit is None else f"{data.split}, {data.train_limit} for training"


def _scores(store: Store, record: RunRecord) -> dict[str, float]:
    """Give the metrics of the labelled sources of both sides; those of a side without any are left out."""
    answers = store.answers(record) if record.status == "complete" else None
    found: dict[str, float] = {}
    if answers is None:
        return found
    for side in SIDES:
        y, scores = answers.of(side)
        if len(y):
            found |= {f"{side}_{name}": registry().get(name).value(y, scores) for name in METRICS}
    return found


def _order(run: ListedRun) -> tuple[object, ...]:
    """Give what sorts runs; numbers in names of splits count as numbers."""
    split = [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", run.split)]
    return not run.network, run.data, split, run.protocol, run.network, run.seed, run.run_id
