"""How far simulated sources carry: train on simulated or real images, test on both.

Two runs of one network for every seed: one is trained on a simulated sky, the other on first-galaxy-data. Both
are tested on the same held-out simulated sources and on first-galaxy-data's published test split.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np

from rgbench.data.catalogue import Card, Catalogue, DataSet
from rgbench.data.sets import load_data
from rgbench.measures.classification import accuracy, confusion_matrix, macro_f1, mpca
from rgbench.runs.study import run_study
from rgbench.simulate import SimulationSpec, simulate
from rgbench.spec import PUBLISHED_SEEDS, Study
from rgbench.statistics.intervals import wilson
from rgbench.store.store import Store

REAL = "first-galaxy-data"
TRAIN, VALIDATION = 0.7, 0.15
"""Shares of the simulated sources; the rest is tested on."""


def simulated_parts(n: int) -> np.ndarray:
    """Give the part of each simulated source, in order: the four classes take turns, so parts are even."""
    first, second = int(TRAIN * n), int((TRAIN + VALIDATION) * n)
    return np.repeat(np.array(["train", "validation", "test"]), [first, second - first, n - second])


def both(sky: DataSet, real: DataSet, train_on: str) -> DataSet:
    """Join the two sets: training and validation of one, the test sources of both."""
    parts = {"simulated": simulated_parts(len(sky.catalogue)), REAL: real.splits["published"].astype("<U10")}
    for name, part in parts.items():
        if name != train_on:
            part[part != "test"] = ""
    ours, theirs = sky.catalogue, real.catalogue
    if sky.classes != real.classes:
        raise SystemExit(f"the classes differ: {sky.classes}, {real.classes}")
    catalogue = Catalogue(
        source_id=np.concatenate([[f"simulated {s}" for s in ours.source_id], theirs.source_id]),
        ra=np.concatenate([ours.ra, theirs.ra]),
        dec=np.concatenate([ours.dec, theirs.dec]),
        label=np.concatenate([ours.label, theirs.label]),
        group=np.concatenate([ours.group, theirs.group + ours.group.max() + 1]),
        path=np.concatenate([ours.path, theirs.path]),
        flags=np.concatenate([ours.flags, theirs.flags]),
    )
    # The same brightness scale for both: the preset brings each image to its own range anyway.
    images = np.concatenate([sky.images, real.images.astype(np.float32)])
    card = Card(name=f"trained on {train_on}", title="simulated and real", pixel_scale=1.8, beam=5.4)
    return DataSet(card, catalogue, images, splits={"published": np.concatenate(list(parts.values()))})


def score(label: np.ndarray, logits: np.ndarray) -> dict[str, object]:
    """Measure one test set."""
    right = int((logits.argmax(axis=1) == label).sum())
    return {
        "n": len(label),
        "accuracy": accuracy(label, logits),
        "accuracy_95": wilson(right, len(label)),
        "mpca": mpca(label, logits),
        "macro_f1": macro_f1(label, logits),
        "confusion": confusion_matrix(label, logits).tolist(),
    }


def transfer(options: argparse.Namespace, store: Store) -> dict[str, object]:
    """Train on each set, test on both; one score per seed."""
    sky = simulate(SimulationSpec(n=options.n, seed=options.sky_seed))
    real = load_data(REAL)
    recipe = {} if options.epochs is None else {"epochs": options.epochs}
    seeds = tuple(options.seeds)
    found: dict[str, list[dict[str, object]]] = {}
    for train_on in ("simulated", REAL):
        study = Study(name="transfer", networks=(options.network,), seeds=seeds, recipe=recipe)
        for record in run_study(study, store, options.device, dataset=both(sky, real, train_on)):
            if record.predictions is None:
                raise SystemExit(f"the run trained on {train_on} failed: {record.error}")
            test = record.predictions.select("test", "best")
            ours = np.char.startswith(test.source_id.astype(str), "simulated ")
            for tested_on, rows in (("simulated", ours), (REAL, ~ours)):
                scores = score(test.label[rows], test.logits[rows])
                found.setdefault(f"{train_on} -> {tested_on}", []).append({"seed": record.spec.seed} | scores)
    return {"classes": list(sky.classes), "found": found}


def say(pair: str, runs: list[dict[str, object]]) -> str:
    """Write means over seeds; the interval is that of the test sources for the mean accuracy."""
    n = runs[0]["n"]
    mean = {key: np.mean([run[key] for run in runs]) for key in ("accuracy", "mpca", "macro_f1")}
    spread = np.std([run["accuracy"] for run in runs], ddof=1) if len(runs) > 1 else float("nan")
    low, high = wilson(round(float(mean["accuracy"]) * n), n)
    return (
        f"{pair:42s} n {n:5d}, {len(runs)} seeds: accuracy {mean['accuracy']:.3f} ({low:.3f} to {high:.3f}), "
        f"spread {spread:.3f}, MPCA {mean['mpca']:.3f}, macro F1 {mean['macro_f1']:.3f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=4000, help="simulated sources")
    parser.add_argument("--network", default="mcrgnet")
    parser.add_argument("--epochs", type=int, help="by default those of the modern protocol")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(PUBLISHED_SEEDS))
    parser.add_argument("--sky-seed", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, help="JSON file for the result; it must not exist")
    options = parser.parse_args()
    if options.out and options.out.exists():
        raise SystemExit(f"{options.out}: exists; nothing was done")
    with tempfile.TemporaryDirectory() as folder:
        result = {"options": {k: str(v) for k, v in vars(options).items() if k != "out"}}
        result |= transfer(options, Store(Path(folder)))
    for pair, runs in result["found"].items():
        print(say(pair, runs))
    if options.out:
        options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf8")


if __name__ == "__main__":
    main()
