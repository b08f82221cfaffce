"""How often intervals over several runs contain the truth, how wide they are, and which networks are told apart.

Sources have a difficulty that all networks share, networks a taste of their own; a seed shifts the log-odds of all
sources of a network, and of each class, by chance, so far that the score over all sources there are scatters by so many
points. The truth is of new sources and new seeds. Every simulated study has a random seed of its own.

Beside rgbench's intervals stand two others: the squares of Student's t of each network's seeds, which rgbench had
before, with Holm's correction; and one t of Welch & Satterthwaite's degrees of freedom.

    python benchmarks/coverage_runs.py                       # two hours on one core
    python benchmarks/coverage_runs.py --cases 60            # a look
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from itertools import combinations, product
from math import hypot, sqrt
from pathlib import Path

import numpy as np
from scipy.special import expit
from scipy.stats import norm, t

from rgbench.measures.catalogue import metrics
from rgbench.statistics.all_pairs import all_pairs
from rgbench.statistics.intervals import joint_weights, resampled
from rgbench.statistics.paired import Sample, paired_differences
from rgbench.statistics.recognition import (
    Answers,
    Difference,
    difference,
    differences,
    mean_intervals,
)
from rgbench.statistics.seed_scatter import SeedScatter
from rgbench.statistics.significance import holm

CLASSES, SKILL, HARD, TASTE = 4, 1.8, 1.8, 0.6
GAP = 0.05
"""A true difference that one would like to find: five points."""
Z = float(norm.ppf(0.975))


def slope(skill: float) -> float:
    """How far the score moves with the log-odds."""
    chance = expit(skill + hypot(HARD, TASTE) * np.random.default_rng(0).normal(size=400_000))
    return float((chance * (1 - chance)).mean())


@cache
def shift_of(points: float, skill: float = SKILL) -> float:
    """Shift of a seed in log-odds, twice as much for each class, that makes the score scatter by so many points."""
    return points / 100 / slope(skill) / sqrt(1 + 4 / CLASSES)


@cache
def truth(points: float, skill: float = SKILL) -> float:
    spread = np.sqrt(HARD**2 + TASTE**2 + 5 * shift_of(points, skill) ** 2)
    return float(expit(skill + spread * np.random.default_rng(1).normal(size=4_000_000)).mean())


@cache
def weaker() -> float:
    """The skill of a network that is worse by `GAP`."""
    low, high = 0.0, SKILL
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (low, middle) if truth(0.0, middle) > truth(0.0) - GAP else (middle, high)
    return high


def network(
    rng: np.random.Generator, hard: np.ndarray, seeds: int, points: float, skill: float = SKILL
) -> np.ndarray:
    """Give what each seed recognises of each source, shape (seeds, n)."""
    y, taste, scatter = (
        np.arange(len(hard)) % CLASSES,
        rng.normal(0, TASTE, len(hard)),
        shift_of(points, skill),
    )
    shift = rng.normal(0, scatter, (seeds, 1)) + rng.normal(0, 2 * scatter, (seeds, CLASSES))[:, y]
    return rng.random((seeds, len(hard))) < expit(skill + shift - hard + taste)


def sources(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    return np.arange(n) % CLASSES, rng.normal(0, HARD, n)


def answers(name: str, y: np.ndarray, right: np.ndarray, splits: tuple[str, ...] = ()) -> Answers:
    return Answers(name, y, right, splits or ("published",) * len(right))


def study(
    rng: np.random.Generator, n: int, seeds: int, points: Sequence[float], skills: Sequence[float]
) -> list[Answers]:
    """Simulate the runs of networks with scatters and skills of their own on one test set."""
    y, hard = sources(rng, n)
    return [
        answers(str(i), y, network(rng, hard, seeds, scatter, skill))
        for i, (scatter, skill) in enumerate(zip(points, skills, strict=True))
    ]


def scatters(kind: str, networks: int) -> list[float]:
    """Points by which the score of each network scatters over seeds."""
    return [4.0] + [1.0] * (networks - 1) if kind == "unequal" else [float(kind)] * networks


def halves(found: Difference) -> dict[str, float]:
    """Half the width of the intervals of a difference, of each method, in units of the score."""
    own = [each for each in found.resolution.scatters if isinstance(each, SeedScatter)]
    errors = np.array([each.error for each in own])
    degrees = np.array([each.seeds - 1 for each in own])
    source = found.resolution.source_error
    variance = source**2 + float(np.sum(errors**2))
    whole = np.array([each.variance / each.seeds for each in own])
    # Seeds that all score the same say nothing of degrees of freedom.
    spread = float(np.sum(whole**2 / degrees))
    welch = max(1.0, variance**2 / spread) if spread else float("inf")
    return {
        "rgbench": (found.interval.high - found.interval.low) / 2,
        "squares of t": hypot(Z * source, *(t.ppf(0.975, degrees) * errors)),
        "Welch": float(t.ppf(0.975, welch)) * sqrt(variance),
    }


def p_of_squares(found: Difference) -> float:
    """The p-value of the intervals that rgbench had before."""
    own = [each for each in found.resolution.scatters if isinstance(each, SeedScatter)]
    z = np.linspace(0.01, 8, 400)
    squares = sum((each.error * t.isf(norm.sf(z), each.seeds - 1)) ** 2 for each in own)
    inside = np.sqrt((z * found.resolution.source_error) ** 2 + squares) < abs(found.interval.value)
    return float(2 * norm.sf(z[inside][-1])) if inside.any() else 1.0


def of_differences(cell: dict, cases: int, rng: Callable[[int], np.random.Generator]) -> dict:
    """Coverage and mean width of the intervals of pairs, of equal networks; those of the noisiest one apart."""
    points = scatters(cell["scatter"], 3)
    means = [truth(each) for each in points]
    pairs = list(combinations(range(3), 2))
    made = [study(rng(case), cell["n"], cell["seeds"], points, [SKILL] * 3) for case in range(cases)]
    found = differences([(own[i], own[j]) for own in made for i, j in pairs])
    true = np.tile([means[i] - means[j] for i, j in pairs], cases)
    noisy = np.tile([points[i] == max(points) for i, _ in pairs], cases)
    each_half = [halves(each) for each in found]
    half = {name: np.array([own[name] for own in each_half]) for name in each_half[0]}
    value = np.array([each.interval.value for each in found])
    inside = {name: np.abs(value - true) <= own for name, own in half.items()}
    inside["rgbench"] = np.array(
        [each.interval.low <= x <= each.interval.high for each, x in zip(found, true, strict=True)]
    )
    error = float(np.sqrt(np.mean((value - true) ** 2)))
    return {
        name: {
            "coverage": float(own.mean()),
            "coverage_of_noisy": float(own[noisy].mean()),
            "width": float(2 * half[name].mean()),
            "finds_5_points": float(norm.cdf((GAP - half[name]) / error).mean()),
        }
        for name, own in inside.items()
    }


def of_claims(cell: dict, cases: int, rng: Callable[[int], np.random.Generator]) -> dict:
    """Studies that tell equal networks apart; true differences that are found; the best one among those that may be."""
    k, n, seeds = cell["networks"], cell["n"], cell["seeds"]
    points = scatters(cell["scatter"], k)
    pairs = list(combinations(range(k), 2))
    # The skills of networks that scatter otherwise are such that their scores are equal.
    level = [SKILL if each == points[-1] else matched(each, points[-1], SKILL) for each in points]
    below = [weaker() if each == points[-1] else matched(each, points[-1], weaker()) for each in points]
    half = [level[i] if i < k - k // 2 else below[i] for i in range(k)]
    said: dict[str, list[float]] = {}
    for case in range(cases):
        for truth_is, skills in (("equal", level), ("half", half)):
            own = study(rng(2 * case + (truth_is == "half")), n, seeds, points, skills)
            found = differences([(own[i], own[j]) for i, j in pairs])
            together = all_pairs(own, found)
            ways = {
                "rgbench": together.p_values,
                "Holm, squares of t": holm([p_of_squares(each) for each in found]),
            }
            differ = np.array([truth_is == "half" and (i < k - k // 2) != (j < k - k // 2) for i, j in pairs])
            for name, p in ways.items():
                claimed = np.array(p) < 0.05
                said.setdefault(f"{name}: false, {truth_is}", []).append(float((claimed & ~differ).any()))
                if differ.any():
                    said.setdefault(f"{name}: found", []).append(float(claimed[differ].mean()))
            if truth_is == "half":
                said.setdefault("all of the best kept", []).append(
                    float(set(range(k - k // 2)) <= set(together.maybe_best))
                )
                said.setdefault("one of the best kept", []).append(float(0 in together.maybe_best))
                said.setdefault("share kept", []).append(len(together.maybe_best) / k)
    return {name: float(np.mean(values)) for name, values in said.items()}


@cache
def matched(points: float, like: float, skill: float) -> float:
    """The skill at which a network that scatters by so many points scores like one that scatters otherwise."""
    low, high = skill - 1, skill + 1
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (low, middle) if truth(points, middle) > truth(like, skill) else (middle, high)
    return high


def of_means(cell: dict, cases: int, rng: Callable[[int], np.random.Generator]) -> dict:
    """Coverage and mean width of the interval of one network's mean over seeds."""
    made = [
        study(rng(case), cell["n"], cell["seeds"], [cell["scatter"]], [SKILL])[0] for case in range(cases)
    ]
    found = mean_intervals(made)
    inside = [each.low <= truth(cell["scatter"]) <= each.high for each in found]
    return {
        "coverage": float(np.mean(inside)),
        "width": float(np.mean([each.high - each.low for each in found])),
    }


