"""How often intervals contain the truth: simulated test sets of 50 to 5,000 sources in four classes.

Candidates for the mean per-class accuracy (MPCA) and for the paired difference of two networks are measured
on the same draws. A cell is a size, a mix of classes and a true accuracy; a table gives, over the cells of a
size, the mean coverage and the lowest and highest, in percent.

    python benchmarks/coverage.py                                                         # half an hour
    python benchmarks/coverage.py --draws 500 --skip-bootstrap --parts mean difference    # two minutes
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from itertools import pairwise, product
from pathlib import Path

import numpy as np
from scipy.stats import norm, t

from rgbench.statistics.recognition import Answers, difference
from rgbench.statistics.significance import class_weights, score_difference_interval, score_mean_interval

SIZES = (50, 104, 200, 400, 1000, 5000)
MIXES = {
    "balanced": (0.25, 0.25, 0.25, 0.25),
    "natural": (0.23, 0.43, 0.18, 0.16),  # FRI, FRII, Compact, Bent of first-galaxy-data
    "one rare": (0.30, 0.45, 0.21, 0.04),
}
ACCURACIES = (0.5, 0.7, 0.8, 0.9, 0.94, 0.97)
PAIRS = ((0.5, 0.5), (0.75, 0.70), (0.8, 0.8), (0.83, 0.80), (0.92, 0.89), (0.97, 0.97), (0.97, 0.94))
CORRELATIONS = (0.3, 0.7)
SHAPES = {"alike": (1.0, 1.0, 1.0, 1.0), "unlike": (1.0, 0.7, 0.4, 1.9)}
"""Errors of the classes beside their mean."""
RESAMPLES = 999
Z = float(norm.ppf(0.975))
Ends = tuple[np.ndarray, np.ndarray]


def class_sizes(n: int, mix: str) -> np.ndarray:
    """Number of sources of each class; the first classes take what rounding leaves over."""
    sizes = np.maximum(np.floor(n * np.array(MIXES[mix])).astype(int), 1)
    sizes[: n - sizes.sum()] += 1
    return sizes.astype(float)


# Intervals of a mean of proportions: successes x (draws, k) of n (k,).


def mean_wald(x: np.ndarray, n: np.ndarray, _rng: np.random.Generator) -> Ends:
    p = x / n
    return around(p.mean(axis=-1), Z * np.sqrt((p * (1 - p) / n).sum(axis=-1)) / len(n))


def mean_adjusted(x: np.ndarray, n: np.ndarray, _rng: np.random.Generator) -> Ends:
    """Price & Bonett 2004: 2 / k successes and as many failures are added to each class."""
    p, more = (x + 2 / len(n)) / (n + 4 / len(n)), n + 4 / len(n)
    return around(p.mean(axis=-1), Z * np.sqrt((p * (1 - p) / more).sum(axis=-1)) / len(n))


def mean_mover(x: np.ndarray, n: np.ndarray, _rng: np.random.Generator) -> Ends:
    """Wilson intervals of the classes, their distances from the estimates squared and added."""
    return squares_added(x / n, *wilson(x, n))


def mean_score(x: np.ndarray, n: np.ndarray, _rng: np.random.Generator) -> Ends:
    return score_mean_interval(x, np.broadcast_to(n, x.shape), Z)


def mean_resamples(x: np.ndarray, n: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Bootstrap values of the mean and of its standard error, (resamples, draws)."""
    p = rng.binomial(n.astype(int), x / n, size=(RESAMPLES, *x.shape)) / n
    return p.mean(axis=-1), np.sqrt((p * (1 - p) / n).sum(axis=-1)) / len(n)


def mean_percentile(x: np.ndarray, n: np.ndarray, rng: np.random.Generator) -> Ends:
    return tuple(np.quantile(mean_resamples(x, n, rng)[0], [0.025, 0.975], axis=0))


