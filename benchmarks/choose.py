"""Choose values of the protocol `modern` anew, on sources that are in no test set of `first-galaxy-data`.

    python benchmarks/choose.py --out benchmarks/results/choices-modern.json

Fold 0 is trained and validated on without the test sources of the split `published`, and those of the folds are not
looked at, so that 329 sources judge. Every value is tried with one seed for every network that it is for; it is judged
by the accuracy of the final model. The value with the highest accuracy is taken, the mean over these networks. A search
that is stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rgbench.data.catalogue import DataSet
from rgbench.data.sets import load_data
from rgbench.networks import networks
from rgbench.runs.study import run_study
from rgbench.spec import Study
from rgbench.store.store import Store

FOLD = "fold-0"
UNTOUCHED = "published"
"""The split whose test sources are in no trial."""
SEED = 8901
QUANTILE = 1.96


@dataclass(frozen=True)
class Trial:
    """A value of a choice: the networks that it is tried for, and what it changes in a study."""

    choice: str
    value: float
    networks: tuple[str, ...]
    changes: Mapping[str, Any] = field(default_factory=dict)

    def study(self, network: str, precision: str) -> Study:
        """Give the study of one network."""
        plain = {"name": "choose", "networks": (network,), "seeds": (SEED,), "splits": (FOLD,)}
        return Study(**{**plain, "recipe": {"precision": precision}, **self.changes})


def trials() -> list[Trial]:
    """List all that is tried; the first value of each choice is what the others are compared with."""
    two = ("mcrgnet", "radio-galaxy-zoo")
    shifts = [Trial("shift", pixels, two, {"augmentation": {"shift": pixels}}) for pixels in (0, 4)]
    layers = networks().get("rg-resnet").layers
    dropped = {"rg-resnet-dropout": layers.replace("FC{classes}", "D0.5 · FC{classes}")}
    dropout = [
        Trial("dropout", 0.0, ("rg-resnet",)),
        Trial("dropout", 0.5, ("rg-resnet",), {"networks": tuple(dropped), "layers": dropped}),
    ]
    return [*shifts, *dropout]


def untouched(dataset: DataSet) -> DataSet:
    """Give the same data, whose folds train and validate on no test source of another split, nor on one near it."""
    tested = np.unique(dataset.catalogue.group[dataset.splits[UNTOUCHED] == "test"])
    near = np.isin(dataset.catalogue.group, tested)
    folds = {name: sides for name, sides in dataset.splits.items() if name != UNTOUCHED}
    splits = {name: np.where(near & (sides != "test"), "", sides) for name, sides in folds.items()}
    return replace(dataset, splits=splits)


@dataclass(frozen=True)
class Found:
    """Which validation sources the run of one value is right for, in the order of their names."""

    sources: tuple[str, ...]
    right: NDArray[np.bool_]


def run(study: Study, store: Store, dataset: DataSet) -> Found:
    """Run a value."""
    (record,) = run_study(study, store, dataset=dataset)
    assert record.predictions is not None, record.run_id
    table = record.predictions.select("validation", "final")
    order = np.argsort(table.source_id)
    return Found(tuple(table.source_id[order].tolist()), (table.logits.argmax(axis=1) == table.label)[order])


def row(trial: Trial, network: str, found: Found, first: Found) -> dict[str, Any]:
    """Give what is kept of a value: its accuracy, and the paired difference to the first with its 95 % interval."""
    assert found.sources == first.sources
    change = found.right.astype(float) - first.right
    return {
        "choice": trial.choice,
        "value": trial.value,
        "network": network,
        "sources": len(found.sources),
        "accuracy": float(found.right.mean()),
        "difference": float(change.mean()),
        "half_width": float(QUANTILE * change.std(ddof=1) / np.sqrt(len(change))),
    }


def main() -> None:
    """Try all values, and write what was found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--store", type=Path, default=Path("choices-store"))
    parser.add_argument("--only", help="one choice, shift or dropout")
    parser.add_argument(
        "--precision", default="float32", help="the same for all, whatever the machine is doing"
    )
    parser.add_argument("--out", type=Path, help="JSON file for what was found")
    asked = parser.parse_args()
    dataset, store = untouched(load_data("first-galaxy-data")), Store(asked.store)
    rows: list[dict[str, Any]] = []
    first: dict[tuple[str, str], Found] = {}
    for trial in trials():
        for network in trial.networks if asked.only in (None, trial.choice) else ():
            found = run(trial.study(network, asked.precision), store, dataset)
            rows.append(row(trial, network, found, first.setdefault((trial.choice, network), found)))
            print(json.dumps(rows[-1]), flush=True)
    told = {"precision": asked.precision, "machine": platform.machine(), "rows": rows}
    if asked.out is not None:
        asked.out.write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