def of_power(cell: dict, cases: int, rng: Callable[[int], np.random.Generator]) -> dict:
    """How often a difference of the size that a study of equal networks says it would find is found."""
    k, points = cell["networks"], scatters(cell["scatter"], cell["networks"])
    sizes = []
    for case in range(max(cases // 5, 20)):
        own = study(rng(case), cell["n"], cell["seeds"], points, [SKILL] * k)
        found = differences(list(combinations(own, 2)))
        decides = all_pairs(own, found).confidence
        sizes += [replace(each.resolution, confidence=decides).smallest() for each in found]
    said = float(np.median(sizes))
    low, high = -4.0, SKILL
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (low, middle) if truth(points[0], middle) > truth(points[0]) - said else (middle, high)
    hits = []
    for case in range(cases):
        own = study(rng(10**6 + case), cell["n"], cell["seeds"], points, [SKILL] + [high] * (k - 1))
        found = differences(list(combinations(own, 2)))
        p = all_pairs(own, found).p_values
        hits.append(
            np.mean([x < 0.05 for x, (i, _) in zip(p, combinations(range(k), 2), strict=True) if i == 0])
        )
    return {"said_points": 100 * said, "found": float(np.mean(hits))}


def of_folds(cell: dict, cases: int, rng: Callable[[int], np.random.Generator]) -> dict:
    """Five folds with seeds in each; a fold shifts all its seeds."""
    splits = tuple(f"fold-{k}" for k in range(5) for _ in range(cell["seeds"]))
    inside = []
    for case in range(cases):
        own = rng(case)
        y, hard = sources(own, 400)
        made = [
            np.concatenate(
                [
                    network(own, hard, cell["seeds"], 0.0, SKILL + own.normal(0, cell["shift"]))
                    for _ in range(5)
                ]
            )
            for _ in "ab"
        ]
        span = difference(
            *(answers(name, y, right, splits) for name, right in zip("ab", made, strict=True))
        ).interval
        inside.append(span.low <= 0 <= span.high)
    return {"coverage": float(np.mean(inside))}


def of_one(cell: dict, cases: int, rng: Callable[[int], np.random.Generator]) -> dict:
    """Several runs of one network against a single run of another: of that run."""
    inside = []
    for case in range(cases):
        own = rng(case)
        y, hard = sources(own, 1000)
        pair = [answers(name, y, network(own, hard, s, 0.0)) for name, s in (("a", cell["runs"]), ("b", 1))]
        span = difference(*pair).interval
        inside.append(span.low <= 0 <= span.high)
    return {"coverage": float(np.mean(inside))}


def of_own_splits(cell: dict, cases: int, rng: Callable[[int], np.random.Generator]) -> dict:
    """Every seed draws its own test sources out of 1,000, the same for both networks."""
    inside = [_own_splits(rng(case), cell["share"], cell["seeds"], cell["scatter"]) for case in range(cases)]
    return {"coverage": float(np.mean(inside))}


def _own_splits(rng: np.random.Generator, share: float, seeds: int, points: float) -> bool:
    y, hard = sources(rng, 1000)
    made = [network(rng, hard, seeds, points) for _ in "ab"]
    tests = [np.sort(rng.choice(1000, int(1000 * share), replace=False)) for _ in range(seeds)]
    weights = joint_weights([test.astype(str) for test in tests], 400, rng)
    samples = []
    for name, right in zip("ab", made, strict=True):
        logits = [
            np.where(own[:, None], np.eye(CLASSES)[y], np.eye(CLASSES)[(y + 1) % CLASSES]) for own in right
        ]
        cut = [each[test] for each, test in zip(logits, tests, strict=True)]
        drawn = [
            resampled(metrics().get("mpca"), y[test], c, w)
            for test, c, w in zip(tests, cut, weights, strict=True)
        ]
        values = [
            np.mean([r[test][y[test] == c].mean() for c in range(CLASSES)])
            for r, test in zip(right, tests, strict=True)
        ]
        samples.append(
            Sample(name, np.array(values), np.stack(drawn), tuple(f"seed {s}" for s in range(seeds)), False)
        )
    (pair,) = paired_differences(samples, metrics().get("mpca"), 0.95, len(tests[0])).pairs
    return pair.low <= 0 <= pair.high


def cells(**values: Sequence) -> list[dict]:
    return [dict(zip(values, each, strict=True)) for each in product(*values.values())]


KINDS = ("0.5", "1", "2", "4", "unequal")
PARTS: dict[str, tuple[Callable[..., dict], list[dict]]] = {
    "differences": (of_differences, cells(n=(200, 1000), seeds=(3, 2, 5, 10), scatter=KINDS)),
    "claims": (
        of_claims,
        [
            *cells(n=(200,), seeds=(3,), networks=(2, 3, 6), scatter=("1", "2", "4", "unequal")),
            *cells(n=(200,), seeds=(3,), networks=(14,), scatter=("1",)),
            *cells(n=(200,), seeds=(5,), networks=(6,), scatter=("1", "4")),
        ],
    ),
    "power": (of_power, cells(n=(200,), seeds=(3, 5), networks=(2, 3, 6), scatter=("1", "2"))),
    "means": (of_means, cells(n=(50, 200, 1000), seeds=(2, 3, 10), scatter=(0.0, 1.0, 2.0, 4.0))),
    "several runs against one": (of_one, cells(runs=(2, 3, 10))),
    "folds": (of_folds, cells(seeds=(1, 3), shift=(0.0, 0.05, 0.1, 0.3))),
    "own splits": (of_own_splits, cells(share=(0.2, 0.5, 0.8), seeds=(3, 10), scatter=(0.0, 2.0))),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=1000, help="simulated studies in a cell")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--out", type=Path, help="JSON file to write; refused if it is there")
    options = parser.parse_args()
    if options.out and options.out.exists():
        parser.error(f"{options.out} is there already")
    result: dict[str, object] = {"cases": options.cases, "confidence": 0.95}
    for part in options.parts:
        began, found = time.perf_counter(), []
        measure, chosen = PARTS[part]
        print(f"\n{part}")
        for i, cell in enumerate(chosen):
            place = [list(PARTS).index(part), i]
            found.append(
                {"cell": cell}
                | measure(cell, options.cases, lambda case, at=place: np.random.default_rng([*at, case]))
            )
            print(f"  {json.dumps(found[-1])}", flush=True)
        result[part] = found
        print(f"{time.perf_counter() - began:.0f} s")
        if options.out:
            options.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