def mean_bca(x: np.ndarray, n: np.ndarray, rng: np.random.Generator) -> Ends:
    p = x / n
    third = (p * (1 - p) * (1 - 2 * p) / n**2).sum(axis=-1) / len(n) ** 3
    second = (p * (1 - p) / n).sum(axis=-1) / len(n) ** 2
    return bca(mean_resamples(x, n, rng)[0], p.mean(axis=-1), second, third)


def mean_studentised(x: np.ndarray, n: np.ndarray, rng: np.random.Generator) -> Ends:
    p = x / n
    error = np.sqrt((p * (1 - p) / n).sum(axis=-1)) / len(n)
    return studentised(*mean_resamples(x, n, rng), p.mean(axis=-1), error)


# Intervals of a mean of paired differences: b right by the first only, c by the second only, of n.


def paired_wald(b: np.ndarray, c: np.ndarray, n: np.ndarray, _rng: np.random.Generator) -> Ends:
    d = (b - c) / n
    return around(d.mean(axis=-1), Z * np.sqrt((((b + c) / n - d**2) / n).sum(axis=-1)) / len(n))


def paired_adjusted(b: np.ndarray, c: np.ndarray, n: np.ndarray, rng: np.random.Generator) -> Ends:
    """Bonett & Price 2012, spread over the classes: 1 / k source is added to both discordant counts."""
    more, n = 1 / len(n), n + 2 / len(n)
    return paired_wald(b + more, c + more, n, rng)


def paired_newcombe(
    b: np.ndarray, c: np.ndarray, both: np.ndarray, n: np.ndarray, _rng: np.random.Generator
) -> Ends:
    """Newcombe's square-and-add intervals (1998, method 10) of the classes, combined over them likewise."""
    first, second = both + b, both + c
    cross = both * (n - both - b - c) - b * c
    cross = np.where(cross > 0, np.maximum(cross - n / 2, 0), cross)
    scale = np.sqrt(first * (n - first) * second * (n - second))
    phi = np.divide(cross, scale, out=np.zeros_like(cross), where=scale > 0)
    (l1, u1), (l2, u2), p1, p2 = wilson(first, n), wilson(second, n), first / n, second / n
    low = p1 - p2 - np.sqrt((p1 - l1) ** 2 - 2 * phi * (p1 - l1) * (u2 - p2) + (u2 - p2) ** 2)
    high = p1 - p2 + np.sqrt((u1 - p1) ** 2 - 2 * phi * (u1 - p1) * (p2 - l2) + (p2 - l2) ** 2)
    return squares_added(p1 - p2, low, high)


def paired_tango(b: np.ndarray, c: np.ndarray, n: np.ndarray, _rng: np.random.Generator) -> Ends:
    """Tango's intervals of the classes, combined over them by squares."""
    n = np.broadcast_to(n, b.shape)
    rows, place = np.unique(np.stack([b, c, n], axis=-1).reshape(-1, 3), axis=0, return_inverse=True)
    low, high = score_difference_interval(*(rows[:, [i]] for i in range(3)), Z)
    return squares_added((b - c) / n, low[place].reshape(b.shape), high[place].reshape(b.shape))


def paired_score(b: np.ndarray, c: np.ndarray, n: np.ndarray, _rng: np.random.Generator) -> Ends:
    return score_difference_interval(b, c, np.broadcast_to(n, b.shape), Z)


def paired_resamples(b: np.ndarray, c: np.ndarray, n: np.ndarray, rng: np.random.Generator) -> Ends:
    """Bootstrap values of the difference and of its standard error, (resamples, draws)."""
    above = rng.binomial(n.astype(int), b / n, size=(RESAMPLES, *b.shape))
    rest = np.divide(c, n - b, out=np.zeros_like(b), where=n > b)
    below = rng.binomial(n.astype(int) - above, rest)
    d = (above - below) / n
    return d.mean(axis=-1), np.sqrt((((above + below) / n - d**2) / n).sum(axis=-1)) / len(n)


def paired_percentile(b: np.ndarray, c: np.ndarray, n: np.ndarray, rng: np.random.Generator) -> Ends:
    return tuple(np.quantile(paired_resamples(b, c, n, rng)[0], [0.025, 0.975], axis=0))


