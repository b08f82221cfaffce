"""Pairs of networks: by how much they differ, tested in several ways, and what would be needed to tell."""

from __future__ import annotations

from dataclasses import dataclass
from math import isinf

import numpy as np
from numpy.typing import NDArray

from rgbench import numbers
from rgbench.comparison.members import Side
from rgbench.comparison.words.answer import shrinkage
from rgbench.comparison.words.pairs import bounded, posterior
from rgbench.measures.cards import MetricCard
from rgbench.numbers import Scale
from rgbench.report.blocks import Section, Table
from rgbench.report.cells import Cell, chance, count, difference, number, p_cell, span
from rgbench.report.material import Runs
from rgbench.seeds import numpy_generator
from rgbench.statistics.paired import PairedDifference
from rgbench.statistics.resampled import CorrectedT, Posterior, corrected_t, correlated_t
from rgbench.statistics.significance import McNemar, class_weights, holm, mcnemar, permutation_test

Flags = NDArray[np.bool_]
LARGEST = 12
"""Networks, from the top of the ranking, of which all pairs are compared."""
EQUAL = 0.01
"""Half width of the region of practical equivalence: one point."""
FOLDS = ("Nadeau2003", "Corani2015")
"""Publications of the tests over splits."""
_COMMON = (
    "Interval: of the mean difference in {metric} for new test sources and, with two seeds or more, new seeds "
    "(Student's t for the seeds: with three it is wide, as it must be) or new folds. It has been checked by simulation "
    "(benchmarks/coverage.py). p: where that interval would end at 0; it decides, corrected over all pairs by Holm, "
    "which networks are told apart. McNemar and permutation tests are of one answer per network, the mean "
    "probability over its runs, so they ask about these trained networks, not about new seeds; they are corrected by "
    "Holm too. McNemar asks for accuracy, the permutation test for MPCA. Resolvable: the smallest difference that this "
    "test, its sources and its runs, would have shown in 80 % of the cases."
)
_APART = (
    "Every seed has a random split of its own, so that no test sources are common to all runs: intervals and "
    "p-values (Holm-corrected) are of a bootstrap in which a source has one weight in all test sets that it is in, "
    "with the scatter over the seeds added, networks paired seed by seed."
)
_OVER_SPLITS = (
    "Splits share training sources, so that Student's t-test over them is too sure. Corrected t: the resampled "
    "t-test of Nadeau & Bengio (2003), p-values corrected over all pairs by Holm. The chances of first better, "
    "practically equal (within {region}) and second better are of the Bayesian correlated t-test (Corani & "
    "Benavoli 2015). Runs of several seeds on one split are averaged first. Folds that are all tested on the same "
    "sources tell what other training sources would change; what other test sources would change stands in the "
    "table above."
)


@dataclass(frozen=True)
class _Splits:
    """Two networks over the splits that both were trained on."""

    test: CorrectedT
    chances: Posterior


@dataclass(frozen=True)
class _Tests:
    """Tests of one answer per network."""

    mcnemar: McNemar
    permutation: float


@dataclass(frozen=True)
class _Pair:
    """Two networks: their difference as the comparison has it, and further tests.

    McNemar's test needs common test sources, the tests over splits two splits or more.
    """

    difference: PairedDifference
    test: _Tests | None
    splits: _Splits | None


def section(runs: Runs) -> Section | None:
    """Compare every pair of networks that were tested on the same sources, or on the same random splits."""
    shown = runs.networks[:LARGEST]
    main = [pair for pair in runs.main.pairs if {pair.first, pair.second} <= set(shown)]
    side, scores = runs.side("test"), {name: _by_split(runs, name) for name in shown}
    if not main or (side is None and all(len(own) < 2 for own in scores.values())):
        return None
    right = {} if side is None else {name: _consensus(side, name) for name in shown}
    share = _test_share(runs)
    pairs = [
        _Pair(
            each,
            None if side is None else _tests(side, right[each.first], right[each.second]),
            _over_splits(runs.card, scores[each.first], scores[each.second], share),
        )
        for each in main
    ]
    resolved = _resolution(main, runs.main.rows[0].n_test, runs.scale)
    return Section(
        anchor="differences",
        menu="Differences",
        title="Are they different?",
        sentences=(*resolved, *_split_words(pairs, side, runs.card), *shrinkage(runs.main)),
        tables=tuple(
            table
            for table in (_table(pairs, runs.scale), _split_table(pairs, runs.scale))
            if table is not None
        ),
        notes=_notes(runs, side, pairs),
        cites=FOLDS if any(pair.splits for pair in pairs) else (),
    )


def _tests(side: Side, first: Flags, second: Flags) -> _Tests:
    generator = numpy_generator(0, "bootstrap", permutation=len(side.y))
    return _Tests(
        mcnemar(first, second), permutation_test(first, second, class_weights(side.y), generator).p_value
    )


def _resolution(pairs: list[PairedDifference], n: int, scale: Scale) -> tuple[str, ...]:
    """Say what differences could have been seen."""
    known = [pair.resolvable for pair in pairs if numbers.is_number(pair.resolvable)]
    never = sum(isinf(pair.resolvable) for pair in pairs)
    if not known:
        none = (
            f"{numbers.counted(n, 'test source')} and these runs resolve no difference, however large it is."
        )
        return (none,) if never else ()
    least, most = (scale.amount(value) for value in (min(known), max(known)))
    span = most if least == most else f"{least.removesuffix(f' {scale.points}')} to {most}"
    upon = "" if len(known) == 1 else ", depending on the pair,"
    return (
        f"{numbers.counted(n, 'test source')} and these runs resolve differences from {span} up{upon} in 80 % of the "
        f"cases{f'; for {never} of {len(pairs)} pairs none, however large it is' if never else ''}.",
    )


