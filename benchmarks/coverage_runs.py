"""How often intervals over several runs contain the truth: new seeds, folds, several runs against one, own splits.

Sources have a difficulty that all networks share, networks a taste of their own; a seed shifts the log-odds of all
sources of a network, and of each class, by chance. The truth is of new sources and new seeds.

    python benchmarks/coverage_runs.py                       # about six minutes on one core
    python benchmarks/coverage_runs.py --cases 60            # a look
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
from scipy.special import expit

from rgbench.measures.catalogue import metrics
from rgbench.statistics.intervals import joint_weights, resampled
from rgbench.statistics.paired import Sample, paired_differences, recognition_differences
from rgbench.statistics.recognition import Answers, difference, mean_interval

CLASSES, SKILL, HARD, TASTE = 4, 1.6, 1.2, 1.0
SCATTERS = {0.0: "none", 0.1: "1 point", 0.2: "2 points"}
"""Shift of a seed in log-odds, twice as much for each class; what MPCA then scatters by, about."""


def network(
    rng: np.random.Generator, hard: np.ndarray, seeds: int, scatter: float, skill: float = SKILL
) -> np.ndarray:
    """Give what each seed recognises of each source, shape (seeds, n)."""
    y, taste = np.arange(len(hard)) % CLASSES, rng.normal(0, TASTE, len(hard))
    shift = rng.normal(0, scatter, (seeds, 1)) + rng.normal(0, 2 * scatter, (seeds, CLASSES))[:, y]
    return rng.random((seeds, len(hard))) < expit(skill + shift - hard + taste)


@cache
def truth(scatter: float) -> float:
    spread = np.sqrt(HARD**2 + TASTE**2 + 5 * scatter**2)
    return float(expit(SKILL + spread * np.random.default_rng(0).normal(size=4_000_000)).mean())


def sources(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    return np.arange(n) % CLASSES, rng.normal(0, HARD, n)


def answers(name: str, y: np.ndarray, right: np.ndarray, splits: tuple[str, ...] = ()) -> Answers:
    return Answers(name, y, right, splits or ("published",) * len(right))


def of_mean(rng: np.random.Generator, n: int, seeds: int, scatter: float) -> bool:
    y, hard = sources(rng, n)
    found = mean_interval(answers("a", y, network(rng, hard, seeds, scatter)))
    return found.low <= truth(scatter) <= found.high


def of_difference(rng: np.random.Generator, n: int, seeds: int, scatter: float, others: int = 0) -> bool:
    y, hard = sources(rng, n)
    pair = [
        answers(name, y, network(rng, hard, s, scatter)) for name, s in (("a", seeds), ("b", others or seeds))
    ]
    found = difference(*pair).interval
    return found.low <= 0 <= found.high


def of_folds(rng: np.random.Generator, n: int, seeds: int, fold: float) -> bool:
    """Five folds with seeds in each; a fold shifts all its seeds."""
    y, hard = sources(rng, n)
    splits = tuple(f"fold-{k}" for k in range(5) for _ in range(seeds))
    made = [
        np.concatenate([network(rng, hard, seeds, 0.0, SKILL + rng.normal(0, fold)) for _ in range(5)])
        for _ in "ab"
    ]
    found = difference(
        *(answers(name, y, right, splits) for name, right in zip("ab", made, strict=True))
    ).interval
    return found.low <= 0 <= found.high


def of_own_splits(rng: np.random.Generator, share: float, seeds: int, scatter: float) -> bool:
    """Every seed draws its own test sources out of 1,000, the same for both networks."""
    y, hard = sources(rng, 1000)
    made = [network(rng, hard, seeds, scatter) for _ in "ab"]
    tests = [np.sort(rng.choice(1000, int(1000 * share), replace=False)) for _ in range(seeds)]
    weights = joint_weights([test.astype(str) for test in tests], 400, rng)
    samples = []
    for name, right in zip("ab", made, strict=True):
        logits = [
            np.where(own[:, None], np.eye(CLASSES)[y], np.eye(CLASSES)[(y + 1) % CLASSES]) for own in right
        ]
        cut = [each[test] for each, test in zip(logits, tests, strict=True)]
        drawn = [
            resampled(metrics().get("mpca"), y[t], c, w) for t, c, w in zip(tests, cut, weights, strict=True)
        ]
        values = [
            np.mean([r[t][y[t] == c].mean() for c in range(CLASSES)])
            for r, t in zip(right, tests, strict=True)
        ]
        samples.append(
            Sample(name, np.array(values), np.stack(drawn), tuple(f"seed {s}" for s in range(seeds)), False)
        )
    (pair,) = paired_differences(samples, metrics().get("mpca"), 0.95, len(tests[0]))
    return pair.low <= 0 <= pair.high


def no_false_winner(rng: np.random.Generator, networks: int, seeds: int, scatter: float) -> bool:
    """Equal networks, 200 sources: whether no report says that one beats another."""
    y, hard = sources(rng, 200)
    found = recognition_differences(
        [answers(str(i), y, network(rng, hard, seeds, scatter)) for i in range(networks)], 0.95
    )
    return not any(pair.separable for pair in found)


def share(case: Callable[..., bool], cases: int, *arguments: float) -> float:
    return float(
        np.mean([case(np.random.default_rng([seed, len(arguments)]), *arguments) for seed in range(cases)])
    )


PARTS: dict[str, tuple[Callable[..., bool], list[tuple[float, ...]]]] = {
    "mean over seeds (n, seeds, scatter)": (
        of_mean,
        [(n, s, x) for n in (50, 200, 1000, 5000) for s in (3, 10) for x in (0.0, 0.1, 0.2)],
    ),
    "difference over seeds (n, seeds, scatter)": (
        of_difference,
        [(n, s, x) for n in (50, 200, 1000, 5000) for s in (3, 10) for x in (0.0, 0.1, 0.2)],
    ),
    "several runs against one (n, runs, scatter, others)": (
        of_difference,
        [(1000, s, 0.0, 1) for s in (2, 3, 10)],
    ),
    "folds (n, seeds in a fold, shift of a fold)": (
        of_folds,
        [(400, s, x) for s in (1, 3) for x in (0.0, 0.05, 0.1)],
    ),
    "own splits (share tested, seeds, scatter)": (
        of_own_splits,
        [(p, s, x) for p in (0.2, 0.5, 0.8) for s in (3, 10) for x in (0.0, 0.2)],
    ),
    "no false winner (networks, seeds, scatter)": (
        no_false_winner,
        [(k, s, x) for k in (3, 6) for s, x in ((1, 0.0), (3, 0.1))],
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=300, help="simulated studies in a cell")
    parser.add_argument("--out", type=Path, help="JSON file to write; refused if it is there")
    options = parser.parse_args()
    if options.out and options.out.exists():
        parser.error(f"{options.out} is there already")
    result: dict[str, object] = {"cases": options.cases, "confidence": 0.95}
    for name, (case, cells) in PARTS.items():
        began = time.perf_counter()
        found = [{"cell": cell, "share": share(case, options.cases, *cell)} for cell in cells]
        result[name] = found
        print(f"\n{name}, {time.perf_counter() - began:.0f} s")
        for each in found:
            print(f"  {each['cell']}: {100 * each['share']:.1f} %", flush=True)
    if options.out:
        options.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