def paired_bca(b: np.ndarray, c: np.ndarray, n: np.ndarray, rng: np.random.Generator) -> Ends:
    d, s = (b - c) / n, (b + c) / n
    third = ((d - 3 * d * s + 2 * d**3) / n**2).sum(axis=-1) / len(n) ** 3
    second = ((s - d**2) / n).sum(axis=-1) / len(n) ** 2
    return bca(paired_resamples(b, c, n, rng)[0], d.mean(axis=-1), second, third)


def paired_studentised(b: np.ndarray, c: np.ndarray, n: np.ndarray, rng: np.random.Generator) -> Ends:
    d = (b - c) / n
    error = np.sqrt((((b + c) / n - d**2) / n).sum(axis=-1)) / len(n)
    return studentised(*paired_resamples(b, c, n, rng), d.mean(axis=-1), error)


# What they have in common.


def around(middle: np.ndarray, half: np.ndarray) -> Ends:
    return middle - half, middle + half


def wilson(x: np.ndarray, n: np.ndarray) -> Ends:
    middle = (x + Z**2 / 2) / (n + Z**2)
    return around(middle, Z * np.sqrt(x * (n - x) / n + Z**2 / 4) / (n + Z**2))


def squares_added(value: np.ndarray, low: np.ndarray, high: np.ndarray) -> Ends:
    k, mean = value.shape[-1], value.mean(axis=-1)
    below, above = (np.sqrt(((value - end) ** 2).sum(axis=-1)) / k for end in (low, high))
    return mean - below, mean + above


def bca(values: np.ndarray, estimate: np.ndarray, second: np.ndarray, third: np.ndarray) -> Ends:
    """Bias-corrected and accelerated ends; skewness from the second and third moment of the estimate."""
    share = (np.sum(values < estimate, axis=0) + np.sum(values == estimate, axis=0) / 2 + 0.5) / (
        len(values) + 1
    )
    bias, ordered = norm.ppf(share), np.sort(values, axis=0)
    skew = np.divide(third, second**1.5, out=np.zeros_like(third), where=second > 0) / 6
    ends = []
    for z in (-Z, Z):
        level = norm.cdf(bias + (bias + z) / (1 - skew * (bias + z)))
        place = np.clip((level * (len(values) + 1)).astype(int) - 1, 0, len(values) - 1)
        ends.append(np.take_along_axis(ordered, place[None], axis=0)[0])
    return ends[0], ends[1]


def studentised(values: np.ndarray, errors: np.ndarray, estimate: np.ndarray, error: np.ndarray) -> Ends:
    """Bootstrap-t; resamples without spread are left out, as is usual."""
    ratios = np.divide(values - estimate, errors, out=np.full_like(values, np.nan), where=errors > 0)
    ratios[:, np.isnan(ratios).all(axis=0)] = 0
    low, high = np.nanquantile(ratios, [0.025, 0.975], axis=0)
    return estimate - high * error, estimate - low * error


MEANS: dict[str, Callable[..., Ends]] = {
    "Wald": mean_wald,
    "percentile bootstrap": mean_percentile,
    "BCa bootstrap": mean_bca,
    "bootstrap-t": mean_studentised,
    "Wilson, squares added": mean_mover,
    "Price & Bonett": mean_adjusted,
    "score": mean_score,
}
DIFFERENCES: dict[str, Callable[..., Ends]] = {
    "Wald": paired_wald,
    "percentile bootstrap": paired_percentile,
    "BCa bootstrap": paired_bca,
    "bootstrap-t": paired_studentised,
    "Newcombe 10, squares added": paired_newcombe,
    "Tango, squares added": paired_tango,
    "Bonett & Price": paired_adjusted,
    "score": paired_score,
}
NEED_BOTH = ("Newcombe 10, squares added",)
"""Intervals that also need to know on how many sources both are right."""
BOOTSTRAPS = ("percentile bootstrap", "BCa bootstrap", "bootstrap-t")


def class_accuracies(accuracy: float, shape: str) -> np.ndarray:
    return 1 - np.minimum((1 - accuracy) * np.array(SHAPES[shape]), 1)


