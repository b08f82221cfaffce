"""Whether shortcuts of training change what is learnt: one study of the 2021 protocol with all of them, and with none.

    .venv/bin/python benchmarks/fast_and_plain.py --out FILE.json

Fast: every shortcut, and bfloat16. Plain: float32 and no shortcut. Both have the same
seeds, hence the same first weights, images and order of batches. Training sources and epochs are fewer than the
protocol's, lest it takes days: `--train-limit` and `--epochs`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from speed import machine

from rgbench.measures.catalogue import metrics
from rgbench.store.store import Store
from rgbench.training.shortcuts import VARIABLE

WAYS = {"fast": ("bfloat16", ""), "plain": ("float32", "all")}
"""Precision, and the shortcuts that are left out."""


def study(way: str, options: argparse.Namespace) -> str:
    """Give the study as TOML."""
    return f"""
name = "{way}"
networks = {json.dumps(options.networks)}
seeds = {options.seeds}
protocol = "becker2021"
same_steps = false

[data]
name = "first-galaxy-data"
train_limit = {options.train_limit}

[augmentation]
validation = false

[recipe]
epochs = {options.epochs}
precision = "{WAYS[way][0]}"
"""


def run(way: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Train every network with every seed; give the MPCA of the test sources and the validation losses."""
    with tempfile.TemporaryDirectory() as folder:
        path, store = Path(folder) / "study.toml", Path(folder) / "store"
        path.write_text(study(way, options))
        subprocess.run(
            [sys.executable, "-m", "rgbench", "run", path, "--store", store],
            env={**os.environ, VARIABLE: WAYS[way][1]},
            check=True,
        )
        return [one(record) for record in Store(store).records()]


def one(record: Any) -> dict[str, Any]:
    """Tell of one run."""
    test = record.predictions.select("test", "best")
    return {
        "network": record.spec.network.name,
        "seed": record.spec.seed,
        "test_sources": len(test),
        "mpca": round(float(metrics().get("mpca").value(test.label, test.log_probabilities())), 4),
        "validation_loss": record.history["validation_loss"].round(4).tolist(),
    }


def summary(found: dict[str, list[dict[str, Any]]]) -> dict[str, dict[str, list[float]]]:
    """Give by network and way the mean and the standard deviation over the seeds, in per cent."""
    said: dict[str, dict[str, list[float]]] = {}
    for way, runs in found.items():
        for name in dict.fromkeys(each["network"] for each in runs):
            own = [100 * each["mpca"] for each in runs if each["network"] == name]
            said.setdefault(name, {})[way] = [
                round(float(np.mean(own)), 2),
                round(float(np.std(own, ddof=1)), 2),
            ]
    return said


def main() -> None:
    """Run both ways, print what they give, and keep it where asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", nargs="+", default=["mcrgnet", "radio-galaxy-zoo"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[8901, 1826, 4915])
    parser.add_argument(
        "--train-limit", type=int, default=160, help="training sources, before they are rotated"
    )
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--out", type=Path, help="JSON file to write")
    options = parser.parse_args()
    found = {way: run(way, options) for way in WAYS}
    print(json.dumps(summary(found), indent=1))
    if options.out:
        settings = {key: value for key, value in vars(options).items() if key != "out"}
        told = {"machine": machine(), "settings": settings, "summary": summary(found), "runs": found}
        options.out.write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