def _notes(runs: Runs, side: Side | None, pairs: list[_Pair]) -> tuple[str, ...]:
    said = [_COMMON.format(metric=runs.card.short) if side is not None else _APART]
    if not runs.card.higher_is_better:
        said.append(f"{runs.card.short} is better where it is lower: a difference below 0 favours the first.")
    if any(pair.splits for pair in pairs):
        said.append(_OVER_SPLITS.format(region=_region(runs)))
    return tuple(said)


def _region(runs: Runs) -> str:
    return numbers.points(EQUAL) if runs.scale is numbers.PERCENT else f"{EQUAL:g}"


def _consensus(side: Side, network: str) -> Flags:
    """Tell which sources the mean probability over a network's runs recognises, shape (n,)."""
    rows = [i for i, member in enumerate(side.members) if member.network == network]
    return np.asarray(np.logaddexp.reduce(side.scores[rows], axis=0).argmax(axis=1) == side.y)


def _by_split(runs: Runs, network: str) -> dict[str, float]:
    """Give the mean score of a network's runs on each of its splits: a fold, or the random split of a seed."""
    found = dict[str, list[float]]()
    for record in runs.of_network(network):
        split, predictions = record.spec.data.split, record.predictions
        if predictions is not None and split != "published":
            test = predictions.select("test", runs.main.model)
            key = f"seed-{record.spec.seed}" if split == "becker2021" else split
            found.setdefault(key, []).append(runs.card.value(test.label, test.log_probabilities()))
    return {split: float(np.mean(own)) for split, own in found.items()}


def _test_share(runs: Runs) -> float:
    """Give the share of a split's training and test sources that it tests on; NaN if it is not known."""
    sizes = [
        (len(record.predictions.select("test", runs.main.model)), float(record.cost["training_sources"]))
        for record in runs.complete
        if record.predictions is not None and record.cost.get("training_sources")
    ]
    return float(np.median([test / (test + train) for test, train in sizes])) if sizes else float("nan")


def _over_splits(
    card: MetricCard, first: dict[str, float], second: dict[str, float], share: float
) -> _Splits | None:
    """Compare two networks over the splits that both were trained on; None if there are fewer than two."""
    splits = sorted(set(first) & set(second))
    if len(splits) < 2 or not np.isfinite(share):
        return None
    differences = np.array([first[split] - second[split] for split in splits])
    better = 1 if card.higher_is_better else -1
    return _Splits(
        corrected_t(differences, share, most=card.largest_difference),
        correlated_t(better * differences, share, EQUAL),
    )


def _split_words(pairs: list[_Pair], side: Side | None, card: MetricCard) -> tuple[str, ...]:
    """Say how the first pair stands over the splits."""
    pair = next((pair for pair in pairs if pair.splits is not None), None)
    if pair is None or pair.splits is None:
        return ()
    names = f"{pair.difference.first} against {pair.difference.second}"
    test = pair.splits.test
    count, found = test.degrees + 1, bounded(test.interval, card)
    if side is None:
        return (f"{names} over {count} random splits: {found}; {posterior(pair.splits.chances)}.",)
    # One test set for all folds: what its luck does is not in the t-test, and no chance of being better follows.
    return (
        f"{names} over {count} folds, on these {numbers.counted(len(side.y), 'test source')} alone: {found}.",
    )


def _table(pairs: list[_Pair], scale: Scale) -> Table:
    tests = [pair.test for pair in pairs if pair.test is not None]
    corrected = iter(
        zip(
            holm([each.mcnemar.p_value for each in tests]),
            holm([each.permutation for each in tests]),
            strict=True,
        )
    )
    columns = (
        "first", "second", scale.differences("difference"), "95 % interval", "p", scale.differences("resolvable"),
        *(("only first right", "only second right", "McNemar p", "permutation p") if tests else ()),
    )  # fmt: skip
    rows = [
        (
            *_cells(pair.difference, scale),
            *(() if pair.test is None else _tested(pair.test.mcnemar, *next(corrected))),
        )
        for pair in pairs
    ]
    return Table("differences", "Every pair", columns, tuple(rows), frozenset({1}))


def _cells(each: PairedDifference, scale: Scale) -> tuple[Cell, ...]:
    return (
        Cell(each.first),
        Cell(each.second),
        difference(each.difference, scale),
        span(each.low, each.high, scale, signed=True),
        p_cell(each.p_value),
        number(each.resolvable, scale),
    )


def _tested(test: McNemar, p_value: float, permutation: float) -> tuple[Cell, ...]:
    return count(test.first_only), count(test.second_only), p_cell(p_value), p_cell(permutation)


def _split_table(pairs: list[_Pair], scale: Scale) -> Table | None:
    """Make the table of the tests over splits; None if there are none."""
    found = [(pair.difference, pair.splits) for pair in pairs if pair.splits is not None]
    if not found:
        return None
    columns = (
        "first", "second", "splits", scale.differences("mean difference"), "95 % interval", "corrected t", "p (Holm)",
        "first better", "practically equal", "second better",
    )  # fmt: skip
    corrected = holm([splits.test.p_value for _, splits in found])
    rows = [
        (
            Cell(each.first),
            Cell(each.second),
            count(splits.test.degrees + 1),
            difference(splits.test.interval.value, scale),
            span(splits.test.interval.low, splits.test.interval.high, scale, signed=True),
            number(splits.test.statistic),
            p_cell(p_value),
            *(chance(p) for p in (splits.chances.right, splits.chances.rope, splits.chances.left)),
        )
        for (each, splits), p_value in zip(found, corrected, strict=True)
    ]
    return Table("differences-splits", "Every pair, over the splits", columns, tuple(rows), frozenset({1}))