def discordances(first: np.ndarray, second: np.ndarray, correlation: float) -> tuple[np.ndarray, np.ndarray]:
    """Chances that only the first, and only the second, is right, given the correlation of being right."""
    both = first * second + correlation * np.sqrt(first * (1 - first) * second * (1 - second))
    both = np.minimum(both, np.minimum(first, second))
    return first - both, second - both


def mean_cells(sizes: tuple[int, ...]) -> Iterator[dict]:
    for n, mix, accuracy, shape in product(sizes, MIXES, ACCURACIES, SHAPES):
        yield {"n": n, "mix": mix, "accuracy": accuracy, "shape": shape}


def paired_cells(sizes: tuple[int, ...]) -> Iterator[dict]:
    for n, mix, (first, second), phi, shape in product(sizes, MIXES, PAIRS, CORRELATIONS, SHAPES):
        yield {"n": n, "mix": mix, "first": first, "second": second, "correlation": phi, "shape": shape}


def cover_mean(
    cell: dict, names: list[str], draws: tuple[int, int], rng: np.random.Generator
) -> dict[str, float]:
    n, p = class_sizes(cell["n"], cell["mix"]), class_accuracies(cell["accuracy"], cell["shape"])
    x = rng.binomial(n.astype(int), p, size=(max(draws), len(n))).astype(float)
    return {
        name: share_inside(MEANS[name], (x[: draws_of(name, draws)],), n, float(p.mean()), rng)
        for name in names
    }


def cover_pair(
    cell: dict, names: list[str], draws: tuple[int, int], rng: np.random.Generator
) -> dict[str, float]:
    n = class_sizes(cell["n"], cell["mix"])
    first, second = (class_accuracies(cell[key], cell["shape"]) for key in ("first", "second"))
    above, below = discordances(first, second, cell["correlation"])
    b = rng.binomial(n.astype(int), above, size=(max(draws), len(n)))
    c = rng.binomial(n.astype(int) - b, below / (1 - above))
    both = rng.binomial(n.astype(int) - b - c, (first - above) / (1 - above - below))
    counts = tuple(array.astype(float) for array in (b, c, both))
    truth = float((first - second).mean())
    found = {}
    for name in names:
        known = counts[: 3 if name in NEED_BOTH else 2]
        known = tuple(count[: draws_of(name, draws)] for count in known)
        found[name] = share_inside(DIFFERENCES[name], known, n, truth, rng)
    return found


def draws_of(name: str, draws: tuple[int, int]) -> int:
    """Number of test sets that a method is measured on: fewer for a bootstrap, which is slow."""
    return draws[name in BOOTSTRAPS]


SEED_CELLS = tuple(
    {"n": n, "seeds": seeds, "scatter": scatter}
    for n, seeds, scatter in product(
        (100, 400, 2000), (2, 3, 5, 10), ((0.0, 0.0), (0.1, 0.1), (0.3, 0.3), (0.3, 0.0))
    )
)
"""Seeds shift a network's skill by `scatter`: 0.1 moves its accuracy by about 2.5 points, 0.3 by 7."""
_SHARED, _OWN, _NOISE = 0.8, 0.5, 0.5


def cover_seeds(cell: dict, draws: int, rng: np.random.Generator) -> dict[str, float]:
    """Coverage of three intervals of the mean difference over seeds.

    A run is right where its skill, its seed's luck, the source (alike for all networks, and of its own) and
    noise of the run are above 0 in sum, each normal.
    """
    y, skill = np.arange(cell["n"]) % 4, np.array([0.6, 0.0, 0.3, -0.5])
    spread = [np.sqrt(s**2 + _SHARED**2 + _OWN**2 + _NOISE**2) for s in cell["scatter"]]
    truth = float(np.mean(norm.cdf((1.2 + skill) / spread[0]) - norm.cdf((1.0 + skill) / spread[1])))
    inside = dict.fromkeys(("sources and seeds", "sources alone", "t-test over seeds"), 0)
    for _ in range(draws):
        first, second = simulated_runs(cell, skill[y], rng)
        result = difference(*(Answers("", y, right, ("one",) * len(right)) for right in (first, second)))
        value, w = result.interval.value, class_weights(y)
        error, (a, b) = result.resolution.source_error, (first @ w, second @ w)
        half = t.ppf(0.975, 2 * len(a) - 2) * np.sqrt((a.var(ddof=1) + b.var(ddof=1)) / len(a))
        inside["sources and seeds"] += result.interval.low <= truth <= result.interval.high
        inside["sources alone"] += abs(value - truth) <= Z * error
        inside["t-test over seeds"] += abs(value - truth) <= half
    return {name: int(count) / draws for name, count in inside.items()}


