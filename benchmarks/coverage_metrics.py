"""How often intervals of macro F1, NLL and Brier score contain the truth.

Test sets of 50 to 5,000 sources in four classes, three mixes, four networks: scores are skill for the true class
and noise, and a network may be too sure. The truth is of 400,000 sources.

    python benchmarks/coverage_metrics.py              # about ten minutes on one core
    python benchmarks/coverage_metrics.py --draws 50   # a look
"""

from __future__ import annotations

import argparse
import json
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
from scipy.stats import norm, t

from rgbench.measures.catalogue import metrics
from rgbench.measures.classification import macro_f1_of
from rgbench.statistics.intervals import interval, resampled, stratified_weights
from rgbench.statistics.losses import RowDraws, mean_ends, row_ends

SIZES = (50, 104, 200, 1000, 5000)
MIXES = {
    "balanced": (0.25, 0.25, 0.25, 0.25),
    "natural": (0.23, 0.43, 0.18, 0.16),  # FRI, FRII, Compact, Bent of first-galaxy-data
    "one rare": (0.30, 0.45, 0.21, 0.04),
}
NETWORKS = {"60 %": (1.4, 1.0), "80 %": (2.4, 1.0), "80 %, too sure": (2.4, 2.5), "95 %": (4.0, 1.5)}
"""Skill, and the factor of the scores, about right at 1 for the first."""
METRICS = ("macro_f1", "nll", "brier")
RESAMPLES, POPULATION, CONFIDENCE = 1000, 400_000, 0.95


def sources(rng: np.random.Generator, sizes: np.ndarray, network: str) -> tuple[np.ndarray, np.ndarray]:
    """Draw classes (n,) and logits (n, k)."""
    skill, factor = NETWORKS[network]
    y = np.repeat(np.arange(len(sizes)), sizes)
    return y, factor * (skill * np.eye(len(sizes))[y] + rng.normal(0, 1.2, (len(y), len(sizes))))


def class_sizes(n: int, mix: str) -> np.ndarray:
    """Number of sources of each class; the first classes take what rounding leaves over."""
    sizes = np.maximum(np.floor(n * np.array(MIXES[mix])).astype(int), 1)
    sizes[: n - sizes.sum()] += 1
    return sizes


@cache
def truth(shares: tuple[int, ...], network: str) -> dict[str, float]:
    """Metrics of a population that has the classes of the test set in their shares."""
    sizes = np.array(shares) * (POPULATION // sum(shares))
    y, logits = sources(np.random.default_rng(0), sizes, network)
    one = np.ones((1, len(y)), dtype=np.float32)
    return {name: float(resampled(metrics().get(name), y, logits, one)[0]) for name in METRICS}


def of_resamples(drawn: np.ndarray, value: float, n: int, classes: int) -> dict[str, tuple[float, float]]:
    """Candidates: percentiles; wider percentiles for small n (Hesterberg 2015); Student's t of the resamples' error."""
    quantile = float(t.ppf((1 + CONFIDENCE) / 2, n - classes)) * np.sqrt(n / (n - classes))
    wider = 2 * float(norm.cdf(quantile)) - 1
    half = quantile * float(np.std(drawn))
    return {
        "percentile": interval(drawn, CONFIDENCE),
        "expanded percentile": interval(drawn, wider),
        "t": (value - half, value + half),
    }


def used(name: str, y: np.ndarray, logits: np.ndarray, rng: np.random.Generator) -> tuple[float, float]:
    """Give the interval that the comparison has."""
    losses = metrics().get(name).per_source
    if losses is not None:
        return mean_ends(y, losses(y, logits), CONFIDENCE)
    draws = RowDraws.draw(len(y), logits.shape[1], RESAMPLES, rng)
    return row_ends(draws.of(macro_f1_of, y, logits.argmax(axis=1)), CONFIDENCE)


def cell(n: int, mix: str, network: str, draws: int) -> dict[str, dict[str, float]]:
    """Share of the test sets whose interval holds the truth, by metric and candidate."""
    sizes = class_sizes(n, mix)
    true = truth(tuple(sizes.tolist()), network)
    hits: dict[str, dict[str, int]] = {name: {} for name in METRICS}
    for draw in range(draws):
        rng = np.random.default_rng([n, draw])
        y, logits = sources(rng, sizes, network)
        weights = stratified_weights(y, RESAMPLES, rng)
        one = np.ones((1, n), dtype=np.float32)
        for name in METRICS:
            value = float(resampled(metrics().get(name), y, logits, one)[0])
            found = of_resamples(resampled(metrics().get(name), y, logits, weights), value, n, len(sizes))
            for kind, (low, high) in {**found, "used": used(name, y, logits, rng)}.items():
                hits[name][kind] = hits[name].get(kind, 0) + (low <= true[name] <= high)
    return {name: {kind: hit / draws for kind, hit in own.items()} for name, own in hits.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=400, help="test sets in a cell")
    parser.add_argument("--out", type=Path, help="JSON file to write; refused if it is there")
    options = parser.parse_args()
    if options.out and options.out.exists():
        parser.error(f"{options.out} is there already")
    found = []
    for n in SIZES:
        own = [(m, k, cell(n, m, k, options.draws)) for m, k in product(MIXES, NETWORKS)]
        found += [{"n": n, "mix": m, "network": k, "coverage": c} for m, k, c in own]
        for name, kind in product(METRICS, own[0][2]["nll"]):
            shares = 100 * np.array([c[name][kind] for _, _, c in own])
            print(
                f"n = {n:5d}  {name:9s} {kind:20s} {shares.mean():5.1f} ({shares.min():.1f} to {shares.max():.1f})",
                flush=True,
            )
    if options.out:
        options.out.write_text(json.dumps({"draws": options.draws, "cells": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
