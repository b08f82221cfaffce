"""Minutes of training until a validation accuracy, of one network under several protocols; a figure of it.

    .venv/bin/python benchmarks/time_to_accuracy.py --out FILE.json --figure FILE.png

Each protocol trains the network on the published split of first-galaxy-data with the protocol's own epochs, one after
the other on an idle machine. The clock is that of the epochs, with their measurements. Validation images are those of
the protocol: 24 rotations of each source in `becker2021`, the source as it stands in the others.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from speed import machine

from rgbench.runs.study import run_study
from rgbench.spec import Study
from rgbench.store.store import Store

PROTOCOLS = ("becker2021", "modern", "sky")
LEVELS = (0.60, 0.65, 0.70, 0.75)


def train(network: str, protocol: str, seed: int, precision: str) -> dict[str, Any]:
    """Train once; give minutes and validation accuracy at the end of each epoch."""
    study = Study(
        name="time-to-accuracy",
        networks=(network,),
        seeds=(seed,),
        protocol=protocol,
        recipe={"precision": precision},
    )
    with tempfile.TemporaryDirectory() as folder:
        # Read before the folder goes: a record reads its history when it is asked for it.
        history = run_study(study, Store(Path(folder)))[0].history
    return {
        "network": network,
        "protocol": protocol,
        "seed": seed,
        "precision": precision,
        "minutes": (np.cumsum(history["seconds"]) / 60).round(3).tolist(),
        "validation_accuracy": history["validation_accuracy"].round(4).tolist(),
    }


def minutes_until(run: dict[str, Any], level: float) -> float | None:
    """Give minutes until a validation accuracy is first reached; None if it never is."""
    reached = np.flatnonzero(np.array(run["validation_accuracy"]) >= level)
    return float(run["minutes"][reached[0]]) if len(reached) else None


def draw(runs: list[dict[str, Any]], path: Path) -> None:
    """Draw validation accuracy against minutes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.8), layout="constrained")
    axes = figure.subplots()
    for i, protocol in enumerate(dict.fromkeys(run["protocol"] for run in runs)):
        for run in (each for each in runs if each["protocol"] == protocol):
            label = protocol if run is next(r for r in runs if r["protocol"] == protocol) else None
            accuracy = 100 * np.array(run["validation_accuracy"])
            axes.plot(run["minutes"], accuracy, "o-", ms=3, color=f"C{i}", label=label)
    axes.set(xscale="log", xlabel="minutes of training", ylabel="validation accuracy, %")
    axes.grid(alpha=0.3, which="both")
    axes.legend(title=runs[0]["network"])
    figure.savefig(path, dpi=120, metadata={"Software": None})


def main() -> None:
    """Train under each protocol, and keep what was found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--network", default="mcrgnet")
    parser.add_argument("--seeds", type=int, nargs="+", default=[8901])
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--figure", type=Path, help="PNG file to draw")
    options = parser.parse_args()
    runs = [
        train(options.network, protocol, seed, options.precision)
        for seed in options.seeds
        for protocol in PROTOCOLS
    ]
    for run in runs:
        reached = {level: minutes_until(run, level) for level in LEVELS}
        print(run["protocol"], run["seed"], max(run["validation_accuracy"]), reached, flush=True)
    if options.out:
        options.out.write_text(json.dumps({"machine": machine(), "runs": runs}, indent=1) + "\n")
    if options.figure:
        draw(runs, options.figure)


if __name__ == "__main__":
    main()