def simulated_runs(cell: dict, skill: np.ndarray, rng: np.random.Generator) -> Ends:
    n, seeds = cell["n"], cell["seeds"]
    shared, runs = rng.normal(0, _SHARED, n), []
    for level, scatter in zip((1.2, 1.0), cell["scatter"], strict=True):
        own = level + skill + shared + rng.normal(0, _OWN, n)
        runs.append(own + scatter * rng.normal(size=(seeds, 1)) + rng.normal(0, _NOISE, (seeds, n)) > 0)
    return runs[0], runs[1]


def share_inside(method, counts: tuple, n: np.ndarray, truth: float, rng: np.random.Generator) -> float:
    """Share of the draws whose interval contains the truth; equal draws are computed once."""
    rows, times = np.unique(np.stack(counts, axis=1), axis=0, return_counts=True)
    inside = np.zeros(len(rows), dtype=bool)
    for begin in range(0, len(rows), 1000):
        block = slice(begin, begin + 1000)
        low, high = method(*(rows[block, i] for i in range(len(counts))), n, rng)
        inside[block] = (low <= truth + 1e-12) & (truth - 1e-12 <= high)
    return float(times[inside].sum() / times.sum())


def summarise(rows: list[dict], names: list[str]) -> dict:
    """By method and size, mean, lowest and highest coverage over the cells, and the share within 93 to 97 %."""
    found: dict = {name: {} for name in names}
    for name, n in product(names, sorted({row["n"] for row in rows})):
        values = np.array([row["coverage"][name] for row in rows if row["n"] == n])
        found[name][str(n)] = {
            "mean": float(values.mean()),
            "lowest": float(values.min()),
            "highest": float(values.max()),
            "within_93_97": float(np.mean((values >= 0.93) & (values <= 0.97))),
            "below_93": float(np.mean(values < 0.93)),
        }
    return found


def rarest_discordance(cell: dict) -> float:
    """Expected number of discordant sources in the class that has fewest, where an MPCA difference is decided."""
    first, second = (class_accuracies(cell[key], cell["shape"]) for key in ("first", "second"))
    above, below = discordances(first, second, cell["correlation"])
    return float(np.min(class_sizes(cell["n"], cell["mix"]) * (above + below)))


def by_discordance(cells: list[dict], name: str) -> list[dict]:
    """Coverage of one method by the expected number of discordant sources in the class that has fewest."""
    fewest, found = np.array([rarest_discordance(cell) for cell in cells]), []
    values = np.array([cell["coverage"][name] for cell in cells])
    for low, high in pairwise((0.0, 1.0, 2.0, 5.0, 10.0, np.inf)):
        own = values[(fewest >= low) & (fewest < high)]
        if len(own):
            spread = {"mean": own.mean(), "lowest": own.min(), "highest": own.max()}
            inside = np.mean((own >= 0.93) & (own <= 0.97))
            row = {"from": low, "cells": len(own), "within_93_97": inside, **spread}
            found.append({key: float(value) for key, value in row.items()})
    return found


def discordance_table(rows: list[dict]) -> str:
    """The same as a markdown table."""
    lines = ["| discordant sources, from | cells | coverage | within 93 to 97 % |", "|---" * 4 + "|"]
    for row in rows:
        mean, low, high, inside = (100 * row[key] for key in ("mean", "lowest", "highest", "within_93_97"))
        numbers = f"{row['from']:.0f} | {row['cells']:.0f} | {mean:.1f} ({low:.1f} to {high:.1f})"
        lines.append(f"| {numbers} | {inside:.0f} % of the cells |")
    return "\n".join(lines)


