"""Pairs of networks: by how much they differ, tested in several ways, and what would be needed to tell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rgbench.comparison.members import Side
from rgbench.comparison.paired import PairedDifference
from rgbench.comparison.power import label_ceiling, observed_design, resolution_words
from rgbench.comparison.resampled import Posterior, correlated_t
from rgbench.comparison.significance import McNemar, holm, mcnemar
from rgbench.data.sets import data_sets
from rgbench.errors import SpecError
from rgbench.report import numbers
from rgbench.report.analysis.runs import Runs
from rgbench.report.blocks import Cell, Section, Table

Flags = NDArray[np.bool_]
LARGEST = 12
"""Networks, from the top of the ranking, of which all pairs are compared."""
EQUAL = 0.01
"""Half width of the region of practical equivalence: one point."""


@dataclass(frozen=True)
class _Pair:
    """Two networks: their difference as the comparison has it, and further tests."""

    difference: PairedDifference
    test: McNemar
    folds: Posterior | None


def section(runs: Runs) -> Section | None:
    """Compare every pair of networks that were tested on the same sources."""
    side = runs.side("test")
    if side is None or len(runs.networks) < 2:
        return None
    shown = set(runs.networks[:LARGEST])
    main = [pair for pair in runs.main.pairs if {pair.first, pair.second} <= shown]
    if not main:
        return None
    right = {name: _consensus(side, name) for name in runs.networks[:LARGEST]}
    pairs = [
        _Pair(
            each, mcnemar(right[each.first], right[each.second]), _over_folds((each.first, each.second), runs)
        )
        for each in main
    ]
    design = observed_design(side.y, right[main[0].first], right[main[0].second])
    return Section(
        anchor="differences",
        menu="Differences",
        title="Are they different?",
        sentences=(
            f"{resolution_words(len(side.y), design)}.",
            *_ceiling(runs),
        ),
        tables=(_table(pairs),),
        notes=(
            "Interval: of the mean difference in MPCA for new test sources and, with two seeds or more, new seeds"
            " (Student's t for the seeds: with three it is wide, as it must be). It has been checked by "
            "simulation (benchmarks/coverage.py). McNemar and permutation tests are of one answer per network, "
            "the mean probability over its seeds, so they ask about these trained networks, not about new seeds; "
            "p-values are corrected over all pairs by Holm. McNemar asks for accuracy, the permutation test for "
            "MPCA. Practically equal: within 1 point, by the Bayesian correlated t-test over folds, where there "
            "are folds.",
        ),
        early=True,
    )


def _consensus(side: Side, network: str) -> Flags:
    """Tell which sources the mean probability over a network's runs recognises, shape (n,)."""
    rows = [i for i, member in enumerate(side.members) if member.network == network]
    return np.asarray(np.logaddexp.reduce(side.scores[rows], axis=0).argmax(axis=1) == side.y)


def _over_folds(names: tuple[str, str], runs: Runs) -> Posterior | None:
    """Compare two networks over the folds that both were trained on; None if there are fewer than two."""
    scores = [_by_fold(runs, name) for name in names]
    folds = sorted(set(scores[0]) & set(scores[1]))
    sizes = [r.cost.get("training_sources") for r in runs.of_network(names[0])]
    if len(folds) < 2 or not sizes or sizes[0] is None:
        return None
    differences = np.array([scores[0][fold] - scores[1][fold] for fold in folds])
    n_test = runs.main.rows[0].n_test
    try:
        return correlated_t(differences, n_test / (n_test + float(sizes[0])), EQUAL)
    except SpecError:
        return None


def _by_fold(runs: Runs, network: str) -> dict[str, float]:
    """Give the mean MPCA of a network's runs on each fold."""
    row = next(row for row in runs.main.rows if row.network == network)
    records = [record for record in runs.of_network(network) if record.spec.data.split.startswith("fold-")]
    values = row.metrics["mpca"].values if "mpca" in row.metrics else ()
    if len(values) != len(records):
        return {}
    found: dict[str, list[float]] = {}
    by_seed = dict(zip(((r.spec.data.split, r.spec.seed) for r in records), values, strict=True))
    for (fold, _), value in by_seed.items():
        found.setdefault(fold, []).append(value)
    return {fold: float(np.mean(own)) for fold, own in found.items()}


def _ceiling(runs: Runs) -> tuple[str, ...]:
    """Say what the labels of the test set allow, where another catalogue's labels are known."""
    data = runs.complete[0].spec.data
    name = data.test or data.name
    if name not in data_sets():
        return ()
    card = data_sets().get(name).card
    if not card.agreement:
        return ()
    ceiling = label_ceiling(card.agreement, len(card.classes))
    return (f"Labels of {name} and {card.agreement_with}: {ceiling.words}.",)


def _table(pairs: list[_Pair]) -> Table:
    corrected = holm([pair.test.p_value for pair in pairs])
    folds = any(pair.folds for pair in pairs)
    columns = (
        "first", "second", "difference / points", "95 % interval", "for new", "only first right", "only second right",
        "McNemar p", "permutation p", *(("first better", "practically equal", "second better") if folds else ()),
    )  # fmt: skip
    rows = [
        (*_cells(pair, p_value), *(_chances(pair.folds) if folds else ()))
        for pair, p_value in zip(pairs, corrected, strict=True)
    ]
    return Table("differences", "Every pair", columns, tuple(rows), frozenset({1}))


def _cells(pair: _Pair, p_value: float) -> tuple[Cell, ...]:
    each = pair.difference
    interval = f"{numbers.signed_percent(each.low)} – {numbers.signed_percent(each.high)}"
    return (
        Cell(each.first),
        Cell(each.second),
        Cell(numbers.signed_percent(each.difference), each.difference),
        Cell(interval, each.low),
        Cell(_p(each.p_value), each.p_value),
        Cell(numbers.percent(each.resolvable), each.resolvable),
        Cell(str(pair.test.first_only), pair.test.first_only),
        Cell(str(pair.test.second_only), pair.test.second_only),
        Cell(_p(p_value), p_value),
    )


def _p(value: float) -> str:
    return numbers.significant(value, 2) if value >= 1e-4 else "< 0.0001"


def _chances(folds: Posterior | None) -> tuple[Cell, ...]:
    if folds is None:
        return (Cell(numbers.NONE),) * 3
    return tuple(Cell(f"{numbers.percent(p, 0)} %", p) for p in (folds.right, folds.rope, folds.left))