def table(summary: dict) -> str:
    """A markdown table: mean (lowest to highest) coverage in percent."""
    sizes = list(next(iter(summary.values())))
    lines = ["| interval | " + " | ".join(f"n = {n}" for n in sizes) + " |", "|---" * (len(sizes) + 1) + "|"]
    for name, own in summary.items():
        found = [[100 * own[n][key] for key in ("mean", "lowest", "highest")] for n in sizes]
        cells = " | ".join(f"{mean:.1f} ({low:.1f} to {high:.1f})" for mean, low, high in found)
        lines.append(f"| {name} | {cells} |")
    return "\n".join(lines)


def seed_table(cells: list[dict]) -> str:
    """A markdown table: mean (lowest to highest) coverage in percent, by number of seeds."""
    numbers, lines = sorted({cell["seeds"] for cell in cells}), []
    lines += [
        "| interval | " + " | ".join(f"{s} seeds" for s in numbers) + " |",
        "|---" * (len(numbers) + 1) + "|",
    ]
    for name in cells[0]["coverage"]:
        columns = []
        for s in numbers:
            own = [100 * cell["coverage"][name] for cell in cells if cell["seeds"] == s]
            columns.append(f"{np.mean(own):.1f} ({min(own):.1f} to {max(own):.1f})")
        lines.append(f"| {name} | {' | '.join(columns)} |")
    return "\n".join(lines)


def measure(part: str, options: argparse.Namespace) -> dict:
    """Measure one part, and print its table."""
    began = time.perf_counter()
    if part == "seeds":
        cells = [
            {**cell, "coverage": cover_seeds(cell, options.seed_draws, np.random.default_rng([i, 7]))}
            for i, cell in enumerate(SEED_CELLS)
        ]
        found, printed = {"cells": cells}, seed_table(cells)
    else:
        methods, make, cover = PARTS[part]
        draws = (options.draws, options.bootstrap_draws)
        names = [name for name in methods if not (options.skip_bootstrap and name in BOOTSTRAPS)]
        cells = [
            {**cell, "coverage": cover(cell, names, draws, np.random.default_rng([i, len(part)]))}
            for i, cell in enumerate(make(tuple(options.sizes)))
        ]
        found = {"summary": summarise(cells, names), "cells": cells}
        printed = table(found["summary"])
        if part == "difference":
            found["by_discordance"] = by_discordance(cells, "score")
            printed += f"\n\nscore, by the rarest class\n\n{discordance_table(found['by_discordance'])}"
    print(f"\n{part}, {len(cells)} cells, {time.perf_counter() - began:.0f} s\n\n{printed}", flush=True)
    return found


PARTS: dict[str, tuple] = {
    "mean": (MEANS, mean_cells, cover_mean),
    "difference": (DIFFERENCES, paired_cells, cover_pair),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bootstrap-draws", type=int, default=300, help="the same, for bootstraps")
    parser.add_argument("--draws", type=int, default=4000, help="test sets in a cell")
    parser.add_argument(
        "--seed-draws", type=int, default=400, help="test sets in a cell of the part on seeds"
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--parts", nargs="+", choices=(*PARTS, "seeds"), default=(*PARTS, "seeds"))
    parser.add_argument("--skip-bootstrap", action="store_true")
    parser.add_argument("--cells", action="store_true", help="write every cell too, not only the summaries")
    parser.add_argument("--out", type=Path, help="JSON file to write; refused if it is there")
    options = parser.parse_args()
    if options.out and options.out.exists():
        parser.error(f"{options.out} is there already")
    result = {key: getattr(options, key) for key in ("draws", "bootstrap_draws", "seed_draws")}
    result["confidence"] = 0.95
    result |= {part: measure(part, options) for part in options.parts}
    if not options.cells:
        for part in set(result) & set(PARTS):
            del result[part]["cells"]
    if options.out:
        options.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
